//! Owns compiling: in a child process with limits, because a compiler's time and memory are in the hands of whoever
//! wrote the component (a valid 166 KiB one takes 10 s and 2.3 GB), and a compile cannot be interrupted.
//! Must not know where compiled code is kept.

use super::confine::confine;
use super::engine::code_settings;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wasmtime::Engine;

/// The hidden command by which the program starts itself as the compile child.
pub const COMPILE_COMMAND: &str = "compile-worker";

const MEMORY: u64 = 2 << 30;
const CPU_SECONDS: u64 = 60;
/// The least: what runs already goes first.
const NICENESS: i32 = 19;
const WALL: Duration = Duration::from_secs(120);
/// The most bytes of the child's words that are passed on.
const WORDS: u64 = 4_096;

/// Who compiles.
#[derive(Debug, Clone)]
pub enum Compiler {
    /// This program, started again as `PROGRAM compile-worker FILE`.
    Child(PathBuf),
    /// This process: for programs that are not the server, such as benchmarks.
    InProcess,
}

impl Compiler {
    /// Compiles a component into a new file.
    pub(super) fn compile(&self, engine: &Engine, binary: &[u8], into: &Path) -> Result<(), String> {
        match self {
            Self::Child(program) => compile_in_child(program, binary, into),
            Self::InProcess => compile_here(engine, binary, new_file(into)?),
        }
    }
}

fn compile_here(engine: &Engine, binary: &[u8], mut into: fs::File) -> Result<(), String> {
    let code = engine.precompile_component(binary).map_err(|error| format!("{error:#}"))?;
    into.write_all(&code).and_then(|()| into.sync_all()).map_err(words)
}

fn new_file(path: &Path) -> Result<fs::File, String> {
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(words)
}

fn compile_in_child(program: &Path, binary: &[u8], into: &Path) -> Result<(), String> {
    let mut child = Command::new(program)
        .arg(COMPILE_COMMAND)
        .arg(into)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the compiler {} could not be started: {error}", program.display()))?;
    if let Some(mut input) = child.stdin.take() {
        // A child that dies while it reads says why by its exit, below.
        drop(input.write_all(binary));
    }
    let status = wait(&mut child)?;
    let mut said = String::new();
    if let Some(errors) = child.stderr.take() {
        drop(errors.take(WORDS).read_to_string(&mut said));
    }
    match (status.success(), status.code()) {
        (true, _) => Ok(()),
        (false, Some(1)) => Err(said.trim().to_owned()),
        (false, Some(code)) => Err(format!("the compiler failed with exit code {code}: {}", said.trim())),
        // SIGABRT where memory ran out, SIGXCPU or SIGKILL where time did; SIGSEGV where the stack did.
        (false, None) => {
            tracing::warn!(signal = status.signal(), said = said.trim(), "a compile went past its limits");
            Err(format!(
                "the component takes more than {} GiB of memory or {CPU_SECONDS} s of CPU time to compile",
                MEMORY >> 30
            ))
        }
    }
}

fn wait(child: &mut Child) -> Result<std::process::ExitStatus, String> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if began.elapsed() > WALL => {
                drop(child.kill());
                drop(child.wait());
                return Err(format!("the component takes more than {} s to compile", WALL.as_secs()));
            }
            Ok(None) => std::thread::sleep(pause),
            Err(error) => return Err(words(error)),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The compile child: reads a component from standard input and writes its code to the file `into`.
///
/// # Errors
/// What the compiler, or the file system, said.
pub fn compile_worker(into: &Path) -> Result<(), String> {
    limit(Resource::As, MEMORY)?;
    limit(Resource::Cpu, CPU_SECONDS)?;
    limit(Resource::Core, 0)?;
    // A server that dies takes its compiler with it.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(words)?;
    // Below the guests.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let mut binary = Vec::new();
    std::io::stdin().lock().read_to_end(&mut binary).map_err(words)?;
    // Not the pooling allocator: its address space alone would be past the limit.
    let engine = Engine::new(&code_settings()).map_err(|error| format!("{error:#}"))?;
    let into = new_file(into)?;
    confine()?;
    compile_here(&engine, &binary, into)
}

fn limit(resource: Resource, value: u64) -> Result<(), String> {
    setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) }).map_err(words)
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
