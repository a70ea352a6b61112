//! Server and nodes that answer no more: what is here goes on working, what is not here fails in time.

use crate::program::run_within;
use anyhow::{Context, Result, ensure};
use freehold_tests::{World, pseudo_random, wait_until};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What answers from this device alone hangs when it takes longer. No measurement.
const BOUND: Duration = Duration::from_secs(30);

/// A read of remote content gives up after 30 s (`docs/SEMANTICS.md`); a program may read twice.
const COLD_BOUND: Duration = Duration::from_secs(100);

fn answers(program: &str, arguments: &[&str], folder: &Path) -> Result<String> {
    let ended = run_within(Command::new(program).args(arguments).current_dir(folder), BOUND)?;
    ensure!(ended.status.success(), "{program} {arguments:?}: {}", ended.text);
    Ok(ended.text)
}

#[test]
fn nothing_hangs_while_server_and_node_are_frozen() -> Result<()> {
    let world = World::start()?;
    let first = world.first_device("first")?;
    let content = pseudo_random(1, 3_000_000);
    fs::create_dir(first.mount_point().join("folder"))?;
    fs::write(first.mount_point().join("folder/cold"), &content)?;
    first.wait()?;
    let second = world.next_device("second")?;
    second.wait()?;
    let mount = second.mount_point();
    wait_until("the file's name", BOUND, || mount.join("folder/cold").exists())?;
    fs::write(mount.join("folder/warm"), &content)?;
    fs::write(mount.join("folder/unwanted"), &content)?;
    second.wait()?;
    // Nobody is left who could bring the content.
    drop(first);
    world.freeze()?;

    answers("df", &["."], mount)?;
    let listed = answers("ls", &["-lR", "."], mount)?;
    ensure!(listed.contains("cold") && listed.contains("warm"), "{listed}");
    answers("stat", &["folder/cold", "folder/warm"], mount)?;
    answers("cmp", &["folder/warm", "folder/unwanted"], mount)?;
    answers("rm", &["folder/unwanted"], mount)?;
    answers("sh", &["-c", "echo new > folder/new && sync folder/new && mv folder/new folder/moved"], mount)?;

    let cold = run_within(Command::new("cat").arg(mount.join("folder/cold")), COLD_BOUND)?;
    ensure!(!cold.status.success(), "it has content nobody could bring");
    ensure!(cold.text.contains("Input/output error"), "{}", cold.text.lines().last().unwrap_or_default());
    let missing = fs::metadata(mount.join("folder/unwanted")).map_err(|error| error.kind()).err();
    ensure!(missing == Some(ErrorKind::NotFound), "removed, but {missing:?}");
    ensure!(answers("cat", &["folder/moved"], mount)? == "new\n", "the mount lives on");

    world.thaw()?;
    wait_until("content from a node that answers again", COLD_BOUND, || {
        fs::read(mount.join("folder/cold")).is_ok_and(|found| found == content)
    })?;
    Ok(())
}

#[test]
fn a_mount_left_dead_by_a_killed_daemon_comes_back_where_it_was() -> Result<()> {
    let world = World::start()?;
    let mut device = world.first_device("first")?;
    let mount = device.mount_point().to_owned();
    fs::write(mount.join("kept"), "kept")?;
    let open = File::options().append(true).open(mount.join("kept"))?;
    open.sync_all()?;
    device.kill()?;
    // Rings end a moment after their process; what comes in between hears that it was broken off.
    wait_until("the end of the dead daemon's connection", COLD_BOUND, || {
        match fs::read_dir(&mount).map(drop).map_err(|error| error.raw_os_error()) {
            Err(Some(libc::ENOTCONN)) => true,
            Err(Some(libc::ECONNABORTED | libc::ECANCELED)) => false,
            answer => panic!("a dead mount answered {answer:?}"),
        }
    })?;
    // A program still holds a file of the dead mount, and the daemon mounts over neither it nor an empty folder.
    device.restart()?;
    ensure!(fs::read(mount.join("kept")).context("after the restart")? == b"kept", "other content");
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let ours = mounts.lines().filter(|line| line.split(' ').nth(1) == mount.to_str()).count();
    ensure!(ours == 1, "{ours} mounts at one place");
    drop(open);
    Ok(())
}
