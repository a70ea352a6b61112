//! The ring transport: FUSE over `io_uring` (Linux 6.14 and newer, `fuse.enable_uring=1`).
//!
//! The kernel keeps one queue a processor and puts a request on the queue of the processor its
//! caller runs on. The threads of that queue are bound to the same processor, so a request wakes no
//! other one: a round trip takes 9 µs here where the classic device takes 32, most of it the wake-up
//! (measured with `statfs`, caller anywhere). One system call answers a request and waits for the
//! next.
//!
//! ```text
//!  processor 0: queue 0 ── lane 0a: one entry waiting      lane 0b: one entry waiting
//!  processor 1: queue 1 ── lane 1a: one entry waiting      lane 1b: one entry waiting
//!                          └ entry: header page + 1 MiB payload, shared with the kernel
//! ```
//!
//! A [`lane`] is a thread with a ring of its own. It keeps *one* entry waiting, so while it works on
//! a request (an fsync may take milliseconds), the kernel gives the next to the queue's other lane
//! instead of leaving it in line. A READ that waits for the network keeps its entry, and the lane
//! registers another in its place; the answer comes back to the lane by [`mailbox`], since only the
//! ring's owner may speak for its entries.
//!
//! The kernel waits for an entry on every queue before it uses any, and goes back to the classic
//! device by itself if one cannot be registered; so rings are made before they are promised, and the
//! device is served beside them in any case. Sources: `Documentation/filesystems/fuse-io-uring.rst`
//! and `fs/fuse/dev_uring.c` of Linux 6.18.

mod cpus;
mod entry;
mod lane;
mod mailbox;

use std::io;
use std::sync::Arc;
use std::thread;

pub(super) use self::mailbox::Mailbox;

use self::cpus::Group;
use self::lane::Lane;
use super::device::Device;
use super::dispatch::Dispatch;
use crate::limits::LANES_PER_QUEUE;

/// Rings for every queue of the kernel, not yet in use.
pub(super) struct Rings {
    lanes: Vec<(String, Lane)>,
}

impl Rings {
    /// Makes all rings.
    ///
    /// # Errors
    /// Where `io_uring` is missing, forbidden, or too old.
    pub(super) fn new(device: &Arc<Device>) -> io::Result<Self> {
        let mut lanes = Vec::new();
        for group in cpus::groups()? {
            for letter in ('a'..='z').take(LANES_PER_QUEUE) {
                let name = format!("freehold-ring{}{letter}", group.queues[0]);
                lanes.push((name, Lane::new(Arc::clone(device), Group::clone(&group))?));
            }
        }
        Ok(Self { lanes })
    }

    /// Serves the rings on threads of their own, which end with the mount.
    pub(super) fn serve(self, dispatch: &Arc<Dispatch>) -> io::Result<Vec<thread::JoinHandle<()>>> {
        let start = |(name, lane): (String, Lane)| {
            let dispatch = Arc::clone(dispatch);
            thread::Builder::new().name(name).spawn(move || {
                if let Err(error) = lane.run(&dispatch) {
                    tracing::error!(%error, "a ring of the mount ended early");
                }
            })
        };
        self.lanes.into_iter().map(start).collect()
    }
}
