//! Tests of the guard: every notation of what must not be called.

use super::*;

fn refusal(guard: &Guard, url: &str) -> Option<String> {
    // What is no URL is refused before the guard sees it.
    let Ok(url) = Url::parse(url) else { return Some("no URL".into()) };
    guard.check(&url).err().map(|refusal| refusal.0)
}

/// Every notation of addresses and names that must not be called, one a line; the black-box tests submit them too.
const FORBIDDEN: &str = include_str!("../../../tests/forbidden_urls.txt");

/// Refused for other reasons than their address.
const UNFIT: [&str; 16] = [
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "unix:/run/docker.sock",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://example.com:22/",
    "http://example.com:25/",
    "http://example.com:1/",
    "https://example.com:6000/",
    "http://example.com:6667/",
    "http://example.com:10080/",
    "http://8.8.8.8:53/",
    "http://[2606:4700::1111]:23/",
    "http://[fe80::1%25eth0]/",
];

const ALLOWED: [&str; 11] = [
    "http://example.com/",
    "https://example.com/hook?x=1",
    "https://example.com:8443/",
    "http://8.8.8.8/",
    "http://134744072/",
    "http://172.32.0.1/",
    "http://192.0.1.1/",
    "https://[2606:4700:4700::1111]/",
    "http://[64:ff9b::8.8.8.8]/",
    "http://100.128.0.1:3000/",
    "http://localhost.example.com/",
];

#[test]
fn every_notation_of_a_forbidden_target_is_refused() {
    let guard = Guard::default();
    assert!(FORBIDDEN.lines().count() >= 60);
    for url in FORBIDDEN.lines().chain(UNFIT) {
        assert!(refusal(&guard, url).is_some(), "{url}");
    }
    for url in ALLOWED {
        assert_eq!(refusal(&guard, url), None, "{url}");
    }
}

#[test]
fn refusals_say_why() {
    let guard = Guard::default();
    let cases = [
        ("http://0x7f.1/", "127.0.0.1 is a loopback address"),
        ("http://[::1]/", "::1 is a loopback address"),
        ("http://169.254.169.254/", "169.254.169.254 is a link-local address"),
        ("http://a.localhost/", "`a.localhost` is this machine"),
        ("http://example.com:25/", "port 25 is none of web servers"),
    ];
    for (url, words) in cases {
        assert_eq!(refusal(&guard, url).as_deref(), Some(words));
    }
}

fn guard(entries: &[&str]) -> Guard {
    Guard::new(entries.iter().map(|entry| Allow::parse(entry).expect(entry)).collect())
}

#[test]
fn the_allow_list_exempts_what_it_names() {
    let cases: [(&[&str], &str, bool); 22] = [
        (&["127.0.0.0/8"], "http://127.0.0.1/", true),
        (&["127.0.0.0/8"], "http://0x7f.1:9000/", true),
        (&["127.0.0.0/8"], "http://127.0.0.1:22/", false),
        (&["127.0.0.0/8"], "http://[::1]/", false),
        (&["127.0.0.0/8"], "http://[::ffff:127.0.0.1]/", false),
        (&["127.0.0.0/8"], "http://localhost/", false),
        (&["127.0.0.1:22"], "http://127.0.0.1:22/", true),
        (&["127.0.0.1:9000"], "http://127.0.0.1:9000/", true),
        (&["127.0.0.1:9000"], "http://127.0.0.1:9001/", false),
        (&["127.0.0.1:9000"], "http://127.0.0.2:9000/", false),
        (&["[::1]:9000"], "http://[::1]:9000/", true),
        (&["::1"], "http://[::1]:9000/", true),
        (&["fc00::/7"], "http://[fd00::9]/", true),
        (&["[fc00::/7]:25"], "http://[fd00::9]:25/", true),
        (&["10.1.2.3/8"], "http://10.9.9.9/", true),
        (&["localhost"], "http://LOCALHOST./", true),
        (&["localhost:9000"], "http://localhost/", false),
        (&["localhost:9000"], "http://localhost:9000/", true),
        (&["hooks.internal:25"], "http://hooks.internal:25/", true),
        (&["hooks.internal:25"], "http://other.internal:25/", false),
        (&["10.0.0.0/8:25"], "http://other.internal:25/", true),
        (&["hooks.internal"], "http://hooks.internal:25/", false),
    ];
    for (entries, url, allowed) in cases {
        assert_eq!(refusal(&guard(entries), url).is_none(), allowed, "{entries:?} {url}");
    }
}

#[test]
fn what_a_name_leads_to_is_judged_by_name_and_address() {
    let inner = "10.0.0.1".parse().expect("an address");
    let outer = "8.8.8.8".parse().expect("an address");
    let admits = |entries: &[&str], address, port| guard(entries).admits("Hooks.internal.", address, port).is_ok();
    assert!(admits(&[], outer, None) && !admits(&[], inner, None));
    assert!(admits(&["hooks.internal"], inner, None) && !admits(&["other.internal"], inner, None));
    assert!(admits(&["10.0.0.0/24"], inner, None) && !admits(&["10.0.1.0/24"], inner, None));
    assert!(!admits(&["hooks.internal:25"], inner, None) && admits(&["hooks.internal:25"], inner, Some(25)));
    assert!(!admits(&["10.0.0.0/8:25"], outer, Some(25)), "a port that was named for other addresses");
}

#[test]
fn entries_that_mean_nothing_are_refused() {
    for text in [
        "",
        "*",
        "*.example.com",
        "http://example.com",
        "10.0.0.0/33",
        "a b",
        "example.com:0",
        "x:70000",
        "10.0.0.0/8/9",
    ] {
        assert!(Allow::parse(text).is_err(), "{text}");
    }
}
