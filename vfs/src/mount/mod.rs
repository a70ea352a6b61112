//! Mounts a volume, and takes the mount down again.
//!
//! Mounting: check the path (`target`), get a mounted descriptor (`device`), agree with the kernel
//! (`fuse`), then serve on a thread of its own. The volume's notices reach the kernel
//! through the invalidation queue from then on.
//!
//! Unmounting is the kernel's doing: it pushes the dirty pages it holds while the unmount runs, so
//! the loops must serve until they return by themselves, and only then is the volume flushed and
//! the mount over. The queue is disarmed first, because a notification during shutdown can make the
//! process unkillable. The daemon never opens, stats or lists anything inside its own mount: a
//! request to itself may wait for the very thread that would answer it.

mod connection;
mod device;
mod error;
mod read_ahead;
mod table;
mod target;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use freehold_engine::Volume;
use parking_lot::{Condvar, Mutex};

pub use self::error::MountError;
use crate::MountOptions;
use crate::fs::Filesystem;
use crate::fuse::{self, Attached, Serving};
use crate::notifier::{self, InvalQueue};

/// How a mount goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmount {
    /// Only if nothing in it is in use; else the mount stays as it is.
    Clean,
    /// At once from the tree; open files work on, and the mount ends with the last of them.
    Detach,
}

/// Mounts `volume` on the empty directory `point` and serves it on threads of its own.
///
/// # Errors
/// See [`MountError`]; nothing is left mounted then.
pub fn mount(point: &Path, volume: Arc<Volume>, options: &MountOptions) -> Result<MountHandle, MountError> {
    let point = target::prepare(point)?;
    let (descriptor, via) = device::mount(&point, options)?;
    match serve(&point, via, descriptor, volume, options) {
        Ok(handle) => Ok(handle),
        Err(error) => {
            // The descriptor is closed, so the mount is dead already; the first error is the one to
            // tell.
            drop(device::unmount(&point, via, true));
            Err(error)
        }
    }
}

fn serve(
    point: &Path,
    via: device::Via,
    descriptor: std::os::fd::OwnedFd,
    volume: Arc<Volume>,
    options: &MountOptions,
) -> Result<MountHandle, MountError> {
    let kernel = |what| move |source| MountError::Kernel { what, source };
    let invals = Arc::new(InvalQueue::default());
    let filesystem = Arc::new(Filesystem::new(volume.clone(), invals.clone(), options.strict));
    let mounted = table::mounted_at(point)
        .map_err(kernel("the mount table cannot be read"))?
        .ok_or(MountError::NotOurs)?;
    let (connection, at) = (mounted.device.clone(), point.to_owned());
    let abort = Arc::new(move || connection::abort(&connection, &at));
    let serving = Serving { rings: !options.classic, abort };
    let Attached { serve, kernel: notify } = fuse::attach(filesystem, descriptor, serving)
        .map_err(kernel("the kernel and this program could not agree"))?;
    read_ahead::raise(&mounted.device);
    let notifier = notifier::spawn(invals.clone(), notify).map_err(kernel("no thread for notifications"))?;
    let notices = invals.clone();
    volume.set_notify(Box::new(move |notice| notices.publish(notice)));

    let end = Arc::new(End::default());
    let (queue, ended) = (invals.clone(), end.clone());
    let run = move || {
        let outcome = serve();
        queue.close();
        // Every count of references the kernel held is void, and everything it handed over must be
        // on disk.
        let flushed = volume.fsync(None);
        let joined = notifier.join();
        // Whoever waits for the end may want to open the volume's directory again.
        drop(volume);
        ended.set(match (outcome, flushed, joined) {
            (Err(error), _, _) => Err(error.to_string()),
            (_, Err(error), _) => Err(error.to_string()),
            (_, _, Err(_)) => Err("the notifier thread panicked".into()),
            _ => Ok(()),
        });
    };
    thread::Builder::new()
        .name("freehold-mount".into())
        .spawn(run)
        .map_err(kernel("no thread to serve the mount"))?;
    Ok(MountHandle { point: point.to_owned(), id: mounted.id, via, invals, end })
}

/// A served mount. Dropping the handle detaches the mount if it is still there.
pub struct MountHandle {
    point: PathBuf,
    id: u64,
    via: device::Via,
    invals: Arc<InvalQueue>,
    end: Arc<End>,
}

impl fmt::Debug for MountHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountHandle")
            .field("via", &self.via)
            .field("is_serving", &self.is_serving())
            .finish_non_exhaustive()
    }
}

impl MountHandle {
    /// Where it is mounted, with all links resolved.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Whether requests are still served; false after an unmount by anyone.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.end.state.lock().is_none()
    }

    /// Blocks until the kernel has heard of every remote change published so far.
    pub fn settle(&self) {
        self.invals.drain();
    }

    /// Takes the mount down. What the kernel holds unwritten reaches the volume before this
    /// returns, but requests may still come until [`Self::wait`] returns.
    ///
    /// # Errors
    /// `Busy` for a clean unmount of a mount in use, `NotOurs` if it is no longer on top at its
    /// path, else `Unmount`.
    pub fn unmount(&self, how: Unmount) -> Result<(), MountError> {
        if !self.is_serving() {
            return Ok(());
        }
        let on_top = table::mounted_at(&self.point).map_err(MountError::Unmount)?;
        if on_top.is_none_or(|mounted| mounted.id != self.id) {
            return Err(MountError::NotOurs);
        }
        self.invals.disarm();
        let unmounted = device::unmount(&self.point, self.via, how == Unmount::Detach);
        if unmounted.is_err() {
            self.invals.rearm();
        }
        unmounted
    }

    /// Blocks until the event loops have returned and the volume is flushed.
    ///
    /// # Errors
    /// `Loop` if serving or the last flush failed.
    pub fn wait(&self) -> Result<(), MountError> {
        let mut state = self.end.state.lock();
        loop {
            if let Some(outcome) = &*state {
                return outcome.clone().map_err(MountError::Loop);
            }
            self.end.changed.wait(&mut state);
        }
    }

    /// As [`Self::wait`], but for at most `limit`; `None` if the mount is still served then.
    pub fn wait_for(&self, limit: Duration) -> Option<Result<(), MountError>> {
        let deadline = Instant::now() + limit;
        let mut state = self.end.state.lock();
        while state.is_none() && !self.end.changed.wait_until(&mut state, deadline).timed_out() {}
        state.clone().map(|outcome| outcome.map_err(MountError::Loop))
    }
}

impl Drop for MountHandle {
    fn drop(&mut self) {
        if let Err(error) = self.unmount(Unmount::Detach) {
            tracing::warn!(%error, "the mount could not be detached");
        }
    }
}

/// How serving ended, once it has.
#[derive(Debug, Default)]
struct End {
    state: Mutex<Option<Result<(), String>>>,
    changed: Condvar,
}

impl End {
    fn set(&self, outcome: Result<(), String>) {
        *self.state.lock() = Some(outcome);
        self.changed.notify_all();
    }
}
