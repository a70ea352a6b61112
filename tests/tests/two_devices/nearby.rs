//! Two devices on one local network, no server to be reached, no address known.

use anyhow::Result;
use freehold_tests::{Lan, World, pseudo_random, wait_for_content};
use std::fs;

#[test]
fn devices_find_each_other_on_the_local_network_without_the_server() -> Result<()> {
    let world = World::start()?;
    let (mut first, mut second) = (world.first_device("first")?, world.next_device("second")?);
    first.wait()?;
    second.wait()?;
    first.stop()?;
    second.stop()?;
    // What they remember of each other is this machine's loopback, which these networks do not have.
    let lan = Lan::new()?;
    let [here, there] = lan.names();
    first.restart_in(here)?;
    second.restart_in(there)?;
    let content = pseudo_random(7, 300_000);
    fs::write(first.mount_point().join("over the wire"), &content)?;
    wait_for_content(&second.mount_point().join("over the wire"), &content)?;
    assert_eq!(second.ok(&["status"])?["server_reachable"], false);
    let back = pseudo_random(8, 2_000);
    fs::write(second.mount_point().join("and back"), &back)?;
    wait_for_content(&first.mount_point().join("and back"), &back)?;
    Ok(())
}
