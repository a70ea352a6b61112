//! Faults beside the plain steps: disks that fail or fill up, answers that come twice, a device that is removed.
//!
//! They have dice of their own, so that the plain steps of a seed stay what they were without them.

use super::random::Dice;
use super::removal::remove_third;
use super::world::World;
use crate::sync::intake::Source;
use crate::testing::{file, read};
use crate::{FsError, Ino, ROOT};
use std::sync::Arc;

/// How often a fault comes between two plain steps: one in so many times.
const RARITY: usize = 3;

/// What became of what the faults could harm, for whoever runs the seeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Files whose `fsync` succeeded.
    pub(super) saved: u64,
    /// Files whose write or `fsync` was refused.
    pub(super) refused: u64,
    /// Disk operations that failed.
    pub(super) failures: u64,
    /// Answers delivered twice.
    pub(super) repeated: u64,
    /// Devices removed.
    pub(super) removed: u64,
}

impl Tally {
    pub(super) const fn add(&mut self, other: &Self) {
        self.saved += other.saved;
        self.refused += other.refused;
        self.failures += other.failures;
        self.repeated += other.repeated;
        self.removed += other.removed;
    }
}

/// Perhaps one fault.
pub(super) fn perhaps(world: &mut World, dice: &mut Dice, tally: &mut Tally) {
    if dice.below(RARITY) > 0 {
        return;
    }
    let at = dice.below(world.replicas.len());
    let what = match dice.below(100) {
        0..30 => save(world, dice, at, tally),
        30..36 => {
            // As the flush thread does, which the devices here are without.
            world.replicas[at].local.volume.prepare();
            "prepared a segment"
        }
        36..58 => answer_twice(world, dice, at, tally),
        58..68 => tell_again(world, at, dice),
        68..78 => harm(world, dice, at),
        78..88 => {
            count_failures(world, at, tally);
            world.replicas[at].rig.disk.mend();
            "disk mended"
        }
        88..98 => {
            count_failures(world, at, tally);
            world.replicas[at].crash(dice.roll());
            world.reconnect(at);
            assert_keeps_promises(world, at);
            "power cut"
        }
        _ => remove(world, tally),
    };
    world.note(&format!("fault {at} {what}"));
}

/// A program saves a file and waits for the disk. What it is told is held against the device later.
fn save(world: &mut World, dice: &mut Dice, at: usize, tally: &mut Tally) -> &'static str {
    let number = tally.saved + tally.refused;
    let len = [8, 300, 2_000][dice.below(3)];
    let content: Vec<u8> = (0..len).map(|_| dice.roll().to_be_bytes()[0]).collect();
    let name = format!("saved {number}");
    match try_save(world, at, &name, &content) {
        Ok(()) => {
            tally.saved += 1;
            world.promises.insert(format!("/{name}"), (at, content));
            "saved"
        }
        Err(_) => {
            tally.refused += 1;
            "refused"
        }
    }
}

fn try_save(world: &World, at: usize, name: &str, content: &[u8]) -> Result<(), FsError> {
    let volume = Arc::clone(&world.replicas[at].local.volume);
    let ino = volume.lock().insert(ROOT, name.as_bytes(), file())?;
    volume.write(ino, 0, content)?;
    volume.fsync(Some(ino))
}

/// Every promise of a device is kept on the device itself.
pub(super) fn assert_keeps_promises(world: &World, at: usize) {
    let volume = &world.replicas[at].local.volume;
    for (path, (_, content)) in world.promises.iter().filter(|(_, (by, _))| *by == at) {
        let ino: Option<Ino> = volume.lock().child(ROOT, path.trim_start_matches('/').as_bytes());
        let found = ino.map(|ino| read(volume, ino));
        assert_eq!(found, Some(Ok(content.clone())), "{path} on {at}");
    }
}

fn answer_twice(world: &mut World, dice: &mut Dice, at: usize, tally: &mut Tally) -> &'static str {
    world.replicas[at].ask(world.now_ms);
    let open = world.replicas[at].asked.len();
    if open == 0 {
        return "nothing asked";
    }
    if world.answer_twice(at, dice.below(open)) {
        tally.repeated += 1;
    }
    "answered twice"
}

/// A commit that was told before is told again, much later perhaps.
fn tell_again(world: &mut World, at: usize, dice: &mut Dice) -> &'static str {
    let other = (at + 1 + dice.below(world.replicas.len() - 1)) % world.replicas.len();
    let (own, push) = (world.replicas[at].id(), world.replicas[at].last_push.clone());
    match push.filter(|_| world.reached(other, &own).is_some()) {
        Some(push) => {
            world.tell(other, own, push);
            "told again"
        }
        None => "nothing to tell again",
    }
}

fn harm(world: &World, dice: &mut Dice, at: usize) -> &'static str {
    let disk = &world.replicas[at].rig.disk;
    match dice.below(3) {
        0 => {
            // What the journal holds in reserve is left.
            disk.set_capacity(disk.used());
            "disk full"
        }
        1 => {
            disk.set_capacity(0);
            "disk fuller than full"
        }
        _ => {
            disk.fail_after(dice.below(12) as u64);
            "disk about to fail"
        }
    }
}

fn count_failures(world: &World, at: usize, tally: &mut Tally) {
    tally.failures += world.replicas[at].rig.disk.take_failures();
}

/// The first device removes the third, once. Whoever has not heard of it yet goes on listening to it.
fn remove(world: &mut World, tally: &mut Tally) -> &'static str {
    if world.removed.is_some() {
        return "nobody removed";
    }
    remove_third(world);
    world.removed = Some(2);
    world.learn(0, world.fleet.state().clone());
    tally.removed += 1;
    "removed"
}

/// What a removed device writes when everybody knows reaches nobody, even if it is handed over.
pub(super) fn assert_removed_is_not_heard(world: &mut World) {
    let Some(removed) = world.removed else { return };
    let before = world.replicas[0].tree();
    if try_save(world, removed, "late", b"late").is_err() {
        return;
    }
    let Some(push) = world.replicas[removed].commit() else { return };
    let own = world.replicas[removed].id();
    for at in world.live() {
        world.tell(at, own, push.clone());
        // There is no link to it: whatever this was, nobody can be asked for more.
        world.replicas[at].intake.source_left(Source::Device(own));
    }
    world.settle();
    for at in world.live() {
        assert_eq!(world.replicas[at].tree(), before, "device {at} listens to a removed one");
    }
}
