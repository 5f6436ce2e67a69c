//! Owns the way from what a guest reports (log lines, progress, events, stdout, stderr) to the attempt's sink.
//! Must not know what the sink does with it.

use crate::executor::EventSink;
use crate::task::log::{Level, LogRules};
use crate::task::progress::Step;
use crate::value::Json;
use bytes::Bytes;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// The most bytes of one write: each may be a line, and a host call cannot be interrupted.
const WRITE: usize = 4 * 1024;
/// Lines that an instance may write before it has a task, kept for the first lines of the task.
const EARLY_LINES: usize = 64;

/// Where one instance's reports go. An instance that is kept ready has no task yet.
#[derive(Default, Clone)]
pub struct Reports(Arc<Inner>);

#[derive(Default)]
struct Inner {
    sink: OnceLock<Arc<dyn EventSink>>,
    early: Mutex<Vec<(Level, String)>>,
}

impl Reports {
    /// Reports go to `sink` from now on, what was written before first.
    pub fn connect(&self, sink: Arc<dyn EventSink>) {
        let early = std::mem::take(&mut *self.0.early.lock().unwrap_or_else(PoisonError::into_inner));
        for (level, line) in early {
            sink.log(level, line, Vec::new());
        }
        drop(self.0.sink.set(sink));
    }

    /// A log line.
    pub fn log(&self, level: Level, message: String, fields: Vec<(String, String)>) {
        match self.0.sink.get() {
            Some(sink) => sink.log(level, message, fields),
            None => {
                let mut early = self.0.early.lock().unwrap_or_else(PoisonError::into_inner);
                if early.len() < EARLY_LINES {
                    early.push((level, message));
                }
            }
        }
    }

    /// A step of progress.
    pub fn progress(&self, step: Step) {
        self.0.sink.get().inspect(|sink| sink.progress(step));
    }

    /// Per cent done.
    pub fn percent(&self) -> f64 {
        self.0.sink.get().map_or(0.0, |sink| sink.percent())
    }

    /// An event of the guest's own; the guest waits while it sends faster than they can be kept.
    pub async fn event(&self, name: String, data: Json) {
        if let Some(sink) = self.0.sink.get() {
            sink.room().await;
            sink.event(name, data);
        }
    }
}

/// A guest's stdout or stderr: each line becomes a log line.
#[derive(Clone)]
pub struct LineLog {
    reports: Reports,
    level: Level,
    /// The line that has not ended yet; shared by all streams that the guest opens.
    partial: Arc<Mutex<Vec<u8>>>,
}

impl LineLog {
    /// Lines of this level, to these reports.
    pub fn new(reports: Reports, level: Level) -> Self {
        Self { reports, level, partial: Arc::default() }
    }

    fn take(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let ends = piece.ends_with(b"\n");
            if ends && partial.is_empty() {
                self.emit(piece);
                continue;
            }
            // The log cuts longer lines anyway.
            let room = (LogRules::LONGEST_LINE + 1).saturating_sub(partial.len());
            partial.extend_from_slice(piece.get(..room).unwrap_or(piece));
            if ends {
                self.emit(&partial);
                partial.clear();
            }
        }
    }

    fn emit(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.reports.log(self.level, String::from_utf8_lossy(line).into_owned(), Vec::new());
    }

    /// Writes the last line even though it did not end.
    pub fn finish(&self) {
        let mut partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        if !partial.is_empty() {
            self.emit(&partial);
            partial.clear();
        }
    }
}

impl IsTerminal for LineLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LineLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this one, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LineLog {
    async fn ready(&mut self) {}
}

#[wasmtime_wasi::async_trait]
impl OutputStream for LineLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE {
            return Err(StreamError::trap("more was written than `check-write` permitted"));
        }
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}
