//! A program that writes files and believes what `fsync` tells it, on a thread of its own.
//!
//! It makes, replaces, appends to, renames over and removes files in one folder of a mount, as a seeded sequence
//! says, and notes every promise in an [`Oracle`]. It ends when it is told to, or when the mount dies under it.

use crate::oracle::{Oracle, Way};
use crate::seed::Draw;
use crate::tree::pseudo_random;
use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Names the writer uses at most; when all are taken it changes what is there.
const NAMES: u64 = 40;

/// Where in time we are: positions of a trace, or nothing.
pub type Place = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The running program.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<(Oracle, io::Result<()>)>,
    stop: Arc<AtomicBool>,
    acks: Arc<AtomicU64>,
}

impl Writer {
    /// Starts writing into `folder`, going on from an oracle.
    #[must_use]
    pub fn start(folder: &Path, oracle: Oracle, draw: Draw, place: Place) -> Self {
        Self::start_paced(folder, oracle, draw, place, Duration::ZERO)
    }

    /// As [`Self::start`], with a pause behind each step: what it writes in an hour must fit on a disk.
    #[must_use]
    pub fn start_paced(folder: &Path, oracle: Oracle, draw: Draw, place: Place, pace: Duration) -> Self {
        let (stop, acks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(oracle.acks())));
        let mut hand = Hand { folder: folder.to_owned(), oracle, draw, place };
        let (ending, count) = (Arc::clone(&stop), Arc::clone(&acks));
        let thread = std::thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                if let Err(error) = hand.step() {
                    return (hand.oracle, Err(error));
                }
                count.store(hand.oracle.acks(), Ordering::Relaxed);
                std::thread::sleep(pace);
            }
            (hand.oracle, Ok(()))
        });
        Self { thread, stop, acks }
    }

    /// How much was acknowledged so far.
    #[must_use]
    pub fn acks(&self) -> u64 {
        self.acks.load(Ordering::Relaxed)
    }

    /// Ends the program, whose mount is healthy.
    ///
    /// # Errors
    /// When the mount had refused it something.
    pub fn stop(self) -> Result<Oracle> {
        self.stop.store(true, Ordering::Relaxed);
        let (oracle, outcome) = self.join();
        outcome.context("a mount that is served refused a write")?;
        Ok(oracle)
    }

    /// Waits for the end of a program whose mount was killed.
    #[must_use]
    pub fn after_kill(self) -> Oracle {
        self.stop.store(true, Ordering::Relaxed);
        self.join().0
    }

    fn join(self) -> (Oracle, io::Result<()>) {
        self.thread.join().expect("the writer does not panic")
    }
}

/// One thing at a time.
struct Hand {
    folder: PathBuf,
    oracle: Oracle,
    draw: Draw,
    place: Place,
}

impl Hand {
    fn step(&mut self) -> io::Result<()> {
        let name = format!("file {}", self.draw.below(NAMES));
        let settled = self.oracle.settled(&name).map(<[u8]>::to_vec);
        match (self.draw.below(6), settled) {
            (0, Some(_)) => self.remove(&name),
            (1 | 2, Some(before)) => self.append(&name, before),
            (3, _) => self.create_beside(),
            _ => self.replace(&name),
        }
    }

    fn content(&mut self) -> Vec<u8> {
        // Inline, one chunk, several chunks: mostly small.
        let len_max = [500, 3_000, 3_000, 60_000, 300_000][usize::try_from(self.draw.below(5)).unwrap_or(0)];
        let len = self.draw.below(len_max);
        pseudo_random(self.draw.next(), usize::try_from(len).unwrap_or(0))
    }

    /// A new file of its own name: fsync promises data, size and name at once.
    fn create_beside(&mut self) -> io::Result<()> {
        let (name, content) = (format!("new {}", self.draw.next()), self.content());
        self.oracle.begin(&name, Way::Whole, Some(content.clone()), (self.place)());
        let mut file = File::create_new(self.folder.join(&name))?;
        file.write_all(&content)?;
        file.sync_all()?;
        self.acknowledge(&name);
        Ok(())
    }

    /// The careful save: a temporary file, fsync, rename over, fsync of the folder.
    fn replace(&mut self, name: &str) -> io::Result<()> {
        let (temporary, content) = (self.folder.join("being saved"), self.content());
        self.oracle.begin(name, Way::Whole, Some(content.clone()), (self.place)());
        let mut file = File::create(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, self.folder.join(name))?;
        self.sync_folder()?;
        self.acknowledge(name);
        Ok(())
    }

    fn append(&mut self, name: &str, before: Vec<u8>) -> io::Result<()> {
        let more = self.content();
        let whole = [before, more.clone()].concat();
        self.oracle.begin(name, Way::Grown, Some(whole), (self.place)());
        let mut file = File::options().append(true).open(self.folder.join(name))?;
        file.write_all(&more)?;
        file.sync_data()?;
        self.acknowledge(name);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.oracle.begin(name, Way::Whole, None, (self.place)());
        fs::remove_file(self.folder.join(name))?;
        self.sync_folder()?;
        self.acknowledge(name);
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn acknowledge(&mut self, name: &str) {
        self.oracle.acknowledge(name, (self.place)());
    }
}
