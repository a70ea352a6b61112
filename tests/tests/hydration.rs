//! What is on a device and what is not: pinned folders, files that were given up, honest blocks.

use anyhow::{Context, Result, ensure};
use freehold_tests::{ARRIVAL, Device, World, pseudo_random, wait_until};
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

const LARGE: usize = 20 << 20;
const SMALL: usize = 4_096;

fn xattr(path: &Path, name: &str) -> Result<String> {
    let mut buffer = [0; 64];
    let len = rustix::fs::getxattr(path, format!("user.freehold.{name}"), &mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..len]).into_owned())
}

fn residence(path: &Path) -> Result<String> {
    xattr(path, "residence")
}

/// Bytes that `du` counts.
fn on_disk(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.blocks() * 512)
}

fn become_resident(path: &Path, wanted: &str, bytes: u64) -> Result<()> {
    wait_until(wanted, ARRIVAL, || {
        residence(path).is_ok_and(|found| found == wanted) && on_disk(path).is_ok_and(|found| found == bytes)
    })?;
    Ok(())
}

/// A vault with a folder of small files and two large ones, all of it on the node.
fn filled(device: &Device) -> Result<()> {
    let vault = device.mount_point();
    fs::create_dir_all(vault.join("album/2019"))?;
    for n in 0..20 {
        fs::write(vault.join(format!("album/2019/{n}")), pseudo_random(n, SMALL))?;
    }
    fs::write(vault.join("album/film"), pseudo_random(100, LARGE))?;
    fs::write(vault.join("other film"), pseudo_random(101, LARGE))?;
    device.wait()?;
    Ok(())
}

fn missing(device: &Device) -> Result<u64> {
    device.ok(&["status"])?["pinned"]["missing_files"].as_u64().context("status tells of pinned files")
}

#[test]
fn a_pinned_folder_comes_by_itself_and_is_readable_with_everything_else_down() -> Result<()> {
    let mut world = World::start()?;
    let mut first = world.first_device("first")?;
    filled(&first)?;
    let second = world.next_device("second")?;
    second.wait()?;
    let vault = second.mount_point();
    // The first device may have handed some of it over before the server said that it is placed (ADR 12).
    second.ok(&["evict", vault.to_str().context("UTF-8")?])?;
    for name in ["album/film", "other film", "album/2019/3"] {
        become_resident(&vault.join(name), "online-only", 0)?;
    }

    let pinned = second.ok(&["pin", "album"])?;
    assert_eq!((pinned["mode"].as_str(), pinned["files"].as_u64()), (Some("always"), Some(21)));
    wait_until("pinned files are here", ARRIVAL, || {
        second.ok(&["status"]).is_ok_and(|status| status["pinned"]["files"] == 21)
            && missing(&second).is_ok_and(|missing| missing == 0)
    })?;
    become_resident(&vault.join("album/film"), "pinned", LARGE as u64)?;
    become_resident(&vault.join("album/2019/3"), "pinned", SMALL as u64)?;
    assert_eq!(residence(&vault.join("other film"))?, "online-only");

    // A new version of a pinned file comes without being read.
    let edited = pseudo_random(7, LARGE / 2);
    fs::write(first.mount_point().join("album/film"), &edited)?;
    first.wait()?;
    second.wait()?;
    wait_until("the new version is here", ARRIVAL, || {
        fs::metadata(vault.join("album/film")).is_ok_and(|found| found.len() == edited.len() as u64)
            && missing(&second).is_ok_and(|missing| missing == 0)
            && residence(&vault.join("album/film")).is_ok_and(|found| found == "pinned")
    })?;

    first.stop()?;
    world.stop_node()?;
    world.stop_server()?;
    assert!(fs::read(vault.join("album/film"))? == edited);
    for n in 0..20 {
        assert!(fs::read(vault.join(format!("album/2019/{n}")))? == pseudo_random(n, SMALL));
    }
    Ok(())
}

#[test]
fn what_is_given_up_takes_no_room_and_comes_again_when_it_is_read() -> Result<()> {
    let mut world = World::start()?;
    let mut first = world.first_device("first")?;
    filled(&first)?;
    let vault = first.mount_point().to_owned();
    let before = first.ok(&["status"])?["cache_bytes"].as_u64().context("bytes")?;
    become_resident(&vault.join("album/film"), "local", LARGE as u64)?;

    first.ok(&["pin", "album/2019"])?;
    let evicted = first.ok(&["evict", "."])?;
    assert!(evicted.is_object(), "a relative path is one of the vault too: {evicted}");
    let evicted = first.ok(&["evict", "album"])?;
    assert_eq!(
        evicted["files"].as_u64().unwrap_or_default() + evicted["pinned"].as_u64().unwrap_or_default(),
        20
    );
    become_resident(&vault.join("album/film"), "online-only", 0)?;
    become_resident(&vault.join("album/2019/3"), "pinned", SMALL as u64)?;
    let after = first.ok(&["status"])?["cache_bytes"].as_u64().context("bytes")?;
    ensure!(after + LARGE as u64 / 2 < before, "{before} bytes before, {after} after");

    // What is no longer pinned goes as well.
    first.ok(&["unpin", "album/2019"])?;
    assert_eq!(first.ok(&["evict", "album"])?["files"].as_u64(), Some(20));
    become_resident(&vault.join("album/2019/3"), "online-only", 0)?;

    // The system still has what it showed; a new mount has to ask.
    first.ok(&["evict", "other film"])?;
    first.stop()?;
    first.restart()?;
    wait_until("mounted again", ARRIVAL, || vault.join("album/film").exists())?;
    let mut part = vec![0; 64 << 10];
    File::open(vault.join("other film"))?.read_exact_at(&mut part, 10 << 20)?;
    assert!(part == pseudo_random(101, LARGE)[10 << 20..(10 << 20) + part.len()]);
    assert!(fs::read(vault.join("album/film"))? == pseudo_random(100, LARGE));
    become_resident(&vault.join("album/film"), "local", LARGE as u64)?;
    let other = vault.join("other film");
    wait_until("a part of the other film is here", ARRIVAL, || {
        residence(&other).is_ok_and(|found| found == "partial")
            && on_disk(&other).is_ok_and(|bytes| bytes >= part.len() as u64 && bytes < LARGE as u64)
    })?;

    // What is not safe elsewhere stays.
    world.stop_node()?;
    fs::write(vault.join("new"), pseudo_random(9, LARGE / 10))?;
    let evicted = first.ok(&["evict", "new"])?;
    assert_eq!((evicted["files"].as_u64(), evicted["waiting"].as_u64()), (Some(0), Some(1)));
    assert!(fs::read(vault.join("new"))? == pseudo_random(9, LARGE / 10));
    let nowhere = first.cli(&["evict", "nowhere"])?;
    assert_eq!((nowhere.code, nowhere.json["error"]["code"].as_str()), (5, Some("no_such_file")));
    Ok(())
}

#[test]
fn wishes_outlive_the_daemon_and_can_be_set_as_attributes() -> Result<()> {
    let world = World::start()?;
    let mut first = world.first_device("first")?;
    filled(&first)?;
    let vault = first.mount_point().to_owned();
    first.ok(&["pin", "album"])?;
    let set = |path: &Path, mode: &str| {
        rustix::fs::setxattr(path, "user.freehold.pin", mode.as_bytes(), rustix::fs::XattrFlags::empty())
    };
    set(&vault.join("album/film"), "never")?;
    // On this disk like anything else that was fsynced.
    File::open(vault.join("album/film"))?.sync_all()?;
    first.kill()?;
    first.restart()?;
    wait_until("mounted again", ARRIVAL, || xattr(&vault.join("album"), "pin").is_ok())?;
    assert_eq!(xattr(&vault.join("album/2019/3"), "pin")?, "always");
    assert_eq!(xattr(&vault.join("album/film"), "pin")?, "never");
    assert_eq!(xattr(&vault.join("other film"), "pin")?, "auto");
    first.ok(&["unpin", "album"])?;
    assert_eq!(xattr(&vault.join("album/2019/3"), "pin")?, "auto");
    Ok(())
}
