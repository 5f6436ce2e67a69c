//! The other commands: `check`, `run`, `inspect`; their answers and exit codes.

use crate::support::{assembled, component, sandpool};
use serde_json::{Value, json};
use std::process::Output;

fn call(arguments: &[&str]) -> Output {
    sandpool().args(arguments).output().expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

#[test]
fn run_prints_the_result_and_the_log() {
    let hello = component("hello.wasm");
    let ran = call(&["run", &hello, "--input", r#"{"name": "you"}"#, "--arguments", r#"{"a": [1]}"#]);
    assert_eq!(ran.status.code(), Some(0), "{}", err(&ran));
    let result: Value = serde_json::from_str(&out(&ran)).expect("JSON");
    assert_eq!((&result["input"], &result["arguments"]), (&json!({"name": "you"}), &json!({"a": [1]})));
    assert!(err(&ran).contains("info  hello, you"), "{}", err(&ran));
}

#[test]
fn run_shares_variables_and_reports_failures_with_exit_code_1() {
    let counter = component("counter.wasm");
    let counted = call(&["run", &counter, "--state", r#"{"counter": 41}"#, "--json"]);
    let answer: Value = serde_json::from_str(&out(&counted)).expect("JSON");
    assert_eq!(answer, json!({"State": "Completed", "Result": {"value": 42, "version": 2}}));
    let misbehaving = component("misbehaving.wasm");
    let failed = call(&["run", &misbehaving, "--input", r#"{"mode": "fail"}"#]);
    assert_eq!(failed.status.code(), Some(1));
    assert!(err(&failed).contains("Failed: failed as it was told to"), "{}", err(&failed));
    assert_eq!(out(&failed), r#"{"code":42}"#);
    let stopped = call(&["run", &misbehaving, "--input", r#"{"mode": "loop"}"#, "--timeout", "0.2", "--json"]);
    assert_eq!(stopped.status.code(), Some(1));
    assert_eq!(
        serde_json::from_str::<Value>(&out(&stopped)).expect("JSON"),
        json!({"State": "Aborted", "Error": "Timeout"})
    );
    let trapped = call(&["run", &misbehaving, "--input", r#"{"mode": "trap"}"#]);
    assert!(err(&trapped).contains("the_guilty_function"), "{}", err(&trapped));
}

#[test]
fn run_grants_what_it_is_told_to_and_nothing_else() {
    let misbehaving = component("misbehaving.wasm");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("notes.txt"), "hello").expect("writable");
    let granted = format!("{{env: {{MODE: test}}, directories: [{{path: {}, as: /data}}]}}", folder.path().display());
    let sees = |arguments: &[&str]| {
        let ran = call(&[&["run", &misbehaving], arguments].concat());
        assert_eq!(ran.status.code(), Some(0), "{}", err(&ran));
        serde_json::from_str::<Value>(&out(&ran)).expect("JSON")
    };
    let nothing = sees(&["--input", r#"{"mode": "env"}"#]);
    assert_eq!((&nothing["env"], &nothing["preopens"]), (&json!({}), &json!([])));
    let something = sees(&["--input", r#"{"mode": "env"}"#, "--grants", &granted]);
    assert_eq!((&something["env"], &something["preopens"]), (&json!({"MODE": "test"}), &json!(["/data"])));
    let calls = r#"{"mode": "files", "calls": [["read", "/data", "notes.txt"], ["write", "/data", "new.txt", "x"]]}"#;
    let done = sees(&["--input", calls, "--grants", &granted]);
    assert_eq!((&done[0], done[1]["error"].is_string()), (&json!("hello"), true), "{done}");
    let faulty = call(&["run", &misbehaving, "--grants", "{http: [\"a b\"], directories: [/no/such]}"]);
    assert_eq!(faulty.status.code(), Some(2));
    for words in
        ["--grants:1:9: http: expected", "--grants:1:31: path: expected a directory at /no/such, found nothing"]
    {
        assert!(err(&faulty).contains(words), "{words} in {}", err(&faulty));
    }
}

#[test]
fn run_draws_a_progress_bar_on_a_terminal() {
    let sum = component("sum-of-square-roots.wasm");
    // `script` gives the program a terminal.
    let command = format!("{} run {sum} --input '{{\"Start\":1,\"End\":30000000}}'", env!("CARGO_BIN_EXE_sandpool"));
    let cache = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    let shown = std::process::Command::new("script")
        .args(["-qec", &command, "/dev/null"])
        .env("SANDPOOL_CACHE", cache)
        .env("TERM", "xterm")
        .output();
    let shown = String::from_utf8_lossy(&shown.expect("script runs").stdout).into_owned();
    assert!(shown.contains('█') && shown.contains(" %"), "{shown}");
    assert!(shown.contains("InnerValue"), "{shown}");
}

#[test]
fn inspect_shows_the_world_the_digest_and_what_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let hello = component("hello.wasm");
    let bytes = std::fs::read(&hello).expect("the component");
    let shown = out(&call(&["inspect", &hello]));
    for line in [
        "world    route",
        "digest   sha256:",
        &format!("size     {} bytes", bytes.len()),
        "sandpool:route/log@1.0.0",
        "exports  run",
    ] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    let ids: Value = serde_json::from_str(&out(&call(&["inspect", "--json", &component("ids.wasm")]))).expect("JSON");
    assert_eq!(ids["world"], "id-generator");
    let alien = assembled("alien-import.wat", folder.path());
    let alien: Value = serde_json::from_str(&out(&call(&["inspect", "--json", &alien]))).expect("JSON");
    assert_eq!((&alien["world"], &alien["missing"]), (&Value::Null, &json!(["evil:pkg/thing@1.0.0"])));
}

#[test]
fn check_says_ok_or_everything_that_is_wrong() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.yaml");
    let good = format!("routes:\n  - {{method: PUT, path: /a, component: {}}}\n", component("hello.wasm"));
    std::fs::write(&file, good).expect("writable");
    let path = file.display().to_string();
    let checked = call(&["check", &path]);
    assert_eq!((checked.status.code(), out(&checked)), (Some(0), format!("{path}: ok, 1 route")));
    let alien = assembled("alien-import.wat", folder.path());
    let module = assembled("core-module.wat", folder.path());
    let bad = format!(
        "routes:\n  - {{method: PUT, path: /a, component: {alien}}}\n  - {{method: PUT, path: /b, component: {module}}}\n"
    );
    std::fs::write(&file, bad).expect("writable");
    let checked = call(&["check", &path]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(
        err(&checked).contains("route PUT /a: ") && err(&checked).contains("evil:pkg/thing@1.0.0"),
        "{}",
        err(&checked)
    );
    assert!(
        err(&checked).contains("route PUT /b: ") && err(&checked).contains("core WebAssembly module"),
        "{}",
        err(&checked)
    );
}

#[test]
fn wrong_words_are_exit_code_2_with_a_hint() {
    for (arguments, words) in [
        (vec!["serv"], "similar subcommand"),
        (vec!["run"], "<COMPONENT>"),
        (vec!["run", "x.wasm", "--input", "{"], "no JSON: line 1, column"),
        (vec!["run", "/does/not/exist.wasm"], "cannot be read"),
        (vec!["serve", "--config", "/does/not/exist.yaml"], "/does/not/exist.yaml"),
        (vec!["check", "/does/not/exist.yaml"], "/does/not/exist.yaml"),
    ] {
        let refused = call(&arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(err(&refused).contains(words), "{arguments:?}: {}", err(&refused));
    }
    let help = out(&call(&["--help"]));
    assert!(!help.contains("compile-worker"), "{help}");
}
