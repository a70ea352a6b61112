//! FUSE: the kernel's requests to the filesystem and its answers back.
//!
//! [`attach`] agrees with the kernel and serves both transports of one mount: [`ring`], where the
//! kernel has it, and the classic [`device`], which needs nothing and always runs. Both read a
//! [`request`], have it carried out by [`dispatch`] and send its [`body`]; a READ's answer may come
//! [`late`]. [`abi`] is the kernel's side, byte for byte; [`flags`] is what is agreed at the start.
//!
//! This is our own instead of a library's because no library has rings with bound threads, and the
//! wake-up of another processor is most of what a request costs (ADR 27).

mod abi;
mod body;
mod device;
mod dispatch;
mod flags;
mod late;
mod request;
mod ring;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use self::device::{Device, Notices};
use self::dispatch::Dispatch;
use self::flags::Wishes;
use self::ring::{Abort, Rings};
use crate::fs::Filesystem;
use crate::limits::EVENT_LOOPS;
use crate::notifier::KernelNotify;

/// A mount ready to serve.
pub(crate) struct Attached {
    /// Serves requests on its own threads until the mount is gone, then returns.
    pub(crate) serve: Box<dyn FnOnce() -> io::Result<()> + Send>,
    /// The way back: invalidations to the kernel.
    pub(crate) kernel: Box<dyn KernelNotify>,
}

/// How a mount is to be served.
pub(crate) struct Serving {
    /// Through rings, where the kernel has them.
    pub(crate) rings: bool,
    /// Breaks the kernel's connection off.
    pub(crate) abort: Abort,
}

/// Agrees with the kernel on a mounted `/dev/fuse`. Requests queue up in the kernel until
/// [`Attached::serve`] runs.
///
/// # Errors
/// The kernel's answer, or `Unsupported` if it lacks a feature the filesystem depends on.
pub(crate) fn attach(
    filesystem: Arc<Filesystem>,
    descriptor: OwnedFd,
    serving: Serving,
) -> io::Result<Attached> {
    let device = Arc::new(Device::new(descriptor));
    let strict = filesystem.is_strict();
    let dispatch = Arc::new(Dispatch::new(filesystem));
    let (unique, offer) = device.offer()?;
    // Before they are promised: the kernel waits for them then.
    let rings = (serving.rings && offer.has_rings())
        .then(|| Rings::prepare(&device, &dispatch, Arc::clone(&serving.abort)))
        .and_then(|rings| {
            rings.inspect_err(|error| tracing::info!(%error, "no io_uring; requests come by /dev/fuse")).ok()
        });
    device.accept(unique, &offer, Wishes { strict, rings: rings.is_some() })?;
    tracing::info!(rings = rings.is_some(), "the mount agreed with the kernel");
    let kernel = Box::new(Notices(Arc::clone(&device)));
    let abort = serving.abort;
    Ok(Attached { serve: Box::new(move || serve(&device, rings, &dispatch, &abort)), kernel })
}

fn serve(
    device: &Arc<Device>,
    rings: Option<Rings>,
    dispatch: &Arc<Dispatch>,
    abort: &Abort,
) -> io::Result<()> {
    if let Some(rings) = &rings {
        rings.open();
    }
    let run = |device: &Arc<Device>, dispatch: &Dispatch| {
        device.serve(dispatch).inspect_err(|error| tracing::error!(%error, "a loop of the mount failed"))
    };
    let others = (1..EVENT_LOOPS).filter_map(|number| {
        let (device, dispatch) = (Arc::clone(device), Arc::clone(dispatch));
        let thread = thread::Builder::new().name(format!("freehold-fuse{number}"));
        // One loop is enough to go on with.
        thread
            .spawn(move || run(&device, &dispatch))
            .inspect_err(|error| tracing::warn!(%error, "the mount has a loop less"))
            .ok()
    });
    let others: Vec<_> = others.collect();
    let first = run(device, dispatch);
    let panicked = |_| Err(io::Error::other("an event loop panicked"));
    let outcome =
        others.into_iter().map(|other| other.join().unwrap_or_else(panicked)).fold(first, Result::and);
    if outcome.is_err() {
        // Rings alone are no mount.
        abort();
    }
    if let Some(rings) = rings {
        rings.close();
    }
    outcome
}
