//! The hub over the store double: what followers get, in which order, and what becomes of slow ones.

use super::{HEARTBEAT, Hub, Joined, Options, Stream, comment, frame};
use crate::clock::Timestamp;
use crate::ids::{IdScheme, TaskId};
use crate::principal::Principal;
use crate::store::double::Double;
use crate::store::{Claim, Note, Scope, Store};
use crate::task::access::{Allowed, Permission};
use crate::task::event::TaskEvent;
use crate::task::state::Event;
use crate::task::{Ending, Invocation, Request, Sse, Task};
use crate::value::Json;
use std::sync::Arc;
use std::time::Duration;

struct World {
    hub: Hub,
    store: Arc<Double>,
}

impl World {
    fn new() -> Self {
        let store = Arc::<Double>::default();
        let hub = Hub::new(Options { store: Arc::clone(&store) as _, metrics: Arc::default() });
        tokio::spawn(hub.clone().run());
        Self { hub, store }
    }

    async fn task(&self, group: Option<&str>, readers: Option<&str>) -> TaskId {
        let (url, path_parameters, query, headers) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        let request = Request { method: "PUT".into(), url, path_parameters, query, headers };
        let sse = Some(Sse { url: None, group: group.map(Into::into), send_result: false });
        let invocation = Invocation {
            input: Json::null(),
            request,
            user: None,
            tenant: None,
            traceparent: None,
            sse,
            callback: None,
        };
        let mut task = Task::new(IdScheme::Uuid.generate(), "r".into(), Timestamp(1), Arc::new(invocation));
        let only = |group: &str| Allowed { groups: vec![group.into()], ..Allowed::default() };
        task.permission = readers.map(|group| Arc::new(Permission { read: only(group), write: Allowed::default() }));
        self.store.insert(&task).await.expect("inserts");
        let claim =
            Claim { id: task.id.clone(), attempts_before: 0, at: Timestamp(2), slot: "n/r/0".into(), events: vec![] };
        assert!(self.store.claim(claim).await.expect("claims"));
        task.id
    }

    async fn say(&self, id: &TaskId, number: u32) {
        self.say_all(id, vec![TaskEvent::custom("n".into(), Json::from_serialize(&number).expect("JSON"))]).await;
    }

    async fn say_all(&self, id: &TaskId, events: Vec<TaskEvent>) {
        let note = Note { id: id.clone(), attempt: 1, progress: None, log: None, events, keep: None };
        self.store.note(vec![note]).await.expect("notes");
    }

    async fn end(&self, id: &TaskId) {
        let task = self.store.record(id).expect("is there");
        let ending = Ending {
            event: Event::Abort,
            at: Timestamp(3),
            result: None,
            error: Some("Timeout".into()),
            progress: None,
            log: String::new(),
            events: Vec::new(),
        };
        assert!(self.store.finish(id, 1, &ending.telling(&task, Vec::new())).await.expect("finishes"));
    }

    fn follow(&self, scope: Scope, principal: Option<Principal>, after: u64) -> Stream {
        Stream::new(self.hub.clone(), scope, principal, after, frame(Some(after), "open", "null"))
    }
}

/// What a stream says next that is no comment: the name of the event, its data and its number.
async fn next(stream: &mut Stream) -> Option<(String, String, u64)> {
    loop {
        let text = String::from_utf8(stream.next().await?.to_vec()).expect("text");
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        if let Some(name) = field("event: ") {
            let seq = field("id: ").map_or(0, |seq| seq.parse().expect("a number"));
            return Some((name, field("data: ").unwrap_or_default(), seq));
        }
    }
}

async fn names(stream: &mut Stream, most: usize) -> Vec<String> {
    let mut names = Vec::new();
    while names.len() < most
        && let Some((name, ..)) = next(stream).await
    {
        names.push(name);
    }
    names
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_one_task_ends_with_it() {
    let world = World::new();
    let (id, other) = (world.task(None, None).await, world.task(None, None).await);
    let mut stream = world.follow(Scope::Task(id.clone()), None, 0);
    assert_eq!(names(&mut stream, 2).await, ["open", "state"]);
    world.say(&other, 1).await;
    world.say(&id, 2).await;
    world.end(&id).await;
    assert_eq!(names(&mut stream, 9).await, ["n", "done"]);
    assert_eq!(next(&mut stream).await, None);
    let mut again = world.follow(Scope::Task(id), None, 0);
    assert_eq!(names(&mut again, 9).await, ["open", "state", "n", "done"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_hears_what_it_may_not_read() {
    let world = World::new();
    let (open, closed) = (world.task(Some("g"), None).await, world.task(Some("g"), Some("Support")).await);
    let principal = |group: &str| Principal { id: "u".into(), groups: vec![group.into()], ..Principal::default() };
    let mut streams = [
        (world.follow(Scope::Group("g".into()), None, 0), 1),
        (world.follow(Scope::Route("r".into()), Some(principal("Sales")), 0), 1),
        (world.follow(Scope::All, Some(principal("Support")), 0), 2),
        (world.follow(Scope::Group("h".into()), None, 0), 0),
    ];
    for (stream, tasks) in &mut streams {
        let expected: Vec<&str> = std::iter::once("open").chain(std::iter::repeat_n("state", *tasks)).collect();
        assert_eq!(names(stream, 1 + *tasks).await, expected);
        // It waits for more.
        let more = tokio::time::timeout(Duration::from_secs(1), stream.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
    world.say(&closed, 1).await;
    world.say(&open, 2).await;
    for (stream, tasks) in &mut streams {
        for expected in [None, Some((&closed, 1)), Some((&open, 2))].iter().rev().take(*tasks).rev().flatten() {
            let (name, data, _) = next(stream).await.expect("an event");
            assert_eq!((name.as_str(), data), ("n", format!("{{\"Id\":\"{}\",\"Data\":{}}}", expected.0, expected.1)));
        }
        let more = tokio::time::timeout(Duration::from_secs(1), stream.next()).await;
        assert!(more.is_err(), "{more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_after_the_end_is_told_the_end_and_then_stays_away() {
    let world = World::new();
    let (id, other) = (world.task(None, None).await, world.task(None, None).await);
    world.say(&id, 1).await;
    world.end(&id).await;
    world.say(&other, 2).await;
    let follow = |after| {
        let (hub, scope) = (world.hub.clone(), Scope::Task(id.clone()));
        async move { hub.follow(scope, None, after, |seq| frame(Some(seq), "open", "null")).await.expect("reads") }
    };
    let mut stream = follow(None).await.expect("a stream");
    let (open, done) = (next(&mut stream).await.expect("an event"), next(&mut stream).await.expect("an event"));
    assert_eq!((open.0.as_str(), done.0.as_str(), open.2 + 1), ("open", "done", done.2));
    assert_eq!(next(&mut stream).await, None);
    assert!(follow(Some(done.2)).await.is_none() && follow(Some(u64::MAX)).await.is_none());
    // Whoever had only the first is told the end.
    let mut again = follow(Some(open.2)).await.expect("a stream");
    assert_eq!(names(&mut again, 9).await, ["open", "done"]);
    let mut all = follow(Some(0)).await.expect("a stream");
    assert_eq!(names(&mut all, 9).await, ["open", "state", "n", "done"]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_not_read_again() {
    let world = World::new();
    let id = world.task(None, None).await;
    for number in 0..100 {
        world.say(&id, number).await;
    }
    let newest = world.hub.0.store.newest_event().await.expect("reads");
    let mut stream = world.follow(Scope::All, None, newest);
    assert_eq!(names(&mut stream, 1).await, ["open"]);
    assert!(tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err());
    assert_eq!(world.hub.followers().told, newest);
}

#[tokio::test(start_paused = true)]
async fn whoever_was_overtaken_while_it_read_reads_on() {
    let world = World::new();
    let id = world.task(None, None).await;
    let mut other = world.follow(Scope::All, None, 0);
    assert_eq!(names(&mut other, 2).await, ["open", "state"]);
    assert!(tokio::time::timeout(Duration::from_secs(1), other.next()).await.is_err());
    world.say(&id, 1).await;
    let (_, _, told) = next(&mut other).await.expect("an event");
    let join = |after| world.hub.join(&Scope::Task(id.clone()), None, after);
    assert!(matches!(join(told - 1), Joined::Behind));
    assert!(matches!(join(told), Joined::Seat(_)));
    world.hub.close();
    assert_eq!(names(&mut other, 9).await.len(), 0);
    assert!(matches!(join(told), Joined::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_large_event_cuts_nobody_off() {
    let world = World::new();
    let id = world.task(None, None).await;
    let mut stream = world.follow(Scope::Task(id.clone()), None, 0);
    assert_eq!(names(&mut stream, 2).await, ["open", "state"]);
    assert!(tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err());
    let large = Json::from_serialize(&"x".repeat(5 << 20)).expect("JSON");
    let event = |name: &str, data: &Json| TaskEvent::custom(name.into(), data.clone());
    let small = Json::null();
    let said = vec![event("a", &small), event("b", &large), event("c", &large), event("d", &small)];
    world.say_all(&id, said).await;
    assert_eq!(names(&mut stream, 4).await, ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_is_cut_off_and_can_resume() {
    let world = World::new();
    let id = world.task(None, None).await;
    let (mut slow, mut quick) = (world.follow(Scope::All, None, 0), world.follow(Scope::Task(id.clone()), None, 0));
    assert_eq!(names(&mut slow, 2).await, ["open", "state"]);
    assert_eq!(names(&mut quick, 2).await, ["open", "state"]);
    // It takes its place.
    assert!(tokio::time::timeout(Duration::from_secs(1), slow.next()).await.is_err());
    for number in 0..3_000 {
        world.say(&id, number).await;
        assert_eq!(next(&mut quick).await.expect("an event").1, number.to_string());
    }
    let (mut read, mut last) = (0, 0);
    loop {
        let (name, data, seq) = next(&mut slow).await.expect("an event");
        match name.as_str() {
            "n" => (read, last) = (read + 1, seq),
            name => {
                assert_eq!(name, "error", "{data}");
                break;
            }
        }
    }
    assert_eq!(next(&mut slow).await, None);
    assert!((1..3_000).contains(&read), "{read}");
    let mut resumed = world.follow(Scope::All, None, last);
    assert_eq!(names(&mut resumed, 1).await, ["open"]);
    for number in read..3_000 {
        let (_, data, _) = next(&mut resumed).await.expect("an event");
        assert_eq!(data, format!("{{\"Id\":\"{id}\",\"Data\":{number}}}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_and_goes_misses_nothing_and_gets_nothing_twice() {
    const EVENTS: u32 = 2_000;
    let world = Arc::new(World::new());
    let id = world.task(None, None).await;
    let writer = {
        let (world, id) = (Arc::clone(&world), id.clone());
        tokio::spawn(async move {
            for number in 0..EVENTS {
                world.say(&id, number).await;
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            world.end(&id).await;
        })
    };
    let reader = |patience: u32| {
        let (world, id) = (Arc::clone(&world), id.clone());
        async move {
            let (mut expected, mut after) = (0, 0);
            loop {
                let mut stream = world.follow(Scope::Task(id.clone()), None, after);
                for _ in 0..patience {
                    let (name, data, seq) = next(&mut stream).await.expect("an event");
                    after = seq;
                    match name.as_str() {
                        "n" => {
                            assert_eq!(data, expected.to_string());
                            expected += 1;
                        }
                        "done" => return expected,
                        name => assert!(["open", "state"].contains(&name), "{name}"),
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    };
    let readers = (2..40).map(|patience| tokio::spawn(reader(patience)));
    for reader in futures_util::future::join_all(readers).await {
        assert_eq!(reader.expect("no panic"), EVENTS);
    }
    writer.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_comments_and_the_end_by_the_last_events() {
    let world = World::new();
    let id = world.task(None, None).await;
    let mut stream = world.follow(Scope::All, None, 0);
    assert_eq!(names(&mut stream, 2).await, ["open", "state"]);
    let began = tokio::time::Instant::now();
    assert_eq!(stream.next().await, Some(comment()));
    assert!(began.elapsed() >= HEARTBEAT && began.elapsed() < 2 * HEARTBEAT);
    world.say(&id, 1).await;
    world.hub.close();
    assert_eq!(names(&mut stream, 9).await, ["n"]);
    let mut late = world.follow(Scope::All, None, 0);
    assert_eq!(names(&mut late, 9).await, ["open", "state", "n"]);
    assert!(world.hub.is_closed());
}
