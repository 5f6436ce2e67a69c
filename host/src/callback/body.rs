//! Owns what a receiver reads: the callback's body in each format. Must not know how it is sent.

use crate::clock::Timestamp;
use crate::codec::{Format, encode_view};
use crate::task::Task;
use crate::task::callback::Callback;
use crate::task::state::State;
use crate::value::Json;
use serde::Serialize;

/// The root element in XML.
const ROOT: &str = "TaskCallback";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    id: &'a str,
    name: &'a str,
    url: &'a str,
    method: &'a str,
    event_name: &'a str,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_time: Option<Timestamp>,
}

/// The body that tells of a task's end.
#[must_use]
pub fn body(task: &Task, callback: &Callback) -> Vec<u8> {
    let request = &task.invocation.request;
    let body = Body {
        id: task.id.as_str(),
        name: &task.name,
        url: &request.url,
        method: &request.method,
        event_name: &callback.event,
        state: task.state,
        result: task.result.as_ref().filter(|_| callback.send_result),
        error: task.error.as_deref(),
        completed_time: task.completed,
    };
    let format = Format::ALL.into_iter().find(|format| format.media_type() == callback.content_type);
    encode_view(format.unwrap_or(Format::Json), ROOT, &body)
}
