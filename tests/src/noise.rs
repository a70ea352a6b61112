//! Programs that read, list, rename, truncate and write without asking for a promise, on a thread of their own.
//!
//! Beside a [`Writer`](crate::Writer) they make the load mixed. Their mount may die under them and come back: what fails
//! is tried no more.

use crate::seed::Draw;
use crate::tree::pseudo_random;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Names at most.
const NAMES: u64 = 8;

/// Between two steps: the load is to be mixed, not to fill the disk, and fewer files may go in a minute than would have
/// the other devices ask whether that was meant.
const PACE: Duration = Duration::from_millis(100);

/// The running programs.
#[derive(Debug)]
pub struct Noise {
    thread: JoinHandle<u64>,
    stop: Arc<AtomicBool>,
}

impl Noise {
    /// Starts them in `folder`, which exists.
    #[must_use]
    pub fn start(folder: &Path, draw: Draw) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ending = Arc::clone(&stop);
        let mut hand = Hand { folder: folder.to_owned(), draw };
        let thread = std::thread::spawn(move || {
            let mut succeeded = 0;
            while !ending.load(Ordering::Relaxed) {
                succeeded += u64::from(hand.step().is_ok());
                std::thread::sleep(PACE);
            }
            succeeded
        });
        Self { thread, stop }
    }

    /// Ends them; how many steps succeeded.
    #[must_use]
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the programs do not panic")
    }
}

struct Hand {
    folder: PathBuf,
    draw: Draw,
}

impl Hand {
    fn name(&mut self) -> PathBuf {
        self.folder.join(format!("noise {}", self.draw.below(NAMES)))
    }

    fn step(&mut self) -> io::Result<()> {
        let name = self.name();
        match self.draw.below(8) {
            0 => {
                let len = usize::try_from(self.draw.below(100_000)).unwrap_or(0);
                fs::write(name, pseudo_random(self.draw.next(), len))
            }
            1 => {
                let patch = pseudo_random(self.draw.next(), 3_000);
                File::options().write(true).open(name)?.write_all_at(&patch, self.draw.below(90_000))
            }
            2 => File::options().write(true).open(name)?.set_len(self.draw.below(100_000)),
            3 => fs::rename(name, self.name()),
            4 => self.move_a_tree(),
            5 => fs::remove_file(name),
            6 => fs::read(name).map(drop),
            _ => {
                for entry in fs::read_dir(&self.folder)? {
                    entry?.metadata()?;
                }
                Ok(())
            }
        }
    }

    /// Makes a small tree, or moves it to its other name.
    fn move_a_tree(&self) -> io::Result<()> {
        let [tree, moved] = ["tree", "moved tree"].map(|name| self.folder.join(name));
        if moved.exists() {
            return fs::rename(&moved, &tree);
        }
        if !tree.exists() {
            // Never the folder itself: without a mount there is none, and there must be none.
            fs::create_dir(&tree)?;
            fs::create_dir(tree.join("sub"))?;
            fs::write(tree.join("sub/file"), "content")?;
        }
        fs::rename(&tree, &moved)
    }
}
