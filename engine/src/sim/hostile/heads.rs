//! Roots over all heads: an honest device's is what its commits come to, any other is an alarm.

use super::{head_of, place, shown, write};
use crate::sim::fleet::{device, secret};
use crate::sim::world::World;
use crate::sync::chains::Alarm;
use crate::sync::intake::Source;
use freehold_model::{RecordId, RootHash, VersionHash};
use freehold_trust::commit::{Commit, CommitEntry};
use freehold_vault::{CommitBody, heads};
use std::collections::BTreeMap;

/// Two devices that have seen each other's files, and what the commits so far come to.
fn settled() -> (World, BTreeMap<RecordId, Vec<VersionHash>>) {
    let mut world = World::new(2);
    for name in [&b"one"[..], b"two", b"three"] {
        write(&world, 0, name);
        world.settle();
    }
    world.assert_converged();
    let local = &world.replicas[1].local;
    let tables = local.volume.lock();
    let heads = tables.all_heads().map(|(file, heads)| (local.keyring.record_id(&file), heads)).collect();
    drop(tables);
    (world, heads)
}

/// The first device signs this root behind its own chain, with no change of its own, and the second
/// reads it.
fn sign_root(world: &mut World, root: RootHash) {
    let head = head_of(world, 0);
    let place = freehold_trust::commit::CommitPlace {
        incarnation: head.incarnation,
        ..place(world, 1, head.seq + 1, head.hash)
    };
    let context = freehold_crypto::CommitContext {
        device: place.device,
        incarnation: place.incarnation,
        seq: place.seq,
    };
    let seen = world.replicas[0].intake.state().chains.seen(&device(1));
    let body = CommitBody { seen, heads_root: Some(root), ..CommitBody::default() };
    let sealed = world.replicas[0].local.keyring.seal_commit_body(&context, &body.to_bytes());
    let entries: Vec<CommitEntry> = Vec::new();
    let commit = Commit::sign(place, entries, sealed, &secret(1).sign_key()).expect("within limits");
    world.server.commits.push(commit.to_bytes());
    world.replicas[1].intake.server_may_have_more(false);
    for _ in 0..20 {
        world.replicas[1].ask(0);
        if !world.replicas[1].asked.is_empty() {
            world.answer(1, 0);
        }
    }
}

fn root_of(heads: &BTreeMap<RecordId, Vec<VersionHash>>) -> RootHash {
    heads::root(heads.iter().map(|(record, versions)| (*record, versions.as_slice())))
}

/// The root of the very heads is no alarm; so the alarms below are about what was changed in them.
#[test]
fn a_root_over_the_very_heads_is_confirmed() {
    let (mut world, heads) = settled();
    let before = world.replicas[1].confirmed;
    sign_root(&mut world, root_of(&heads));
    assert_eq!(world.replicas[1].confirmed, before + 1);
    assert_eq!(world.replicas[1].alarms, []);
}

/// Row 22: a state that lacks a file, or has another version of it, signed by a device.
#[test]
fn a_root_that_omits_or_alters_a_head_is_an_alarm_and_hides_nothing() {
    let (_, heads) = settled();
    let victim = *heads.keys().next().expect("there are files");
    let mut omits = heads.clone();
    omits.remove(&victim);
    let altered = VersionHash::from_bytes([9; 32]);
    let alters: BTreeMap<_, _> =
        heads.iter().map(|(id, of)| (*id, if *id == victim { vec![altered] } else { of.clone() })).collect();
    let adds: BTreeMap<_, _> = heads
        .iter()
        .map(|(id, of)| (*id, if *id == victim { [&of[..], &[altered]].concat() } else { of.clone() }))
        .collect();
    for lie in [omits, alters, adds, BTreeMap::new()] {
        let (mut world, _) = settled();
        sign_root(&mut world, root_of(&lie));
        assert_eq!(world.replicas[1].alarms, [(Source::Device(device(1)), Alarm::Heads)]);
        assert_eq!(shown(&world.replicas[1]), ["/one", "/three", "/two"]);
    }
}

/// Devices that write at once, and one that knows more than the checkpoint covers: none is accused.
#[test]
fn honest_roots_are_confirmed_while_everybody_writes() {
    let mut world = World::new(3);
    for round in 0..6_u8 {
        for at in 0..3 {
            write(&world, at, format!("{at}-{round}").as_bytes());
        }
        if round % 2 == 1 {
            world.settle();
        }
        // Who writes alone has read everything, so that its tables may be signed.
        if round >= 3 {
            (0..2).for_each(|number| {
                write(&world, usize::from(round) - 3, format!("alone-{number}-{round}").as_bytes());
                world.settle();
            });
        }
    }
    world.settle();
    world.assert_converged();
    let confirmed: Vec<u32> = world.replicas.iter().map(|replica| replica.confirmed).collect();
    assert!(confirmed.iter().all(|confirmed| *confirmed > 0), "{confirmed:?}");
}
