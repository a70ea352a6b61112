//! The ring transport: FUSE over `io_uring` (Linux 6.14 and newer, `fuse.enable_uring=1`).
//!
//! The kernel keeps one queue a processor and puts a request on the queue of the processor its
//! caller runs on. The thread of that queue is bound to the same processor, so a request wakes no
//! other one: a round trip takes 9 µs here where the classic device takes 32, most of it the wake-up
//! (measured with `statfs`, caller anywhere). One system call answers a request and waits for the
//! next.
//!
//! ```text
//!  processor 0: queue 0 ── lane, entries waiting ──┬─ waiters: fsync, on the same processor
//!  processor 1: queue 1 ── lane, entries waiting ──┤
//!  not running: queue 2… ─ lane, entries waiting ──┴─ bulk: large READs and WRITEs, anywhere
//!                               └ entry: header page + 1 MiB payload, shared with the kernel
//! ```
//!
//! A [`lane`] is a thread with a ring. It keeps nobody waiting for long: what takes time goes to
//! [`workers`] together with its entry, but for the fsync of a caller that is alone on the processor. A READ that waits for the network keeps its entry as well. The kernel gives a
//! queued request to an entry only when one is *answered*, not when one is added, so many entries
//! wait from the start, more than the kernel sends in the background at a time; and more are added
//! while enough are left. What workers and late READs have for a lane comes by [`mailbox`], since only
//! the ring's owner may speak for its entries.
//!
//! The kernel waits for an entry on every queue before it uses any, so everything that may fail (the
//! rings, the threads) is there before rings are promised. Later on a lane has to live as long as the
//! mount: if one cannot, the connection is broken off, since whoever asks on its processor would wait
//! for ever. Sources: `Documentation/filesystems/fuse-io-uring.rst` and `fs/fuse/dev_uring.c` of Linux
//! 6.14 to 6.18.

mod cpus;
mod entry;
mod lane;
mod mailbox;
mod workers;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread;

pub(super) use self::mailbox::{Letter, Mailbox};

use self::cpus::Group;
use self::lane::Lane;
use self::workers::Workers;
use super::device::Device;
use super::dispatch::Dispatch;
use crate::limits::{MAX_BULK_WORKERS, MAX_WAITERS_PER_LANE};

/// Breaks the kernel's connection off.
pub(crate) type Abort = Arc<dyn Fn() + Send + Sync>;

/// Lanes for every queue of the kernel.
pub(super) struct Rings {
    lanes: Vec<LaneThread>,
    workers: Vec<Arc<Workers>>,
}

struct LaneThread {
    thread: thread::JoinHandle<()>,
    start: mpsc::Sender<()>,
    mailbox: Arc<Mailbox>,
}

/// What all lanes share.
#[derive(Clone)]
struct Shared {
    device: Arc<Device>,
    dispatch: Arc<Dispatch>,
    bulk: Arc<Workers>,
    abort: Abort,
}

impl Rings {
    /// Makes all rings and starts their threads, which wait for [`Self::open`]. Dropped before that,
    /// they end.
    ///
    /// # Errors
    /// Where `io_uring` is missing, forbidden, or too old, or threads or descriptors are short.
    pub(super) fn prepare(device: &Arc<Device>, dispatch: &Arc<Dispatch>, abort: Abort) -> io::Result<Self> {
        let bulk = Workers::anywhere("freehold-bulk", MAX_BULK_WORKERS, Arc::clone(dispatch));
        let mut rings = Self { lanes: Vec::new(), workers: vec![Arc::clone(&bulk)] };
        let shared = Shared { device: Arc::clone(device), dispatch: Arc::clone(dispatch), bulk, abort };
        for group in cpus::groups()? {
            let waiters = Workers::nearby("freehold-fsync", MAX_WAITERS_PER_LANE, Arc::clone(dispatch));
            rings.workers.push(Arc::clone(&waiters));
            rings.lanes.push(LaneThread::start(group, waiters, shared.clone())?);
        }
        Ok(rings)
    }

    /// Lets the lanes register with the kernel, which was promised them.
    pub(super) fn open(&self) {
        for lane in &self.lanes {
            if lane.start.send(()).is_err() {
                tracing::error!("bug: a ring's thread ended before its work");
            }
        }
    }

    /// Ends the lanes of a mount that is gone.
    pub(super) fn close(self) {
        for lane in &self.lanes {
            lane.mailbox.post(Letter::End);
        }
        for LaneThread { thread, start, .. } in self.lanes {
            drop(start);
            if thread.join().is_err() {
                tracing::error!("bug: a ring's thread panicked outside its work");
            }
        }
        for workers in self.workers {
            workers.close();
        }
    }
}

impl LaneThread {
    /// Starts the thread and waits until its ring is there.
    fn start(group: Group, waiters: Arc<Workers>, shared: Shared) -> io::Result<Self> {
        let (start, started) = mpsc::channel();
        let (ready, answer) = mpsc::channel();
        let thread =
            thread::Builder::new().name(format!("freehold-ring{}", group.queues[0])).spawn(move || {
                group.bind();
                let mut lane = match Lane::new(shared.device, &group, waiters, shared.bulk) {
                    Ok(lane) => lane,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                let told = ready.send(Ok(lane.mailbox()));
                if told.is_err() || started.recv().is_err() {
                    return;
                }
                let end = catch_unwind(AssertUnwindSafe(|| lane.run(&shared.dispatch)));
                // First: the kernel ends the ring's entries only without it.
                drop(lane);
                match end {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::error!(%error, "a ring of the mount failed; the mount is broken off");
                        (shared.abort)();
                    }
                    Err(_) => {
                        tracing::error!("bug: a ring's thread panicked; the mount is broken off");
                        (shared.abort)();
                    }
                }
            })?;
        let mailbox = answer.recv().map_err(|_| io::Error::other("a ring's thread ended at once"))??;
        Ok(Self { thread, start, mailbox })
    }
}
