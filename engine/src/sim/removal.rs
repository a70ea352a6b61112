//! A removed device goes on writing, because it does not know, or because it does not care.
//!
//! Row 27 of the attack list is shown on the real programs (`tests/tests/account_life.rs`): what is
//! written after the rotation is sealed under keys a removed device never gets.

use super::fleet::{device, secret};
use super::world::World;
use crate::ROOT;
use crate::testing::file;
use freehold_trust::account_log::{Action, Cut, RevokeDevice, RevokeIntent, SecondKey};
use std::sync::Arc;

fn write(world: &World, at: usize, name: &[u8]) {
    let volume = Arc::clone(&world.replicas[at].local.volume);
    let ino = volume.lock().insert(ROOT, name, file()).expect("a new name");
    volume.write(ino, 0, name).expect("written");
}

/// The first device removes the third, at what it has seen of it.
pub(super) fn remove_third(world: &mut World) {
    let seen = world.replicas[0].intake.state().chains.of(&device(3)).map(|chain| chain.head);
    let vault = world.replicas[0].local.vault;
    let cuts = seen.map(|head| Cut { vault, incarnation: head.incarnation, seq: head.seq });
    let account = world.fleet.state().account();
    let revoke = RevokeDevice::new(account, device(3), device(1), 1, cuts.into_iter().collect());
    let intent = RevokeIntent::sign(
        revoke.expect("one cut"),
        &secret(1).sign_key(),
        SecondKey::Password,
        world.fleet.password(),
    );
    world.fleet.append_once(1, Action::RevokeDevice(Box::new(intent)));
}

/// Lets some devices exchange what they have, without the server.
fn exchange(world: &mut World, devices: &[usize]) {
    for _ in 0..30 {
        for at in devices {
            world.replicas[*at].ask(world.now_ms);
            if !world.replicas[*at].asked.is_empty() {
                world.answer(*at, 0);
            }
        }
    }
}

fn shown(world: &World, at: usize) -> Vec<String> {
    world.replicas[at].tree().into_keys().collect()
}

#[test]
fn what_a_removed_device_writes_afterwards_is_put_aside_and_not_shown() {
    let mut world = World::new(3);
    write(&world, 2, b"before");
    world.settle();
    remove_third(&mut world);
    world.server_is_up = false;
    world.replicas[0].account = world.fleet.state().clone();
    // It does not know, and whoever it reaches does.
    write(&world, 2, b"after");
    world.commit(2);
    exchange(&mut world, &[0]);
    assert_eq!(shown(&world, 0), ["/before"]);
    assert!(world.replicas[0].intake.quarantined().contains(&device(3)));
    assert_eq!(world.replicas[0].intake.state().aside.len(), 1, "kept apart, not thrown away");
    assert_eq!(world.replicas[0].alarms, []);
}

#[test]
fn what_another_device_had_seen_before_it_knew_of_the_removal_counts() {
    let mut world = World::new(3);
    write(&world, 2, b"before");
    world.settle();
    world.server_is_up = false;
    world.set_wire(0, 1, false);
    world.set_wire(0, 2, false);
    // The second has it in good faith and builds on it.
    write(&world, 2, b"late");
    world.commit(2);
    exchange(&mut world, &[1]);
    write(&world, 1, b"on top of it");
    world.commit(1);
    remove_third(&mut world);
    world.replicas[0].account = world.fleet.state().clone();
    world.set_wire(0, 2, true);
    exchange(&mut world, &[0]);
    assert_eq!(shown(&world, 0), ["/before"], "nobody who may has vouched for it yet");
    world.set_wire(0, 2, false);
    world.set_wire(0, 1, true);
    exchange(&mut world, &[0, 1]);
    assert_eq!(shown(&world, 0), ["/before", "/late", "/on top of it"]);
    assert_eq!(world.replicas[0].intake.state().aside.len(), 0);
}
