//! How busy the machine was with other things: such figures are not worth much.
//!
//! On few processors a program that computes delays every other one that wakes up, by up to a scheduler's tick (4 ms
//! at 250 Hz): an fsync of 0.1 ms then takes 4. So the share that others took stands beside the table.

use super::work::caller_cpu_seconds;
use anyhow::{Context, Result};
use std::fs;
use std::time::Instant;

/// The processors since a moment.
pub(super) struct Machine {
    begin: Instant,
    busy: f64,
    ours: f64,
}

impl Machine {
    /// From now on.
    pub(super) fn watch() -> Result<Self> {
        Ok(Self { begin: Instant::now(), busy: busy_seconds()?, ours: caller_cpu_seconds()? })
    }

    /// The share of all processors that programs took which we have not started, and the kernel for its own work.
    ///
    /// Every program of ours must have ended: its time is told when it is waited for.
    pub(super) fn share_of_others(&self) -> Result<f64> {
        let ours = caller_cpu_seconds()? - self.ours;
        let processors = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
        let all = self.begin.elapsed().as_secs_f64() * processors;
        Ok(((busy_seconds()? - self.busy - ours) / all).max(0.0))
    }
}

/// What all processors have done but idling and waiting for disks (proc(5), `/proc/stat`).
fn busy_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user, nice, system, irq, softirq, steal; guests are in user already.
    let ticks: f64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum();
    // SAFETY: sysconf takes no pointers.
    #[expect(unsafe_code, reason = "std does not know the length of a tick")]
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Ok(ticks / ticks_per_second as f64)
}
