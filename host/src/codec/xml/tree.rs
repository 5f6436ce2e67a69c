//! Owns the value of an element while its siblings are still unread: whether it is a member or an array's element is known
//! only at its parent's end.
//! Must not know XML.

use crate::codec::token::quote;
use std::borrow::Cow;
use std::collections::HashMap;

/// A value.
#[derive(Debug)]
pub enum Tree<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number, `true`, `false` or `null`, as JSON writes it.
    Literal(Cow<'a, str>),
    /// An array.
    List(Vec<Tree<'a>>),
    /// An object.
    Map(Vec<Member<'a>>),
}

/// A member of an object.
pub type Member<'a> = (Cow<'a, str>, Tree<'a>);

impl<'a> Tree<'a> {
    /// The object of these children; those that share a name become one array where the first of them stands.
    #[must_use]
    pub fn of_children(children: Vec<Member<'a>>) -> Self {
        let mut counts: HashMap<&str, usize> = HashMap::with_capacity(children.len());
        for (name, _) in &children {
            *counts.entry(name).or_default() += 1;
        }
        if counts.len() == children.len() {
            return Self::Map(children);
        }
        let repeated: HashMap<String, usize> =
            counts.into_iter().filter(|(_, count)| *count > 1).map(|(name, count)| (name.to_owned(), count)).collect();
        let mut places: HashMap<Cow<'a, str>, usize> = HashMap::new();
        let mut members: Vec<Member<'a>> = Vec::new();
        for (name, value) in children {
            let Some(count) = repeated.get(name.as_ref()) else {
                members.push((name, value));
                continue;
            };
            let place = *places.entry(name.clone()).or_insert(members.len());
            match members.get_mut(place) {
                Some((_, Self::List(values))) => values.push(value),
                _ => {
                    let mut values = Vec::with_capacity(*count);
                    values.push(value);
                    members.push((name, Self::List(values)));
                }
            }
        }
        Self::Map(members)
    }

    /// Writes it as JSON. Recurses as deep as values nest, which the reader bounds.
    pub fn write(&self, out: &mut String) {
        match self {
            Self::Text(text) => quote(text, out),
            Self::Literal(text) => out.push_str(text),
            Self::List(values) => {
                out.push('[');
                for (position, value) in values.iter().enumerate() {
                    out.push_str(if position > 0 { "," } else { "" });
                    value.write(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (position, (name, value)) in members.iter().enumerate() {
                    out.push_str(if position > 0 { "," } else { "" });
                    quote(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}
