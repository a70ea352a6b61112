//! An honest storage node beside a server that lies, and a node that lies itself.

use super::{forged, head_of, place, shown, write};
use crate::sim::fleet::{device, secret};
use crate::sim::replica::Replica;
use crate::sim::world::World;
use crate::sync::chains::Alarm;
use crate::sync::intake::Source;
use crate::sync::limits::{HIDING_MS, MISSING_MS};
use crate::sync::witness::{newest, seal, verified};
use freehold_model::{CommitHash, DeviceId};
use freehold_trust::account_log::{Action, RevokeDevice, RevokeIntent, SecondKey};
use freehold_trust::commit::{ChainHead, SignedHead};
use std::collections::BTreeMap;

/// What lies at a node, by the device that left it.
type Node = BTreeMap<DeviceId, Vec<u8>>;

/// What the loop does: hear what is there, hand it on together with what is known here, and judge it.
fn exchange(world: &mut World, at: usize, node: &mut Node) {
    let replica = &world.replicas[at];
    let (local, id) = (std::sync::Arc::clone(&replica.local), replica.id());
    let left: Vec<Vec<u8>> = node.values().cloned().collect();
    let heard = verified(&left, &local.vault, &local.keyring, &replica.account);
    let others = replica.intake.state().chains.iter().filter(|(device, _)| **device != id);
    let mut chains: Vec<(DeviceId, ChainHead)> =
        others.map(|(device, chain)| (*device, chain.head)).collect();
    chains.extend(local.chain_head().map(|head| (id, head)));
    let known = local.signed_heads(&chains).expect("a healthy disk");
    let heads = newest(known.into_iter().chain(heard.iter().copied()));
    node.insert(id, seal(&heads, &local.keyring));
    let now = world.now_ms;
    match world.replicas[at].with(now, |intake, ctx| intake.witnessed(ctx, &heard)) {
        Ok(theirs) => {
            if let Some(theirs) = theirs.filter(|past| local.is_foreign_past(past)) {
                world.replicas[at].be_reborn(theirs);
            }
        }
        Err(halt) => world.replicas[at].heard(Source::Server, Err(halt)),
    }
}

/// Reads everything the server shows.
fn read(world: &mut World, at: usize) {
    world.replicas[at].intake.server_may_have_more(false);
    for _ in 0..40 {
        let now = world.now_ms;
        world.replicas[at].ask(now);
        if !world.replicas[at].asked.is_empty() {
            world.answer(at, 0);
        }
    }
}

/// A server that was set back while everybody else is away, a node that has seen more, and a device
/// that is new and reaches only these two.
fn rolled_back() -> (World, Node) {
    let (mut world, mut node) = (World::new(3), Node::new());
    write(&world, 0, b"old");
    world.settle();
    let old = world.server.clone();
    write(&world, 0, b"new");
    world.settle();
    exchange(&mut world, 0, &mut node);
    world.server = old;
    world.replicas[2] = Replica::new(3, world.fleet.state().clone());
    (0..2).for_each(|at| world.set_wire(at, 2, false));
    world.meet(2);
    read(&mut world, 2);
    assert_eq!(shown(&world.replicas[2]), ["/old"]);
    (world, node)
}

/// Rows 23 and 25: a fresh device with one honest witness notices that the server was set back.
#[test]
fn a_new_device_learns_from_a_node_that_the_server_does_not_show_everything() {
    let (mut world, mut node) = rolled_back();
    exchange(&mut world, 2, &mut node);
    read(&mut world, 2);
    assert_eq!(world.replicas[2].intake.missing(world.now_ms), [], "it may be on its way");
    world.now_ms += MISSING_MS;
    read(&mut world, 2);
    assert_eq!(world.replicas[2].intake.missing(world.now_ms), [device(1)]);
    assert_eq!(world.replicas[2].alarms, [], "ten seconds are not ten minutes");
    world.now_ms += HIDING_MS;
    read(&mut world, 2);
    assert_eq!(world.replicas[2].alarms, [(Source::Server, Alarm::Hidden)]);
    assert_eq!(shown(&world.replicas[2]), ["/old"]);
}

/// Row 23: the device that wrote it comes back, and everything is as before.
#[test]
fn what_a_node_has_seen_is_missing_until_its_author_brings_it_back() {
    let (mut world, mut node) = rolled_back();
    exchange(&mut world, 2, &mut node);
    (0..2).for_each(|_| {
        read(&mut world, 2);
        world.now_ms += MISSING_MS;
    });
    assert_eq!(world.replicas[2].intake.missing(world.now_ms), [device(1)]);
    (0..2).for_each(|at| world.replicas[at].has_met = false);
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world.replicas[2]), ["/new", "/old"]);
    assert_eq!(world.replicas[2].intake.missing(world.now_ms), []);
}

/// Row 25: a device set back leaves nothing older than what it found, so the next one is warned too.
#[test]
fn a_device_set_back_hands_on_what_the_node_has_seen() {
    let (mut world, mut node) = rolled_back();
    exchange(&mut world, 2, &mut node);
    node.remove(&device(1));
    world.replicas[2] = Replica::new(3, world.fleet.state().clone());
    world.meet(2);
    exchange(&mut world, 2, &mut node);
    (0..2).for_each(|_| {
        read(&mut world, 2);
        world.now_ms += MISSING_MS;
    });
    assert_eq!(world.replicas[2].intake.missing(world.now_ms), [device(1)]);
}

/// Row 64: a device set back, beside a server set back with it, learns of its own past from the node.
#[test]
fn a_device_and_its_server_set_back_together_go_on_behind_what_a_node_has_seen() {
    let (mut world, mut node) = (World::new(2), Node::new());
    world.set_wire(0, 1, false);
    write(&world, 0, b"one");
    world.settle_with(|world| world.set_wire(0, 1, false));
    let (old, server) = (world.replicas[0].copy(), world.server.clone());
    write(&world, 0, b"two");
    world.settle_with(|world| world.set_wire(0, 1, false));
    exchange(&mut world, 0, &mut node);
    let newest = head_of(&world, 0);
    (world.replicas[0], world.server) = (old, server);
    world.meet(0);
    exchange(&mut world, 0, &mut node);
    assert_eq!(world.replicas[0].local.chain_head(), Some(newest));
    write(&world, 0, b"three");
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world.replicas[1]), ["/one", "/three", "/two"]);
}

/// A node, or whoever writes there, that invents heads: nothing of it counts, nobody is accused.
#[test]
fn heads_that_no_device_signed_or_a_removed_one_signed_too_late_accuse_nobody() {
    let mut world = World::new(3);
    world.set_wire(0, 1, false);
    write(&world, 0, b"one");
    world.settle();
    let head = head_of(&world, 0);
    let at = |number, seq| freehold_trust::commit::CommitPlace {
        vault: world.replicas[0].local.vault,
        ..place(&world, number, seq, head.hash)
    };
    let signed = |commit| SignedHead::of(&commit);
    let stranger = signed(forged(at(1, 99), 9, &secret(9).sign_key(), &world));
    let unknown = signed(forged(at(9, 99), 9, &secret(9).sign_key(), &world));
    let late = signed(forged(at(3, 99), 9, &secret(3).sign_key(), &world));
    let elsewhere = freehold_trust::commit::CommitPlace {
        vault: freehold_model::VaultId::from_bytes([0xee; 16]),
        ..at(2, 99)
    };
    let elsewhere = signed(forged(elsewhere, 9, &secret(2).sign_key(), &world));
    let revoke = RevokeDevice::new(world.fleet.state().account(), device(3), device(1), 1, Vec::new());
    let (key, revoke) = (secret(1).sign_key(), revoke.expect("no cut"));
    let intent = RevokeIntent::sign(revoke, &key, SecondKey::Password, world.fleet.password());
    world.fleet.append_once(1, Action::RevokeDevice(Box::new(intent)));
    world.replicas[1].account = world.fleet.state().clone();
    let keyring = std::sync::Arc::clone(&world.replicas[0].local.keyring);
    for lie in [stranger, unknown, late, elsewhere] {
        let mut node = Node::from([(device(9), seal(&newest([lie]), &keyring))]);
        exchange(&mut world, 1, &mut node);
    }
    let mut noise = Node::from([(device(9), b"noise".to_vec()), (device(8), Vec::new())]);
    exchange(&mut world, 1, &mut noise);
    for _ in 0..3 {
        read(&mut world, 1);
        world.now_ms += HIDING_MS;
    }
    assert_eq!(world.replicas[1].intake.missing(world.now_ms), []);
    assert_eq!(world.replicas[1].alarms, []);
}

/// Row 24: two histories signed with one device's key, one of them left at a node.
#[test]
fn a_second_history_at_a_node_is_an_alarm() {
    let mut world = World::new(2);
    write(&world, 0, b"one");
    world.settle();
    let head = head_of(&world, 0);
    let other = freehold_trust::commit::CommitPlace {
        incarnation: head.incarnation,
        ..place(&world, 1, head.seq, CommitHash::default())
    };
    let other = SignedHead::of(&forged(other, 9, &secret(1).sign_key(), &world));
    let keyring = std::sync::Arc::clone(&world.replicas[0].local.keyring);
    let mut node = Node::from([(device(9), seal(&newest([other]), &keyring))]);
    exchange(&mut world, 1, &mut node);
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Fork)]);
    assert_eq!(shown(&world.replicas[1]), ["/one"]);
}
