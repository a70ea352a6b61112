//! The FUSE transport: fuser's session around the filesystem.
//!
//! [`DevFuse`] agrees with the kernel and hands the session to the mount; [`adapter::FuseAdapter`]
//! translates requests. Two event loops on one descriptor: cloning it gained nothing measurable,
//! and a third loop slows every request.

mod adapter;
mod convert;
mod flags;

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{Config, INodeNo, Notifier, Session, SessionACL};

use self::adapter::FuseAdapter;
use crate::fs::Filesystem;
use crate::limits::EVENT_LOOPS;
use crate::notifier::{Inval, KernelNotify};
use crate::transport::{Attached, Transport};

/// The classic transport: requests read from and answers written to `/dev/fuse`.
#[derive(Debug)]
pub(crate) struct DevFuse;

impl Transport for DevFuse {
    fn attach(&self, filesystem: Arc<Filesystem>, device: OwnedFd) -> io::Result<Attached> {
        let mut config = Config::default();
        // Every uid is answered, also the kernel's flusher (uid 0); who may come is the kernel's
        // decision, made by the mount options.
        config.acl = SessionACL::All;
        config.n_threads = Some(EVENT_LOOPS);
        let session = Session::from_fd(FuseAdapter::new(filesystem), device, config.acl, config)?;
        let kernel = Box::new(FuseNotify(session.notifier()));
        Ok(Attached { serve: Box::new(move || session.run()), kernel })
    }
}

struct FuseNotify(Notifier);

impl KernelNotify for FuseNotify {
    fn send(&self, inval: &Inval) -> io::Result<()> {
        match inval {
            Inval::Entry { dir, name } => self.0.inval_entry(INodeNo(*dir), OsStr::from_bytes(name)),
            // A negative offset means attributes only: pages stay.
            Inval::Attributes(ino) => self.0.inval_inode(INodeNo(*ino), -1, 0),
            // For a directory, offset 0 drops the cached listing.
            Inval::Listing(dir) => self.0.inval_inode(INodeNo(*dir), 0, 0),
        }
    }
}
