//! A reply that travels with its request: a READ's, which may wait for the network and end on
//! another thread.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;

use super::device::Device;
use super::ring::{Letter, Mailbox};

/// Answers one READ, exactly once: dropped unsent, in a panic, it answers `EIO`.
pub(super) struct LateReply {
    way: Option<Way>,
}

/// How the answer gets to the kernel.
enum Way {
    /// Written to the device by whoever has it.
    Device { device: Arc<Device>, unique: u64 },
    /// Handed to the thread that owns the ring the request came from.
    Ring { mailbox: Arc<Mailbox>, entry: usize },
}

impl LateReply {
    pub(super) fn by_device(device: Arc<Device>, unique: u64) -> Self {
        Self { way: Some(Way::Device { device, unique }) }
    }

    pub(super) fn by_ring(mailbox: Arc<Mailbox>, entry: usize) -> Self {
        Self { way: Some(Way::Ring { mailbox, entry }) }
    }

    pub(super) fn send(mut self, answer: Result<Bytes, Errno>) {
        if let Some(way) = self.way.take() {
            way.send(answer);
        }
    }
}

impl Way {
    fn send(self, answer: Result<Bytes, Errno>) {
        match self {
            Self::Device { device, unique } => {
                device.answer(unique, answer.as_ref().map(AsRef::as_ref).map_err(|errno| *errno));
            }
            Self::Ring { mailbox, entry } => mailbox.post(Letter::Answer { entry, answer }),
        }
    }
}

impl Drop for LateReply {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            way.send(Err(Errno::IO));
        }
    }
}

impl fmt::Debug for LateReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateReply").finish_non_exhaustive()
    }
}
