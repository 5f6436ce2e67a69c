//! From nothing to a route of one's own: `sandpool new`, an edit, `build`, `run`, `serve`, a task; and `sandpool dev`.
//!
//! One test for each language, with the tools that `guest-examples/build` has installed below `guest-examples/target`.

use crate::support::{Server, eventually, sandpool};
use reqwest::Client;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use tempfile::TempDir;

const LANGUAGES: [&str; 7] = ["rust", "js", "python", "c", "cpp", "go", "zig"];

macro_rules! languages {
    ($($name:ident),*) => {
        $(
            #[tokio::test]
            async fn $name() {
                from_nothing_to_a_task(stringify!($name)).await;
            }
        )*
    };
}

languages!(c, cpp, go, js, python, rust, zig);

/// A project in a folder of its own, whose path tests quotes.
struct Project {
    holder: Arc<TempDir>,
    name: String,
    toolchains: Option<String>,
}

impl Project {
    /// What `sandpool new` makes.
    fn new(name: &str, language: &str) -> Self {
        let holder = Arc::new(TempDir::with_prefix("it's a ").expect("a folder"));
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target");
        let examples = examples.canonicalize().expect("guest-examples/build makes it").display().to_string();
        // npm installs what is needed within seconds: for that project alone, as for anybody.
        let toolchains = (language != "js").then_some(examples);
        let project = Self { holder, name: name.to_owned(), toolchains };
        let made = sandpool().current_dir(project.holder.path()).args(["new", name, "--lang", language]).output();
        let made = made.expect("the program runs");
        assert_eq!(made.status.code(), Some(0), "{}", err(&made));
        project
    }

    fn path(&self, file: &str) -> PathBuf {
        self.holder.path().join(&self.name).join(file)
    }

    fn component(&self) -> PathBuf {
        self.path(&format!("target/{}.wasm", self.name))
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        self.toolchains.iter().map(|folder| ("SANDPOOL_TOOLCHAINS", folder.as_str())).collect()
    }

    /// The program's answer within the project.
    fn call(&self, arguments: &[&str]) -> Output {
        let mut command = sandpool();
        command.current_dir(self.path("")).args(arguments).envs(self.environment()).output().expect("it runs")
    }

    /// The answer with this exit code.
    fn exits(&self, code: i32, arguments: &[&str]) -> Output {
        let output = self.call(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}{}", out(&output), err(&output));
        output
    }

    /// Replaces a text that a file has.
    fn edit(&self, file: &str, before: &str, after: &str) {
        let path = self.path(file);
        let text = fs::read_to_string(&path).expect("a file of the project");
        assert!(text.contains(before), "{file} has no {before}");
        fs::write(path, text.replace(before, after)).expect("writable");
    }

    fn source(&self) -> &'static str {
        ["src/lib.rs", "route.ts", "route.py", "route.c", "route.cpp", "route.go", "route.zig"]
            .into_iter()
            .find(|source| self.path(source).exists())
            .expect("a source")
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn from_nothing_to_a_task(language: &str) {
    let name = format!("greeter-{language}");
    let project = Project::new(&name, language);
    project.edit(project.source(), "Hello, ", "Ahoy, ");

    let built = project.exits(0, &["build", "--json"]);
    let facts: Value = serde_json::from_str(&out(&built)).expect("JSON");
    let bytes = fs::read(project.component()).expect("the component");
    assert_eq!((&facts["new"], &facts["size"], &facts["cases"]), (&json!(true), &json!(bytes.len()), &Value::Null));
    assert!(facts["world"].is_string() && facts["digest"].as_str().is_some_and(|digest| digest.starts_with("sha256:")));

    // The cases say what the route did before the edit.
    let tested = project.exits(1, &["build", "--test"]);
    let said = out(&tested);
    assert!(said.contains("is up to date") && said.contains("1 ok, 2 failed"), "{said}");
    let fault = r#"failed  1: {"name": "Ada"}: expected {"greeting":"Hello, Ada!"}, got {"greeting":"Ahoy, Ada!"}"#;
    assert!(said.replace("\": \"Ahoy", "\":\"Ahoy").contains(fault), "{said}");
    project.edit("cases.jsonl", "Hello, ", "Ahoy, ");
    assert!(out(&project.exits(0, &["build", "--test"])).ends_with("3 ok, 0 failed\n"));

    let component = format!("target/{name}.wasm");
    let ran = project.exits(0, &["run", &component, "--input", r#"{"name": "Ada", "times": 2}"#]);
    let result: Value = serde_json::from_str(&out(&ran)).expect("JSON");
    assert_eq!(result, json!({"greeting": "Ahoy, Ada! Ahoy, Ada!"}));
    assert!(err(&ran).contains("greeting Ada"), "{}", err(&ran));

    serves_the_edited_route(&project).await;

    // What the compiler says about a fault is shown, and the component stays what it was.
    let source = project.source();
    let text = fs::read_to_string(project.path(source)).expect("the source");
    fs::write(project.path(source), format!("{text}\n}} no code (\n")).expect("writable");
    let failed = project.exits(1, &["build"]);
    let file = Path::new(source).file_name().expect("a name").to_string_lossy();
    assert!(err(&failed).contains(&*file), "{file}: {}", err(&failed));
    assert!(err(&failed).contains("could not be built, see above"), "{}", err(&failed));
    assert_eq!(fs::read(project.component()).expect("the component"), bytes);
}

/// `sandpool serve` with the project's configuration.
async fn serves_the_edited_route(project: &Project) {
    let config = project.path("sandpool.yaml").display().to_string();
    let server = Server::start_command(Arc::clone(&project.holder), &["serve", "--config", &config], &[]);
    let path = format!("/{}", project.name);
    let ended = server.run(&path, json!({"name": "Ada"})).await;
    assert_eq!(ended.text("State"), "Completed", "{ended:?}");
    assert_eq!((&ended.body["Result"], &ended.body["Progress"]), (&json!({"greeting": "Ahoy, Ada!"}), &json!(100)));
    let failed = server.run(&path, json!({"name": ""})).await;
    assert_eq!((failed.text("State"), failed.text("Error")), ("Failed", "nobody has an empty name"), "{failed:?}");
    // The component's own schema stands at the door, and in the document.
    server.put(422, &path, json!({"name": "Ada", "times": 0})).await;
    let document = server.get(200, "/openapi.json").await;
    assert_eq!(document.body["paths"][&path]["put"]["summary"], "Greet somebody");
    // The same component comes into the running server by one command, as another route.
    let component = project.component().display().to_string();
    let deploy = ["deploy", &component, "--route", "PUT /deployed", "--server", &server.base];
    let said = out(&project.exits(0, &deploy));
    assert!(said.contains("route  PUT /deployed  __Put_deployed__, new"), "{said}");
    let ended = server.run("/deployed", json!({"name": "Ada"})).await;
    assert_eq!(ended.text("State"), "Completed", "{ended:?}");
    assert_eq!(ended.body["Result"], json!({"greeting": "Ahoy, Ada!"}));
}

#[test]
fn every_language_has_a_test() {
    let help = err(&sandpool().args(["new", "x", "--lang", "cobol"]).output().expect("it runs"));
    assert!(help.contains(&format!("expected one of {}", LANGUAGES.join(", "))), "{help}");
}

#[test]
fn what_is_missing_is_said_in_one_sentence() {
    let tools = tempfile::tempdir().expect("a folder");
    for tool in ["bash", "cmp", "cp", "grep", "head", "id", "mkdir", "rm", "sed"] {
        let found =
            ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(tool)).into_iter().find(|file| file.exists());
        std::os::unix::fs::symlink(found.expect("a basic tool"), tools.path().join(tool)).expect("writable");
    }
    for (language, words) in [
        ("rust", "cargo is missing: install a Rust toolchain from https://rustup.rs"),
        ("js", "Node.js 18 or newer with npm is missing: install it from https://nodejs.org"),
        ("python", "Python 3.10 or newer with venv is missing: install it from https://python.org"),
        ("c", "Python 3.10 or newer with venv is missing: install it from https://python.org"),
        ("cpp", "Python 3.10 or newer with venv is missing: install it from https://python.org"),
        ("zig", "Python 3.10 or newer with venv is missing: install it from https://python.org"),
        ("go", "Go 1.24 or newer is missing: install it from https://go.dev/dl"),
    ] {
        let project = Project::new(&format!("lacking-{language}"), language);
        let refused =
            sandpool().arg("build").arg(project.path("")).env("PATH", tools.path()).output().expect("the program runs");
        let said = err(&refused);
        assert_eq!(refused.status.code(), Some(2), "{language}: {said}");
        assert!(
            said.starts_with(&format!("sandpool build: {words}")) && said.lines().count() == 1,
            "{language}: {said}"
        );
    }
}

#[test]
fn new_refuses_bad_names_and_folders_that_hold_something() {
    let folder = tempfile::tempdir().expect("a folder");
    let new = |name: &str| {
        sandpool().current_dir(folder.path()).args(["new", "--lang", "c", "--", name]).output().expect("it runs")
    };
    for bad in ["2fast", "a/b", "..", "", "a b", "é", "-x"] {
        let refused = new(bad);
        assert_eq!(refused.status.code(), Some(2), "{bad}");
        assert!(err(&refused).contains("expected a name of 1 to 64 letters, digits, - and _"), "{}", err(&refused));
    }
    fs::create_dir_all(folder.path().join("full/of")).expect("writable");
    let refused = new("full");
    assert_eq!(refused.status.code(), Some(2));
    assert!(err(&refused).contains("full is not empty: choose another name, or remove it"), "{}", err(&refused));
    fs::write(folder.path().join("file"), "").expect("writable");
    assert_eq!(new("file").status.code(), Some(2));
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("one").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(folder.path()), ["file", "full"], "something is left");
    fs::create_dir(folder.path().join("empty")).expect("writable");
    assert_eq!(new("empty").status.code(), Some(0));
    assert!(folder.path().join("empty/route.c").exists());
}

#[test]
fn build_says_what_is_wrong_with_a_project() {
    let folder = tempfile::tempdir().expect("a folder");
    let build = || sandpool().arg("build").arg(folder.path()).output().expect("the program runs");
    for (project, words) in [
        (
            None,
            "has no sandpool.project.yaml: make a project with `sandpool new NAME --lang rust|js|python|c|cpp|go|zig`",
        ),
        (Some("language: cobol"), "language: expected one of rust, js, python, c, cpp, go, zig, found cobol"),
        (Some("language: c\nlanguige: c"), "unknown field `languige`"),
        (Some("language: c\ncomponent: target"), "component: expected a file NAME.wasm, found target"),
    ] {
        if let Some(project) = project {
            fs::write(folder.path().join("sandpool.project.yaml"), project).expect("writable");
        }
        let refused = build();
        assert_eq!(refused.status.code(), Some(2), "{project:?}");
        assert!(err(&refused).contains(words), "{}", err(&refused));
    }
}

#[test]
fn a_component_that_fits_no_world_is_not_put_in_its_place() {
    let project = Project::new("homeless", "rust");
    let text = fs::read_to_string(project.path("src/lib.rs")).expect("the source");
    fs::write(project.path("src/lib.rs"), "").expect("writable");
    let refused = project.exits(1, &["build"]);
    assert!(err(&refused).contains("fits no world: "), "{}", err(&refused));
    assert!(!project.component().exists());
    fs::write(project.path("src/lib.rs"), text).expect("writable");
    project.exits(0, &["build"]);
    assert!(project.component().exists());
}

/// The answer of a development server, which may be away for a moment.
async fn greeting(client: &Client, server: &Server) -> Option<Value> {
    let request = client.put(format!("{}/watched", server.base)).header("Prefer", "wait=30");
    let answer = request.json(&json!({"name": "Ada"})).send().await.ok()?;
    let task: Value = serde_json::from_str(&answer.text().await.ok()?).ok()?;
    task["Result"]["greeting"].as_str().map(Into::into)
}

async fn until(what: &str, client: &Client, server: &Server, wanted: &str) {
    eventually(what, || async { (greeting(client, server).await? == wanted).then_some(()) }).await;
}

#[tokio::test]
async fn dev_rebuilds_after_an_edit_and_survives_a_broken_one() {
    let project = Project::new("watched", "rust");
    let folder = project.path("").display().to_string();
    let mut server = Server::start_command(Arc::clone(&project.holder), &["dev", &folder], &project.environment());
    let client = Client::builder().no_proxy().build().expect("a client");
    until("the first build", &client, &server, "Hello, Ada!").await;
    project.edit("src/lib.rs", "Hello, ", "Ahoy, ");
    until("the edit", &client, &server, "Ahoy, Ada!").await;

    project.edit("src/lib.rs", "Ahoy, ", "Ahoy, \" no code \"");
    let says = |words: &'static str, times: usize| {
        let server = &server;
        async move { eventually(words, || async { (server.log().matches(words).count() == times).then_some(()) }).await }
    };
    says("what was there before this change stays in service", 1).await;
    assert!(server.log().contains("src/lib.rs"), "{}", server.log());
    until("the old component", &client, &server, "Ahoy, Ada!").await;
    // A configuration that no server would take is not put into service either.
    project.edit("sandpool.yaml", "timeout: 1m", "tiemout: 1m");
    says("what was there before this change stays in service", 2).await;
    until("the old configuration", &client, &server, "Ahoy, Ada!").await;
    project.edit("sandpool.yaml", "tiemout: 1m", "timeout: 2m");
    project.edit("src/lib.rs", "Ahoy, \" no code \"", "Welcome, ");
    until("the repaired source", &client, &server, "Welcome, Ada!").await;

    server.terminate();
    assert!(server.exit().await.success(), "{}", server.log());
    assert_eq!(greeting(&client, &server).await, None, "the server goes with it");
}

/// The terminal it was started from is closed, say.
#[tokio::test]
async fn dev_ends_with_its_terminal() {
    let project = Project::new("watched", "rust");
    let folder = project.path("").display().to_string();
    let mut server = Server::start_command(Arc::clone(&project.holder), &["dev", &folder], &project.environment());
    let client = Client::builder().no_proxy().build().expect("a client");
    until("the first build", &client, &server, "Hello, Ada!").await;
    server.hang_up();
    assert!(server.exit().await.success(), "{}", server.log());
    assert_eq!(greeting(&client, &server).await, None, "the server goes with it");
}
