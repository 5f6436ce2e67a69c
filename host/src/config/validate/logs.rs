//! Owns the defaults of `logs`, how a route's own come before those of all routes, and the rule between their sizes.
//! Must not know how values are written.

use super::super::raw::logs::RawLogs;
use super::super::reader::At;
use super::super::units::show_size;
use super::Rules;
use crate::task::log::LogRules;

/// What the file says for all routes, or the defaults.
pub struct CommonLogs {
    rules: LogRules,
    /// Whether the file says how long a line may be.
    line_is_said: bool,
}

impl Rules<'_> {
    /// `logs`
    pub fn logs(&self, raw: &RawLogs) -> CommonLogs {
        let defaults = CommonLogs { rules: LogRules::default(), line_is_said: false };
        CommonLogs { rules: self.logs_of_route(raw, &defaults), line_is_said: raw.line.is_some() }
    }

    /// `routes[].logs`
    pub fn logs_of_route(&self, raw: &RawLogs, common: &CommonLogs) -> LogRules {
        let size = |at: &Option<At<u64>>, default: usize| {
            at.as_ref().map_or(default, |at| usize::try_from(at.value).unwrap_or(usize::MAX))
        };
        let bytes = size(&raw.bytes, common.rules.bytes);
        // Where nobody has said how long a line may be, a small log has short lines.
        let longest = if common.line_is_said { common.rules.line } else { LogRules::default().line.min(bytes) };
        let line = size(&raw.line, longest);
        if line > bytes {
            let (shown, most) = (show_size(line as u64), show_size(bytes as u64));
            match (&raw.line, &raw.bytes) {
                (Some(at), _) => {
                    self.sink
                        .report(at.place, format!("line: expected at most `bytes`, which is {most}, found {shown}"));
                }
                (None, Some(at)) => {
                    self.sink
                        .report(at.place, format!("bytes: expected at least `line`, which is {shown}, found {most}"));
                }
                (None, None) => {}
            }
        }
        LogRules {
            bytes,
            line,
            level: raw.level.as_ref().map_or(common.rules.level, |at| at.value),
            forward: raw.forward.as_ref().map_or(common.rules.forward, |at| at.value),
        }
    }
}
