//! Owns the reading of JSON bodies: what RFC 8259 leaves to each reader is refused, not guessed (RFC 7493, I-JSON).
//! Must not know other formats.

use super::fault::{Excerpt, Fault, Place};
use super::number;
use super::token::{Token, Tokens, unquote};
use crate::value::Json;
use std::borrow::Cow;
use std::collections::HashSet;

/// Reads a body. The JSON keeps the body's text.
///
/// # Errors
/// The first fault: syntax, depth, a key that occurs twice, half a surrogate pair, a number beyond all measure.
pub fn decode(text: &str) -> Result<Json, Fault> {
    let json = Json::parse(text.to_owned()).map_err(|fault| {
        let place = Place::of_byte_column(text, fault.line, fault.column);
        Fault { place, message: fault.message }
    })?;
    check(text)?;
    Ok(json)
}

/// Checks what JSON's grammar does not.
fn check(text: &str) -> Result<(), Fault> {
    let mut open: Vec<HashSet<Cow<'_, str>>> = Vec::new();
    let string = |at: usize, quoted| {
        unquote(quoted).ok_or_else(|| Fault::at(text, at, "a string with one half of a surrogate pair"))
    };
    for (at, token) in Tokens::of(text) {
        match token {
            Token::Object | Token::Array => open.push(HashSet::new()),
            Token::Close => drop(open.pop()),
            Token::Key(quoted) => {
                let key = string(at, quoted)?;
                if open.last_mut().is_some_and(|keys| keys.contains(&key)) {
                    return Err(Fault::at(text, at, format!("the key {} occurs twice", Excerpt(&key))));
                }
                open.last_mut().map(|keys| keys.insert(key));
            }
            Token::Text(quoted) => drop(string(at, quoted)?),
            Token::Number(digits) => {
                number::check_size(digits).map_err(|message| Fault::at(text, at, message))?;
            }
            Token::Bool(_) | Token::Null => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_kept() {
        let text = " {\"é\\u0000\" : [ 1.50, \"\\ud83d\\ude00\" ], \"b\": {\"é\": 1}}\n";
        assert_eq!(decode(text).expect("valid").as_str(), text.trim());
    }

    #[test]
    fn faults_have_line_and_column() {
        let cases = [
            ("", 1, 1, "EOF while parsing a value"),
            ("{\"é\": }", 1, 7, "expected value"),
            ("{}\n x", 2, 2, "trailing characters"),
            ("[\"a\0\"]", 1, 3, "control character (\\u0000-\\u001F) found while parsing a string"),
            ("{\n \"b\": 1,\n \"é\": 1, \"\\u0062\": 2}", 3, 10, "the key `b` occurs twice"),
            ("[\"é\", \"\\ud800\"]", 1, 7, "a string with one half of a surrogate pair"),
            ("[1e10001]", 1, 2, "a number whose exponent is beyond 10000"),
        ];
        for (text, line, column, message) in cases {
            let fault = decode(text).expect_err(text);
            assert_eq!(
                (fault.place.line, fault.place.column, fault.message.as_str()),
                (line, column, message),
                "{text}"
            );
        }
    }
}
