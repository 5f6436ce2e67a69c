//! Owns the tests of `logs`, of all routes and of one.
//! Must not know other keys: `tests` does.

use super::tests::{ROUTE, faults, folder, loaded};
use super::*;
use crate::task::log::{Level, LogRules};

/// The rules of the one route, whose own `logs` are `own`.
fn rules(common: &str, own: &str) -> LogRules {
    let text = format!("{common}\n{}", ROUTE.replace("path: /a,", &format!("path: /a, logs: {{{own}}},")));
    loaded(&text, Format::Yaml, folder().path()).routes.first().expect("a route").logs
}

#[test]
fn a_routes_own_rules_come_before_those_of_all() {
    let default = LogRules { bytes: 64 << 10, line: 8 << 10, level: Level::Trace, forward: Some(Level::Warn) };
    assert_eq!(rules("", ""), default);
    assert_eq!(
        rules("logs: {level: DEBUG, forward: none}", ""),
        LogRules { level: Level::Debug, forward: None, ..default }
    );
    let common = "logs: {bytes: 1MiB, line: 64KiB, level: error, forward: error}";
    assert_eq!(
        rules(common, "line: 64, level: info, forward: trace"),
        LogRules { bytes: 1 << 20, line: 64, level: Level::Info, forward: Some(Level::Trace) }
    );
    assert_eq!(rules(common, "bytes: 16MiB"), rules("", "bytes: 16MiB, line: 64KiB, level: error, forward: error"));
    // A small log has short lines, unless their length is said.
    assert_eq!(rules("", "bytes: 1KiB").line, 1 << 10);
    assert_eq!(rules("logs: {bytes: 1KiB}", "bytes: 4KiB").line, 4 << 10);
}

#[test]
fn faults_of_logs() {
    let words = "expected trace, debug, info, warn, error or none, found the text `loud`";
    for (logs, told) in [
        ("bytes: 1023", "logs-at bytes: expected a size from 1KiB to 16MiB, found the number 1023"),
        ("bytes: 17MiB", "logs-at bytes: expected a size from 1KiB to 16MiB, found the text `17MiB`"),
        ("line: 63", "logs-at line: expected a size from 64B to 64KiB, found the number 63"),
        ("line: 65KiB", "logs-at line: expected a size from 64B to 64KiB, found the text `65KiB`"),
        ("level: none", "logs-at level: expected trace, debug, info, warn or error, found the text `none`"),
        ("forward: loud", &format!("logs-at forward: {words}")),
        ("color: 5", "logs-at unknown key `color` in `logs`; it may have bytes, line, level, forward"),
        ("line: 2KiB, bytes: 1KiB", "logs-at line: expected at most `bytes`, which is 1KiB, found 2KiB"),
    ] {
        let found = faults(&format!("logs: {{{logs}}}\n{ROUTE}"), Format::Yaml);
        let of_route = faults(&ROUTE.replace("path: /a,", &format!("path: /a, logs: {{{logs}}},")), Format::Yaml);
        let (_, words) = told.split_once("logs-at ").expect("a mark");
        assert!(found.contains(words), "{found}");
        assert!(of_route.contains(&words.replace("`logs`", "a route's `logs`")), "{of_route}");
    }
    let own = ROUTE.replace("path: /a,", "path: /a, logs: {bytes: 1KiB},");
    let found = faults(&format!("logs: {{line: 2KiB}}\n{own}"), Format::Yaml);
    assert!(found.contains("bytes: expected at least `line`, which is 2KiB, found 1KiB"), "{found}");
    assert_eq!(found.lines().count(), 1, "{found}");
}
