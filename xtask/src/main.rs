//! What `./x` does, in Rust: build, up, down, test, sim, bench, tidy, arch.
//!
//! `./x` (POSIX sh) makes sure that the tools exist and then calls this program. Each command is one
//! file here; all of them are idempotent and say what they do.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a task runner talks to the terminal")]

mod arch;
mod bench;
mod build;
mod down;
mod programs;
mod rings;
mod shell;
mod sim;
mod test;
mod tidy;
mod tools;
mod up;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "./x", about = "Build, run and check Freehold", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds every program into target/dist/bin.
    Build,
    /// Starts server, storage node and daemon here, creates the account and mounts the vault.
    Up(up::Options),
    /// Stops what `up` started; the data stays.
    Down,
    /// Runs every check and test suite.
    Test(test::Options),
    /// Runs the simulation of devices and server with more seeds.
    Sim(sim::Options),
    /// Measures speed beside the programs people use today.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Checks house style where a machine can.
    Tidy,
    /// Checks the crate graph: who may know what.
    Arch,
}

fn main() -> std::process::ExitCode {
    let outcome = match Cli::parse().command {
        Command::Build => build::all().map(|bin| println!("Programs are in {}", bin.display())),
        Command::Up(options) => up::run(&options),
        Command::Down => down::run(),
        Command::Test(options) => test::run(&options),
        Command::Sim(options) => sim::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Tidy => tidy::run(),
        Command::Arch => arch::run(),
    };
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("x: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
