//! Names of one directory.

use super::*;
use crate::record::Body;
use crate::view::{Entry, What, resolve_dir};
use proptest::prelude::*;

fn entry<'a>(file: u8, name: &'a str, millis: u64, what: What<'a>) -> Entry<'a> {
    Entry { file: id(file), name: name.as_bytes(), placed: stamp(file, 1, millis), what, is_copy: false }
}

fn names(entries: &[Entry<'_>]) -> Vec<(String, FileId)> {
    let listing = resolve_dir(entries, &label);
    listing.into_iter().map(|shown| (String::from_utf8(shown.name).expect("UTF-8"), shown.file)).collect()
}

static A: Body = Body::Inline(Vec::new());

fn other() -> Body {
    Body::Inline(b"other".to_vec())
}

#[test]
fn directories_of_one_name_are_shown_as_the_smallest_id() {
    let entries = [entry(5, "d", 1, What::Dir), entry(3, "d", 9, What::Dir), entry(4, "d", 2, What::Dir)];
    let listing = resolve_dir(&entries, &label);
    assert_eq!(listing.len(), 1);
    assert_eq!((listing[0].file, &listing[0].stands_for), (id(3), &vec![2, 0]));
}

#[test]
fn equal_files_of_one_name_are_shown_once() {
    let entries = [entry(5, "f", 1, What::File(Some(&A))), entry(3, "f", 9, What::File(Some(&A)))];
    assert_eq!(names(&entries), [("f".into(), id(3))]);
    assert_eq!(resolve_dir(&entries, &label)[0].stands_for, [0]);
}

#[test]
fn the_later_of_two_different_files_gets_the_suffix() {
    let other = other();
    let entries =
        [entry(5, "f.txt", 1, What::File(Some(&A))), entry(3, "f.txt", 9, What::File(Some(&other)))];
    let later = "f (conflict, device 3 1970-01-01 00.00.00).txt";
    assert_eq!(names(&entries), [(later.into(), id(3)), ("f.txt".into(), id(5))]);
}

#[test]
fn a_directory_keeps_its_name_against_an_earlier_file() {
    let entries = [entry(5, "x", 1, What::File(Some(&A))), entry(7, "x", 9, What::Dir)];
    assert_eq!(
        names(&entries),
        [("x".into(), id(7)), ("x (conflict, device 5 1970-01-01 00.00.00)".into(), id(5)),]
    );
}

#[test]
fn a_taken_conflict_name_is_numbered() {
    let other = other();
    let taken = "f (conflict, device 3 1970-01-01 00.00.00)";
    let entries = [
        entry(5, "f", 1, What::File(Some(&A))),
        entry(3, "f", 9, What::File(Some(&other))),
        entry(8, taken, 1, What::File(Some(&A))),
    ];
    let expected = [("f".to_owned(), id(5)), (taken.into(), id(8)), (format!("{taken} 2"), id(3))];
    assert_eq!(names(&entries), expected);
}

#[test]
fn a_content_copy_never_takes_the_plain_name() {
    let copy = Entry { is_copy: true, ..entry(4, "f", 0, What::File(Some(&A))) };
    assert_eq!(names(&[copy]), [("f (conflict, device 4 1970-01-01 00.00.00)".into(), id(4))]);
}

#[test]
fn two_links_of_one_file_under_one_name_are_one_entry() {
    let entries = [entry(5, "f", 1, What::File(None)), entry(5, "f", 9, What::File(None))];
    assert_eq!(names(&entries), [("f".into(), id(5))]);
}

proptest! {
    #[test]
    fn listings_have_unique_valid_names_and_lose_no_entry(
        given in prop::collection::vec((0..20_u8, 0..3_usize, 0..4_u64), 0..30),
        turn in 0..30_usize,
    ) {
        let (stems, bodies) = (["a", "b.txt", "c"], [Body::empty(), other()]);
        // A node is one thing: what stands under an id is decided by the id.
        let entries: Vec<Entry<'_>> = given.iter().map(|(file, name, millis)| {
            let what = match file % 4 {
                0 => What::Dir,
                1 => What::Symlink(b"t"),
                n => What::File(Some(&bodies[usize::from(n) - 2])),
            };
            Entry { is_copy: *file > 15 && what != What::Dir, ..entry(*file, stems[*name], *millis, what) }
        }).collect();
        let listing = resolve_dir(&entries, &label);
        let mut seen: Vec<usize> = listing.iter().flat_map(|shown| &shown.stands_for).copied().collect();
        seen.extend(listing.iter().map(|shown| shown.entry));
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..entries.len()).collect::<Vec<_>>());
        prop_assert!(listing.is_sorted_by(|a, b| a.name < b.name));
        for shown in &listing {
            prop_assert_eq!(crate::name::validate(&shown.name), Ok(()));
        }
        let mut turned = entries.clone();
        turned.rotate_left(turn % entries.len().max(1));
        turned.reverse();
        let names = |listing: crate::view::Listing| listing.into_iter().map(|s| s.name).collect::<Vec<_>>();
        prop_assert_eq!(names(resolve_dir(&turned, &label)), names(listing));
    }
}
