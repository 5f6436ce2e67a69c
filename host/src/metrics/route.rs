//! Owns what is counted and measured of each route. Must not know how its tasks run.

use super::Histogram;
use crate::task::state::State;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;

/// Seconds, for what takes from a millisecond to an hour.
const LONG: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Why a request did not become a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The host goes down.
    Draining,
    /// All slots run and the queue is full.
    QueueFull,
    /// The tenant's quota is used up.
    Quota,
    /// The bodies of open tasks are as large as they may be.
    BodiesFull,
    /// The `Idempotency-Key` was used for another payload.
    KeyReused,
    /// The id belongs to another task.
    IdTaken,
    /// The id generator failed.
    IdGenerator,
    /// The store did not take it.
    Store,
}

impl Refused {
    const ALL: [(Self, &str); 8] = [
        (Self::Draining, "draining"),
        (Self::QueueFull, "queue_full"),
        (Self::Quota, "quota"),
        (Self::BodiesFull, "bodies_full"),
        (Self::KeyReused, "key_reused"),
        (Self::IdTaken, "id_taken"),
        (Self::IdGenerator, "id_generator"),
        (Self::Store, "store"),
    ];
}

/// The handles of one route; clones share them.
#[derive(Debug, Clone)]
pub struct RouteMetrics {
    /// Requests that became tasks.
    pub submitted: Counter,
    /// Tasks that wait for their first attempt.
    pub waiting: Gauge,
    /// Tasks that have started and not ended, those between two attempts with them.
    pub running: Gauge,
    /// Slots in use.
    pub slots_used: Gauge,
    /// The route's `pool.max`.
    pub slots_max: Gauge,
    /// From a task's creation to its first start.
    pub queue_wait: Histogram,
    /// How long each attempt ran.
    pub run: Histogram,
    /// How much CPU time each attempt took.
    pub cpu: Histogram,
    ended: Arc<[(State, Counter)]>,
    refused: Arc<[(Refused, Counter)]>,
}

impl RouteMetrics {
    /// A task ended in this state.
    pub fn ended(&self, state: State) {
        if let Some((_, counter)) = self.ended.iter().find(|(counted, _)| *counted == state) {
            counter.inc();
        }
    }

    /// A request did not become a task.
    pub fn refused(&self, why: Refused) {
        if let Some((_, counter)) = self.refused.iter().find(|(counted, _)| *counted == why) {
            counter.inc();
        }
    }
}

/// The name of a route, and one more label where there is one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels {
    route: Arc<str>,
    other: Option<(&'static str, String)>,
}

impl Labels {
    fn own(route: &str) -> Self {
        Self { route: route.into(), other: None }
    }

    fn with(&self, name: &'static str, value: &str) -> Self {
        Self { route: Arc::clone(&self.route), other: Some((name, value.to_owned())) }
    }
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("route", &*self.route)].encode(encoder)?;
        self.other.as_ref().map_or(Ok(()), |(name, value)| [(*name, value.as_str())].encode(encoder))
    }
}

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// The series of all routes.
pub struct Routes {
    submitted: Family<Labels, Counter>,
    refused: Family<Labels, Counter>,
    ended: Family<Labels, Counter>,
    waiting: Family<Labels, Gauge>,
    running: Family<Labels, Gauge>,
    slots_used: Family<Labels, Gauge>,
    slots_max: Family<Labels, Gauge>,
    queue_wait: Histograms,
    run: Histograms,
    cpu: Histograms,
}

impl Routes {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let long = || Histograms::new_with_constructor(|| Histogram::new(LONG));
        let routes = Self {
            submitted: Family::default(),
            refused: Family::default(),
            ended: Family::default(),
            waiting: Family::default(),
            running: Family::default(),
            slots_used: Family::default(),
            slots_max: Family::default(),
            queue_wait: long(),
            run: long(),
            cpu: long(),
        };
        registry.register("tasks_submitted", "Requests that became tasks", routes.submitted.clone());
        registry.register("tasks_refused", "Requests that did not become tasks, by reason", routes.refused.clone());
        registry.register("tasks_ended", "Tasks that ended, by their last state", routes.ended.clone());
        registry.register("tasks_waiting", "Tasks that wait for their first attempt", routes.waiting.clone());
        let help = "Tasks that have started and not ended, those between two attempts with them";
        registry.register("tasks_running", help, routes.running.clone());
        registry.register("slots_used", "Slots in use", routes.slots_used.clone());
        registry.register("slots_max", "Slots that there are", routes.slots_max.clone());
        let help = "From a task's creation to its first start";
        registry.register_with_unit("queue_wait", help, Unit::Seconds, routes.queue_wait.clone());
        registry.register_with_unit("run", "How long each attempt ran", Unit::Seconds, routes.run.clone());
        let help = "How much CPU time each attempt took";
        registry.register_with_unit("task_cpu", help, Unit::Seconds, routes.cpu.clone());
        routes
    }

    pub(super) fn forget(&self, name: &str) {
        let own = Labels::own(name);
        self.submitted.remove(&own);
        for gauges in [&self.waiting, &self.running, &self.slots_used, &self.slots_max] {
            gauges.remove(&own);
        }
        self.queue_wait.remove(&own);
        self.run.remove(&own);
        self.cpu.remove(&own);
        for state in State::ALL {
            self.ended.remove(&own.with("state", &state.to_string()));
        }
        for (_, reason) in Refused::ALL {
            self.refused.remove(&own.with("reason", reason));
        }
    }

    pub(super) fn of(&self, name: &str) -> RouteMetrics {
        let own = Labels::own(name);
        let ended = |state: State| (state, self.ended.get_or_create_owned(&own.with("state", &state.to_string())));
        let refused = |why, name: &str| (why, self.refused.get_or_create_owned(&own.with("reason", name)));
        RouteMetrics {
            submitted: self.submitted.get_or_create_owned(&own),
            waiting: self.waiting.get_or_create_owned(&own),
            running: self.running.get_or_create_owned(&own),
            slots_used: self.slots_used.get_or_create_owned(&own),
            slots_max: self.slots_max.get_or_create_owned(&own),
            queue_wait: self.queue_wait.get_or_create_owned(&own),
            run: self.run.get_or_create_owned(&own),
            cpu: self.cpu.get_or_create_owned(&own),
            ended: State::ALL.into_iter().filter(|state| state.is_final()).map(ended).collect(),
            refused: Refused::ALL.into_iter().map(|(why, name)| refused(why, name)).collect(),
        }
    }
}
