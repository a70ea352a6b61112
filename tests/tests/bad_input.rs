//! What goes wrong outside: one clear line each, nothing lost, nothing wrong delivered.

use anyhow::{Context, Result, bail};
use freehold_tests::{Daemon, Device, SmallDisk, World, add_oddities, assert_same, pseudo_random};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The refusal is exactly one line, ends in words, and holds all of `parts`.
fn assert_one_line(text: &str, parts: &[&str]) {
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "one line expected: {text:?}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in {text:?}");
    }
}

fn message(outcome: &freehold_tests::Outcome) -> String {
    outcome.json["error"]["message"].as_str().unwrap_or_default().to_owned()
}

/// All files below a folder whose name ends so, largest first.
fn files_ending(folder: &Path, end: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let named =
        entries.filter(|entry| entry.file_type().is_file() && entry.path().to_string_lossy().ends_with(end));
    let mut files: Vec<PathBuf> = named.map(|entry| entry.path().to_owned()).collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.metadata().map_or(0, |meta| meta.len())));
    files
}

#[test]
fn a_wrong_password_is_refused_and_changes_nothing() -> Result<()> {
    let world = World::start()?;
    let first = world.first_device("first")?;
    let second = world.device("second")?;
    let wrong = world.dir().join("wrong");
    fs::write(&wrong, "not the password")?;
    let wrong = wrong.to_str().context("UTF-8")?;
    let outcome =
        second.cli(&["login", "--server", &world.url(), "--user", "eva", "--password-file", wrong])?;
    assert_eq!(outcome.code, 4, "{}", outcome.json);
    assert_one_line(&message(&outcome), &["password", "wrong"]);
    let stranger =
        second.cli(&["login", "--server", &world.url(), "--user", "nobody", "--password-file", wrong])?;
    assert_eq!(message(&stranger), message(&outcome), "an unknown user looks like a wrong password");
    assert!(second.ok(&["whoami"])?["user"].is_null());
    assert_eq!(first.ok(&["whoami"])?["user"], "eva");
    Ok(())
}

#[test]
fn a_corrupted_chunk_on_the_node_is_an_input_output_error_and_never_wrong_bytes() -> Result<()> {
    let mut world = World::start()?;
    let mut first = world.first_device("first")?;
    let content = pseudo_random(5, 3_000_000);
    fs::write(first.mount_point().join("file"), &content)?;
    first.wait()?;
    world.stop_node()?;
    let segment = files_ending(&world.node_dir(), "").into_iter().next().context("a segment")?;
    let healthy = fs::read(&segment)?;
    let file = File::options().write(true).open(&segment)?;
    for offset in (4096..healthy.len() as u64).step_by(50_000) {
        file.write_all_at(&[healthy[usize::try_from(offset)?] ^ 0x40], offset)?;
    }
    world.start_node()?;
    assert!(fs::read(first.mount_point().join("file"))? == content, "the first device has its own copy");
    // It would help the second one out.
    first.stop()?;
    let second = world.next_device("second")?;
    second.wait()?;
    let Err(error) = fs::read(second.mount_point().join("file")) else {
        bail!("damaged content must not be delivered");
    };
    assert_eq!(error.raw_os_error(), Some(libc::EIO), "{error}");
    world.stop_node()?;
    fs::write(&segment, &healthy)?;
    world.start_node()?;
    assert!(read_when_back(&second, "file")? == content, "the healthy node serves again");
    Ok(())
}

/// Reads a file, while the node may still be known as away: each failed read is an answer, not a hang.
fn read_when_back(device: &Device, name: &str) -> Result<Vec<u8>> {
    let mut last = None;
    for _ in 0..10 {
        match fs::read(device.mount_point().join(name)) {
            Ok(bytes) => return Ok(bytes),
            Err(error) => last = Some(error),
        }
    }
    Err(last.context("ten tries")?.into())
}

#[test]
fn a_torn_journal_tail_costs_nothing_that_was_synced() -> Result<()> {
    let world = World::start()?;
    let mut device = world.first_device("first")?;
    let path = device.mount_point().join("synced");
    let mut file = File::create(&path)?;
    file.write_all(&pseudo_random(6, 200_000))?;
    file.sync_all()?;
    drop(file);
    device.kill()?;
    let segments = files_ending(&device.home().join("client"), ".journal");
    let journal = segments.into_iter().max().context("a journal segment")?;
    let torn = pseudo_random(7, 777);
    File::options().append(true).open(&journal)?.write_all(&torn)?;
    device.restart()?;
    assert_eq!(fs::read(&path)?, pseudo_random(6, 200_000));
    device.wait()?;
    Ok(())
}

#[test]
fn a_deleted_index_is_rebuilt() -> Result<()> {
    let world = World::start()?;
    let mut device = world.first_device("first")?;
    let source = world.dir().join("source");
    add_oddities(&source, 2_000_000)?;
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(&source)
        .arg(device.mount_point().join("tree"))
        .status()?;
    assert!(status.success());
    device.wait()?;
    fs::write(device.mount_point().join("not yet synced"), "only in the journal")?;
    device.stop()?;
    let index = files_ending(&device.home().join("client"), "index.db");
    assert_eq!(index.len(), 1, "{index:?}");
    for end in ["", "-wal", "-shm"] {
        let file = PathBuf::from(format!("{}{end}", index[0].display()));
        if file.exists() {
            fs::remove_file(file)?;
        }
    }
    device.restart()?;
    device.wait()?;
    assert_same(&source, &device.mount_point().join("tree"));
    assert_eq!(fs::read(device.mount_point().join("not yet synced"))?, b"only in the journal");
    Ok(())
}

#[test]
fn a_full_disk_on_the_client_refuses_writes_and_loses_nothing() -> Result<()> {
    let world = World::start()?;
    let disk = SmallDisk::mount(&world.dir().join("disk"), 600)?;
    let mut device = Device::start(&disk.path().join("home"))?;
    device.signup(&world.url(), "eva", &world.password_file())?;
    device.mount()?;
    let kept = pseudo_random(8, 500_000);
    fs::write(device.mount_point().join("kept"), &kept)?;
    device.wait()?;
    let ballast = disk.fill()?;
    let error = write_until_refused(&device.mount_point().join("too much"));
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    assert_eq!(fs::read(device.mount_point().join("kept"))?, kept, "reads go on");
    fs::remove_file(ballast)?;
    fs::remove_file(device.mount_point().join("too much"))?;
    fs::write(device.mount_point().join("after"), "there is room again")?;
    device.wait()?;
    device.stop()?;
    device.restart()?;
    assert_eq!(fs::read(device.mount_point().join("kept"))?, kept);
    assert_eq!(fs::read(device.mount_point().join("after"))?, b"there is room again");
    drop(device);
    Ok(())
}

fn write_until_refused(path: &Path) -> std::io::Error {
    let block = pseudo_random(9, 1 << 20);
    let mut file = match File::create(path) {
        Ok(file) => file,
        Err(error) => return error,
    };
    for _ in 0..1_000 {
        if let Err(error) = file.write_all(&block).and_then(|()| file.sync_data()) {
            return error;
        }
    }
    panic!("a gigabyte fits on a full disk of 600 MiB");
}

#[test]
fn a_server_that_is_away_stops_nothing_but_the_sync() -> Result<()> {
    let mut world = World::start()?;
    let device = world.first_device("first")?;
    device.wait()?;
    world.stop_server()?;
    let path = device.mount_point().join("written offline");
    let mut file = File::create(&path)?;
    file.write_all(b"kept here")?;
    file.sync_all()?;
    let outcome = device.cli(&["wait", "--timeout", "3"])?;
    assert_eq!(outcome.code, 11, "{}", outcome.json);
    assert_one_line(&message(&outcome), &["not everything is synced"]);
    assert_eq!(fs::read(&path)?, b"kept here");
    world.start_server()?;
    device.wait()?;
    let second = world.next_device("second")?;
    second.wait()?;
    assert_eq!(fs::read(second.mount_point().join("written offline"))?, b"kept here");
    Ok(())
}

#[test]
fn a_mount_point_that_is_full_taken_or_missing_is_refused() -> Result<()> {
    let world = World::start()?;
    let device = world.first_device("first")?;
    let full = world.dir().join("full");
    fs::create_dir(&full)?;
    fs::write(full.join("somebody's file"), "mine")?;
    device.ok(&["unmount"])?;
    for (path, words) in
        [(full.clone(), "not empty"), (world.dir().join("missing"), ""), (full.join("somebody's file"), "")]
    {
        let outcome = device.cli(&["mount", path.to_str().context("UTF-8")?])?;
        assert!([5, 6].contains(&outcome.code), "{}", outcome.json);
        assert_one_line(&message(&outcome), &[words, path.to_str().context("UTF-8")?]);
    }
    assert_eq!(fs::read(full.join("somebody's file"))?, b"mine");
    device.mount()?;
    let outcome = device.cli(&["mount", world.dir().join("elsewhere").to_str().context("UTF-8")?])?;
    assert_eq!(outcome.code, 6);
    assert_one_line(&message(&outcome), &["already mounted"]);
    let other = world.next_device("second")?;
    other.ok(&["unmount"])?;
    let outcome = other.cli(&["mount", device.mount_point().to_str().context("UTF-8")?])?;
    assert_eq!(outcome.code, 6, "{}", outcome.json);
    Ok(())
}

#[test]
fn a_taken_port_a_second_daemon_and_a_spent_token_are_refused_in_one_line() -> Result<()> {
    let world = World::start()?;
    let mut rival = std::process::Command::new(freehold_tests::program("freehold-server"));
    let address = world.url().replace("http://", "");
    rival.args(["--listen", &address, "--data-dir"]).arg(world.dir().join("other server"));
    let (status, stderr) = Daemon::refuse(&mut rival)?;
    assert!(!status.success());
    assert_one_line(last_line(&stderr), &[&address]);

    let device = world.device("first")?;
    let mut daemon = std::process::Command::new(freehold_tests::program("freehold-clientd"));
    daemon.env("FREEHOLD_HOME", device.home());
    let (status, stderr) = Daemon::refuse(&mut daemon)?;
    assert!(!status.success());
    assert_one_line(last_line(&stderr), &["already"]);

    let mut node = std::process::Command::new(freehold_tests::program("freehold-storaged"));
    node.args(["--server", &world.url(), "--join", "not-a-token", "--listen", "127.0.0.1:0", "--data-dir"]);
    node.arg(world.dir().join("other node"));
    let (status, stderr) = Daemon::refuse(&mut node)?;
    assert!(!status.success());
    assert_one_line(last_line(&stderr), &["token"]);
    Ok(())
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn a_full_disk_on_the_node_loses_nothing_and_goes_on_when_there_is_room() -> Result<()> {
    let dir = tempfile::Builder::new().prefix("freehold-disk-").tempdir()?;
    let disk = SmallDisk::mount(dir.path(), 300)?;
    let world = World::start_with_node_dir(&disk.path().join("node"))?;
    let device = world.first_device("first")?;
    fs::write(device.mount_point().join("before"), "placed")?;
    device.wait()?;
    let ballast = disk.fill()?;
    let content = pseudo_random(10, 40_000_000);
    fs::write(device.mount_point().join("big"), &content)?;
    let outcome = device.cli(&["wait", "--timeout", "10"])?;
    assert_eq!(outcome.code, 11, "{}", outcome.json);
    assert_eq!(fs::read(device.mount_point().join("big"))?, content);
    fs::remove_file(ballast)?;
    device.wait()?;
    let second = world.next_device("second")?;
    second.wait()?;
    assert_eq!(fs::read(second.mount_point().join("big"))?, content);
    Ok(())
}

#[test]
fn a_device_killed_before_its_chunks_were_placed_goes_on_by_itself() -> Result<()> {
    let mut world = World::start()?;
    let mut device = world.first_device("first")?;
    let before = device.wait()?["applied_seq"].as_u64();
    world.stop_node()?;
    let content = pseudo_random(11, 2_000_000);
    fs::write(device.mount_point().join("file"), &content)?;
    // The commit goes ahead of its chunks, which no node takes.
    let numbered =
        |status: &serde_json::Value| status["pending"]["commits"] == 0 && status["pending"]["files"] == 0;
    let seen = |device: &Device| -> Result<bool> {
        let status = device.ok(&["status"])?;
        Ok(status["applied_seq"].as_u64() > before && numbered(&status) && status["pending"]["chunks"] != 0)
    };
    for _ in 0..200 {
        if seen(&device)? {
            break;
        }
        device.cli(&["wait", "--timeout", "1"])?;
    }
    assert!(seen(&device)?, "the commit has its number, the chunks wait: {}", device.ok(&["status"])?);
    device.kill()?;
    world.start_node()?;
    device.restart()?;
    let outcome = device.cli(&["wait", "--timeout", "40"])?;
    assert_eq!(outcome.code, 0, "{}", outcome.json);
    Ok(())
}

#[test]
fn expired_capabilities_stop_uploads_only_and_fresh_ones_resume_them() -> Result<()> {
    let mut world = World::start()?;
    let mut device = world.first_device("first")?;
    device.wait()?;
    device.stop()?;
    world.stop_server()?;
    world.start_slow_server()?;
    device.restart()?;
    let content = pseudo_random(12, 1_000_000);
    fs::write(device.mount_point().join("file"), &content)?;
    let outcome = device.cli(&["wait", "--timeout", "10"])?;
    assert_eq!(outcome.code, 11, "{}", outcome.json);
    assert_one_line(&message(&outcome), &["not everything is synced", "chunks"]);
    assert_eq!(fs::read(device.mount_point().join("file"))?, content);
    world.stop_server()?;
    world.start_server()?;
    device.wait()?;
    let second = world.next_device("second")?;
    second.wait()?;
    assert_eq!(fs::read(second.mount_point().join("file"))?, content);
    Ok(())
}
