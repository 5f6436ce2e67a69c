//! Owns who calls, what they accept, and the one rule of which tasks they may see and stop.
//! Must not know how credentials are checked.

use super::edge::Peer;
use super::problem::Problem;
use super::{Api, request};
use crate::auth::Presented;
use crate::codec::{Answer, Format, negotiate};
use crate::principal::Principal;
use crate::task::Task;
use axum::http::request::Parts;

/// A caller who was let in, and how it wants to be answered.
pub struct Caller {
    /// Who; `None` is anonymous.
    pub principal: Option<Principal>,
    /// In which form.
    pub answer: Answer,
}

impl Caller {
    /// Lets a caller in: first by what it accepts, then by the endpoint's scheme.
    pub async fn admit(api: &Api, scheme: Option<&str>, responses: &[Format], parts: &Parts) -> Result<Self, Problem> {
        let answer =
            negotiate(request::accepted(&parts.headers), responses).ok_or_else(|| not_acceptable(responses))?;
        Ok(Self { principal: Self::authenticate(api, scheme, parts).await?, answer })
    }

    /// Lets in a caller who wants plain text; what cannot be text is JSON.
    pub async fn of_text(api: &Api, scheme: Option<&str>, parts: &Parts) -> Result<Self, Problem> {
        let answer = Answer { format: Format::Json, media_type: Format::Json.media_type() };
        Ok(Self { principal: Self::authenticate(api, scheme, parts).await?, answer })
    }

    /// Who calls; nobody is asked without a scheme.
    pub async fn authenticate(api: &Api, scheme: Option<&str>, parts: &Parts) -> Result<Option<Principal>, Problem> {
        let Some(scheme) = scheme else { return Ok(None) };
        let query = request::query(&parts.uri);
        let presented = Presented { headers: &parts.headers, query: &query };
        Ok(Some(api.now().authenticator.authenticate(scheme, &presented).await?))
    }

    /// By what the rate of submits is counted: the user, or else the machine.
    pub fn bucket(&self, parts: &Parts) -> String {
        match (&self.principal, Peer::of(parts).0) {
            (Some(principal), _) => format!("user {}", principal.id),
            (None, Some(address)) => format!("peer {}", address.ip().to_canonical()),
            (None, None) => "peer".to_owned(),
        }
    }

    /// Whether the task exists for this caller.
    pub fn may_read(&self, task: &Task) -> bool {
        task.permission.as_ref().is_none_or(|permission| permission.may_read(self.principal.as_ref()))
    }

    /// Whether this caller may stop the task.
    pub fn may_write(&self, task: &Task) -> bool {
        task.permission.as_ref().is_none_or(|permission| permission.may_write(self.principal.as_ref()))
    }
}

pub fn not_acceptable(responses: &[Format]) -> Problem {
    let offered: Vec<&str> = responses.iter().map(|format| format.media_type()).collect();
    Problem::new(406, format!("`Accept` allows none of what is answered here: {}.", offered.join(", ")))
}
