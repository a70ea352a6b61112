//! Disks that fail or fill up below a device, one story each.

use super::world::World;
use crate::testing::file;
use crate::{FsError, Ino, ROOT};
use std::sync::Arc;

fn write(world: &World, at: usize, name: &[u8]) -> Result<Ino, FsError> {
    let volume = Arc::clone(&world.replicas[at].local.volume);
    let ino = volume.lock().insert(ROOT, name, file())?;
    volume.write(ino, 0, name)?;
    Ok(ino)
}

fn shown(world: &World, at: usize) -> Vec<String> {
    world.replicas[at].tree().into_keys().collect()
}

#[test]
fn a_full_disk_refuses_programs_and_lets_everything_go_on_once_there_is_room() {
    let mut world = World::new(2);
    write(&world, 0, b"before").expect("room");
    world.settle();
    let disk = world.replicas[0].rig.disk.clone();
    disk.set_capacity(disk.used());
    write(&world, 0, b"let in").expect("nobody has looked at the disk yet");
    world.replicas[0].local.volume.fsync(None).expect("the reserve gives way");
    assert_eq!(write(&world, 0, b"refused"), Err(FsError::NoSpace));
    // What others write arrives all the same: it goes to the reserve.
    write(&world, 1, b"theirs").expect("room");
    world.commit(1);
    world.replicas[0].ask(0);
    while !world.replicas[0].asked.is_empty() {
        world.answer(0, 0);
        world.replicas[0].ask(0);
    }
    assert_eq!(shown(&world, 0), ["/before", "/let in", "/theirs"]);
    disk.mend();
    write(&world, 0, b"after").expect("room again");
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world, 1), ["/after", "/before", "/let in", "/theirs"]);
}

#[test]
fn a_file_whose_flush_failed_is_reported_once_and_is_there_after_the_next() {
    let mut world = World::new(2);
    let ino = write(&world, 0, b"file").expect("room");
    let volume = Arc::clone(&world.replicas[0].local.volume);
    world.replicas[0].rig.disk.fail_syncs_of(Some(".journal"));
    assert_eq!(volume.fsync(Some(ino)), Err(FsError::Io));
    world.replicas[0].rig.disk.fail_syncs_of(None);
    assert_eq!(volume.fsync(Some(ino)), Ok(()), "what it says is true again");
    drop(volume);
    world.replicas[0].crash(0);
    world.reconnect(0);
    assert_eq!(shown(&world, 0), ["/file"]);
    world.settle();
    world.assert_converged();
}

#[test]
fn a_commit_whose_flush_failed_is_sent_again_to_a_server_that_lost_it() {
    let mut world = World::new(2);
    world.set_wire(0, 1, false);
    let copy = world.server.clone();
    write(&world, 0, b"one").expect("room");
    world.replicas[0].rig.disk.fail_syncs_of(Some(".journal"));
    assert!(!world.commit(0), "it is not durable, so nobody hears of it");
    world.replicas[0].rig.disk.fail_syncs_of(None);
    world.meet(0);
    assert!(world.send(0), "it is durable now");
    write(&world, 0, b"two").expect("room");
    world.commit(0);
    world.send(0);
    assert_eq!(world.server.commits.len(), 2);
    world.server = copy;
    world.settle();
    world.assert_converged();
    assert_eq!(shown(&world, 1), ["/one", "/two"]);
}
