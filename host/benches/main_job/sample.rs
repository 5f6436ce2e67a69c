//! Percentiles of measured times.

use std::time::Duration;

/// `p50`, `p99` and the largest, in one line.
pub fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share| at(&times, share);
    format!("p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms", at(0.5), at(0.99), at(1.0))
}

/// The milliseconds that this share of the sorted times took at most.
pub fn at(times: &[Duration], share: f64) -> f64 {
    times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3
}

/// A file of the examples.
pub fn component(name: &str) -> std::path::PathBuf {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples");
    let built = examples.join("target/components").join(name);
    if built.exists() { built } else { examples.join("prebuilt").join(name) }
}
