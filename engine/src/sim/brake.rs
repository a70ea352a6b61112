//! The brake on mass deletion, over real volumes: held across a crash, accepted, undone, and not
//! pulled for what is no mass deletion.

use super::fleet::device;
use super::removal::{exchange, remove_third};
use super::replica::Replica;
use super::world::World;
use crate::testing::{file, names};
use crate::{Ino, Kind, NewNode, ROOT};
use freehold_api::control::Decision;

/// Two devices that both show `count` files in one folder and one beside it.
fn world_of(count: usize) -> World {
    world_with(2, count)
}

fn world_with(devices: u8, count: usize) -> World {
    let mut world = World::new(devices);
    let volume = &world.replicas[0].local.volume;
    let dir = NewNode { kind: Kind::Dir, mode: 0o755, ..file() };
    let dir = volume.lock().insert(ROOT, b"folder", dir).expect("a new name");
    for number in 0..count {
        write(&world.replicas[0], dir, &name(number), b"before");
    }
    write(&world.replicas[0], ROOT, b"beside", b"beside");
    world.settle();
    assert_eq!(shown(&world.replicas[1]), count);
    world
}

fn name(number: usize) -> Vec<u8> {
    format!("file {number}").into_bytes()
}

fn write(replica: &Replica, dir: Ino, name: &[u8], content: &[u8]) {
    let volume = &replica.local.volume;
    let ino = volume.lock().insert(dir, name, file()).expect("a new name");
    volume.write(ino, 0, content).expect("written");
}

fn folder(replica: &Replica) -> Option<Ino> {
    replica.local.volume.lock().child(ROOT, b"folder")
}

/// How many files the folder shows.
fn shown(replica: &Replica) -> usize {
    folder(replica).map_or(0, |dir| names(&replica.local.volume, dir).len())
}

/// As `rm` does it.
fn remove(replica: &Replica, numbers: std::ops::Range<usize>) {
    let dir = folder(replica).expect("shown");
    numbers.for_each(|number| {
        replica.local.volume.lock().remove_link(dir, &name(number)).expect("there");
    });
}

fn held(replica: &Replica) -> Vec<(freehold_model::DeviceId, usize)> {
    replica.local.held_deletions()
}

#[test]
fn a_mass_deletion_is_held_through_a_crash_while_everything_else_goes_on() {
    let mut world = world_of(100);
    remove(&world.replicas[0], 0..100);
    world.replicas[0].local.volume.lock().remove_link(ROOT, b"folder").expect("empty");
    write(&world.replicas[0], ROOT, b"new", b"new");
    world.settle();
    assert_eq!(shown(&world.replicas[1]), 100);
    assert_eq!(held(&world.replicas[1]), [(device(1), 100)]);
    assert_eq!(names(&world.replicas[1].local.volume, ROOT), ["beside", "folder", "new"]);

    world.replicas[1].local.volume.flush().expect("a healthy disk");
    world.replicas[1].crash(7);
    assert_eq!(held(&world.replicas[1]), [(device(1), 100)]);
    world.settle();
    assert_eq!(shown(&world.replicas[1]), 100);

    let decided = world.replicas[1].local.decide_deletions(Decision::Accept).expect("a healthy disk");
    assert_eq!(decided, [(device(1), 100)]);
    assert_eq!((held(&world.replicas[1]), folder(&world.replicas[1])), (vec![], None));
    world.settle();
    world.assert_converged();
}

#[test]
fn undoing_a_mass_deletion_brings_the_files_back_on_every_device() {
    let mut world = world_of(100);
    remove(&world.replicas[0], 0..100);
    world.replicas[0].local.volume.lock().remove_link(ROOT, b"folder").expect("empty");
    world.settle();
    assert_eq!(folder(&world.replicas[0]), None);
    world.replicas[1].local.decide_deletions(Decision::Undo).expect("a healthy disk");
    world.settle();
    world.assert_converged();
    assert_eq!((shown(&world.replicas[0]), shown(&world.replicas[1])), (100, 100));
    assert_eq!(held(&world.replicas[1]), []);
}

#[test]
fn an_edit_here_takes_a_file_out_of_what_is_held() {
    let mut world = world_of(100);
    remove(&world.replicas[0], 0..100);
    world.settle();
    let replica = &world.replicas[1];
    let dir = folder(replica).expect("shown");
    let ino = replica.local.volume.lock().child(dir, &name(3)).expect("shown");
    replica.local.volume.write(ino, 0, b"edited").expect("written");
    world.settle();
    write(&world.replicas[0], ROOT, b"news", b"so that there is a step");
    world.settle();
    assert_eq!(held(&world.replicas[1]), [(device(1), 99)]);
    assert_eq!(shown(&world.replicas[0]), 1);
}

#[test]
fn a_deletion_of_few_files_or_of_a_small_share_is_not_held() {
    let mut world = world_of(64);
    remove(&world.replicas[0], 0..64);
    world.settle();
    assert_eq!((shown(&world.replicas[1]), held(&world.replicas[1])), (0, vec![]));
    let mut world = world_of(300);
    remove(&world.replicas[0], 0..90);
    world.settle();
    assert_eq!((shown(&world.replicas[1]), held(&world.replicas[1])), (210, vec![]));
    world.assert_converged();
}

#[test]
fn deletions_in_several_commits_count_together_for_a_while() {
    let mut world = world_of(100);
    remove(&world.replicas[0], 0..40);
    world.settle();
    assert_eq!(shown(&world.replicas[1]), 60);
    remove(&world.replicas[0], 40..80);
    world.settle();
    assert_eq!((shown(&world.replicas[1]), held(&world.replicas[1])), (60, vec![(device(1), 40)]));

    let mut slowly = world_of(100);
    remove(&slowly.replicas[0], 0..40);
    slowly.settle();
    slowly.replicas.iter().for_each(|replica| replica.rig.clock.pass(61));
    remove(&slowly.replicas[0], 40..80);
    slowly.settle();
    assert_eq!((shown(&slowly.replicas[1]), held(&slowly.replicas[1])), (20, vec![]));
}

#[test]
fn moving_everything_is_no_deletion() {
    let mut world = world_of(100);
    let volume = &world.replicas[0].local.volume;
    let dir = folder(&world.replicas[0]).expect("shown");
    (0..100).for_each(|number| {
        volume.lock().move_link(dir, &name(number), ROOT, &name(number)).expect("there");
    });
    world.settle();
    assert_eq!((names(&world.replicas[1].local.volume, ROOT).len(), held(&world.replicas[1])), (102, vec![]));
}

#[test]
fn replacing_every_file_by_a_new_one_is_no_deletion() {
    let mut world = world_of(100);
    let dir = folder(&world.replicas[0]).expect("shown");
    for number in 0..100 {
        write(&world.replicas[0], ROOT, b"temporary", b"after");
        let volume = &world.replicas[0].local.volume;
        volume.lock().move_link(ROOT, b"temporary", dir, &name(number)).expect("there");
    }
    world.settle();
    assert_eq!(held(&world.replicas[1]), []);
    world.assert_converged();
    // As a program does it that first deletes all and then writes all: held for a moment only.
    remove(&world.replicas[0], 0..100);
    world.settle();
    assert_eq!(held(&world.replicas[1]), [(device(1), 100)]);
    (0..100).for_each(|number| write(&world.replicas[0], dir, &name(number), b"once more"));
    world.settle();
    assert_eq!((shown(&world.replicas[1]), held(&world.replicas[1])), (100, vec![]));
    world.assert_converged();
}

/// Whoever steals a device and deletes everything is removed: what it deleted is not for anybody to decide.
#[test]
fn held_deletions_of_a_device_that_is_removed_are_forgotten() {
    let mut world = world_with(3, 100);
    world.set_wire(0, 2, false);
    world.server_is_up = false;
    remove(&world.replicas[2], 0..100);
    while world.commit(2) {}
    exchange(&mut world, &[1]);
    assert_eq!(held(&world.replicas[1]), [(device(3), 100)]);
    remove_third(&mut world);
    world.removed = Some(2);
    world.settle();
    world.assert_converged();
    assert_eq!((held(&world.replicas[1]), shown(&world.replicas[1])), (vec![], 100));
    world.replicas[1].local.volume.flush().expect("a healthy disk");
    world.replicas[1].crash(3);
    world.settle();
    assert_eq!((held(&world.replicas[1]), shown(&world.replicas[1])), (vec![], 100));
}
