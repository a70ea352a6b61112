//! The power is cut behind *every* operation that server, node and device did, one of them at a time.
//!
//! [`power`](crate::power) starts whole programs at a few places. Here each program's folder is opened in process, so
//! that every prefix of the trace can be had: with all lost that was not flushed, and again with what a seed leaves
//! of it. Prefixes that leave the same folder are opened once.

use crate::parts::{Promises, check_device, check_node, check_server, numbered, stored};
use crate::record::record;
use anyhow::{Context, Result, anyhow, ensure};
use freehold_server::db::{MetaStore, SqliteStore};
use freehold_tests::{
    ARRIVAL, CrashFs, Draw, Image, Recording, SmallDisk, Unflushed, Witness, World, is_long, say, seed,
    wait_until,
};
use freehold_trust::PublicKey;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Instant;

/// Seeds for what was not flushed, beside the one fate in which all of it is lost.
const SEEDS: u64 = 1;
const SEEDS_LONG: u64 = 8;

/// How many of the longest writes are lost, one at a time, until one is missed.
const LONG_WRITES: usize = 8;

/// Threads that open what the cuts leave, and the room they have for it.
const WORKERS: usize = 4;
const IMAGES_MIB: u32 = 256;

/// How a folder is held against the promises: opened at `folder`, left by cuts behind `from` to `until` operations.
type Check = fn(folder: &Path, promises: &Promises, from: u64, until: u64) -> Result<usize>;

/// The three programs.
const PARTS: [(&str, Check); 3] = [
    ("server", |folder, promises, _, until| check_server(folder, promises, until)),
    ("node", |folder, promises, _, until| check_node(folder, promises, until)),
    ("device", check_device),
];

/// What opening all images of one program came to.
#[derive(Default)]
struct Sum {
    opened: u64,
    promises: usize,
    broken: Option<anyhow::Error>,
}

/// A recorded run, and where it may put images.
struct Run {
    disk: CrashFs,
    promises: Promises,
    /// In memory, so that a flush costs nothing; small, so that little is held in reserve for a full disk.
    images: SmallDisk,
    written: AtomicU64,
}

impl Run {
    fn record(world: &mut World, draw: &mut Draw) -> Result<Self> {
        let disk = CrashFs::mount(&world.dir().join("disk"))?;
        world.keep_server_in(disk.path());
        world.start_server()?;
        let server = world.url().trim_start_matches("http://").parse()?;
        let witness = Witness::start(server, &["/commits", "/receipts"], disk.clock())?;
        let story = record(world, &disk, draw, &witness.url())?;
        let images = SmallDisk::mount(&world.dir().join("images"), IMAGES_MIB)?;
        let noted = witness.noted();
        let key = node_key(&disk, &images.path().join("last"))?;
        let promises = Promises { story, commits: numbered(&noted)?, chunks: stored(&noted, &key)? };
        ensure!(!promises.commits.is_empty() && !promises.chunks.is_empty(), "nothing was acknowledged");
        Ok(Self { disk, promises, images, written: AtomicU64::new(0) })
    }

    /// Opens what cuts behind every prefix leave of one program, until a promise is broken.
    fn open_all(
        &self,
        recording: &Recording,
        check: Check,
        unflushed: impl Fn(u64) -> Unflushed,
    ) -> Result<Sum> {
        let sum = Mutex::new(Sum::default());
        let (send, receive) = mpsc::sync_channel::<Image>(2 * WORKERS);
        let receive = Mutex::new(receive);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                let (sum, receive) = (&sum, &receive);
                scope.spawn(move || {
                    loop {
                        let next = lock(receive).recv();
                        let Ok(image) = next else { return };
                        let outcome = self.open_one(&image, check);
                        let mut sum = lock(sum);
                        sum.opened += 1;
                        match outcome {
                            Ok(promises) => sum.promises += promises,
                            Err(error) => sum.broken = Some(error),
                        }
                    }
                });
            }
            recording.images(unflushed, |image| {
                // Once a promise is broken nothing more needs to be opened.
                if lock(&sum).broken.is_none() {
                    send.send(image).map_err(|_| anyhow!("the workers are gone"))?;
                }
                Ok(())
            })?;
            drop(send);
            Ok::<(), anyhow::Error>(())
        })?;
        Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn open_one(&self, image: &Image, check: Check) -> Result<usize> {
        // A database is closed by a thread of its own, which may still reach for files by their path: no two images
        // have one path.
        let folder = self.images.path().join(self.written.fetch_add(1, Ordering::Relaxed).to_string());
        image.write_to(&folder)?;
        let kept = check(&folder, &self.promises, image.from, image.until);
        let kept = kept.with_context(|| {
            format!("cut behind operations {} to {}, {:?}", image.from, image.until, image.unflushed)
        })?;
        wait_until("the image is gone", ARRIVAL, || fs::remove_dir_all(&folder).is_ok() || !folder.exists())?;
        Ok(kept)
    }
}

/// The key the node signs receipts with, as the server's last state has it.
fn node_key(disk: &CrashFs, folder: &Path) -> Result<PublicKey> {
    let mut last = None;
    disk.recording("server").images(
        |_| Unflushed::Kept,
        |image| {
            last = Some(image);
            Ok(())
        },
    )?;
    last.context("no image")?.write_to(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let nodes = runtime.block_on(async {
        let store = SqliteStore::open(&folder.join("server.db"), 0).await?;
        anyhow::Ok(store.nodes().await?)
    })?;
    Ok(nodes.first().context("the node has joined")?.sign_pk)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fate of what was not flushed, at each prefix another one.
fn drawn(seed: u64, round: u64) -> impl Fn(u64) -> Unflushed {
    move |position| Unflushed::Drawn(Draw::new(seed ^ (round << 40) ^ position).next())
}

#[test]
fn a_power_cut_behind_any_operation_breaks_no_promise() -> Result<()> {
    let seed = seed("every prefix");
    let mut world = World::at_rest()?;
    let run = Run::record(&mut world, &mut Draw::new(seed))?;
    let rounds = if is_long() { SEEDS_LONG } else { SEEDS };
    for (name, check) in PARTS {
        let (recording, start) = (run.disk.recording(name), Instant::now());
        let mut fates: Vec<Box<dyn Fn(u64) -> Unflushed>> = vec![Box::new(|_| Unflushed::Lost)];
        fates.extend((0..rounds).map(|round| Box::new(drawn(seed, round)) as Box<dyn Fn(u64) -> Unflushed>));
        if is_long() {
            fates.push(Box::new(|_| Unflushed::Kept));
        }
        let (mut opened, mut promises) = (0, 0);
        for fate in fates {
            let sum = run.open_all(&recording, check, fate)?;
            if let Some(broken) = sum.broken {
                return Err(broken.context(format!("{name}, seed {seed}")));
            }
            (opened, promises) = (opened + sum.opened, promises + sum.promises);
        }
        ensure!(promises > 0, "{name}: nothing was promised");
        say(&format!(
            "{name}: all {} prefixes, {} of its own operations, {opened} folders opened, {promises} promises kept, {} s",
            recording.end(),
            recording.own(),
            start.elapsed().as_secs()
        ));
    }
    Ok(())
}

#[test]
fn a_disk_that_loses_what_it_had_flushed_is_noticed() -> Result<()> {
    let mut world = World::at_rest()?;
    let run = Run::record(&mut world, &mut Draw::new(seed("broken promises")))?;
    for (name, check) in PARTS {
        let is_missed = |recording: &Recording| -> Result<bool> {
            Ok(run.open_all(recording, check, |_| Unflushed::Lost)?.broken.is_some())
        };
        // A chunk that lies on the node as well, or a row that the journal has, is not missed: one of them is.
        let mut number = 0;
        while !is_missed(&run.disk.recording(name).without_long_write(number))? {
            number += 1;
            ensure!(number < LONG_WRITES, "{name}: none of its longest writes was missed");
        }
        let late = run.disk.recording(name).without_late_flushes();
        ensure!(is_missed(&late)?, "{name}: nothing that was not flushed was missed");
    }
    Ok(())
}
