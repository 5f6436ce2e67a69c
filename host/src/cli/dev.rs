//! Owns `sandpool dev`: builds, serves and watches a project, with `sandpool build` and `sandpool serve` as its children.
//! Must not know how either works.

use super::{Ending, Refusal, say_error};
use crate::app::Signals;
use crate::project::{CONFIG, Project, Watch};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The project's folder
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// The address to listen at, instead of the configuration's
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

pub fn dev(arguments: &Arguments) -> Result<Ending, Refusal> {
    let project = Project::open(&arguments.folder)?;
    let mut service = Service {
        program: std::env::current_exe()?,
        config: project.folder.join(CONFIG),
        listen: arguments.listen.map(fixed).transpose()?,
        child: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let ended = tokio::select! {
            ended = supervise(&project, &mut service) => ended,
            () = signals.next() => Ok(()),
        };
        tokio::select! {
            () = service.stop() => {}
            // A second one ends the grace of the tasks that run.
            () = signals.next() => service.kill(),
        }
        ended.map(|()| Ending::Ok)
    })
}

/// The same port for every start of the server, if the system is to choose one.
fn fixed(listen: SocketAddr) -> std::io::Result<SocketAddr> {
    if listen.port() == 0 { TcpListener::bind(listen)?.local_addr() } else { Ok(listen) }
}

async fn supervise(project: &Project, service: &mut Service) -> Result<(), Refusal> {
    let mut watch = Watch::start()?;
    let (mut seen, mut ever) = (None, false);
    loop {
        let now = tokio::select! {
            changed = watch.changed(project, seen.as_ref()) => changed?,
            () = service.ended() => continue,
        };
        let sources = seen.as_ref().is_none_or(|seen| seen.digest != now.digest);
        let config = seen.as_ref().is_some_and(|seen| seen.config != now.config);
        let built = sources && build(&service.program, project).await?;
        ever |= built;
        seen = Some(now);
        if (built || (config && ever)) && service.renew().await? {
            continue;
        }
        say_error(match service.child {
            Some(_) => "sandpool dev: what was there before this change stays in service",
            None => "sandpool dev: nothing is served until this is put right",
        });
    }
}

/// Runs `sandpool build` and all that it starts; when this is dropped, they end.
async fn build(program: &Path, project: &Project) -> Result<bool, Refusal> {
    let mut child = Command::new(program).arg("build").arg(&project.folder).process_group(0).spawn()?;
    let _group = Group(pid(&child));
    Ok(child.wait().await?.success())
}

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

/// `sandpool serve` with the project's configuration.
struct Service {
    program: PathBuf,
    config: PathBuf,
    listen: Option<SocketAddr>,
    child: Option<Child>,
}

impl Service {
    /// Has what was built, and the configuration, in service; not if a server would refuse them, which is said.
    async fn renew(&mut self) -> std::io::Result<bool> {
        let mut check = Command::new(&self.program);
        if !check.arg("check").arg(&self.config).stdout(Stdio::null()).kill_on_drop(true).status().await?.success() {
            return Ok(false);
        }
        if self.child.is_some() {
            // It watches its files itself, and goes on with what runs.
            return Ok(true);
        }
        let mut command = Command::new(&self.program);
        command.args(["serve", "--with-parent", "--config"]).arg(&self.config).kill_on_drop(true);
        // A group of its own: the terminal's Ctrl-C is for this program, which then says SIGTERM, once.
        command.process_group(0);
        if let Some(listen) = self.listen {
            command.arg("--listen").arg(listen.to_string());
        }
        self.child = Some(command.spawn()?);
        Ok(true)
    }

    /// Asks it to end, and waits until it has.
    async fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(id) = pid(child) {
            let _ = kill_process(id, Signal::TERM);
        }
        drop(child.wait().await);
        self.child = None;
    }

    fn kill(&mut self) {
        // Dropped, it is killed.
        self.child = None;
    }

    /// Resolves when it has ended by itself; it has said why.
    async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => drop(child.wait().await),
            None => std::future::pending().await,
        }
        self.child = None;
        say_error("sandpool dev: the server has ended; it starts again after the next change");
    }
}
