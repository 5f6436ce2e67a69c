//! Owns the way from an engine error to what a client reads of it: one plain sentence for each kind.
//! Must not know what caused the guest's fault beyond what the engine and the limits say.

use super::control::Interrupt;
use super::instance::HostState;
use crate::task::ending::{Fault, Outcome};
use crate::task::log::{Level, Line};
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Frames of a guest's backtrace that its log keeps.
const FRAMES: usize = 20;
/// Characters of a function's name that are shown.
const LONGEST_NAME: usize = 200;

/// How the call that ended in `error` turned out. Where the guest is to blame, its backtrace goes to the task's log.
pub fn outcome_of(error: &wasmtime::Error, state: &HostState) -> Outcome {
    if let Some(interrupt) = error.downcast_ref::<Interrupt>() {
        return match *interrupt {
            Interrupt::Stop(reason) => Outcome::Stopped(reason),
            Interrupt::CpuLimit(limit) => fault(error, state, Fault::CpuLimit(limit)),
        };
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Outcome::Fault(Fault::Exit(exit.0));
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() {
        return Outcome::Fault(Fault::NotRunnable("the host has no room for another instance".into()));
    }
    // Guests that are refused memory mostly panic: the refusal is what the user needs to know.
    let refused = state.limits.refused_memory().map(Fault::MemoryLimit);
    let root = error.root_cause().to_string();
    let kind = match (error.downcast_ref::<Trap>(), refused) {
        (Some(Trap::StackOverflow), _) => Fault::StackOverflow,
        (_, Some(memory)) => memory,
        (Some(trap), None) => Fault::Trap(format!("{trap}{}", location_of(error))),
        // These have no type of their own in wasmtime.
        (None, None) if root.contains("too much data") => Fault::HostCallLimit,
        (None, None) if is_unreadable(error, &root) => Fault::BadResult(root),
        (None, None) if root.contains("exceeds memory limits") => Fault::MemoryLimit(state.limits.memory()),
        (None, None) => Fault::Trap(format!("{root}{}", location_of(error))),
    };
    fault(error, state, kind)
}

/// Whether that is what the engine says of a result that it cannot take out of a guest's memory. Then no guest code is on the
/// stack, unlike with what a guest hands to the host's functions; nor is it with memory that a guest has allocated badly.
fn is_unreadable(error: &wasmtime::Error, root: &str) -> bool {
    let said = ["utf-8", "out of bounds", "out of range", "aligned", "discriminant"];
    error.downcast_ref::<WasmBacktrace>().is_none()
        && !root.starts_with("realloc")
        && said.iter().any(|words| root.contains(words))
}

fn fault(error: &wasmtime::Error, state: &HostState, fault: Fault) -> Outcome {
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let frames = backtrace.frames().iter().take(FRAMES).map(|frame| {
            let function = name_of(frame).unwrap_or_else(|| format!("function {}", frame.func_index()));
            format!("\n  at {function}")
        });
        let text: String = frames.collect();
        state.reports.log(Level::Error, format!("{fault}{text}"), Vec::new());
    }
    Outcome::Fault(fault)
}

fn location_of(error: &wasmtime::Error) -> String {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    let name = backtrace.and_then(|backtrace| backtrace.frames().iter().find_map(name_of));
    name.map_or_else(String::new, |name| format!(" in {name}"))
}

/// The function's name as it stands in the guest's source, cut: it is the guest's text.
fn name_of(frame: &FrameInfo) -> Option<String> {
    let name = format!("{:#}", rustc_demangle::demangle(frame.func_name()?));
    Some(Line::cut(name.chars().take(LONGEST_NAME).collect()))
}
