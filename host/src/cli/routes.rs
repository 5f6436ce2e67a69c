//! Owns `sandpool routes`: the routes of a running server, and what is done to one. Must not know what a route is made of.

use super::client::{Server, block_on};
use super::tasks::segment;
use super::terminal::table;
use super::{Ending, Refusal, say};
use reqwest::Method;
use serde::Deserialize;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What to do to a route; without it all are listed
    #[arg(requires = "name")]
    action: Option<Action>,
    /// The route's name
    name: Option<String>,
    /// For `rollback`: puts this revision in force again [default: the one before]
    #[arg(long, value_name = "N", requires = "action")]
    revision: Option<u64>,
    /// Answers what the server said as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    /// Takes tasks, which wait
    Pause,
    /// Takes and runs tasks
    Resume,
    /// Takes no tasks; those that it has run to their end
    Drain,
    /// Puts a former definition in force again
    Rollback,
    /// Removes it; the tasks that it has run to their end
    Remove,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Route {
    name: String,
    origin: String,
    state: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    component: String,
    revision: Option<u64>,
    fault: Option<String>,
}

impl Route {
    fn standing(&self) -> String {
        self.fault.as_ref().map_or_else(|| self.state.clone(), |fault| format!("{}: {fault}", self.state))
    }
}

pub fn routes(arguments: &Arguments) -> Result<Ending, Refusal> {
    let client = arguments.server.client()?;
    let (Some(action), Some(name)) = (arguments.action, &arguments.name) else {
        let answer = block_on(client.ask(client.request(Method::GET, "/-/routes")))?;
        let routes: Vec<Route> = answer.read()?;
        if arguments.json {
            say(&answer.text);
            return Ok(Ending::Ok);
        }
        let rows = routes.into_iter().map(|route| {
            let (standing, revision) = (route.standing(), route.revision.map(|n| n.to_string()).unwrap_or_default());
            let request = format!("{} {}", route.method, route.path);
            [route.name, request, route.component, route.origin, revision, standing]
        });
        say(&table(["NAME", "REQUEST", "COMPONENT", "ORIGIN", "REVISION", "STATE"], rows.collect()));
        return Ok(Ending::Ok);
    };
    let path = format!("/-/routes/{}", segment(name));
    let request = match action {
        Action::Remove => client.request(Method::DELETE, &path),
        Action::Pause => client.request(Method::POST, &format!("{path}/pause")),
        Action::Resume => client.request(Method::POST, &format!("{path}/resume")),
        Action::Drain => client.request(Method::POST, &format!("{path}/drain")),
        Action::Rollback => client.request(Method::POST, &format!("{path}/rollback")),
    };
    let request = match arguments.revision {
        Some(_) if action != Action::Rollback => return Err("--revision: only for rollback".into()),
        Some(revision) => request.query(&[("revision", revision)]),
        None => request,
    };
    let answer = block_on(client.ask(request))?;
    if action == Action::Remove {
        say(&if arguments.json { "null".to_owned() } else { format!("{name}  removed") });
        return Ok(Ending::Ok);
    }
    let route: Route = answer.read()?;
    say(&if arguments.json { answer.text } else { format!("{}  {}", route.name, route.standing()) });
    Ok(Ending::Ok)
}
