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
    let intent = removal(world, 1, cuts);
    world.fleet.append_once(1, Action::RevokeDevice(Box::new(intent)));
}

/// A device's signed wish to remove the third at what it has seen of it.
fn removal(world: &World, by: u8, cut: Option<Cut>) -> RevokeIntent {
    let account = world.fleet.state().account();
    let revoke = RevokeDevice::new(account, device(3), device(by), 1, cut.into_iter().collect());
    let (revoke, key) = (revoke.expect("one cut"), secret(by).sign_key());
    RevokeIntent::sign(revoke, &key, SecondKey::Password, world.fleet.password())
}

/// Lets some devices exchange what they have, without the server.
pub(super) fn exchange(world: &mut World, devices: &[usize]) {
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
    let aside: Vec<_> = world.replicas[0].intake.left_out().collect();
    assert_eq!(aside, [(device(3), 1)], "kept apart, not thrown away");
    assert_eq!(world.replicas[0].alarms, []);
}

#[test]
fn what_another_device_had_merged_before_it_knew_of_the_removal_becomes_its_own() {
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
    world.removed = Some(2);
    world.learn(0, world.fleet.state().clone());
    exchange(&mut world, &[0]);
    assert_eq!(shown(&world, 0), ["/before"], "nobody who may has written it yet");
    world.set_wire(0, 1, true);
    exchange(&mut world, &[0, 1]);
    assert_eq!(shown(&world, 0), ["/before", "/on top of it"], "the second has not heard yet");
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world, 0), ["/before", "/late", "/on top of it"]);
}

/// The second has read of the change and not fetched it when it hears: it is as if it had not.
#[test]
fn what_another_device_had_only_heard_of_is_not_waited_for() {
    let mut world = World::new(3);
    world.settle();
    world.server_is_up = false;
    world.set_wire(0, 2, false);
    world.set_wire(1, 2, false);
    write(&world, 2, b"late");
    world.commit(2);
    let told = world.replicas[2].last_push.clone().expect("written");
    let (commits, from) = (vec![told.commit], device(3));
    let answer = freehold_api::device_peer::CommitsResponse { more: false, commits };
    let taken = world.replicas[1].with(0, |intake, ctx| intake.commits(ctx, from, &answer, false));
    assert_eq!(taken, Ok(()));
    write(&world, 1, b"own");
    world.commit(1);
    remove_third(&mut world);
    world.removed = Some(2);
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world, 0), ["/own"]);
    assert_eq!(world.replicas[1].intake.left_out().collect::<Vec<_>>(), [(device(3), 1)]);
}

/// Two devices remove a third without the server, each at what it has seen; the log takes one.
#[test]
fn what_was_put_aside_counts_when_the_log_cuts_later() {
    let mut world = World::new(3);
    world.settle();
    world.server_is_up = false;
    world.set_wire(0, 2, false);
    world.set_wire(0, 1, false);
    write(&world, 2, b"seen by the second");
    world.commit(2);
    exchange(&mut world, &[1]);
    // The first has obeyed a removal of its own that did not get into the log.
    let vault = world.replicas[0].local.vault;
    let intent = removal(&world, 1, None);
    world.replicas[0].account.obey(&intent).expect("signed");
    let kept = world
        .commits_of(2, &[freehold_api::device_peer::After { device: device(3), incarnation: 0, seq: 0 }]);
    let taken = world.replicas[0].with(0, |intake, ctx| intake.commits(ctx, device(2), &kept, false));
    assert_eq!(taken, Ok(()));
    exchange(&mut world, &[0]);
    assert_eq!(shown(&world, 0), Vec::<String>::new());
    assert_eq!(world.replicas[0].intake.left_out().collect::<Vec<_>>(), [(device(3), 1)]);
    let seen = world.replicas[1].intake.state().chains.of(&device(3)).map(|chain| chain.head).expect("seen");
    let cut = Cut { vault, incarnation: seen.incarnation, seq: seen.seq };
    let intent = removal(&world, 2, Some(cut));
    world.fleet.append_once(2, Action::RevokeDevice(Box::new(intent)));
    world.removed = Some(2);
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world, 0), ["/seen by the second"]);
    assert_eq!(world.replicas[0].intake.state().aside.len(), 0);
}
