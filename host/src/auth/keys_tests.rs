//! Owns the tests of where keys come from: rotation, outages, hostile key servers. Must not know what tokens may say.

use super::jwt_tests::{NOW, RSA, RSA_2, ask, asymmetric, claims, key_set, public, settings, signed};
use super::tests::Manual;
use super::*;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server on this machine that answers what it is told, by path.
struct Server {
    base: String,
    answers: Mutex<HashMap<String, (StatusCode, String)>>,
    asked: AtomicUsize,
}

async fn answer(State(server): State<Arc<Server>>, uri: Uri) -> Response {
    server.asked.fetch_add(1, Ordering::SeqCst);
    let found = server.answers.lock().expect("whole").get(uri.path()).cloned();
    match found {
        Some((status, target)) if status.is_redirection() => (status, [(header::LOCATION, target)]).into_response(),
        Some(found) => found.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Server {
    async fn start() -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Arc::new(Self { base, answers: Mutex::default(), asked: AtomicUsize::new(0) });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&server));
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn set(&self, path: &str, status: u16, body: impl Into<String>) {
        let status = StatusCode::from_u16(status).expect("a status");
        self.answers.lock().expect("whole").insert(path.into(), (status, body.into()));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn url(&self, path: &str) -> KeyUrl {
        KeyUrl::parse(&format!("{}{path}", self.base)).expect("a URL")
    }
}

fn with(keys: KeySource) -> (Authenticator, Arc<Manual>) {
    let clock = Arc::new(Manual::default());
    clock.set(NOW);
    let settings = settings(keys, &asymmetric());
    (Authenticator::new(settings, Arc::clone(&clock) as Arc<dyn Clock>, &Metrics::default()).expect("random"), clock)
}

fn of_first() -> String {
    key_set(&[public(Some("first"), Algorithm::RS256, RSA)])
}

fn first() -> String {
    signed(Some("first"), Algorithm::RS256, RSA, &claims())
}

fn second() -> String {
    signed(Some("second"), Algorithm::RS256, RSA_2, &claims())
}

fn kind(answer: Result<Principal, Refusal>) -> Option<RefusalKind> {
    answer.err().map(|refusal| refusal.kind)
}

#[tokio::test]
async fn an_unknown_key_is_looked_for_once_in_a_while() {
    let server = Server::start().await;
    server.set("/keys", 200, of_first());
    let (authenticator, clock) = with(KeySource::Url(server.url("/keys")));
    assert_eq!(server.asked(), 0);
    ask(&authenticator, &first()).await.expect("in");
    assert_eq!(server.asked(), 1, "the first token fetches the keys");
    let unknown = second();
    for _ in 0..10 {
        assert_eq!(kind(ask(&authenticator, &unknown).await), Some(RefusalKind::Unauthenticated));
    }
    assert_eq!(server.asked(), 1, "they were fetched just now");
    clock.set(NOW + 31);
    let many = futures_util::future::join_all((0..50).map(|_| ask(&authenticator, &unknown))).await;
    assert!(many.into_iter().all(|answer| kind(answer) == Some(RefusalKind::Unauthenticated)));
    assert_eq!(server.asked(), 2, "one fetch for all of them");
    ask(&authenticator, &first()).await.expect("known keys do not wait");
}

#[tokio::test]
async fn requests_that_go_away_cause_no_flood_of_fetches() {
    let server = Server::start().await;
    server.set("/keys", 200, of_first());
    let (authenticator, clock) = with(KeySource::Url(server.url("/keys")));
    for _ in 0..20 {
        let _ = tokio::time::timeout(Duration::ZERO, ask(&authenticator, &first())).await;
    }
    assert_eq!(kind(ask(&authenticator, &first()).await), Some(RefusalKind::Unavailable));
    assert!(server.asked() <= 1);
    clock.set(NOW + 6);
    ask(&authenticator, &first()).await.expect("in");
}

#[tokio::test]
async fn keys_rotate() {
    let server = Server::start().await;
    server.set("/keys", 200, of_first());
    let (authenticator, clock) = with(KeySource::Url(server.url("/keys")));
    ask(&authenticator, &first()).await.expect("in");
    let keys = [public(Some("first"), Algorithm::RS256, RSA), public(Some("second"), Algorithm::RS256, RSA_2)];
    server.set("/keys", 200, key_set(&keys));
    clock.set(NOW + 31);
    ask(&authenticator, &second()).await.expect("the new key is found");
    ask(&authenticator, &first()).await.expect("the old one is still there");
    server.set("/keys", 200, key_set(&keys[1..]));
    authenticator.refresh_once().await;
    ask(&authenticator, &first()).await.expect("it is not time yet");
    clock.set(NOW + 31 + 300);
    authenticator.refresh_once().await;
    let mut late = claims();
    late["exp"] = (NOW + 9999).into();
    let withdrawn = signed(Some("first"), Algorithm::RS256, RSA, &late);
    assert_eq!(kind(ask(&authenticator, &withdrawn).await), Some(RefusalKind::Unauthenticated));
    let valid = signed(Some("second"), Algorithm::RS256, RSA_2, &late);
    ask(&authenticator, &valid).await.expect("in");
}

#[tokio::test]
async fn a_remembered_token_is_worth_no_more_than_its_key() {
    let server = Server::start().await;
    server.set("/keys", 200, of_first());
    let (authenticator, clock) = with(KeySource::Url(server.url("/keys")));
    let mut late = claims();
    late["exp"] = (NOW + 9999).into();
    let token = signed(None, Algorithm::RS256, RSA, &late);
    ask(&authenticator, &token).await.expect("in");
    server.set("/keys", 200, key_set(&[public(Some("first"), Algorithm::RS256, RSA_2)]));
    clock.set(NOW + 301);
    authenticator.refresh_once().await;
    assert_eq!(kind(ask(&authenticator, &token).await), Some(RefusalKind::Unauthenticated));
}

#[tokio::test]
async fn an_outage_keeps_the_known_keys() {
    let server = Server::start().await;
    server.set("/keys", 200, of_first());
    let (authenticator, clock) = with(KeySource::Url(server.url("/keys")));
    ask(&authenticator, &first()).await.expect("in");
    for (minutes, (status, body)) in
        [(500, "down"), (200, "<html>"), (200, "{\"keys\": []}"), (404, "")].into_iter().enumerate()
    {
        server.set("/keys", status, body);
        let now = NOW + 301 * (1 + i64::try_from(minutes).expect("few"));
        clock.set(now);
        let asked = server.asked();
        authenticator.refresh_once().await;
        assert_eq!(server.asked(), asked + 1);
        let mut late = claims();
        late["exp"] = (now + 60).into();
        ask(&authenticator, &signed(Some("first"), Algorithm::RS256, RSA, &late)).await.expect("known");
    }
    let renewed = authenticator.renewed(authenticator.settings().clone()).expect("random");
    let mut late = claims();
    late["exp"] = (NOW + 9999).into();
    ask(&renewed, &signed(Some("first"), Algorithm::RS256, RSA, &late)).await.expect("new settings keep them too");
}

#[tokio::test]
async fn a_start_without_keys_is_no_end() {
    let server = Server::start().await;
    let (authenticator, clock) = with(KeySource::Url(server.url("/keys")));
    authenticator.refresh_once().await;
    let refusal = ask(&authenticator, &first()).await.expect_err("no keys");
    assert_eq!(
        (refusal.kind, refusal.challenges),
        (RefusalKind::Unavailable, vec!["Bearer realm=\"sandpool\"".into()])
    );
    assert_eq!(server.asked(), 1);
    server.set("/keys", 200, of_first());
    assert_eq!(kind(ask(&authenticator, &first()).await), Some(RefusalKind::Unavailable), "a pause after a failure");
    clock.set(NOW + 6);
    ask(&authenticator, &first()).await.expect("in");
    assert_eq!(kind(ask(&authenticator, "x").await), Some(RefusalKind::Unauthenticated));
}

#[tokio::test]
async fn an_issuer_tells_where_its_keys_are() {
    let server = Server::start().await;
    let described = |issuer: &str, keys: &str| format!(r#"{{"issuer": "{issuer}", "jwks_uri": "{keys}"}}"#);
    let path = "/realm/.well-known/openid-configuration";
    server.set("/keys", 200, of_first());
    let keys = format!("{}/keys", server.base);
    for (text, is_good) in [
        (described("https://issuer.example", &keys), true),
        (described("https://issuer.example/", &keys), false),
        (described("https://issuer.example", "file:///etc/passwd"), false),
        (described("https://issuer.example", "http://198.51.100.1/keys"), false),
        ("{}".into(), false),
    ] {
        server.set(path, 200, text.as_str());
        let (authenticator, _) = with(KeySource::Discovery(server.url("/realm/")));
        assert_eq!(ask(&authenticator, &first()).await.is_ok(), is_good, "{text}");
    }
}

#[tokio::test]
async fn a_key_server_is_not_trusted_with_more_than_keys() {
    let server = Server::start().await;
    let elsewhere = Server::start().await;
    elsewhere.set("/keys", 200, of_first());
    server.set("/keys", 200, of_first());
    server.set("/here", 302, "/keys");
    server.set("/there", 302, format!("{}/keys", elsewhere.base));
    server.set("/round", 302, "/round");
    server.set("/long", 200, of_first() + &" ".repeat(1 << 20));
    for (path, is_good) in [("/keys", true), ("/here", true), ("/there", false), ("/round", false), ("/long", false)] {
        let (authenticator, _) = with(KeySource::Url(server.url(path)));
        let answer = ask(&authenticator, &first()).await;
        assert_eq!(kind(answer), (!is_good).then_some(RefusalKind::Unavailable), "{path}");
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[tokio::test]
async fn a_key_file_is_read_again() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), of_first()).expect("written");
    let (authenticator, clock) = with(KeySource::File(file.path().into()));
    authenticator.refresh_once().await;
    ask(&authenticator, &first()).await.expect("in");
    std::fs::write(file.path(), key_set(&[public(Some("second"), Algorithm::RS256, RSA_2)])).expect("written");
    clock.set(NOW + 6);
    authenticator.refresh_once().await;
    ask(&authenticator, &second()).await.expect("in");
    assert_eq!(kind(ask(&authenticator, &first()).await), Some(RefusalKind::Unauthenticated));
    std::fs::remove_file(file.path()).expect("removed");
    clock.set(NOW + 12);
    authenticator.refresh_once().await;
    ask(&authenticator, &second()).await.expect("known keys stay");
}

#[tokio::test]
async fn a_clock_that_was_set_back_ends_nothing() {
    let server = Server::start().await;
    let (authenticator, clock) = with(KeySource::Url(server.url("/keys")));
    authenticator.refresh_once().await;
    server.set("/keys", 200, of_first());
    clock.set(NOW - 10);
    ask(&authenticator, &first()).await.expect("in");
}
