//! Owns the test that no configuration breaks its reader, whatever it holds. Must not know what is expected of it.

use super::tests::variable;
use super::*;
use proptest::prelude::*;

/// Pieces of which syntax is made: texts of them get further into the readers than arbitrary ones.
const PIECES: &[&str] = &[
    "a",
    "é",
    "1",
    "~",
    ".inf",
    ": ",
    ":",
    " ",
    "\n",
    "\n  ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "\"",
    "'",
    "\"\"\"",
    "&a ",
    "*a",
    "!",
    "!!str ",
    "%YAML 1.2\n",
    "|",
    ">",
    "#",
    "? ",
    "\t",
    "<<: ",
    "${A}",
    "=",
    "[[a]]\n",
    "\\",
    "\\u",
    "d800",
    "\n---\n",
    "\n...\n",
    "\r\n",
    "\u{2028}",
    "\u{feff}",
    "\0",
    "routes",
    "server",
];

proptest! {
    #[test]
    fn no_text_is_a_panic(text: String, pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        for format in [Format::Yaml, Format::Json, Format::Toml] {
            for text in [&text, &pieces.concat()] {
                let _ = Config::parse(text, format, Path::new("/nowhere"), "a", &variable);
            }
        }
    }
}
