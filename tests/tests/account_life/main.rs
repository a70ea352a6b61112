//! An account through its life, on the real programs: devices end, secrets change, everything is lost and
//! comes back.

mod keys;

use anyhow::{Context, Result, ensure};
use freehold_tests::{Device, Outcome, World, pseudo_random, wait_for_content};
use keys::Disk;
use serde_json::Value;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How often a daemon is asked whether it has noticed something by now. Each time waits a second in it.
const LOOKS: usize = 120;

const NEW_PASSWORD: &str = "quartz-kettle-3917-unfold-zebra";

struct Life {
    world: World,
    words: PathBuf,
}

impl Life {
    /// A world with the account's first device, mounted, its words on paper.
    fn start() -> Result<(Self, Device)> {
        let world = World::start()?;
        let first = world.device("first")?;
        let made = first.signup(&world.url(), "eva", &world.password_file())?;
        first.mount()?;
        let words = world.dir().join("words");
        fs::write(&words, made["recovery_words"].as_str().context("words")?)?;
        fs::write(world.dir().join("new-password"), NEW_PASSWORD)?;
        Ok((Self { world, words }, first))
    }

    fn new_password(&self) -> PathBuf {
        self.world.dir().join("new-password")
    }

    /// Recovers on a new device; the new words go to a file of its name.
    fn recover(&self, name: &str, words: &Path) -> Result<(Device, PathBuf)> {
        let device = self.world.device(name)?;
        let out = self.world.dir().join(format!("{name}-words"));
        let (words, password) = (text(words)?, self.new_password());
        let arguments = ["recover", "--server", &self.world.url(), "--words-file", words, "--password-file"];
        device.ok(&[&arguments[..], &[text(&password)?, "--recovery-file", text(&out)?]].concat())?;
        device.mount()?;
        Ok((device, out))
    }

    fn try_recover(&self, device: &Device, words: &Path) -> Result<Outcome> {
        let (words, password) = (text(words)?, self.new_password());
        let arguments = ["recover", "--server", &self.world.url(), "--words-file", words, "--password-file"];
        device.cli(&[&arguments[..], &[text(&password)?]].concat())
    }

    fn login(&self, name: &str, password: &Path) -> Result<Device> {
        let device = self.world.device(name)?;
        device.login(&self.world.url(), "eva", password)?;
        device.mount()?;
        Ok(device)
    }

    fn try_login(&self, device: &Device, password: &Path) -> Result<Outcome> {
        let url = self.world.url();
        device.cli(&["login", "--server", &url, "--user", "eva", "--password-file", text(password)?])
    }

    fn revoke(&self, by: &Device, device: &str) -> Result<Value> {
        let password = self.world.password_file();
        by.ok(&["device", "revoke", device, "--password-file", text(&password)?])
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("UTF-8")
}

fn id(device: &Device) -> Result<String> {
    Ok(device.ok(&["whoami"])?["device"].as_str().context("signed in")?.to_owned())
}

/// What the device's list says of each device: name and state.
fn list(device: &Device) -> Result<Vec<(String, String)>> {
    let answer = device.ok(&["device", "list"])?;
    let devices = answer["devices"].as_array().context("a list")?;
    let word = |entry: &Value, member: &str| entry[member].as_str().unwrap_or_default().to_owned();
    Ok(devices.iter().map(|entry| (word(entry, "name"), word(entry, "state"))).collect())
}

fn write(device: &Device, name: &str, content: &[u8]) -> Result<()> {
    fs::write(device.mount_point().join(name), content)?;
    device.wait()?;
    Ok(())
}

fn assert_reads(device: &Device, name: &str, content: &[u8]) -> Result<()> {
    device.wait()?;
    let read = fs::read(device.mount_point().join(name)).with_context(|| name.to_owned())?;
    ensure!(read == content, "{name} has other bytes");
    Ok(())
}

fn assert_arrives(device: &Device, name: &str, content: &[u8]) -> Result<()> {
    wait_for_content(&device.mount_point().join(name), content).map(drop)
}

/// Asks until the daemon shows the problem.
fn assert_notices(device: &Device, code: &str) -> Result<()> {
    for _ in 0..LOOKS {
        let status = device.ok(&["status"])?;
        let problems = status["problems"].as_array().context("a list")?;
        if problems.iter().any(|problem| problem["code"] == code) {
            return Ok(());
        }
        device.cli(&["wait", "--timeout", "1"])?;
    }
    anyhow::bail!("the daemon never showed {code}")
}

fn message(outcome: &Outcome) -> String {
    outcome.json["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn after_a_revocation_and_the_loss_of_every_device_password_and_words_read_everything() -> Result<()> {
    let (life, first) = Life::start()?;
    let (before, after) = (pseudo_random(1, 600_000), pseudo_random(2, 600_000));
    let mut second = life.world.next_device("second")?;
    write(&first, "before", &before)?;
    assert_reads(&second, "before", &before)?;

    let second_id = id(&second)?;
    first.ok(&["device", "rename", &second_id, "phone"])?;
    ensure!(list(&second)?.iter().any(|(name, state)| (name.as_str(), state.as_str()) == ("phone", "live")));
    let revoked = life.revoke(&first, "phone")?;
    assert_eq!((&revoked["pending"], &revoked["device"]["state"]), (&false.into(), &"revoked".into()));
    write(&first, "after", &after)?;

    assert_notices(&second, "device_removed")?;
    assert_eq!(fs::read(second.mount_point().join("before"))?, before, "what it had stays readable");
    let missing = fs::read(second.mount_point().join("after")).expect_err("nothing new reaches it");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    second.stop()?;
    second.restart()?;
    assert_notices(&second, "device_removed")?;
    assert_eq!(fs::read(second.mount_point().join("before"))?, before, "also after a restart");
    drop((first, second));

    let third = life.login("third", &life.world.password_file())?;
    assert_reads(&third, "before", &before)?;
    assert_reads(&third, "after", &after)?;
    drop(third);

    let (fourth, new_words) = life.recover("fourth", &life.words)?;
    assert_reads(&fourth, "before", &before)?;
    assert_reads(&fourth, "after", &after)?;
    let test = fourth.ok(&["recovery", "test", "--words-file", text(&new_words)?])?;
    assert_eq!(test["fresh"], true);
    assert_eq!(fourth.ok(&["whoami"])?["user"], "eva", "the words knew the user name");

    let fifth = life.world.device("fifth")?;
    let spent = life.try_recover(&fifth, &life.words)?;
    assert_eq!(spent.code, 4, "{}", spent.json);
    assert_eq!(message(&spent).lines().count(), 1, "{}", message(&spent));
    assert_eq!(life.try_login(&fifth, &life.world.password_file())?.code, 4, "the old password is dead");
    assert!(fifth.ok(&["whoami"])?["user"].is_null());
    fifth.login(&life.world.url(), "eva", &life.new_password())?;
    fifth.mount()?;
    assert_reads(&fifth, "after", &after)?;
    Ok(())
}

/// Row 27 of the attack list.
#[test]
fn a_revoked_device_in_league_with_the_server_opens_nothing_new() -> Result<()> {
    let (life, first) = Life::start()?;
    let second = life.world.next_device("second")?;
    write(&first, "file", b"before")?;
    assert_reads(&second, "file", b"before")?;
    life.revoke(&first, &id(&second)?)?;
    let known = Disk::open(&first)?.everything_at(&life.world)?.records.len();
    write(&first, "file", b"after")?;
    write(&first, "large", &pseudo_random(3, 400_000))?;
    assert_notices(&second, "device_removed")?;

    let (inside, outside) = (Disk::open(&first)?, Disk::open(&second)?);
    assert_eq!((inside.generation(), outside.generation()), (2, 1));
    let all = inside.everything_at(&life.world)?;
    let new = all.records.len() - known;
    ensure!(known > 0 && new >= 2, "{known} records before, {new} after");
    assert_eq!(inside.try_all(&all.records)?, (all.records.len(), 0));
    assert_eq!(outside.try_all(&all.records)?, (known, new), "all of before, none of after");
    assert_eq!((inside.boxes_opened(&all.boxes) > 0, outside.boxes_opened(&all.boxes)), (true, 0));
    Ok(())
}

/// Row 65 of the attack list: new words are an entry that every device sees.
#[test]
fn other_devices_learn_a_new_password_and_new_words_without_help() -> Result<()> {
    let (life, first) = Life::start()?;
    let mut second = life.world.next_device("second")?;
    let (old, new) = (life.world.password_file(), life.new_password());
    let wrong = first.cli(&["passwd", "--password-file", text(&new)?, "--new-password-file", text(&old)?])?;
    assert_eq!((wrong.code, message(&wrong).lines().count()), (4, 1), "{}", wrong.json);
    first.ok(&["passwd", "--password-file", text(&old)?, "--new-password-file", text(&new)?])?;
    write(&first, "sealed by new keys", b"one")?;
    assert_reads(&second, "sealed by new keys", b"one")?;
    write(&second, "also by new keys", b"two")?;
    assert_reads(&first, "also by new keys", b"two")?;

    second.stop()?;
    let words = life.world.dir().join("made");
    first.ok(&["recovery", "create", "--password-file", text(&new)?, "--recovery-file", text(&words)?])?;
    write(&first, "while it was away", b"three")?;
    second.restart()?;
    assert_reads(&second, "while it was away", b"three")?;
    let tested = second.ok(&["recovery", "test", "--words-file", text(&words)?])?;
    assert_eq!(tested["fresh"], true);
    let replaced = second.cli(&["recovery", "test", "--words-file", text(&life.words)?])?;
    assert_eq!(replaced.code, 4, "{}", replaced.json);
    let third = life.world.device("third")?;
    assert_eq!(life.try_login(&third, &old)?.code, 4);
    assert_eq!(life.try_recover(&third, &life.words)?.code, 4);
    third.login(&life.world.url(), "eva", &new)?;
    third.mount()?;
    assert_reads(&third, "while it was away", b"three")?;
    Ok(())
}

#[test]
fn a_revocation_without_the_server_is_obeyed_at_once_and_entered_when_it_is_back() -> Result<()> {
    let (mut life, first) = Life::start()?;
    let (second, third) = (life.world.next_device("second")?, life.world.next_device("third")?);
    write(&first, "before", b"before")?;
    assert_reads(&second, "before", b"before")?;
    assert_reads(&third, "before", b"before")?;
    let lost = id(&second)?;
    life.world.stop_server()?;

    let password = life.world.password_file();
    let by_password = first.cli(&["device", "revoke", &lost, "--password-file", text(&password)?])?;
    assert_eq!(by_password.code, 8, "{}", by_password.json);
    assert_eq!(message(&by_password).lines().count(), 1);
    let revoked = first.ok(&["device", "revoke", &lost, "--words-file", text(&life.words)?])?;
    assert_eq!((&revoked["pending"], &revoked["device"]["state"]), (&true.into(), &"revoking".into()));
    let mut first = first;
    first.stop()?;
    first.restart()?;
    ensure!(list(&first)?.iter().any(|(_, state)| state == "revoking"), "kept over a restart");
    fs::write(first.mount_point().join("offline"), b"offline")?;

    life.world.start_server()?;
    first.wait()?;
    ensure!(list(&first)?.iter().filter(|(_, state)| state == "revoked").count() == 1);
    assert_notices(&second, "device_removed")?;
    let missing = fs::read(second.mount_point().join("offline")).expect_err("nothing new reaches it");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_reads(&third, "offline", b"offline")?;
    write(&third, "by another", b"by another")?;
    assert_reads(&first, "by another", b"by another")?;
    Ok(())
}

/// The second merges what the third writes while nobody else is there. When it hears that the first has
/// removed the third, it hands it on as its own, contents and all; what nobody had merged is left out.
#[test]
fn what_was_merged_before_a_removal_was_heard_of_reaches_everybody() -> Result<()> {
    let (mut life, mut first) = Life::start()?;
    let (mut second, mut third) = (life.world.next_device("second")?, life.world.next_device("third")?);
    let (before, late) = (pseudo_random(4, 300_000), pseudo_random(5, 3_000_000));
    write(&first, "before", &before)?;
    assert_reads(&second, "before", &before)?;
    assert_reads(&third, "before", &before)?;
    let lost = id(&third)?;
    first.stop()?;
    life.world.stop_server()?;
    life.world.stop_node()?;
    fs::write(third.mount_point().join("late"), &late)?;
    fs::write(third.mount_point().join("before"), b"changed late")?;
    assert_arrives(&second, "late", &late)?;
    assert_arrives(&second, "before", b"changed late")?;
    second.stop()?;
    fs::write(third.mount_point().join("too late"), b"nobody merged it")?;
    third.stop()?;

    life.world.start_server()?;
    life.world.start_node()?;
    first.restart()?;
    first.wait()?;
    life.revoke(&first, &lost)?;
    ensure!(!first.mount_point().join("late").exists(), "the first has never seen it");
    second.restart()?;
    for device in [&second, &first] {
        assert_arrives(device, "late", &late)?;
        assert_arrives(device, "before", b"changed late")?;
    }
    second.wait()?;
    second.stop()?;
    drop(second);
    let fourth = life.login("fourth", &life.world.password_file())?;
    assert_reads(&fourth, "late", &late)?;
    assert_reads(&fourth, "before", b"changed late")?;
    for device in [&first, &fourth] {
        ensure!(!device.mount_point().join("too late").exists());
    }
    Ok(())
}

#[test]
fn words_that_do_not_read_are_one_clear_line_and_change_nothing() -> Result<()> {
    let (life, first) = Life::start()?;
    write(&first, "file", b"content")?;
    let second = life.world.device("second")?;
    let words = fs::read_to_string(&life.words)?;
    let list: Vec<&str> = words.split_whitespace().collect();
    let mut swapped = list.clone();
    let other = list.iter().position(|word| word != &list[0]).context("two different words")?;
    swapped.swap(0, other);
    let slips = [list[1..].join(" "), format!("freehold {}", list[1..].join(" ")), swapped.join(" ")];
    for slip in &slips {
        let path = life.world.dir().join("slip");
        fs::write(&path, slip)?;
        let refused = life.try_recover(&second, &path)?;
        // Every 256th swap passes the checksum; then no account has the words.
        assert!(matches!(refused.code, 2 | 4), "{}", refused.json);
        let line = message(&refused);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(!line.contains(list[1]), "no word is repeated: {line}");
    }
    assert!(second.ok(&["whoami"])?["user"].is_null());
    assert!(!second.home().join("client/device.key").exists(), "nothing stays behind");
    assert_eq!(first.ok(&["recovery", "test", "--words-file", text(&life.words)?])?["fresh"], true);
    assert_reads(&first, "file", b"content")?;
    Ok(())
}
