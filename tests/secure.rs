//! TLS and signed tokens: what is between a client and the routes of a server that strangers reach.

use crate::support::{Server, component, eventually};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const SECRET: &str = "a secret of at least thirty-two bytes, for HS256";

/// A new key and a certificate for localhost.
fn certificate(folder: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ])
        .arg("-keyout")
        .arg(folder.join("key.pem"))
        .arg("-out")
        .arg(folder.join("cert.pem"))
        .output()
        .expect("openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn client(folder: &Path) -> reqwest::Client {
    let pem = std::fs::read(folder.join("cert.pem")).expect("a certificate");
    let root = reqwest::Certificate::from_pem(&pem).expect("PEM");
    reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().expect("a client")
}

#[tokio::test]
async fn tls_is_served_and_a_new_certificate_is_taken_without_a_restart() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    certificate(folder.path());
    let head = "server: {listen: \"127.0.0.1:0\", tls: {certificate: cert.pem, key: key.pem}}\n";
    let routes = format!("routes:\n  - {{method: PUT, path: /hello, component: {}}}\n", component("hello.wasm"));
    let server = Server::start_with(Arc::clone(&folder), head, &routes).await;
    assert!(server.base.starts_with("https://"), "{}", server.base);
    let url = format!("{}/hello", server.base);
    let old = client(folder.path());
    let answer = old.put(&url).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.version()), (202, reqwest::Version::HTTP_11));
    let location = answer.headers()["location"].to_str().expect("text").to_owned();
    assert!(location.starts_with(&server.base), "{location}");
    assert_eq!(old.get(&location).send().await.expect("an answer").status(), 200);
    certificate(folder.path());
    let new = client(folder.path());
    eventually("the new certificate", || async { new.put(&url).send().await.ok().filter(|it| it.status() == 202) })
        .await;
    // Its open connection stays; a new one does not trust the new certificate.
    assert_eq!(old.put(&url).send().await.expect("the open connection").status(), 202);
    let plain = reqwest::get(url.replace("https:", "http:")).await;
    assert!(plain.is_err() || plain.is_ok_and(|answer| answer.status().is_client_error()));
}

fn token(claims: &Value, secret: &str) -> String {
    encode(&Header::default(), claims, &EncodingKey::from_secret(secret.as_bytes())).expect("a token")
}

#[tokio::test]
async fn signed_tokens_make_their_bearers_the_tasks_owners() {
    let hello = component("hello.wasm");
    let server = Server::start(&format!(
        "auth:\n  schemes:\n    token: {{type: jwt, secret: '{SECRET}', algorithms: [HS256], issuer: https://idp, audience: sandpool}}\n  \
         default: token\nroutes:\n  - {{method: PUT, path: /a, component: {hello}, access: {{scopes: [tasks]}}}}\n"
    ))
    .await;
    let now = chrono::Utc::now().timestamp();
    let claims = |extra: Value| {
        let mut claims =
            json!({"sub": "ada", "iss": "https://idp", "aud": "sandpool", "exp": now + 600, "scope": "x tasks"});
        let object = claims.as_object_mut().expect("an object");
        object.extend(extra.as_object().expect("an object").clone());
        claims
    };
    let good = token(&claims(json!({})), SECRET);
    let with = |method: &str, path: &str, token: &str| server.request(method, path).bearer_auth(token);
    let made = server.send(202, with("PUT", "/a", &good)).await;
    assert_eq!(made.text("User"), "ada");
    let own = format!("/tasks/{}", made.id());
    server.send(200, with("GET", &own, &good)).await;
    server.send(404, with("GET", &own, &token(&claims(json!({"sub": "bob"})), SECRET))).await;
    server.send(403, with("PUT", "/a", &token(&claims(json!({"scope": "x"})), SECRET))).await;
    for (bad, why) in [
        (claims(json!({"exp": now - 600})), "expired"),
        (claims(json!({"nbf": now + 600})), "not yet valid"),
        (claims(json!({"iss": "https://other"})), "issuer"),
        (claims(json!({"aud": "other"})), "audience"),
    ] {
        let refused = server.send(401, with("PUT", "/a", &token(&bad, SECRET))).await;
        assert!(refused.header("www-authenticate").starts_with("Bearer"), "{why}: {refused:?}");
    }
    server.send(401, with("PUT", "/a", &token(&claims(json!({})), "another secret of thirty-two bytes!"))).await;
    let mut unsigned: Vec<&str> = good.split('.').collect();
    // {"alg":"none","typ":"JWT"}
    (unsigned[0], unsigned[2]) = ("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0", "");
    server.send(401, with("PUT", "/a", &unsigned.join("."))).await;
    assert!(!server.log().contains(&good) && !server.log().contains(SECRET), "no secret is logged");
}
