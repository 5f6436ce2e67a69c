//! Keeps the house liveable: layers, file sizes, function sizes, opening words, named tasks. The table is ARCHITECTURE.md's.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules by layer. A file imports only from layers below its own, or from its own module.
/// Within layer 1 the order counts: each of these builds on those before it.
const LAYERS: [&[&str]; 14] = [
    &["value", "clock", "ids", "principal", "trace"],
    &["task", "codec", "guard"],
    &["route", "schema", "metrics"],
    &["tenant"],
    &["executor"],
    &["store", "wasm", "auth"],
    &["events", "runner", "callback", "plugins"],
    &["api"],
    &["config", "telemetry", "project"],
    &["site"],
    &["app"],
    &["cli"],
    &["main"],
    &["lib"],
];
/// Crates that only some modules may name.
const CRATES: [(&str, &[&str]); 19] = [
    ("axum", &["api", "app"]),
    ("axum_server", &["app"]),
    ("wasmtime", &["wasm"]),
    ("wasmtime_wasi", &["wasm"]),
    ("wasmtime_wasi_http", &["wasm"]),
    ("rusqlite", &["store"]),
    ("clap", &["cli"]),
    ("notify", &["project"]),
    ("wat", &["project"]),
    ("wit_bindgen_c", &["project"]),
    ("wit_bindgen_go", &["project"]),
    ("wit_component", &["project"]),
    ("wit_parser", &["project"]),
    ("prometheus_client", &["metrics"]),
    ("opentelemetry", &["trace", "telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("tracing_opentelemetry", &["trace", "telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
];
/// Layers 0 and 1 know no runtime.
const RUNTIME_FREE: [&str; 13] = [
    "value",
    "clock",
    "ids",
    "principal",
    "trace",
    "task",
    "codec",
    "route",
    "schema",
    "metrics",
    "tenant",
    "executor",
    "config",
];
/// Files that start tasks on the runtime; each names and joins what it starts.
const SPAWNERS: [&str; 9] = [
    "api/manage.rs",
    "site.rs",
    "runner/submit.rs",
    "runner/recover.rs",
    "wasm/engine.rs",
    "app.rs",
    "wasm/pool.rs",
    "wasm/outgoing/send.rs",
    "callback/deliver.rs",
];
const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

struct Source {
    name: String,
    text: String,
}

impl Source {
    /// The file's module: its first path component.
    fn module(&self) -> &str {
        self.name.split(['/', '.']).next().unwrap_or("")
    }

    /// The text before its unit tests.
    fn code(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod tests").next().unwrap_or("")
    }

    fn is_test(&self) -> bool {
        self.name.contains("conformance") || self.name.ends_with("tests.rs")
    }
}

fn sources(folder: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.into()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let name = entry.strip_prefix(folder).expect("below").display().to_string();
                found.push(Source { name, text: fs::read_to_string(&entry).expect("text") });
            }
        }
    }
    found
}

fn host() -> Vec<Source> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

fn layer(module: &str) -> usize {
    LAYERS.iter().position(|modules| modules.contains(&module)).unwrap_or_else(|| panic!("{module} is in no layer"))
}

fn report(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Module names that a line mentions as `crate::NAME`.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next())
}

#[test]
fn a_file_imports_only_from_lower_layers() {
    let mut faults = Vec::new();
    for source in host().iter().filter(|source| !source.is_test()) {
        let own = layer(source.module());
        for (number, line) in source.code().lines().enumerate().filter(|(_, line)| !line.trim().starts_with("//")) {
            for import in imports(line).filter(|import| *import != source.module()) {
                if layer(import) >= own {
                    faults.push(format!("{}:{}: imports {import}", source.name, number + 1));
                }
            }
            for (name, allowed) in CRATES {
                let named = line.contains(&format!("{name}::")) && !line.contains(&format!("_{name}::"));
                if named && !allowed.contains(&source.module()) {
                    faults.push(format!("{}:{}: names {name}", source.name, number + 1));
                }
            }
            if RUNTIME_FREE.contains(&source.module()) && line.contains("tokio") {
                faults.push(format!("{}:{}: names a runtime", source.name, number + 1));
            }
        }
    }
    report(&faults);
}

#[test]
fn every_file_says_what_it_owns() {
    let faults: Vec<String> = host()
        .iter()
        .filter(|source| !source.is_test() && !["lib.rs", "main.rs"].contains(&source.name.as_str()))
        .filter(|source| {
            let opening: String = source.text.lines().take_while(|line| line.starts_with("//!")).collect();
            !opening.contains("Owns") || !["ust not", "ust be"].iter().any(|word| opening.contains(word))
        })
        .map(|source| format!("{}: opens without `//! Owns …` and what it must not know", source.name))
        .collect();
    report(&faults);
}

#[test]
fn files_and_functions_stay_small() {
    let mut faults = Vec::new();
    let tests = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests"));
    for source in host().iter().chain(&tests) {
        let lines = source.text.lines().count();
        if lines > FILE_LINES {
            faults.push(format!("{}: {lines} lines", source.name));
        }
        if source.name.ends_with("mod.rs") {
            faults.push(format!("{}: mod.rs", source.name));
        }
        faults.extend(long_functions(source));
    }
    report(&faults);
}

/// A function's lines run from its `fn` to the closing brace of the same indentation; rustfmt keeps that true.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut faults = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        if !["fn ", "pub fn ", "async fn ", "pub async fn ", "pub(super) fn ", "pub(super) async fn "]
            .iter()
            .any(|opening| trimmed.starts_with(opening))
        {
            continue;
        }
        // A signature may take several lines; one that ends in `;` has no body.
        let body = lines[start..].iter().find(|line| line.ends_with(['{', '}', ';']));
        if body.is_none_or(|line| !line.ends_with('{')) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(line.len() - trimmed.len()));
        let length = lines[start..].iter().position(|line| **line == close).unwrap_or(0);
        if length > FUNCTION_LINES {
            faults.push(format!("{}:{}: a function of {length} lines", source.name, start + 1));
        }
    }
    faults
}

#[test]
fn tasks_are_started_in_few_places() {
    let faults: Vec<String> = host()
        .iter()
        .filter(|source| !source.is_test() && !SPAWNERS.contains(&source.name.as_str()))
        .filter(|source| {
            source.code().contains("tokio::spawn")
                || source.code().contains("drivers.spawn")
                || source.code().contains("attempts.spawn")
        })
        .map(|source| format!("{}: starts tasks", source.name))
        .collect();
    report(&faults);
}
