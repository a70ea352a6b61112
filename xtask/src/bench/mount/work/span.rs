//! How long a piece of work took, and whose processor time it took.

use super::Job;
use crate::bench::process::cpu_seconds;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// What one span of work took.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(in crate::bench::mount) struct Spent {
    pub(in crate::bench::mount) seconds: f64,
    /// Of this process and the programs it ran.
    pub(in crate::bench::mount) caller_cpu_seconds: f64,
    /// Of the contender's daemons, from begin to end of the span.
    pub(in crate::bench::mount) daemon_cpu_seconds: f64,
}

/// A running clock.
pub(super) struct Span<'a> {
    job: &'a Job,
    begin: Instant,
    caller: f64,
    daemons: f64,
}

impl<'a> Span<'a> {
    /// Starts the clock.
    pub(super) fn begin(job: &'a Job) -> Result<Self> {
        let (daemons, caller) = (of_daemons(job), caller_cpu_seconds()?);
        Ok(Self { job, begin: Instant::now(), caller, daemons })
    }

    /// Stops it.
    pub(super) fn end(self) -> Result<Spent> {
        let seconds = self.begin.elapsed().as_secs_f64();
        Ok(Spent {
            seconds,
            caller_cpu_seconds: caller_cpu_seconds()? - self.caller,
            daemon_cpu_seconds: of_daemons(self.job) - self.daemons,
        })
    }
}

impl std::ops::Add for Spent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            caller_cpu_seconds: self.caller_cpu_seconds + other.caller_cpu_seconds,
            daemon_cpu_seconds: self.daemon_cpu_seconds + other.daemon_cpu_seconds,
        }
    }
}

fn of_daemons(job: &Job) -> f64 {
    job.daemon.iter().filter_map(|pid| cpu_seconds(*pid)).sum()
}

/// User and system time of this process and of its children that have ended.
pub(in crate::bench::mount) fn caller_cpu_seconds() -> Result<f64> {
    let mut sum = 0.0;
    for who in [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN] {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
        // SAFETY: getrusage writes one rusage to the place it is given, which has room for one.
        #[expect(unsafe_code, reason = "std does not tell what the process has used")]
        let usage = unsafe {
            if libc::getrusage(who, usage.as_mut_ptr()) != 0 {
                return Err(std::io::Error::last_os_error()).context("getrusage");
            }
            usage.assume_init()
        };
        let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        sum += seconds(usage.ru_utime) + seconds(usage.ru_stime);
    }
    Ok(sum)
}
