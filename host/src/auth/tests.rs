//! Owns the tests of users, API keys and combinations. Must not know how tokens are signed: `jwt_tests` does.

use super::*;
use crate::clock::{SystemClock, Timestamp};
use base64::engine::general_purpose::STANDARD;
use base64::prelude::*;
use http::{HeaderMap, HeaderValue};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

/// A clock that is set by hand.
#[derive(Default)]
pub struct Manual(AtomicI64);

impl Manual {
    /// The time in seconds since 1970.
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// Header fields.
pub fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).expect("a value"));
    }
    headers
}

/// `Authorization` with these words for Basic.
fn login(words: &str) -> String {
    format!("Basic {}", STANDARD.encode(words))
}

fn pickle() -> PasswordHash {
    static PICKLE: OnceLock<PasswordHash> = OnceLock::new();
    PICKLE.get_or_init(|| PasswordHash::of(b"pickle").expect("hashed")).clone()
}

fn user(id: &str, name: &str, key: &str, groups: &[&str]) -> User {
    let groups = groups.iter().map(|&group| group.to_owned()).collect();
    User {
        principal: Principal { id: id.into(), groups, ..Principal::default() },
        name: name.into(),
        password: Some(pickle()),
        api_keys: vec![KeyHash::of(key.as_bytes())],
    }
}

fn settings() -> Settings {
    let mut robot = user("R0B0T", "robot", "robot-api-key", &[]);
    robot.password = None;
    let named = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<Arc<str>>>();
    let schemes = [
        ("login", Scheme::Basic),
        ("key", Scheme::ApiKey(KeyPlace::Header("X-API-KEY".into()))),
        ("asked", Scheme::ApiKey(KeyPlace::Query("api_key".into()))),
        ("cookie", Scheme::ApiKey(KeyPlace::Cookie("key".into()))),
        ("both", Scheme::All(named(&["key", "login"]))),
        ("either", Scheme::Any(named(&["key", "login"]))),
        ("nested", Scheme::Any(named(&["cookie", "both"]))),
        ("loop", Scheme::Any(named(&["loop"]))),
        ("missing", Scheme::All(named(&["nowhere"]))),
        ("nothing", Scheme::All(Vec::new())),
    ];
    Settings {
        users: vec![
            user("M0R7Y302", "morty", "test-api-key", &["Software", "Platform"]),
            user("MINDY021", "mindy", "test2-api-key", &["Support", "Software"]),
            robot,
        ],
        schemes: schemes.into_iter().map(|(name, scheme)| (name.into(), scheme)).collect(),
        default: None,
    }
}

fn authenticator() -> Authenticator {
    Authenticator::new(settings(), Arc::new(SystemClock), &Metrics::default()).expect("random")
}

async fn ask(
    authenticator: &Authenticator,
    scheme: &str,
    fields: &[(&'static str, &str)],
) -> Result<Principal, Refusal> {
    authenticator.authenticate(scheme, &Presented { headers: &headers(fields), query: &[] }).await
}

#[tokio::test]
async fn basic_knows_users_by_name_and_password() {
    let authenticator = authenticator();
    let basic = |words: &str| login(words);
    let morty = ask(&authenticator, "login", &[("authorization", &basic("morty:pickle"))]).await.expect("in");
    assert_eq!((morty.id.as_str(), morty.groups), ("M0R7Y302", vec!["Software".to_owned(), "Platform".to_owned()]));
    let challenges = ["Basic realm=\"sandpool\", charset=\"UTF-8\""];
    let mut told = Vec::new();
    for words in ["morty:wrong", "Morty:pickle", "unknown:pickle", "robot:pickle", "robot:", ":", "morty:pickle\0"] {
        let refusal = ask(&authenticator, "login", &[("authorization", &basic(words))]).await.expect_err(words);
        assert_eq!(
            (refusal.kind, refusal.challenges.as_slice()),
            (RefusalKind::Unauthenticated, &challenges.map(str::to_owned)[..])
        );
        told.push(refusal);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "all of them look the same: {told:?}");
}

#[tokio::test]
async fn unknown_users_cost_as_much_as_wrong_passwords() {
    let authenticator = authenticator();
    for (computed, words) in [(1, "morty:wrong"), (2, "unknown:wrong"), (3, "robot:wrong"), (4, "unknown:pickle")] {
        ask(&authenticator, "login", &[("authorization", &login(words))]).await.expect_err(words);
        assert_eq!(authenticator.computed().0, computed, "{words}");
    }
    for _ in 0..3 {
        ask(&authenticator, "login", &[("authorization", &login("morty:pickle"))]).await.expect("in");
    }
    assert_eq!(authenticator.computed().0, 5, "a right one once");
}

#[tokio::test]
async fn changed_settings_are_in_force_at_once() {
    let old = authenticator();
    let fields = [("authorization", &*login("morty:pickle"))];
    ask(&old, "login", &fields).await.expect("in");
    let same = old.renewed(settings()).expect("random");
    ask(&same, "login", &fields).await.expect("in");
    assert_eq!(same.computed().0, 1, "what was checked stays checked");
    let mut changed = settings();
    changed.users.first_mut().expect("morty").password = Some(PasswordHash::of(b"other").expect("hashed"));
    changed.users.first_mut().expect("morty").api_keys.clear();
    let changed = old.renewed(changed).expect("random");
    ask(&changed, "login", &fields).await.expect_err("the old password");
    ask(&changed, "key", &[("x-api-key", "test-api-key")]).await.expect_err("the old key");
    ask(&changed, "login", &[("authorization", &login("morty:other"))]).await.expect("the new password");
}

#[tokio::test]
async fn api_keys_are_looked_for_in_their_place_only() {
    let authenticator = authenticator();
    let id = |found: Result<Principal, Refusal>| found.map(|principal| principal.id).map_err(|refusal| refusal.reason);
    assert_eq!(id(ask(&authenticator, "key", &[("x-api-key", "test-api-key")]).await), Ok("M0R7Y302".into()));
    assert_eq!(id(ask(&authenticator, "key", &[("x-api-key", "robot-api-key")]).await), Ok("R0B0T".into()));
    assert_eq!(id(ask(&authenticator, "cookie", &[("cookie", "a=b; key=test2-api-key")]).await), Ok("MINDY021".into()));
    let pairs = [("api_key".to_owned(), "test-api-key".to_owned())];
    let none = HeaderMap::new();
    let asked = authenticator.authenticate("asked", &Presented { headers: &none, query: &pairs }).await;
    assert_eq!(id(asked), Ok("M0R7Y302".into()));
    let stored = KeyHash::of(b"test-api-key").show();
    let wrong: [&[(&'static str, &str)]; 6] = [
        &[],
        &[("x-api-key", "")],
        &[("x-api-key", "test-api-key2")],
        &[("x-api-key", &stored)],
        &[("cookie", "x-api-key=test-api-key")],
        &[("x-api-key", "test-api-key"), ("x-api-key", "test-api-key")],
    ];
    for fields in wrong {
        let refusal = ask(&authenticator, "key", fields).await.expect_err("refused");
        assert_eq!(refusal.challenges, ["ApiKey realm=\"sandpool\", in=\"header\", name=\"X-API-KEY\""], "{fields:?}");
    }
}

#[tokio::test]
async fn all_means_the_same_user_by_each() {
    let authenticator = authenticator();
    let (morty, mindy, key) = (login("morty:pickle"), login("mindy:pickle"), ("x-api-key", "test-api-key"));
    let found = ask(&authenticator, "both", &[key, ("authorization", &morty)]).await.expect("in");
    assert_eq!((found.id.as_str(), found.groups.len()), ("M0R7Y302", 2), "groups stand there once");
    let both =
        ["ApiKey realm=\"sandpool\", in=\"header\", name=\"X-API-KEY\"", "Basic realm=\"sandpool\", charset=\"UTF-8\""];
    let before = authenticator.computed().0;
    for fields in
        [&[][..], &[("authorization", morty.as_str())], &[key], &[("x-api-key", "wrong"), ("authorization", "Basic x")]]
    {
        let refusal = ask(&authenticator, "both", fields).await.expect_err("refused");
        assert_eq!(refusal.challenges, both, "{fields:?}");
    }
    assert_eq!(authenticator.computed().0, before, "no password is checked for nothing");
    let refusal = ask(&authenticator, "both", &[key, ("authorization", &mindy)]).await.expect_err("two users");
    assert_eq!((refusal.reason.as_str(), refusal.challenges.len()), ("the schemes name different users", 2));
}

#[tokio::test]
async fn any_means_the_first_that_succeeds() {
    let authenticator = authenticator();
    let mindy = login("mindy:pickle");
    let by_key = ask(&authenticator, "either", &[("x-api-key", "test-api-key"), ("authorization", &mindy)]).await;
    assert_eq!(by_key.expect("in").id, "M0R7Y302");
    let by_login = ask(&authenticator, "either", &[("x-api-key", "wrong"), ("authorization", &mindy)]).await;
    assert_eq!(by_login.expect("in").id, "MINDY021");
    assert_eq!(ask(&authenticator, "either", &[]).await.expect_err("refused").challenges.len(), 2);
    let nested = [("x-api-key", "test-api-key"), ("authorization", &*login("morty:pickle"))];
    assert_eq!(ask(&authenticator, "nested", &nested).await.expect("in").id, "M0R7Y302");
    assert_eq!(ask(&authenticator, "nested", &[]).await.expect_err("refused").challenges.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_checked_lets_nobody_in() {
    let authenticator = authenticator();
    let fields = [("x-api-key", "test-api-key"), ("authorization", &*login("morty:pickle"))];
    for scheme in ["loop", "missing", "nothing", "unknown", ""] {
        let refusal = ask(&authenticator, scheme, &fields).await.expect_err(scheme);
        assert!(refusal.kind == RefusalKind::Unauthenticated && !refusal.challenges.is_empty(), "{scheme}");
    }
}

#[tokio::test]
async fn busy_and_unavailable_are_told_apart() {
    let refused = |kind| Refusal { kind, ..Refusal::unauthenticated("A", "r") };
    use RefusalKind::{Busy, Unauthenticated, Unavailable};
    for (kinds, united) in
        [([Unauthenticated, Busy], Busy), ([Busy, Unavailable], Busy), ([Unauthenticated, Unavailable], Unavailable)]
    {
        let refusal = Refusal::united(kinds.map(refused).into());
        assert_eq!((refusal.kind, refusal.challenges), (united, vec!["A".to_owned()]));
    }
}

#[test]
fn credentials_are_known_as_such() {
    let authenticator = authenticator();
    assert!(["Authorization", "cookie", "x-api-key"].into_iter().all(|name| authenticator.hides_header(name)));
    assert!(authenticator.hides_query("api_key"));
    assert!(!authenticator.hides_header("api_key") && !authenticator.hides_query("x-api-key"));
}

#[test]
fn nothing_secret_is_shown() {
    let mut settings = settings();
    let jwt = Jwt {
        keys: KeySource::Secret(Secret::new("a shared secret of many letters and digits")),
        algorithms: vec![Algorithm::HS256],
        issuer: None,
        audience: Vec::new(),
        claims: ClaimNames::default(),
    };
    settings.schemes.push(("token".into(), Scheme::Jwt(Box::new(jwt))));
    let authenticator = Authenticator::new(settings, Arc::new(SystemClock), &Metrics::default()).expect("random");
    let shown = format!("{authenticator:?} {:#?}", authenticator.settings());
    for secret in
        [pickle().show(), "argon2", "shared secret", &KeyHash::of(b"test-api-key").show().split_off(7), "test-api-key"]
    {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    assert!(shown.contains("M0R7Y302") && shown.contains("Secret(…)"));
}
