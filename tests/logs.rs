//! A task's log: while it runs and after its end, from a line on, as text and in every format, for those who may read;
//! as large and as loud as the configuration says; and what of it goes to the server's own log.

use crate::support::{Server, component, eventually, ids};
use serde_json::{Value, json};

fn sleeper(arguments: &str) -> String {
    format!("{{method: PUT, path: /s, component: {}, arguments: {arguments}}}", component("sleeper.wasm"))
}

#[tokio::test]
async fn a_log_is_read_while_the_task_runs_and_after_its_end() {
    let server = Server::start(&format!("routes:\n  - {}\n", sleeper("{sleepTime2: 600, Message: m}"))).await;
    let id = server.put(202, "/s", Value::Null).await.id();
    let path = format!("/tasks/{id}/log");
    let lines = eventually("two lines of a running task", || async {
        let log = server.get(200, &path).await;
        (log.body.as_array().is_some_and(|lines| lines.len() >= 2)).then_some(log.body)
    })
    .await;
    assert_eq!((&lines[0]["seq"], &lines[1]["seq"]), (&json!(1), &json!(2)), "{lines}");
    assert!(lines[1]["message"].as_str().is_some_and(|text| text.contains('m')), "{lines}");
    let rest = server.get(200, &format!("{path}?after=1")).await.body;
    assert_eq!(rest, json!([lines[1]]));
    assert_eq!(server.get(200, &path).await.body, lines, "it still runs");
    server.delete(200, &format!("/tasks/{id}")).await;
    assert_eq!(server.get(200, &path).await.body, lines, "what was logged outlives the task");
    let text = server.send(200, server.request("GET", &path).header("Accept", "text/plain")).await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    let text = text.body.as_str().expect("a text").to_owned();
    let first =
        format!("{} info  {}\n", lines[0]["at"].as_str().unwrap_or(""), lines[0]["message"].as_str().unwrap_or(""));
    assert!(text.starts_with(&first), "{text}");
    server.get(404, "/tasks/nobody/log").await;
    server.get(400, &format!("{path}?after=x")).await;
    server.send(406, server.request("GET", &path).header("Accept", "image/png")).await;
    server.delete(405, &path).await;
}

#[tokio::test]
async fn a_log_is_for_those_who_may_read_the_task() {
    // SHA-256 of `secret` and `other`.
    let keys = [
        "sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
        "sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa",
    ];
    let server = Server::start(&format!(
        "auth:\n  users: [{{id: a, api_keys: ['{}']}}, {{id: b, api_keys: ['{}']}}]\n  \
         schemes: {{key: {{type: api_key, in: header, name: X-Key}}}}\n  default: key\nroutes:\n  - {}\n\
         task_routes:\n  - {{operation: get, path: /task, in: query, responses: [application/yaml, application/json]}}\n",
        keys[0],
        keys[1],
        sleeper("{sleepTime2: 0.01, Message: m}")
    ))
    .await;
    let with = |method: &str, path: &str, key: &str| server.request(method, path).header("X-Key", key);
    let id = server.send(202, with("PUT", "/s", "secret")).await;
    let id = id.id();
    let path = format!("/task/log?taskId={id}");
    let log = eventually("the log", || async {
        let log = server.send(200, with("GET", &path, "secret")).await;
        (log.header("content-type") == "application/yaml" && log.body.to_string().contains("seq: 1")).then_some(log)
    })
    .await;
    assert!(log.body.as_str().is_some_and(|text| text.starts_with("- seq: 1")), "{log:?}");
    server.send(404, with("GET", &path, "other")).await;
    server.get(401, &path).await;
}

/// A server with routes of the misbehaving guest, each with a path and its own `logs`.
async fn misbehaving(common: &str, routes: &[(&str, &str)]) -> Server {
    let mut text = format!("logs: {{{common}}}\nroutes:\n");
    for (path, logs) in routes {
        let m = component("misbehaving.wasm");
        text += &format!("  - {{method: PUT, path: {path}, name: {}, component: {m}, logs: {{{logs}}}}}\n", &path[1..]);
    }
    Server::start(&text).await
}

/// A guest's script, run to its end; the task's id.
async fn script(server: &Server, path: &str, calls: Value) -> String {
    let ended = server.run(path, json!({"mode": "script", "calls": calls})).await;
    assert_eq!(ended.text("State"), "Completed", "{ended:?}");
    ended.id()
}

/// A line at each level, and one on each standard stream.
fn all_levels() -> Value {
    json!([
        ["log", "trace", "a trace"],
        ["log", "debug", "a debug"],
        ["log", "info", "an info"],
        ["log", "warn", "a warn"],
        ["log", "error", "an error"],
        ["stdout", "printed\n"],
        ["stderr", "complained, without a line's end"]
    ])
}

async fn messages(server: &Server, id: &str) -> Vec<String> {
    let log = server.get(200, &format!("/tasks/{id}/log")).await.body;
    let lines = log.as_array().expect("a list").iter();
    lines.map(|line| line["message"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn a_log_is_as_large_as_its_route_says() {
    let own = "bytes: 1MiB, line: 1000";
    let server = misbehaving("bytes: 4KiB, line: 100", &[("/small", ""), ("/large", own)]).await;
    for (path, bytes, longest) in [("/small", 4 << 10, 100), ("/large", 1 << 20, 1000)] {
        let flood = json!({"mode": "flood-log", "count": 10_000, "bytes": 2000});
        let id = server.run(path, flood).await.id();
        let lines = messages(&server, &id).await;
        let (marker, kept) = lines.split_first().expect("lines");
        assert_eq!(*marker, format!("{} earlier lines were dropped", 10_000 - kept.len()));
        assert!(kept.iter().all(|line| line.len() == longest + '…'.len_utf8() && line.ends_with("x…")), "{kept:?}");
        assert!(kept.last().is_some_and(|line| line.starts_with("line 9999x")));
        let total: usize = kept.iter().map(String::len).sum();
        assert!(total <= bytes && total + longest > bytes / 2, "{path}: {total} bytes");
    }
}

#[tokio::test]
async fn lines_below_the_level_are_hidden() {
    let server = misbehaving("level: warn", &[("/warn", ""), ("/all", "level: trace")]).await;
    let id = script(&server, "/warn", all_levels()).await;
    assert_eq!(messages(&server, &id).await, ["a warn", "an error", "complained, without a line's end"]);
    let id = script(&server, "/all", all_levels()).await;
    assert_eq!(messages(&server, &id).await.len(), 7);
}

#[tokio::test]
async fn what_was_logged_and_printed_is_found_by_a_query() {
    let server = misbehaving("", &[("/m", "")]).await;
    let calls = json!([
        ["log", "info", "the needle in the log"],
        ["stdout", "the pin on stdout\n"],
        ["stderr", "the thorn on stderr\n"]
    ]);
    let ended = script(&server, "/m", calls.clone()).await;
    let mut waiting = calls.clone();
    waiting.as_array_mut().expect("a list").push(json!(["sleep-ms", 3_600_000]));
    let running = server.put(202, "/m", json!({"mode": "script", "calls": waiting})).await.id();
    script(&server, "/m", json!([["log", "info", "nothing of interest"]])).await;
    eventually("the running task's lines", || async { (messages(&server, &running).await.len() == 3).then_some(()) })
        .await;
    let mut both = vec![ended, running.clone()];
    both.sort();
    for word in ["needle in", "PIN", "th?rn on stderr"] {
        let query = json!({"Output": {"op": "LIKE", "value": word}});
        let found = server.send(200, server.request("POST", "/tasks/query").json(&query)).await;
        assert_eq!(ids(&found), both, "{word}");
    }
    server.delete(200, &format!("/tasks/{running}")).await;
}

/// The lines of guests in the server's own log.
fn forwarded(server: &Server) -> Vec<Value> {
    let log = server.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON lines"));
    lines.filter(|line| line["from"] == "guest" || line.get("left_out").is_some()).collect()
}

#[tokio::test]
async fn lines_that_matter_go_to_the_servers_own_log() {
    let routes = [("/default", ""), ("/all", "forward: trace"), ("/none", "forward: none"), ("/quiet", "level: error")];
    let server = misbehaving("", &routes).await;
    let levels = |path: &'static str| {
        let server = &server;
        async move {
            let id = script(server, path, all_levels()).await;
            let lines = forwarded(server).into_iter().filter(|line| line["task"] == json!(id));
            let lines = lines.inspect(|line| assert_eq!(line["route"], path[1..], "{line}"));
            lines.map(|line| format!("{} {}", line["level"], line["message"]).replace('"', "")).collect::<Vec<_>>()
        }
    };
    assert_eq!(levels("/default").await, ["WARN a warn", "ERROR an error", "WARN complained, without a line's end"]);
    let all = levels("/all").await;
    assert_eq!(all[..3], ["TRACE a trace", "DEBUG a debug", "INFO an info"], "{all:?}");
    assert_eq!((all.len(), all[5].as_str()), (7, "INFO printed"));
    assert_eq!(levels("/none").await, [""; 0]);
    assert_eq!(levels("/quiet").await, ["ERROR an error"], "what is hidden is not forwarded");
    let fields = json!([["log", "warn", "two\nlines \u{1b}[2J", {"order": "7\n", "no": "8"}]]);
    let id = script(&server, "/default", fields).await;
    let line = forwarded(&server).into_iter().find(|line| line["task"] == json!(id)).expect("a line");
    assert_eq!(line["message"], "two\n    lines \u{fffd}[2J");
    let fields: Value = serde_json::from_str(line["fields"].as_str().expect("a text")).expect("JSON");
    assert_eq!(fields, json!({"order": "7\u{fffd}", "no": "8"}));
}

#[tokio::test]
async fn a_flood_of_lines_does_not_flood_the_servers_log() {
    let server = misbehaving("forward: info", &[("/m", "")]).await;
    let id = server.run("/m", json!({"mode": "flood-log", "count": 100_000})).await.id();
    // The last word comes when nobody looks at the task any more.
    let lines = eventually("all lines, or a word about them", || async {
        let lines = forwarded(&server);
        let left_out: u64 = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum();
        let shown = lines.iter().filter(|line| line["from"] == "guest").count() as u64;
        (left_out + shown == 100_000).then_some(lines)
    })
    .await;
    assert!(lines.len() < 2000, "{} lines", lines.len());
    assert!(lines.iter().all(|line| line["task"] == json!(id)));
    let (shown, word) = (&lines[19], &lines[20]);
    assert_eq!((&shown["message"], &word["from"]), (&json!("line 19"), &Value::Null), "a burst, then a word");
}

#[tokio::test]
async fn a_guest_cannot_forge_a_line_on_a_terminal() {
    let routes = format!("routes:\n  - {{method: PUT, path: /m, component: {}}}\n", component("misbehaving.wasm"));
    let server = Server::start_on_terminal(&routes).await;
    let forged = "harmless\nERROR sandpool: the disk is full \u{1b}[2J\r\u{9b}2J";
    script(&server, "/m", json!([["log", "error", forged, {"a\nERROR": "b\nERROR"}]])).await;
    let shown = eventually("the line", || async {
        let shown = std::fs::read_to_string(server.path("terminal")).unwrap_or_default();
        shown.contains("the disk is full").then_some(shown)
    })
    .await;
    assert!(!shown.contains("[2J") || shown.contains("\u{fffd}[2J"), "{shown:?}");
    assert!(!shown.contains("\u{1b}[2J") && !shown.contains('\u{9b}'), "{shown:?}");
    assert!(!shown.lines().any(|line| line.starts_with("ERROR")), "{shown:?}");
}
