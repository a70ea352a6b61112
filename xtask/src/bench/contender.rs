//! What is measured: two folders that are kept equal by some programs.

use super::process::{Process, Usage};
use anyhow::Result;
use std::path::Path;

/// Two running devices of one kind.
pub(super) trait Contender {
    /// What the table calls it.
    fn name(&self) -> &'static str;

    /// The folder that is written to and the one that is watched.
    fn folders(&self) -> [&Path; 2];

    /// Every program that takes part.
    fn processes(&self) -> Vec<&Process>;

    /// Files of the latency measurement: fewer for who takes seconds for each.
    fn latency_files(&self) -> usize;

    /// Waits until nothing is on its way, so that one measurement does not pay for the one before.
    fn settle(&self) -> Result<()>;

    /// What all programs have used so far.
    fn usage(&self) -> Usage {
        self.processes().into_iter().map(Process::usage).fold(Usage::default(), |sum, one| Usage {
            cpu_seconds: sum.cpu_seconds + one.cpu_seconds,
            peak_rss_mib: sum.peak_rss_mib + one.peak_rss_mib,
        })
    }
}
