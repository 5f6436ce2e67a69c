//! One of the workers: what it does at random, and what it asks of the server after each step.

use super::model::{Kind, Model, Plugin, Route, routes_in, versions_in};
use crate::deploys::with_mark;
use crate::kills::random;
use crate::support::{Answer, Server, ask};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Display;
use std::time::Instant;

/// Each worker has so many routes at most.
pub const ROUTES: u64 = 4;
/// Each plugin has so many versions at most.
const VERSIONS: usize = 6;
/// Steps that a failure tells of.
const TOLD: usize = 12;

/// What is done how often, of all of them together.
const STEPS: [(&str, u64); 17] = [
    ("upload a version", 5),
    ("upload what is taken", 2),
    ("delete a version", 5),
    ("define a route", 10),
    ("define a faulty route", 3),
    ("pause", 4),
    ("resume", 7),
    ("drain", 2),
    ("roll back", 5),
    ("delete a route", 3),
    ("submit", 60),
    ("stop", 6),
    ("look at a task", 20),
    ("follow", 2),
    ("query", 6),
    ("stop many", 2),
    ("run again", 2),
];

pub struct Worker {
    /// What its names begin with.
    pub name: String,
    pub model: Model,
    pub seed: u64,
    pub components: Components,
    pub steps: BTreeMap<&'static str, usize>,
    pub refusals: BTreeMap<u16, usize>,
    /// Requests that the audit log must have, with their statuses.
    pub deeds: Vec<(String, u64)>,
    told: VecDeque<String>,
    counter: u64,
}

/// The bytes of each kind.
#[derive(Clone)]
pub struct Components {
    pub tiny: Vec<u8>,
    pub phases: Vec<u8>,
    pub misbehaving: Vec<u8>,
}

impl Worker {
    pub fn new(number: usize, seed: u64, components: Components) -> Self {
        let mut model = Model::default();
        let name = format!("w{number}-");
        for (kind, of) in [("tiny", Kind::Tiny), ("phases", Kind::Phases), ("bad", Kind::Misbehaving)] {
            model.plugins.insert(format!("{name}{kind}"), Plugin { kind: of, versions: Vec::new() });
        }
        Self {
            name,
            model,
            seed,
            components,
            steps: BTreeMap::new(),
            refusals: BTreeMap::new(),
            deeds: Vec::new(),
            told: VecDeque::new(),
            counter: 0,
        }
    }

    /// Steps until then, each followed by a look at whether all answers agree.
    pub async fn round(&mut self, server: &Server, until: Instant) {
        while Instant::now() < until {
            let step = self.step(server).await;
            *self.steps.entry(step).or_default() += 1;
            self.agree(server).await;
        }
    }

    async fn step(&mut self, server: &Server) -> &'static str {
        let sum: u64 = STEPS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(sum);
        let at = STEPS.iter().position(|(_, weight)| match left.checked_sub(*weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        let step = STEPS[at.expect("below the sum")].0;
        match step {
            "upload a version" => self.upload(server).await,
            "upload what is taken" => self.upload_again(server).await,
            "delete a version" => self.delete_version(server).await,
            "define a route" => self.define(server).await,
            "define a faulty route" => self.define_faulty(server).await,
            "pause" => self.set(server, "pause", "Paused").await,
            "resume" => self.set(server, "resume", "Active").await,
            "drain" => self.set(server, "drain", "Draining").await,
            "roll back" => self.roll_back(server).await,
            "delete a route" => self.delete_route(server).await,
            "submit" => drop(self.submit(server).await),
            "stop" => self.stop(server).await,
            "look at a task" => self.look(server).await,
            "follow" => self.follow(server).await,
            "query" => self.query(server).await,
            "stop many" => self.stop_many(server).await,
            _ => self.run_again(server).await,
        }
        step
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        random(&mut self.seed) % bound
    }

    pub fn one_of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let length = u64::try_from(all.len()).expect("few");
        (length > 0).then(|| all[usize::try_from(self.below(length)).expect("small")].clone())
    }

    /// Stops the test unless this holds.
    pub fn holds(&self, is_so: bool, words: impl Display) {
        assert!(is_so, "{}: {words}\nafter {:#?}\nknowing {:#?}", self.name, self.told, self.model.routes);
    }

    /// Asks, and takes note of refusals.
    pub async fn ask(&mut self, server: &Server, method: &str, path: &str, body: Option<Value>) -> Answer {
        let request = server.request(method, path);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.asked(method, path, ask(request).await.expect("an answer"))
    }

    fn asked(&mut self, method: &str, path: &str, answer: Answer) -> Answer {
        if answer.status >= 400 {
            *self.refusals.entry(answer.status).or_default() += 1;
        }
        if method != "GET" {
            let body: String = answer.body.to_string().chars().take(300).collect();
            self.told.push_back(format!("{method} {path}: {} {body}", answer.status));
            if self.told.len() > TOLD {
                self.told.pop_front();
            }
            if path.starts_with("/-/") {
                self.deeds.push((format!("{method} {path}"), answer.status.into()));
            }
        }
        answer
    }

    /// Asks, and expects this status.
    pub async fn expect(
        &mut self,
        server: &Server,
        status: u16,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let answer = self.ask(server, method, path, body).await;
        self.holds(answer.status == status, format!("expected {status} of {method} {path}: {answer:?}"));
        answer
    }

    pub async fn put_component(&mut self, server: &Server, name: &str, version: &str, bytes: Vec<u8>) -> Answer {
        let path = format!("/-/plugins/{name}?version={version}");
        let answer = ask(server.request("PUT", &path).body(bytes)).await.expect("an answer");
        self.asked("PUT", &path, answer)
    }

    pub fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub fn route(&mut self) -> Option<(String, Route)> {
        let names: Vec<String> = self.model.routes.keys().cloned().collect();
        let name = self.one_of(&names)?;
        Some((name.clone(), self.model.routes[&name].clone()))
    }

    async fn upload(&mut self, server: &Server) {
        let names: Vec<String> = self.model.plugins.keys().cloned().collect();
        let name = self.one_of(&names).expect("three");
        let plugin = &self.model.plugins[&name];
        if plugin.versions.len() >= VERSIONS {
            return;
        }
        let (mark, base) = match plugin.kind {
            // Few different ones, again and again: each is compiled once by all runs together.
            Kind::Tiny => (self.below(12), &self.components.tiny),
            Kind::Phases => (self.below(2), &self.components.phases),
            Kind::Misbehaving => (self.below(2), &self.components.misbehaving),
        };
        let bytes = with_mark(base.clone(), &mark.to_string());
        let version = format!("v{}", self.next());
        let answer = self.put_component(server, &name, &version, bytes).await;
        // Another worker's uploads are this caller's, too.
        if answer.status == 429 {
            return;
        }
        self.holds(answer.status == 201, format!("{answer:?}"));
        let digest = answer.text("Digest").to_owned();
        self.model.plugins.get_mut(&name).expect("it is there").versions.push((version, digest));
        self.model.follow(&name);
    }

    /// The same version with the same bytes is there, with others it is refused.
    async fn upload_again(&mut self, server: &Server) {
        let name = format!("{}tiny", self.name);
        let versions = self.model.plugins[&name].versions.clone();
        let Some((version, digest)) = self.one_of(&versions) else { return };
        let mark = self.below(12).to_string();
        let bytes = with_mark(self.components.tiny.clone(), &mark);
        let answer = self.put_component(server, &name, &version, bytes).await;
        let is_same = answer.status == 200 && answer.text("Digest") == digest;
        self.holds(is_same || [409, 429].contains(&answer.status), format!("{version} {digest}: {answer:?}"));
    }

    async fn delete_version(&mut self, server: &Server) {
        let names: Vec<String> = self.model.plugins.keys().cloned().collect();
        let name = self.one_of(&names).expect("three");
        let versions = self.model.plugins[&name].versions.clone();
        let Some((version, digest)) = self.one_of(&versions) else {
            self.expect(server, 404, "DELETE", &format!("/-/plugins/{name}"), None).await;
            return;
        };
        let is_used = !self.model.users(&name, &digest).is_empty();
        let status = if is_used { 409 } else { 204 };
        self.expect(server, status, "DELETE", &format!("/-/plugins/{name}?version={version}"), None).await;
        if !is_used {
            self.model.plugins.get_mut(&name).expect("it is there").versions.retain(|(one, _)| *one != version);
        }
    }

    /// What the server lists of this worker's names is what was acknowledged, in every list.
    pub async fn agree(&mut self, server: &Server) {
        let mine = self.name.clone();
        let plugins = server.get(200, "/-/plugins").await;
        let (got, known) = (versions_in(&plugins, &mine), self.model.versions());
        self.holds(got == known, format!("plugins are {got:?}, not {known:?}"));
        let routes = server.get(200, "/-/routes").await;
        let (got, known) = (routes_in(&routes, &mine), self.model.listed());
        self.holds(got == known, format!("routes are {got:?}, not {known:?}"));
        let pools = server.get(200, "/-/pools").await;
        let max = |pool: &Value| Some((pool["Route"].as_str()?.to_owned(), pool["Max"].as_u64()?));
        let got: BTreeMap<String, u64> = pools.body.as_array().into_iter().flatten().filter_map(max).collect();
        let got: BTreeMap<_, _> = got.into_iter().filter(|(name, _)| name.starts_with(&mine)).collect();
        let max = |route: &Route| route.definition()["pool"]["max"].as_u64().unwrap_or(0);
        let known: BTreeMap<String, u64> =
            self.model.routes.iter().map(|(name, route)| (name.clone(), max(route))).collect();
        self.holds(got == known, format!("pools are {got:?}, not {known:?}"));
        let document = server.get(200, "/openapi.json").await;
        let got: BTreeSet<&str> =
            document.body["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
        let prefix = self.prefix();
        let got: BTreeSet<&str> = got.into_iter().filter(|path| path.starts_with(&prefix)).collect();
        let known: BTreeSet<&str> = self.model.routes.values().map(|route| route.text("path")).collect();
        self.holds(got == known, format!("paths are {got:?}, not {known:?}"));
    }

    /// Where its paths begin.
    pub fn prefix(&self) -> String {
        format!("/soak/{}/", self.name)
    }

    /// A definition of this route that may be right.
    pub fn definition(&mut self, number: u64) -> Value {
        let names: Vec<String> = self.model.plugins.keys().cloned().collect();
        let plugin = self.one_of(&names).expect("three");
        let Plugin { kind, versions } = &self.model.plugins[&plugin];
        let (kind, versions): (Kind, Vec<String>) =
            (*kind, versions.iter().map(|(version, _)| version.clone()).collect());
        let path = format!("{}{number}/{}", self.prefix(), self.below(2));
        let mut definition =
            json!({"method": "PUT", "path": path, "plugin": plugin, "pool": {"max": 1 + self.below(3), "queue": 8}});
        match (self.below(4), self.one_of(&versions), self.one_of(&versions)) {
            (0, Some(one), _) => definition["plugin"] = format!("{plugin}@{one}").into(),
            (1, Some(one), Some(other)) => definition["split"] = json!({one: 1, other: 3}),
            _ => {}
        }
        if kind == Kind::Misbehaving {
            definition["run_timeout"] = "500ms".into();
        } else if self.below(2) == 0 {
            definition["sse"] = json!({"group": format!("{}group", self.name)});
        }
        definition["summary"] = format!("Definition {}", self.next()).into();
        definition
    }
}
