//! sqlite on the mount, its journal of either kind: what it said was committed is there, whoever is killed.

use crate::program::{Mode, mounted, remount, succeed, wait_within};
use anyhow::{Context, Result, bail, ensure};
use freehold_tests::{ARRIVAL, Device, Draw, World, is_long, say, seed, wait_until};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The journal, and the least `synchronous` with which a commit is durable by sqlite's own documents: with DELETE
/// the commit is the removal of a name, which only EXTRA flushes.
const JOURNALS: [(&str, &str); 2] = [("DELETE", "EXTRA"), ("WAL", "FULL")];

const ROUNDS: usize = 5;
const ROUNDS_LONG: usize = 40;

/// Commits seen before somebody is killed.
const COMMITS: u64 = 20;

/// The numbers sqlite said were committed.
#[derive(Clone, Default)]
struct Acks {
    numbers: Arc<Mutex<BTreeSet<u64>>>,
    count: Arc<AtomicU64>,
}

impl Acks {
    /// Takes the last acknowledgement back. Where a daemon dies between the removal of sqlite's journal and the
    /// flush of the folder, sqlite cannot open the folder, ignores that, and says the row was committed
    /// (`unixDelete` in sqlite's os_unix.c): the one row that nobody ever asked to be flushed.
    fn forget_newest(&self) {
        self.numbers.lock().expect("nobody panics").pop_last();
    }

    fn newest(&self) -> Option<u64> {
        self.numbers.lock().expect("nobody panics").last().copied()
    }
}

/// A sqlite that inserts one row a transaction until it is killed.
struct Inserting {
    child: Child,
    feeding: JoinHandle<()>,
    reading: JoinHandle<()>,
}

impl Inserting {
    fn start(database: &Path, (journal, synchronous): (&str, &str), from: u64, acks: &Acks) -> Result<Self> {
        // Line by line: an acknowledgement that stays in a buffer would promise less.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "sqlite3", "-batch"]).arg(database);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut input = child.stdin.take().context("its input")?;
        let output = BufReader::new(child.stdout.take().context("its output")?);
        writeln!(input, ".bail on\nPRAGMA journal_mode={journal};\nPRAGMA synchronous={synchronous};")?;
        writeln!(input, "CREATE TABLE IF NOT EXISTS rows(number INTEGER PRIMARY KEY, filling BLOB);")?;
        let feeding = std::thread::spawn(move || {
            for number in from.. {
                let line = format!(
                    "INSERT INTO rows VALUES({number}, randomblob({}));\n.print ack {number}\n",
                    number % 3_000
                );
                // It was killed: that is the end.
                if input.write_all(line.as_bytes()).is_err() {
                    return;
                }
            }
        });
        let acks = acks.clone();
        let reading = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let number = line.strip_prefix("ack ").and_then(|number| number.parse().ok());
                if let Some(number) = number {
                    acks.numbers.lock().expect("nobody panics").insert(number);
                    acks.count.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { child, feeding, reading })
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        wait_within(&mut self.child, Duration::from_secs(60))?;
        for thread in [self.feeding, self.reading] {
            if thread.join().is_err() {
                bail!("a thread of the test panicked");
            }
        }
        Ok(())
    }
}

/// Asks sqlite.
fn ask(database: &Path, question: &str) -> Result<String> {
    Ok(succeed(Command::new("sqlite3").arg("-batch").arg(database).arg(question))?.trim().to_owned())
}

/// Whether the database is whole and has every acknowledged row; the last row.
fn check(database: &Path, acks: &Acks) -> Result<u64> {
    let integrity = ask(database, "PRAGMA integrity_check;")?;
    ensure!(integrity == "ok", "integrity: {integrity}");
    let rows: BTreeSet<u64> =
        ask(database, "SELECT number FROM rows;")?.lines().filter_map(|line| line.parse().ok()).collect();
    let acks = acks.numbers.lock().expect("nobody panics");
    let lost: Vec<_> = acks.difference(&rows).collect();
    ensure!(lost.is_empty(), "{} committed rows are gone: {lost:?}", lost.len());
    Ok(rows.last().copied().unwrap_or(0))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Program,
    Daemon,
}

struct Loop<'a> {
    device: &'a mut Device,
    database: PathBuf,
    journal: (&'a str, &'a str),
    acks: Acks,
    next: u64,
}

impl Loop<'_> {
    fn round(&mut self, victim: Victim, draw: &mut Draw) -> Result<()> {
        let before = self.acks.count.load(Ordering::Relaxed);
        let inserting = Inserting::start(&self.database, self.journal, self.next, &self.acks)?;
        let enough = before + COMMITS + draw.below(60);
        wait_until("commits", ARRIVAL, || self.acks.count.load(Ordering::Relaxed) >= enough)?;
        let newest = self.acks.newest();
        if victim == Victim::Daemon {
            self.device.kill()?;
        }
        inserting.kill()?;
        if victim == Victim::Daemon {
            self.device.restart()?;
        }
        let journal = ask(&self.database, "PRAGMA journal_mode;")?;
        ensure!(journal.eq_ignore_ascii_case(self.journal.0), "the journal is {journal}");
        let is_doubtful = victim == Victim::Daemon && self.journal.0 == "DELETE";
        if is_doubtful && self.acks.newest() != newest {
            self.acks.forget_newest();
        }
        // What was not acknowledged may be there all the same.
        self.next = check(&self.database, &self.acks)? + 1;
        Ok(())
    }
}

#[test]
fn committed_rows_survive_the_end_of_the_program_and_of_the_daemon() -> Result<()> {
    let mut draw = Draw::new(seed("sqlite"));
    let rounds = if is_long() { ROUNDS_LONG } else { ROUNDS };
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        for journal in JOURNALS {
            let folder = device.mount_point().join("databases");
            std::fs::create_dir_all(&folder)?;
            let database = folder.join(format!("{}.db", journal.0));
            let mut work = Loop {
                device: &mut device,
                database: database.clone(),
                journal,
                acks: Acks::default(),
                next: 1,
            };
            for round in 0..rounds {
                for victim in [Victim::Program, Victim::Daemon] {
                    work.round(victim, &mut draw).with_context(|| {
                        format!("{mode:?}, {journal:?}, round {round}, killed: {victim:?}")
                    })?;
                }
            }
            let acks = work.acks.clone();
            remount(&mut device)?;
            check(&database, &acks)?;
            let count = acks.count.load(Ordering::Relaxed);
            say(&format!("sqlite {mode:?} {}: {count} acknowledged rows, {} kills", journal.0, 2 * rounds));
        }
    }
    Ok(())
}
