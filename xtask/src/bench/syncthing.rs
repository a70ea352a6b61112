//! The peer: two Syncthings on loopback, each with a home of its own.
//!
//! Everything that would leave the machine is off: global and local discovery, relays, NAT traversal, STUN, usage
//! and crash reports, upgrades. All else is as it comes, but for the watcher's delay, which is what is varied.

use super::contender::Contender;
use super::process::Process;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the two may take to connect and to come to rest.
const PATIENCE: Duration = Duration::from_secs(600);

/// Guards a REST interface on loopback for the time of the run.
const API_KEY: &str = "freehold-bench";

/// The watcher's delay of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delay {
    /// As it comes: ten seconds.
    Default,
    /// The shortest it takes: one second.
    OneSecond,
}

/// The running pair.
pub(super) struct Syncthing {
    delay: Delay,
    instances: [Instance; 2],
}

struct Instance {
    process: Process,
    folder: PathBuf,
    gui_port: u16,
}

/// What an instance is before it runs.
struct Plan {
    home: PathBuf,
    folder: PathBuf,
    id: String,
    port: u16,
    gui_port: u16,
}

impl Syncthing {
    /// Starts two in `dir`.
    pub(super) fn start(delay: Delay, dir: &Path) -> Result<Self> {
        let plans = [Plan::make(&dir.join("a"))?, Plan::make(&dir.join("b"))?];
        for plan in &plans {
            fs::write(plan.home.join("config.xml"), config(plan, &plans, delay)?)?;
        }
        let [a, b] = plans;
        let pair = Self { delay, instances: [a.start()?, b.start()?] };
        pair.wait_until("connected", |instance| {
            let connections = instance.get("/rest/system/connections")?;
            let others = connections["connections"].as_object().context("connections")?;
            Ok(others.values().any(|other| other["connected"] == true))
        })?;
        pair.settle()?;
        Ok(pair)
    }

    fn wait_until(&self, what: &str, is_so: impl Fn(&Instance) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for instance in &self.instances {
            // While it starts it does not answer.
            while !is_so(instance).unwrap_or(false) {
                ensure!(Instant::now() < deadline, "syncthing is still not {what}");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }
}

impl Plan {
    fn make(home: &Path) -> Result<Self> {
        let folder = home.with_extension("folder");
        fs::create_dir_all(folder.join(".stfolder"))?;
        let made = syncthing().args(["generate", "--no-default-folder", "--home"]).arg(home).output()?;
        ensure!(
            made.status.success(),
            "syncthing generate: {}",
            String::from_utf8_lossy(&made.stdout).trim()
        );
        let id = syncthing().args(["serve", "--device-id", "--home"]).arg(home).output()?;
        let id = String::from_utf8(id.stdout)?.trim().to_owned();
        ensure!(id.split('-').count() == 8, "not a device id: {id}");
        Ok(Self { home: home.to_owned(), folder, id, port: free_port()?, gui_port: free_port()? })
    }

    fn start(self) -> Result<Instance> {
        let mut command = syncthing();
        command.args(["serve", "--no-browser", "--no-restart", "--home"]).arg(&self.home);
        let process = Process::start(&mut command, &self.home.with_extension("log"))?;
        Ok(Instance { process, folder: self.folder, gui_port: self.gui_port })
    }
}

fn syncthing() -> Command {
    let mut command = Command::new("syncthing");
    command.env("STNOUPGRADE", "1").env("STNODEFAULTFOLDER", "1");
    command
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A whole `config.xml`; what it does not name gets Syncthing's default.
fn config(plan: &Plan, plans: &[Plan; 2], delay: Delay) -> Result<String> {
    let delay_s = if delay == Delay::Default { 10 } else { 1 };
    let mut xml = format!(
        "<configuration version=\"36\">\n<folder id=\"bench\" label=\"bench\" path=\"{}\" type=\"sendreceive\" \
         rescanIntervalS=\"3600\" fsWatcherEnabled=\"true\" fsWatcherDelayS=\"{delay_s}\" ignorePerms=\"false\" \
         autoNormalize=\"true\">\n",
        plan.folder.display()
    );
    for each in plans {
        writeln!(xml, "<device id=\"{}\"></device>", each.id)?;
    }
    writeln!(xml, "</folder>")?;
    for each in plans {
        let address = format!("tcp://127.0.0.1:{}", each.port);
        writeln!(xml, "<device id=\"{}\" name=\"x\"><address>{address}</address></device>", each.id)?;
    }
    writeln!(
        xml,
        "<gui enabled=\"true\" tls=\"false\"><address>127.0.0.1:{}</address><apikey>{API_KEY}</apikey></gui>",
        plan.gui_port
    )?;
    writeln!(xml, "<options>\n<listenAddress>tcp://127.0.0.1:{}</listenAddress>", plan.port)?;
    for off in [
        "globalAnnounceEnabled",
        "localAnnounceEnabled",
        "relaysEnabled",
        "natEnabled",
        "startBrowser",
        "crashReportingEnabled",
        "announceLANAddresses",
    ] {
        writeln!(xml, "<{off}>false</{off}>")?;
    }
    // -1 says no to usage reports for good; a keep-alive of 0 turns STUN off.
    for (name, value) in [("urAccepted", -1), ("autoUpgradeIntervalH", 0), ("stunKeepaliveStartS", 0)] {
        writeln!(xml, "<{name}>{value}</{name}>")?;
    }
    writeln!(xml, "</options>\n</configuration>")?;
    Ok(xml)
}

impl Instance {
    fn get(&self, path: &str) -> Result<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.gui_port);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--max-time", "10", "--noproxy", "*", "--config", "-", &url]);
        let mut child = curl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("curl")?;
        // The key on standard input, not where other users of the machine can read it.
        let header = format!("header = \"X-API-Key: {API_KEY}\"\n");
        child.stdin.take().context("a pipe to curl")?.write_all(header.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "syncthing does not answer");
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

impl Contender for Syncthing {
    fn name(&self) -> &'static str {
        match self.delay {
            Delay::Default => "syncthing",
            Delay::OneSecond => "syncthing 1 s",
        }
    }

    fn folders(&self) -> [&Path; 2] {
        [&self.instances[0].folder, &self.instances[1].folder]
    }

    fn processes(&self) -> Vec<&Process> {
        self.instances.iter().map(|instance| &instance.process).collect()
    }

    fn latency_files(&self) -> usize {
        match self.delay {
            Delay::Default => 5,
            Delay::OneSecond => 20,
        }
    }

    fn settle(&self) -> Result<()> {
        self.wait_until("at rest", |instance| {
            let status = instance.get("/rest/db/status?folder=bench")?;
            Ok(status["state"] == "idle" && status["needTotalItems"] == 0)
        })
    }
}
