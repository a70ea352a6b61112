//! S5: nothing readable leaves the mount.
//!
//! Two devices keep canaries and real files in a vault while every frame on the loopback device is captured. Then
//! every file of server, node and clients, every log and the capture is searched for names, contents, the password,
//! the recovery words and every key, which [`keys`] recomputes from the device's own secret.

#![expect(clippy::print_stdout, reason = "the figures of a scenario are its result")]

mod derived;
mod keys;

use anyhow::{Context, Result};
use freehold_tests::{Capture, Needles, PASSWORD, World, pseudo_random, root, windows};
use rustix::fs::{XattrFlags, setxattr};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const CANARY_NAME: &str = "canary-name-Vq7rTz3LpX";
const CANARY_FOLDER: &str = "canary-folder-Kw9mBs5HdN";
const CANARY_TEXT: &str = "canary content: the heron waits where the river bends twice";
const CANARY_ATTRIBUTE: &str = "user.canary-attribute-Jf4yGc8RvM";
const CANARY_VALUE: &str = "canary value: seven brass keys under the third stair";
const CANARY_TARGET: &str = "canary-target-Xe2uWn6QkZ/nowhere";

fn fill(vault: &Path) -> Result<()> {
    let folder = vault.join(CANARY_FOLDER);
    fs::create_dir(&folder)?;
    fs::write(folder.join(CANARY_NAME), CANARY_TEXT)?;
    setxattr(folder.join(CANARY_NAME), CANARY_ATTRIBUTE, CANARY_VALUE.as_bytes(), XattrFlags::empty())?;
    symlink(CANARY_TARGET, folder.join("link"))?;
    for (name, len) in [("small", 1_500), ("one chunk", 40_000), ("many chunks", 5_000_000)] {
        fs::write(folder.join(name), pseudo_random(len as u64, len))?;
    }
    // Text compresses: what is sealed then is not what was written, and must not show through either.
    let status = std::process::Command::new("cp").arg("-r").arg(root().join("core")).arg(&folder).status()?;
    anyhow::ensure!(status.success(), "cp -r core");
    Ok(())
}

fn collect(vault: &Path, needles: &mut Needles) -> Result<()> {
    for entry in walkdir::WalkDir::new(vault) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let content = fs::read(entry.path())?;
            for window in windows(&content) {
                needles.add(window, &format!("content of {}", entry.path().display()));
            }
        }
    }
    for canary in [CANARY_NAME, CANARY_FOLDER, CANARY_TEXT, CANARY_ATTRIBUTE, CANARY_VALUE, CANARY_TARGET] {
        needles.add(canary.as_bytes(), canary);
    }
    Ok(())
}

#[test]
fn nothing_readable_and_no_key_is_in_any_file_log_or_datagram() -> Result<()> {
    let world = World::start()?;
    let captured = world.dir().join("capture.raw");
    let capture = Capture::start(&captured)?;

    let mut first = world.device("first")?;
    let account = first.signup(&world.url(), "eva", &world.password_file())?;
    let words = account["recovery_words"].as_str().context("recovery words")?.to_owned();
    first.mount()?;
    fill(first.mount_point())?;
    first.wait()?;
    let mut second = world.next_device("second")?;
    second.wait()?;
    let mut needles = Needles::default();
    collect(second.mount_point(), &mut needles)?;
    let contents = needles.count();
    fs::write(second.mount_point().join("from the second"), CANARY_TEXT)?;
    second.wait()?;
    first.wait()?;

    needles.add(PASSWORD.as_bytes(), "the password");
    derived::device(&keys::device_secret(&first)?, &mut needles)?;
    keys::add_all(&world, &second, &words, &mut needles)?;
    first.stop()?;
    second.stop()?;
    let bytes = capture.finish()?;
    println!(
        "S5: {contents} windows of content and {} keys and canaries; {bytes} bytes captured",
        needles.count() - contents
    );
    assert!(contents > 1_000 && bytes > 5_000_000, "the capture saw the upload");

    // The needles can be found: the vault's own files hold them.
    assert!(!needles.found_in(CANARY_TEXT.as_bytes()).is_empty());
    let allowed = |path: &Path| path.ends_with("password") && path.parent() == Some(world.dir());
    let (found, total) = needles.found_below(world.dir(), allowed)?;
    println!("S5: {total} bytes of files searched");
    let leaks: Vec<_> = found.iter().filter(|(path, what)| !is_the_one_place(path, what)).take(20).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(
        found.iter().any(|(path, what)| is_the_one_place(path, what)),
        "the device secret is where it should be"
    );
    Ok(())
}

/// The device secret in `device.key`, and nothing else anywhere.
fn is_the_one_place(path: &Path, what: &str) -> bool {
    path.ends_with("client/device.key") && what.starts_with("the device secret at 0")
}
