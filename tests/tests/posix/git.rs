//! git keeps a repository on the mount: init, add, commit, gc, fsck, clone, and a status that sees what changed.

use crate::program::{Mode, mounted, remount, succeed};
use anyhow::{Context, Result, ensure};
use freehold_tests::{World, is_long, real_tree};
use std::fs;
use std::path::Path;
use std::process::Command;

fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=eva", "-c", "user.email=eva@example.org", "-c", "gc.auto=0"]);
    git.args(["-c", "core.fsync=all", "-c", "protocol.file.allow=always"]);
    succeed(git.args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null"))
        .with_context(|| format!("git {arguments:?}"))
}

#[test]
fn a_repository_on_the_mount_is_whole_after_gc_and_remount() -> Result<()> {
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        let repository = device.mount_point().join("repository");
        let files = real_tree(&repository, if is_long() { 4_000 } else { 300 })?;
        git(&repository, &["init", "--quiet", "--initial-branch=main"])?;
        git(&repository, &["add", "--force", "--all"])?;
        git(&repository, &["commit", "--quiet", "-m", "first"])?;
        let listed = git(&repository, &["ls-files"])?.lines().count();
        ensure!(listed >= files, "git has {listed} of {files} files");
        for number in 0..20 {
            fs::write(repository.join(format!("new {number}")), format!("content {number}\n"))?;
            git(&repository, &["add", "--all"])?;
            git(&repository, &["commit", "--quiet", "-m", &format!("more {number}")])?;
        }
        git(&repository, &["gc", "--quiet", "--aggressive", "--prune=now"])?;
        remount(&mut device)?;
        git(&repository, &["fsck", "--full", "--strict"])?;
        let status = git(&repository, &["status", "--porcelain"])?;
        ensure!(status.is_empty(), "{mode:?}: git sees changes nobody made: {status}");
        fs::write(repository.join("new 3"), "content X\n")?;
        let status = git(&repository, &["status", "--porcelain"])?;
        ensure!(status.trim() == "M \"new 3\"", "{mode:?}: {status}");
        git(&repository, &["checkout", "--quiet", "--", "."])?;
        git(device.mount_point(), &["clone", "--quiet", "--no-local", "repository", "clone"])?;
        let clone = device.mount_point().join("clone");
        git(&clone, &["fsck", "--full"])?;
        let heads = [&repository, &clone].map(|folder| git(folder, &["rev-parse", "HEAD^{tree}"]));
        let [ours, theirs] = heads;
        ensure!(ours? == theirs?, "{mode:?}: the clone has another tree");
    }
    Ok(())
}
