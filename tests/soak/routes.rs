//! What a worker does to routes.

use super::model::Route;
use super::worker::{ROUTES, Worker};
use crate::support::Server;
use serde_json::{Value, json};

impl Worker {
    fn name_of(&self, number: u64) -> String {
        format!("{}r{number}", self.name)
    }

    /// Takes note of a definition that is in force.
    fn defined(&mut self, name: &str, definition: Value, revision: &Value) {
        let digests = self.model.digests(&definition).expect("it was taken");
        let fresh = || Route { digests: Vec::new(), state: "Active", revisions: Vec::new() };
        let mut route = self.model.routes.remove(name).unwrap_or_else(fresh);
        let before = route.revisions.last().map_or(0, |(number, _)| *number);
        self.holds(*revision == json!(before + 1), format!("revision {revision} of {name} came after {before}"));
        route.digests = digests;
        route.revisions.push((before + 1, definition));
        self.model.routes.insert(name.into(), route);
    }

    pub async fn define(&mut self, server: &Server) {
        let number = self.below(ROUTES);
        let (name, definition) = (self.name_of(number), self.definition(number));
        let is_there = self.model.routes.contains_key(&name);
        let status = match (self.model.digests(&definition), is_there) {
            (None, _) => 422,
            (Some(_), true) => 200,
            (Some(_), false) => 201,
        };
        let path = format!("/-/routes/{name}");
        let answer = self.expect(server, status, "PUT", &path, Some(definition.clone())).await;
        if status != 422 {
            self.defined(&name, definition, &answer.body["Revision"]);
        }
    }

    pub async fn define_faulty(&mut self, server: &Server) {
        let number = self.below(ROUTES);
        let (name, mut definition) = (self.name_of(number), self.definition(number));
        let other = self.model.routes.iter().find(|(other, _)| **other != name);
        let taken = other.map(|(_, route)| route.text("path").to_owned());
        let status = match (self.below(4), taken) {
            (0, _) => {
                definition["pool"]["max"] = "many".into();
                422
            }
            (1, _) => {
                definition["component"] = "/etc/passwd".into();
                422
            }
            (2, Some(path)) if self.model.digests(&definition).is_some() => {
                definition["path"] = path.into();
                409
            }
            _ => {
                definition["plugin"] = format!("{}nobody", self.name).into();
                definition.as_object_mut().expect("a map").remove("split");
                422
            }
        };
        self.expect(server, status, "PUT", &format!("/-/routes/{name}"), Some(definition)).await;
    }

    pub async fn set(&mut self, server: &Server, action: &str, state: &'static str) {
        let Some((name, _)) = self.route() else {
            let path = format!("/-/routes/{}/{action}", self.name_of(0));
            self.expect(server, 404, "POST", &path, None).await;
            return;
        };
        let answer = self.expect(server, 200, "POST", &format!("/-/routes/{name}/{action}"), None).await;
        self.holds(answer.text("State") == state, format!("{answer:?}"));
        self.model.routes.get_mut(&name).expect("it is there").state = state;
    }

    pub async fn roll_back(&mut self, server: &Server) {
        let Some((name, route)) = self.route() else { return };
        let listed = server.get(200, &format!("/-/routes/{name}/revisions")).await;
        let row = |one: &Value| (one["Revision"].as_u64().unwrap_or(0), one["Definition"].clone());
        let listed: Vec<(u64, Value)> = listed.body.as_array().expect("a list").iter().map(row).collect();
        let known: Vec<(u64, Value)> = route.revisions.iter().rev().take(20).cloned().collect();
        self.holds(listed == known, format!("revisions are {listed:?}, not {known:?}"));
        let (query, wanted) = match self.below(3) {
            0 => (String::new(), known.get(1).cloned()),
            1 => ("?revision=999999".into(), None),
            _ => {
                let one = self.one_of(&known).expect("one at least");
                (format!("?revision={}", one.0), Some(one))
            }
        };
        let wanted = wanted.map(|(_, definition)| definition);
        let path_is_free = |definition: &Value| {
            self.model
                .routes
                .iter()
                .all(|(other, route)| *other == name || route.definition()["path"] != definition["path"])
        };
        let status = match &wanted {
            None => 404,
            Some(definition) if self.model.digests(definition).is_none() => 422,
            Some(definition) if !path_is_free(definition) => 409,
            Some(_) => 200,
        };
        let path = format!("/-/routes/{name}/rollback{query}");
        let answer = self.expect(server, status, "POST", &path, None).await;
        if let (200, Some(definition)) = (status, wanted) {
            self.defined(&name, definition, &answer.body["Revision"]);
        }
    }

    pub async fn delete_route(&mut self, server: &Server) {
        let number = self.below(ROUTES);
        let name = self.name_of(number);
        let status = if self.model.routes.contains_key(&name) { 204 } else { 404 };
        self.expect(server, status, "DELETE", &format!("/-/routes/{name}"), None).await;
        self.model.routes.remove(&name);
    }
}
