//! Owns the reading of forms (`application/x-www-form-urlencoded`, WHATWG URL §5.1): an object of strings.
//! Must not know what the names mean: `a[b]` is a name like any other.

use super::fault::{Fault, Place};
use super::token::quote;
use crate::value::Json;
use std::borrow::Cow;
use std::collections::HashMap;

/// How many pairs a form may have.
pub const MAX_PAIRS: usize = 10_000;

/// Reads a form. A name that occurs once has a string, one that occurs again an array of them; names keep the order in
/// which they first occur.
///
/// # Errors
/// More than [`MAX_PAIRS`] pairs, or escapes that are not UTF-8.
pub fn decode(text: &str) -> Result<Json, Fault> {
    let mut members: Vec<(Cow<'_, str>, Vec<Cow<'_, str>>)> = Vec::new();
    let mut places: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut offset = 0;
    for (count, pair) in text.split('&').enumerate() {
        if count >= MAX_PAIRS {
            return Err(Fault::at(text, offset, format!("more than {MAX_PAIRS} pairs")));
        }
        for (name, value) in form_urlencoded::parse(pair.as_bytes()) {
            // The library puts U+FFFD for what is no UTF-8; nobody sends that one on purpose.
            if [&name, &value].into_iter().any(|part| part.contains('\u{fffd}')) && !pair.contains("%EF%BF%BD") {
                return Err(Fault::at(text, offset, "escapes that are not UTF-8"));
            }
            let place = *places.entry(name.clone()).or_insert(members.len());
            match members.get_mut(place) {
                Some((_, values)) => values.push(value),
                None => members.push((name, vec![value])),
            }
        }
        offset += pair.len() + 1;
    }
    let start = Place { line: 1, column: 1 };
    Json::parse(written(&members)).map_err(|fault| Fault { place: start, message: fault.message })
}

fn written(members: &[(Cow<'_, str>, Vec<Cow<'_, str>>)]) -> String {
    let mut out = String::from("{");
    for (position, (name, values)) in members.iter().enumerate() {
        out.push_str(if position > 0 { "," } else { "" });
        quote(name, &mut out);
        out.push_str(if values.len() > 1 { ":[" } else { ":" });
        for (position, value) in values.iter().enumerate() {
            out.push_str(if position > 0 { "," } else { "" });
            quote(value, &mut out);
        }
        out.push_str(if values.len() > 1 { "]" } else { "" });
    }
    out + "}"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_an_object_of_strings() {
        let cases = [
            ("", "{}"),
            ("a=1&b=x+y%20z&c", r#"{"a":"1","b":"x y z","c":""}"#),
            ("a=1&b=2&a=3&a=", r#"{"a":["1","3",""],"b":"2"}"#),
            ("a[b]=c&%C3%A9=%00&=&&", r#"{"a[b]":"c","é":"\u0000","":""}"#),
            ("a=%EF%BF%BD&b=%zz", "{\"a\":\"\u{fffd}\",\"b\":\"%zz\"}"),
        ];
        for (text, json) in cases {
            assert_eq!(decode(text).expect(text).as_str(), json, "{text}");
        }
    }

    #[test]
    fn forms_are_bounded() {
        let fault = decode("a=1&b=%FF").expect_err("no UTF-8");
        assert_eq!((fault.place.column, fault.message.as_str()), (5, "escapes that are not UTF-8"));
        assert!(decode(&"a&".repeat(MAX_PAIRS - 1)).is_ok());
        assert_eq!(decode(&"a&".repeat(MAX_PAIRS)).expect_err("too many").message, "more than 10000 pairs");
    }
}
