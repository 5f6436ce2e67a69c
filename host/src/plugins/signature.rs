//! Owns whether a component is signed by somebody who may: Ed25519 (RFC 8032) over its bytes.
//! Must not know how the signature came.

use super::UploadError;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The name of the key that signed the bytes; `None`: nobody has to sign.
pub fn check(
    keys: &[(String, [u8; 32])],
    signature: Option<&str>,
    bytes: &[u8],
) -> Result<Option<String>, UploadError> {
    let refused = |words: String| Err(UploadError::Signature(words));
    if keys.is_empty() {
        return match signature {
            None => Ok(None),
            Some(_) => refused("the upload is signed, and this server has no `plugins.keys` to check that".into()),
        };
    }
    let Some(signature) = signature else {
        return refused("the upload must be signed: `Plugin-Signature: KEY:SIGNATURE`, the signature in base64".into());
    };
    let Some((name, signature)) = signature.split_once(':') else {
        return refused("expected `Plugin-Signature: KEY:SIGNATURE`, found no colon".into());
    };
    let Some((name, key)) = keys.iter().find(|(known, _)| known == name) else {
        return refused(format!("there is no key `{}` under `plugins.keys`", name.escape_debug()));
    };
    let Ok(signature) = BASE64_STANDARD.decode(signature.trim()) else {
        return refused("the signature is no base64".into());
    };
    match UnparsedPublicKey::new(&ED25519, key).verify(bytes, &signature) {
        Ok(()) => Ok(Some(name.clone())),
        Err(_) => refused(format!("the signature is not that of `{name}` over these bytes")),
    }
}
