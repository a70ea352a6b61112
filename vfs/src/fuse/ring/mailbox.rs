//! What other threads have for a lane: answers, and entries they worked on.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::entry::Entry;

/// Something for the owner of a ring.
#[derive(Debug)]
pub(in crate::fuse) enum Letter {
    /// The late answer to the READ in an entry.
    Answer { entry: usize, answer: Result<Bytes, Errno> },
    /// An entry that a worker had; its answer is in it, or comes late.
    Back { index: usize, entry: Entry, is_answered: bool },
    /// The mount is gone.
    End,
}

/// Where letters for a lane are left.
#[derive(Debug)]
pub(in crate::fuse) struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    /// Readable once somebody else has left something.
    bell: OwnedFd,
    owner: OnceLock<ThreadId>,
}

impl Mailbox {
    pub(super) fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { letters: Mutex::default(), bell, owner: OnceLock::new() })
    }

    /// Makes the calling thread the one that takes the letters out.
    pub(super) fn adopt(&self) {
        self.owner.get_or_init(|| thread::current().id());
    }

    /// Leaves a letter. The owner looks for its own by itself; only others ring.
    pub(in crate::fuse) fn post(&self, letter: Letter) {
        self.letters.lock().push(letter);
        if self.owner.get() != Some(&thread::current().id()) {
            // Full means that the bell rings already.
            if let Err(error) = rustix::io::write(&self.bell, 1_u64.as_bytes())
                && error != Errno::AGAIN
            {
                tracing::error!(%error, "bug: a letter for a ring could not be announced");
            }
        }
    }

    pub(super) fn take(&self) -> Option<Letter> {
        self.letters.lock().pop()
    }

    pub(super) fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Lets the bell ring again for what is left from here on.
    pub(super) fn hush(&self) {
        let mut count = 0_u64;
        match rustix::io::read(&self.bell, count.as_mut_bytes()) {
            Ok(_) | Err(Errno::AGAIN) => {}
            Err(error) => tracing::error!(%error, "bug: the bell of a ring cannot be read"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;

    fn rings(mailbox: &Mailbox) -> bool {
        let mut watched = [PollFd::new(&mailbox.bell, PollFlags::IN)];
        poll(&mut watched, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).expect("it polls") == 1
    }

    #[test]
    fn only_the_letters_of_others_ring() {
        let mailbox = Mailbox::new().expect("an eventfd");
        mailbox.adopt();
        mailbox.post(Letter::Answer { entry: 3, answer: Err(Errno::IO) });
        assert!(!rings(&mailbox));
        thread::scope(|scope| {
            scope.spawn(|| mailbox.post(Letter::End));
        });
        assert!(rings(&mailbox));
        mailbox.hush();
        assert!(!rings(&mailbox));
        assert!(matches!(mailbox.take(), Some(Letter::End)));
        assert!(matches!(mailbox.take(), Some(Letter::Answer { entry: 3, answer: Err(Errno::IO) })));
        assert!(mailbox.take().is_none());
    }
}
