//! The laws of merging, over random histories of four replicas.

use super::history::{World, elements, run, steps};
use super::*;
use crate::view::resolve_content;
use proptest::prelude::*;

fn merge_in_order(world: &World, order: &[usize]) -> Record {
    let mut records = order.iter().map(|index| &world.replicas[*index]);
    let first = records.next().expect("at least one replica").clone();
    records.fold(first, |all, record| merged(&all, record))
}

/// All orders of 0..n (Heap's algorithm).
fn orders(n: usize) -> Vec<Vec<usize>> {
    fn permute(k: usize, order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if k == 1 {
            all.push(order.clone());
            return;
        }
        for i in 0..k {
            permute(k - 1, order, all);
            order.swap(if k.is_multiple_of(2) { i } else { 0 }, k - 1);
        }
    }
    let (mut order, mut all) = ((0..n).collect(), Vec::new());
    permute(n, &mut order, &mut all);
    all
}

fn check_laws(world: &World) -> Result<(), TestCaseError> {
    let all: Vec<Vec<u8>> =
        orders(world.replicas.len()).iter().map(|order| merge_in_order(world, order).to_bytes()).collect();
    prop_assert_eq!(all.len(), 24);
    prop_assert!(all.iter().all(|bytes| *bytes == all[0]), "the order of merging shows");
    let [a, b, c, d] = world.replicas.as_slice() else { unreachable!("four replicas") };
    let (left, right) = (merged(&merged(a, b), &merged(c, d)), merged(a, &merged(b, &merged(c, d))));
    prop_assert_eq!(left.to_bytes(), right.to_bytes());
    prop_assert_eq!(left.to_bytes(), all[0].clone());
    for replica in &world.replicas {
        prop_assert_eq!(merged(replica, replica).to_bytes(), replica.to_bytes());
        prop_assert_eq!(merged(&left, replica).to_bytes(), left.to_bytes());
        prop_assert!(left.context().dominates(replica.context()));
    }
    Ok(())
}

fn check_elements(world: &World) -> Result<(), TestCaseError> {
    let last = merge_in_order(world, &[0, 1, 2, 3]);
    let expected: std::collections::BTreeSet<_> = world.added.difference(&world.removed).cloned().collect();
    prop_assert_eq!(elements(&last), expected, "an element was lost or came back");
    Ok(())
}

fn check_encoding(world: &World) -> Result<(), TestCaseError> {
    let last = merge_in_order(world, &[3, 1, 0, 2]);
    for record in world.replicas.iter().chain([&last]) {
        let bytes = record.to_bytes();
        prop_assert_eq!(Record::from_bytes(&bytes), Ok(record.clone()));
        prop_assert!(bytes.len() <= record.encoded_len_bound());
    }
    Ok(())
}

/// Every distinct content is shown exactly once, as the current one or as a copy of its own.
fn check_view(record: &Record) -> Result<(), TestCaseError> {
    let (current, copies) = resolve_content(record);
    let shown: Vec<&Body> =
        current.into_iter().map(|c| &c.body).chain(copies.iter().map(|c| &c.content.body)).collect();
    for content in record.contents() {
        prop_assert_eq!(shown.iter().filter(|body| body.same_plain(&content.body)).count(), 1);
    }
    let ids: std::collections::BTreeSet<FileId> = copies.iter().map(|copy| copy.file).collect();
    prop_assert_eq!(ids.len(), copies.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn files_merge_alike_in_every_order_and_lose_nothing(steps in steps()) {
        let world = run(&a_file(), &steps);
        check_laws(&world)?;
        check_elements(&world)?;
        check_encoding(&world)?;
        check_view(&merge_in_order(&world, &[2, 3, 1, 0]))?;
    }

    #[test]
    fn directories_merge_alike_in_every_order_and_lose_no_parent(steps in steps()) {
        let world = run(&a_dir(), &steps);
        check_laws(&world)?;
        check_elements(&world)?;
        check_encoding(&world)?;
        prop_assert!(!merge_in_order(&world, &[0, 1, 2, 3]).parents().is_empty());
    }

    #[test]
    fn symlinks_merge_alike_in_every_order(steps in steps()) {
        let first = Record::new_symlink(id(9), new_node(), b"to/there".to_vec(), link(1), place(1, "l"), stamp(1, 1, 1));
        let world = run(&first.expect("valid"), &steps);
        check_laws(&world)?;
        check_elements(&world)?;
        check_encoding(&world)?;
    }

    #[test]
    fn a_write_beats_what_its_author_saw_whatever_the_clock_says(steps in steps(), mode in 0..0o7777_u16) {
        let world = run(&a_file(), &steps);
        let mut record = merge_in_order(&world, &[0, 1, 2, 3]);
        let seen = record.clone();
        let now = stamp(99, 1, 0);
        record.set_mode(mode, now).expect("in range");
        record.set_content(Body::Inline(b"new".to_vec()), Time::default(), now).expect("a file");
        record.add_link(link(8), place(3, "first"), now).expect("a file");
        record.move_link(&link(8), place(3, "last"), now).expect("just added");
        let after = merged(&seen, &record);
        prop_assert_eq!(after.mode(), mode);
        prop_assert_eq!(after.newest_content().map(|c| c.body.clone()), Some(Body::Inline(b"new".to_vec())));
        prop_assert_eq!(after.link(&link(8)).map(|l| l.place.clone()), Some(place(3, "last")));
        prop_assert_eq!(after.to_bytes(), record.to_bytes());
    }

    /// Any edit that a deletion had not seen brings the node back, from any state.
    #[test]
    fn an_unseen_edit_beats_a_delete(steps in steps(), secs in any::<i64>()) {
        for first in [a_file(), a_dir()] {
            let world = run(&first, &steps);
            let state = merge_in_order(&world, &[0, 1, 2, 3]);
            prop_assume!(!state.is_trashed());
            let (mut edited, mut deleted) = (state.clone(), state);
            edited.set_mtime(Time { secs, nanos: 0 }, stamp(98, 1, 0)).expect("in range");
            deleted.trash(&VersionVector::new(), stamp(99, 1, 1_000));
            prop_assert!(deleted.is_trashed());
            prop_assert!(!merged(&edited, &deleted).is_trashed());
            prop_assert!(!merged(&deleted, &edited).is_trashed());
            let mut seen = merged(&edited, &deleted);
            seen.trash(&VersionVector::new(), stamp(99, 2, 0));
            prop_assert!(merged(&seen, &merged(&edited, &deleted)).is_trashed());
        }
    }

    /// Two authors cannot tell one dot two ways; a hostile one can. Everybody still agrees.
    #[test]
    fn two_values_under_one_dot_still_converge(one in steps(), two in steps()) {
        let (one, two) = (run(&a_file(), &one), run(&a_file(), &two));
        let [a, _, b, _] = one.replicas.as_slice() else { unreachable!("four replicas") };
        let c = &two.replicas[1];
        let left = merged(&merged(a, b), c).to_bytes();
        prop_assert_eq!(&left, &merged(c, &merged(b, a)).to_bytes());
        prop_assert!(Record::from_bytes(&left).is_ok());
    }
}
