//! Owns bulk stops and reruns of tasks, chosen by a query document. Must not know how tasks run.

use super::changing;
use crate::api::invoke::{rated_by_tenant, spread};
use crate::api::problem::{Problem, or_problem};
use crate::api::role::Manager;
use crate::api::tasks::respond_with;
use crate::api::{Api, body, request};
use crate::runner::StopError;
use crate::store::{Reader, Search};
use crate::task::Task;
use crate::task::query::{Query, page};
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use std::sync::Arc;

/// The most tasks of one request; the rest is left for the next one.
const MOST: usize = 10_000;
/// How many are stopped or submitted at once.
const AT_ONCE: usize = 64;
/// The most tasks that an answer names.
const NAMED: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Stop,
    Rerun,
}

/// What became of the tasks that a query found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Outcome {
    /// How many it found that have not ended (stop), or have (rerun).
    matched: usize,
    /// How many of them were stopped, or submitted again.
    done: usize,
    /// Whether nothing was done.
    dry_run: bool,
    /// Whether there are more: the request can be made again.
    more: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<Done>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Done {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Refused {
    id: String,
    reason: String,
}

/// `POST /-/tasks/stop` and `POST /-/tasks/rerun`: the body is a query document, `{}` for all; `?dry_run=true` only counts.
pub async fn act(State(api): State<Api>, Path(action): Path<String>, request: Request) -> Response {
    let action = match action.as_str() {
        "stop" => Action::Stop,
        "rerun" => Action::Rerun,
        _ => {
            let problem = Problem::new(404, "There is no such thing here, only stop and rerun.");
            return or_problem(Err(problem), &request.into_parts().0);
        }
    };
    changing(api, request, move |api, manager, parts, body| {
        Box::pin(async move {
            let dry_run = match request::parameter(&parts.uri, "dry_run").as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => return Err(Problem::new(400, "`dry_run` must be true or false.")),
            };
            let document = body::read(&parts.headers, body, api.now().options.body_limit).await?;
            if document.as_str() == "null" {
                return Err(Problem::new(400, "A query document is needed in the body; `{}` is all tasks."));
            }
            let (tasks, more) = found(&api, action, Query::parse(&document)?, &manager).await?;
            let mut outcome =
                Outcome { matched: tasks.len(), done: 0, dry_run, more, tasks: Vec::new(), refused: Vec::new() };
            if !dry_run {
                let acting = stream::iter(tasks).map(|task| one(&api, action, task)).buffer_unordered(AT_ONCE);
                outcome = acting.fold(outcome, async |outcome, (id, done)| outcome.with(id, done)).await;
            }
            Ok(respond_with(StatusCode::OK, &outcome, "Outcome", manager.answer))
        })
    })
    .await
}

/// The tasks that the action is for, and whether there are more.
async fn found(api: &Api, action: Action, query: Query, manager: &Manager) -> Result<(Vec<Task>, bool), Problem> {
    let query = Arc::new(query);
    let reader = match manager.role.bound_to() {
        // It may read all of its tenant's tasks, and few others.
        Some(_) => Reader::Caller(manager.principal.clone()),
        None => Reader::Everything,
    };
    let (mut tasks, mut after) = (Vec::new(), None);
    loop {
        let search = Search::new(Arc::clone(&query), reader.clone(), page::MAX_LIMIT);
        let found = api.0.runner.search(Search { after, ..search }).await?;
        let is_meant = |task: &Task| {
            let ended = task.state.is_final() == (action == Action::Rerun);
            ended && manager.role.sees_tenant(task.invocation.tenant.as_deref())
        };
        tasks.extend(found.tasks.into_iter().filter(is_meant));
        if tasks.len() > MOST {
            tasks.truncate(MOST);
            return Ok((tasks, true));
        }
        match found.next {
            Some(next) => after = Some(next),
            None => return Ok((tasks, false)),
        }
    }
}

/// What became of one task: the id of the new one, if there is one, or why nothing was done.
async fn one(api: &Api, action: Action, task: Task) -> (String, Result<Option<String>, String>) {
    let id = task.id.to_string();
    let done = match action {
        Action::Stop => match api.0.runner.stop(&task.id).await {
            Ok(_) => Ok(None),
            // That it has ended meanwhile is what was wanted.
            Err(StopError::Ended(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        },
        Action::Rerun => {
            let surface = api.now();
            let deployed = surface.endpoints.deployed(&task.name).filter(|deployed| deployed.is_open());
            match deployed.and_then(|deployed| deployed.version(spread)) {
                Some(loaded) if loaded.route.tenant != task.invocation.tenant => {
                    Err("its route is another's now".into())
                }
                Some(loaded) => match rated_by_tenant(&surface, &loaded.route) {
                    Err(problem) => Err(problem.detail().to_owned()),
                    Ok(()) => {
                        let submitted = api.0.runner.submit(loaded, Arc::clone(&task.invocation), None).await;
                        submitted.map(|new| Some(new.id.to_string())).map_err(|error| error.to_string())
                    }
                },
                None => Err("its route takes no tasks".into()),
            }
        }
    };
    (id, done)
}

impl Outcome {
    fn with(mut self, id: String, done: Result<Option<String>, String>) -> Self {
        match done {
            Ok(new_id) => {
                self.done += 1;
                if self.tasks.len() < NAMED {
                    self.tasks.push(Done { id, new_id });
                }
            }
            Err(reason) if self.refused.len() < NAMED => self.refused.push(Refused { id, reason }),
            Err(_) => {}
        }
        self
    }
}
