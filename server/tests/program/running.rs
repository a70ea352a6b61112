//! A server program as a child process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// A server that is killed when the test ends early.
pub(crate) struct Running {
    child: Child,
    pub(crate) url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").expect("a URL").parse().expect("an address")
    }

    /// `kill -9`: no goodbye.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it was running");
        self.child.wait().expect("the server ends");
    }

    pub(crate) fn terminate(mut self) -> (ExitStatus, String) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success());
        let status = self.child.wait().expect("the server ends");
        let mut log = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut log).expect("text");
        (status, log)
    }
}

pub(crate) fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold-server"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FREEHOLD_")) {
        command.env_remove(name);
    }
    command.env("FREEHOLD_HOME", home).stdin(Stdio::null());
    command
}

pub(crate) fn start(home: &Path) -> Running {
    start_command(command(home).args(["--listen", "127.0.0.1:0"]))
}

/// Runs a command that serves.
pub(crate) fn start_command(command: &mut Command) -> Running {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let url = line.trim_end().strip_prefix("ready ").expect("the ready line").to_owned();
    Running { child, url }
}

pub(crate) fn run(home: &Path, args: &[&str]) -> Output {
    command(home).args(args).output().expect("the program runs")
}

/// The one line a failed start ends with.
pub(crate) fn refusal(output: &Output) -> String {
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "nothing is ready");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

pub(crate) fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}
