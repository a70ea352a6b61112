//! pjdfstest (crates.io 0.2.2): what POSIX says of chmod, chown, link, mkdir, open, rename, truncate, unlink, utimensat
//! and their errors, as root and as others.

use crate::program::{Mode, PATIENCE, installed, mounted, run_within, tail};
use anyhow::{Context, Result, ensure};
use freehold_tests::{Device, World, say};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Cases that must at least have passed: a run in which nothing ran is no success. Measured on a mount and on ext4 alike.
const PASSED_MIN: usize = 384;

/// Those on a read-only mount have a run of their own: after them the suite itself keeps files open for writing, on ext4
/// as here, and then nothing can be remounted.
const READ_ONLY: &str = "erofs";
const READ_ONLY_PASSED_MIN: usize = 13;

/// Every opt-in feature that Linux has, and users that each Debian has.
fn config(second: &Path, allow_remount: bool) -> String {
    format!(
        "
[features]
posix_fallocate = {{}}
rename_ctime = {{}}
utime_now = {{}}
utimensat = {{}}
secondary_fs = \"{}\"

[dummy_auth]
entries = [[\"nobody\", \"nogroup\"], [\"daemon\", \"daemon\"], [\"bin\", \"bin\"]]

[settings]
naptime = 0.01
allow_remount = {allow_remount}
",
        second.display()
    )
}

/// What one run said.
#[derive(Debug, Default)]
struct Report {
    passed: Vec<String>,
    failed: Vec<String>,
    /// With the reason.
    skipped: Vec<(String, String)>,
    total: usize,
}

impl Report {
    fn parse(text: &str) -> Result<Self> {
        let mut report = Self::default();
        for line in text.lines() {
            if let (Some(reason), Some((_, last))) = (line.strip_prefix('\t'), report.skipped.last_mut())
                && last.is_empty()
            {
                reason.clone_into(last);
            }
            let mut words = line.split_whitespace();
            let (Some(name), Some(outcome), None) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            match outcome {
                "ok" => report.passed.push(name.to_owned()),
                "FAILED" => report.failed.push(name.to_owned()),
                "skipped" => report.skipped.push((name.to_owned(), String::new())),
                _ => {}
            }
        }
        let summary = text.lines().rfind(|line| line.starts_with("Summary:")).context("no summary")?;
        let total = summary.strip_suffix(" total").and_then(|rest| rest.rsplit(' ').next());
        report.total = total.context("no total in the summary")?.parse()?;
        let counted = report.passed.len() + report.failed.len() + report.skipped.len();
        ensure!(counted == report.total, "{counted} cases were understood of {summary}");
        Ok(report)
    }
}

/// A `mount` that asks no helper: the one for `fuse.freehold` would look for a program that serves the mount anew.
fn without_helper(world: &World) -> Result<String> {
    let folder = world.dir().join("without helper");
    fs::create_dir_all(&folder)?;
    let (shim, path) = (folder.join("mount"), std::env::var("PATH")?);
    fs::write(&shim, format!("#!/bin/sh\nPATH='{path}' exec mount -i \"$@\"\n"))?;
    fs::set_permissions(&shim, fs::Permissions::from_mode(0o755))?;
    Ok(format!("{}:{path}", folder.display()))
}

fn run(world: &World, device: &Device, allow_remount: bool, patterns: &[&str]) -> Result<Report> {
    let (file, second) = (world.dir().join("pjdfstest.toml"), world.dir().join("second"));
    fs::create_dir_all(&second)?;
    fs::write(&file, config(&second, allow_remount))?;
    let mut suite = Command::new(installed("pjdfstest")?);
    suite.arg("-c").arg(file).arg("-p").arg(device.mount_point()).args(patterns);
    suite.env("NO_COLOR", "1").env("PATH", without_helper(world)?);
    let start = Instant::now();
    let ended = run_within(&mut suite, PATIENCE)?;
    let report = Report::parse(&ended.text).with_context(|| tail(&ended.text))?;
    let [passed, failed] = [&report.passed, &report.failed].map(Vec::len);
    let (skipped, seconds) = (report.skipped.len(), start.elapsed().as_secs());
    say(&format!("pjdfstest {patterns:?}: {passed} passed, {failed} failed, {skipped} skipped, {seconds} s"));
    for (name, reason) in &report.skipped {
        say(&format!("  skipped {name}: {reason}"));
    }
    ensure!(failed == 0, "failed: {:#?}\n{}", report.failed, tail(&ended.text));
    ensure!(ended.status.success(), "no case failed, but: {}", tail(&ended.text));
    Ok(report)
}

#[test]
fn every_applicable_case_passes_on_mounts_of_either_kind() -> Result<()> {
    for mode in Mode::BOTH {
        say(&format!("pjdfstest on a mount that is {mode:?}"));
        let world = World::start()?;
        let device = mounted(&world, mode)?;
        // A vault is its owner's alone at first; the suite changes users.
        fs::set_permissions(device.mount_point(), fs::Permissions::from_mode(0o755))?;
        let all = run(&world, &device, false, &[])?;
        ensure!(all.passed.len() >= PASSED_MIN, "{mode:?}: only {} cases passed", all.passed.len());
        let read_only = run(&world, &device, true, &[READ_ONLY])?.passed.len();
        ensure!(read_only >= READ_ONLY_PASSED_MIN, "{mode:?}: only {read_only} passed on a read-only mount");
        // What neither ran is named here, with why.
        let unexpected: Vec<_> = all
            .skipped
            .iter()
            .filter(|(name, _)| !name.contains(READ_ONLY) && name != "link::link_count_max")
            .collect();
        ensure!(unexpected.is_empty(), "{mode:?}: skipped without a reason we know: {unexpected:#?}");
    }
    Ok(())
}

/// What `link::link_count_max` would ask if glibc knew the limit of a FUSE file system.
#[test]
fn a_file_has_a_thousand_names_and_no_more() -> Result<()> {
    const NAMES_MAX: u64 = 1_000;
    let world = World::start()?;
    let device = world.first_device("first")?;
    let name = |number: u64| device.mount_point().join(format!("name {number}"));
    fs::write(name(1), "content")?;
    for number in 2..=NAMES_MAX {
        fs::hard_link(name(1), name(number)).with_context(|| format!("name {number}"))?;
    }
    let error = fs::hard_link(name(1), name(NAMES_MAX + 1)).map_err(|error| error.raw_os_error()).err();
    ensure!(error == Some(Some(libc::EMLINK)), "one name more: {error:?}");
    ensure!(fs::metadata(name(NAMES_MAX))?.nlink() == NAMES_MAX, "another count of links");
    fs::remove_file(name(2))?;
    Ok(fs::hard_link(name(1), name(NAMES_MAX + 1))?)
}

#[test]
fn a_report_is_read_and_one_cut_short_is_no_report() {
    let text = "chmod::a   ok\nchmod::b   FAILED\n\tpanicked\nchmod::c  skipped\n\trequires features: x\n\
                \nSummary: 1 failed, 1 skipped, 1 passed, 0 expected failures, 3 total\n";
    let report = Report::parse(text).expect("a whole report");
    assert_eq!((report.passed.len(), report.failed.as_slice()), (1, &["chmod::b".to_owned()][..]));
    assert_eq!(report.skipped, [("chmod::c".to_owned(), "requires features: x".to_owned())]);
    assert!(Report::parse(&text.replace("3 total", "4 total")).is_err(), "a case is missing");
    assert!(Report::parse("chmod::a ok\n").is_err(), "no summary");
}
