//! The example components: the prebuilt ones are those of the sources, and small; the example configuration serves them.

use crate::support::{Server, eventually, sandpool};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples").canonicalize().expect("the folder")
}

#[test]
fn the_prebuilt_components_match_their_sources() {
    let checked = Command::new(examples().join("build")).arg("--check").output().expect("the script runs");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn a_stale_prebuilt_component_is_noticed() {
    let copy = tempfile::tempdir().expect("a folder");
    let copied = Command::new("tar")
        .current_dir(examples().join(".."))
        .args(["-cf", "-", "--exclude=target", "wit"])
        .args(["build", "prebuilt", "recipes", "rust"].map(|part| format!("guest-examples/{part}")))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut packed| {
            let unpacked = Command::new("tar")
                .args(["-xf", "-", "-C"])
                .arg(copy.path())
                .stdin(packed.stdout.take().expect("piped"))
                .status();
            packed.wait().and(unpacked)
        });
    assert!(copied.expect("tar runs").success());
    let source = copy.path().join("guest-examples/rust/hello/src/lib.rs");
    let text = std::fs::read_to_string(&source).expect("the source");
    std::fs::write(&source, text + "// changed\n").expect("writable");
    let checked = Command::new(copy.path().join("guest-examples/build")).arg("--check").output().expect("it runs");
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(!checked.status.success() && said.contains("hello/src/lib.rs"), "{said}");
}

#[test]
fn prebuilt_components_are_small_and_fit_their_worlds() {
    for entry in std::fs::read_dir(examples().join("prebuilt")).expect("the folder") {
        let file = entry.expect("a file").path();
        if file.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        assert!(file.metadata().expect("facts").len() < 200 << 10, "{} has 200 KiB or more", file.display());
        let out = sandpool().args(["inspect", "--json"]).arg(&file).output().expect("the program runs");
        let facts: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        let world = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("ids") => "id-generator",
            Some("typed-order") => "typed-route",
            _ => "route",
        };
        assert_eq!(facts["world"], world, "{facts}");
    }
}

#[tokio::test]
async fn the_example_configuration_serves_every_example_in_little_memory() {
    let folder = Arc::new(tempfile::tempdir().expect("a folder"));
    let text = std::fs::read_to_string(examples().join("sandpool.yaml")).expect("the example configuration");
    let prebuilt = format!("component: {}/", examples().join("prebuilt").display());
    let routes = text.replace("component: prebuilt/", &prebuilt).replace("sqlite:sandpool.db", "sqlite:tasks.db");
    assert!(routes.contains(&prebuilt));
    let routes = routes.replace("127.0.0.1:8080", "127.0.0.1:0");
    let server = Server::start_with(folder, "", &routes).await;
    // Idle is what remains once the components are loaded and their first instances are ready. Of the program's own code,
    // which is in memory too, this unoptimised one has four times as much as a release.
    let idle = eventually("20 MiB or less", || async {
        let own = server.memory_mib("RssAnon");
        (own <= 20.0).then_some(own)
    })
    .await;
    println!("idle with the examples loaded: {idle:.1} MiB of its own, {:.1} MiB resident", server.resident_mib());
    let greeting = server.run("/hello/world", json!({"name": "you"})).await;
    assert_eq!(greeting.text("State"), "Completed", "{greeting:?}");
    let sum = server.run("/sumOfSquareRoots?Start=1&End=100", Value::Null).await;
    assert!((sum.body["Result"]["InnerValue"].as_f64().expect("a number") - 671.462_947).abs() < 1e-3, "{sum:?}");
    let counted = server.run("/count", Value::Null).await;
    assert_eq!(counted.text("State"), "Completed", "{counted:?}");
    let fetched = server.run("/fetch", json!({"url": "http://localhost:8080/"})).await;
    assert_eq!(fetched.text("Error"), "no answer from localhost:8080: HttpRequestDenied", "{fetched:?}");
    let ordered = server.put(202, "/orders/7", json!({"Start": 1, "End": 10})).await;
    assert!(ordered.id().starts_with("order-"), "{ordered:?}");
}
