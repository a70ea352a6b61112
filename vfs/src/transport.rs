//! The seam between the filesystem and whatever carries kernel requests to it.
//!
//! A transport takes a mounted `/dev/fuse` descriptor, agrees on features with the kernel, and
//! turns requests into calls of [`Filesystem`]. There is one so far, the classic read/write loop by
//! fuser; FUSE over io_uring is to be the second, and nothing above or below this trait has to
//! know.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::fs::Filesystem;
use crate::notifier::KernelNotify;

/// Brings kernel requests to a filesystem.
pub(crate) trait Transport {
    /// Agrees with the kernel on `device`. Requests queue up in the kernel until
    /// [`Attached::serve`] runs.
    ///
    /// # Errors
    /// The kernel's answer, or `Unsupported` if it lacks a feature the filesystem depends on.
    fn attach(&self, filesystem: Arc<Filesystem>, device: OwnedFd) -> io::Result<Attached>;
}

/// A transport ready to serve.
pub(crate) struct Attached {
    /// Serves requests on its own threads until the mount is gone, then returns.
    pub(crate) serve: Box<dyn FnOnce() -> io::Result<()> + Send>,
    /// The way back: invalidations to the kernel.
    pub(crate) kernel: Box<dyn KernelNotify>,
}
