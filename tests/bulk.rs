//! Many tasks stopped or run again by one request, and what a host says of its pools and itself.

use crate::support::{Server, component, eventually};
use serde_json::{Value, json};

async fn server() -> Server {
    let (phases, hello) = (component("phases.wasm"), component("hello.wasm"));
    Server::start(&format!(
        "routes:\n  - {{name: slow, method: PUT, path: /slow, component: {phases}, pool: {{max: 2}}}}\n  \
         - {{name: kept, method: PUT, path: /kept, component: {phases}, cancellable: false}}\n  \
         - {{name: hello, method: PUT, path: /hello, component: {hello}}}\n"
    ))
    .await
}

fn of_route(name: &str) -> Value {
    json!({"Name": {"op": "EQ", "value": name}})
}

async fn act(server: &Server, action: &str, query: &Value) -> Value {
    server.send(200, server.request("POST", &format!("/-/tasks/{action}")).json(query)).await.body
}

#[tokio::test]
async fn all_that_a_query_finds_are_stopped() {
    let server = server().await;
    let endless = json!({"steps": 1000, "pause_ms": 1000});
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(server.put(202, "/slow", endless.clone()).await.id());
    }
    let kept = server.put(202, "/kept", endless).await.id();
    server.running(&kept).await;
    server.running(&ids[1]).await;
    let pools = server.get(200, "/-/pools").await;
    let slow = pools.body.as_array().expect("pools").iter().find(|pool| pool["Route"] == "slow").expect("the route");
    assert_eq!(
        (&slow["Max"], &slow["Used"], &slow["Waiting"], &slow["Running"]),
        (&json!(2), &json!(2), &json!(3), &json!(2))
    );
    let counted = act(&server, "stop?dry_run=true", &of_route("slow")).await;
    assert_eq!((&counted["Matched"], &counted["Done"], &counted["DryRun"]), (&json!(5), &json!(0), &json!(true)));
    assert_eq!(server.get(200, &format!("/tasks/{}", ids[0])).await.text("State"), "Running", "nothing was done");
    let stopped = act(&server, "stop", &json!({})).await;
    assert_eq!((&stopped["Matched"], &stopped["Done"], &stopped["More"]), (&json!(6), &json!(5), &json!(false)));
    assert_eq!(stopped["Refused"][0]["Id"], json!(kept));
    assert!(stopped["Refused"][0]["Reason"].as_str().expect("words").contains("cannot be cancelled"), "{stopped}");
    for id in ids {
        assert_eq!(server.get(200, &format!("/tasks/{id}")).await.text("State"), "Aborted");
    }
    let audit = server.get(200, "/-/audit").await;
    assert_eq!(audit.body[1]["Action"], "POST /-/tasks/stop?dry_run=true");
}

#[tokio::test]
async fn ended_tasks_run_again_as_new_ones() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        server.run("/hello", json!({"name": name})).await;
    }
    let again = act(&server, "rerun", &of_route("hello")).await;
    assert_eq!((&again["Matched"], &again["Done"]), (&json!(3), &json!(3)), "{again}");
    for pair in again["Tasks"].as_array().expect("tasks") {
        let (old, new) = (pair["Id"].as_str().expect("an id"), pair["NewId"].as_str().expect("an id"));
        let (old, new) = (server.ended(old).await, server.ended(new).await);
        assert_eq!(old.body["Result"]["input"], new.body["Result"]["input"]);
        assert_ne!(old.id(), new.id());
    }
    let found = server.send(200, server.request("POST", "/tasks/query").json(&of_route("hello"))).await;
    assert_eq!(found.body.as_array().map(Vec::len), Some(6));
}

#[tokio::test]
async fn a_faulty_request_does_nothing() {
    let server = server().await;
    let post = |path: &str| server.request("POST", path);
    server.send(400, post("/-/tasks/stop")).await;
    server.send(400, post("/-/tasks/stop").json(&json!({"Nonsense": {"op": "EQ", "value": 1}}))).await;
    server.send(400, post("/-/tasks/stop?dry_run=maybe").json(&json!({}))).await;
    server.send(404, post("/-/tasks/fly").json(&json!({}))).await;
    assert_eq!(server.send(405, server.request("GET", "/-/tasks/stop")).await.header("allow"), "POST");
}

#[tokio::test]
async fn a_host_tells_of_itself() {
    let server = server().await;
    let nodes = server.get(200, "/-/nodes").await;
    let node = &nodes.body[0];
    assert!(node["Name"].is_string() && node["StartingTime"].is_string(), "{node}");
    assert_eq!((&node["State"], &node["Version"]), (&json!("Ready"), &json!(env!("CARGO_PKG_VERSION"))));
    eventually("idle", || async { (server.get(200, "/-/pools").await.body[0]["Used"] == 0).then_some(()) }).await;
}
