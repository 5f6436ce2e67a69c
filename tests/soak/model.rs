//! What one worker knows: plugins, routes and tasks that were acknowledged to it. Nobody else touches these names.

use crate::support::Answer;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a plugin's components do; all versions of one do the same, so that what a task may end as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Returns one character at once.
    Tiny,
    /// Sleeps, with progress and events.
    Phases,
    /// Does as its input says.
    Misbehaving,
}

#[derive(Debug)]
pub struct Plugin {
    pub kind: Kind,
    /// Version and digest, oldest first.
    pub versions: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct Route {
    /// Digests of what it runs, sorted.
    pub digests: Vec<String>,
    pub state: &'static str,
    /// Number and definition, the present one last.
    pub revisions: Vec<(u64, Value)>,
}

impl Route {
    pub fn definition(&self) -> &Value {
        &self.revisions.last().expect("one at least").1
    }

    pub fn text(&self, key: &str) -> &str {
        self.definition()[key].as_str().unwrap_or("")
    }

    /// The plugin's name without a version.
    pub fn plugin(&self) -> &str {
        self.text("plugin").split('@').next().unwrap_or("")
    }
}

#[derive(Debug)]
pub struct Task {
    pub route: String,
    /// States that it may end in by itself.
    pub may_end: &'static [&'static str],
    pub is_stop_asked: bool,
    /// A server ended while the task was open.
    pub is_restarted: bool,
    rank: usize,
    progress: f64,
}

pub const ANY: &[&str] = &["Completed", "Failed", "Aborted"];

impl Task {
    pub fn new(route: &str, may_end: &'static [&'static str]) -> Self {
        Self { route: route.into(), may_end, is_stop_asked: false, is_restarted: false, rank: 0, progress: 0.0 }
    }

    /// Whether the task may look like this, after what was seen of it before. Says why not.
    pub fn seen(&mut self, task: &Value) -> Result<(), String> {
        let text = |field: &str| task[field].as_str().unwrap_or("");
        let (state, error) = (text("State"), text("Error"));
        let rank = ["NotStarted", "Running"].iter().position(|open| *open == state).unwrap_or(2);
        let progress = task["Progress"].as_f64().unwrap_or(0.0);
        let has_end = task.get("CompletedTime").is_some();
        // After a restart a task that may run again waits again.
        let falls = (rank < self.rank || progress < self.progress) && !self.is_restarted;
        (self.rank, self.progress) = (rank, progress);
        let is_right = match (state, error) {
            ("NotStarted" | "Running", "") => !has_end,
            ("Aborted", "Aborted by the user") => self.is_stop_asked,
            ("Aborted", "The host shut down before the task ended") => self.is_restarted,
            ("Failed", why) if why.starts_with("Host lost") || why.starts_with("Route gone") => self.is_restarted,
            // A task that waited through a restart runs on what its route is then.
            (state, _) => has_end && (self.is_restarted || self.may_end.contains(&state)),
        };
        if text("Name") != self.route || falls || !is_right {
            return Err(format!("{self:?} looks like {task}"));
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
pub struct Model {
    pub plugins: BTreeMap<String, Plugin>,
    pub routes: BTreeMap<String, Route>,
    /// By id.
    pub open: BTreeMap<String, Task>,
    /// Id and state.
    pub ended: BTreeMap<String, String>,
    /// All tasks of each route that ever was, oldest first.
    pub by_route: BTreeMap<String, Vec<String>>,
}

/// One row of `GET /-/plugins`: version, digest, routes.
type Versions = BTreeMap<String, Vec<(String, String, BTreeSet<String>)>>;

impl Model {
    /// The digests that a definition runs now; none if it names what is not there.
    pub fn digests(&self, definition: &Value) -> Option<Vec<String>> {
        let (name, version) = match definition["plugin"].as_str()?.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (definition["plugin"].as_str()?, None),
        };
        let versions = &self.plugins.get(name)?.versions;
        let of =
            |wanted: &str| versions.iter().find(|(version, _)| version == wanted).map(|(_, digest)| digest.clone());
        let mut digests = match (version, definition["split"].as_object()) {
            (Some(version), _) => vec![of(version)?],
            (None, Some(split)) => split.keys().map(|version| of(version)).collect::<Option<Vec<_>>>()?,
            (None, None) => vec![versions.last()?.1.clone()],
        };
        digests.sort();
        digests.dedup();
        Some(digests)
    }

    /// Routes that name no version run the newest from now on.
    pub fn follow(&mut self, plugin: &str) {
        let names: Vec<String> = self.routes.keys().cloned().collect();
        for name in names {
            let route = &self.routes[&name];
            if route.plugin() == plugin {
                let digests = self.digests(route.definition()).expect("what runs is there");
                self.routes.get_mut(&name).expect("it is there").digests = digests;
            }
        }
    }

    /// The routes that run these bytes of a plugin.
    pub fn users(&self, plugin: &str, digest: &str) -> BTreeSet<String> {
        let uses = |route: &Route| route.plugin() == plugin && route.digests.iter().any(|one| one == digest);
        self.routes.iter().filter(|(_, route)| uses(route)).map(|(name, _)| name.clone()).collect()
    }

    pub fn versions(&self) -> Versions {
        let row = |name: &str, (version, digest): &(String, String)| {
            (version.clone(), digest.clone(), self.users(name, digest))
        };
        let plugins = self.plugins.iter().filter(|(_, plugin)| !plugin.versions.is_empty());
        plugins
            .map(|(name, plugin)| (name.clone(), plugin.versions.iter().map(|one| row(name, one)).collect()))
            .collect()
    }

    /// The routes as they are listed: path, state, revision, definition, digests.
    pub fn listed(&self) -> BTreeMap<String, Value> {
        let row = |route: &Route| {
            let (revision, definition) = route.revisions.last().expect("one at least");
            json!([definition["path"], route.state, revision, definition, route.digests])
        };
        self.routes.iter().map(|(name, route)| (name.clone(), row(route))).collect()
    }

    pub fn begun(&mut self, id: &str, task: Task) {
        self.by_route.entry(task.route.clone()).or_default().push(id.into());
        let before = self.open.insert(id.into(), task);
        assert!(before.is_none() && !self.ended.contains_key(id), "the id {id} came twice");
    }

    /// Takes note of an answer with a task.
    pub fn seen(&mut self, task: &Value) -> Result<(), String> {
        let id = task["Id"].as_str().unwrap_or("");
        let state = task["State"].as_str().unwrap_or("");
        if let Some(ended) = self.ended.get(id) {
            return if ended == state { Ok(()) } else { Err(format!("it had ended as {ended}: {task}")) };
        }
        let Some(known) = self.open.get_mut(id) else { return Err(format!("nobody knows {task}")) };
        known.seen(task)?;
        if task.get("CompletedTime").is_some() {
            self.open.remove(id);
            self.ended.insert(id.into(), state.into());
        }
        Ok(())
    }
}

/// What `GET /-/plugins` says of plugins with names that begin like this.
pub fn versions_in(answer: &Answer, mine: &str) -> Versions {
    let mut versions = Versions::new();
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    for plugin in answer.body.as_array().expect("a list").iter().filter(|one| text(&one["Name"]).starts_with(mine)) {
        let routes = plugin["Routes"].as_array().expect("a list").iter().map(text).collect();
        let row = (text(&plugin["Version"]), text(&plugin["Digest"]), routes);
        versions.entry(text(&plugin["Name"])).or_default().push(row);
    }
    versions
}

/// What `GET /-/routes` says of routes with names that begin like this.
pub fn routes_in(answer: &Answer, mine: &str) -> BTreeMap<String, Value> {
    let is_mine = |route: &&Value| route["Name"].as_str().is_some_and(|name| name.starts_with(mine));
    let row = |route: &Value| {
        let mut digests: Vec<&str> =
            route["Digests"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        digests.sort_unstable();
        digests.dedup();
        json!([route["Path"], route["State"], route["Revision"], route["Definition"], digests])
    };
    let routes = answer.body.as_array().expect("a list").iter().filter(is_mine);
    routes.map(|route| (route["Name"].as_str().unwrap_or("").to_owned(), row(route))).collect()
}
