//! The program: settings, logs to stderr, one ready line to stdout, a clean stop.

use clap::Parser;
use freehold_storaged::{Config, Flags, Node};
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Time for disk work under way to end before the process does.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The system's allocator gives the memory of every body back to the system and takes fresh memory for the next; this
/// one keeps it for a second. How it is set up stands in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let config = match Config::load(flags) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    let filter = match EnvFilter::try_new(&config.log) {
        Ok(filter) => filter,
        Err(error) => return fail(&format!("--log: {error}")),
    };
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}")),
    };
    let outcome = runtime.block_on(run(&config));
    runtime.shutdown_timeout(STOP_TIMEOUT);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(&reason),
    }
}

async fn run(config: &Config) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut terminate = signal(SignalKind::terminate()).map_err(text)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    tokio::pin!(stop);
    let node = tokio::select! {
        node = Node::start(config) => node.map_err(|error| error.to_string())?,
        () = &mut stop => return Ok(()),
    };
    let mut out = io::stdout().lock();
    writeln!(out, "ready {} {}", node.addr(), node.id())
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))?;
    drop(out);
    node.serve(stop).await;
    tracing::info!("stopped");
    Ok(())
}

fn fail(reason: &dyn std::fmt::Display) -> ExitCode {
    // Nothing is left to do when stderr is gone too.
    let _ = writeln!(io::stderr(), "freehold-storaged: {}", reason.to_string().replace('\n', " "));
    ExitCode::FAILURE
}
