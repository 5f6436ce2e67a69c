//! Owns the choice of an answer's format by `Accept` (RFC 9110 §12.5.1).
//! Must not know what is answered.
//!
//! * The range that fits most exactly decides: `type/subtype` before `type/*` before `*/*`. Of equal quality, the format
//!   that is offered first wins; quality 0 excludes. Parameters other than `q` are ignored, and so is each part of the
//!   field that is no media range.
//! * No `Accept`, or none with a media range, takes the first format on offer.
//! * The other names of a format (`text/xml`, `application/x-yaml`) are answered under the name that was asked for, but
//!   only when it was asked for: `*/*` gets the registered name.

use super::Format;

/// What to answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The format.
    pub format: Format,
    /// The value of `Content-Type`.
    pub media_type: &'static str,
}

/// Chooses among the formats on offer by all values of `Accept`; `None` when none is allowed (406).
#[must_use]
pub fn negotiate<'a>(accept: impl IntoIterator<Item = &'a str>, offered: &[Format]) -> Option<Answer> {
    let ranges = ranges(accept);
    let answers = offered.iter().flat_map(|format| {
        let names = std::iter::once(format.media_type()).chain(format.aliases().iter().copied());
        names.map(|media_type| Answer { format: *format, media_type })
    });
    if ranges.is_empty() {
        return answers.into_iter().next();
    }
    let quality =
        |answer: &Answer| quality(&ranges, answer.media_type, answer.media_type != answer.format.media_type());
    // `min_by_key` keeps the first of equals.
    let allowed = answers.map(|answer| (quality(&answer), answer)).filter(|(quality, _)| *quality > 0);
    allowed.min_by_key(|(quality, _)| u16::MAX - quality).map(|(_, answer)| answer)
}

/// Chooses the format of an error, which is never refused: the one that is liked best by any of its names, that of its
/// problem details included; else the first on offer, else JSON.
#[must_use]
pub fn negotiate_problem<'a>(accept: impl IntoIterator<Item = &'a str>, offered: &[Format]) -> Answer {
    let ranges = ranges(accept);
    let best_name = |format: &Format| {
        let registered = [format.media_type(), format.problem_type()].map(|name| quality(&ranges, name, false));
        let aliases = format.aliases().iter().map(|name| quality(&ranges, name, true));
        registered.into_iter().chain(aliases).max().unwrap_or(0)
    };
    let format = offered.iter().min_by_key(|format| u16::MAX - best_name(format)).copied().unwrap_or(Format::Json);
    Answer { format, media_type: format.problem_type() }
}

/// Whether plain text is liked better than every format on offer.
#[must_use]
pub fn prefers_text<'a>(accept: impl IntoIterator<Item = &'a str>, offered: &[Format]) -> bool {
    let ranges = ranges(accept);
    let names =
        offered.iter().flat_map(|format| std::iter::once(format.media_type()).chain(format.aliases().iter().copied()));
    let best = names.map(|name| quality(&ranges, name, false)).max().unwrap_or(0);
    quality(&ranges, "text/plain", false) > best
}

/// Whether a client takes an answer of this media type. Without `Accept` it takes everything.
pub fn accepts<'a>(accept: impl IntoIterator<Item = &'a str>, media_type: &str) -> bool {
    let ranges = ranges(accept);
    ranges.is_empty() || quality(&ranges, media_type, false) > 0
}

/// A media range and its quality in thousandths.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    kind: String,
    subtype: String,
    quality: u16,
}

impl Range {
    /// How exactly it fits; `None` when it does not.
    fn fit(&self, kind: &str, subtype: &str, only_exact: bool) -> Option<u8> {
        match (self.kind.as_str(), self.subtype.as_str()) {
            (own, own_sub) if own == kind && own_sub == subtype => Some(3),
            // Only text/* is meant to get a second name: application/* has a registered one already.
            (own, "*") if own == kind && (!only_exact || kind == "text") => Some(2),
            ("*", "*") if !only_exact => Some(1),
            _ => None,
        }
    }
}

fn quality(ranges: &[Range], media_type: &str, only_exact: bool) -> u16 {
    let (kind, subtype) = media_type.split_once('/').unwrap_or((media_type, ""));
    let fits = ranges.iter().filter_map(|range| Some((range.fit(kind, subtype, only_exact)?, range.quality)));
    fits.max().map_or(0, |(_, quality)| quality)
}

fn ranges<'a>(accept: impl IntoIterator<Item = &'a str>) -> Vec<Range> {
    accept.into_iter().flat_map(|value| split_outside_quotes(value, b',')).filter_map(range).collect()
}

fn range(part: &str) -> Option<Range> {
    let mut pieces = split_outside_quotes(part, b';').into_iter();
    let name = pieces.next()?.trim().to_ascii_lowercase();
    // The `*` alone is what old Java clients mean by `*/*`.
    let (kind, subtype) = if name == "*" { ("*", "*") } else { name.split_once('/')? };
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
    if !is_token(kind) || !is_token(subtype) || (kind == "*" && subtype != "*") {
        return None;
    }
    let mut quality = 1000;
    for piece in pieces {
        if let Some((name, value)) = piece.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            quality = thousandths(value.trim())?;
        }
    }
    Some(Range { kind: kind.into(), subtype: subtype.into(), quality })
}

/// RFC 9110 §12.4.2: 0 to 1, at most three decimals; `.2` is taken, too.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let whole: u16 = match whole {
        "0" => 0,
        "" if !decimals.is_empty() => 0,
        "1" => 1000,
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let parts: u16 = format!("{decimals:0<3}").parse().ok()?;
    Some(whole + parts).filter(|quality| *quality <= 1000)
}

/// RFC 9110 §5.6.2
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The parts between separators that stand in no quoted string.
fn split_outside_quotes(text: &str, separator: u8) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(text.get(start..at).unwrap_or(""));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(start..).unwrap_or(""));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Format; 3] = [Format::Json, Format::Xml, Format::Yaml];

    fn chosen(accept: &[&str], offered: &[Format]) -> &'static str {
        negotiate(accept.iter().copied(), offered).map_or("406", |answer| answer.media_type)
    }

    #[test]
    fn the_best_of_what_is_offered_is_chosen() {
        let cases = [
            ("", "application/json"),
            ("*/*", "application/json"),
            ("application/*", "application/json"),
            ("application/xml", "application/xml"),
            ("APPLICATION/Xml ; Q=0.5", "application/xml"),
            ("application/json;q=0.5, application/yaml", "application/yaml"),
            ("application/json;q=0.5, application/yaml;q=0.5", "application/json"),
            ("application/json;q=0.001, application/yaml;q=0.002", "application/yaml"),
            ("*/*, application/json;q=0", "application/xml"),
            ("application/*;q=0.2, application/xml;q=0, */*;q=0.9", "application/json"),
            ("application/json;q=0", "406"),
            ("*/*;q=0", "406"),
            ("text/html", "406"),
            ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", "application/xml"),
            ("text/xml", "text/xml"),
            ("text/xml;q=0.9, application/xml;q=0.8", "text/xml"),
            ("text/yaml", "text/yaml"),
            ("application/x-yaml", "application/x-yaml"),
            ("text/*", "text/json"),
            ("text/*, text/json;q=0, text/xml;q=0", "text/yaml"),
            ("audio/*; q=0.2, audio/basic", "406"),
            ("text/plain; q=0.5, text/html, text/x-dvi; q=0.8, text/x-c", "406"),
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "application/json"),
            ("application/xml;x=\"a,b;q=0\", application/json;q=0.1", "application/xml"),
            ("application/json;q=2, application/yaml;q=0.1", "application/yaml"),
            (
                "application/json;q=0.1234, application/json;q=x, nonsense, */xml, a/b/c, /, application/yaml",
                "application/yaml",
            ),
            ("nonsense", "application/json"),
            (",,;,", "application/json"),
        ];
        for (accept, expected) in cases {
            assert_eq!(chosen(&[accept], &ALL), expected, "{accept}");
        }
    }

    #[test]
    fn the_example_of_the_rfc_has_its_qualities() {
        let accept = "text/*;q=0.3, text/plain;q=0.7, text/plain;format=flowed;q=0.7, */*;q=0.5";
        let ranges = ranges([accept]);
        let expected = [("text/plain", 700), ("text/html", 300), ("image/jpeg", 500)];
        for (media_type, thousandths) in expected {
            assert_eq!(quality(&ranges, media_type, false), thousandths, "{media_type}");
        }
    }

    #[test]
    fn fields_are_joined_and_offers_are_kept_to() {
        assert_eq!(chosen(&["application/json;q=0.1", "application/yaml"], &ALL), "application/yaml");
        assert_eq!(chosen(&[], &[Format::Yaml]), "application/yaml");
        assert_eq!(chosen(&["*/*"], &[Format::Xml, Format::Json]), "application/xml");
        assert_eq!(chosen(&["application/xml"], &[Format::Json]), "406");
        assert_eq!(chosen(&["*/*"], &[]), "406");
    }

    #[test]
    fn errors_always_have_a_format() {
        let chosen = |accept, offered: &[Format]| negotiate_problem([accept], offered).media_type;
        assert_eq!(chosen("application/problem+xml", &ALL), "application/problem+xml");
        assert_eq!(chosen("application/xml", &ALL), "application/problem+xml");
        assert_eq!(chosen("text/yaml, application/json;q=0.3", &ALL), "application/problem+yaml");
        assert_eq!(chosen("application/problem+json, application/xml;q=0.3", &ALL), "application/problem+json");
        assert_eq!(chosen("text/html", &[Format::Yaml, Format::Json]), "application/problem+yaml");
        assert_eq!(chosen("", &ALL), "application/problem+json");
        assert_eq!(chosen("*/*", &[]), "application/problem+json");
    }

    proptest::proptest! {
        #[test]
        fn no_field_makes_it_panic(accept in "[a-z/*;,=q.0-9\" \\\\]{0,60}") {
            let _ = negotiate([accept.as_str()], &ALL);
        }
    }
}
