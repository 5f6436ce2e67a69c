//! Owns the defaults and rules of callbacks: whom a route calls, and how the server delivers.
//! Must not know how values are written, nor how a callback is sent.

use super::super::Callbacks;
use super::super::fault::Place;
use super::super::node::excerpt;
use super::super::raw::callback::{RawCallback, RawCallbacks};
use super::super::reader::At;
use super::{Rules, or};
use crate::callback::Schedule;
use crate::codec::Format;
use crate::guard::Guard;
use crate::route::callback::{CallbackRule, METHODS, default_event};
use crate::route::expression::{Expression, Template};
use std::collections::HashMap;
use std::time::Duration;

/// Where a request says whom to call, when nothing is configured.
const DEFAULT_URL: &str = "$request.body#/callbackUrl";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

impl Rules<'_> {
    /// `callbacks`
    pub fn callbacks(&self, raw: RawCallbacks) -> Callbacks {
        let standard = Schedule::standard();
        let waits = raw.schedule.unwrap_or_default().into_iter().map(|at| at.value).collect::<Vec<_>>();
        Callbacks {
            guard: Guard::new(raw.allow.into_iter().map(|at| at.value).collect()),
            keys: raw.keys.into_iter().map(|at| at.value).collect(),
            schedule: Schedule {
                attempts: or(raw.attempts, standard.attempts),
                waits: if waits.is_empty() { standard.waits } else { waits },
            },
            timeout: or(raw.timeout, DEFAULT_TIMEOUT),
        }
    }

    /// `callback` of the route with this path.
    pub fn callback(&self, raw: RawCallback, path: &str, guard: &Guard) -> Option<CallbackRule> {
        let url = match raw.url {
            Some(at) => {
                self.check_url(&at, guard);
                self.check_parameters("url", &at, path);
                at.value
            }
            None if raw.has_url => return None,
            None => self.default(DEFAULT_URL, raw.place)?,
        };
        let method = match raw.method {
            Some(at) => {
                self.check_method(&at);
                self.check_parameters("method", &at, path);
                at.value
            }
            None => self.default("POST", raw.place)?,
        };
        let mut taken: HashMap<String, usize> = HashMap::new();
        for (name, value) in &raw.headers {
            if let Some(line) = taken.insert(name.value.to_ascii_lowercase(), name.place.line) {
                let message =
                    format!("headers: expected each name once, `{}` is that of line {line}", excerpt(&name.value));
                self.sink.report(name.place, message);
            }
            self.check_parameters("headers", value, path);
        }
        Some(CallbackRule {
            url,
            method,
            content_type: or(raw.content_type, Format::Json),
            headers: raw.headers.into_iter().map(|(name, value)| (name.value, value.value)).collect(),
            send_result: or(raw.send_result, false),
            event: or(raw.event, default_event(path)),
        })
    }

    fn default(&self, text: &str, place: Place) -> Option<Template> {
        Template::parse(text).inspect_err(|fault| self.sink.report(place, fault.clone())).ok()
    }

    /// What can be known of a URL before there is a request. The text is not shown: its query may be a secret.
    fn check_url(&self, at: &At<Template>, guard: &Guard) {
        let written = at.value.written();
        if at.value.is_literal() {
            let refused = match url::Url::parse(written) {
                Ok(url) => guard.check(&url).err().map(|refusal| refusal.0),
                Err(error) => Some(format!("expected an http or https URL, or an expression ({error})")),
            };
            if let Some(why) = refused {
                self.sink.report(at.place, format!("url: {why}; `callbacks.allow` exempts hosts and addresses"));
            }
            return;
        }
        if written.starts_with('$') || written.starts_with("{$") {
            return;
        }
        let rest = written.strip_prefix("https://").or_else(|| written.strip_prefix("http://"));
        let Some(rest) = rest else {
            self.sink.report(at.place, "url: expected http://, https:// or an expression at its beginning");
            return;
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
        if authority.replace("{$", "").contains('@') {
            self.sink.report(at.place, "url: expected a URL without user name and password");
        }
    }

    fn check_method(&self, at: &At<Template>) {
        let written = at.value.written();
        if at.value.is_literal() && !METHODS.contains(&written.to_ascii_uppercase().as_str()) {
            let found = excerpt(&self.sink.without_values(written));
            let message = format!("method: expected {} or an expression, found `{found}`", METHODS.join(", "));
            self.sink.report(at.place, message);
        }
    }

    /// A path parameter that the route does not have would never be there.
    fn check_parameters(&self, key: &str, at: &At<Template>, path: &str) {
        for expression in at.value.expressions() {
            let Expression::Path(name) = expression else { continue };
            let is_there = ["{", "{*"].iter().any(|start| path.contains(&format!("{start}{name}}}")));
            if !is_there {
                let message = format!("{key}: expected a parameter of the route's path, found `{}`", excerpt(name));
                self.sink.report(at.place, message);
            }
        }
    }
}
