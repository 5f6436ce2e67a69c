//! Tests of deliveries against receivers on this machine, over the store double.

use super::*;
use crate::clock::SystemClock;
use crate::guard::Allow;
use crate::ids::IdScheme;
use crate::store::double::Double;
use crate::store::outbox::Outbox;
use crate::task::callback::Shown;
use crate::task::state::Event;
use crate::task::{Ending, Invocation};
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a receiver does with a request, by its number from 0; `None`: it never answers.
type Answers = Arc<dyn Fn(usize) -> Option<&'static str> + Send + Sync>;

struct Receiver {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
    _serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    async fn start(answers: Answers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&heads);
        let _serving = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = vec![0; 4096];
                let length = stream.read(&mut head).await.unwrap_or(0);
                let number = {
                    let mut seen = seen.lock().expect("heads");
                    seen.push(String::from_utf8_lossy(&head[..length]).into_owned());
                    seen.len() - 1
                };
                match answers(number) {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => open.push(stream),
                }
            }
        });
        Self { port, heads, _serving }
    }

    fn count(&self) -> usize {
        self.heads.lock().expect("heads").len()
    }
}

const OK: &str = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const GONE: &str = "HTTP/1.1 410 Gone\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct World {
    store: Arc<Double>,
    callbacks: Callbacks,
    metrics: Arc<Metrics>,
    down: CancellationToken,
}

impl World {
    fn new(store: Arc<Double>, waits: &[u64], timeout: Duration) -> Self {
        let metrics = Arc::<Metrics>::default();
        let options = Options {
            store: Arc::clone(&store) as _,
            clock: Arc::new(SystemClock),
            guard: Arc::new(Guard::new(vec![Allow::parse("127.0.0.0/8").expect("an entry")])),
            keys: Vec::new(),
            schedule: Schedule {
                attempts: u32::try_from(waits.len()).expect("few") + 1,
                waits: waits.iter().copied().map(Duration::from_millis).collect(),
            },
            timeout,
            metrics: Arc::clone(&metrics),
        };
        Self { store, callbacks: Callbacks::new(options).expect("clients"), metrics, down: CancellationToken::new() }
    }

    /// Delivers in the background.
    fn deliver(&self) -> tokio::task::JoinHandle<()> {
        tokio::spawn(self.callbacks.clone().deliver(self.down.clone()))
    }

    /// A task that has ended, with a callback to this port.
    async fn ended(&self, port: u16) -> TaskId {
        let url = format!("http://127.0.0.1:{port}/");
        let shown = Shown { url_field: url.clone(), url: url.clone(), method: "POST".into(), headers: Vec::new() };
        let callback = Callback {
            url,
            host: format!("127.0.0.1:{port}"),
            method: "POST".into(),
            content_type: "application/json".into(),
            headers: Vec::new(),
            send_result: false,
            event: "done".into(),
            shown,
        };
        let request = Request {
            method: "PUT".into(),
            url: "http://h/".into(),
            path_parameters: Vec::new(),
            query: Vec::new(),
            headers: Vec::new(),
        };
        let callback = Some(Box::new(callback));
        let invocation = Invocation {
            input: Json::null(),
            request,
            user: None,
            tenant: None,
            traceparent: None,
            sse: None,
            callback,
        };
        let now = SystemClock.now();
        let task = Task::new(IdScheme::Uuid.generate(), "r".into(), now, Arc::new(invocation));
        self.store.insert(&task).await.expect("inserts");
        let error = Some("Aborted by the user".into());
        let ending = Ending {
            event: Event::Abort,
            at: now,
            result: None,
            error,
            progress: None,
            log: String::new(),
            events: Vec::new(),
        };
        assert!(self.store.finish(&task.id, 0, &ending).await.expect("finishes"));
        task.id
    }

    async fn until(&self, id: &TaskId, standing: Standing) -> Delivery {
        for _ in 0..2_000 {
            let delivery = self.callbacks.delivery(id).await.expect("reads").expect("a delivery");
            if delivery.progress.standing == standing {
                return delivery;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{id} is not {standing:?}: {:?}", self.callbacks.delivery(id).await);
    }
}

#[tokio::test]
async fn an_end_is_told_at_once_and_a_failed_attempt_again() {
    let receiver = Receiver::start(Arc::new(|number| Some(if number < 2 { BROKEN } else { OK }))).await;
    let world = World::new(Arc::default(), &[30, 60, 90], Duration::from_secs(5));
    let delivering = world.deliver();
    let id = world.ended(receiver.port).await;
    let delivery = world.until(&id, Standing::Completed).await;
    assert_eq!((delivery.progress.made, delivery.next), (3, None));
    let statuses: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.status).collect();
    assert_eq!(statuses, [Some(500), Some(500), Some(204)]);
    let at: Vec<i64> = delivery.attempts.iter().map(|attempt| attempt.at.0).collect();
    assert!(at[1] - at[0] >= 30_000 && at[2] - at[1] >= 60_000, "as scheduled: {at:?}");
    let callbacks = &world.metrics.callbacks;
    assert_eq!((callbacks.failed.get(), callbacks.delivered.get(), callbacks.attempt.count()), (2, 1, 3));
    world.down.cancel();
    delivering.await.expect("it ends");
    assert_eq!(callbacks.pending.get(), 0);
}

#[tokio::test]
async fn attempts_end_with_the_schedule_or_a_410_and_can_be_sent_anew() {
    let broken = Receiver::start(Arc::new(|number| Some(if number < 3 { BROKEN } else { OK }))).await;
    let gone = Receiver::start(Arc::new(|_| Some(GONE))).await;
    let world = World::new(Arc::default(), &[1, 1], Duration::from_secs(5));
    let delivering = world.deliver();
    let (given_up, refused) = (world.ended(broken.port).await, world.ended(gone.port).await);
    let delivery = world.until(&given_up, Standing::Failed).await;
    assert_eq!((delivery.progress.made, broken.count()), (3, 3));
    assert_eq!(world.until(&refused, Standing::Failed).await.progress.made, 1);
    world.callbacks.resend(&given_up).await.expect("it is over");
    assert_eq!(world.until(&given_up, Standing::Completed).await.progress.made, 4);
    world.callbacks.resend(&given_up).await.expect("what was taken is sent again, too");
    let unknown = world.callbacks.resend(&IdScheme::Uuid.generate()).await;
    assert!(matches!(unknown, Err(ResendError::NoCallback)));
    world.down.cancel();
    delivering.await.expect("it ends");
}

#[tokio::test]
async fn dead_receivers_delay_nobody() {
    let mut dead = Vec::new();
    for _ in 0..100 {
        dead.push(Receiver::start(Arc::new(|_| None)).await);
    }
    let good = Receiver::start(Arc::new(|_| Some(OK))).await;
    let world = World::new(Arc::default(), &[1], Duration::from_secs(30));
    for receiver in &dead {
        for _ in 0..5 {
            world.ended(receiver.port).await;
        }
    }
    let delivering = world.deliver();
    while dead.iter().map(Receiver::count).sum::<usize>() < 100 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    for _ in 0..50 {
        let id = world.ended(good.port).await;
        world.until(&id, Standing::Completed).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    world.down.cancel();
    delivering.await.expect("it ends soon, whoever hangs");
    let left = world.store.extent().await.expect("reads").1;
    assert_eq!(left, 500, "what was cut off is due");
}

#[tokio::test]
async fn the_next_process_goes_on_as_scheduled() {
    let receiver = Receiver::start(Arc::new(|number| Some(if number == 0 { BROKEN } else { OK }))).await;
    let store: Arc<Double> = Arc::default();
    let first = World::new(Arc::clone(&store), &[400], Duration::from_secs(5));
    let delivering = first.deliver();
    let id = first.ended(receiver.port).await;
    while first.metrics.callbacks.failed.get() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    first.down.cancel();
    delivering.await.expect("it ends");
    let due = first.callbacks.delivery(&id).await.expect("reads").and_then(|delivery| delivery.next).expect("due");
    let late = first.ended(receiver.port).await;
    let second = World::new(store, &[400], Duration::from_secs(5));
    let delivering = second.deliver();
    let delivery = second.until(&id, Standing::Completed).await;
    assert!(delivery.attempts.last().is_some_and(|attempt| attempt.at >= due), "{delivery:?}");
    assert_eq!(second.until(&late, Standing::Completed).await.progress.made, 1);
    second.down.cancel();
    delivering.await.expect("it ends");
}
