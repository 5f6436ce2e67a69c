//! Owns signatures as Standard Webhooks say (symmetric, `v1`). Must not know what is signed, or who reads it.

use crate::auth::Secret;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, PAD, STANDARD};

/// The fewest bytes of a key: what the standard asks for.
pub const MIN_BYTES: usize = 24;

/// Secrets are written with padding and without.
const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A key that signs.
#[derive(Debug, Clone, PartialEq)]
pub struct SigningKey(Secret);

impl SigningKey {
    /// Reads `whsec_` and base64, or else takes the text's bytes.
    ///
    /// # Errors
    /// What was expected; the text is not shown.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = match text.strip_prefix("whsec_") {
            Some(encoded) => LENIENT.decode(encoded).map_err(|_| "expected base64 after `whsec_`".to_owned())?,
            None => text.as_bytes().to_vec(),
        };
        if bytes.len() < MIN_BYTES {
            return Err(format!(
                "expected a secret of at least {MIN_BYTES} bytes, found {}; \
                 `echo whsec_$(openssl rand -base64 32)` makes one",
                bytes.len()
            ));
        }
        Ok(Self(Secret::new(bytes)))
    }
}

/// The value of `webhook-signature`: a signature of each key, separated by spaces; `None` without a key.
#[must_use]
pub fn signature(keys: &[SigningKey], id: &str, seconds: i64, body: &[u8]) -> Option<String> {
    let sign = |key: &SigningKey| {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.0.expose()));
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    };
    let all: Vec<String> = keys.iter().map(sign).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard_is_signed_alike() {
        // Of the specification's reference implementations.
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let signed = signature(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed.as_deref(), Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
    }

    #[test]
    fn each_key_signs() {
        let key = |text| SigningKey::parse(text).expect("a secret");
        let (new, old) = (key("n".repeat(24).as_str()), key("whsec_b2xkIHNlY3JldCBvZiBlbm91Z2ggYnl0ZXM="));
        let both = signature(&[new.clone(), old.clone()], "id", 1, b"body").expect("signed");
        let one = |key| signature(&[key], "id", 1, b"body").expect("signed");
        assert_eq!(both, format!("{} {}", one(new), one(old)));
        assert_eq!(signature(&[], "id", 1, b"body"), None);
    }

    #[test]
    fn weak_secrets_are_refused_and_not_shown() {
        for text in ["hunter2", "whsec_aHVudGVyMg==", "whsec_no base64 of hunter2"] {
            let fault = SigningKey::parse(text).expect_err(text);
            assert!(!fault.contains("hunter2") && !fault.contains("aHVu"), "{fault}");
        }
    }
}
