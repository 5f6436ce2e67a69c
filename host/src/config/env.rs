//! Owns `${NAME}` and `${NAME:-default}` in texts. They are expanded after the file was read,
//! so that a variable's value can never add a key. `$${` stands for `${`.
//! Must not know what a configuration may hold.

use super::fault::Sink;
use super::node::{Node, Origin, Value, excerpt};

/// Looks up an environment variable.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Expands variables in every text of the tree.
pub fn expand(node: &mut Node, lookup: Lookup<'_>, sink: &Sink) {
    match &mut node.value {
        Value::List(nodes) => nodes.iter_mut().for_each(|node| expand(node, lookup, sink)),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| expand(&mut entry.node, lookup, sink)),
        Value::Text(text, origin) if text.contains("${") => match expanded(text, lookup) {
            Ok(Expanded { text: new, values, is_one }) => {
                *text = new;
                *origin = match (is_one, *origin) {
                    (true, Origin::Plain) => Origin::PlainVariable,
                    (true, _) => Origin::QuotedVariable,
                    (false, origin) if values.is_empty() => origin,
                    (false, _) => Origin::WithVariable,
                };
                values.into_iter().for_each(|(name, value)| sink.conceal(name, value));
            }
            Err(message) => {
                sink.report(node.place, message);
                node.value = Value::Faulty;
            }
        },
        _ => {}
    }
}

/// A text whose variables were replaced.
#[derive(Debug, PartialEq, Eq)]
struct Expanded {
    text: String,
    /// What came from the environment, by name.
    values: Vec<(String, String)>,
    /// Whether the text was nothing but one variable.
    is_one: bool,
}

fn expanded(text: &str, lookup: Lookup<'_>) -> Result<Expanded, String> {
    let (mut out, mut rest, mut is_one) = (String::new(), text, false);
    let mut values = Vec::new();
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        let Some((variable, after)) = after.split_once('}') else {
            return Err(format!("`{}`: expected a `}}` after `${{`; write `$${{` for a literal `${{`", excerpt(text)));
        };
        is_one = before.is_empty() && after.is_empty() && rest.len() == text.len();
        out.push_str(before);
        let (name, value) = value_of(variable, lookup)?;
        out.push_str(&value);
        values.push((name.to_owned(), value));
        rest = after;
    }
    out.push_str(rest);
    Ok(Expanded { text: out, values, is_one })
}

/// The variable's name and value.
fn value_of<'a>(variable: &'a str, lookup: Lookup<'_>) -> Result<(&'a str, String), String> {
    let (name, default) = match variable.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (variable, None),
    };
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        let found = excerpt(name);
        return Err(format!("expected the name of an environment variable in `${{…}}`, found `{found}`"));
    }
    let value = match (lookup(name), default) {
        // As in a shell, an empty variable takes the default too.
        (Some(value), Some(default)) if value.is_empty() => default.into(),
        (Some(value), _) => value,
        (None, Some(default)) => default.into(),
        (None, None) => {
            return Err(format!(
                "the environment variable `{name}` is not set; set it, or write `${{{name}:-default}}`"
            ));
        }
    };
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        [("A", "1"), ("EMPTY", ""), ("TRICK", "${A}: {x: y}")]
            .into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned())
    }

    #[test]
    fn variables_are_expanded_once() {
        let cases = [
            ("${A}", "1", true),
            ("${A:-2}", "1", true),
            ("${N:-2}", "2", true),
            ("${N:-}", "", true),
            ("${EMPTY:-x}", "x", true),
            ("${EMPTY}", "", true),
            ("${TRICK}", "${A}: {x: y}", true),
            ("a${A}", "a1", false),
            ("${A}${A}", "11", false),
            ("$${A}", "${A}", false),
            ("$${A}${A}", "${A}1", false),
            ("$request.body#/callbackUrl {$url}", "$request.body#/callbackUrl {$url}", false),
        ];
        for (text, value, is_one) in cases {
            let found = expanded(text, &lookup).expect(text);
            assert_eq!((found.text.as_str(), found.is_one), (value, is_one), "{text}");
        }
    }

    #[test]
    fn faulty_ones_are_named() {
        let message = |text| expanded(text, &lookup).expect_err(text);
        assert_eq!(message("${B}"), "the environment variable `B` is not set; set it, or write `${B:-default}`");
        assert_eq!(message("x${A"), "`x${A`: expected a `}` after `${`; write `$${` for a literal `${`");
        assert_eq!(message("${a b}"), "expected the name of an environment variable in `${…}`, found `a b`");
        assert_eq!(message("${}"), "expected the name of an environment variable in `${…}`, found ``");
    }
}
