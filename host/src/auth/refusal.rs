//! Owns why a caller is not let in: what the client is told, and what only the log is.
//! Must not know which request it was, nor the answer's form.

/// The realm of all challenges (RFC 9110 §11.5).
pub const REALM: &str = "sandpool";

/// What kind of answer a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// No or wrong credentials: 401 with the challenges.
    Unauthenticated,
    /// More password checks wait than can be made soon; the client should try again: 503 with `Retry-After`.
    Busy,
    /// The keys that tokens are verified with could not be had yet: 503 with `Retry-After`.
    Unavailable,
}

/// A caller who is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What kind of answer it is.
    pub kind: RefusalKind,
    /// Values of `WWW-Authenticate`, at least one.
    pub challenges: Vec<String>,
    /// Why, for the server's log; it holds nothing that was presented.
    pub reason: String,
}

impl Refusal {
    /// Credentials that are absent or wrong.
    #[must_use]
    pub fn unauthenticated(challenge: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Unauthenticated, challenges: vec![challenge.into()], reason: reason.into() }
    }

    /// Of several schemes none of which let the caller in. What could succeed a little later is told first.
    #[must_use]
    pub fn united(refusals: Vec<Self>) -> Self {
        let kinds = [RefusalKind::Busy, RefusalKind::Unavailable];
        let kind = kinds.into_iter().find(|kind| refusals.iter().any(|refusal| refusal.kind == *kind));
        let reasons: Vec<_> = refusals.iter().map(|refusal| refusal.reason.as_str()).collect();
        let reason = reasons.join("; ");
        let mut challenges = Vec::new();
        for challenge in refusals.into_iter().flat_map(|refusal| refusal.challenges) {
            if !challenges.contains(&challenge) {
                challenges.push(challenge);
            }
        }
        Self { kind: kind.unwrap_or(RefusalKind::Unauthenticated), challenges, reason }
    }
}
