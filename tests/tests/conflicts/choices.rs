//! One file written on both devices: one file and one copy, and every way to end that.

use super::apart::Apart;
use anyhow::Result;
use std::fs;
use std::path::Path;

fn write_all(names: [&'static str; 5], content: &'static str) -> impl FnOnce(&Path) -> Result<()> {
    move |top| {
        for name in names {
            fs::write(top.join(name), format!("{content} {name}"))?;
        }
        Ok(())
    }
}

#[test]
fn each_choice_ends_equal_on_both_devices_and_leaves_no_conflict() -> Result<()> {
    let names = ["both.txt", "mine.txt", "newest.txt", "oldest.txt", "theirs.txt"];
    let mut apart = Apart::start(write_all(names, "before"))?;
    apart.work(write_all(names, "first"), write_all(names, "second"))?;
    let listed = apart.listed()?;
    assert_eq!(listed.iter().map(|(file, _)| file.as_str()).collect::<Vec<_>>(), names);
    for (file, copy) in &listed {
        let stem = file.trim_end_matches(".txt");
        assert!(copy.starts_with(&format!("{stem} (conflict, ")) && copy.ends_with(".txt"), "{copy}");
    }
    let shown = apart.shown()?;
    assert_eq!(shown.len(), 10, "{shown:?}");
    let side = |name: &str| shown.get(Path::new(name)).cloned().flatten().unwrap_or_default();
    // The device that wrote later keeps the name.
    assert_eq!(side("mine.txt"), b"second mine.txt");
    assert!(listed.iter().all(|(_, copy)| side(copy).starts_with(b"first ")));

    let at = |name: &str| apart.first.mount_point().join(name).to_string_lossy().into_owned();
    let kept = apart.first.ok(&["conflicts", "keep", "mine", &at("mine.txt")])?;
    assert_eq!((kept["path"].as_str(), kept["trashed"].as_u64()), (Some("mine.txt"), Some(1)));
    apart.first.ok(&["conflicts", "keep", "theirs", "theirs.txt"])?;
    apart.second.ok(&["conflicts", "keep", "newest", "newest.txt"])?;
    // By the copy's path, as listed.
    let copy = listed.iter().find(|(file, _)| file == "oldest.txt").map(|(_, copy)| copy.clone());
    apart.second.ok(&["conflicts", "keep", "oldest", &copy.unwrap_or_default()])?;
    let kept = apart.second.ok(&["conflicts", "keep", "both", "both.txt"])?;
    assert_eq!(kept["renamed"], serde_json::json!(["both 2.txt"]));

    apart.meet()?;
    assert_eq!(apart.listed()?, []);
    let shown = apart.shown()?;
    let expected = [
        ("both 2.txt", "first both.txt"),
        ("both.txt", "second both.txt"),
        ("mine.txt", "first mine.txt"),
        ("newest.txt", "second newest.txt"),
        ("oldest.txt", "first oldest.txt"),
        ("theirs.txt", "second theirs.txt"),
    ];
    let expected =
        expected.map(|(name, content)| (Path::new(name).to_owned(), Some(content.as_bytes().to_vec())));
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), expected);
    Ok(())
}

#[test]
fn a_conflict_ends_offline_and_wrong_words_are_refused_with_fixed_codes() -> Result<()> {
    let write = |content: &'static str| move |top: &Path| Ok(fs::write(top.join("notes"), content)?);
    let mut apart = Apart::start(write("before"))?;
    apart.work(write("first"), write("second"))?;
    for (arguments, code) in [
        (&["conflicts", "keep", "mine", "no such file"][..], 5),
        (&["conflicts", "keep", "everything", "notes"], 2),
        (&["conflicts", "keep", "mine"], 2),
        (&["conflicts"], 2),
    ] {
        let outcome = apart.first.cli(arguments)?;
        assert_eq!(outcome.code, code, "{arguments:?}: {}{}", outcome.json, outcome.stderr);
    }
    // A device that wrote neither has no content to call its own.
    let third = apart.world.next_device("third")?;
    third.wait()?;
    assert_eq!(third.cli(&["conflicts", "keep", "mine", "notes"])?.code, 6);

    // A program that has the file open goes on reading what it opened.
    let mut open = fs::File::open(apart.first.mount_point().join("notes"))?;
    apart.world.stop_server()?;
    apart.first.ok(&["conflicts", "keep", "mine", "notes"])?;
    let mut opened = String::new();
    std::io::Read::read_to_string(&mut open, &mut opened)?;
    assert_eq!(
        (opened.as_str(), fs::read_to_string(apart.first.mount_point().join("notes"))?.as_str()),
        ("second", "first")
    );
    drop(open);
    apart.world.start_server()?;
    apart.meet()?;
    assert_eq!(apart.listed()?, []);
    assert_eq!(apart.shown()?.len(), 1);
    Ok(())
}
