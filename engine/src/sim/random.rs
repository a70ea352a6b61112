//! Random work under random faults: at the end all devices show the same, and nothing done is lost.

use super::faults::{self, Tally};
use super::real::DEVICES;
use super::replica::Replica;
use super::world::World;
use crate::history::History;
use crate::testing::file;
use crate::{Kind, NewNode, ROOT};
use parking_lot::Mutex;
use std::sync::Arc;

/// Steps of one run.
const STEPS: usize = 120;

/// Seeds in a plain test run.
const SEEDS: u64 = 1_000;

/// splitmix64 (Steele, Lea, Flood 2014): one seed, one sequence.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound.max(1) as u64).expect("below the bound")
    }
}

/// What the faults keep for later.
struct Shelf {
    server: Option<super::server::Server>,
}

/// One run; the hash of all its steps, and what the faults came to.
fn run(seed: u64) -> (blake3::Hash, Tally) {
    let (mut dice, mut faults, mut tally) = (Dice(seed), Dice(!seed), Tally::default());
    let world = World::new(DEVICES);
    let mut world = walk(world, &mut dice, |world| faults::perhaps(world, &mut faults, &mut tally));
    for at in world.live() {
        faults::assert_keeps_promises(&world, at);
    }
    faults::assert_removed_is_not_heard(&mut world);
    (world.finish(), tally)
}

/// One run of the plain steps alone.
fn run_plain(seed: u64) -> blake3::Hash {
    walk(World::new(DEVICES), &mut Dice(seed), |_| ()).finish()
}

/// One run beside the server's own store, which cannot be set back.
pub(super) fn walk_beside(seed: u64) -> World {
    let (mut dice, mut faults, mut tally) = (Dice(seed), Dice(!seed), Tally::default());
    let mut world = World::new(DEVICES);
    world.compare_with_the_real_store();
    walk(world, &mut dice, |world| faults::perhaps(world, &mut faults, &mut tally))
}

/// Plain steps with something between them, then the end, at which everything is the same everywhere.
fn walk(mut world: World, dice: &mut Dice, mut between: impl FnMut(&mut World)) -> World {
    let mut shelf = Shelf { server: None };
    for number in 0..STEPS {
        world.now_ms += dice.roll() % 400;
        let at = dice.below(world.replicas.len());
        let what = step(&mut world, dice, &mut shelf, at);
        world.note(&format!("{number} {at} {what}"));
        between(&mut world);
    }
    world.settle();
    world.assert_converged();
    world
}

fn step(world: &mut World, dice: &mut Dice, shelf: &mut Shelf, at: usize) -> &'static str {
    let now = world.now_ms;
    match dice.below(100) {
        0..30 => work(&world.replicas[at], dice),
        30..40 => {
            world.commit(at);
            "commit"
        }
        40..48 => {
            if !world.replicas[at].has_met {
                world.meet(at);
            }
            world.send(at);
            "send"
        }
        48..82 => {
            world.replicas[at].ask(now);
            let open = world.replicas[at].asked.len();
            if open == 0 {
                return "nothing asked";
            }
            // Not in the order of asking: whichever answer is there first.
            world.answer(at, dice.below(open));
            "answer"
        }
        82..86 => {
            world.replicas[at].ask(now);
            let open = world.replicas[at].asked.len();
            if open == 0 {
                return "nothing to lose";
            }
            world.lose(at, dice.below(open));
            "lost"
        }
        86..91 => {
            let other = (at + 1 + dice.below(world.replicas.len() - 1)) % world.replicas.len();
            let is_up = dice.below(2) == 0;
            world.set_wire(at, other, is_up);
            "wire"
        }
        91..94 => {
            world.server_is_up = !world.server_is_up;
            "server away or back"
        }
        94..96 => {
            world.replicas[at].crash(dice.roll());
            world.reconnect(at);
            "power cut"
        }
        96 => {
            shelf.server = Some(world.server.clone());
            "copy of the server"
        }
        97 => {
            if let Some(server) = shelf.server.clone().filter(|_| world.real.is_none()) {
                world.server = server;
                (0..world.replicas.len()).for_each(|at| world.replicas[at].has_met = false);
            }
            "server set back"
        }
        98 => {
            // A year ahead, or back again.
            world.replicas[at].rig.clock.pass(if dice.below(2) == 0 { 31_536_000 } else { -31_536_000 });
            "clock jumps"
        }
        _ => {
            world.replicas[at].intake.server_may_have_more(false);
            "poll"
        }
    }
}

/// A program changes something. What makes no sense on what is shown is refused, which is fine.
fn work(replica: &Replica, dice: &mut Dice) -> &'static str {
    let volume = Arc::clone(&replica.local.volume);
    let name = |dice: &mut Dice| [b'a' + u8::try_from(dice.below(4)).expect("small")];
    let dir = replica.dir(dice.below(6));
    match dice.below(10) {
        0..3 => {
            let name = name(dice);
            let made = volume.lock().insert(dir, &name, file());
            if let Ok(ino) = made {
                let byte = dice.roll().to_be_bytes();
                drop(volume.write(ino, 0, &byte));
            }
            "create"
        }
        3..5 => {
            drop(volume.lock().insert(dir, &name(dice), NewNode { kind: Kind::Dir, ..file() }));
            "mkdir"
        }
        5 => {
            drop(volume.lock().remove_link(dir, &name(dice)));
            "remove"
        }
        6..8 => {
            let to_dir = replica.dir(dice.below(6));
            drop(volume.lock().move_link(dir, &name(dice), to_dir, &name(dice)));
            "move"
        }
        _ => {
            let found = volume.lock().child(dir, &name(dice));
            if let Some(ino) = found.filter(|ino| *ino != ROOT) {
                drop(volume.write(ino, 0, &dice.roll().to_be_bytes()));
            }
            "write"
        }
    }
}

/// The seeds to run: as many as asked for, from where asked for.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("FREEHOLD_SIM_FIRST").unwrap_or(0);
    first..first + number("FREEHOLD_SIM_SEEDS").unwrap_or(SEEDS)
}

#[test]
fn every_seed_ends_with_one_tree_and_takes_the_same_steps_twice() {
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let (seeds, failed, sum) = (seeds(), Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let (seeds, failed, sum) = (seeds.clone(), &failed, &sum);
            scope.spawn(move || {
                for seed in seeds.filter(|seed| seed % workers == worker) {
                    let once = std::panic::catch_unwind(|| run(seed));
                    match once {
                        Ok(once) if once == run(seed) => sum.lock().add(&once.1),
                        Ok(_) => failed.lock().push(format!("seed {seed} takes other steps the second time")),
                        Err(_) => failed.lock().push(format!("seed {seed}")),
                    }
                }
            });
        }
    });
    say(&format!("{} seeds, each twice: {:?}", seeds.end - seeds.start, sum.into_inner()));
    let failed = failed.into_inner();
    assert!(failed.is_empty(), "run one again with `./x sim --seeds 1 --first SEED`: {failed:?}");
}

#[expect(clippy::print_stdout, reason = "`./x sim` shows what its seeds met")]
pub(super) fn say(line: &str) {
    println!("{line}");
}

/// Seeds that failed once. Each found a mistake; none may come back.
#[test]
fn seeds_that_failed_before_stay_mended() {
    // 16: versions that the server had as well were not asked of it when their device was gone.
    // 281: a record that came back to the state of its head was to replace itself.
    // 372: a server set back between two questions was taken for one that leaves commits out.
    for seed in [16, 281, 372] {
        assert_eq!(run_plain(seed), run_plain(seed), "seed {seed}");
    }
    // 740, 922: a commit that only a second flush made durable was not there for a server that was set back.
    // 2705: with the same commit at the cursor and others below, a server that was set back seemed to leave some out.
    // 22, 336: after a crash, a chain went on behind commits that were not kept, so nobody else could have them.
    // 6490: a server set back in the middle of a reading seemed to leave commits out.
    // 14588: what a late version replaced, late as well, was merged when the later one was dropped.
    for seed in [740, 922, 2705, 22, 336, 6490, 14588] {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn a_month_apart_ends_with_one_tree() {
    let mut dice = Dice(31);
    let mut world = World::new(2);
    world.settle();
    world.set_wire(0, 1, false);
    world.server_is_up = false;
    for _ in 0..30 {
        for at in 0..2 {
            world.replicas[at].rig.clock.pass(86_400);
            world.now_ms += 86_400_000;
            for _ in 0..12 {
                work(&world.replicas[at], &mut dice);
            }
            while world.commit(at) {}
            if dice.below(4) == 0 {
                world.replicas[at].crash(dice.roll());
            }
        }
    }
    world.settle();
    world.assert_converged();
    assert!(!world.replicas[0].tree().is_empty());
}

#[test]
fn a_clock_a_year_off_costs_order_and_no_data() {
    let mut world = World::new(2);
    world.replicas[0].rig.clock.pass(31_536_000);
    for (at, name) in [(0, b"ahead"), (1, b"right")] {
        let volume = Arc::clone(&world.replicas[at].local.volume);
        let ino = volume.lock().insert(ROOT, name, file()).expect("a new name");
        volume.write(ino, 0, name).expect("written");
    }
    world.settle();
    // The one that is right edits what the other wrote: it has seen it, so its edit wins.
    let volume = Arc::clone(&world.replicas[1].local.volume);
    let ino = volume.lock().child(ROOT, b"ahead").expect("arrived");
    volume.write(ino, 0, b"later").expect("written");
    world.settle();
    world.assert_converged();
    let tree = world.replicas[0].tree();
    assert_eq!(tree["/ahead"].as_deref(), Some(&b"later"[..]));
    assert_eq!(tree["/right"].as_deref(), Some(&b"right"[..]));
}

#[test]
fn two_copies_of_one_device_lose_nothing_of_each_other() {
    let mut world = World::new(2);
    let write = |world: &World, at: usize, name: &[u8]| {
        let volume = Arc::clone(&world.replicas[at].local.volume);
        let ino = volume.lock().insert(ROOT, name, file()).expect("a new name");
        volume.write(ino, 0, name).expect("written");
    };
    write(&world, 0, b"before");
    world.settle();
    world.replicas[0].local.volume.fsync(None).expect("a healthy disk");
    world.clone_device(0);
    let clone = world.replicas.len() - 1;
    for round in 0..3 {
        world.part(0, clone);
        world.server_is_up = false;
        for at in [0, clone] {
            let name = format!("{at} in round {round}");
            write(&world, at, name.as_bytes());
            // Both sign a commit of their own at one place of one chain.
            world.commit(at);
        }
        world.settle_with(|world| world.part(0, clone));
    }
    let tree = world.replicas[1].tree();
    assert_eq!(tree.len(), 7, "{:?}", tree.keys());
    assert_eq!(world.replicas[0].tree(), tree);
    assert_eq!(world.replicas[clone].tree(), tree);
}

#[test]
fn a_device_set_back_to_an_older_copy_goes_on_in_a_new_life_and_loses_nothing() {
    let mut world = World::new(2);
    let write = |world: &World, name: &[u8]| {
        let volume = Arc::clone(&world.replicas[0].local.volume);
        let ino = volume.lock().insert(ROOT, name, file()).expect("a new name");
        volume.write(ino, 0, name).expect("written");
    };
    write(&world, b"before");
    world.settle();
    world.replicas[0].local.volume.fsync(None).expect("a healthy disk");
    let copy =
        world.replicas[0].rig.on(world.replicas[0].rig.disk.cut(world.replicas[0].rig.disk.operations(), 0));
    let kept = History::in_memory();
    write(&world, b"after the copy");
    world.settle();
    world.replicas[0].restore(copy, Arc::new(kept));
    world.reconnect(0);
    write(&world, b"in the new life");
    world.settle();
    world.assert_converged();
    let tree = world.replicas[0].tree();
    assert_eq!(
        tree.keys().map(String::as_str).collect::<Vec<_>>(),
        ["/after the copy", "/before", "/in the new life"]
    );
    assert!(world.replicas[0].local.volume.author().0.incarnation > 1);
}
