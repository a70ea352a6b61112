//! The program: settings, logs to stderr, one ready line to stdout, a clean stop.

use clap::Parser;
use freehold_server::admin;
use freehold_server::config::{Cli, Command, Config, Places};
use freehold_server::run::{self, StartError};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("FREEHOLD_LOG").unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start threads: {error}")),
    };
    match runtime.block_on(run(&cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(&reason),
    }
}

async fn run(cli: &Cli) -> Result<(), String> {
    let home = std::env::var_os("FREEHOLD_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let config =
        Config::load(&cli.options, &Places::new(home.as_deref())).map_err(|error| error.to_string())?;
    match &cli.command {
        Some(Command::Admin { task }) => {
            let line = admin::run(&config, *task).await.map_err(|error| error.to_string())?;
            say(&line)
        }
        None => serve(&config).await,
    }
}

async fn serve(config: &Config) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let mut terminate = signal(SignalKind::terminate()).map_err(text)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(text)?;
    let ready = run::start(config).await.map_err(|error: StartError| error.to_string())?;
    say(&format!("ready http://{}", ready.address()))?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    };
    ready.serve(stop).await.map_err(text)
}

fn say(line: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))
}

fn fail(reason: &str) -> ExitCode {
    // Nothing is left to do when stderr is gone too.
    let _ = writeln!(io::stderr(), "freehold-server: {}", reason.replace('\n', " "));
    ExitCode::FAILURE
}
