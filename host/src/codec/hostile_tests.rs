//! Owns the tests of bodies that are built to do harm: time and memory stay in proportion to the body.
//! Must not be built outside of tests.

use super::tests::{decoded, json};
use super::*;
use std::time::{Duration, Instant};

/// A few lines of aliases that stand for 10^30 values.
fn laughs() -> String {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(10)));
    }
    bomb
}

/// Bodies of about this many bytes that are built to cost more than they are worth.
fn hostile(size: usize) -> Vec<(Format, &'static str, String)> {
    let repeat = |text: &str| text.repeat(size / text.len());
    let around = |open: &str, text: &str, close: &str| format!("{open}{}{close}", repeat(text));
    let numbered =
        |text: &str| (0..size / (text.len() + 5)).map(|n| text.replace('#', &n.to_string())).collect::<String>();
    let wide = format!("a: &a [{}]\nb: [{}]", "x,".repeat(size / 10), "*a,".repeat(size / 4));
    vec![
        (Format::Json, "deep lists", repeat("[")),
        (Format::Json, "deep maps", repeat("{\"a\":")),
        (Format::Json, "digits", repeat("9")),
        (Format::Json, "exponent", "1e".to_owned() + &repeat("9")),
        (Format::Json, "keys", format!("{{{}\"a\":1,\"a\":1}}", numbered("\"k#\":1,"))),
        (Format::Json, "lists", around("[", "[],", "x")),
        (Format::Json, "escapes", around("\"", "\\u0000", "\\ud800\"")),
        (Format::Xml, "deep", repeat("<a>")),
        (Format::Xml, "attributes", format!("<a {}/>", numbered("a#='' "))),
        (Format::Xml, "siblings", around("<a>", "<a/>", "")),
        (Format::Xml, "names", format!("<a>{}", numbered("<k#/>"))),
        (Format::Xml, "references", around("<a>", "&amp;", "")),
        (Format::Xml, "long name", format!("<{}/>", repeat("a"))),
        (
            Format::Xml,
            "entities",
            "<!DOCTYPE a [<!ENTITY b 'c'>".to_owned() + &numbered("<!ENTITY b# '&b;'>") + "]><a>&b;</a>",
        ),
        (Format::Xml, "comments", around("<a>", "<!---->", "")),
        (Format::Xml, "sections", around("<a>", "<![CDATA[]]>", "")),
        (Format::Xml, "line ends", around("<a>", "\r", "")),
        (Format::Xml, "unclosed", repeat("<")),
        (Format::Yaml, "laughs", laughs()),
        (Format::Yaml, "wide aliases", wide),
        (Format::Yaml, "deep lists", repeat("[")),
        (Format::Yaml, "deep maps", repeat("[{a: ")),
        (Format::Yaml, "deep blocks", repeat("- ")),
        (Format::Yaml, "explicit keys", repeat("? ")),
        (Format::Yaml, "colons", repeat("a: ")),
        (Format::Yaml, "anchors", numbered("- &a# x\n") + "]"),
        (Format::Yaml, "keys", numbered("k#: 1\n") + "]"),
        (Format::Yaml, "tags", repeat("! ")),
        (Format::Yaml, "directives", numbered("%TAG !a#! b\n")),
        (Format::Yaml, "comments", repeat("#\n") + "]"),
        (Format::Yaml, "quotes", repeat("\"")),
        (Format::Yaml, "folded", "\"".to_owned() + &repeat("a\n")),
        (Format::Yaml, "plain lines", repeat("a\n") + ": ]"),
        (Format::Yaml, "block scalar", "|\n".to_owned() + &repeat(" \n") + "a"),
        (Format::Yaml, "digits", repeat("9")),
        (Format::Yaml, "flow pairs", around("[", "a: b,", "}")),
        (Format::Yaml, "flow keys", around("{", "? ", "]")),
        (Format::Yaml, "blanks", repeat(" ") + "]"),
        (Format::Yaml, "line ends", repeat("\r") + "]"),
        (Format::Yaml, "documents", repeat("---\n")),
        (Format::Yaml, "ends", repeat("...\n") + "]"),
    ]
}

#[test]
fn hostile_bodies_are_refused_soon() {
    let mut slow = Vec::new();
    for (format, name, body) in hostile(100_000) {
        let start = Instant::now();
        let outcome = decode(Incoming::Format(format), body.as_bytes());
        let took = start.elapsed();
        println!(
            "{format:?} {name}: {} bytes, {took:?}: {}",
            body.len(),
            outcome.as_ref().map_or_else(ToString::to_string, |_| "taken".into())
        );
        assert!(outcome.is_err(), "{format:?} {name} was taken");
        // Twenty times what an unoptimised build takes on a slow machine.
        if took > Duration::from_secs(2) {
            slow.push(format!("{format:?} {name}: {took:?}"));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}

#[test]
fn ten_times_the_body_is_ten_times_the_work() {
    let took = |size: usize| -> Vec<_> {
        let bodies = hostile(size).into_iter();
        bodies
            .map(|(format, name, body)| {
                let start = Instant::now();
                let _ = decode(Incoming::Format(format), body.as_bytes());
                (format, name, start.elapsed())
            })
            .collect()
    };
    for (small, large) in took(20_000).into_iter().zip(took(200_000)) {
        // A quadratic reader takes a hundred times as long; the rest is for a busy machine.
        assert!(large.2 < small.2 * 40 + Duration::from_millis(500), "{small:?} {large:?}");
    }
}

#[test]
fn the_yaml_parser_does_not_read_far_ahead() {
    // Its pieces of this megabyte took 178 MB.
    let told = decoded(Format::Yaml, &format!("[{}]", "a: b,".repeat(200_000)));
    assert!(told.ends_with("a value in [] or {} with more than 100000 indicators; write it in lines"), "{told}");
    // The same in JSON, and texts without brackets, are no matter.
    let fine = format!("[{}1]", "{\"a\":1},".repeat(150_000));
    assert_eq!(decoded(Format::Yaml, &fine), fine);
    let text = format!("|\n {}\n", "a,".repeat(200_000));
    assert_eq!(decoded(Format::Yaml, &text).len(), 400_004);
}

#[test]
fn large_results_are_written_in_proportion() {
    let element = "{\"a\":[1,\"x\\n\",null]},";
    let inner = element.repeat((1 << 20) / element.len());
    let deep = |levels: usize| "[".repeat(levels) + inner.trim_end_matches(',') + &"]".repeat(levels);
    for (format, levels) in
        [(Format::Xml, 1), (Format::Yaml, 1), (Format::Xml, 120), (Format::Yaml, 120), (Format::Yaml, 7)]
    {
        let text = deep(levels);
        let body = encode(format, "a", &json(&text));
        assert!(body.len() < text.len() * 15, "{format:?}: {} bytes", body.len());
    }
}
