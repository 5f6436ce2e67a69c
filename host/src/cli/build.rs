//! Owns `sandpool build`, and `sandpool guest-tools`, which its recipes call.
//! Must not know the languages, nor how cases are judged.

use super::run::{self, Terminal};
use super::{Ending, Refusal, say, say_error};
use crate::app;
use crate::project::{self, Build, Built, Case, Project};
use crate::wasm::{Inspection, Loader};
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Runs the cases of cases.jsonl, too
    #[arg(long)]
    test: bool,
    /// Answers as JSON
    #[arg(long)]
    json: bool,
}

/// What the recipes ask for.
#[derive(Debug, clap::Subcommand)]
pub enum GuestTools {
    /// Writes bindings of a world
    Bindings { language: String, wit: PathBuf, world: String, folder: PathBuf },
    /// Makes a component of a core module
    Component { wit: PathBuf, world: String, core: PathBuf, to: PathBuf, adapter: Option<PathBuf> },
}

pub fn guest_tools(tools: &GuestTools) -> Result<Ending, Refusal> {
    match tools {
        GuestTools::Bindings { language, wit, world, folder } => project::bindings(language, wit, world, folder)?,
        GuestTools::Component { wit, world, core, to, adapter } => {
            project::component(wit, world, core, to, adapter.as_deref())?;
        }
    }
    Ok(Ending::Ok)
}

pub fn build(arguments: &Arguments) -> Result<Ending, Refusal> {
    let project = Project::open(&arguments.folder)?;
    let build = Build::of(&project, &std::env::current_exe()?)?;
    let built = build.run()?;
    let file = match built {
        Built::Missing => return Ok(Ending::Usage),
        Built::Failed => {
            say_error(&format!("sandpool build: {} could not be built, see above", project.folder.display()));
            return Ok(Ending::FailedTask);
        }
        Built::New => build.made(),
        Built::Fresh => project.component.clone(),
    };
    let loader = app::lone_loader()?;
    let facts = loader.program(&loader.read(&file)?)?.inspect(loader.engine());
    let Some(world) = facts.world else {
        let why = facts.fault.unwrap_or_default();
        say_error(&format!("sandpool build: {} fits no world: {why}", file.display()));
        return Ok(Ending::FailedTask);
    };
    if built == Built::New {
        build.keep()?;
    }
    if !arguments.json {
        show(&project, built == Built::New, world, &facts);
    }
    let cases = if arguments.test { test(&loader, &project, !arguments.json)? } else { Vec::new() };
    let failed = cases.iter().any(|(_, fault)| fault.is_some());
    if arguments.json {
        let cases: Vec<_> = cases.iter().map(|(line, fault)| json!({"line": line, "fault": fault})).collect();
        let answer = json!({
            "component": project.component, "new": built == Built::New, "size": facts.size, "world": world,
            "digest": format!("sha256:{}", facts.digest), "cases": arguments.test.then_some(cases),
        });
        say(&answer.to_string());
    }
    Ok(if failed { Ending::FailedTask } else { Ending::Ok })
}

fn show(project: &Project, new: bool, world: &str, facts: &Inspection) {
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).unwrap_or_default();
    let shown = project.component.strip_prefix(here).unwrap_or(&project.component);
    say(&format!("{}  {}", shown.display(), if new { "built" } else { "is up to date" }));
    say(&format!("world    {world}\nsize     {} bytes\ndigest   sha256:{}", facts.size, facts.digest));
}

/// Runs the project's cases: the line of each, and why it fails.
fn test(loader: &Loader, project: &Project, shown: bool) -> Result<Vec<(usize, Option<String>)>, Refusal> {
    let cases = Case::of(project)?;
    let mut ends = Vec::new();
    for case in &cases {
        let fault = judge(loader, &project.component, case)?;
        if shown {
            let input = case.input.as_str();
            say(&match &fault {
                None => format!("ok      {}: {input}", case.line),
                Some(why) => format!("failed  {}: {input}: {why}", case.line),
            });
        }
        ends.push((case.line, fault));
    }
    if shown {
        let failed = ends.iter().filter(|(_, fault)| fault.is_some()).count();
        say(&format!("{} ok, {failed} failed", ends.len() - failed));
    }
    Ok(ends)
}

fn judge(loader: &Loader, component: &Path, case: &Case) -> Result<Option<String>, Refusal> {
    let outcome = run::attempt(loader, &run::Arguments::of_case(component, case), &Terminal::new(false))?;
    let (_, result, error) = outcome.into_parts();
    Ok(case.fault(result.as_ref(), error.as_deref()))
}
