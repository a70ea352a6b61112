//! The server away, a device away, the server set back to an older copy: nothing is lost, all converge.

use anyhow::Result;
use freehold_tests::{
    ARRIVAL, Device, World, assert_same, copy_tree, entries_of, pseudo_random, wait_for_content, wait_until,
};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Longer than the pauses between two looks at the node and at the server together.
const PATIENCE: Duration = Duration::from_secs(240);

fn write(device: &Device, name: &str, seed: u64, len: usize) -> Result<Vec<u8>> {
    let content = pseudo_random(seed, len);
    fs::write(device.mount_point().join(name), &content)?;
    Ok(content)
}

#[test]
fn devices_exchange_changes_both_ways_while_the_server_is_away() -> Result<()> {
    let mut world = World::start()?;
    let (mut first, mut second) = (world.first_device("first")?, world.next_device("second")?);
    let cold = write(&first, "cold", 1, 700_000)?;
    let colder = write(&first, "colder", 11, 700_000)?;
    fs::create_dir(first.mount_point().join("folder"))?;
    write(&first, "folder/inside", 2, 5_000)?;
    // Times of folders are each device's own unless a program sets them.
    let folder = first.mount_point().join("folder");
    assert!(Command::new("touch").args(["-d", "2026-01-02 03:04:05"]).arg(folder).status()?.success());
    first.wait()?;
    second.wait()?;
    first.wait_for_devices(1)?;
    world.stop_server()?;

    // Both ways: small, large, edited, renamed, removed.
    let small = write(&first, "small", 3, 900)?;
    wait_for_content(&second.mount_point().join("small"), &small)?;
    let large = write(&second, "large", 4, 3_000_000)?;
    wait_for_content(&first.mount_point().join("large"), &large)?;
    let edited = write(&second, "small", 5, 70_000)?;
    wait_for_content(&first.mount_point().join("small"), &edited)?;
    fs::rename(first.mount_point().join("folder"), first.mount_point().join("renamed"))?;
    fs::remove_file(second.mount_point().join("large"))?;
    wait_until("the folder renamed", ARRIVAL, || second.mount_point().join("renamed/inside").exists())?;
    wait_until("the file removed", ARRIVAL, || !first.mount_point().join("large").exists())?;

    // The other device goes away: what only the node has is read from the node.
    first.stop()?;
    assert_eq!(fs::read(second.mount_point().join("cold"))?, cold);
    let alone = write(&second, "alone", 6, 200_000)?;

    // So it is by a device that starts while the server is away.
    second.stop()?;
    second.restart()?;
    assert_eq!(fs::read(second.mount_point().join("colder"))?, colder);
    assert_eq!(second.ok(&["status"])?["server_reachable"], false);

    world.start_server()?;
    first.restart()?;
    wait_for_content(&first.mount_point().join("alone"), &alone)?;
    first.wait()?;
    second.wait()?;
    assert_same(first.mount_point(), second.mount_point());
    let third = world.next_device("third")?;
    third.wait()?;
    assert_same(first.mount_point(), third.mount_point());
    Ok(())
}

/// What devices have left at the node of how far their vault is.
fn heads_at_node(world: &World) -> Vec<u8> {
    let files = fs::read_dir(world.node_dir().join("heads")).into_iter().flatten().flatten();
    files.flat_map(|file| fs::read(file.path()).unwrap_or_default()).collect()
}

/// Row 25 of the attack list, with the storage node as the one honest witness.
#[test]
fn a_new_device_learns_from_the_node_that_a_server_set_back_lacks_changes() -> Result<()> {
    let mut world = World::start()?;
    let mut first = world.first_device("first")?;
    write(&first, "before", 1, 900)?;
    first.wait()?;
    wait_until("the first heads at the node", PATIENCE, || !heads_at_node(&world).is_empty())?;
    world.stop_server()?;
    let copy = world.dir().join("server.copy");
    copy_tree(&world.server_dir(), &copy)?;
    world.start_server()?;
    first.wait()?;
    let before = heads_at_node(&world);
    let lost = write(&first, "lost", 2, 900)?;
    first.wait()?;
    wait_until("newer heads at the node", PATIENCE, || heads_at_node(&world) != before)?;
    first.stop()?;
    world.stop_server()?;
    fs::remove_dir_all(world.server_dir())?;
    copy_tree(&copy, &world.server_dir())?;
    world.start_server()?;

    let second = world.next_device("second")?;
    let problems = || second.ok(&["status"]).map(|status| status["problems"].to_string()).unwrap_or_default();
    wait_until("the problem by name", PATIENCE, || problems().contains("changes_missing"))?;
    assert!(problems().contains("a storage node has seen newer changes of \u{201c}"), "{}", problems());
    assert!(!second.mount_point().join("lost").exists());

    // Its author brings it back, and the problem is over.
    first.restart()?;
    wait_for_content(&second.mount_point().join("lost"), &lost)?;
    wait_until("the problem over", PATIENCE, || problems() == "[]")?;
    assert_same(first.mount_point(), second.mount_point());
    Ok(())
}

#[test]
fn a_server_set_back_to_an_older_copy_gets_back_what_it_lost() -> Result<()> {
    let mut world = World::start()?;
    let (first, mut second) = (world.first_device("first")?, world.next_device("second")?);
    write(&first, "before", 1, 100_000)?;
    first.wait()?;
    second.wait()?;
    world.stop_server()?;
    let copy = world.dir().join("server.copy");
    copy_tree(&world.server_dir(), &copy)?;
    world.start_server()?;

    // After the copy: from both, one of which is away when the server comes back.
    write(&first, "lost by the server", 2, 300_000)?;
    fs::rename(first.mount_point().join("before"), first.mount_point().join("renamed"))?;
    write(&second, "of the one away", 3, 40_000)?;
    first.wait()?;
    second.wait()?;
    first.wait()?;
    assert_same(first.mount_point(), second.mount_point());
    second.stop()?;
    world.stop_server()?;
    fs::remove_dir_all(world.server_dir())?;
    copy_tree(&copy, &world.server_dir())?;
    world.start_server()?;

    let after = write(&first, "after", 4, 50_000)?;
    first.wait()?;
    let third = world.next_device("third")?;
    third.wait()?;
    wait_for_content(&third.mount_point().join("after"), &after)?;
    wait_until("everything at a new device", ARRIVAL, || {
        entries_of(third.mount_point()).is_ok_and(|found| found.len() == 4)
    })?;
    second.restart()?;
    for device in [&first, &second, &third] {
        device.wait()?;
    }
    assert_same(first.mount_point(), third.mount_point());
    assert_same(first.mount_point(), second.mount_point());
    for device in [&first, &second, &third] {
        let status = device.ok(&["status"])?;
        assert_eq!(status["problems"], serde_json::json!([]), "no alarm and nobody reborn without need");
    }
    Ok(())
}
