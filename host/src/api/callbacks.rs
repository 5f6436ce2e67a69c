//! Owns how a task's callback is looked at and sent again. Must not know how it is delivered.

use super::problem::Problem;
use super::tasks::{self, AboutTask};
use crate::callback::ResendError;
use crate::clock::Timestamp;
use crate::task::callback::{Attempt, Callback, Delivery, Standing};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde::Serialize;

/// A delivery as it is answered.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct View<'a> {
    state: Standing,
    tentative: u32,
    url: &'a str,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt: Option<Timestamp>,
    attempts: Vec<AttemptView<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AttemptView<'a> {
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    seconds: f64,
}

impl<'a> View<'a> {
    fn of(callback: &'a Callback, delivery: &'a Delivery) -> Self {
        let attempt = |attempt: &'a Attempt| AttemptView {
            at: attempt.at,
            status: attempt.status,
            error: attempt.error.as_deref(),
            seconds: attempt.took.as_secs_f64(),
        };
        Self {
            state: delivery.progress.standing,
            tentative: delivery.progress.made,
            url: &callback.shown.url,
            event: &callback.event,
            next_attempt: delivery.next,
            attempts: delivery.attempts.iter().map(attempt).collect(),
        }
    }
}

pub async fn answer(about: AboutTask<'_>) -> Result<Response, Problem> {
    let caller = about.admit().await?;
    let task = about.task(&caller).await?;
    let surface = about.api.now();
    let callbacks = &surface.options.callbacks;
    let callback = task.invocation.callback.as_deref();
    if about.parts.method != Method::POST {
        let delivery = callbacks.delivery(&task.id).await?;
        let views: Vec<View<'_>> = callback
            .zip(delivery.as_ref())
            .map(|(callback, delivery)| View::of(callback, delivery))
            .into_iter()
            .collect();
        return Ok(tasks::respond_with(StatusCode::OK, &views, "Deliveries", caller.answer));
    }
    if !caller.may_write(&task) {
        return Err(Problem::new(403, "You may read this task, but not send its callback."));
    }
    callbacks.resend(&task.id).await?;
    match callback.zip(callbacks.delivery(&task.id).await?.as_ref()) {
        Some((callback, delivery)) => {
            let view = View::of(callback, delivery);
            Ok(tasks::respond_with(StatusCode::ACCEPTED, &view, "Delivery", caller.answer))
        }
        None => Err(ResendError::NoCallback.into()),
    }
}
