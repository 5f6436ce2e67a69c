//! Owns what a route is after validation, and the table that finds one for a request.
//! Must not know the configuration's syntax, HTTP servers or guests.

pub mod callback;
pub mod expression;
pub mod grants;
pub mod table;
pub mod task_route;

use crate::codec::Format;
use crate::ids::IdScheme;
use crate::task::access::{Allowed, Permission};
use crate::task::log::LogRules;
use crate::value::Json;
use callback::CallbackRule;
use grants::Grants;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The most linear memory that a route may allow its guests. One bulk instruction over all of it cannot be
/// interrupted: 64 MiB take some 15 ms, 1 GiB 370 ms.
pub const MAX_MEMORY: u64 = 1 << 30;

/// How many instances a route may have, and how many tasks may wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolSize {
    /// Instances kept ready ahead of the next task.
    pub min: u32,
    /// Tasks that run at once.
    pub max: u32,
    /// Tasks that wait; one more is refused.
    pub queue: u32,
}

/// What happens to a task whose host died while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLostHost {
    /// It fails: its effects may have happened, so it does not run again.
    Fail,
    /// It runs again, as a further attempt.
    Rerun,
}

/// When a failed attempt is followed by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How many attempts there may be in all, at least 1.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles before each further one.
    pub backoff: Duration,
    /// See [`OnLostHost`].
    pub on_lost_host: OnLostHost,
}

impl Retry {
    /// The longest wait between two attempts.
    pub const MAX_BACKOFF: Duration = Duration::from_secs(3600);

    /// The wait after `attempt` (from 1) has failed; `None` when it was the last one.
    #[must_use]
    pub fn after(&self, attempt: u32) -> Option<Duration> {
        let doubled = self.backoff.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
        (attempt < self.attempts).then(|| doubled.min(Self::MAX_BACKOFF))
    }
}

/// Which shared variables a route's guests may use. What may be written may be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateGrants {
    /// Names that may be read.
    pub read: Vec<String>,
    /// Names that may be read and written.
    pub write: Vec<String>,
}

impl StateGrants {
    /// Whether `name` may be read.
    #[must_use]
    pub fn may_read(&self, name: &str) -> bool {
        self.read.iter().any(|granted| granted == name) || self.may_write(name)
    }

    /// The names that may be read, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.read.iter().chain(&self.write).collect();
        names.into_iter().cloned().collect()
    }

    /// Whether `name` may be written.
    #[must_use]
    pub fn may_write(&self, name: &str) -> bool {
        self.write.iter().any(|granted| granted == name)
    }
}

/// Where a route's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this host.
    File(PathBuf),
    /// An uploaded plugin.
    Plugin(PluginChoice),
}

/// Which versions of a plugin a route runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginChoice {
    /// The plugin.
    pub name: Arc<str>,
    /// Each version (`None`: the latest) and its share of the tasks, in parts of the sum. Never empty.
    pub versions: Vec<(Option<Arc<str>>, u32)>,
}

impl Source {
    /// The uploaded plugin, if it is one.
    #[must_use]
    pub fn plugin(&self) -> Option<&PluginChoice> {
        match self {
            Self::Plugin(choice) => Some(choice),
            Self::File(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Plugin(PluginChoice { name, versions }) => {
                let shares: u32 = versions.iter().map(|(_, share)| share).sum();
                let one = |(version, share): &(Option<Arc<str>>, u32)| {
                    let version = version.as_deref().unwrap_or("latest");
                    if versions.len() == 1 { version.to_owned() } else { format!("{version} {share}/{shares}") }
                };
                write!(formatter, "{name}@{}", versions.iter().map(one).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A text that can name a plugin, or a version of one.
///
/// # Errors
/// What is expected.
pub fn plugin_name(text: &str) -> Result<&str, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    match begins && text.len() <= 64 && text.bytes().all(is_plain) {
        true => Ok(text),
        false => Err("expected 1 to 64 characters out of A-Z a-z 0-9 . _ + -, a letter or digit first".into()),
    }
}

/// How a route's tasks get their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdRule {
    /// By a built-in scheme.
    Scheme(IdScheme),
    /// By a component of world `id-generator` in this file.
    Component(PathBuf),
}

/// How a route's tasks can be followed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SseRule {
    /// Together with which others.
    pub group: Option<Arc<str>>,
    /// Whether a task's last event holds its result.
    pub send_result: bool,
}

/// A validated route.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Unique; tasks are stored under it.
    pub name: Arc<str>,
    /// The tenant that has its path; `None`: it is the host's own.
    pub tenant: Option<Arc<str>>,
    /// The HTTP method, in upper case.
    pub method: String,
    /// The path pattern, with parameters as `{name}`.
    pub path: String,
    /// Where its component comes from.
    pub component: Source,
    /// The configured arguments, an object.
    pub arguments: Json,
    /// The captured variables, an object.
    pub variables: Json,
    /// Shared variables that its guests may use.
    pub state: StateGrants,
    /// What its guests get beyond the empty sandbox.
    pub grants: Arc<Grants>,
    /// The longest time from creation to end.
    pub timeout: Option<Duration>,
    /// The longest time from the start of the first attempt to the end.
    pub run_timeout: Option<Duration>,
    /// The most CPU time of an attempt.
    pub cpu_limit: Option<Duration>,
    /// Instances and queue.
    pub pool: PoolSize,
    /// The most linear memory of an instance, in bytes.
    pub memory: u64,
    /// Whether clients may stop its tasks.
    pub cancellable: bool,
    /// Where ids come from.
    pub id: IdRule,
    /// How its tasks can be followed; `None`: it sends no events.
    pub sse: Option<SseRule>,
    /// Further attempts.
    pub retry: Retry,
    /// What is kept of its guests' lines.
    pub logs: LogRules,
    /// The formats of its answers; the first is the default. Never empty.
    pub responses: Vec<Format>,
    /// The authentication scheme that a caller must pass; `None`: open to everybody.
    pub auth: Option<Arc<str>>,
    /// Who may call it; nobody named: whoever passes `auth`.
    pub access: Allowed,
    /// Who may read and stop its tasks, beside each task's owner.
    pub permission: Permission,
    /// Whom to call when a task has ended.
    pub callback: Option<CallbackRule>,
    /// What it does, in a line, for the documentation; its component may say it too.
    pub summary: Option<String>,
    /// The headings under which the documentation has it.
    pub tags: Vec<String>,
}

/// The name of a route that configures none: `__Put_orders_{id}__` of `PUT /orders/{id}`.
#[must_use]
pub fn default_name(method: &str, path: &str) -> String {
    let mut letters = method.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
    let method: String = first.chain(letters.map(|letter| letter.to_ascii_lowercase())).collect();
    format!("__{method}{}__", path.replace('/', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_original() {
        assert_eq!(default_name("PUT", "/auth/asyncUsing"), "__Put_auth_asyncUsing__");
        assert_eq!(default_name("PUT", "/orders/{id}"), "__Put_orders_{id}__");
    }

    #[test]
    fn backoff_doubles_up_to_its_bound_and_ends() {
        let retry = Retry { attempts: 40, backoff: Duration::from_secs(1), on_lost_host: OnLostHost::Fail };
        let waits: Vec<_> = [1, 2, 3, 39].iter().filter_map(|attempt| retry.after(*attempt)).collect();
        assert_eq!(waits, [1, 2, 4, 3600].map(Duration::from_secs));
        assert_eq!(retry.after(40), None);
    }

    #[test]
    fn a_write_grant_is_a_read_grant() {
        let grants = StateGrants { read: vec!["r".into()], write: vec!["w".into()] };
        assert!(grants.may_read("r") && grants.may_read("w") && grants.may_write("w"));
        assert!(!grants.may_write("r") && !grants.may_read("x"));
    }
}
