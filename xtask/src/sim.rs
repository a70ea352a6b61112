//! The simulation with as many seeds as one likes.
//!
//! `./x test` runs 1,000 seeds of it; here one runs more, or one again that failed.

use crate::shell::{cargo, run as command};
use anyhow::Result;
use clap::Args;

/// Options of `./x sim`.
#[derive(Args)]
pub(crate) struct Options {
    /// How many seeds to run.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,
    /// The first of them.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first: u64,
    /// Prints every step; for one seed.
    #[arg(long)]
    trace: bool,
}

/// Runs the seeds.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut test =
        cargo(&["test", "--locked", "--profile", "ci", "--package", "freehold-engine", "sim::random"]);
    test.env("FREEHOLD_SIM_SEEDS", options.seeds.to_string());
    test.env("FREEHOLD_SIM_FIRST", options.first.to_string());
    if options.trace {
        test.env("FREEHOLD_SIM_TRACE", "1");
    }
    command(test.args(["--", "--nocapture"]))
}
