//! Following tasks by server-sent events: one, a group, a route; who may; what is resumed, across restarts too; and what
//! becomes of those who do not read.

use crate::following::{Event, Stream, data, names};
use crate::support::{MINDY, MORTY, PATIENCE, Server, component, eventually, morty_and_mindy};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn phases(path: &str, more: &str) -> String {
    format!("  - {{method: PUT, path: {path}, component: {}, {more}}}\n", component("phases.wasm"))
}

fn misbehaving(path: &str, more: &str) -> String {
    format!("  - {{method: PUT, path: {path}, component: {}, {more}}}\n", component("misbehaving.wasm"))
}

fn of_task(id: &str) -> String {
    format!("/events?taskId={id}")
}

/// What a stream that begins at the task's begin says of it.
async fn all_of(server: &Server, id: &str) -> Vec<Event> {
    let events = Stream::open(server, &of_task(id), Some(0)).await.rest().await;
    assert_eq!(events[0].name, "open");
    events[1..].to_vec()
}

fn assert_one_task(events: &[Event], steps: u64) {
    assert!(events.windows(2).all(|pair| pair[0].id < pair[1].id), "{events:?}");
    let expected: Vec<Value> = (1..=steps).map(|step| json!({"step": step, "of": steps})).collect();
    assert_eq!(data(events, "step"), expected.iter().collect::<Vec<_>>());
    let progress: Vec<f64> = data(events, "progress").iter().map(|data| data.as_f64().expect("a number")).collect();
    assert!(progress.windows(2).all(|pair| pair[0] < pair[1]), "{progress:?}");
    assert!(progress.contains(&80.0) && progress.iter().all(|percent| *percent < 100.0), "{progress:?}");
    assert_eq!(data(events, "done").len(), 1);
    assert_eq!(
        (events.last().expect("some").name.as_str(), &data(events, "done")[0]["Progress"]),
        ("done", &json!(100))
    );
}

#[tokio::test]
async fn a_task_is_followed_from_its_start_to_its_end() {
    let server = Server::start(&format!("routes:\n{}", phases("/p", "sse: {}"))).await;
    let task = server.put(202, "/p", json!({"steps": 7, "pause_ms": 30, "seconds": 0.3})).await;
    let url = task.body["Sse"]["Url"].as_str().expect("where").to_owned();
    assert_eq!(url, format!("{}{}", server.base, of_task(&task.id())));
    assert_eq!(task.body["Sse"].get("Group"), None);
    let live = Stream::of(server.request("GET", &of_task(&task.id()))).await.rest().await;
    let open = &live[0];
    assert_eq!((open.name.as_str(), &open.data["Id"]), ("open", &task.body["Id"]));
    let all = all_of(&server, &task.id()).await;
    assert_eq!(names(&all)[..2], ["state", "state"]);
    assert_eq!((&all[0].data["State"], &all[1].data["State"]), (&json!("NotStarted"), &json!("Running")));
    assert_one_task(&all, 7);
    let logged: Vec<&Value> = data(&all, "log");
    assert_eq!((&logged[0]["seq"], &logged[0]["message"]), (&json!(1), &json!("step 1 of 7")));
    assert_eq!(logged.len(), 8);
    // Progress reached by a tick is told before the event that the guest sends after it.
    let second = all.iter().position(|event| event.data == json!({"step": 2, "of": 7})).expect("it is there");
    let before = data(&all[..second], "progress");
    assert!(before.last().and_then(|data| data.as_f64()).is_some_and(|percent| percent > 22.0), "{before:?}");
    // Who was there earlier heard the same, from where it came in.
    assert_eq!(live[1..], all[all.len() - (live.len() - 1)..]);
    // Without `send_result` the result is not told.
    let done = &all.last().expect("some").data;
    assert_eq!((&done["State"], done.get("Result")), (&json!("Completed"), None));
    assert_eq!(server.ended(&task.id()).await.body["Result"], json!({"steps": 7}));
}

#[tokio::test]
async fn whoever_comes_after_the_end_is_told_the_end() {
    let routes = format!("routes:\n{}{}", phases("/p", "sse: {send_result: true}"), phases("/silent", "tags: [a]"));
    let server = Server::start(&routes).await;
    let quick = json!({"steps": 2, "pause_ms": 1, "seconds": 0});
    let id = server.run("/p", quick.clone()).await.id();
    let late = Stream::open(&server, &of_task(&id), None).await.rest().await;
    assert_eq!(names(&late), ["open", "done"]);
    assert_eq!(late[1].data["Result"], json!({"steps": 2}));
    let last = late[1].id;
    // A browser comes again after the end of a stream: 204 tells it to stay away.
    let again = server.request("GET", &of_task(&id)).header("last-event-id", last.to_string());
    assert_eq!(server.send(204, again).await.body, json!(""));
    server.get(204, &format!("{}&after={last}", of_task(&id))).await;
    // From each of its events on, the rest and nothing else.
    let all = all_of(&server, &id).await;
    for (position, event) in all.iter().enumerate().take(all.len() - 1) {
        let rest = Stream::open(&server, &of_task(&id), Some(event.id)).await.rest().await;
        assert_eq!((rest[0].name.as_str(), rest[0].id), ("open", event.id));
        assert_eq!(rest[1..], all[position + 1..]);
    }
    let silent = server.run("/silent", quick).await;
    assert_eq!(silent.body.get("Sse"), None);
    let problem = server.get(404, &of_task(&silent.id())).await;
    assert!(problem.text("detail").contains("configured without `sse`"), "{}", problem.body);
}

#[tokio::test]
async fn faulty_requests_are_told_what_is_wrong() {
    let server = Server::start(&format!("routes:\n{}", phases("/p", "sse: {group: g}"))).await;
    for (status, path, words) in [
        (404, "/events?taskId=nobody", "no task with the id `nobody`"),
        (404, "/events?taskId=%2F", "no task with the id `/`"),
        (404, "/events?group=h", "No route sends events of the group `h`"),
        (404, "/events?route=h", "no route named `h` that sends events"),
        (400, "/events?group=g&route=__Put_p__", "give one of `taskId`, `group`, `route`"),
        (400, "/events?after=x", "must be the id of an event"),
        (400, "/events?after=-1", "must be the id of an event"),
    ] {
        let problem = server.get(status, path).await;
        assert!(problem.text("detail").contains(words), "{path}: {}", problem.body);
    }
    let other = server.request("GET", "/events").header("accept", "application/json");
    assert!(server.send(406, other).await.text("detail").contains("text/event-stream"));
    assert_eq!(server.delete(405, "/events").await.header("allow"), "GET");
    let head = server.request("HEAD", "/events").send().await.expect("an answer");
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    // A number that no event has had yet: what comes is told.
    let mut stream = Stream::open(&server, "/events", Some(u64::MAX)).await;
    assert_eq!(stream.next().await.map(|event| (event.name, event.id)), Some(("open".to_owned(), 0)));
    let id = server.put(202, "/p", json!({"steps": 1, "pause_ms": 1, "seconds": 0})).await.id();
    assert_eq!(stream.next().await.expect("an event").data["Id"], json!(id));
}

#[tokio::test]
async fn groups_and_routes_are_heard_by_those_who_may_read() {
    let routes = format!(
        "{}routes:\n{}{}{}task_routes:\n  - {{operation: get, path: /tasks}}\n  - {{operation: events, path: /follow, id_name: id, auth: both}}\n",
        morty_and_mindy(),
        phases("/open", "sse: {group: orders}"),
        phases("/support", "sse: {group: orders}, auth: both, permission: {read: {groups: [Support]}}"),
        phases("/other", "sse: {}"),
    );
    let server = Server::start(&routes).await;
    server.get(401, "/follow").await;
    let open = |user: crate::support::User, path: &str| Stream::of(user.asks(server.request("GET", path)));
    let mut streams = [
        (open(MORTY, "/follow?group=orders").await, vec!["open", "morty"]),
        (open(MINDY, "/follow?group=orders").await, vec!["open", "morty", "mindy"]),
        (open(MORTY, "/follow?route=__Put_support__").await, vec!["morty"]),
        (open(MINDY, "/follow").await, vec!["open", "morty", "mindy", "other"]),
    ];
    let input = json!({"steps": 1, "pause_ms": 1, "seconds": 0});
    let mut whose = Vec::new();
    for (name, path, user) in [
        ("open", "/open", None),
        ("morty", "/support", Some(MORTY)),
        ("mindy", "/support", Some(MINDY)),
        ("other", "/other", None),
    ] {
        let request = server.request("PUT", path).json(&input);
        let request = match user {
            Some(user) => user.asks(request),
            None => request,
        };
        let task = server.send(202, request).await;
        assert!(task.body["Sse"]["Url"].as_str().expect("where").ends_with(&format!("/follow?id={}", task.id())));
        whose.push((name, task.id()));
        // One after the other, so that the streams can be told where to end.
        let end =
            Stream::of(MINDY.asks(server.request("GET", &format!("/follow?id={}", task.id())))).await.rest().await;
        assert_eq!(end.last().expect("an end").name, "done");
    }
    for (stream, expected) in &mut streams {
        assert_eq!(stream.next().await.expect("an event").name, "open");
        for name in expected.iter() {
            let id = &whose.iter().find(|(known, _)| known == name).expect("submitted").1;
            let events = stream.up_to("done").await;
            assert!(events.iter().all(|event| event.data["Id"] == json!(id)), "{name}: {events:?}");
            assert_eq!(data(&events, "step"), [&json!({"Id": id, "Data": {"step": 1, "of": 1}})]);
            assert!(data(&events, "progress").contains(&&json!({"Id": id, "Data": 80})), "{events:?}");
        }
    }
    // One's own task is found, another's is not there.
    let mindys = &whose[2].1;
    server.send(404, MORTY.asks(server.request("GET", &format!("/follow?id={mindys}")))).await;
}

#[tokio::test]
async fn a_stream_goes_on_across_crashes_without_loss_or_repetition() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = format!("routes:\n{}", phases("/p", "sse: {group: g}, retry: {on_lost_host: rerun}"));
    let mut server = Server::start_in(Arc::clone(&folder), &routes).await;
    let id = server.put(202, "/p", json!({"steps": 40, "pause_ms": 40, "seconds": 0.5})).await.id();
    let (mut seen, mut restarts): (Vec<Event>, u64) = (Vec::new(), 0);
    loop {
        let last = seen.last().map_or(0, |event| event.id);
        let mut stream = Stream::open(&server, &of_task(&id), Some(last)).await;
        assert_eq!(stream.next().await.expect("an event").name, "open");
        let mut heard = 0;
        while let Some(event) = stream.next().await {
            heard += 1;
            seen.push(event);
            if restarts < 3 && heard == 15 {
                server.kill();
            }
        }
        if seen.last().is_some_and(|event| event.name == "done") {
            break;
        }
        restarts += 1;
        server = Server::start_in(Arc::clone(&folder), &routes).await;
    }
    assert_eq!(restarts, 3);
    assert!(seen.windows(2).all(|pair| pair[0].id < pair[1].id), "{:?}", names(&seen));
    assert_eq!(seen, all_of(&server, &id).await, "what was told is what is kept");
    let progress: Vec<f64> = data(&seen, "progress").iter().filter_map(|data| data.as_f64()).collect();
    assert!(progress.windows(2).all(|pair| pair[0] < pair[1]), "{progress:?}");
    let lines: Vec<u64> = data(&seen, "log").iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(
        lines.last().copied(),
        server.get(200, &format!("/tasks/{id}/log")).await.body.as_array().map(|log| log.len() as u64)
    );
    assert_eq!(server.ended(&id).await.body["Attempt"], json!(restarts + 1));
}

/// Asks for a stream and does not read.
async fn deaf(server: &Server, path: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.base.trim_start_matches("http://")).await.expect("connects");
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    socket.write_all(request.as_bytes()).await.expect("writes");
    socket
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_off_and_slows_nobody() {
    let server = Server::start(&format!("routes:\n{}", misbehaving("/m", "sse: {group: g}"))).await;
    let mut socket = deaf(&server, "/events?group=g").await;
    eventually("the stream", || async {
        let text = server.get(200, "/-/metrics").await.body.to_string();
        text.contains("sandpool_event_streams_open 1").then_some(())
    })
    .await;
    let id = server.put(202, "/m", json!({"mode": "flood-events", "endless": true, "bytes": 60_000})).await.id();
    let mut quick = Stream::open(&server, &of_task(&id), None).await;
    // The quick one hears on while the other one is filled up and cut.
    let began = std::time::Instant::now();
    while !server.get(200, "/-/metrics").await.body.to_string().contains("sandpool_event_streams_cut_total 1") {
        quick.next().await.expect("the quick one is told");
        assert!(began.elapsed() < PATIENCE, "the cut did not come");
    }
    server.delete(200, &format!("/tasks/{id}")).await;
    assert_eq!(quick.up_to("done").await.last().expect("an end").data["State"], "Aborted");
    let mut text = Vec::new();
    tokio::time::timeout(PATIENCE, socket.read_to_end(&mut text)).await.ok();
    let text = String::from_utf8_lossy(&text);
    let last = text.rfind("event: ").map(|at| &text[at..]).expect("events");
    assert!(last.starts_with("event: error\ndata: {\"Error\":\"too slow"), "{last}");
    // It reads on from the last one that it had.
    let after: u64 =
        text.rsplit("id: ").next().and_then(|rest| rest.lines().next()).expect("an id").parse().expect("a number");
    let mut resumed = Stream::open(&server, "/events?group=g", Some(after)).await;
    let events = resumed.up_to("done").await;
    // Those that are no longer kept are counted.
    let own: Vec<&Event> = events.iter().filter(|event| ["flood", "missed"].contains(&event.name.as_str())).collect();
    assert!(own.iter().skip(1).all(|event| event.name == "flood"), "{:?}", names(&events));
    let numbers: Vec<u64> = own.iter().filter_map(|event| event.data["Data"]["i"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
}

#[tokio::test]
async fn a_flood_is_kept_within_bounds_and_says_what_is_missing() {
    let server = Server::start(&format!("routes:\n{}", misbehaving("/m", "sse: {}"))).await;
    let input = json!({"mode": "flood-events", "count": 200, "bytes": 60_000});
    let id = server.run("/m", input).await.id();
    let events = all_of(&server, &id).await;
    assert_eq!(events[0].name, "missed");
    let missed = events[0].data.as_u64().expect("a number");
    let kept = data(&events, "flood");
    // The states of its insertion and its start are among those that are missing.
    assert_eq!(missed + kept.len() as u64, 202);
    assert!((10..40).contains(&kept.len()), "{}", kept.len());
    let numbers: Vec<u64> = kept.iter().filter_map(|data| data["i"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) && numbers.last() == Some(&199), "{numbers:?}");
    // A flood of everything at once ends soon, and leaves what it must.
    let id = server.run("/m", json!({"mode": "flood-all", "count": 1_000})).await.id();
    let events = all_of(&server, &id).await;
    assert_eq!(
        data(&events, "flood").iter().filter_map(|data| data.as_u64()).collect::<Vec<_>>(),
        (0..1_000).collect::<Vec<_>>()
    );
    let logged = data(&events, "log");
    assert!(
        logged
            .iter()
            .any(|line| line["message"].as_str().is_some_and(|text| text.contains("lines were left out here")))
    );
    let numbers: Vec<u64> = logged.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
}

#[tokio::test]
async fn silence_is_broken_by_comments() {
    let server = Server::start(&format!("routes:\n{}", misbehaving("/m", "sse: {}"))).await;
    let id = server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 40_000})).await.id();
    let mut stream = Stream::open(&server, &of_task(&id), None).await;
    let mut socket = deaf(&server, &of_task(&id)).await;
    let mut text = Vec::new();
    let began = std::time::Instant::now();
    while !text.windows(3).any(|three| three == b":\n\n") {
        let mut piece = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut piece)).await.expect("in time").expect("reads");
        assert!(read > 0, "it ended");
        text.extend_from_slice(&piece[..read]);
    }
    assert!(began.elapsed().as_secs() >= 10, "a comment came too soon");
    server.delete(200, &format!("/tasks/{id}")).await;
    stream.up_to("done").await;
}

#[tokio::test]
async fn streams_end_with_the_server_after_the_last_events() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let routes = format!(
        "routes:\n{}{}",
        phases("/p", "sse: {group: g}"),
        misbehaving("/m", "sse: {group: g}, retry: {on_lost_host: rerun}")
    );
    let head = "server: {listen: \"127.0.0.1:0\", shutdown_grace: 2s}\nstore: {url: \"sqlite:tasks.db\"}\n";
    let mut server = Server::start_with(Arc::clone(&folder), head, &routes).await;
    let mut group = Stream::open(&server, "/events?group=g", None).await;
    let sleeper = server.put(202, "/m", json!({"mode": "sleep-ms", "ms": 600_000})).await.id();
    let quick = server.put(202, "/p", json!({"steps": 10, "pause_ms": 50, "seconds": 0})).await.id();
    server.running(&sleeper).await;
    server.running(&quick).await;
    let one = Stream::open(&server, &of_task(&sleeper), None).await;
    server.terminate();
    let until_done = group.up_to("done").await;
    assert_eq!(until_done.last().expect("an end").data["Id"], json!(quick));
    assert_eq!(group.next().await, None, "the stream ends");
    assert_eq!(names(&one.rest().await), ["open"], "its task goes on after the next start");
    assert!(server.exit().await.success());
    let server = Server::start_with(folder, head, &routes).await;
    let mut again = Stream::open(&server, &of_task(&sleeper), None).await;
    server.delete(200, &format!("/tasks/{sleeper}")).await;
    assert_eq!(again.up_to("done").await.last().expect("an end").data["State"], "Aborted");
}

#[tokio::test]
async fn tasks_are_found_by_their_group_and_events_go_with_them() {
    let routes = format!("routes:\n{}{}", phases("/p", "sse: {group: Orders}"), phases("/q", "tags: [a]"));
    let head = "server: {listen: \"127.0.0.1:0\"}\nstore: {url: \"sqlite:tasks.db\", retention: 2s}\n";
    let server = Server::start_with(Arc::new(tempfile::tempdir().expect("a folder")), head, &routes).await;
    let input = json!({"steps": 1, "pause_ms": 1, "seconds": 0});
    let (followed, silent) = (server.run("/p", input.clone()).await.id(), server.run("/q", input).await.id());
    let found = |query: Value| {
        let server = &server;
        async move { crate::support::ids(&server.send(200, server.request("POST", "/tasks/query").json(&query)).await) }
    };
    assert_eq!(found(json!({"EnableSse": {"op": "EQ", "value": true}})).await, std::slice::from_ref(&followed));
    assert_eq!(found(json!({"EnableSse": {"op": "EQ", "value": false}})).await, [silent]);
    assert_eq!(found(json!({"SseGroup": {"op": "LIKE", "value": "order"}})).await, std::slice::from_ref(&followed));
    let gone = || async {
        let answer = server.request("GET", &of_task(&followed)).send().await.expect("an answer");
        (answer.status().as_u16() == 404).then_some(())
    };
    eventually("retention", gone).await;
    let all = Stream::open(&server, "/events", Some(0)).await.next().await;
    assert_eq!(all.map(|event| event.name), Some("open".to_owned()));
    let db = rusqlite::Connection::open(server.path("tasks.db")).expect("the store");
    let left: u32 = db.query_row("SELECT count(*) FROM events", [], |row| row.get(0)).expect("counts");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn many_follow_at_once() {
    const STREAMS: usize = 500;
    let server = Server::start(&format!("routes:\n{}", phases("/p", "sse: {group: g}"))).await;
    let open = (0..STREAMS).map(|_| Stream::open(&server, "/events?group=g", None));
    let streams = futures_util::future::join_all(open).await;
    let id = server.put(202, "/p", json!({"steps": 20, "pause_ms": 10, "seconds": 0})).await.id();
    let heard = streams.into_iter().map(|mut stream| async move { stream.up_to("done").await });
    let heard = futures_util::future::join_all(heard).await;
    for events in &heard {
        assert_eq!(events[1..], heard[0][1..], "everybody hears the same");
        assert_eq!(data(events, "step").len(), 20);
        assert_eq!(events.last().expect("an end").data["Id"], json!(id));
    }
}
