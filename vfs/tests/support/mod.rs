//! A real volume in a temporary directory, for tests with and without FUSE.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_crypto::{DeviceSecret, VaultKey, VaultKeyring};
use freehold_engine::{Author, OpenError, SystemClock, Volume, VolumeOptions};
use freehold_model::{DeviceId, Entropy, VaultId};
use freehold_store::{CacheOptions, CacheStore, StoreError};

/// The device that mounts.
const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);
const VAULT: VaultId = VaultId::from_bytes([2; 16]);
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// The same bytes every time, so that a directory can be opened again: keys here protect nothing.
struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

/// Tries again while `is_held` says that something is still in use: a program that another test is just
/// starting holds a copy of every descriptor until it runs, so files, locks and mounts may be in use a
/// moment longer than their owner uses them.
pub(crate) fn once_free<T, E>(
    mut attempt: impl FnMut() -> Result<T, E>,
    is_held: fn(&E) -> bool,
) -> Result<T, E> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match attempt() {
            Err(error) if is_held(&error) && Instant::now() < deadline => std::thread::yield_now(),
            outcome => return outcome,
        }
    }
}

/// Opens the volume in `dir`, creating it at first, its root owned by whoever runs the test.
pub(crate) fn open_volume(dir: &Path) -> Arc<Volume> {
    let cache = dir.join("cache");
    let open = || CacheStore::open(&cache, CacheOptions::with_cap(CACHE_BYTES));
    let (chunks, _) =
        once_free(open, |error| matches!(error, StoreError::InUse)).expect("a chunk cache opens");
    let keyring =
        VaultKeyring::new(VAULT, vec![VaultKey::generate(&mut Fixed)]).expect("one generation will do");
    let (keyring, chunks) = (Arc::new(keyring), Arc::new(chunks));
    let options = || VolumeOptions {
        author: Author { device: DEVICE, incarnation: 1 },
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        local_key: Arc::new(DeviceSecret::generate(&mut Fixed).local_key()),
        keyring: Arc::clone(&keyring),
        chunks: Arc::clone(&chunks),
        // Nearly every file sleeps as soon as it may.
        files_in_memory: 16,
        clock: Box::new(SystemClock),
    };
    let open = || Volume::open(dir, options());
    let (volume, recovery) = once_free(open, |error| matches!(error, OpenError::Busy))
        .expect("the state directory is free and whole");
    assert!(
        recovery.damaged_segments.is_empty() && recovery.damaged_files.is_empty(),
        "the journal is damaged"
    );
    volume
}
