//! Cycles, deletions and unification over whole trees.

use super::*;
use crate::record::{Body, Kind, LOST_AND_FOUND, ROOT, Record};
use crate::view::tree::LOST_AND_FOUND_NAME;
use crate::view::{Tree, parents};
use freehold_model::VersionVector;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Records = BTreeMap<FileId, Record>;

const ROOT_NUMBER: u8 = 0;

fn dir(n: u8, parent: u8, name: &str, stamp: Stamp) -> Record {
    Record::new_dir(id(n), new_node(), place(parent, name), stamp).expect("valid")
}

fn file(n: u8, parent: u8, name: &str, stamp: Stamp) -> Record {
    Record::new_file(id(n), new_node(), link(n), place(parent, name), stamp).expect("valid")
}

fn build(records: &[&Record]) -> Tree {
    Tree::build(records.iter().copied(), &label)
}

/// All paths of the tree, directories with a slash at the end.
fn paths(tree: &Tree) -> Vec<String> {
    fn walk(tree: &Tree, dir: FileId, prefix: &str, out: &mut Vec<String>) {
        for leaf in tree.dirs.get(&dir).into_iter().flatten() {
            let path = format!("{prefix}{}", String::from_utf8_lossy(&leaf.name));
            if leaf.link.is_none() {
                out.push(format!("{path}/"));
                walk(tree, leaf.file, &format!("{path}/"), out);
            } else {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    walk(tree, ROOT, "", &mut out);
    out
}

fn seen(stamps: &[Stamp]) -> VersionVector {
    stamps.iter().map(|stamp| stamp.dot).collect()
}

#[test]
fn concurrent_moves_into_each_other_undo_the_older_one() {
    let mut a = dir(1, ROOT_NUMBER, "a", stamp(1, 1, 1));
    let mut b = dir(2, ROOT_NUMBER, "b", stamp(1, 2, 2));
    a.set_dir_place(place(2, "a"), stamp(2, 1, 10)).expect("a directory");
    b.set_dir_place(place(1, "b"), stamp(3, 1, 20)).expect("a directory");
    let tree = build(&[&a, &b]);
    assert_eq!(paths(&tree), ["b/", "b/a/"]);
}

#[test]
fn a_directory_without_any_way_to_the_root_is_lost_and_found() {
    let (orphan, inside) = (dir(1, 77, "orphan", stamp(1, 1, 1)), file(2, 1, "f", stamp(1, 2, 2)));
    let stray = file(3, 88, "stray", stamp(1, 3, 3));
    let tree = build(&[&orphan, &inside, &stray]);
    let expected =
        ["Lost and Found/", "Lost and Found/orphan/", "Lost and Found/orphan/f", "Lost and Found/stray"];
    assert_eq!(paths(&tree), expected);
}

#[test]
fn lost_and_found_joins_a_users_directory_of_that_name() {
    let name = std::str::from_utf8(LOST_AND_FOUND_NAME).expect("ASCII");
    let (own, stray) = (dir(1, ROOT_NUMBER, name, stamp(1, 1, 1)), file(3, 88, "stray", stamp(1, 3, 3)));
    let tree = build(&[&own, &stray]);
    assert_eq!(paths(&tree), ["Lost and Found/", "Lost and Found/stray"]);
    assert_eq!(tree.unified, BTreeMap::from([(LOST_AND_FOUND, id(1))]));
}

#[test]
fn a_deletion_hides_what_was_seen_and_keeps_what_was_not() {
    let mut trashed = dir(1, ROOT_NUMBER, "outer", stamp(1, 1, 1));
    let inner = dir(2, 1, "inner", stamp(1, 2, 2));
    let (known, unseen) = (file(3, 1, "known", stamp(1, 3, 3)), file(4, 2, "unseen", stamp(2, 1, 3)));
    trashed.trash(&seen(&[stamp(1, 3, 0)]), stamp(1, 4, 4));
    assert_eq!(paths(&build(&[&trashed, &inner, &known])), Vec::<String>::new());
    assert_eq!(
        paths(&build(&[&trashed, &inner, &known, &unseen])),
        ["outer/", "outer/inner/", "outer/inner/unseen"]
    );
    let mut edited = known.clone();
    edited.set_content(Body::Inline(b"new".to_vec()), Default::default(), stamp(2, 2, 1)).expect("a file");
    assert_eq!(paths(&build(&[&trashed, &inner, &edited])), ["outer/", "outer/known"]);
    let mut revived = trashed.clone();
    revived.revive_dir(stamp(1, 5, 5));
    assert_eq!(paths(&build(&[&revived, &inner, &known])), ["outer/", "outer/inner/", "outer/known"]);
}

#[test]
fn directories_of_one_name_show_one_content_all_the_way_down() {
    let (a, b) = (dir(1, ROOT_NUMBER, "d", stamp(1, 1, 1)), dir(2, ROOT_NUMBER, "d", stamp(2, 1, 1)));
    let (a_sub, b_sub) = (dir(3, 1, "sub", stamp(1, 2, 2)), dir(4, 2, "sub", stamp(2, 2, 2)));
    let (x, y) = (file(5, 3, "x", stamp(1, 3, 3)), file(6, 4, "y", stamp(2, 3, 3)));
    let tree = build(&[&a, &b, &a_sub, &b_sub, &x, &y]);
    assert_eq!(paths(&tree), ["d/", "d/sub/", "d/sub/x", "d/sub/y"]);
    assert_eq!(tree.unified, BTreeMap::from([(id(2), id(1)), (id(4), id(3))]));
}

#[test]
fn settling_a_conflict_changes_no_path() {
    let base = file(1, ROOT_NUMBER, "f.txt", stamp(1, 1, 1));
    let (mut a, mut b) = (base.clone(), base);
    a.set_content(Body::Inline(b"a".to_vec()), Default::default(), stamp(2, 1, 10)).expect("a file");
    b.set_content(Body::Inline(b"b".to_vec()), Default::default(), stamp(3, 1, 20)).expect("a file");
    let mut both = a.merge(&b).expect("one node");
    let before = build(&[&both]);
    assert_eq!(paths(&before), ["f (conflict, device 2 1970-01-01 00.00.00).txt", "f.txt"]);
    let copy = &before.dirs[&ROOT][0];
    let here = Place { parent: ROOT, name: copy.name.clone() };
    let dot = copy.copy.expect("a copy");
    let settled = both.settle(&dot, here, stamp(3, 2, 30)).expect("a loser");
    let after = build(&[&both, &settled]);
    assert_eq!(paths(&after), paths(&before));
    assert_eq!(after.dirs[&ROOT][0].file, copy.file);
}

/// Three devices move, delete and create directories and files, and merge whole vaults.
#[derive(Clone, Debug)]
enum Step {
    MoveDir(usize, u8, u8, u64),
    TrashDir(usize, u8, u64),
    MoveFile(usize, u8, u8, u64),
    EditFile(usize, u8, u8, u64),
    UnlinkFile(usize, u8, u64),
    Merge(usize, usize),
}

const DIRS: u8 = 6;
const FILES: u8 = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (device, dir, file, millis) = (0..3_usize, 1..=DIRS, 1..=FILES, 0..50_u64);
    let parent = 0..=DIRS;
    prop::collection::vec(
        prop_oneof![
            5 => (device.clone(), dir.clone(), parent.clone(), millis.clone()).prop_map(|(v, d, p, t)| Step::MoveDir(v, d, p, t)),
            1 => (device.clone(), dir, millis.clone()).prop_map(|(v, d, t)| Step::TrashDir(v, d, t)),
            2 => (device.clone(), file.clone(), parent, millis.clone()).prop_map(|(v, f, p, t)| Step::MoveFile(v, f, p, t)),
            2 => (device.clone(), file.clone(), any::<u8>(), millis.clone()).prop_map(|(v, f, b, t)| Step::EditFile(v, f, b, t)),
            1 => (device.clone(), file, millis).prop_map(|(v, f, t)| Step::UnlinkFile(v, f, t)),
            2 => (device.clone(), device).prop_map(|(a, b)| Step::Merge(a, b)),
        ],
        0..40,
    )
}

fn first() -> Records {
    let mut records = Records::new();
    for n in 1..=DIRS {
        let parent = if n % 2 == 0 { n / 2 } else { ROOT_NUMBER };
        records.insert(id(n), dir(n, parent, ["x", "y"][usize::from(n) % 2], stamp(9, n.into(), 0)));
    }
    for n in 1..=FILES {
        records.insert(id(100 + n), file(100 + n, n, "f", stamp(9, u64::from(DIRS + n), 0)));
    }
    records
}

fn merge_all(into: &Records, from: &Records) -> Records {
    let merge = |(file, record): (&FileId, &Record)| {
        (*file, from.get(file).map_or_else(|| record.clone(), |other| record.merge(other).expect("one node")))
    };
    into.iter().map(merge).collect()
}

fn run(steps: &[Step]) -> Vec<Records> {
    let mut vaults = vec![first(); 3];
    for (seq, step) in steps.iter().enumerate() {
        let write = |device: &usize, millis: &u64| stamp(20 + *device as u8, seq as u64 + 1, *millis);
        if let Step::Merge(into, from) = step {
            vaults[*into] = merge_all(&vaults[*into], &vaults[*from]);
            continue;
        }
        let (Step::MoveDir(v, ..)
        | Step::TrashDir(v, ..)
        | Step::MoveFile(v, ..)
        | Step::EditFile(v, ..)
        | Step::UnlinkFile(v, ..)
        | Step::Merge(v, _)) = step;
        let vault = &mut vaults[*v];
        let mut everything = VersionVector::new();
        vault.values().for_each(|record| everything.join(record.context()));
        let mut change = |n: u8, edit: &mut dyn FnMut(&mut Record)| vault.get_mut(&id(n)).map(edit);
        match step {
            Step::MoveDir(v, d, p, t) => change(*d, &mut |record| {
                record.set_dir_place(place(*p, "x"), write(v, t)).expect("a directory");
            }),
            Step::TrashDir(v, d, t) => change(*d, &mut |record| record.trash(&everything, write(v, t))),
            Step::MoveFile(v, f, p, t) => change(100 + f, &mut |record| {
                let _gone = record.move_link(&link(100 + f), place(*p, "f"), write(v, t));
            }),
            Step::EditFile(v, f, byte, t) => change(100 + f, &mut |record| {
                let body = Body::Inline(vec![*byte]);
                record.set_content(body, Default::default(), write(v, t)).expect("a file");
            }),
            Step::UnlinkFile(v, f, t) => change(100 + f, &mut |record| {
                let _gone = record.remove_link(&link(100 + f), write(v, t));
            }),
            Step::Merge(..) => None,
        };
    }
    vaults
}

fn check_tree(records: &Records) -> Result<(), TestCaseError> {
    let dirs = records.values().filter(|record| record.kind() == Kind::Dir);
    let parent = parents(dirs.clone().map(|record| (record.file(), record.parents())));
    for dir in dirs {
        let mut at = dir.file();
        let mut steps = 0;
        while at != ROOT && at != LOST_AND_FOUND {
            at = parent[&at];
            steps += 1;
            prop_assert!(steps <= DIRS, "a cycle");
        }
        prop_assert_eq!(at, ROOT, "every directory here began under the root");
    }
    let tree = Tree::build(records.values(), &label);
    let mut shown = BTreeSet::new();
    for leaves in tree.dirs.values() {
        prop_assert!(leaves.is_sorted_by(|a, b| a.name < b.name));
        for leaf in leaves {
            prop_assert!(shown.insert((leaf.file, leaf.link)), "shown twice");
            prop_assert!(leaf.link.is_some() || tree.dirs.contains_key(&leaf.file));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_history_makes_a_cycle_and_every_order_shows_one_tree(steps in steps()) {
        let vaults = run(&steps);
        let [a, b, c] = vaults.as_slice() else { unreachable!("three devices") };
        let one = merge_all(&merge_all(a, b), c);
        let two = merge_all(c, &merge_all(b, a));
        let tree = Tree::build(one.values(), &label);
        prop_assert_eq!(&tree, &Tree::build(two.values(), &label));
        for vault in [a, b, c, &one] {
            check_tree(vault)?;
        }
    }

    /// A file edited last, by a device that had seen everything, is in the tree wherever it hangs.
    #[test]
    fn an_unseen_edit_is_always_shown(steps in steps(), n in 1..=FILES) {
        let vaults = run(&steps);
        let before = merge_all(&merge_all(&vaults[0], &vaults[1]), &vaults[2]);
        let mut after = before.clone();
        let record = after.get_mut(&id(100 + n)).expect("there from the start");
        prop_assume!(!record.is_trashed());
        record.set_content(Body::Inline(b"precious".to_vec()), Default::default(), stamp(30, 1, 0)).expect("a file");
        let mut everything = VersionVector::new();
        before.values().for_each(|record| everything.join(record.context()));
        let mut deleted = before;
        for (seq, record) in (1..).zip(deleted.values_mut()) {
            record.trash(&everything, stamp(31, seq, 1_000));
        }
        let both = merge_all(&after, &deleted);
        let tree = Tree::build(both.values(), &label);
        let shown: Vec<FileId> = tree.dirs.values().flatten().filter(|l| l.link.is_some()).map(|l| l.file).collect();
        prop_assert!(shown.contains(&id(100 + n)));
        let copies = both[&id(100 + n)].contents().len();
        prop_assert!(shown.len() <= copies, "only the edited file survives, with its copies");
    }
}
