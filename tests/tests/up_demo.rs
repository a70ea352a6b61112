//! S1 and S2 on the programs a user runs: `./x up --demo`, a real tree, restarts, kill -9, a second device.

#![expect(clippy::print_stdout, reason = "the figures of a scenario are its result")]

use anyhow::{Context, Result, ensure};
use freehold_tests::{Device, add_oddities, assert_same, free_port, real_tree, root};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: usize = 5_000;
const LARGE_BYTES: usize = 110_000_000;

/// A machine on which `./x up` runs; `./x down` at the end, whatever happens.
struct Machine {
    dir: tempfile::TempDir,
    listen: [(&'static str, String); 2],
}

impl Machine {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("freehold-demo-").tempdir()?;
        let listen = [
            ("FREEHOLD_SERVER_LISTEN", format!("127.0.0.1:{}", free_port()?)),
            ("FREEHOLD_STORAGED_LISTEN", format!("127.0.0.1:{}", free_port()?)),
        ];
        Ok(Self { dir, listen })
    }

    fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    fn mount(&self) -> PathBuf {
        self.dir.path().join("vault")
    }

    fn x(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(root().join("x"));
        command.args(arguments).env("FREEHOLD_HOME", self.home()).envs(self.listen.iter().cloned());
        let output = command.output()?;
        ensure!(output.status.success(), "x {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    fn up(&self) -> Result<Value> {
        let mount = self.mount();
        let stdout = self.x(&["up", "--demo", "--json", "--mount", mount.to_str().context("UTF-8")?])?;
        let answer: Value = serde_json::from_slice(&stdout).context("one JSON object")?;
        ensure!(answer["ok"] == true, "{answer}");
        Ok(answer["data"].clone())
    }

    fn freehold(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(root().join("target/dist/bin/freehold"));
        let output = command.args(arguments).arg("--json").env("FREEHOLD_HOME", self.home()).output()?;
        ensure!(
            output.status.success(),
            "freehold {arguments:?}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(serde_json::from_slice::<Value>(&output.stdout)?["data"].clone())
    }

    /// `kill -9` of the daemon, as pid file and process table name it.
    fn kill_daemon(&self) -> Result<()> {
        let text = fs::read_to_string(self.home().join("up/freehold-clientd.pid"))?;
        let pid = text.split(' ').next().context("a pid")?.parse()?;
        let pid = rustix::process::Pid::from_raw(pid).context("a pid")?;
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        while Path::new(&format!("/proc/{}/exe", pid.as_raw_nonzero())).read_link().is_ok() {
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.x(&["down"]));
        drop(Command::new("umount").arg("-l").arg(self.mount()).output());
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp -a {}", from.display());
    Ok(())
}

#[test]
fn a_real_tree_survives_copying_restarts_kill_and_reaches_a_second_device() -> Result<()> {
    let machine = Machine::new()?;
    let answer = machine.up()?;
    assert_eq!(answer["mount"].as_str(), machine.mount().to_str());
    let password = PathBuf::from(answer["password_file"].as_str().context("a password file")?);
    let (server, user) =
        (answer["server"].as_str().context("a server")?, answer["user"].as_str().context("a user")?);

    let source = machine.dir.path().join("source");
    let files = real_tree(&source, FILES)?;
    add_oddities(&source, LARGE_BYTES)?;
    println!("S1: {files} files of real source code, and the oddities");
    let vault = machine.mount().join("tree");
    copy(&source, &vault)?;
    assert_same(&source, &vault);

    println!("S1: again after stopping and starting everything");
    machine.x(&["down"])?;
    assert!(fs::read_dir(machine.mount())?.next().is_none(), "nothing lies under the mount point");
    machine.up()?;
    assert_same(&source, &vault);

    println!("S1: again after kill -9 right after fsync");
    let note = machine.mount().join("note");
    let mut file = File::create(&note)?;
    file.write_all(b"written, synced, and then the power went")?;
    file.sync_all()?;
    machine.kill_daemon()?;
    drop(file);
    machine.up()?;
    assert_eq!(fs::read(&note)?, b"written, synced, and then the power went");
    assert_same(&source, &vault);
    machine.freehold(&["wait", "--timeout", "900"])?;

    println!("S2: a second device, the first one stopped");
    machine.kill_daemon()?;
    let second = Device::start(&machine.dir.path().join("second"))?;
    second.login(server, user, &password)?;
    second.mount()?;
    second.wait()?;
    assert_same(&source, &second.mount_point().join("tree"));

    println!("S2: a change on either reaches the other");
    machine.up()?;
    fs::write(second.mount_point().join("from second"), "hello first")?;
    fs::rename(second.mount_point().join("note"), second.mount_point().join("tree/note"))?;
    second.wait()?;
    machine.freehold(&["wait", "--timeout", "300"])?;
    assert_eq!(fs::read(machine.mount().join("from second"))?, b"hello first");
    assert!(machine.mount().join("tree/note").exists() && !note.exists());
    fs::write(machine.mount().join("from second"), "hello second")?;
    machine.freehold(&["wait", "--timeout", "300"])?;
    second.wait()?;
    assert_eq!(fs::read(second.mount_point().join("from second"))?, b"hello second");
    Ok(())
}
