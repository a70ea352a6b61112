//! One machine, one command: server, storage node, daemon, account and mount.
//!
//! Each step is skipped when it is already done, so a second `./x up` only repairs what is missing.
//! With `--demo` nothing is asked: a user `demo` with a random password, kept in a file only its
//! owner can read.

use crate::build;
use crate::programs::{Daemon, state_dir};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Options of `./x up`.
#[derive(Args)]
pub(crate) struct Options {
    /// Ask nothing: make a user `demo` with a random password.
    #[arg(long)]
    demo: bool,
    /// Where the vault is mounted [default: ~/Vault].
    #[arg(long, value_name = "DIR")]
    mount: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// User name of a new account [default: the login name].
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Starts everything and prints where it is.
pub(crate) fn run(options: &Options) -> Result<()> {
    let say = |line: &str| {
        if !options.json {
            eprintln!("{line}");
        }
    };
    say("[1/5] building (the first time takes several minutes)");
    let bin = build::all()?;
    say("[2/5] starting the server");
    let server = Daemon::named("freehold-server")?.start(&mut Command::new(bin.join("freehold-server")))?;
    say("[3/5] starting a storage node");
    start_node(&bin, &server)?;
    say("[4/5] starting the daemon");
    Daemon::named("freehold-clientd")?.start(&mut Command::new(bin.join("freehold-clientd")))?;
    say("[5/5] account and mount");
    let (user, password_file) = account(options, &bin, &server)?;
    let mount = mount(options, &bin)?;
    report(
        options,
        &json!({
            "server": server, "user": user, "password_file": password_file, "mount": mount, "bin": bin,
        }),
    );
    Ok(())
}

fn start_node(bin: &Path, server: &str) -> Result<()> {
    let node = Daemon::named("freehold-storaged")?;
    let mut command = Command::new(bin.join("freehold-storaged"));
    command.args(["--server", server]);
    if node.running().is_none() && !state_dir()?.join("joined").exists() {
        let token = Command::new(bin.join("freehold-server")).args(["admin", "join-token"]).output()?;
        if !token.status.success() {
            bail!("no join token: {}", String::from_utf8_lossy(&token.stderr).trim());
        }
        // Through a settings file: argv can be read by other users of the machine.
        let file = state_dir()?.join("join.toml");
        let token = String::from_utf8(token.stdout).context("the join token is not text")?;
        write_secret(&file, format!("join = \"{}\"\n", token.trim()).as_bytes())?;
        command.arg("--config").arg(file);
    }
    node.start(&mut command)?;
    fs::write(state_dir()?.join("joined"), "").context("could not note that the node has joined")
}

/// The user and, for the demo, the password file; creates the account when there is none.
fn account(options: &Options, bin: &Path, server: &str) -> Result<(String, Option<PathBuf>)> {
    let demo_file = state_dir()?.join("demo-password");
    let shown = options.demo.then(|| demo_file.clone());
    if let Ok(Some(user)) = cli(bin, &["whoami"]).map(|data| data["user"].as_str().map(str::to_owned)) {
        return Ok((user, shown.filter(|file| file.exists())));
    }
    let user = match (&options.user, options.demo) {
        (Some(user), _) => user.clone(),
        (None, true) => "demo".to_owned(),
        (None, false) => std::env::var("USER").unwrap_or_else(|_| "owner".to_owned()),
    };
    let recovery = state_dir()?.join("recovery-words");
    let verb = if recovery.exists() { "login" } else { "signup" };
    let mut command = Command::new(bin.join("freehold"));
    command.args([verb, "--server", server, "--user", &user]);
    if verb == "signup" {
        command.arg("--recovery-file").arg(&recovery);
    }
    if options.demo {
        if !demo_file.exists() {
            write_secret(&demo_file, random_password()?.as_bytes())?;
        }
        command.arg("--password-file").arg(&demo_file);
    }
    // Its own words go to the terminal; our standard output stays free for --json.
    let status = command.stdout(Stdio::null()).status().context("could not run freehold")?;
    if !status.success() {
        bail!("`freehold {verb}` failed; run `./x up` again when the cause above is mended");
    }
    Ok((user, shown))
}

fn mount(options: &Options, bin: &Path) -> Result<PathBuf> {
    let wanted = match &options.mount {
        Some(dir) => dir.clone(),
        None => {
            Path::new(&std::env::var_os("HOME").context("HOME is not set; name the folder with --mount")?)
                .join("Vault")
        }
    };
    fs::create_dir_all(&wanted)
        .or_else(|error| if wanted.symlink_metadata().is_ok() { Ok(()) } else { Err(error) })
        .with_context(|| format!("could not create {}", wanted.display()))?;
    let wanted = std::path::absolute(&wanted)?;
    let status = cli(bin, &["status"])?;
    if status["mount"].as_str() == wanted.to_str() {
        return Ok(wanted);
    }
    let path = wanted.to_str().context("the mount path is not UTF-8")?;
    cli(bin, &["mount", path])?;
    Ok(wanted)
}

/// Runs the CLI with `--json` and returns the `data` of its answer.
fn cli(bin: &Path, arguments: &[&str]) -> Result<Value> {
    let output = Command::new(bin.join("freehold")).args(arguments).arg("--json").output()?;
    let answer: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("freehold {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim())
    })?;
    if answer["ok"] != Value::Bool(true) {
        bail!("{}", answer["error"]["message"].as_str().unwrap_or("freehold failed and did not say why"));
    }
    Ok(answer["data"].clone())
}

fn report(options: &Options, data: &Value) {
    if options.json {
        println!("{}", json!({ "schema": 1, "ok": true, "data": data, "warnings": [] }));
        return;
    }
    let text = |key: &str| data[key].as_str().unwrap_or("-").to_owned();
    println!("Your vault is mounted at {}", text("mount"));
    println!("  server         {}", text("server"));
    println!("  user           {}", text("user"));
    if let Some(file) = data["password_file"].as_str() {
        println!("  password file  {file}");
    }
    println!("  programs       {}", text("bin"));
    println!(
        "\nNext: put files into {0}; `{1}/freehold status` shows what is safe;\n      `./x down` stops everything, `./x up` brings it back.",
        text("mount"),
        text("bin")
    );
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("could not write {}", path.display()))?;
    file.write_all(bytes).with_context(|| format!("could not write {}", path.display()))
}

/// 32 letters from the operating system's generator: 160 bits, five a letter.
fn random_password() -> Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("no random bytes")?;
    let alphabet = b"abcdefghijkmnpqrstuvwxyz23456789";
    Ok(bytes.iter().map(|byte| char::from(alphabet[usize::from(byte & 31)])).collect())
}
