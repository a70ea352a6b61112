//! How long a closed file takes to the other device.

use anyhow::Result;
use freehold_tests::{World, pseudo_random, say, wait_for_content};
use std::fs;
use std::time::Duration;

#[test]
fn two_hundred_files_closed_on_one_device_are_read_on_the_other() -> Result<()> {
    let world = World::start()?;
    let (first, second) = (world.first_device("first")?, world.next_device("second")?);
    first.wait_for_devices(1)?;
    let mut times = Vec::new();
    for number in 0..200_u64 {
        let content = pseudo_random(number, 4096);
        let name = format!("file {number}");
        fs::write(first.mount_point().join(&name), &content)?;
        times.push(wait_for_content(&second.mount_point().join(&name), &content)?);
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(Duration::ZERO);
    say(&format!(
        "close on one device to read on the other, 200 files of 4 KiB: p50 {} ms, p95 {} ms, worst {} ms",
        at(50).as_millis(),
        at(95).as_millis(),
        at(99).as_millis()
    ));
    Ok(())
}
