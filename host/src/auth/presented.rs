//! Owns how credentials are taken out of a request. What a request has twice, it does not have: another program on the
//! way may have looked at the other one.
//! Must not know whether they are right.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};

/// The longest value that is taken for a credential, in bytes.
pub const MAX_CREDENTIAL: usize = 16 * 1024;

/// RFC 7617 has padding, some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a request presents.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// The pairs of its query, decoded.
    pub query: &'a [(String, String)],
}

/// Why a request has no usable credential of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// There is none.
    None,
    /// There is one that is not well-formed; in words for the log.
    Faulty(&'static str),
}

/// The name and the password of `Basic` credentials.
pub type NameAndPassword = (String, Vec<u8>);

impl<'a> Presented<'a> {
    /// The credentials of `Authorization: SCHEME …` (RFC 9110 §11.6.2).
    ///
    /// # Errors
    /// [`Absence`]
    pub fn authorization(&self, scheme: &str) -> Result<&'a str, Absence> {
        let value = self.header(header::AUTHORIZATION.as_str())?;
        match value.split_once(' ') {
            Some((found, credentials)) if found.eq_ignore_ascii_case(scheme) => match credentials.trim_matches(' ') {
                "" => Err(Absence::Faulty("empty credentials")),
                credentials => Ok(credentials),
            },
            None if value.eq_ignore_ascii_case(scheme) => Err(Absence::Faulty("empty credentials")),
            // Credentials for another scheme.
            _ => Err(Absence::None),
        }
    }

    /// Name and password (RFC 7617 §2).
    ///
    /// # Errors
    /// [`Absence`]
    pub fn basic(&self) -> Result<NameAndPassword, Absence> {
        let credentials = self.authorization("Basic")?;
        let bytes = BASE64.decode(credentials).map_err(|_| Absence::Faulty("Basic credentials are not Base64"))?;
        let colon = bytes.iter().position(|byte| *byte == b':');
        let colon = colon.ok_or(Absence::Faulty("Basic credentials have no colon"))?;
        let (name, password) = bytes.split_at(colon);
        let name = String::from_utf8(name.to_vec()).map_err(|_| Absence::Faulty("the user name is not UTF-8"))?;
        Ok((name, password.iter().skip(1).copied().collect()))
    }

    /// The only header field of this name.
    ///
    /// # Errors
    /// [`Absence`]
    pub fn header(&self, name: &str) -> Result<&'a str, Absence> {
        let mut values = self.headers.get_all(name).into_iter();
        let value = values.next().ok_or(Absence::None)?;
        if values.next().is_some() {
            return Err(Absence::Faulty("the header field stands there more than once"));
        }
        value.to_str().map_err(|_| Absence::Faulty("the header field is not ASCII")).and_then(bounded)
    }

    /// The only query parameter of this name.
    ///
    /// # Errors
    /// [`Absence`]
    pub fn query(&self, name: &str) -> Result<&'a str, Absence> {
        only(self.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()))
    }

    /// The only cookie of this name (RFC 6265 §4.2.1; HTTP/2 may have several fields, RFC 9113 §8.2.3).
    ///
    /// # Errors
    /// [`Absence`]
    pub fn cookie(&self, name: &str) -> Result<&'a str, Absence> {
        let fields = self.headers.get_all(header::COOKIE).into_iter().filter_map(|field| field.to_str().ok());
        let pairs = fields.flat_map(|field| field.split(';')).filter_map(|pair| pair.trim().split_once('='));
        only(pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"')))
    }
}

fn only<'a>(mut values: impl Iterator<Item = &'a str>) -> Result<&'a str, Absence> {
    let value = values.next().ok_or(Absence::None)?;
    match values.next() {
        Some(_) => Err(Absence::Faulty("the key stands there more than once")),
        None => bounded(value),
    }
}

fn bounded(value: &str) -> Result<&str, Absence> {
    if value.len() <= MAX_CREDENTIAL { Ok(value) } else { Err(Absence::Faulty("the credential is too long")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        headers
    }

    fn basic(value: &str) -> Result<NameAndPassword, Absence> {
        Presented { headers: &headers(&[("authorization", value)]), query: &[] }.basic()
    }

    #[test]
    fn basic_credentials_are_decoded() {
        let found = |name: &str, password: &str| Ok((name.to_owned(), password.as_bytes().to_vec()));
        assert_eq!(basic("Basic bW9ydHk6cGlja2xl"), found("morty", "pickle"));
        assert_eq!(basic("bAsIc  bW9ydHk6cGlja2xl "), found("morty", "pickle"));
        assert_eq!(basic("Basic YTpiOmM="), found("a", "b:c"));
        assert_eq!(basic("Basic YTpiOmM"), found("a", "b:c"));
        assert_eq!(basic("Basic w6Q6w7w="), found("ä", "ü"));
        assert_eq!(basic("Basic Og=="), found("", ""));
        assert_eq!(basic("Bearer x"), Err(Absence::None));
        assert_eq!(basic("Basicbla x"), Err(Absence::None));
        for faulty in ["Basic", "Basic ", "Basic %%", "Basic YQ==", "Basic /zp4", "Basic ä"] {
            assert!(matches!(basic(faulty), Err(Absence::Faulty(_))), "{faulty}");
        }
    }

    #[test]
    fn nothing_is_taken_from_two_places() {
        let twice = headers(&[("authorization", "Basic YTpi"), ("authorization", "Bearer x"), ("x-key", "1")]);
        let pairs = [("k", "1"), ("k", "2"), ("n", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let presented = Presented { headers: &twice, query: &pairs };
        assert!(matches!(presented.basic(), Err(Absence::Faulty(_))));
        assert!(matches!(presented.authorization("Bearer"), Err(Absence::Faulty(_))));
        assert_eq!((presented.header("X-Key"), presented.header("x-other")), (Ok("1"), Err(Absence::None)));
        assert!(matches!(presented.query("k"), Err(Absence::Faulty(_))));
        assert_eq!((presented.query("n"), presented.query("m")), (Ok("3"), Err(Absence::None)));
        let cookies = headers(&[("cookie", "a=1; key=\"2\""), ("cookie", "b=3"), ("cookie", "b=4")]);
        let presented = Presented { headers: &cookies, query: &[] };
        assert_eq!((presented.cookie("key"), presented.cookie("ke")), (Ok("2"), Err(Absence::None)));
        assert!(matches!(presented.cookie("b"), Err(Absence::Faulty(_))));
    }

    #[test]
    fn credentials_are_bounded() {
        let long = "x".repeat(MAX_CREDENTIAL);
        let fits = headers(&[("x-key", &long)]);
        assert!(Presented { headers: &fits, query: &[] }.header("x-key").is_ok());
        let over = headers(&[("x-key", &(long + "x"))]);
        assert!(Presented { headers: &over, query: &[] }.header("x-key").is_err());
    }
}
