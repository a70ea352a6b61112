//! rsync and tar bring a tree to the mount and back: contents, links, owners, bits, times and attributes arrive.

use crate::program::{Mode, mounted, remount, run_within, succeed};
use crate::trees::source;
use anyhow::{Context, Result, ensure};
use freehold_tests::{Device, World, assert_same, say};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Whether the mount keeps POSIX ACLs.
fn has_acls(device: &Device) -> Result<bool> {
    let file = device.mount_point().join("with an acl");
    File::create(&file)?;
    let mut setfacl = Command::new("setfacl");
    let ended = run_within(setfacl.args(["-m", "u:daemon:r"]).arg(&file), Duration::from_secs(30))?;
    fs::remove_file(&file)?;
    match ended.status.success() {
        false if ended.text.contains("not supported") => Ok(false),
        false => anyhow::bail!("setfacl: {}", ended.text),
        true => Ok(true),
    }
}

/// All ACLs of a tree, as `getfacl` prints them, without the folder's own name.
fn acls(folder: &Path) -> Result<String> {
    succeed(Command::new("getfacl").args(["-R", "-n", "."]).current_dir(folder))
}

/// Copies a folder's content.
fn rsync(options: &str, from: &Path, to: &Path) -> Result<()> {
    let mut rsync = Command::new("rsync");
    rsync.arg(options).arg(from.join("")).arg(to);
    succeed(&mut rsync).map(drop)
}

#[test]
fn a_tree_comes_back_from_rsync_as_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let tree = dir.path().join("tree");
    source(&tree)?;
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        let has_acls = has_acls(&device)?;
        let options = if has_acls { "-aHAX" } else { "-aHX" };
        say(&format!("rsync {options} {mode:?}"));
        if has_acls {
            succeed(Command::new("setfacl").args(["-m", "u:daemon:r,g:bin:rw"]).arg(tree.join("odd/one")))?;
            let folder = tree.join("odd/deep");
            succeed(Command::new("setfacl").args(["-m", "u:daemon:rx,d:u:daemon:rwx"]).arg(folder))?;
        }
        let (there, back) = (device.mount_point().join("there"), dir.path().join(format!("{mode:?} back")));
        rsync(options, &tree, &there)?;
        remount(&mut device)?;
        assert_same(&tree, &there);
        // Nothing is left to do for rsync either: sizes and times are what it wants.
        let again = succeed(Command::new("rsync").args([options, "-i"]).arg(tree.join("")).arg(&there))?;
        ensure!(again.is_empty(), "{mode:?}: rsync copies again: {again}");
        rsync(options, &there, &back)?;
        assert_same(&tree, &back);
        if has_acls {
            ensure!(acls(&tree)? == acls(&back)?, "{mode:?}: ACLs differ");
            ensure!(acls(&tree)?.contains("default:user:1:"), "no ACL was copied");
        }
    }
    Ok(())
}

#[test]
fn a_tree_comes_back_from_tar_as_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let tree = dir.path().join("tree");
    source(&tree)?;
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        let archive = device.mount_point().join("tree.tar");
        let tar = |arguments: &[&str], folder: &Path| -> Result<()> {
            let mut tar = Command::new("tar");
            tar.args(["--xattrs", "--xattrs-include=user.*", "--numeric-owner", "--format=posix"]);
            succeed(tar.args(arguments).arg("-f").arg(&archive).arg("-C").arg(folder).arg("."))
                .map(drop)
                .with_context(|| format!("{mode:?}, tar {arguments:?}"))
        };
        let there = device.mount_point().join("there");
        fs::create_dir(&there)?;
        tar(&["-cS"], &tree)?;
        tar(&["-xpS"], &there)?;
        remount(&mut device)?;
        assert_same(&tree, &there);
        tar(&["-dS"], &there)?;
    }
    Ok(())
}
