//! What other programs do: ls, tar, rm, git, sqlite3, fio.
//!
//! Each program has run once before its clock starts: dropping the caches has thrown its own pages out, too.

use super::random::Random;
use super::span::{Span, Spent};
use super::{Job, Outcome, big, small};
use crate::bench::peers::output;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Rows put into the table, at full scale.
const INSERTS: usize = 2_000;

/// How long fio reads or writes.
const FIO_SECONDS: usize = 4;

/// Files listed a second.
pub(super) fn list(job: &Job) -> Result<Outcome> {
    // Also its way to the names of users and groups.
    output(Command::new("ls").args(["-l", "/dev/null"]))?;
    let span = Span::begin(job)?;
    let listed = output(Command::new("ls").arg("-lR").arg(job.dir.join("small")))?;
    let spent = span.end()?;
    let (files, expected) =
        (listed.lines().filter(|line| line.starts_with('-')).count(), small::paths(job).len());
    ensure!(files == expected, "ls listed {files} files of {expected}");
    Ok(Outcome { figures: vec![files as f64 / spent.seconds], spent })
}

pub(super) fn untar(job: &Job) -> Result<Outcome> {
    output(Command::new("tar").arg("--version"))?;
    // The archive comes from memory for everybody.
    drop(fs::read(&job.tar)?);
    seconds(job, Command::new("tar").arg("-xf").arg(&job.tar).arg("-C").arg(&job.dir))
}

pub(super) fn remove_tree(job: &Job) -> Result<Outcome> {
    output(Command::new("rm").arg("--version"))?;
    seconds(job, Command::new("rm").arg("-rf").arg(job.dir.join("tree")))
}

fn seconds(job: &Job, command: &mut Command) -> Result<Outcome> {
    let span = Span::begin(job)?;
    output(command)?;
    let spent = span.end()?;
    Ok(Outcome { figures: vec![spent.seconds], spent })
}

/// Seconds: all four commands, then add, commit and status by themselves.
pub(super) fn git(job: &Job) -> Result<Outcome> {
    let tree = job.dir.join("tree");
    output(&mut git_in(&tree, &["--version"]))?;
    let (mut all, mut figures) = (Spent::default(), Vec::new());
    let commands: [&[&str]; 4] =
        [&["init", "-q"], &["add", "."], &["commit", "-q", "-m", "all"], &["status", "--porcelain"]];
    for arguments in commands {
        let span = Span::begin(job)?;
        let said = output(&mut git_in(&tree, arguments))?;
        let spent = span.end()?;
        ensure!(said.is_empty(), "git {} said: {said}", arguments.join(" "));
        figures.push(spent.seconds);
        all = all + spent;
    }
    figures[0] = all.seconds;
    Ok(Outcome { figures, spent: all })
}

fn git_in(tree: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(tree).args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"]);
    // No packing in the background of the next row.
    command.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"]).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command
}

/// Transactions a second, each of one row, each synced.
pub(super) fn sqlite(job: &Job, journal: &str) -> Result<Outcome> {
    let path = job.dir.join(format!("{journal}.sqlite"));
    sqlite3(
        &path,
        &format!("PRAGMA journal_mode={journal};CREATE TABLE t(id INTEGER PRIMARY KEY, text TEXT);"),
    )?;
    let inserts = job.scaled(INSERTS);
    let mut random = Random::of(job.seed);
    let mut script = format!("PRAGMA journal_mode={journal};PRAGMA synchronous=FULL;\n");
    for _ in 0..inserts {
        let words =
            [random.next(), random.next(), random.next(), random.next(), random.next(), random.next()];
        writeln!(script, "INSERT INTO t(text) VALUES('{words:x?}');")?;
    }
    let span = Span::begin(job)?;
    sqlite3(&path, &script)?;
    let spent = span.end()?;
    let count = sqlite3(&path, "SELECT count(*) FROM t;PRAGMA integrity_check;")?;
    ensure!(count == format!("{inserts}\nok\n"), "sqlite says {count} instead of {inserts}");
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = path.with_extension(format!("sqlite{suffix}"));
        if path.try_exists()? {
            fs::remove_file(path)?;
        }
    }
    Ok(Outcome { figures: vec![inserts as f64 / spent.seconds], spent })
}

fn sqlite3(path: &Path, script: &str) -> Result<String> {
    let mut command = Command::new("sqlite3");
    command.args(["-batch", "-bail", "-init", "/dev/null"]).arg(path);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().context("could not start sqlite3")?;
    // The journal mode is answered by one short line, so the pipe back never fills while we write.
    child.stdin.take().context("no pipe to sqlite3")?.write_all(script.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "sqlite3 failed ({})", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// 4 KiB operations a second at random places of the large file, by plain pread or pwrite.
pub(super) fn fio(job: &Job, way: &str, jobs: usize) -> Result<Outcome> {
    output(Command::new("fio").arg("--version"))?;
    let mut command = Command::new("fio");
    command.args(["--name=bench", "--bs=4k", "--ioengine=psync", "--time_based", "--group_reporting"]);
    command.args(["--output-format=json", "--fallocate=none", "--end_fsync=0"]);
    command.arg(format!("--rw={way}")).arg(format!("--numjobs={jobs}"));
    command.arg(format!("--runtime={}", if job.tenth { 1 } else { FIO_SECONDS }));
    command.arg(format!("--size={}", big::len_bytes(job))).arg(format!("--randseed={}", job.seed >> 1));
    command.arg(format!("--filename={}", big::path(job).display()));
    let span = Span::begin(job)?;
    let said = output(&mut command)?;
    let spent = span.end()?;
    // Warnings come before the object.
    let json = said.find('{').map(|at| &said[at..]).context("fio printed no JSON")?;
    let said: Value = serde_json::from_str(json).context("fio printed something else than JSON")?;
    let of = if way == "randread" { "read" } else { "write" };
    let rate = said["jobs"][0][of]["iops"].as_f64().context("fio told no rate")?;
    ensure!(rate > 0.0, "fio did nothing");
    Ok(Outcome { figures: vec![rate], spent })
}
