//! Owns where the server's own log goes: standard error, as text on a terminal and as JSON lines otherwise.
//! Must not know what is logged.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The variable that sets what is logged, in the syntax of `tracing_subscriber::EnvFilter`; `info` without it.
pub const LOG_VARIABLE: &str = "SANDPOOL_LOG";

/// Starts logging. Called once, before anything else.
pub fn start() {
    let wanted = std::env::var(LOG_VARIABLE).ok().filter(|wanted| !wanted.is_empty());
    let parsed = EnvFilter::try_new(wanted.as_deref().unwrap_or("info"));
    let fault = parsed.as_ref().err().map(ToString::to_string);
    let filter = parsed.unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // A second start, as in tests, changes nothing.
    drop(match std::io::stderr().is_terminal() {
        true => log.try_init(),
        false => log.json().flatten_event(true).with_ansi(false).try_init(),
    });
    if let Some(fault) = fault {
        tracing::warn!("{LOG_VARIABLE} cannot be read ({fault}); logging at `info`");
    }
}
