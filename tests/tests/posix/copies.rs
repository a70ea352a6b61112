//! rsync and tar bring a tree to the mount and back: contents, links, owners, bits, times and attributes arrive.

use crate::program::{Mode, mounted, remount, succeed};
use crate::trees::source;
use anyhow::{Context, Result, ensure};
use freehold_tests::{World, assert_same};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Everything: hard links, access lists, attributes.
const OPTIONS: &str = "-aHAX";

/// All ACLs of a tree, as `getfacl` prints them, without the folder's own name.
fn acls(folder: &Path) -> Result<String> {
    succeed(Command::new("getfacl").args(["-R", "-n", "."]).current_dir(folder))
}

/// Copies a folder's content.
fn rsync(from: &Path, to: &Path) -> Result<()> {
    let mut rsync = Command::new("rsync");
    rsync.arg(OPTIONS).arg(from.join("")).arg(to);
    succeed(&mut rsync).map(drop)
}

#[test]
fn a_tree_comes_back_from_rsync_as_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let tree = dir.path().join("tree");
    source(&tree)?;
    // Of anything but files rsync leaves a time that is right to the second: none here is of this second.
    let past = ["-exec", "touch", "-h", "-d", "2024-05-06 07:08:09.123456789", "{}", "+"];
    succeed(Command::new("find").arg(&tree).args(past))?;
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        succeed(Command::new("setfacl").args(["-m", "u:daemon:r,g:bin:rw"]).arg(tree.join("odd/one")))?;
        let folder = tree.join("odd/deep");
        succeed(Command::new("setfacl").args(["-m", "u:daemon:rx,d:u:daemon:rwx"]).arg(folder))?;
        let (there, back) = (device.mount_point().join("there"), dir.path().join(format!("{mode:?} back")));
        rsync(&tree, &there)?;
        remount(&mut device)?;
        assert_same(&tree, &there);
        // Nothing is left to do for rsync either: sizes and times are what it wants.
        let again = succeed(Command::new("rsync").args([OPTIONS, "-i"]).arg(tree.join("")).arg(&there))?;
        ensure!(again.is_empty(), "{mode:?}: rsync copies again: {again}");
        rsync(&there, &back)?;
        assert_same(&tree, &back);
        ensure!(acls(&tree)? == acls(&back)?, "{mode:?}: ACLs differ");
        ensure!(acls(&tree)?.contains("default:user:1:"), "no ACL was copied");
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
