//! What a worker does with tasks: short and endless ones, failing, waiting, stopped, followed, found, and run again.

use super::model::{ANY, Kind, Task};
use super::worker::Worker;
use crate::following::{Stream, data};
use crate::support::{Answer, Server, ids};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Queries look at so many of the newest.
const PAGE: usize = 50;

impl Worker {
    /// An input and the states that a task with it may end in.
    fn input(&mut self, kind: Kind) -> (Value, &'static [&'static str]) {
        match kind {
            Kind::Tiny => (Value::Null, &["Completed"]),
            Kind::Phases => {
                let (steps, pause) = (self.below(5), self.below(20));
                (json!({"steps": steps, "pause_ms": pause, "seconds": 0.01}), &["Completed"])
            }
            // By the route's `run_timeout` each may be aborted on a slow machine.
            Kind::Misbehaving => match self.below(8) {
                0 => (json!({"mode": "loop"}), &["Aborted"]),
                1 => (json!({"mode": "fail"}), &["Failed", "Aborted"]),
                2 => (json!({"mode": "trap"}), &["Failed", "Aborted"]),
                3 => (json!({"mode": "memory-panic"}), &["Failed", "Aborted"]),
                4 => (json!({"mode": "flood-all", "count": 200, "bytes": 50}), &["Completed", "Aborted"]),
                5 => (json!({"mode": "huge-result", "bytes": 100_000}), &["Completed", "Aborted"]),
                6 => (json!({"mode": "stack-overflow"}), &["Failed", "Aborted"]),
                _ => (json!({"mode": "sleep-ms", "ms": 20}), &["Completed", "Aborted"]),
            },
        }
    }

    fn tasks_of<'a>(&'a self, route: &'a str) -> impl Iterator<Item = &'a String> {
        self.model.open.iter().filter(move |(_, task)| task.route == route).map(|(id, _)| id)
    }

    pub async fn submit(&mut self, server: &Server) -> Option<String> {
        let (name, route) = self.route()?;
        let kind = self.model.plugins[route.plugin()].kind;
        let (input, may_end) = self.input(kind);
        let answer = self.ask(server, "PUT", route.text("path"), Some(input)).await;
        let room = route.definition()["pool"]["queue"].as_u64().unwrap_or(0);
        match (route.state, answer.status) {
            ("Draining", status) => self.holds(status == 503, format!("{answer:?}")),
            (_, 429) => {
                let open = self.tasks_of(&name).count() as u64;
                self.holds(open >= room, format!("refused with {open} open and room for {room}: {answer:?}"));
            }
            (_, status) => {
                self.holds(status == 202, format!("{answer:?}"));
                self.model.begun(&answer.id(), Task::new(&name, may_end));
                self.seen(&answer.body);
                return Some(answer.id());
            }
        }
        None
    }

    pub fn seen(&mut self, task: &Value) {
        let seen = self.model.seen(task);
        self.holds(seen.is_ok(), format!("{seen:?}"));
    }

    pub async fn stop(&mut self, server: &Server) {
        let open: Vec<String> = self.model.open.keys().cloned().collect();
        let Some(id) = self.one_of(&open) else { return };
        self.model.open.get_mut(&id).expect("it is there").is_stop_asked = true;
        let answer = self.ask(server, "DELETE", &format!("/tasks/{id}"), None).await;
        self.holds([200, 410].contains(&answer.status), format!("{answer:?}"));
        match answer.status {
            200 => self.seen(&answer.body),
            _ => self.look_at(server, &id).await,
        }
        self.holds(self.model.ended.contains_key(&id), format!("{id} goes on after {answer:?}"));
    }

    pub async fn look(&mut self, server: &Server) {
        let from_open = self.below(4) > 0;
        let known: Vec<String> = match from_open {
            true => self.model.open.keys().cloned().collect(),
            false => self.model.by_route.values().filter_map(|ids| ids.last().cloned()).collect(),
        };
        let Some(id) = self.one_of(&known) else { return };
        self.look_at(server, &id).await;
    }

    pub async fn look_at(&mut self, server: &Server, id: &str) {
        let answer = self.expect(server, 200, "GET", &format!("/tasks/{id}"), None).await;
        self.seen(&answer.body);
    }

    /// A task from its first event to its last.
    pub async fn follow(&mut self, server: &Server) {
        let Some((name, route)) = self.route() else { return };
        let has_events = route.definition().get("sse").is_some();
        if !has_events || route.state != "Active" || self.tasks_of(&name).next().is_some() {
            return;
        }
        let kind = self.model.plugins[route.plugin()].kind;
        let (input, may_end) = self.input(kind);
        let task = self.expect(server, 202, "PUT", route.text("path"), Some(input)).await;
        let id = task.id();
        self.model.begun(&id, Task::new(&name, may_end));
        let events = Stream::open(server, &format!("/events?taskId={id}"), Some(0)).await.rest().await;
        let rises = events[1..].windows(2).all(|pair| pair[0].id < pair[1].id);
        let done = data(&events, "done");
        self.holds(rises && events[0].name == "open" && done.len() == 1, format!("{events:?}"));
        self.holds(events.last().is_some_and(|last| last.name == "done"), format!("{events:?}"));
        let states: Vec<&str> = data(&events, "state").iter().filter_map(|task| task["State"].as_str()).collect();
        self.holds(states == ["NotStarted", "Running"], format!("{states:?}"));
        self.seen(done[0]);
        self.look_at(server, &id).await;
        self.holds(self.model.ended.contains_key(&id), format!("{id} goes on after its end"));
    }

    async fn found(&mut self, server: &Server, query: Value) -> Answer {
        let answer = self.expect(server, 200, "POST", &format!("/tasks/query?limit={PAGE}"), Some(query)).await;
        for task in answer.body.as_array().expect("a list") {
            self.seen(task);
        }
        answer
    }

    /// The newest of a route are those that were submitted last.
    pub async fn query(&mut self, server: &Server) {
        let names: Vec<String> = self.model.by_route.keys().cloned().collect();
        let Some(name) = self.one_of(&names) else { return };
        let known: BTreeSet<String> = self.model.by_route[&name].iter().rev().take(PAGE).cloned().collect();
        let answer = self.found(server, json!({"Name": {"op": "EQ", "value": name}})).await;
        let got: BTreeSet<String> = ids(&answer).into_iter().collect();
        self.holds(got == known, format!("{got:?} were found, not {known:?}"));
    }

    pub async fn stop_many(&mut self, server: &Server) {
        let names: Vec<String> = self.model.by_route.keys().cloned().collect();
        let Some(name) = self.one_of(&names) else { return };
        let is_dry = self.below(2) == 0;
        let open: BTreeSet<String> = self.tasks_of(&name).cloned().collect();
        let path = format!("/-/tasks/stop{}", if is_dry { "?dry_run=true" } else { "" });
        if !is_dry {
            open.iter().for_each(|id| self.model.open.get_mut(id).expect("it is there").is_stop_asked = true);
        }
        let query = json!({"Name": {"op": "EQ", "value": name}});
        let answer = self.expect(server, 200, "POST", &path, Some(query)).await;
        let count = |field: &str| answer.body[field].as_u64().unwrap_or(u64::MAX);
        let refused = answer.body["Refused"].as_array().map_or(0, Vec::len) as u64;
        let adds_up = match is_dry {
            true => count("Done") == 0,
            false => count("Matched") == count("Done") + refused,
        };
        self.holds(adds_up && count("Matched") <= open.len() as u64, format!("{open:?}: {answer:?}"));
        if !is_dry {
            for id in &open {
                self.look_at(server, id).await;
                self.holds(self.model.ended.contains_key(id), format!("{id} goes on after {answer:?}"));
            }
        }
    }

    /// One that has ended, as a new task.
    pub async fn run_again(&mut self, server: &Server) {
        let newest: Vec<String> = self.model.by_route.values().filter_map(|ids| ids.last().cloned()).collect();
        let Some(id) = self.one_of(&newest).filter(|id| self.model.ended.contains_key(id)) else { return };
        let query = json!({"Id": {"op": "EQ", "value": id}});
        let answer = self.expect(server, 200, "POST", "/-/tasks/rerun", Some(query)).await;
        self.holds(answer.body["Matched"] == 1, format!("{id}: {answer:?}"));
        if answer.body["Done"] == 1 {
            let new = answer.body["Tasks"][0]["NewId"].as_str().unwrap_or("").to_owned();
            let task = self.expect(server, 200, "GET", &format!("/tasks/{new}"), None).await;
            // On whatever its route runs now, with an input that was meant for something else.
            self.model.begun(&new, Task::new(task.text("Name"), ANY));
            self.seen(&task.body);
        }
    }
}
