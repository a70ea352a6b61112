//! What is measured: a folder kept by some file system, which can be emptied from memory and mounted afresh.

use super::rows::Name;
use crate::bench::contender::Contender as _;
use crate::bench::freehold::Freehold;
use crate::bench::process::Process;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long a file system may take to be mounted, and to be let go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Guards a folder that is removed after the run.
const PASSWORD: &str = "only for the time of a benchmark";

/// A running contender.
pub(super) trait System {
    /// Where the work is done.
    fn dir(&self) -> &Path;

    /// The daemon that serves the mount; none for a plain folder.
    fn daemon(&self) -> Option<u32>;

    /// Every program that takes part.
    fn programs(&self) -> Vec<u32>;

    /// Waits until nothing is on its way.
    fn settle(&self) -> Result<()>;

    /// Unmounts and stops the daemon.
    fn take_down(&mut self) -> Result<()>;

    /// Starts and mounts it again; ends when the mount can be used.
    fn bring_up(&mut self, is_strict: bool) -> Result<()>;

    /// A command that tells what waits to be sent; none for who sends nothing.
    fn status_command(&self) -> Option<Command> {
        None
    }
}

/// Where our programs are.
pub(super) struct Programs {
    /// The folder of the released ones.
    pub(super) freehold: PathBuf,
    pub(super) passthrough: PathBuf,
}

/// Starts a contender in an empty folder.
pub(super) fn start(name: Name, programs: &Programs, dir: &Path) -> Result<Box<dyn System>> {
    Ok(match name {
        Name::Raw => Box::new(Plain(dir.to_owned())),
        Name::Freehold | Name::FreeholdByDevice => {
            Box::new(Vault { freehold: Freehold::start(&programs.freehold, dir, &["a"])? })
        }
        Name::Passthrough => {
            let mut command = Command::new(&programs.passthrough);
            command.arg(dir.join("store")).arg(dir.join("mount"));
            Box::new(Fuse::start(dir, command)?)
        }
        Name::Gocryptfs | Name::GocryptfsXchacha => {
            let (store, password) = (dir.join("store"), dir.join("password"));
            fs::create_dir(&store)?;
            fs::write(&password, PASSWORD)?;
            let mut init = Command::new("gocryptfs");
            // A cheap password: only the mount's start is measured less, and nobody's key guards anything.
            init.args(["-init", "-q", "-scryptn", "10", "-passfile"]).arg(&password);
            if name == Name::GocryptfsXchacha {
                init.arg("-xchacha");
            }
            let made = init.arg(&store).output().context("could not start gocryptfs")?;
            ensure!(made.status.success(), "gocryptfs: {}", String::from_utf8_lossy(&made.stderr).trim());
            let mut command = Command::new("gocryptfs");
            command.args(["-fg", "-q", "-passfile"]).arg(&password).arg(&store).arg(dir.join("mount"));
            Box::new(Fuse::start(dir, command)?)
        }
    })
}

/// A folder of the disk's own file system.
struct Plain(PathBuf);

impl System for Plain {
    fn dir(&self) -> &Path {
        &self.0
    }

    fn daemon(&self) -> Option<u32> {
        None
    }

    fn programs(&self) -> Vec<u32> {
        Vec::new()
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn take_down(&mut self) -> Result<()> {
        Ok(())
    }

    fn bring_up(&mut self, _is_strict: bool) -> Result<()> {
        Ok(())
    }
}

/// A file system that is one program in the foreground.
struct Fuse {
    command: Command,
    log: PathBuf,
    mount: PathBuf,
    process: Option<Process>,
}

impl Fuse {
    fn start(dir: &Path, command: Command) -> Result<Self> {
        let mount = dir.join("mount");
        fs::create_dir_all(dir.join("store"))?;
        fs::create_dir(&mount)?;
        let mut fuse = Self { command, log: dir.join("daemon.log"), mount, process: None };
        fuse.bring_up(false)?;
        Ok(fuse)
    }

    fn is_mounted(&self) -> Result<bool> {
        let parent = self.mount.parent().context("a mount at the top")?;
        Ok(self.mount.metadata()?.dev() != parent.metadata()?.dev())
    }
}

impl System for Fuse {
    fn dir(&self) -> &Path {
        &self.mount
    }

    fn daemon(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    fn programs(&self) -> Vec<u32> {
        self.daemon().into_iter().collect()
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn take_down(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // A program that has just ended may hold a file for a moment.
        while self.process.is_some() {
            let said = Command::new("umount").arg(&self.mount).output().context("could not start umount")?;
            if said.status.success() {
                self.process = None;
            } else if Instant::now() > deadline {
                bail!("umount: {}", String::from_utf8_lossy(&said.stderr).trim());
            } else {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    fn bring_up(&mut self, _is_strict: bool) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        self.process = Some(Process::start(&mut self.command, &self.log)?);
        while !self.is_mounted()? {
            ensure!(Instant::now() < deadline, "it has not mounted; see {}", self.log.display());
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        if self.take_down().is_err() {
            drop(Command::new("umount").arg("-l").arg(&self.mount).status());
        }
    }
}

/// A server, a storage node and one device.
struct Vault {
    freehold: Freehold,
}

impl System for Vault {
    fn dir(&self) -> &Path {
        self.freehold.mount()
    }

    fn daemon(&self) -> Option<u32> {
        Some(self.freehold.clientd().pid())
    }

    fn programs(&self) -> Vec<u32> {
        self.freehold.processes().into_iter().map(Process::pid).collect()
    }

    fn settle(&self) -> Result<()> {
        self.freehold.settle()
    }

    fn take_down(&mut self) -> Result<()> {
        self.freehold.stop_clientd();
        Ok(())
    }

    fn bring_up(&mut self, is_strict: bool) -> Result<()> {
        self.freehold.start_clientd(is_strict)
    }

    fn status_command(&self) -> Option<Command> {
        Some(self.freehold.status_command())
    }
}
