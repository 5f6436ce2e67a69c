//! Tests of `grants`: what is read, and the place and words of each fault.

use super::*;
use crate::route::grants::{Directory, Grants, HttpGrant};

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["config", "data", "more/logs"] {
        std::fs::create_dir_all(folder.path().join(name)).expect("writable");
    }
    std::fs::write(folder.path().join("config/a.wasm"), "").expect("writable");
    folder
}

fn parse(folder: &Path, grants: &str) -> Result<Config, Faults> {
    let text = format!("routes:\n- {{method: PUT, path: /a, component: a.wasm,\n  grants: {grants}}}\n");
    let variable = |name: &str| (name == "TOKEN").then(|| "the-secret".to_owned());
    Config::parse(&text, Format::Yaml, &folder.join("config"), "sandpool.yaml", &variable)
}

fn grants(folder: &Path, text: &str) -> Arc<Grants> {
    let config = parse(folder, text).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::clone(&config.routes.first().expect("a route").grants)
}

#[test]
fn nothing_is_granted_by_default() {
    let folder = folder();
    assert_eq!(*grants(folder.path(), "{}"), Grants::default());
    assert_eq!(*grants(folder.path(), ""), Grants::default());
}

#[test]
fn grants_are_read_in_both_forms() {
    let folder = folder();
    let text = r#"{http: ["api.example.com:443", "*.example.com"], env: {MODE: live, TOKEN: "x-${TOKEN}", NONE: ""},
      directories: [../data, {path: ../more/logs, as: /var/log, mode: write}]}"#;
    let found = grants(folder.path(), text);
    let http = ["api.example.com:443", "*.example.com"].map(|entry| HttpGrant::parse(entry).expect(entry));
    assert_eq!(found.http, http);
    let env: Vec<_> = found.env.iter().map(|variable| (variable.name.as_str(), variable.value.as_str())).collect();
    assert_eq!(env, [("MODE", "live"), ("TOKEN", "x-the-secret"), ("NONE", "")]);
    let real = folder.path().canonicalize().expect("there");
    let directory =
        |path: &str, name: &str, may_write| Directory { path: real.join(path), name: name.into(), may_write };
    assert_eq!(found.directories, [directory("data", "/data", false), directory("more/logs", "/var/log", true)]);
}

#[test]
fn each_fault_has_its_place_and_words() {
    let folder = folder();
    std::fs::write(folder.path().join("data/file"), "").expect("writable");
    let host = "http: expected a host and a port, such as api.example.com:443";
    let cases = [
        ("{htp: []}", "unknown key `htp` in a route's `grants`; did you mean `http`?"),
        ("{http: [\"https://api.example.com\"]}", host),
        ("{http: [\"*.*.example.com:443\"]}", host),
        ("{env: [A]}", "expected a map for `env` of `grants`"),
        ("{env: {A: 1}}", "A: expected a text, found a number; put it in quotes"),
        ("{env: {\"A=B\": x}}", "env: expected the name of a variable, without `=`"),
        ("{env: {A: \"${UNSET}\"}}", "the environment variable `UNSET` is not set"),
        ("{directories: [../nowhere]}", "path: expected a directory at "),
        ("{directories: [../data/file]}", ", found something else"),
        ("{directories: [{as: /data}]}", "a directory of `grants` needs the key `path`"),
        ("{directories: [{path: ../data, as: data}]}", "as: expected a path such as /data"),
        ("{directories: [{path: ../data, as: /a/../b}]}", "as: expected a path such as /data"),
        ("{directories: [{path: ../data, mode: append}]}", "mode: expected read or write, found the text `append`"),
        (
            "{directories: [../data, {path: ../more, as: /data}]}",
            "as: expected a path of its own, `/data` is that of line 3",
        ),
        ("{directories: [{path: .., as: /all}]}", "holds the configuration"),
        ("{directories: [..]}", "holds the configuration"),
        ("{directories: [.]}", "holds the configuration"),
    ];
    for (text, words) in cases {
        let faults = parse(folder.path(), text).expect_err(text).to_string();
        assert_eq!(faults.lines().count(), 1, "{text}: {faults}");
        assert!(faults.starts_with("sandpool.yaml:3:") && faults.contains(words), "{text}: {faults}");
    }
}

#[test]
fn no_directory_holds_the_hosts_own_even_by_a_link() {
    let folder = folder();
    std::os::unix::fs::symlink("../config", folder.path().join("data/link")).expect("a link");
    std::fs::create_dir(folder.path().join("store")).expect("writable");
    let faults = parse(folder.path(), "{directories: [../data/link]}").expect_err("the configuration's folder");
    assert!(faults.to_string().contains("holds the configuration"), "{faults}");
    let text = "store: {url: \"sqlite:../store/tasks.db\"}\nroutes:\n- {method: PUT, path: /a, component: a.wasm, grants: {directories: [../store]}}\n";
    let parsed = Config::parse(text, Format::Yaml, &folder.path().join("config"), "sandpool.yaml", &|_| None);
    let faults = parsed.expect_err("the store's folder");
    assert!(faults.to_string().contains("holds the store"), "{faults}");
    // To read components is harmless, to write them is not.
    std::fs::write(folder.path().join("more/b.wasm"), "").expect("writable");
    for (mode, is_refused) in [("read", false), ("write", true)] {
        let text = format!(
            "routes:\n- {{method: PUT, path: /a, component: ../more/b.wasm, grants: {{directories: [{{path: ../more, mode: {mode}}}]}}}}\n"
        );
        let parsed = Config::parse(&text, Format::Yaml, &folder.path().join("config"), "sandpool.yaml", &|_| None);
        assert_eq!(parsed.is_err_and(|faults| faults.to_string().contains("holds components")), is_refused, "{mode}");
    }
}
