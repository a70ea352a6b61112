//! A real volume in a temporary directory, for tests with and without FUSE.

use std::path::Path;
use std::sync::Arc;

use freehold_crypto::{DeviceSecret, VaultKey, VaultKeyring};
use freehold_engine::{Author, SystemClock, Volume, VolumeOptions};
use freehold_model::{DeviceId, Entropy, VaultId};
use freehold_store::{CacheOptions, CacheStore};

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

/// Opens the volume in `dir`, creating it at first, its root owned by whoever runs the test.
pub(crate) fn open_volume(dir: &Path) -> Arc<Volume> {
    let (chunks, _) = CacheStore::open(&dir.join("cache"), CacheOptions::with_cap(CACHE_BYTES))
        .expect("a chunk cache opens");
    let keyring =
        VaultKeyring::new(VAULT, vec![VaultKey::generate(&mut Fixed)]).expect("one generation will do");
    let options = VolumeOptions {
        author: Author { device: DEVICE, incarnation: 1 },
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        local_key: Arc::new(DeviceSecret::generate(&mut Fixed).local_key()),
        keyring: Arc::new(keyring),
        chunks: Arc::new(chunks),
        clock: Box::new(SystemClock),
    };
    let (volume, recovery) = Volume::open(dir, options).expect("the state directory is free and whole");
    assert!(
        recovery.damaged_segments.is_empty() && recovery.damaged_files.is_empty(),
        "the journal is damaged"
    );
    volume
}
