//! Makes identifiers like `order-3fa85f6457174562b3fc` for new tasks: the file of `id: {component: ids.wasm}`.

use std::fmt::Write;

wit_bindgen::generate!({ path: "../../../wit", world: "id-generator" });

/// Ten random bytes are 80 bits: after a billion identifiers, two of them are still the same with a chance of
/// less than one in a million.
const BYTES: usize = 10;

struct Ids;

export!(Ids);

impl Guest for Ids {
    fn generate(entropy: Vec<u8>) -> String {
        let mut id = String::from("order-");
        for byte in entropy.iter().take(BYTES) {
            // Writing to a `String` never fails.
            let _ = write!(id, "{byte:02x}");
        }
        id
    }
}
