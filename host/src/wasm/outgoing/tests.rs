//! Tests of guests' requests against a name server that means no good.

use super::*;
use crate::guard::Lookup;
use crate::route::grants::HttpGrant;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_url_names_one_host() {
    let named = |url: &str, is_tls| {
        let uri: Uri = url.parse().ok()?;
        target(&uri, is_tls).ok().map(|(host, port)| format!("{host} {port}"))
    };
    assert_eq!(named("http://Example.com/", false).as_deref(), Some("example.com 80"));
    assert_eq!(named("https://example.com/", true).as_deref(), Some("example.com 443"));
    assert_eq!(named("http://0x7f.1:81/", false).as_deref(), Some("127.0.0.1 81"));
    assert_eq!(named("http://[::1]:81/", false).as_deref(), Some("[::1] 81"));
    for odd in [
        "http://granted@evil.test/",
        "http://granted:80@evil.test:80/",
        "http://a.test:/",
        "http://a.test:99999/",
        "http://a_b%00.test/",
    ] {
        assert_eq!(named(odd, false), None, "{odd}");
    }
}

#[test]
fn a_guest_can_only_shorten_its_times() {
    let second = Duration::from_secs(1);
    let asked = |time| RequestOptions {
        connect_timeout: Some(time),
        first_byte_timeout: Some(time),
        between_bytes_timeout: Some(time),
    };
    let all = |times: Times| [times.connect, times.first_byte, times.between_bytes];
    let own = all(TIMES);
    assert_eq!(all(TIMES.shortened(None)), own);
    assert_eq!(all(TIMES.shortened(Some(&asked(second)))), [second; 3]);
    assert_eq!(all(TIMES.shortened(Some(&asked(Duration::MAX)))), own);
}

/// A server on loopback that answers each request alike and counts them; and its port.
fn server() -> (Arc<AtomicUsize>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream.read(&mut [0; 4096]));
            drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
        }
    });
    (asked, port)
}

/// What the name server says, call by call.
fn lookup(answers: &'static [&'static [&'static str]]) -> Lookup {
    let calls = Mutex::new(answers.iter().cycle());
    Arc::new(move |_| {
        let mut calls = calls.lock().expect("no panic");
        let addresses = calls.next().into_iter().copied().flatten();
        Ok(addresses.map(|address| address.parse::<IpAddr>().expect("an address")).collect())
    })
}

fn hooks(grants: &[String], lookup: Lookup) -> Hooks {
    let http = grants.iter().map(|entry| HttpGrant::parse(entry).expect(entry)).collect();
    Hooks {
        grants: Arc::new(Grants { http, ..Grants::default() }),
        sender: Arc::new(Sender::new(lookup)),
        places: Arc::new(Semaphore::new(REQUESTS)),
        attempt: Some(Attempt { parent: None }),
    }
}

fn get(url: &str) -> Request<WasiBody> {
    let body = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
    Request::get(url).body(body).expect("a request")
}

async fn ask(hooks: &mut Hooks, url: &str) -> Result<u16, String> {
    let answering = hooks.send_request(get(url), None, Box::new(async { Ok(()) }));
    let answered = Box::into_pin(answering).await;
    answered.map(|(response, _)| response.status().as_u16()).map_err(|error| format!("{error:?}"))
}

#[tokio::test]
async fn a_name_is_judged_by_each_address_each_time() {
    let (asked, port) = server();
    let url = format!("http://inner.test:{port}/");
    let (name, address) = (format!("inner.test:{port}"), format!("127.0.0.1:{port}"));
    let prohibited = Err("DestinationIpProhibited".to_owned());
    for inner in [["127.0.0.1"].as_slice(), &["10.0.0.1", "::1"], &["::ffff:127.0.0.1"], &["169.254.169.254"]] {
        let answers: &'static [&'static [&'static str]] = Box::leak(Box::new([Vec::leak(inner.to_vec()) as &[_]]));
        let mut by_name = hooks(std::slice::from_ref(&name), lookup(answers));
        assert_eq!(ask(&mut by_name, &url).await, prohibited, "{inner:?}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    // One that changes gets in only while it leads to what is named.
    let mut rebinding = hooks(&[name.clone(), address.clone()], lookup(&[&["127.0.0.1"], &["127.0.0.2"]]));
    for expected in [Ok(204), prohibited.clone(), Ok(204), prohibited] {
        assert_eq!(ask(&mut rebinding, &url).await, expected);
    }
    // Of several addresses those that are not admitted are left out, and the next one is tried.
    let mut mixed =
        hooks(&[name, address, format!("127.0.0.3:{port}")], lookup(&[&["10.0.0.1", "127.0.0.3", "127.0.0.1"]]));
    assert_eq!(ask(&mut mixed, &url).await, Ok(204));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn nobody_is_looked_up_who_is_not_granted() {
    let never: Lookup = Arc::new(|name| panic!("{name} was looked up"));
    let mut hooks = hooks(&["granted.test:8080".into()], never);
    for url in ["http://other.test:8080/", "http://granted.test/", "http://x.granted.test:8080/"] {
        assert_eq!(ask(&mut hooks, url).await, Err("HttpRequestDenied".into()), "{url}");
    }
}

#[tokio::test]
async fn an_instance_without_a_task_asks_nobody() {
    let (asked, port) = server();
    let mut hooks = hooks(&[format!("127.0.0.1:{port}")], lookup(&[&[]]));
    let url = format!("http://127.0.0.1:{port}/");
    let attempt = hooks.attempt.take();
    assert_eq!(ask(&mut hooks, &url).await, Err("HttpRequestDenied".into()));
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    hooks.attempt = attempt;
    assert_eq!(ask(&mut hooks, &url).await, Ok(204));
}
