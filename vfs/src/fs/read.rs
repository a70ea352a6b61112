//! READ: bytes from this device at once, from the network later.

use std::time::Instant;

use bytes::Bytes;
use freehold_engine::Ino;
use rustix::io::Errno;

use super::Filesystem;
use crate::errno::from_engine;
use crate::limits::READ_DEADLINE;

impl Filesystem {
    /// Reads up to `len` bytes: exactly that many unless the file ends first, holes as zeroes.
    /// `done` runs before this returns when the bytes are here, else on another thread, at the
    /// latest at the deadline; the event loop is free meanwhile.
    pub(crate) fn read(
        &self,
        ino: Ino,
        offset: u64,
        len: u32,
        done: impl FnOnce(Result<Bytes, Errno>) + Send + 'static,
    ) {
        let deadline = Instant::now() + READ_DEADLINE;
        self.volume.read(
            ino,
            offset,
            len,
            deadline,
            Box::new(move |answer| done(answer.map_err(from_engine))),
        );
    }
}
