//! What must hold while all workers pause, and at the end.

use super::Soak;
use super::worker::Worker;
use crate::support::{Server, eventually, ids};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The largest page of a query and of the audit log.
const PAGE: usize = 1000;

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

impl Soak {
    /// Everything is compared with everything.
    pub async fn compare(&mut self) {
        self.compare_deeds().await;
        self.compare_routes().await;
        for worker in &mut self.workers {
            worker.settle(&self.server).await;
        }
        self.compare_open().await;
    }

    /// The audit log has each request that would have changed something, once, and nothing else.
    async fn compare_deeds(&mut self) {
        let mut asked: BTreeMap<(String, u64), usize> = BTreeMap::new();
        for deed in self.workers.iter_mut().flat_map(|worker| worker.deeds.drain(..)) {
            *asked.entry(deed).or_default() += 1;
        }
        let count: usize = asked.values().sum();
        let (mut deeds, mut path) = (Vec::new(), format!("/-/audit?limit={PAGE}"));
        while deeds.len() < count {
            let page = self.server.get(200, &path).await;
            let page: Vec<Value> =
                list(&page.body).iter().filter(|deed| deed["Number"].as_u64() > Some(self.audited)).cloned().collect();
            let Some(oldest) = page.last().and_then(|deed| deed["Number"].as_u64()) else { break };
            path = format!("/-/audit?limit={PAGE}&before={oldest}");
            deeds.extend(page);
        }
        let mut noted: BTreeMap<(String, u64), usize> = BTreeMap::new();
        for deed in &deeds {
            let key = (text(&deed["Action"]).to_owned(), deed["Status"].as_u64().unwrap_or(0));
            *noted.entry(key).or_default() += 1;
        }
        assert_eq!(noted, asked, "the audit log and what was asked differ");
        let numbers: Vec<u64> = deeds.iter().rev().filter_map(|deed| deed["Number"].as_u64()).collect();
        let expected: Vec<u64> = (self.audited + 1..).take(count).collect();
        assert_eq!(numbers, expected, "deeds are numbered one by one");
        self.audited += count as u64;
    }

    /// No route runs what is no version of its plugin; the document has what is offered, and nothing else.
    async fn compare_routes(&self) {
        let plugins = self.server.get(200, "/-/plugins").await;
        let routes = self.server.get(200, "/-/routes").await;
        let there: BTreeSet<(&str, &str)> =
            list(&plugins.body).iter().map(|plugin| (text(&plugin["Name"]), text(&plugin["Digest"]))).collect();
        for route in list(&routes.body).iter().filter(|route| route["Origin"] == "Api") {
            let plugin = text(&route["Definition"]["plugin"]).split('@').next().unwrap_or("");
            for digest in list(&route["Digests"]) {
                assert!(there.contains(&(plugin, text(digest))), "{route} runs what is not there");
            }
        }
        let document = self.server.get(200, "/openapi.json").await;
        let paths = document.body["paths"].as_object().expect("paths");
        let written: BTreeSet<(String, String)> = paths
            .iter()
            .filter(|(path, _)| !path.starts_with("/tasks") && *path != "/events")
            .flat_map(|(path, methods)| {
                let methods = methods.as_object().expect("methods").keys();
                methods.map(|method| (path.clone(), method.to_uppercase()))
            })
            .collect();
        let offered: BTreeSet<(String, String)> = list(&routes.body)
            .iter()
            .map(|route| (text(&route["Path"]).to_owned(), text(&route["Method"]).to_owned()))
            .collect();
        assert_eq!(written, offered, "the OpenAPI document and the routes differ");
        let known = self.workers.iter().flat_map(|worker| worker.model.routes.keys().cloned());
        let of_file = self.of_file.iter().map(|number| format!("file-{number}"));
        let known: BTreeSet<String> = known.chain(of_file).chain(["fixed".to_owned()]).collect();
        let listed: BTreeSet<String> = list(&routes.body).iter().map(|route| text(&route["Name"]).to_owned()).collect();
        assert_eq!(listed, known, "the routes and what was acknowledged differ");
    }

    /// Once all is quiet, each pool counts the tasks that queries find open, and nobody has tasks that no worker knows.
    async fn compare_open(&mut self) {
        let mut last = String::new();
        let what = "pools that count the open tasks";
        let known: BTreeSet<&String> = self.workers.iter().flat_map(|worker| worker.model.open.keys()).collect();
        let agreeing = async {
            loop {
                let before = in_pools(&self.server).await;
                let (counted, open) = open(&self.server).await;
                let after = in_pools(&self.server).await;
                let unknown: Vec<_> = open.iter().filter(|id| !known.contains(id)).collect();
                if before == after
                    && counted.iter().all(|(name, count)| before.get(name).unwrap_or(count) == count)
                    && before.iter().all(|(name, count)| counted.get(name).unwrap_or(&0) == count)
                {
                    let of_fixed = counted.get("fixed").copied().unwrap_or(0);
                    assert!(unknown.len() as u64 <= of_fixed, "nobody knows {unknown:?}");
                    return;
                }
                last = format!("{before:?} {counted:?} {after:?}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let came = tokio::time::timeout(crate::support::PATIENCE, agreeing).await;
        assert!(came.is_ok(), "{what} did not come: {last}");
    }

    /// Stops what goes on. Each task that was acknowledged is there, and has ended once. The counts of states.
    pub async fn end(&mut self) -> BTreeMap<String, usize> {
        eventually("the end of the fixed route's tasks", || async {
            (in_pools(&self.server).await["fixed"] == 0).then_some(())
        })
        .await;
        for worker in &mut self.workers {
            worker.end(&self.server).await;
        }
        self.compare().await;
        let db = rusqlite::Connection::open(self.server.path("tasks.db")).expect("the store");
        let count = |query: &str| db.query_row(query, [], |row| row.get::<_, i64>(0)).expect("a count");
        let (stored, open) = (count("SELECT count(*) FROM tasks"), count("SELECT count(*) FROM tasks WHERE state < 2"));
        let (ends, distinct) = (count("SELECT count(*) FROM ends"), count("SELECT count(DISTINCT id) FROM ends"));
        assert_eq!((open, ends, distinct), (0, stored, stored), "each task has ended once");
        let found = all(&self.server).await;
        assert_eq!(found.len() as i64, stored, "queries find what is stored");
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for worker in &self.workers {
            for (id, state) in &worker.model.ended {
                assert_eq!(found.get(id).map(|(_, state)| state), Some(state), "{id}");
            }
        }
        for id in &self.acknowledged {
            assert!(found.contains_key(id), "{id} was acknowledged and is gone");
        }
        let known: usize = self.workers.iter().map(|worker| worker.model.ended.len()).sum();
        let others = found.values().filter(|(name, _)| name != "fixed").count();
        assert_eq!(known, others, "there are no tasks that nobody was told of");
        found.into_values().for_each(|(_, state)| *states.entry(state).or_default() += 1);
        states
    }
}

impl Worker {
    /// Looks at all tasks that were open.
    async fn settle(&mut self, server: &Server) {
        let open: Vec<String> = self.model.open.keys().cloned().collect();
        for id in open {
            self.look_at(server, &id).await;
        }
    }

    async fn end(&mut self, server: &Server) {
        let open: Vec<String> = self.model.open.keys().cloned().collect();
        for id in open {
            self.model.open.get_mut(&id).expect("it is there").is_stop_asked = true;
            self.ask(server, "DELETE", &format!("/tasks/{id}"), None).await;
            self.look_at(server, &id).await;
            self.holds(self.model.ended.contains_key(&id), format!("{id} goes on after its stop"));
        }
    }
}

/// Used and waiting of each pool.
async fn in_pools(server: &Server) -> BTreeMap<String, u64> {
    let pools = server.get(200, "/-/pools").await;
    let row = |pool: &Value| {
        (text(&pool["Route"]).to_owned(), pool["Used"].as_u64().unwrap_or(0) + pool["Waiting"].as_u64().unwrap_or(0))
    };
    list(&pools.body).iter().map(row).collect()
}

/// How many tasks of each route are open, and their ids.
async fn open(server: &Server) -> (BTreeMap<String, u64>, BTreeSet<String>) {
    let (mut counts, mut all) = (BTreeMap::new(), BTreeSet::new());
    for state in ["NotStarted", "Running"] {
        let query = json!({"State": {"op": "EQ", "value": state}});
        let request = server.request("POST", &format!("/tasks/query?limit={PAGE}")).json(&query);
        let found = server.send(200, request).await;
        for task in list(&found.body) {
            *counts.entry(text(&task["Name"]).to_owned()).or_default() += 1;
        }
        all.extend(ids(&found));
    }
    (counts, all)
}

/// Name and state of each task, by its id.
async fn all(server: &Server) -> BTreeMap<String, (String, String)> {
    let (mut path, mut found) = (format!("/tasks/query?limit={PAGE}"), BTreeMap::new());
    loop {
        let page = server.get(200, &path).await;
        for task in list(&page.body) {
            let row = (text(&task["Name"]).to_owned(), text(&task["State"]).to_owned());
            found.insert(text(&task["Id"]).to_owned(), row);
        }
        let next = page.header("link").strip_prefix('<').and_then(|link| link.split_once(">; rel=\"next\""));
        match next {
            Some((next, _)) => path = next.to_owned(),
            None => return found,
        }
    }
}
