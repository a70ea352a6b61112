//! Names and folders changed on both devices: the rules of the tree, on real mounts.

use super::apart::{Apart, names};
use anyhow::Result;
use std::fs;
use std::path::Path;

#[test]
fn renames_and_moves_of_one_node_merge() -> Result<()> {
    let mut apart = Apart::start(|top| {
        fs::create_dir(top.join("folder"))?;
        fs::write(top.join("renamed by both"), "content")?;
        fs::write(top.join("renamed and moved"), "content")?;
        fs::create_dir(top.join("a folder renamed and moved"))?;
        Ok(())
    })?;
    apart.work(
        |top| {
            fs::rename(top.join("renamed by both"), top.join("name of the first"))?;
            fs::rename(top.join("renamed and moved"), top.join("renamed"))?;
            fs::rename(top.join("a folder renamed and moved"), top.join("a folder renamed"))?;
            Ok(())
        },
        |top| {
            fs::rename(top.join("renamed by both"), top.join("name of the second"))?;
            fs::rename(top.join("renamed and moved"), top.join("folder/renamed and moved"))?;
            let moved = top.join("folder/a folder renamed and moved");
            fs::rename(top.join("a folder renamed and moved"), moved)?;
            Ok(())
        },
    )?;
    // A file's name and folder are one choice, the later one; a folder's are two, and both count.
    assert_eq!(names(apart.first.mount_point())?, ["folder", "name of the second"]);
    assert_eq!(names(&apart.first.mount_point().join("folder"))?, ["a folder renamed", "renamed and moved"]);
    assert_eq!(apart.listed()?, []);
    Ok(())
}

#[test]
fn an_edit_the_deleter_had_not_seen_survives_with_its_folders() -> Result<()> {
    let mut apart = Apart::start(|top| {
        fs::write(top.join("edited or deleted"), "before")?;
        fs::create_dir_all(top.join("gone/deep"))?;
        fs::write(top.join("gone/deep/edited"), "before")?;
        fs::write(top.join("gone/deep/untouched"), "before")?;
        fs::write(top.join("gone/untouched"), "before")?;
        Ok(())
    })?;
    apart.work(
        |top| {
            fs::remove_file(top.join("edited or deleted"))?;
            Ok(fs::remove_dir_all(top.join("gone"))?)
        },
        |top| {
            fs::write(top.join("edited or deleted"), "edited")?;
            fs::write(top.join("gone/deep/edited"), "edited")?;
            Ok(fs::write(top.join("gone/new"), "new")?)
        },
    )?;
    let shown: Vec<(String, Option<Vec<u8>>)> = apart
        .shown()?
        .into_iter()
        .map(|(path, content)| (path.to_string_lossy().into_owned(), content))
        .collect();
    let edited = Some(b"edited".to_vec());
    assert_eq!(
        shown,
        [
            ("edited or deleted".to_owned(), edited.clone()),
            ("gone".to_owned(), None),
            ("gone/deep".to_owned(), None),
            ("gone/deep/edited".to_owned(), edited),
            ("gone/new".to_owned(), Some(b"new".to_vec())),
        ]
    );
    Ok(())
}

#[test]
fn what_both_create_under_one_name_unifies_or_stands_side_by_side() -> Result<()> {
    let mut apart = Apart::start(|_| Ok(()))?;
    let create = |who: &'static str| {
        move |top: &Path| {
            fs::create_dir(top.join("folder"))?;
            fs::write(top.join("folder").join(who), who)?;
            fs::write(top.join("equal"), "equal")?;
            fs::write(top.join("different.txt"), who)?;
            // Names that differ in case or in how an accent is written are different names.
            fs::write(top.join(if who == "first" { "Case" } else { "case" }), who)?;
            Ok(fs::write(top.join(if who == "first" { "caf\u{e9}" } else { "cafe\u{301}" }), who)?)
        }
    };
    apart.work(create("first"), create("second"))?;
    assert_eq!(names(&apart.first.mount_point().join("folder"))?, ["first", "second"]);
    let top = names(apart.first.mount_point())?;
    let copy = top.iter().find(|name| name.starts_with("different (conflict, ")).cloned();
    let copy = copy.unwrap_or_default();
    let mut expected =
        ["Case", "cafe\u{301}", "caf\u{e9}", "case", "different.txt", "equal", "folder", &copy];
    expected.sort_unstable();
    assert_eq!(top, expected);
    assert_eq!(apart.listed()?, [("different.txt".to_owned(), copy)]);

    apart.second.ok(&["conflicts", "keep", "mine", "different.txt"])?;
    apart.meet()?;
    assert_eq!(fs::read_to_string(apart.first.mount_point().join("different.txt"))?, "second");
    assert_eq!((apart.listed()?, names(apart.first.mount_point())?.len()), (Vec::new(), 7));
    Ok(())
}

#[test]
fn folders_moved_into_each_other_make_no_cycle_and_lose_nothing() -> Result<()> {
    let mut apart = Apart::start(|top| {
        for folder in ["one", "two"] {
            fs::create_dir(top.join(folder))?;
            fs::write(top.join(folder).join("inside"), folder)?;
        }
        Ok(())
    })?;
    apart.work(
        |top| Ok(fs::rename(top.join("one"), top.join("two/one"))?),
        |top| Ok(fs::rename(top.join("two"), top.join("one/two"))?),
    )?;
    let shown = apart.shown()?;
    let insides = shown.iter().filter(|(path, _)| path.ends_with("inside")).count();
    assert_eq!((shown.len(), insides), (4, 2), "{shown:?}");
    Ok(())
}
