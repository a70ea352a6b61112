//! Uploads in the background of a row: files that keep coming at a bounded rate.
//!
//! A thread writes files of random bytes into the vault: some at once, then one each time the rate allows. Whether
//! something really waited to be sent is asked of the daemon before, during and after the row, and told in the report.

use super::work::Random;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const FILE_BYTES: usize = 1 << 20;

/// Files that wait before the row begins.
const BACKLOG: usize = 16;

/// One more file each: 16 MiB a second at most. Files this small come so often that sealing and sending never rest,
/// and a whole run still fits on a disk.
const EACH: Duration = Duration::from_millis(60);

/// Names that are written over, so that the vault does not grow without end.
const NAMES: usize = 256;

/// How often something was found waiting.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    pub(super) asked: usize,
    pub(super) found: usize,
}

impl Waiting {
    /// Both together.
    pub(super) const fn and(self, other: Self) -> Self {
        Self { asked: self.asked + other.asked, found: self.found + other.found }
    }

    fn ask(&mut self, status: &mut Command) -> Result<()> {
        self.asked += 1;
        self.found += usize::from(is_waiting(status)?);
        Ok(())
    }
}

/// Running uploads.
pub(super) struct Load {
    ended: Arc<AtomicBool>,
    writer: JoinHandle<Result<Waiting>>,
    folder: PathBuf,
}

impl Load {
    /// Starts writing into a folder of `dir` and returns when the backlog is written.
    pub(super) fn start(dir: &Path, mut status: Command, seed: u64) -> Result<Self> {
        let folder = dir.join("load");
        fs::create_dir_all(&folder)?;
        let (ended, mut random) = (Arc::new(AtomicBool::new(false)), Random::of(seed));
        for name in 0..BACKLOG {
            fs::write(folder.join(name.to_string()), random.bytes(FILE_BYTES))?;
        }
        let (stop, place) = (Arc::clone(&ended), folder.clone());
        let writer = std::thread::spawn(move || {
            let mut waiting = Waiting::default();
            waiting.ask(&mut status)?;
            for name in (BACKLOG..NAMES).chain(0..BACKLOG).cycle() {
                let next = Instant::now() + EACH;
                fs::write(place.join(name.to_string()), random.bytes(FILE_BYTES))?;
                waiting.ask(&mut status)?;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            // The row has ended before this.
            waiting.ask(&mut status)?;
            Ok(waiting)
        });
        Ok(Self { ended, writer, folder })
    }

    /// Stops writing and removes what was written.
    pub(super) fn stop(self) -> Result<Waiting> {
        self.ended.store(true, Ordering::Relaxed);
        let waiting =
            self.writer.join().map_err(|_| anyhow::anyhow!("the writer of the load panicked"))??;
        fs::remove_dir_all(&self.folder)?;
        Ok(waiting)
    }
}

/// Whether anything of the device waits to be sealed or sent.
fn is_waiting(status: &mut Command) -> Result<bool> {
    let output = status.output().context("could not run freehold")?;
    let answer: Value = serde_json::from_slice(&output.stdout).context("freehold status told no JSON")?;
    let pending =
        answer["data"]["pending"].as_object().context("freehold status tells nothing of `pending`")?;
    let of_others = "remote_commits";
    Ok(pending
        .iter()
        .any(|(what, count)| what != of_others && count.as_f64().is_some_and(|count| count > 0.0)))
}
