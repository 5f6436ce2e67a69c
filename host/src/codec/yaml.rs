//! Owns YAML 1.2 as a form of JSON values: its core schema in, and out what every version of YAML reads alike.
//! Must not know where bodies come from.
//!
//! | in a body | becomes |
//! | --- | --- |
//! | plain scalars | null, booleans, numbers by the core schema of YAML 1.2 (§10.3.2); all else, `yes`, `1_000` and dates included, is a string |
//! | quoted and block scalars | strings |
//! | `!!str !!int !!float !!bool !!null !!seq !!map` | themselves, when the value fits; other tags are refused |
//! | keys that are no strings | their text, as written: `1: a` is `{"1": "a"}`; lists and maps as keys are refused |
//! | aliases | copies, bounded all together by [`MAX_ALIASED`](read::MAX_ALIASED) |
//! | merge keys (`<<`) | refused: YAML 1.2 has none, and to read one as a member called `<<` would be a silent surprise |
//! | a second document, a key twice, infinities, NaN | refused |

mod read;
mod write;

pub use read::{MAX_AHEAD, MAX_ALIASED, decode};
pub use write::encode;
