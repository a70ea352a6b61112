//! Speed, side by side: Freehold and the program people use today, in one run on one machine.
//!
//! Absolute figures belong to the machine, so each benchmark measures its peers as well and prints ratios. Nothing
//! is asserted: the table stands beside the target and says which was met. `--json` prints one object instead.

mod contender;
mod core;
mod delta;
mod freehold;
mod mount;
mod net;
mod part;
mod peers;
mod process;
mod report;
mod sync;
mod syncthing;
mod wire;
mod work;

use anyhow::Result;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// Two devices against two Syncthings: latency of a small file, one large file, many small ones.
    Sync(Options),
    /// FHP beside quinn, TLS over TCP and TCP: goodput and processor time over loopback.
    Net(Options),
    /// What one byte put into a large file sends; with `--peers` beside restic and rsync.
    Delta(part::Options),
    /// Ciphers, chunker and the whole sealing path; with `--peers` beside restic and gocryptfs.
    Core(part::Options),
    /// The mount: throughput, small files, metadata, fsync, programs; with `--peers` beside gocryptfs.
    Mount(mount::Options),
    /// The work of one row of `mount`, done by itself.
    #[command(hide = true)]
    MountWork(mount::Job),
}

/// Options of the benchmarks of running systems.
#[derive(Args)]
pub(crate) struct Options {
    /// Prints one JSON object on standard output.
    #[arg(long)]
    json: bool,
    /// A tenth of the work: shows that it runs, not how fast.
    #[arg(long)]
    quick: bool,
    /// Measures the programs in this folder instead of building them.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Measures Freehold alone.
    #[arg(long)]
    alone: bool,
}

/// Runs one benchmark.
pub(crate) fn run(bench: &Bench) -> Result<()> {
    match bench {
        Bench::Sync(options) => sync::run(options),
        Bench::Net(options) => net::run(options),
        Bench::Delta(options) => delta::run(options),
        Bench::Core(options) => core::run(options),
        Bench::Mount(options) => mount::run(options),
        Bench::MountWork(job) => mount::do_work(job),
    }
}
