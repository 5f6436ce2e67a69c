//! Owns the comparison of text without case, and the patterns of LIKE.
//! Must not know fields.

use std::fmt;

/// The lower-case form by which text compares. It goes character by character, so that the form of a part is a part of
/// the form of the whole; the two small sigmas, which `str::to_lowercase` tells apart by their place, are one.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().flat_map(char::to_lowercase).map(|c| if c == 'ς' { 'σ' } else { c }).collect()
}

/// A pattern: parts that must follow one another, with anything between, before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// This text.
    Text(String),
    /// These characters; `None` is any one.
    Gaps(Vec<Option<char>>),
}

impl Pattern {
    /// Reads a pattern: `*` is any text, `?` any one character, everything else is itself.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let part = |part: &str| {
            if part.contains('?') {
                Part::Gaps(part.chars().map(|c| (c != '?').then_some(c)).collect())
            } else {
                Part::Text(part.to_owned())
            }
        };
        Self(fold(text).split('*').filter(|text| !text.is_empty()).map(part).collect())
    }

    /// Whether the text contains the pattern.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        let text = fold(text);
        let mut rest = text.as_str();
        // The first place of a part leaves the most room for the next.
        self.0.iter().all(|part| match part.end_in(rest).and_then(|end| rest.get(end..)) {
            Some(after) => {
                rest = after;
                true
            }
            None => false,
        })
    }
}

impl Part {
    /// Where the part's first occurrence ends.
    fn end_in(&self, text: &str) -> Option<usize> {
        match self {
            Self::Text(part) => text.find(part.as_str()).map(|start| start + part.len()),
            Self::Gaps(gaps) => {
                text.char_indices().find_map(|(start, _)| prefix(gaps, text.get(start..)?).map(|end| start + end))
            }
        }
    }
}

/// How many bytes at the text's start the characters take.
fn prefix(gaps: &[Option<char>], text: &str) -> Option<usize> {
    let mut characters = text.chars();
    for gap in gaps {
        let own = characters.next()?;
        if gap.is_some_and(|wanted| wanted != own) {
            return None;
        }
    }
    Some(text.len() - characters.as_str().len())
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            formatter.write_str("*")?;
            match part {
                Part::Text(text) => formatter.write_str(text)?,
                Part::Gaps(gaps) => gaps.iter().try_for_each(|gap| write!(formatter, "{}", gap.unwrap_or('?')))?,
            }
        }
        formatter.write_str("*")
    }
}
