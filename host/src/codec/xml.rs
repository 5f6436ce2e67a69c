//! Owns XML 1.0 as a form of JSON values, such that decoding what was encoded gives the same value for every value.
//! Must not know where bodies come from.
//!
//! | JSON | XML |
//! | --- | --- |
//! | the value itself | the root element; its name is the writer's choice, and is dropped by the reader |
//! | string | text; empty: no text. `\r` is `&#13;` |
//! | number, boolean | text, and `type="number"`, `type="boolean"` |
//! | null | `type="null"`, no text |
//! | array | `type="array"`, an `<item>` for each element |
//! | object | a child element for each member; empty: `type="object"` |
//! | a key that is no name to all readers (`is_element_name`), or is `entry` | `<entry name="the key">` |
//! | a string with characters that XML excludes (U+0000…) | `encoding="json"`: the text is a JSON string, quotes included |
//! | a key with such characters | `<entry name="…" name-encoding="json">` alike |
//!
//! Other people's XML, without these attributes: an element with child elements is an object, else a string; elements that
//! occur again become an array in the place of the first; `<entry>` without `name` is a member like any other. Prefixes are
//! part of names; `xmlns`, `xml:` and `xsi:` attributes and comments are ignored; blanks between elements mean nothing.
//! What would be lost is refused: other attributes, and text beside elements. Refused as well: DOCTYPE, processing
//! instructions, entities other than XML's five, other encodings than UTF-8.

mod read;
mod tree;
mod write;

pub use read::{MAX_ATTRIBUTES, MAX_ELEMENTS, decode};
pub use write::{encode, encode_problem};

/// The longest name of an element.
pub const MAX_NAME: usize = 256;

/// Whether XML 1.0 can hold the character (§2.2).
#[must_use]
pub fn is_xml_char(letter: char) -> bool {
    !matches!(letter, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// Whether the text is a name of XML 1.0 (§2.3, fifth edition).
#[must_use]
pub fn is_name(text: &str) -> bool {
    let starts = |letter: char| {
        matches!(letter, ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}'
            | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}' | '\u{200d}'
            | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}'
            | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
    };
    let others =
        |letter| matches!(letter, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}' | '\u{2040}');
    text.starts_with(starts) && text.chars().all(|letter| starts(letter) || others(letter))
}

/// Whether a key can be written as an element's name: one that readers of all editions of XML 1.0 take (the fourth, which
/// Python's reader follows, has far fewer letters), that no namespace has a say in, and that XML does not reserve.
#[must_use]
fn is_element_name(key: &str) -> bool {
    let starts = |letter: char| {
        matches!(letter, '_' | 'A'..='Z' | 'a'..='z' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{131}'
            | '\u{391}'..='\u{3a1}' | '\u{3a3}'..='\u{3ce}' | '\u{410}'..='\u{44f}' | '\u{4e00}'..='\u{9fa5}')
    };
    let others = |letter| matches!(letter, '-' | '.' | '0'..='9');
    let is_reserved = key.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("xml"));
    key.len() <= MAX_NAME
        && key != "entry"
        && !is_reserved
        && key.starts_with(starts)
        && key.chars().all(|letter| starts(letter) || others(letter))
}
