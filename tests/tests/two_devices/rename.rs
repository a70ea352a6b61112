//! Renaming a folder costs one record, however much is in it.

use anyhow::{Context, Result};
use freehold_tests::{ARRIVAL, Device, World, entries_of, say, wait_until};
use std::fs;

const FILES: usize = 5_000;

/// The number of records in each commit the device has written, from its log.
fn commits(device: &Device) -> Result<Vec<u64>> {
    let log = fs::read_to_string(device.log())?;
    let lines = log.lines().filter(|line| line.contains("a commit is written"));
    lines
        .map(|line| {
            let (_, rest) = line.split_once("records=").context("the line names the number of records")?;
            Ok(rest.split(|other: char| !other.is_ascii_digit()).next().unwrap_or_default().parse()?)
        })
        .collect()
}

#[test]
fn a_renamed_folder_of_five_thousand_files_is_one_record() -> Result<()> {
    let world = World::start()?;
    let (first, second) = (world.first_device("first")?, world.next_device("second")?);
    let folder = first.mount_point().join("folder");
    fs::create_dir(&folder)?;
    for number in 0..FILES {
        fs::write(folder.join(number.to_string()), format!("content {number}"))?;
    }
    first.wait()?;
    let there = second.mount_point().join("folder");
    wait_until("all files at the second device", ARRIVAL, || {
        entries_of(&there).is_ok_and(|found| found.len() == FILES)
    })?;
    let before = commits(&first)?;
    assert!(before.iter().sum::<u64>() > FILES as u64, "every file was a record: {before:?}");

    fs::rename(&folder, first.mount_point().join("renamed"))?;
    first.wait()?;
    let renamed = second.mount_point().join("renamed");
    let took = wait_until("the renamed folder at the second device", ARRIVAL, || renamed.exists())?;
    assert!(!there.exists());
    assert_eq!(entries_of(&renamed)?.len(), FILES);
    assert_eq!(fs::read(renamed.join("4999"))?, b"content 4999");
    let after = commits(&first)?;
    assert_eq!(after[before.len()..], [1], "one commit with one record");
    let took_ms = took.as_millis();
    say(&format!("renaming a folder of {FILES} files: one record, there {took_ms} ms after it was synced"));
    Ok(())
}
