//! Owns what a configured task route is: an endpoint that gets or stops a task.
//! Must not know how a request is read.

use std::sync::Arc;

/// What a task route does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Answers the task.
    Get,
    /// Stops the task.
    Stop,
}

impl Operation {
    /// The HTTP method under which it is reached.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Stop => "DELETE",
        }
    }
}

/// Where a request names the task.
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
    /// The authentication scheme that a caller must pass; `None`: open to everybody.
    pub auth: Option<Arc<str>>,
}

impl TaskRoute {
    /// The name under which the id is looked for when none is configured.
    pub const DEFAULT_ID_NAME: &'static str = "taskId";

    /// The task routes of a configuration that names none.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let task_route = |operation| Self {
            operation,
            path: "/tasks".into(),
            places: vec![IdPlace::Path, IdPlace::Query],
            id_name: Self::DEFAULT_ID_NAME.into(),
            auth: None,
        };
        vec![task_route(Operation::Get), task_route(Operation::Stop)]
    }

    /// The patterns under which it is reached.
    #[must_use]
    pub fn patterns(&self) -> Vec<String> {
        let in_path = self.places.contains(&IdPlace::Path);
        let elsewhere = self.places.iter().any(|place| *place != IdPlace::Path);
        let with_id = format!("{}/{{{}}}", self.path.trim_end_matches('/'), self.id_name);
        let mut patterns = Vec::new();
        patterns.extend(in_path.then_some(with_id));
        patterns.extend(elsewhere.then(|| self.path.clone()));
        patterns
    }
}
