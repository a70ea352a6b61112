//! The power of the whole machine is cut behind many points of what server, node and device wrote: each starts without
//! help, and everything that was fsynced, stored or numbered is there.

use crate::record::{Story, folder, record};
use anyhow::{Context, Result, ensure};
use freehold_tests::{CrashFs, Device, Draw, World, is_long, say, seed};
use std::fs;
use std::path::Path;

/// Points at which the power is cut.
const CUTS: usize = 16;
const CUTS_LONG: usize = 300;

/// Starts everything on what a power cut left, and asks for what was promised by then.
fn check(world: &mut World, image: &Path, story: &Story, cut: u64) -> Result<usize> {
    world.keep_server_in(image);
    world.keep_node_in(image);
    world.start_server()?;
    if cut < story.node_joined {
        world.kill_server()?;
        return Ok(0);
    }
    world.start_node()?;
    let mut kept = 0;
    // What was synced, as one sees it who has nothing but server and node.
    if let Some(synced) = story.synced.iter().rev().find(|at| **at <= cut) {
        let newcomer = Device::start(&image.join("newcomer"))?;
        newcomer.login(&world.url(), "eva", &world.password_file())?;
        newcomer.mount()?;
        newcomer.wait()?;
        kept += story.oracle.check_between(&folder(&newcomer), *synced, cut).context("synced")?;
        newcomer.cli(&["unmount"])?;
    }
    // What was fsynced, on the device itself, which then goes on.
    let mut device = Device::at_rest(&image.join("device"), &world.dir().join("device"))?;
    device.restart()?;
    if cut >= story.mounted {
        let status = device.ok(&["status"])?;
        ensure!(status["mount"].as_str() == device.mount_point().to_str(), "not mounted: {status}");
        kept += story.oracle.check(&folder(&device), cut).context("fsynced")?;
        device.wait()?;
    } else if cut >= story.signed_up {
        ensure!(device.ok(&["whoami"])?["user"] == "eva", "the account is gone");
    }
    device.kill()?;
    world.kill_node()?;
    world.kill_server()?;
    Ok(kept)
}

#[test]
fn a_power_cut_anywhere_loses_nothing_that_was_acknowledged() -> Result<()> {
    let seed = seed("power cuts");
    let mut draw = Draw::new(seed);
    let mut world = World::at_rest()?;
    let disk = CrashFs::mount(&world.dir().join("disk"))?;
    world.keep_server_in(disk.path());
    world.start_server()?;
    let url = world.url();
    let story = record(&mut world, &disk, &mut draw, &url)?;
    let cuts = if is_long() { CUTS_LONG } else { CUTS };
    let (mut promises, image) = (0, world.dir().join("image"));
    for number in 0..cuts {
        // The first quarter anywhere, the rest after the mount: most operations happen there.
        let from = if number % 4 == 0 { 1 } else { story.mounted };
        let (cut, fate) = (from + draw.below(story.end - from + 1), draw.next());
        disk.image(cut, fate, &image)?;
        let kept = check(&mut world, &image, &story, cut);
        promises += kept.with_context(|| {
            format!("cut {number} behind operation {cut} of {}, fate {fate}, seed {seed}", story.end)
        })?;
        fs::remove_dir_all(&image).context("remove the image")?;
    }
    let (acks, end) = (story.oracle.acks(), story.end);
    say(&format!(
        "{cuts} power cuts in {end} operations with {acks} acknowledgements: {promises} promises kept"
    ));
    Ok(())
}
