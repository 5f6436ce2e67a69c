//! Owns how a task's captured log is read: as text, or as a list of lines. Must not know how it is captured.

use super::caller::Caller;
use super::problem::Problem;
use super::tasks::AboutTask;
use super::{request, tasks};
use crate::codec::prefers_text;
use crate::task::log::Line;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::RawValue;

pub async fn answer(about: AboutTask<'_>) -> Result<Response, Problem> {
    let AboutTask { api, task_route, parts, .. } = about;
    let as_text = prefers_text(request::accepted(&parts.headers), &task_route.responses);
    let caller = match as_text {
        true => Caller::of_text(api, task_route.auth.as_deref(), parts).await?,
        false => about.admit().await?,
    };
    let after = after(parts)?;
    let task = about.task(&caller).await?;
    let stored = api.0.runner.log(&task.id).await?.unwrap_or_default();
    let lines = stored.lines().filter_map(|text| Some((text, serde_json::from_str::<Line>(text).ok()?)));
    let lines = lines.filter(|(_, line)| line.seq > after);
    if !as_text {
        let raw: Vec<&RawValue> = lines.filter_map(|(text, _)| serde_json::from_str(text).ok()).collect();
        return Ok(tasks::respond_with(StatusCode::OK, &raw, "Log", caller.answer));
    }
    let mut text = String::new();
    for (_, Line { seq: _, at, level, message, fields }) in lines {
        // A line of the guest stays one line here: what it broke is indented.
        let message = message.trim_end_matches('\n').replace('\n', "\n    ");
        let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        text.push_str(&format!("{at} {:<5} {message}{fields}\n", level.name()));
    }
    let mut response = (StatusCode::OK, text).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(tasks::negotiated(response))
}

/// `?after=N`: only lines with a greater `seq`.
fn after(parts: &Parts) -> Result<u64, Problem> {
    let Some(value) = request::parameter(&parts.uri, "after") else { return Ok(0) };
    let seq = value.parse::<i64>().ok().and_then(|seq| u64::try_from(seq).ok());
    seq.ok_or_else(|| {
        Problem::new(
            400,
            format!("The query parameter `after` must be the `seq` of a line, a whole number from 0, not `{value}`."),
        )
    })
}
