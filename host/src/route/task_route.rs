//! Owns what a configured task route is: an endpoint that gets, stops, finds or follows tasks.
//! Must not know how a request is read.

use crate::codec::Format;
use std::sync::Arc;

/// What a task route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Answers the task.
    Get,
    /// Stops the task.
    Stop,
    /// Finds tasks.
    Query,
    /// Follows tasks by server-sent events.
    Events,
}

impl Operation {
    /// The HTTP methods under which it is reached. QUERY: RFC 10008.
    #[must_use]
    pub fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Get | Self::Events => &["GET"],
            Self::Stop => &["DELETE"],
            Self::Query => &["POST", "GET", "QUERY"],
        }
    }
}

impl Operation {
    /// Where a request may say what it is about, when no place is configured.
    #[must_use]
    pub fn default_places(self) -> Vec<IdPlace> {
        match self {
            Self::Get | Self::Stop => vec![IdPlace::Path, IdPlace::Query],
            Self::Query => vec![IdPlace::Body, IdPlace::Query, IdPlace::Header],
            Self::Events => vec![IdPlace::Query],
        }
    }

    /// Where a request to this operation may say what it is about.
    #[must_use]
    pub fn may_look_at(self, place: IdPlace) -> bool {
        match self {
            Self::Get | Self::Stop => place != IdPlace::Body,
            Self::Query => !matches!(place, IdPlace::Path | IdPlace::Cookie),
            Self::Events => place == IdPlace::Query,
        }
    }
}

/// Where a request names the task, or has the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdPlace {
    /// A path segment after the task route's path.
    Path,
    /// A query parameter.
    Query,
    /// A header field.
    Header,
    /// A cookie.
    Cookie,
    /// The body; of a query only.
    Body,
}

/// A task route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRoute {
    /// What it does.
    pub operation: Operation,
    /// Its path, without the id.
    pub path: String,
    /// Where the id may be, in the order in which the places are looked at.
    pub places: Vec<IdPlace>,
    /// The name of the path or query parameter, header field or cookie.
    pub id_name: String,
    /// The formats of its answers; the first is the default. Never empty.
    pub responses: Vec<Format>,
    /// The authentication scheme that a caller must pass; `None`: open to everybody.
    pub auth: Option<Arc<str>>,
}

impl TaskRoute {
    /// The name under which the id is looked for when none is configured.
    pub const DEFAULT_ID_NAME: &'static str = "taskId";

    /// The task routes of a configuration that names none.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let task_route = |operation: Operation, path: &str| Self {
            operation,
            path: path.into(),
            places: operation.default_places(),
            id_name: Self::DEFAULT_ID_NAME.into(),
            responses: vec![Format::Json],
            auth: None,
        };
        vec![
            task_route(Operation::Get, "/tasks"),
            task_route(Operation::Stop, "/tasks"),
            task_route(Operation::Query, "/tasks/query"),
            task_route(Operation::Events, "/events"),
        ]
    }

    /// The patterns under which it is reached.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        if matches!(self.operation, Operation::Query | Operation::Events) {
            return vec![self.path.clone()];
        }
        let in_path = self.places.contains(&IdPlace::Path);
        let elsewhere = self.places.iter().any(|place| *place != IdPlace::Path);
        let with_id = format!("{}/{{{}}}", self.path.trim_end_matches('/'), self.id_name);
        let mut patterns = Vec::new();
        patterns.extend(in_path.then_some(with_id));
        patterns.extend(elsewhere.then(|| self.path.clone()));
        patterns
    }

    /// The pattern under which a task's log is read, beside the task; `None`: this operation reads none.
    #[must_use]
    pub fn log_pattern(&self) -> Option<String> {
        self.beside_task("log")
    }

    /// The methods under [`TaskRoute::callbacks_pattern`]: reading, and sending again.
    pub const CALLBACKS_METHODS: [&'static str; 2] = ["GET", "POST"];

    /// The pattern under which the deliveries of a task's callback are read and sent again, beside the task.
    #[must_use]
    pub fn callbacks_pattern(&self) -> Option<String> {
        self.beside_task("callbacks")
    }

    fn beside_task(&self, what: &str) -> Option<String> {
        let of_task = self.patterns().into_iter().next()?;
        (self.operation == Operation::Get).then(|| format!("{}/{what}", of_task.trim_end_matches('/')))
    }
}
