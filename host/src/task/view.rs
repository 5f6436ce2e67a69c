//! Owns the AsyncTask object: how a task looks to clients. Names and casing are the contract's.
//! Must not know how the task was found.

use super::access::Permission;
use super::callback::{Callback, Progress, Standing};
use super::progress::Percent;
use super::state::State;
use super::{Sse, Task};
use crate::clock::Timestamp;
use crate::ids::TaskId;
use crate::value::Json;
use serde::Serialize;
use std::collections::BTreeMap;

/// The AsyncTask object; fields without a value are absent.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct AsyncTask<'a> {
    id: &'a str,
    name: &'a str,
    state: State,
    cancellable: bool,
    creation_time: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expire_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    starting_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    permission: Option<&'a Permission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Percent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sse: Option<SseView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_settings: Option<CallbackSettings<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    callback_info: Option<CallbackInfo<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    url: &'a str,
    method: &'a str,
}

/// How the task's end is told, as it is configured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CallbackSettings<'a> {
    url_field: &'a str,
    method: &'a str,
    content_type: &'a str,
    header_fields: BTreeMap<&'a str, &'a str>,
    send_result: bool,
    event_name: &'a str,
}

impl<'a> From<&'a Callback> for CallbackSettings<'a> {
    fn from(callback: &'a Callback) -> Self {
        let shown = &callback.shown;
        Self {
            url_field: &shown.url_field,
            method: &shown.method,
            content_type: &callback.content_type,
            header_fields: shown.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            send_result: callback.send_result,
            event_name: &callback.event,
        }
    }
}

/// How far that has come.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct CallbackInfo<'a> {
    state: Standing,
    tentative: u32,
    url: &'a str,
}

impl<'a> CallbackInfo<'a> {
    fn of(callback: &'a Callback, task: &Task) -> Self {
        let Progress { standing, made } = task.delivery.unwrap_or(Progress::NONE);
        Self { state: standing, tentative: made, url: &callback.shown.url }
    }
}

impl<'a> From<&'a Task> for AsyncTask<'a> {
    fn from(task: &'a Task) -> Self {
        Self {
            id: task.id.as_str(),
            name: &task.name,
            state: task.state,
            cancellable: task.cancellable,
            creation_time: task.created,
            expire_time: task.expires,
            starting_time: task.started,
            completed_time: task.completed,
            user: task.invocation.user.as_ref().map(|user| user.id.as_str()),
            permission: task.permission.as_deref(),
            progress: task.progress.map(Percent),
            result: task.result.as_ref(),
            error: task.error.as_deref(),
            sse: task.invocation.sse.as_ref().map(|sse| SseView::of(sse, &task.id)),
            callback_settings: task.invocation.callback.as_deref().map(CallbackSettings::from),
            callback_info: task.invocation.callback.as_deref().map(|callback| CallbackInfo::of(callback, task)),
            attempt: (task.attempt > 0).then_some(task.attempt),
            url: &task.invocation.request.url,
            method: &task.invocation.request.method,
        }
    }
}

impl AsyncTask<'_> {
    /// Without what the guest answered.
    #[must_use]
    pub fn without_result(self) -> Self {
        Self { result: None, ..self }
    }
}

/// Where and with whom the task can be followed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SseView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
}

impl<'a> SseView<'a> {
    fn of(sse: &'a Sse, id: &TaskId) -> Self {
        Self { url: sse.url.as_ref().map(|url| format!("{url}{id}")), group: sse.group.as_deref() }
    }
}
