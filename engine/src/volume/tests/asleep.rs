//! Files that sleep: nobody may notice but by the room they leave.

use super::deletions::{settle, with_index};
use super::remote::{exchange, notices_of, send};
use crate::journal::item::Item;
use crate::sync::brake::Brake;
use crate::testing::{Rig, child, file, names, read};
use crate::{FsError, Ino, Kind, NewNode, Notice, PinMode, ROOT, RemoteVersion, Volume, XattrMode};
use freehold_model::FileId;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How many files with a name sleep.
fn asleep(volume: &Volume) -> usize {
    volume.tables.lock().asleep.shown()
}

fn key(n: u32) -> Vec<u8> {
    format!("file {n:03}").into_bytes()
}

/// Files of three bytes each in a directory.
fn fill(volume: &Arc<Volume>, dir: Ino, count: u32) -> Vec<Ino> {
    let make = |n| {
        let ino = volume.lock().insert(dir, &key(n), file()).expect("free");
        volume.write(ino, 0, format!("{n:03}").as_bytes()).expect("room");
        ino
    };
    (0..count).map(make).collect()
}

fn make_dir(volume: &Volume, name: &[u8]) -> Ino {
    volume.lock().insert(ROOT, name, NewNode { kind: Kind::Dir, mode: 0o755, ..file() }).expect("free")
}

/// A device with an index and `count` files in its root that another device has as well; all sleep.
fn sleeping(dir: &tempfile::TempDir, count: u32) -> (Arc<Volume>, Arc<Volume>, Vec<Ino>) {
    let (a, b) = (with_index(1, dir).open(), Rig::device(2).open());
    let inos = fill(&a, ROOT, count);
    exchange(&a, &b);
    settle(&a);
    assert_eq!(asleep(&a), inos.len());
    (a, b, inos)
}

fn id(volume: &Volume, ino: Ino) -> FileId {
    volume.lock_nodes(&[ino]).expect("the index is there").file_id(ino).expect("there")
}

/// What another device would send.
fn versions(from: &Arc<Volume>) -> Vec<RemoteVersion> {
    let mut all = Vec::new();
    send(from, |remote| all.extend(remote));
    all
}

#[test]
fn files_that_sleep_are_read_written_and_stamped_by_number_as_before() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, inos) = sleeping(&dir, 6);
    assert_eq!(read(&a, inos[0]), Ok(b"000".to_vec()));
    a.write(inos[1], 1, b"x").expect("room");
    a.truncate(inos[2], 1).expect("there");
    assert_eq!(a.copy_range(inos[3], 0, inos[4], 3, 3), Ok(3));
    let mut tables = a.lock_nodes(&[inos[5]]).expect("the index is there");
    tables.set_mode(inos[5], 0o600).expect("there");
    tables.set_xattr(inos[5], b"user.a", b"1", XattrMode::Set).expect("room");
    drop(tables);
    let bytes: Vec<_> = inos.iter().map(|ino| read(&a, *ino).expect("local")).collect();
    let wanted: [&[u8]; 6] = [b"000", b"0x1", b"0", b"003", b"004003", b"005"];
    assert_eq!(bytes, wanted);
    assert_eq!(a.lock_nodes(&[inos[5]]).expect("there").attr(inos[5]).map(|attr| attr.mode), Some(0o600));
}

#[test]
fn files_that_sleep_are_renamed_linked_and_removed_by_name_as_before() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, inos) = sleeping(&dir, 5);
    let (zero, one, two, three) = (key(0), key(1), key(2), key(3));
    let mut tables = a.lock_names(&[(ROOT, &zero), (ROOT, b"moved")]).expect("the index is there");
    tables.move_link(ROOT, &zero, ROOT, b"moved").expect("there");
    drop(tables);
    let mut tables = a.lock_names(&[(ROOT, &one), (ROOT, &two)]).expect("the index is there");
    assert_eq!(tables.move_link(ROOT, &one, ROOT, &two), Ok(Some(inos[2])));
    drop(tables);
    a.lock_names(&[(ROOT, &three)]).expect("the index is there").remove_link(ROOT, &three).expect("there");
    let mut tables = a.lock_for(&[inos[4]], &[(ROOT, b"second")]).expect("the index is there");
    tables.add_link(inos[4], ROOT, b"second").expect("free");
    drop(tables);
    settle(&a);
    assert_eq!(names(&a, ROOT), ["file 002", "file 004", "moved", "second"]);
    assert_eq!(child(&a, ROOT, &two).map(|ino| read(&a, ino)), Some(Ok(b"001".to_vec())));
    assert_eq!(child(&a, ROOT, b"moved"), Some(inos[0]));
    assert_eq!(child(&a, ROOT, b"second"), Some(inos[4]));
}

#[test]
fn a_name_that_sleeps_is_taken_also_for_who_did_not_wake_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, _) = sleeping(&dir, 3);
    assert_eq!(a.tables.lock().insert(ROOT, &key(1), file()), Err(FsError::Exists));
    let made = a.lock().insert(ROOT, b"other", file()).expect("free");
    assert_eq!(a.tables.lock().move_link(ROOT, b"other", ROOT, &key(1)), Err(FsError::Exists));
    assert_eq!(child(&a, ROOT, b"other"), Some(made));
}

#[test]
fn a_directory_in_which_all_sleep_is_not_empty() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b) = (with_index(1, &dir).open(), Rig::device(2).open());
    let folder = make_dir(&a, b"folder");
    fill(&a, folder, 3);
    exchange(&a, &b);
    settle(&a);
    assert_eq!(asleep(&a), 3);
    assert!(!a.lock().is_empty(folder));
    assert_eq!(a.lock().remove_link(ROOT, b"folder"), Err(FsError::NotEmpty));
}

#[test]
fn a_listing_goes_on_where_it_was_when_files_fell_asleep_in_between() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, _) = sleeping(&dir, 20);
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let before = seen.len();
        a.lock_listing(ROOT, after).expect("the index is there").list(ROOT, after, |cookie, name, _| {
            seen.push(name.to_vec());
            after = cookie;
            if seen.len() % 3 == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if seen.len() == before {
            break;
        }
        settle(&a);
    }
    assert_eq!(seen, (0..20).map(key).collect::<Vec<_>>());
}

#[test]
fn what_the_kernel_holds_keeps_its_number_and_its_references_in_sleep() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, inos) = sleeping(&dir, 3);
    a.lock().remember(inos[0], 2);
    a.lock().forget(inos[0], 1);
    a.lock_names(&[(ROOT, &key(0))]).expect("the index is there").remove_link(ROOT, &key(0)).expect("there");
    settle(&a);
    assert_eq!(read(&a, inos[0]), Ok(b"000".to_vec()), "still held once");
    assert_eq!(a.tables.lock().nodes.lookups(inos[0]), 1);
    assert_eq!(names(&a, ROOT).len(), 2);
}

#[test]
fn a_remote_edit_rename_and_deletion_reach_files_that_sleep() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b, inos) = sleeping(&dir, 4);
    let there = |n: u32| child(&b, ROOT, &key(n)).expect("came over");
    b.write(there(0), 0, b"new").expect("room");
    b.lock().move_link(ROOT, &key(1), ROOT, b"elsewhere").expect("there");
    b.lock().remove_link(ROOT, &key(2)).expect("there");
    exchange(&b, &a);
    assert_eq!(names(&a, ROOT), ["elsewhere", "file 000", "file 003"]);
    assert_eq!(read(&a, inos[0]), Ok(b"new".to_vec()));
    assert_eq!(child(&a, ROOT, b"elsewhere"), Some(inos[1]));
}

#[test]
fn a_remote_file_of_a_name_that_sleeps_is_shown_beside_it_as_everywhere() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b) = (with_index(1, &dir).open(), Rig::device(2).open());
    fill(&a, ROOT, 4);
    let ours = versions_of_cut(&a);
    settle(&a);
    assert_eq!(asleep(&a), 4);
    let double = b.lock().insert(ROOT, &key(1), file()).expect("not heard of it");
    b.write(double, 0, b"theirs").expect("room");
    exchange(&b, &a);
    b.apply_remote(ours, Vec::new()).expect("there is no index to fail");
    assert_eq!(names(&a, ROOT).len(), 5);
    assert_eq!(names(&a, ROOT), names(&b, ROOT));
    assert_eq!(a.conflicts().expect("rows can be read").total, 1);
}

/// As [`versions`], after everything was cut.
fn versions_of_cut(from: &Arc<Volume>) -> Vec<RemoteVersion> {
    super::remote::cut_all(from);
    versions(from)
}

#[test]
fn a_conflict_copy_is_found_while_its_file_sleeps() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b, inos) = sleeping(&dir, 3);
    let there = child(&b, ROOT, &key(0)).expect("came over");
    a.write(inos[0], 0, b"mine").expect("room");
    b.write(there, 0, b"theirs").expect("room");
    exchange(&b, &a);
    super::remote::cut_all(&a);
    a.show_again();
    exchange(&a, &b);
    settle(&a);
    assert!(asleep(&a) > 0, "all but the copy");
    assert_eq!(names(&a, ROOT).len(), 4);
    settle(&a);
    assert_eq!(a.conflicts().expect("rows can be read").total, 1);
}

#[test]
fn a_folder_deleted_elsewhere_takes_the_files_that_sleep_in_it_and_the_brake_counts_them() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, b) = (with_index(1, &dir).open(), Rig::device(2).open());
    let folder = make_dir(&a, b"folder");
    fill(&a, folder, 5);
    exchange(&a, &b);
    settle(&a);
    assert_eq!(asleep(&a), 5);
    let there = child(&b, ROOT, b"folder").expect("came over");
    for name in names(&b, there) {
        b.lock().remove_link(there, name.as_bytes()).expect("there");
    }
    b.lock().remove_link(ROOT, b"folder").expect("there");
    let remote = versions(&b);
    let concerned: Vec<&RemoteVersion> = remote.iter().collect();
    let awake = a.wake_concerned(&concerned).expect("the index is there");
    let mut taken = std::collections::BTreeSet::new();
    remote.iter().for_each(|version| a.tables.lock().files_taken(version, &mut taken));
    assert_eq!(taken.len(), 5);
    drop(awake);
    a.apply_remote(remote, Vec::new()).expect("the index is there");
    assert_eq!(names(&a, ROOT), Vec::<String>::new());
    assert!(Brake::load(&a).expect("the index is there").held_files().is_empty());
}

#[test]
fn a_start_leaves_files_asleep_and_shows_them_all() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = with_index(1, &dir);
    let (a, b) = (rig.open(), Rig::device(2).open());
    let folder = make_dir(&a, b"folder");
    let inos = fill(&a, folder, 12);
    exchange(&a, &b);
    // The journal still speaks of what it has: only another life finds them in the index alone.
    a.lock().set_mode(ROOT, 0o711).expect("there");
    a.close().expect("a healthy disk");
    drop(a);
    let again = Rig { disk: crate::testing::TraceDisk::default(), ..rig }.open();
    assert!(asleep(&again) > 0);
    assert_eq!(names(&again, folder), (0..12).map(|n| format!("file {n:03}")).collect::<Vec<_>>());
    assert_eq!(child(&again, folder, &key(7)), Some(inos[7]));
    assert_eq!(read(&again, inos[7]), Ok(b"007".to_vec()));
}

#[test]
fn a_start_in_a_tree_with_something_to_decide_wakes_what_it_put_to_sleep() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = with_index(1, &dir);
    let (a, b) = (rig.open(), Rig::device(2).open());
    fill(&a, ROOT, 12);
    let double = b.lock().insert(ROOT, &key(5), file()).expect("not heard of it");
    b.write(double, 0, b"theirs").expect("room");
    exchange(&b, &a);
    exchange(&a, &b);
    let before = names(&a, ROOT);
    assert_eq!(before.len(), 13);
    a.close().expect("a healthy disk");
    drop(a);
    let again = Rig { disk: crate::testing::TraceDisk::default(), ..rig }.open();
    assert_eq!(names(&again, ROOT), before);
    assert_eq!(asleep(&again), 0, "a tree that is not plain is looked at as a whole");
}

#[test]
fn pinning_and_giving_up_reach_files_that_sleep() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, inos) = sleeping(&dir, 4);
    assert_eq!(a.files_below(ROOT), Ok(inos.clone()));
    settle(&a);
    assert_eq!(a.hydrated(ROOT, "/").map(|sum| (sum.files, sum.bytes)), Ok((4, 12)));
    a.lock_nodes(&[inos[2]]).expect("there").set_pin(inos[2], Some(PinMode::Always)).expect("room");
    settle(&a);
    assert_eq!(asleep(&a), 3, "a file with a wish of its own stays");
    assert_eq!(a.evict(inos[0]).map(|evicted| evicted.waiting), Ok(0));
    assert_eq!(a.find(&key(1)), Ok(inos[1]));
}

#[test]
fn the_kernel_asks_again_for_a_file_that_sleeps_once_what_is_here_of_it_has_changed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, inos) = sleeping(&dir, 2);
    a.lock().remember(inos[0], 1);
    let heard = notices_of(&a, || a.look_again(inos.iter().copied()));
    assert_eq!(heard, [Notice::Attr { ino: inos[0] }], "nobody knows anything of the other one");
    a.tables.lock().hydration.doubt(inos[0]);
    assert_eq!(notices_of(&a, || a.count_residence()), [Notice::Attr { ino: inos[0] }]);
}

#[test]
fn a_row_that_is_missing_fails_the_call_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (a, _, inos) = sleeping(&dir, 3);
    let lost = id(&a, inos[1]);
    settle(&a);
    let index = a.local.as_ref().and_then(|local| local.index.as_ref()).expect("there is one");
    index.submit(1_000, &[Item::Gone(lost)]);
    assert_eq!(read(&a, inos[1]), Err(FsError::Io));
    assert_eq!(a.write(inos[1], 0, b"x"), Err(FsError::Io));
    assert_eq!(a.lock_names(&[(ROOT, &key(1))]).err(), Some(FsError::Io));
    assert_eq!(read(&a, inos[2]), Ok(b"002".to_vec()));
    assert_eq!(a.tables.lock().asleep.heads(&lost).map(<[_]>::len), Some(1), "it is not forgotten");
}
