//! Owns the documentation page: Swagger UI over the OpenAPI document, whole from this program, so that it works offline.
//! Must not know what the document says. Its files come from `ui/swagger`, see `VENDORED.md` there.

use super::etag;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;

const PAGE: &str = include_str!("ui/docs.html");

/// Scripts and styles only from files of ours, requests only to this server: what the document holds can do no harm.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Asked again each time; the ETag makes the answer short.
const FRESH: &str = "no-cache";
/// They change only with the program.
const KEPT: &str = "public, max-age=86400";

struct Asset {
    name: &'static str,
    media_type: &'static str,
    caching: &'static str,
    body: &'static [u8],
}

const ASSETS: [Asset; 3] = [
    Asset {
        name: "swagger-ui-bundle.js",
        media_type: "text/javascript; charset=utf-8",
        caching: KEPT,
        body: include_bytes!("ui/swagger/swagger-ui-bundle.js"),
    },
    Asset {
        name: "swagger-ui.css",
        media_type: "text/css; charset=utf-8",
        caching: KEPT,
        body: include_bytes!("ui/swagger/swagger-ui.css"),
    },
    Asset {
        name: "docs.js",
        media_type: "text/javascript; charset=utf-8",
        caching: FRESH,
        body: include_bytes!("ui/docs.js"),
    },
];
static ASSET_TAGS: LazyLock<[HeaderValue; 3]> = LazyLock::new(|| ASSETS.map(|asset| etag::of(asset.body)));

/// The documentation page at one path.
#[derive(Debug, Clone)]
pub struct Docs {
    path: String,
    page: String,
    tag: HeaderValue,
}

impl Docs {
    /// A page at `path` over the document at `document`, both paths of this server. It links relatively, so that it
    /// also works behind a proxy that puts something in front of all paths.
    #[must_use]
    pub fn new(path: &str, document: &str, title: &str) -> Self {
        let path = format!("/{}", path.trim_matches('/'));
        let name = path.rsplit('/').next().unwrap_or_default();
        let up = "../".repeat(path.matches('/').count().saturating_sub(1));
        let document = format!("{up}{}", document.trim_start_matches('/'));
        let assets = if name.is_empty() { "." } else { name };
        // The title last: what it holds is not looked at again.
        let page = PAGE.replace("{assets}", &escaped(assets)).replace("{document}", &escaped(&document));
        let page = page.replace("{title}", &escaped(title));
        let tag = etag::of(page.as_bytes());
        Self { path, page, tag }
    }

    /// The answer to a GET of this path; `None` when the path is none of the page's.
    #[must_use]
    pub fn respond(&self, path: &str, headers: &HeaderMap) -> Option<Response> {
        if path == self.path {
            return Some(answer(&self.tag, "text/html; charset=utf-8", FRESH, Bytes::from(self.page.clone()), headers));
        }
        match path.strip_prefix(self.path.trim_end_matches('/'))?.strip_prefix('/')? {
            "" => {
                let up = HeaderValue::try_from(format!("..{}", self.path.get(self.path.rfind('/')?..)?)).ok()?;
                Some((StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, up)]).into_response())
            }
            name => {
                let (asset, tag) = ASSETS.iter().zip(ASSET_TAGS.iter()).find(|(asset, _)| asset.name == name)?;
                Some(answer(tag, asset.media_type, asset.caching, Bytes::from_static(asset.body), headers))
            }
        }
    }
}

fn answer(
    tag: &HeaderValue,
    media_type: &'static str,
    caching: &'static str,
    body: Bytes,
    headers: &HeaderMap,
) -> Response {
    let mut response = etag::answer(body, tag.clone(), media_type, headers);
    let fields = response.headers_mut();
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(CONTENT_SECURITY_POLICY));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// For texts and quoted attributes of HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn header_of(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    #[test]
    fn links_are_relative_and_texts_escaped() {
        let docs = Docs::new("/a/docs/", "/openapi.json", "<A> & \"{assets}\"");
        assert!(docs.page.contains("<title>&lt;A&gt; &amp; &quot;{assets}&quot;</title>"), "{}", docs.page);
        assert!(docs.page.contains("src=\"docs/docs.js\"") && docs.page.contains("data-document=\"../openapi.json\""));
        let none = HeaderMap::new();
        let slash = docs.respond("/a/docs/", &none).expect("a redirect");
        assert_eq!((slash.status().as_u16(), header_of(&slash, header::LOCATION)), (308, "../docs"));
        assert!(docs.respond("/a/docsx", &none).is_none() && docs.respond("/a/docs/VENDORED.md", &none).is_none());
        let root = Docs::new("/", "/openapi.json", "A");
        assert!(root.page.contains("src=\"./docs.js\"") && root.respond("/docs.js", &none).is_some());
        assert_eq!(root.respond("/", &none).expect("the page").status(), StatusCode::OK);
    }

    #[test]
    fn answers_are_cached_and_locked_down() {
        let docs = Docs::new("/docs", "/openapi.json", "A");
        for path in ["/docs", "/docs/docs.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"] {
            let first = docs.respond(path, &HeaderMap::new()).expect("an answer");
            assert_eq!(first.status(), StatusCode::OK);
            let policy = header_of(&first, header::CONTENT_SECURITY_POLICY);
            assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
            assert_eq!(header_of(&first, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            let tag = first.headers().get(header::ETAG).expect("a tag").clone();
            let again = docs.respond(path, &HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)])).expect("an answer");
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        }
    }

    #[test]
    fn nothing_comes_from_elsewhere() {
        let own = [PAGE, include_str!("ui/docs.js")].concat();
        assert!(!own.contains("http:") && !own.contains("https:") && !own.contains("//cdn"));
        // A script between the tags would be refused by the policy.
        assert!(PAGE.lines().filter(|line| line.contains("<script")).all(|line| line.ends_with("></script>")));
    }

    #[test]
    fn vendored_files_are_those_that_were_looked_at() {
        let listed = include_str!("ui/swagger/VENDORED.md");
        for asset in ASSETS.iter().filter(|asset| asset.name != "docs.js") {
            let digest: String = Sha256::digest(asset.body).iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(listed.contains(&format!("| `{digest}` | `{}` |", asset.name)), "{}", asset.name);
        }
    }
}
