//! RELEASE: a program has closed a file for the last time.

use freehold_engine::Ino;

use super::Filesystem;

impl Filesystem {
    /// Notes that what was written is whole: it travels now instead of after a quiet while. Nothing
    /// is promised by it; the kernel does not even wait for the answer.
    pub(crate) fn release(&self, ino: Ino) {
        self.volume.closed(ino);
    }
}
