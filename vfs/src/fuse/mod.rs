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
use self::ring::Rings;
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

/// Agrees with the kernel on a mounted `/dev/fuse`. Requests queue up in the kernel until
/// [`Attached::serve`] runs. With `rings`, they come through rings where the kernel can.
///
/// # Errors
/// The kernel's answer, or `Unsupported` if it lacks a feature the filesystem depends on.
pub(crate) fn attach(filesystem: Arc<Filesystem>, descriptor: OwnedFd, rings: bool) -> io::Result<Attached> {
    let device = Arc::new(Device::new(descriptor));
    let strict = filesystem.is_strict();
    // Made first: once the kernel was promised rings it waits for them.
    let rings = match rings.then(|| Rings::new(&device)).transpose() {
        Ok(rings) => rings,
        Err(error) => {
            tracing::info!(%error, "no io_uring here; requests come through /dev/fuse");
            None
        }
    };
    let agreed = device.agree(Wishes { strict, rings: rings.is_some() })?;
    let rings = rings.filter(|_| agreed);
    tracing::info!(rings = rings.is_some(), "the mount agreed with the kernel");
    let kernel = Box::new(Notices(Arc::clone(&device)));
    let dispatch = Arc::new(Dispatch::new(filesystem));
    Ok(Attached { serve: Box::new(move || serve(&device, rings, &dispatch)), kernel })
}

fn serve(device: &Arc<Device>, rings: Option<Rings>, dispatch: &Arc<Dispatch>) -> io::Result<()> {
    let lanes = rings.map(|rings| rings.serve(dispatch)).transpose()?.unwrap_or_default();
    let first = thread::scope(|scope| {
        let others: Vec<_> = (1..EVENT_LOOPS)
            .map(|number| {
                thread::Builder::new()
                    .name(format!("freehold-fuse{number}"))
                    .spawn_scoped(scope, || device.serve(dispatch))
            })
            .collect::<Result<_, _>>()?;
        let first = device.serve(dispatch);
        let panicked = |_| Err(io::Error::other("an event loop panicked"));
        others.into_iter().map(|other| other.join().unwrap_or_else(panicked)).fold(first, Result::and)
    });
    for lane in lanes {
        if lane.join().is_err() {
            tracing::error!("bug: a ring's thread panicked");
        }
    }
    first
}
