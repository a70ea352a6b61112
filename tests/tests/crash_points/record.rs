//! One run of the real programs on a disk that records them, and what they acknowledged meanwhile.

use anyhow::Result;
use freehold_tests::{ARRIVAL, CrashFs, Device, Draw, Oracle, World, Writer, wait_until};
use std::fs::{self, File};
use std::path::PathBuf;

/// Promises between two times at which everything is synced.
const PROMISES: u64 = 25;

/// What was acknowledged, and behind which operation.
#[derive(Default)]
pub(crate) struct Story {
    pub(crate) oracle: Oracle,
    pub(crate) node_joined: u64,
    pub(crate) signed_up: u64,
    pub(crate) mounted: u64,
    /// When `freehold wait` said that everything was on the node and numbered.
    pub(crate) synced: Vec<u64>,
    pub(crate) end: u64,
}

/// Where the writer writes.
pub(crate) fn folder(device: &Device) -> PathBuf {
    device.mount_point().join("folder")
}

/// Everything runs once, beside a server that runs already; the device reaches it at `url`. All are killed in the end.
pub(crate) fn record(world: &mut World, disk: &CrashFs, draw: &mut Draw, url: &str) -> Result<Story> {
    world.keep_node_in(disk.path());
    world.join_node()?;
    let mut story = Story { node_joined: disk.position(), ..Story::default() };
    let mut device = Device::at_rest(&disk.path().join("device"), &world.dir().join("device"))?;
    device.restart()?;
    device.signup(url, "eva", &world.password_file())?;
    story.signed_up = disk.position();
    device.mount()?;
    fs::create_dir(folder(&device))?;
    File::open(device.mount_point())?.sync_all()?;
    story.mounted = disk.position();
    for _ in 0..3 {
        let before = story.oracle.acks();
        let writer = Writer::start(
            &folder(&device),
            std::mem::take(&mut story.oracle),
            Draw::new(draw.next()),
            disk.clock(),
        );
        wait_until("promises", ARRIVAL, || writer.acks() >= before + PROMISES)?;
        story.oracle = writer.stop()?;
        device.wait()?;
        story.synced.push(disk.position());
    }
    device.kill()?;
    world.kill_node()?;
    world.kill_server()?;
    story.end = disk.position();
    Ok(story)
}
