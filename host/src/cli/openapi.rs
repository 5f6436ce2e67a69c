//! Owns `sandpool openapi`. Must not know what stands in the document.

use super::{Ending, Refusal, say};
use crate::api::openapi::{self, Input, Place, RouteDoc, TaskOperation, TaskRouteDoc};
use crate::app;
use crate::config::Config;
use crate::route::task_route::{IdPlace, Operation, TaskRoute};
use crate::wasm::{Loader, WasmEngine};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration whose document to print
    #[arg(value_name = "FILE", default_value = "sandpool.yaml")]
    config: PathBuf,
    /// Prints JSON, which is the default
    #[arg(long, conflicts_with = "yaml")]
    json: bool,
    /// Prints YAML
    #[arg(long)]
    yaml: bool,
}

pub fn openapi(arguments: &Arguments) -> Result<Ending, Refusal> {
    let document = openapi::document(&input(&Config::load(&arguments.config)?)?);
    let text =
        if arguments.yaml { serde_yaml::to_string(&document)? } else { serde_json::to_string_pretty(&document)? };
    say(text.trim_end());
    Ok(Ending::Ok)
}

/// What the document is made of; the components are loaded, since they describe themselves.
fn input(config: &Config) -> Result<Input, Refusal> {
    let (engine, cache) = (WasmEngine::start()?, app::cache()?);
    let mut loader = Loader::new(&engine, &cache);
    let (mut routes, mut faults) = (Vec::new(), Vec::new());
    for route in &config.routes {
        match loader.description(&route.component) {
            Ok(description) => routes.push(RouteDoc {
                route: Arc::clone(route),
                responses: vec!["application/json".into()],
                description,
                security: None,
                callback: None,
                summary: None,
                tags: Vec::new(),
            }),
            Err(fault) => faults.push(format!("route {} {}: {fault}", route.method, route.path)),
        }
    }
    if !faults.is_empty() {
        return Err(Refusal(faults.join("\n")));
    }
    Ok(Input {
        servers: config.server.public_url.iter().cloned().collect(),
        routes,
        task_routes: config.task_routes.iter().map(task_route).collect(),
        ..Input::default()
    })
}

fn task_route(route: &TaskRoute) -> TaskRouteDoc {
    let place = |place: &IdPlace| match place {
        IdPlace::Path => Place::Path,
        IdPlace::Query => Place::Query,
        IdPlace::Header => Place::Header,
        IdPlace::Cookie => Place::Cookie,
    };
    TaskRouteDoc {
        operation: match route.operation {
            Operation::Get => TaskOperation::Get,
            Operation::Stop => TaskOperation::Stop,
        },
        path: route.path.clone(),
        places: route.places.iter().map(place).collect(),
        id_name: route.id_name.clone(),
        responses: vec!["application/json".into()],
        security: None,
        summary: None,
        tags: Vec::new(),
    }
}
