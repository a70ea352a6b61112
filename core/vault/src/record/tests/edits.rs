//! Each rule of the record once, with the smallest history that shows it.

use super::*;
use crate::record::conflict_id;
use crate::view::resolve_content;

fn write(record: &mut Record, body: Body, stamp: Stamp) {
    record.set_content(body, Time { secs: 9, nanos: 0 }, stamp).expect("a file");
}

#[test]
fn an_edit_keeps_a_concurrent_rename() {
    let base = a_file();
    let (mut renamed, mut edited) = (base.clone(), base);
    renamed.move_link(&link(1), place(2, "final.odt"), stamp(2, 1, 20)).expect("known");
    write(&mut edited, Body::Inline(b"text".to_vec()), stamp(3, 1, 90));
    let both = merged(&renamed, &edited);
    assert_eq!(both.link(&link(1)).map(|l| &l.place), Some(&place(2, "final.odt")));
    assert_eq!(both.newest_content().map(|c| c.size()), Some(4));
}

#[test]
fn a_directory_keeps_a_concurrent_rename_and_move() {
    let base = a_dir();
    let (mut renamed, mut moved) = (base.clone(), base);
    renamed.set_dir_place(place(1, "new name"), stamp(2, 1, 20)).expect("a directory");
    moved.set_dir_place(place(5, "folder"), stamp(3, 1, 20)).expect("a directory");
    let both = merged(&renamed, &moved);
    assert_eq!(both.dir_name().map(|n| n.value.as_slice()), Some(&b"new name"[..]));
    assert_eq!(both.newest_parent().map(|e| e.parent), Some(id(5)));
}

#[test]
fn touching_a_file_is_no_content_conflict() {
    let base = a_file();
    let (mut touched, mut edited) = (base.clone(), base);
    touched.set_mtime(Time { secs: 77, nanos: 0 }, stamp(2, 1, 50)).expect("in range");
    write(&mut edited, Body::Inline(b"x".to_vec()), stamp(3, 1, 20));
    assert_eq!(merged(&touched, &edited).contents().len(), 1);
}

#[test]
fn concurrent_contents_become_a_current_one_and_a_copy() {
    let base = a_file();
    let (mut a, mut b) = (base.clone(), base);
    write(&mut a, chunked(1, 1), stamp(2, 1, 20));
    write(&mut b, chunked(2, 2), stamp(3, 1, 30));
    let both = merged(&a, &b);
    let (current, copies) = resolve_content(&both);
    assert_eq!(current.map(|c| c.stamp.dot), Some(stamp(3, 1, 0).dot));
    assert_eq!(copies.iter().map(|c| c.file).collect::<Vec<_>>(), [conflict_id(&id(9), &stamp(2, 1, 0).dot)]);
}

#[test]
fn equal_concurrent_contents_are_no_conflict() {
    let base = a_file();
    let (mut a, mut b) = (base.clone(), base);
    write(&mut a, chunked(1, 1), stamp(2, 1, 20));
    write(&mut b, chunked(1, 2), stamp(3, 1, 30));
    assert_eq!(resolve_content(&merged(&a, &b)).1, []);
}

#[test]
fn editing_a_conflicted_file_keeps_the_losing_copy() {
    let base = a_file();
    let (mut a, mut b) = (base.clone(), base);
    write(&mut a, chunked(1, 1), stamp(2, 1, 20));
    write(&mut b, chunked(2, 2), stamp(3, 1, 30));
    let mut both = merged(&a, &b);
    let before: Vec<FileId> = resolve_content(&both).1.iter().map(|c| c.file).collect();
    write(&mut both, chunked(3, 3), stamp(2, 2, 40));
    assert_eq!(resolve_content(&both).1.iter().map(|c| c.file).collect::<Vec<_>>(), before);
}

#[test]
fn two_settlers_write_records_that_merge_into_one() {
    let base = a_file();
    let (mut a, mut b) = (base.clone(), base);
    write(&mut a, chunked(1, 1), stamp(2, 1, 20));
    write(&mut b, chunked(2, 2), stamp(3, 1, 30));
    let both = merged(&a, &b);
    let (mut here, mut there) = (both.clone(), both);
    let loser = stamp(2, 1, 20).dot;
    let copy_here = here.settle(&loser, place(1, "copy"), stamp(2, 2, 50)).expect("a loser");
    let copy_there = there.settle(&loser, place(1, "copy"), stamp(3, 2, 50)).expect("a loser");
    assert_eq!(copy_here.to_bytes(), copy_there.to_bytes());
    assert_eq!(copy_here.file(), conflict_id(&id(9), &loser));
    assert_eq!(merged(&here, &there).contents().len(), 1);
    assert_eq!(here.settle(&loser, place(1, "copy"), stamp(2, 3, 60)), None);
}

#[test]
fn the_current_content_is_never_settled_away() {
    let mut file = a_file();
    let current = stamp(1, 1, 10).dot;
    assert_eq!(file.settle(&current, place(1, "copy"), stamp(1, 2, 20)), None);
    assert_eq!(file, a_file());
}

#[test]
fn removing_the_last_link_leaves_the_place_to_restore_to() {
    let mut file = a_file();
    file.add_link(link(2), place(4, "second"), stamp(1, 2, 20)).expect("valid");
    file.remove_link(&link(1), stamp(1, 3, 30)).expect("known");
    assert!(!file.is_trashed() && file.unlinked_from().is_none());
    file.remove_link(&link(2), stamp(1, 4, 40)).expect("known");
    assert!(file.is_trashed());
    assert_eq!(file.unlinked_from(), Some(&place(4, "second")));
    file.add_link(link(3), place(4, "second"), stamp(1, 5, 50)).expect("valid");
    assert!(!file.is_trashed() && file.unlinked_from().is_none());
}

#[test]
fn two_deletions_at_once_stay_a_deletion() {
    let base = a_dir();
    let (mut a, mut b) = (base.clone(), base);
    a.trash(&VersionVector::new(), stamp(2, 1, 20));
    b.trash(&VersionVector::new(), stamp(3, 1, 30));
    assert!(merged(&a, &b).is_trashed());
}

#[test]
fn a_restored_directory_can_be_deleted_again() {
    let mut dir = a_dir();
    dir.trash(&VersionVector::new(), stamp(1, 2, 20));
    dir.revive_dir(stamp(1, 3, 30));
    assert!(!dir.is_trashed());
    dir.trash(&VersionVector::new(), stamp(1, 4, 40));
    assert!(dir.is_trashed());
}

#[test]
fn a_purged_node_stays_deleted_and_an_unseen_edit_keeps_its_content() {
    let mut dir = a_dir();
    dir.trash(&VersionVector::new(), stamp(1, 2, 20));
    dir.purge(stamp(1, 3, 30));
    assert!(dir.is_trashed());
    let (mut purged, mut edited) = (a_file(), a_file());
    purged.remove_link(&link(1), stamp(2, 1, 20)).expect("known");
    purged.purge(stamp(2, 2, 20));
    assert!(purged.newest_content().is_none());
    write(&mut edited, chunked(5, 5), stamp(3, 1, 15));
    let both = merged(&purged, &edited);
    assert!(!both.is_trashed());
    assert_eq!(both.newest_content().map(|c| &c.body), Some(&chunked(5, 5)));
}

#[test]
fn removed_attributes_leave_nothing_behind() {
    let mut file = a_file();
    file.set_mode(0o600, stamp(1, 2, 20)).expect("in range");
    let before = file.to_bytes().len();
    for n in 0..100_u64 {
        file.set_xattr(b"user.tmp", b"value", stamp(1, 3 + 2 * n, 20)).expect("fits");
        assert!(file.remove_xattr(b"user.tmp", stamp(1, 4 + 2 * n, 20)));
    }
    assert!(file.to_bytes().len() <= before + 36, "only the two tables may grow");
    assert!(!file.remove_xattr(b"user.tmp", stamp(1, 999, 20)));
}

#[test]
fn old_parents_are_dropped_past_the_limit() {
    let mut dir = a_dir();
    for n in 0..40_u8 {
        dir.set_dir_place(place(100 + n, "folder"), stamp(1, 2 + u64::from(n), 20)).expect("a directory");
    }
    assert_eq!(dir.parents().len(), crate::limits::PARENTS_MAX);
    assert_eq!(dir.newest_parent().map(|e| e.parent), Some(id(139)));
}

#[test]
fn foreign_records_are_not_merged() {
    let (file, dir) = (a_file(), a_dir());
    assert_eq!(file.merge(&dir), Err(MergeError::DifferentNodes));
    let other = Record::new_file(id(8), new_node(), link(1), place(1, "x"), stamp(1, 1, 10)).expect("valid");
    assert_eq!(file.merge(&other), Err(MergeError::DifferentNodes));
}

#[test]
fn a_merge_past_what_a_record_holds_is_refused() {
    let flood = |first: u16| {
        let mut context = VersionVector::new();
        for n in first..first + 3_000 {
            let [high, low] = n.to_be_bytes();
            let device = DeviceId::from_bytes(std::array::from_fn(|i| if i == 0 { high } else { low }));
            context.observe(Dot { device, incarnation: 1, seq: 1 });
        }
        let mut record = a_file();
        record.context.join(&context);
        record
    };
    assert_eq!(flood(0).merge(&flood(10_000)), Err(MergeError::TooLarge));
    assert!(flood(0).merge(&flood(0)).is_ok());
}

#[test]
fn values_out_of_range_change_nothing() {
    let mut file = a_file();
    let now = stamp(1, 2, 20);
    assert_eq!(file.set_mode(0o10000, now), Err(RecordError::OutOfRange));
    assert_eq!(file.set_mtime(Time { secs: 0, nanos: 1_000_000_000 }, now), Err(RecordError::OutOfRange));
    assert_eq!(file.set_xattr(b"", b"", now), Err(RecordError::XattrName));
    assert_eq!(file.set_xattr(b"user.x", &[0; 16 * 1024 + 1], now), Err(RecordError::XattrSpace));
    assert!(file.add_link(link(2), place(1, "a/b"), now).is_err());
    assert_eq!(file.move_link(&link(7), place(1, "x"), now), Err(RecordError::UnknownLink));
    assert_eq!(file.set_dir_place(place(1, "x"), now), Err(RecordError::WrongKind(Kind::File)));
    let long = Body::Inline(vec![0; 2_049]);
    assert_eq!(file.set_content(long, Time::default(), now), Err(RecordError::OutOfRange));
    assert_eq!(file, a_file());
}

#[test]
fn all_attributes_together_are_bounded() {
    let mut file = a_file();
    let value = [0; 16 * 1024];
    for n in 0..3_u8 {
        file.set_xattr(&[b'a', n], &value, stamp(1, 2 + u64::from(n), 20)).expect("fits");
    }
    assert_eq!(file.set_xattr(b"one too many", &value, stamp(1, 9, 20)), Err(RecordError::XattrSpace));
    file.set_xattr(&[b'a', 0], b"smaller", stamp(1, 10, 20)).expect("replacing counts once");
}
