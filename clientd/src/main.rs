//! The daemon of one user on one machine.
//!
//! It opens the engine (keys, local state, sync), mounts the vault, and serves the control API on a Unix
//! socket. It runs in the foreground, logs to standard error, prints one line `ready SOCKET` when it
//! serves, and stops cleanly on SIGTERM or SIGINT: unmount first, then flush, then end.

mod config;
mod control;
mod lock;
mod mounts;
mod paths;

use anyhow::{Context, Result};
use clap::Parser;
use config::{Config, Flags};
use freehold_engine::{Engine, EngineConfig, EngineDirs};
use mounts::Mounts;
use paths::Paths;
use std::io::Write;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

/// The system's allocator kept up to three times what was in use: nodes are opened, packed and dropped by the
/// hundred thousand, from many threads. This one hands unused pages back after a second; how it is set up stands
/// in `.cargo/config.toml`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    let flags = Flags::parse();
    let outcome = tokio::runtime::Runtime::new()
        .context("could not start the runtime")
        .and_then(|runtime| runtime.block_on(run(flags)));
    match outcome {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            // The one clear line, also when logging is off.
            let line = format!("freehold-clientd: {error:#}\n");
            let written = std::io::stderr().write_all(line.as_bytes());
            drop(written);
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(flags: Flags) -> Result<()> {
    let paths = Paths::from_environment()?;
    let config = Config::load(&paths, &flags)?;
    start_log(&config);
    paths.create()?;
    let _lock = lock::take(&paths.lock_file())?;
    let listener = control::listen(&paths.socket())?;

    let dirs = EngineDirs { data: paths.data.clone(), cache: paths.cache.clone() };
    let engine = Engine::open(
        dirs,
        EngineConfig {
            cache_bytes: config.cache_bytes,
            files_in_memory: config.files_in_memory,
            listen: config.listen,
            lan: config.lan,
            transport: config.transport,
            trace_links: config.trace_links.clone(),
        },
    )
    .await
    .context("could not open the local state")?;
    let mounts = Arc::new(Mounts::new(engine.clone(), paths.mount_file(), config.mount.clone()));
    mounts.restore().await;

    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    announce(&paths)?;
    let served = tokio::select! {
        served = control::serve(listener, engine.clone(), Arc::clone(&mounts)) => served,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    };
    tracing::info!("stopping");
    let unmounted = mounts.release().await;
    engine.shutdown().await;
    std::fs::remove_file(paths.socket()).context("could not remove the control socket")?;
    served.and(unmounted)
}

/// Says `ready` on standard output, for whoever started the daemon.
fn announce(paths: &Paths) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready {}", paths.socket().display())
        .and_then(|()| out.flush())
        .context("could not say `ready`")
}

fn start_log(config: &Config) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
}
