//! The disk below the daemon fails while programs write: `fsync` says so and never succeeds in silence, and what it did
//! acknowledge survives a power cut.

use anyhow::{Context, Result, ensure};
use freehold_tests::{CrashFs, Device, Draw, Faults, Oracle, Way, World, is_long, pseudo_random, say, seed};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Flushes of the disk that fail, one at a time, in one run.
const FAILURES: u64 = 8;
const FAILURES_LONG: u64 = 100;

/// Files that a program saves while one flush fails.
const FILES: u64 = 8;

fn start(world: &World, disk: &CrashFs) -> Result<Device> {
    let mut device = Device::at_rest(&disk.path().join("device"), &world.dir().join("device"))?;
    device.restart()?;
    device.signup(&world.url(), "eva", &world.password_file())?;
    device.mount()?;
    fs::create_dir(device.mount_point().join("folder"))?;
    File::open(device.mount_point())?.sync_all()?;
    Ok(device)
}

/// Writes and flushes a file, as a careful program does: the first error is its answer.
fn save(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// The daemon on what a power cut left, which mounts where the killed one did: whether the files are as promised.
fn check_after_a_cut(world: &World, disk: &CrashFs, oracle: &Oracle, fate: u64) -> Result<usize> {
    let image = world.dir().join("image");
    let cut = disk.position();
    disk.image(cut, fate, &image)?;
    let mut device = Device::at_rest(&image.join("device"), &world.dir().join("device"))?;
    device.restart()?;
    let status = device.ok(&["status"])?;
    ensure!(status["mount"].as_str() == device.mount_point().to_str(), "not mounted: {status}");
    let kept = oracle.check(&device.mount_point().join("folder"), cut);
    drop(device);
    fs::remove_dir_all(&image)?;
    kept
}

#[test]
fn while_the_disk_fails_no_fsync_succeeds_and_afterwards_all_goes_on() -> Result<()> {
    let world = World::start()?;
    let disk = CrashFs::mount(&world.dir().join("disk"))?;
    let mut device = start(&world, &disk)?;
    let folder = device.mount_point().join("folder");
    let mut oracle = Oracle::default();
    let mut keep = |name: &str, content: &[u8]| -> Result<()> {
        oracle.begin(name, Way::Whole, Some(content.to_vec()), disk.position());
        save(&folder.join(name), content).with_context(|| format!("save {name} on a healthy disk"))?;
        oracle.acknowledge(name, disk.position());
        Ok(())
    };
    keep("before", &pseudo_random(1, 50_000))?;
    let failures = [
        Faults { fails_syncs: true, ..Faults::default() },
        Faults { fails_writes: true, ..Faults::default() },
    ];
    for (number, faults) in failures.into_iter().enumerate() {
        disk.inject(faults);
        // Small ones go to the journal alone, large ones to a file beside it first.
        for (name, len) in [("small", 300), ("large", 400_000), ("small", 900), ("other", 20_000)] {
            let path = folder.join(format!("{name} {number}"));
            let error = save(&path, &pseudo_random(len as u64, len)).err();
            let code = error.as_ref().and_then(io::Error::raw_os_error);
            ensure!(code == Some(libc::EIO), "{faults:?}: saving {name} said {error:?}");
        }
        ensure!(fs::read(folder.join("before"))? == pseudo_random(1, 50_000), "reads go on");
        ensure!(fs::read_dir(&folder)?.count() > 1, "listings go on");
        device.ok(&["status"]).context("the daemon answers")?;
        let log = fs::read_to_string(device.log())?;
        ensure!(log.contains("a flush of the journal failed"), "the log does not say why");
        disk.inject(Faults::default());
        // A failure nobody was told of yet may still be told, once for each file.
        for name in ["small", "large", "other"] {
            let file = File::options().append(true).open(folder.join(format!("{name} {number}")))?;
            let told = file.sync_all().map_err(|error| error.raw_os_error());
            ensure!(matches!(told, Ok(()) | Err(Some(libc::EIO))), "{name}: {told:?}");
            file.sync_all().with_context(|| format!("{name}: the disk is well again, and it was told"))?;
        }
        for name in ["small", "large", "other", "new"] {
            keep(&format!("{name} {number}"), &pseudo_random(number as u64, 70_000))?;
        }
    }
    device.kill()?;
    check_after_a_cut(&world, &disk, &oracle, 1).map(drop)
}

#[test]
fn a_daemon_started_on_a_full_disk_brings_the_vault_back() -> Result<()> {
    let world = World::start()?;
    let disk = CrashFs::mount(&world.dir().join("disk"))?;
    let mut device = start(&world, &disk)?;
    let kept = device.mount_point().join("folder/kept");
    save(&kept, b"kept")?;
    device.kill()?;
    disk.inject(Faults { free_bytes: Some(0), ..Faults::default() });
    device.restart()?;
    // Whoever is to make room must be able to reach what takes it.
    ensure!(fs::read(&kept).context("on a full disk")? == b"kept", "other content");
    fs::remove_file(&kept).context("on a full disk")?;
    let refused = save(&kept, b"more").map_err(|error| error.raw_os_error());
    ensure!(refused == Err(Some(libc::ENOSPC)), "there is no room: {refused:?}");
    disk.inject(Faults::default());
    save(&kept, b"there is room again").context("there is room again")
}

/// The disk shows what a failed flush lost until the power goes: what a new daemon finds there may never have been kept.
#[test]
fn a_daemon_killed_after_a_failed_flush_keeps_what_it_promises_later() -> Result<()> {
    let mut world = World::start()?;
    let disk = CrashFs::mount(&world.dir().join("disk"))?;
    let mut device = start(&world, &disk)?;
    world.stop_server()?;
    world.stop_node()?;
    let folder = device.mount_point().join("folder");
    let mut oracle = Oracle::default();
    for (number, len) in [300, 400_000, 3_000].into_iter().enumerate() {
        disk.inject(Faults { fails_syncs: true, ..Faults::default() });
        // Open until the end: once closed it is cut, and a failure of the chunk cache is what the disk's model
        // cannot tell (docs/posix.md).
        let mut lost = File::create(folder.join(format!("lost {number}")))?;
        let told = lost.write_all(&pseudo_random(3, len)).and_then(|()| lost.sync_all());
        ensure!(told.is_err(), "a disk that fails keeps nothing");
        device.kill()?;
        drop(lost);
        disk.inject(Faults::default());
        device.restart()?;
        let (name, content) = (format!("kept {number}"), pseudo_random(4, len));
        oracle.begin(&name, Way::Whole, Some(content.clone()), disk.position());
        save(&folder.join(&name), &content).context("the disk is well again")?;
        oracle.acknowledge(&name, disk.position());
    }
    device.kill()?;
    for fate in 0..4 {
        check_after_a_cut(&world, &disk, &oracle, fate).with_context(|| format!("fate {fate}"))?;
    }
    Ok(())
}

/// Files are saved while the flush with this number fails; then the power is cut. How often a program was told, and how
/// many promises were kept.
fn fail_one_flush(failing: u64, draw: &mut Draw) -> Result<(u64, usize)> {
    let mut world = World::start()?;
    let disk = CrashFs::mount(&world.dir().join("disk"))?;
    let mut device = start(&world, &disk)?;
    // The image is opened as this device: nobody else may hear of what it does there.
    world.stop_server()?;
    world.stop_node()?;
    let (mut oracle, mut told) = (Oracle::default(), 0);
    disk.inject(Faults { failing_sync: Some(failing), ..Faults::default() });
    for number in 0..FILES {
        let name = format!("file {number}");
        let len = [300, 3_000, 60_000, 400_000][usize::try_from(draw.below(4))?];
        let content = pseudo_random(draw.next(), len);
        oracle.begin(&name, Way::Whole, Some(content.clone()), disk.position());
        // Told once, a program writes again what it still has: only then is the next answer a promise, as on any disk.
        let path = device.mount_point().join("folder").join(&name);
        let mut answers = (0..5).map(|_| save(&path, &content));
        let first = answers.next().context("it is saved")?;
        let promised = first.is_ok() || answers.any(|answer| answer.is_ok());
        told += u64::from(first.is_err());
        ensure!(promised, "{name}: saving fails for ever: {first:?}");
        oracle.acknowledge(&name, disk.position());
    }
    disk.inject(Faults::default());
    device.kill()?;
    Ok((told, check_after_a_cut(&world, &disk, &oracle, draw.next())?))
}

#[test]
fn one_failed_flush_anywhere_is_told_or_makes_no_difference() -> Result<()> {
    let seed = seed("failing disk");
    let mut draw = Draw::new(seed);
    let failures = if is_long() { FAILURES_LONG } else { FAILURES };
    let (mut told, mut kept) = (0, 0);
    for number in 0..failures {
        let failing = draw.below(2 * FILES);
        let outcome = fail_one_flush(failing, &mut draw);
        let (more_told, more_kept) =
            outcome.with_context(|| format!("run {number}, flush {failing}, seed {seed}"))?;
        (told, kept) = (told + more_told, kept + more_kept);
    }
    ensure!(told > 0, "no flush failed that a program waited for, seed {seed}");
    say(&format!("{failures} failed flushes, {told} times told; {kept} promises kept after power cuts"));
    Ok(())
}
