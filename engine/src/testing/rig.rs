//! A device on a [`TraceDisk`]: one key, one cache, a clock set by hand, opened again at will.

use crate::testing::TraceDisk;
use crate::volume::Clock;
use crate::{Author, FsError, Ino, Kind, NewNode, OpenError, Recovery, Time, Volume, VolumeOptions, limits};
use freehold_crypto::{DeviceSecret, Secret32, VaultKey, VaultKeyring};
use freehold_model::{DeviceId, VaultId};
use freehold_store::{CacheOptions, CacheStore};
use parking_lot::Mutex;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A clock set by hand.
#[derive(Clone, Default)]
pub(crate) struct HandClock(Arc<Mutex<i64>>);

impl HandClock {
    pub(crate) fn pass(&self, secs: i64) {
        *self.0.lock() += secs;
    }
}

impl Clock for HandClock {
    fn now(&self) -> Time {
        Time { secs: 1_800_000_000 + *self.0.lock(), nanos: 0 }
    }
}

/// One device.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) disk: TraceDisk,
    pub(crate) index: Option<PathBuf>,
    pub(crate) chunks: Arc<CacheStore>,
    pub(crate) keyring: Arc<VaultKeyring>,
    pub(crate) clock: HandClock,
    pub(crate) device: u8,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::device(1)
    }

    pub(crate) fn device(device: u8) -> Self {
        let options = CacheOptions::with_cap(1 << 30);
        let (chunks, _) =
            CacheStore::open_on(Arc::new(TraceDisk::default()), options).expect("an empty disk");
        let key = VaultKey::from_parts(1, Secret32::from_bytes([9; 32]));
        let keyring =
            VaultKeyring::new(VaultId::from_bytes([3; 16]), vec![key]).expect("one first generation");
        Self {
            disk: TraceDisk::default(),
            index: None,
            chunks: Arc::new(chunks),
            keyring: Arc::new(keyring),
            clock: HandClock::default(),
            device,
        }
    }

    /// The same device on another disk.
    pub(crate) fn on(&self, disk: TraceDisk) -> Self {
        Self { disk, ..self.clone() }
    }

    fn options(&self, secret: u8) -> VolumeOptions {
        VolumeOptions {
            author: Author { device: DeviceId::from_bytes([self.device; 16]), incarnation: 1 },
            uid: 1000,
            gid: 1000,
            local_key: Arc::new(DeviceSecret::from_bytes([secret; 32]).local_key()),
            keyring: Arc::clone(&self.keyring),
            chunks: Arc::clone(&self.chunks),
            files_in_memory: limits::FILES_IN_MEMORY,
            clock: Box::new(self.clock.clone()),
        }
    }

    pub(crate) fn try_open_with(&self, secret: u8) -> Result<(Arc<Volume>, Recovery), OpenError> {
        Volume::open_on(Arc::new(self.disk.clone()), self.index.clone(), self.options(secret))
    }

    /// Opens in a directory of the operating system, flush thread and all.
    pub(crate) fn open_in(&self, dir: &Path) -> Result<(Arc<Volume>, Recovery), OpenError> {
        Volume::open(dir, self.options(self.device))
    }

    pub(crate) fn open_reporting(&self) -> (Arc<Volume>, Recovery) {
        self.try_open_with(self.device).expect("the local state opens")
    }

    pub(crate) fn open(&self) -> Arc<Volume> {
        self.open_reporting().0
    }
}

/// What to create for a plain file.
pub(crate) fn file() -> NewNode {
    NewNode { kind: Kind::File, mode: 0o644, uid: 1, gid: 2, rdev: 0, target: None }
}

/// Reads a whole file from this device.
pub(crate) fn read(volume: &Arc<Volume>, ino: Ino) -> Result<Vec<u8>, FsError> {
    let (send, receive) = mpsc::channel();
    let deadline = Instant::now() + Duration::from_secs(10);
    volume.read(ino, 0, u32::MAX, deadline, Box::new(move |result| drop(send.send(result))));
    receive.recv().expect("a read always answers").map(|bytes| bytes.to_vec())
}

/// The node a name leads to.
pub(crate) fn child(volume: &Volume, dir: Ino, name: &[u8]) -> Option<Ino> {
    volume.lock_names(&[(dir, name)]).expect("the index is there").child(dir, name)
}

/// The names in a directory, sorted.
pub(crate) fn names(volume: &Volume, dir: Ino) -> Vec<String> {
    let (mut names, mut after) = (Vec::new(), 0);
    loop {
        let before = names.len();
        let tables = volume.lock_listing(dir, after).expect("the index is there");
        tables.list(dir, after, |cookie, name, _| {
            names.push(String::from_utf8_lossy(name).into_owned());
            after = cookie;
            ControlFlow::Continue(())
        });
        if names.len() == before {
            break;
        }
    }
    names.sort();
    names
}
