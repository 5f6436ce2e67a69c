//! The real program as a server of a benchmark's own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    /// `HOST:PORT`
    pub address: String,
    /// Where its store is.
    pub folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server with a store of its own; `lines` are the rest of its configuration.
    pub fn start(lines: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let head = "server: {listen: \"127.0.0.1:0\", connections: 20000}\nstore: {url: \"sqlite:tasks.db\"}\n";
        let file = folder.path().join("sandpool.yaml");
        std::fs::write(&file, format!("{head}{lines}")).expect("writable");
        let mut child = Command::new(env!("CARGO_BIN_EXE_sandpool"))
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let first = lines.next().expect("a line").expect("text");
        let address = first.rsplit("http://").next().expect("an address").to_owned();
        // Its later lines must not fill the pipe.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address, folder }
    }

    /// CPU seconds that it has used.
    pub fn cpu(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a live process");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("fields").split_whitespace().collect();
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().expect("ticks")).sum::<f64>() / 100.0
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a live process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace().nth(1).expect("KiB").parse::<f64>().expect("a number") / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
