//! A measured program: started, watched, stopped, with everything it starts itself.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to say that it is ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Stopped when dropped.
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

/// What programs have used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor time, user and system.
    pub(super) cpu_seconds: f64,
    /// The largest resident size of each process, summed.
    pub(super) peak_rss_mib: f64,
}

impl Process {
    /// Starts a program; its output goes to `log` and to the file beside it that ends in `.out`.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        command.stdin(Stdio::null());
        command.stdout(File::create(log.with_extension("out")).context("the output file")?);
        command.stderr(File::options().create(true).append(true).open(log).context("the log file")?);
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("could not start {name}"))?;
        Ok(Self { child, log: log.to_owned() })
    }

    /// Starts one of ours and waits for its `ready` line; returns what follows the word.
    pub(super) fn start_ready(command: &mut Command, log: &Path) -> Result<(Self, String)> {
        let mut process = Self::start(command, log)?;
        let out = log.with_extension("out");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((line, _)) = fs::read_to_string(&out)?.split_once('\n') {
                let ready =
                    line.strip_prefix("ready").with_context(|| format!("not a ready line: {line}"))?;
                return Ok((process, ready.trim().to_owned()));
            }
            if let Some(status) = process.child.try_wait()? {
                bail!("it stopped ({status}): {}", process.last_line());
            }
            if Instant::now() > deadline {
                bail!("not ready in time: {}", process.last_line());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it and its children have used so far.
    pub(super) fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        let mut open = vec![self.child.id()];
        while let Some(pid) = open.pop() {
            // A process that ended in between has told what it used to nobody; ours live on.
            usage.cpu_seconds += cpu_seconds(pid).unwrap_or(0.0);
            usage.peak_rss_mib += peak_rss_mib(pid).unwrap_or(0.0);
            open.extend(children(pid));
        }
        usage
    }

    fn last_line(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

impl Process {
    /// The running program's number.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop and waits until it has; one that has ended by itself is left alone.
    pub(super) fn stop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let Ok(pid) = i32::try_from(self.child.id()) else { return };
        // SAFETY: kill takes no pointers; the child was not waited for, so its pid is ours.
        #[expect(unsafe_code, reason = "std has no call that asks a process to stop")]
        unsafe {
            libc::kill(pid, libc::SIGTERM);
        }
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                drop(self.child.kill());
                drop(self.child.wait());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a process has used, user and system, with the threads that have ended: its clock (clock_getcpuclockid(3)) is
/// exact where `/proc/PID/stat` counts in hundredths, too coarse for rows of milliseconds.
pub(super) fn cpu_seconds(pid: u32) -> Option<f64> {
    let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both calls write to one place each, of the type they want.
    #[expect(unsafe_code, reason = "std knows no clock of another process")]
    let told = unsafe {
        libc::clock_getcpuclockid(libc::pid_t::try_from(pid).ok()?, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut time) == 0
    };
    told.then_some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
}

/// The largest resident size so far.
pub(super) fn peak_rss_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmHWM:")
}

/// The resident size.
pub(super) fn rss_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmRSS:")
}

/// A line of `/proc/PID/status` (proc(5)).
fn status_mib(pid: u32, field: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}
