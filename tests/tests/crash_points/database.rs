//! The server's database on a disk that fails or fills up: acknowledged things stay, refusals are one line each.

use anyhow::{Context, Result, ensure};
use freehold_tests::{CrashFs, Device, Draw, Faults, World, pseudo_random, seed};
use std::fs;

/// A world whose server alone lives on the recording disk, and a device with something synced.
fn start(world: &mut World, disk: &CrashFs) -> Result<Device> {
    world.keep_server_in(disk.path());
    world.start_server()?;
    world.join_node()?;
    let device = world.first_device("first")?;
    fs::write(device.mount_point().join("before"), pseudo_random(1, 50_000))?;
    device.wait()?;
    Ok(device)
}

/// Cuts the server's power now, starts it on what is left, and reads the files as a newcomer who has nothing else.
fn read_after_a_cut(world: &mut World, disk: &CrashFs, fate: u64, names: &[String]) -> Result<Vec<Vec<u8>>> {
    world.kill_server()?;
    let image = world.dir().join(format!("image {fate}"));
    disk.image(disk.position(), fate, &image)?;
    world.keep_server_in(&image);
    world.start_server()?;
    let newcomer = world.next_device(&format!("newcomer {fate}"))?;
    newcomer.wait()?;
    names
        .iter()
        .map(|name| fs::read(newcomer.mount_point().join(name)).with_context(|| name.clone()))
        .collect()
}

/// Lines of the server's log with these words.
fn log_lines(world: &World, words: &str) -> Result<Vec<String>> {
    let log = fs::read_to_string(world.server_log())?;
    Ok(log.lines().filter(|line| line.contains(words)).map(str::to_owned).collect())
}

#[test]
fn a_failed_flush_of_the_database_is_refused_and_nothing_acknowledged_is_lost() -> Result<()> {
    let mut draw = Draw::new(seed("failed flush"));
    for failing in 0..3 {
        let mut world = World::at_rest()?;
        let disk = CrashFs::mount(&world.dir().join("disk"))?;
        let device = start(&mut world, &disk)?;
        disk.inject(Faults { failing_sync: Some(failing), ..Faults::default() });
        let mut names = vec!["before".to_owned()];
        while !disk.has_failed_a_sync() {
            let name = format!("during {}", names.len());
            fs::write(device.mount_point().join(&name), pseudo_random(names.len() as u64, 50_000))?;
            device.wait().context("the device tries again until the disk keeps it")?;
            names.push(name);
        }
        let refusals = log_lines(&world, "the database failed")?;
        ensure!(refusals.len() <= 1, "one line for one failure: {refusals:#?}");
        drop(device);
        let found = read_after_a_cut(&mut world, &disk, draw.next(), &names)?;
        for (number, content) in (1..).zip(&found[1..]) {
            assert_eq!(*content, pseudo_random(number, 50_000), "file {number}, flush {failing}");
        }
    }
    Ok(())
}

#[test]
fn a_full_disk_below_the_database_is_one_line_and_loses_nothing() -> Result<()> {
    let mut draw = Draw::new(seed("full disk"));
    let mut world = World::at_rest()?;
    let disk = CrashFs::mount(&world.dir().join("disk"))?;
    let device = start(&mut world, &disk)?;
    disk.inject(Faults { free_bytes: Some(draw.below(20_000)), ..Faults::default() });
    for number in 0..40 {
        fs::write(device.mount_point().join(format!("during {number}")), pseudo_random(number, 3_000))?;
    }
    let outcome = device.cli(&["wait", "--timeout", "5"])?;
    assert_eq!(outcome.code, 11, "{}", outcome.json);
    let message = outcome.json["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert_eq!(message.lines().count(), 1, "{message}");
    let refusals = log_lines(&world, "no space left")?;
    ensure!(!refusals.is_empty(), "the server says why");
    assert_eq!(fs::read(device.mount_point().join("before"))?, pseudo_random(1, 50_000));

    disk.inject(Faults::default());
    device.wait().context("there is room again")?;
    let during = |number: u64| format!("during {number}");
    let names: Vec<String> = ["before".to_owned()].into_iter().chain((0..40).map(during)).collect();
    drop(device);
    let found = read_after_a_cut(&mut world, &disk, draw.next(), &names)?;
    for (number, content) in (0..40).zip(&found[1..]) {
        assert_eq!(*content, pseudo_random(number, 3_000), "{number}");
    }
    Ok(())
}
