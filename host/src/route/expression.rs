//! Owns runtime expressions (OpenAPI 3.1 §4.8.20.4) of a callback: their grammar, and what they find in a request.
//! Must not know what the texts are for, nor which addresses may be called.

use crate::task::Request;
use crate::value::Json;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// RFC 3986 §2.3: what stands for itself everywhere in a URL.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The most bytes of an expression or of a text with expressions.
pub const MAX_TEXT: usize = 2048;

/// One expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// `$url`
    Url,
    /// `$method`
    Method,
    /// `$request.header.NAME`, the name in lower case
    Header(String),
    /// `$request.query.NAME`
    Query(String),
    /// `$request.path.NAME`
    Path(String),
    /// `$request.body` or `$request.body#/POINTER`, the pointer's tokens
    Body(Vec<String>),
}

/// Why an expression gave no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// There is nothing there, or null.
    Absent,
    /// There is an array or an object.
    NotText,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected $url, $method, $request.header.NAME, $request.query.NAME, $request.path.NAME \
                                or $request.body#/POINTER";
        let named = |name: &str| match name.is_empty() {
            true => Err(format!("{EXPECTED}; a name is missing")),
            false => Ok(name.to_owned()),
        };
        match text {
            "$url" => return Ok(Self::Url),
            "$method" => return Ok(Self::Method),
            "$request.body" => return Ok(Self::Body(Vec::new())),
            _ => {}
        }
        if text.starts_with("$response") || text.starts_with("$statusCode") {
            return Err(format!("{EXPECTED}; there is no answer yet when it is resolved"));
        }
        if let Some(name) = text.strip_prefix("$request.header.") {
            let is_token = name.parse::<http::HeaderName>().is_ok();
            return if is_token { Ok(Self::Header(name.to_ascii_lowercase())) } else { Err(EXPECTED.into()) };
        }
        if let Some(name) = text.strip_prefix("$request.query.") {
            return named(name).map(Self::Query);
        }
        if let Some(name) = text.strip_prefix("$request.path.") {
            return named(name).map(Self::Path);
        }
        match text.strip_prefix("$request.body#") {
            Some(pointer) => pointer_tokens(pointer).map(Self::Body),
            None => Err(EXPECTED.into()),
        }
    }

    /// What it finds in a request and its decoded body.
    ///
    /// # Errors
    /// Why that is no text.
    pub fn find(&self, request: &Request, input: &Json) -> Result<String, Nothing> {
        let pair = |pairs: &[(String, String)], wanted: &str| {
            let found = pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            found.ok_or(Nothing::Absent)
        };
        match self {
            Self::Url => Ok(request.url.clone()),
            Self::Method => Ok(request.method.clone()),
            Self::Header(wanted) => {
                // RFC 9110 §5.3: several fields of a name are one list.
                let same = request.headers.iter().filter(|(name, _)| name == wanted);
                let values: Vec<&str> = same.map(|(_, value)| value.as_str()).collect();
                if values.is_empty() { Err(Nothing::Absent) } else { Ok(values.join(", ")) }
            }
            Self::Query(name) => pair(&request.query, name),
            Self::Path(name) => pair(&request.path_parameters, name),
            Self::Body(tokens) => at(input.as_str(), tokens),
        }
    }

    /// The JSON pointer of an expression about the body.
    #[must_use]
    pub fn pointer(&self) -> Option<String> {
        let Self::Body(tokens) = self else { return None };
        Some(tokens.iter().map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1"))).collect())
    }
}

/// RFC 6901 §3
fn pointer_tokens(pointer: &str) -> Result<Vec<String>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(format!("expected a JSON pointer such as #/a/b, found `#{pointer}`"));
    };
    let token = |text: &str| {
        let bare = text.replace("~0", "").replace("~1", "");
        match bare.contains('~') {
            true => Err(format!("expected ~0 or ~1 after each ~ of a JSON pointer, found `{text}`")),
            false => Ok(text.replace("~1", "/").replace("~0", "~")),
        }
    };
    rest.split('/').map(token).collect()
}

/// The text at these tokens. Each level is read as raw text, so that numbers keep their digits.
fn at(text: &str, tokens: &[String]) -> Result<String, Nothing> {
    let mut here = text.trim();
    for token in tokens {
        here = match here.as_bytes().first() {
            Some(b'{') => {
                let fields: BTreeMap<Cow<'_, str>, &RawValue> =
                    serde_json::from_str(here).map_err(|_| Nothing::Absent)?;
                fields.get(token.as_str()).ok_or(Nothing::Absent)?.get()
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(here).map_err(|_| Nothing::Absent)?;
                let is_index = token == "0" || (!token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit()));
                let index = token.parse::<usize>().ok().filter(|_| is_index).ok_or(Nothing::Absent)?;
                items.get(index).ok_or(Nothing::Absent)?.get()
            }
            _ => return Err(Nothing::Absent),
        };
    }
    match here.as_bytes().first() {
        Some(b'"') => serde_json::from_str(here).map_err(|_| Nothing::NotText),
        Some(b'{' | b'[') => Err(Nothing::NotText),
        _ if here == "null" => Err(Nothing::Absent),
        _ => Ok(here.to_owned()),
    }
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Expression(Expression, String),
}

/// A literal, an expression, or a text with expressions in braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// As it was written.
    written: String,
}

/// An expression that gave no text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// As it was written.
    pub expression: String,
    /// The JSON pointer of one about the body.
    pub pointer: Option<String>,
    /// Why.
    pub why: Nothing,
}

impl Template {
    /// Reads a template: `$…` is one expression, `{$…}` within a text is one too, all else is literal.
    ///
    /// # Errors
    /// What is wrong with an expression.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("expected at most {MAX_TEXT} bytes, found {}", text.len()));
        }
        let written = text.to_owned();
        if text.starts_with('$') {
            let part = Part::Expression(Expression::parse(text)?, written.clone());
            return Ok(Self { parts: vec![part], written });
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{$") {
            let Some((inner, after)) = after.split_once('}') else {
                return Err("expected `}` after the expression that begins with `{$`".into());
            };
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let inner = format!("${inner}");
            parts.push(Part::Expression(Expression::parse(&inner)?, inner));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts, written })
    }

    /// As it was written.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.written
    }

    /// Whether nothing in it depends on a request.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.expressions().next().is_none()
    }

    /// The expression that is all of it.
    #[must_use]
    pub fn whole(&self) -> Option<&Expression> {
        match self.parts.as_slice() {
            [Part::Expression(expression, _)] => Some(expression),
            _ => None,
        }
    }

    /// Its expressions.
    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.parts.iter().filter_map(|part| match part {
            Part::Expression(expression, _) => Some(expression),
            Part::Text(_) => None,
        })
    }

    /// The text for a request.
    ///
    /// # Errors
    /// The first expression that gives no text.
    pub fn resolve(&self, request: &Request, input: &Json) -> Result<String, Missing> {
        self.fill(|expression, _| expression.find(request, input))
    }

    /// The same as a URL: what an expression finds cannot change what stands before it, unless it is the beginning.
    ///
    /// # Errors
    /// The first expression that gives no text.
    pub fn resolve_url(&self, request: &Request, input: &Json) -> Result<String, Missing> {
        self.fill(|expression, is_first| {
            let found = expression.find(request, input)?;
            Ok(if is_first { found } else { utf8_percent_encode(&found, COMPONENT).to_string() })
        })
    }

    fn fill(&self, mut find: impl FnMut(&Expression, bool) -> Result<String, Nothing>) -> Result<String, Missing> {
        let mut text = String::new();
        for (position, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Expression(expression, written) => {
                    let missing = |why| Missing { expression: written.clone(), pointer: expression.pointer(), why };
                    text.push_str(&find(expression, position == 0).map_err(missing)?);
                }
            }
        }
        Ok(text)
    }

    /// As it was written, without what a literal has in its query: that may be a secret.
    #[must_use]
    pub fn without_literal_query(&self) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => match literal.split_once('?') {
                    Some((before, _)) => return text + before + "?***",
                    None => text.push_str(literal),
                },
                Part::Expression(_, written) if self.parts.len() == 1 => text.push_str(written),
                Part::Expression(_, written) => text.push_str(&format!("{{{written}}}")),
            }
        }
        text
    }

    /// Its expressions, with `***` for what is literal: that may be a secret.
    #[must_use]
    pub fn without_literals(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(_) => "***".to_owned(),
            Part::Expression(_, written) if self.parts.len() == 1 => written.clone(),
            Part::Expression(_, written) => format!("{{{written}}}"),
        };
        self.parts.iter().map(part).collect()
    }

    /// Whether a literal in it has a query.
    #[must_use]
    pub fn has_literal_query(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Text(literal) if literal.contains('?')))
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Nothing::Absent => write!(formatter, "`{}` finds nothing in the request", self.expression),
            Nothing::NotText => write!(formatter, "`{}` finds an array or an object, not a text", self.expression),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request() -> Request {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Request {
            method: "PUT".into(),
            url: "http://h/orders/7?x=1".into(),
            path_parameters: vec![pair("id", "7/8")],
            query: vec![pair("x", "1"), pair("x", "2"), pair("a b", "3")],
            headers: vec![pair("x-one", "1"), pair("x-two", "a"), pair("x-two", "b")],
        }
    }

    fn found(template: &str, body: &str) -> Result<String, Nothing> {
        let input = Json::parse(body.to_owned()).expect("JSON");
        Template::parse(template).expect(template).resolve(&request(), &input).map_err(|missing| missing.why)
    }

    #[test]
    fn expressions_find_what_the_standard_says() {
        let body = r#"{"a": {"b": "x y", "": 1.50, "m~n": true, "a/b": [10, {"c": "deep"}], "n": null}, "": "empty"}"#;
        let cases = [
            ("$url", Ok("http://h/orders/7?x=1")),
            ("$method", Ok("PUT")),
            ("$request.header.X-One", Ok("1")),
            ("$request.header.x-two", Ok("a, b")),
            ("$request.header.x-none", Err(Nothing::Absent)),
            ("$request.query.x", Ok("1")),
            ("$request.query.a b", Ok("3")),
            ("$request.path.id", Ok("7/8")),
            ("$request.path.other", Err(Nothing::Absent)),
            ("$request.body#/a/b", Ok("x y")),
            ("$request.body#/a/", Ok("1.50")),
            ("$request.body#/a/m~0n", Ok("true")),
            ("$request.body#/a/a~1b/0", Ok("10")),
            ("$request.body#/a/a~1b/1/c", Ok("deep")),
            ("$request.body#/a/a~1b/01", Err(Nothing::Absent)),
            ("$request.body#/a/a~1b/2", Err(Nothing::Absent)),
            ("$request.body#/a/a~1b/-", Err(Nothing::Absent)),
            ("$request.body#/", Ok("empty")),
            ("$request.body#/a/n", Err(Nothing::Absent)),
            ("$request.body#/a/b/c", Err(Nothing::Absent)),
            ("$request.body#/a", Err(Nothing::NotText)),
            ("$request.body", Err(Nothing::NotText)),
            ("$request.body#", Err(Nothing::NotText)),
            ("plain", Ok("plain")),
            ("a {b} $c", Ok("a {b} $c")),
            ("http://h/{$request.path.id}?m={$method}", Ok("http://h/7/8?m=PUT")),
            ("{$request.query.x}{$request.query.x}", Ok("11")),
            ("x{$request.body#/a/n}", Err(Nothing::Absent)),
        ];
        for (template, expected) in cases {
            assert_eq!(found(template, body), expected.map(str::to_owned), "{template}");
        }
        assert_eq!(found("$request.body", "\"text\""), Ok("text".into()));
        assert_eq!(found("$request.body", " 12 "), Ok("12".into()));
    }

    #[test]
    fn what_is_no_expression_is_refused() {
        let bad = [
            "$",
            "$urls",
            "$request",
            "$request.header.",
            "$request.header.a b",
            "$request.query.",
            "$request.path.",
            "$request.bodyx",
            "$request.body#a",
            "$request.body#/~2",
            "$request.body#/a~",
            "$response.body#/a",
            "$statusCode",
            "{$url",
            "x{$}",
            "http://h/{$request.body#/a/~}",
        ];
        for text in bad {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Template::parse(&"x".repeat(MAX_TEXT + 1)).is_err());
    }

    #[test]
    fn embedded_values_stay_in_their_place_of_a_url() {
        let input = Json::parse(r#"{"url": "https://h/p?q", "evil": "x/../@evil?#"}"#.into()).expect("JSON");
        let url =
            |text: &str| Template::parse(text).expect("a template").resolve_url(&request(), &input).expect("text");
        assert_eq!(url("$request.body#/url"), "https://h/p?q");
        assert_eq!(url("{$request.body#/url}&id={$request.path.id}"), "https://h/p?q&id=7%2F8");
        assert_eq!(url("https://h/{$request.body#/evil}"), "https://h/x%2F..%2F%40evil%3F%23");
    }

    #[test]
    fn literal_queries_are_not_shown() {
        let shown = |text: &str| Template::parse(text).expect("a template").without_literal_query();
        assert_eq!(shown("https://h/p?token=secret"), "https://h/p?***");
        assert_eq!(shown("https://h/{$request.path.id}?token=secret&x={$method}"), "https://h/{$request.path.id}?***");
        assert_eq!(shown("$request.body#/a?b"), "$request.body#/a?b");
        assert_eq!(shown("https://h/p"), "https://h/p");
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text: String, body: String) {
            if let Ok(template) = Template::parse(&text) {
                let input = Json::from_serialize(&body).expect("JSON");
                drop(template.resolve_url(&request(), &input));
                prop_assert_eq!(template.written(), text);
            }
        }

        #[test]
        fn any_field_is_found(name: String, value: String) {
            let input = serde_json::to_string(&serde_json::json!({ &name: &value })).expect("JSON");
            let expression = Expression::Body(vec![name]);
            let found = expression.find(&request(), &Json::parse(input).expect("JSON"));
            prop_assert_eq!(found, Ok(value));
            let pointer = format!("$request.body#{}", expression.pointer().unwrap_or_default());
            prop_assert_eq!(Expression::parse(&pointer), Ok(expression));
        }
    }
}
