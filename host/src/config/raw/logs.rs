//! Owns what is kept of guests' lines, as it stands in the file: `logs`, and the like of routes.
//! Must not know defaults, or rules between values.

use super::super::reader::{At, Fields, size, word};
use crate::task::log::{Level, LogRules};

const LEAST_LINE: u64 = 64;
const LEAST_BYTES: u64 = 1 << 10;
const MOST_BYTES: u64 = 16 << 20;

const FORWARDED: [(&str, Option<Level>); 6] = [
    ("trace", Some(Level::Trace)),
    ("debug", Some(Level::Debug)),
    ("info", Some(Level::Info)),
    ("warn", Some(Level::Warn)),
    ("error", Some(Level::Error)),
    ("none", None),
];

/// `logs`
pub struct RawLogs {
    /// `bytes`
    pub bytes: Option<At<u64>>,
    /// `line`
    pub line: Option<At<u64>>,
    /// `level`
    pub level: Option<At<Level>>,
    /// `forward`; the inner `None`: `none`
    pub forward: Option<At<Option<Level>>>,
}

/// Reads a section `logs`.
pub fn logs(mut fields: Fields<'_>) -> RawLogs {
    let logs = RawLogs {
        bytes: fields.take("bytes", size(LEAST_BYTES, MOST_BYTES)),
        line: fields.take("line", size(LEAST_LINE, LogRules::LONGEST_LINE as u64)),
        level: fields.take("level", word(&Level::NAMES, &[])),
        forward: fields.take("forward", word(&FORWARDED, &[])),
    };
    fields.finish();
    logs
}
