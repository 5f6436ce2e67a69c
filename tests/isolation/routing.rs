//! Attacks by routes: how many, how fast, what they are granted, and what their guests ask of other servers.

use super::world::{ACME, World, counted, is_used_up};
use serde_json::{Value, json};

/// That acme may have.
const ROUTES: usize = 20;

#[tokio::test]
async fn routes_cost_their_writer_alone() {
    let world = World::new(&format!("routes: {ROUTES}, submits_per_second: 100000")).await;
    let pid = world.server.pid();
    world.routes(201, ACME, "m", json!({"grants": {}})).await;
    world.under("a million routes", many(&world)).await;
    world.under("one route, replaced as fast as it goes", replaced(&world)).await;
    world.under("grants of the host's own", granted(&world)).await;
    world.under("requests to this machine and its network", asked(&world)).await;
    world.judge(pid).await;
}

fn route(path: &str) -> Value {
    json!({"method": "PUT", "path": path, "plugin": "bad"})
}

/// Until they are refused, and then more of them; all are taken away again.
async fn many(world: &World) -> String {
    let (mut got, mut taken, mut refused) = (Vec::new(), Vec::new(), 0);
    while refused < 10 && taken.len() < 2 * ROUTES {
        let number = got.len();
        let path = format!("/-/routes/r{number}");
        let answer = world.ask(ACME, "PUT", &path, route(&format!("/acme/{number}"))).await;
        let is_quota = is_used_up(&answer);
        match answer.status {
            201 => taken.push(path),
            422 | 429 if is_quota => refused += 1,
            429 => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            _ => panic!("{answer:?}"),
        }
        got.push(format!("{}{}", answer.status, if is_quota { " by quota" } else { "" }));
    }
    assert_eq!(taken.len(), ROUTES - 1, "one is there already");
    for path in &taken {
        assert_eq!(world.changes(ACME, "DELETE", path, Value::Null).await.status, 204);
    }
    counted(got)
}

async fn replaced(world: &World) -> String {
    let one = |number: usize| async move {
        let mut statuses = Vec::new();
        while world.goes_on() || statuses.is_empty() {
            let path = format!("/acme/{number}/{}", statuses.len());
            let answer = world.ask(ACME, "PUT", &format!("/-/routes/replaced{number}"), route(&path)).await;
            statuses.push(answer.status);
        }
        statuses
    };
    let statuses: Vec<u16> = futures_util::future::join_all((0..4).map(one)).await.concat();
    assert!(statuses.iter().all(|status| [200, 201, 429].contains(status)), "{statuses:?}");
    for number in 0..4 {
        let status = world.changes(ACME, "DELETE", &format!("/-/routes/replaced{number}"), Value::Null).await.status;
        assert!([204, 404].contains(&status), "{status}");
    }
    counted(statuses.iter().map(u16::to_string))
}

async fn granted(world: &World) -> String {
    let mut statuses = Vec::new();
    while world.goes_on() || statuses.is_empty() {
        for more in [
            json!({"grants": {"directories": [{"path": "/tmp", "mode": "write"}]}}),
            json!({"grants": {"directories": [{"path": "/", "mode": "read"}]}}),
            json!({"grants": {"env": ["HOME"]}}),
            json!({"grants": {"http": ["127.0.0.1:*"]}}),
            json!({"grants": {"http": ["example.com"]}}),
            json!({"using": ["hosts"]}),
            json!({"component": "/etc/passwd"}),
            json!({"memory": "4GiB"}),
            json!({"auth": "nobody"}),
        ] {
            let mut wanted = route("/acme/granted");
            more.as_object().expect("keys").iter().for_each(|(key, value)| wanted[key] = value.clone());
            let answer = world.changes(ACME, "PUT", "/-/routes/granted", wanted).await;
            assert_eq!(answer.status, 422, "{more}: {answer:?}");
            statuses.push(answer.status.to_string());
        }
    }
    counted(statuses)
}

async fn asked(world: &World) -> String {
    let own = world.server.base.strip_prefix("http://").expect("plain HTTP").to_owned();
    let mut errors = Vec::new();
    while world.goes_on() || errors.is_empty() {
        for authority in
            [own.as_str(), "127.0.0.1:22", "[::1]:80", "localhost:80", "169.254.169.254", "10.0.0.1", "0.0.0.0:80"]
        {
            let ended = world.runs(ACME, "/acme/m", json!({"mode": "requests", "authority": authority})).await;
            let got = ended.body["Result"][0]["error"].as_str().unwrap_or("no error").to_owned();
            assert!(got.contains("Denied"), "{authority}: {ended:?}");
            errors.push(got);
        }
    }
    counted(errors)
}
