//! A server that lies: each lie has its named alarm, and nothing of it is shown.
//!
//! The rows are those of the attack list in docs/threat-model.md. [`own_past`] is about lies that a
//! device is told of itself, [`heads`] about roots that do not belong to what they cover,
//! [`witness`] about storage nodes as witnesses.

mod heads;
mod own_past;
mod witness;

use super::fleet::{device, secret};
use super::replica::Replica;
use super::world::World;
use crate::ROOT;
use crate::sync::chains::Alarm;
use crate::sync::intake::{Ask, Source};
use crate::testing::file;
use freehold_api::PushOutcome;
use freehold_api::bulk::{CommitPage, NumberedCommit, PushCommit, VersionItem};
use freehold_model::{CommitHash, VaultId, VersionHash};
use freehold_trust::SignKey;
use freehold_trust::commit::{ChainHead, Commit, CommitEntry, CommitPlace};
use std::sync::Arc;

/// Two devices; the first has written a file, in a commit of its own each, and the server has all of
/// it. The second has seen nothing.
fn world_with(names: &[&[u8]]) -> World {
    let mut world = World::new(2);
    world.set_wire(0, 1, false);
    world.meet(0);
    for name in names {
        write(&world, 0, name);
        world.commit(0);
        world.send(0);
    }
    world
}

fn write(world: &World, at: usize, name: &[u8]) {
    let volume = Arc::clone(&world.replicas[at].local.volume);
    let ino = volume.lock().insert(ROOT, name, file()).expect("a new name");
    volume.write(ino, 0, name).expect("written");
}

/// The second device reads this page as the server's answer, and everything it then asks for.
fn read_page(world: &mut World, page: &CommitPage) {
    world.replicas[1].has_met = true;
    world.replicas[1].intake.server_may_have_more(true);
    world.replicas[1].ask(0);
    world.replicas[1].asked.retain(|ask| !matches!(ask, Ask::Page { .. }));
    let now = world.now_ms;
    let replica = &mut world.replicas[1];
    let taken = replica.with(now, |intake, ctx| intake.page(ctx, page));
    replica.heard(Source::Server, taken);
    // What was taken in is fetched and merged; for more commits the liar is not asked meanwhile.
    loop {
        world.replicas[1].ask(now);
        world.replicas[1].asked.retain(|ask| !matches!(ask, Ask::Page { .. }));
        if world.replicas[1].asked.is_empty() {
            return;
        }
        world.answer(1, 0);
    }
}

fn page_of(commits: &[Vec<u8>]) -> CommitPage {
    let number = |(vault_seq, commit): (u64, &Vec<u8>)| NumberedCommit { vault_seq, commit: commit.clone() };
    let items: Vec<NumberedCommit> = (1..).zip(commits).map(number).collect();
    let head = items.len() as u64;
    CommitPage { server_incarnation: 7, next: head, head, items }
}

fn shown(replica: &Replica) -> Vec<String> {
    replica.tree().into_keys().collect()
}

/// A commit at any place, signed by any key.
fn forged(place: CommitPlace, version: u8, key: &SignKey, world: &World) -> Commit {
    let entry = CommitEntry {
        record: freehold_model::RecordId::from_bytes([version; 16]),
        version: VersionHash::from_bytes([version; 32]),
        supersedes: Vec::new(),
    };
    let body = freehold_vault::CommitBody::default().to_bytes();
    let context = freehold_crypto::CommitContext {
        device: place.device,
        incarnation: place.incarnation,
        seq: place.seq,
    };
    let sealed = world.replicas[0].local.keyring.seal_commit_body(&context, &body);
    Commit::sign(place, vec![entry], sealed, key).expect("within limits")
}

fn place(world: &World, number: u8, seq: u64, prev: CommitHash) -> CommitPlace {
    CommitPlace {
        vault: world.replicas[0].local.vault,
        device: device(number),
        incarnation: 1,
        seq,
        prev,
        log_head: world.fleet.state().pin().head,
        member_epoch: 0,
        generation: 1,
    }
}

fn head_of(world: &World, at: usize) -> ChainHead {
    world.replicas[at].local.chain_head().expect("it has committed")
}

/// Row 16: an older record in the place of a newer one, and row 17: another file's record.
#[test]
fn a_record_that_is_not_the_one_named_is_not_believed() {
    let mut world = world_with(&[b"one", b"two"]);
    let hashes: Vec<VersionHash> = world.server.versions.keys().copied().collect();
    let [first, second] = hashes[..] else { panic!("two files, two versions") };
    let swapped = (world.server.versions[&first].clone(), world.server.versions[&second].clone());
    world.server.versions.insert(first, swapped.1.clone());
    world.server.versions.insert(second, swapped.0.clone());
    let page = world.server.page(0, 9);
    read_page(&mut world, &page);
    assert_eq!(shown(&world.replicas[1]), Vec::<String>::new());
    assert_eq!(world.replicas[1].intake.take_refused(), 2);
    assert_eq!(world.replicas[1].intake.state().deferred.len(), 2, "they are still wanted");
    // The true ones are taken as soon as somebody has them.
    world.server.versions.insert(first, swapped.0);
    world.server.versions.insert(second, swapped.1);
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world.replicas[1]), ["/one", "/two"]);
}

/// Rows 18 and 19: name, place, size, mode and times are in the record; every bit of it counts.
#[test]
fn a_record_with_any_bit_changed_is_not_believed() {
    let mut world = world_with(&[b"one"]);
    let (hash, good) = world.server.versions.iter().next().map(|(h, b)| (*h, b.clone())).expect("one");
    let page = world.server.page(0, 9);
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        world.server.versions.insert(hash, bad);
        read_page(&mut world, &page);
        world.replicas[1].intake.look_again();
        assert_eq!(shown(&world.replicas[1]), Vec::<String>::new(), "byte {at}");
    }
    let items: Vec<VersionItem> = world.server.versions(&[hash]);
    assert_ne!(items[0].ciphertext, good);
}

/// Row 20: a commit of a stranger, of a device's name with a stranger's key.
#[test]
fn a_commit_that_no_device_signed_is_an_alarm_and_shows_nothing() {
    let mut world = world_with(&[b"one"]);
    let head = head_of(&world, 0);
    let stranger = forged(place(&world, 1, head.seq + 1, head.hash), 9, &secret(9).sign_key(), &world);
    let mut commits = world.server.commits.clone();
    commits.push(stranger.to_bytes());
    read_page(&mut world, &page_of(&commits));
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Foreign)]);
    assert_eq!(shown(&world.replicas[1]), ["/one"], "what came before it counts");
}

/// Row 28: a whole commit by a live device, under a membership that the vault does not have.
#[test]
fn a_commit_under_a_membership_that_there_is_not_is_an_alarm_and_no_server_takes_it() {
    let mut world = world_with(&[b"one"]);
    let head = head_of(&world, 0);
    let beyond = CommitPlace { member_epoch: 1, ..place(&world, 1, head.seq + 1, head.hash) };
    let commit = forged(beyond, 9, &secret(1).sign_key(), &world);
    let push = PushCommit { commit: commit.to_bytes(), versions: Vec::new(), manifests: Vec::new() };
    let account = world.fleet.state().clone();
    let refused = world.server.clone().push(&push, &account);
    assert!(matches!(refused, PushOutcome::Refused { .. }), "{refused:?}");
    let mut commits = world.server.commits.clone();
    commits.push(commit.to_bytes());
    read_page(&mut world, &page_of(&commits));
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Foreign)]);
    assert_eq!(shown(&world.replicas[1]), ["/one"]);
}

/// Row 20 again: a device that was never part of the account. The log is asked for first.
#[test]
fn a_commit_of_an_unknown_device_is_an_alarm_once_the_log_was_read() {
    let mut world = world_with(&[b"one"]);
    let unknown = forged(place(&world, 9, 1, CommitHash::default()), 9, &secret(9).sign_key(), &world);
    let commits = vec![unknown.to_bytes()];
    read_page(&mut world, &page_of(&commits));
    assert_eq!(world.replicas[1].alarms, [], "perhaps it is new");
    read_page(&mut world, &page_of(&commits));
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Foreign)]);
}

/// Row 21: a commit of another vault.
#[test]
fn a_commit_of_another_vault_is_an_alarm() {
    let mut world = world_with(&[]);
    let other =
        CommitPlace { vault: VaultId::from_bytes([0xee; 16]), ..place(&world, 1, 1, CommitHash::default()) };
    let commit = forged(other, 9, &secret(1).sign_key(), &world);
    read_page(&mut world, &page_of(&[commit.to_bytes()]));
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Malformed)]);
    read_page(&mut world, &page_of(&[b"noise".to_vec()]));
    assert_eq!(world.replicas[1].alarms.last(), Some(&(Source::Server, Alarm::Malformed)));
}

/// Row 22: a change left out from the middle.
#[test]
fn a_commit_left_out_is_an_alarm() {
    let mut world = world_with(&[b"one", b"two", b"three"]);
    let commits = [world.server.commits[0].clone(), world.server.commits[2].clone()];
    read_page(&mut world, &page_of(&commits));
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Gap)]);
    assert_eq!(shown(&world.replicas[1]), ["/one"]);
}

/// Reordering: a later commit before an earlier one of the same device.
#[test]
fn commits_in_another_order_are_an_alarm() {
    let mut world = world_with(&[b"one", b"two"]);
    let commits = [world.server.commits[1].clone(), world.server.commits[0].clone()];
    read_page(&mut world, &page_of(&commits));
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Gap)]);
    assert_eq!(shown(&world.replicas[1]), Vec::<String>::new());
}

/// Replaying: the same commits again under new numbers change nothing.
#[test]
fn commits_shown_twice_change_nothing() {
    let mut world = world_with(&[b"one", b"two"]);
    let commits = [world.server.commits.clone(), world.server.commits.clone()].concat();
    read_page(&mut world, &page_of(&commits));
    assert_eq!(world.replicas[1].alarms, []);
    assert_eq!(shown(&world.replicas[1]), ["/one", "/two"]);
}

/// Row 22 at the end of history: what a device has seen and the server denies.
#[test]
fn a_change_that_a_device_has_seen_and_the_server_denies_is_an_alarm() {
    let mut world = World::new(3);
    world.set_wire(0, 1, false);
    world.set_wire(1, 2, false);
    write(&world, 0, b"hidden");
    (0..3).for_each(|at| world.meet(at));
    // The third has it from the first; the server hides it from the second, and shows it the third's
    // commit, which says so.
    world.commit(0);
    (0..20).for_each(|_| {
        world.replicas[2].ask(0);
        if !world.replicas[2].asked.is_empty() {
            world.answer(2, 0);
        }
    });
    write(&world, 2, b"plain");
    world.commit(2);
    world.send(2);
    let author = |bytes: &Vec<u8>| Commit::from_bytes(bytes).map(|commit| commit.header().device);
    let shown_to_second: Vec<Vec<u8>> =
        world.server.commits.iter().filter(|bytes| author(bytes) == Ok(device(3))).cloned().collect();
    assert_eq!(shown_to_second.len(), 1);
    let page = page_of(&shown_to_second);
    read_page(&mut world, &page);
    assert_eq!(world.replicas[1].alarms, [], "it may be on its way");
    world.now_ms += 9 * 60 * 1_000;
    read_page(&mut world, &page);
    assert_eq!(world.replicas[1].alarms, [], "nine minutes are not ten");
    world.now_ms += 2 * 60 * 1_000;
    read_page(&mut world, &page);
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Hidden)]);
}

/// Row 23: the server goes back to an older state. Nothing is lost, and it gets everything again.
#[test]
fn a_server_that_rolls_back_takes_nothing_away_and_is_given_all_of_it_again() {
    let mut world = world_with(&[b"one"]);
    world.settle();
    let old = world.server.clone();
    write(&world, 0, b"two");
    write(&world, 1, b"three");
    world.settle();
    world.server = old;
    (0..2).for_each(|at| world.replicas[at].has_met = false);
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world.replicas[0]), ["/one", "/three", "/two"]);
    let third = Replica::new(3, world.fleet.state().clone());
    assert_eq!(shown(&third), Vec::<String>::new());
    assert_eq!(world.server.page(0, 99).items.len(), world.server.commits.len());
}

/// Row 24: one history for one device and another for the other, both signed with one device's key.
#[test]
fn two_histories_are_found_out_when_the_devices_meet() {
    let mut world = World::new(3);
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        world.set_wire(a, b, false);
    }
    let key = secret(3).sign_key();
    for (at, version) in [(0, 8), (1, 9)] {
        let commit = forged(place(&world, 3, 1, CommitHash::default()), version, &key, &world);
        let page = page_of(&[commit.to_bytes()]);
        world.replicas[at].intake.server_may_have_more(true);
        world.replicas[at].ask(0);
        world.replicas[at].asked.clear();
        let taken = world.replicas[at].with(0, |intake, ctx| intake.page(ctx, &page));
        world.replicas[at].heard(Source::Server, taken);
        // Its version is never delivered; the commit is kept all the same.
        for _ in 0..10 {
            world.replicas[at].ask(0);
            if !world.replicas[at].asked.is_empty() {
                world.answer(at, 0);
            }
        }
    }
    assert_eq!((world.replicas[0].alarms.len(), world.replicas[1].alarms.len()), (0, 0));
    world.set_wire(0, 1, true);
    for at in [0, 1] {
        for _ in 0..20 {
            world.replicas[at].ask(0);
            let device = |ask: &Ask| matches!(ask, Ask::Heads { .. } | Ask::Commits { .. });
            if let Some(which) = world.replicas[at].asked.iter().position(device) {
                world.answer(at, which);
            }
        }
    }
    let (first, second) = (&world.replicas[0].alarms, &world.replicas[1].alarms);
    assert!(first.contains(&(Source::Device(device(2)), Alarm::Fork)), "{first:?}");
    assert!(second.contains(&(Source::Device(device(1)), Alarm::Fork)), "{second:?}");
}

/// Row 24 from the server alone: a second history for a device that has followed the first.
#[test]
fn a_second_history_from_the_server_is_an_alarm() {
    let mut world = world_with(&[b"one"]);
    let page = world.server.page(0, 9);
    read_page(&mut world, &page);
    let other = forged(place(&world, 1, 1, CommitHash::default()), 9, &secret(1).sign_key(), &world);
    let forked = CommitPage { server_incarnation: 8, ..page_of(&[other.to_bytes()]) };
    read_page(&mut world, &forked);
    read_page(&mut world, &forked);
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Fork)]);
    assert_eq!(shown(&world.replicas[1]), ["/one"]);
}

/// Row 25: a device that has seen nothing, a server that shows an old state, and one honest device.
#[test]
fn a_new_device_learns_from_another_what_the_server_no_longer_shows() {
    let mut world = World::new(3);
    write(&world, 0, b"old");
    world.settle();
    let old = world.server.clone();
    write(&world, 0, b"new");
    world.settle();
    world.server = old;
    // A server that goes on lying: it never hears of what it denies.
    world.replicas[2] = Replica::new(3, world.fleet.state().clone());
    world.reconnect(2);
    world.meet(2);
    for _ in 0..40 {
        world.replicas[2].ask(0);
        if !world.replicas[2].asked.is_empty() {
            world.answer(2, 0);
        }
    }
    assert_eq!(shown(&world.replicas[2]), ["/new", "/old"]);
}

/// Row 26: an account log that lacks an entry which a commit cites.
#[test]
fn a_commit_that_cites_a_log_entry_the_server_hides_is_an_alarm() {
    let mut world = world_with(&[]);
    let cites = CommitPlace {
        log_head: freehold_model::LogHash::from_bytes([0x77; 32]),
        ..place(&world, 1, 1, CommitHash::default())
    };
    let commit = forged(cites, 9, &secret(1).sign_key(), &world);
    let page = page_of(&[commit.to_bytes()]);
    read_page(&mut world, &page);
    assert_eq!(world.replicas[1].alarms, [], "the log is asked for first");
    read_page(&mut world, &page);
    assert_eq!(world.replicas[1].alarms, [(Source::Server, Alarm::Foreign)]);
}
