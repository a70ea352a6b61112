//! A lane: one thread with its ring, serving the requests of one processor.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::cpus::Group;
use super::entry::{Arrived, Entry};
use super::mailbox::Mailbox;
use crate::fuse::body::Body;
use crate::fuse::device::Device;
use crate::fuse::dispatch::{Dispatch, Outcome};
use crate::fuse::late::LateReply;
use crate::fuse::request::Request;
use crate::limits::MAX_ENTRIES_PER_LANE;

/// Commands to the kernel's FUSE (`enum fuse_uring_cmd`).
const REGISTER: u32 = 1;
const COMMIT_AND_FETCH: u32 = 2;

/// Where a command names its queue (`struct fuse_uring_cmd_req`).
const COMMAND_COMMIT_ID: std::ops::Range<usize> = 8..16;
const COMMAND_QUEUE: std::ops::Range<usize> = 16..18;

/// Submissions that fit before they must be handed over. Usually there is one.
const SUBMISSIONS: u32 = 16;

/// Marks the completion that says: the mailbox has something.
const BELL: u64 = u64::MAX;

/// The rings are dropped before the memory they use.
pub(super) struct Lane {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
    entries: Vec<Entry>,
    /// Entries the kernel has, by the position of their queue in the group.
    waiting: Vec<usize>,
    group: Group,
    mailbox: Arc<Mailbox>,
    device: Arc<Device>,
    /// The mount is going away: entries come back for good.
    ends: bool,
}

impl Lane {
    /// A lane for the queues of a group. Only the thread that calls [`Self::run`] may use it.
    pub(super) fn new(device: Arc<Device>, group: Group) -> io::Result<Self> {
        let completions = u32::try_from(2 * MAX_ENTRIES_PER_LANE).map_err(io::Error::other)?;
        let ring = IoUring::builder()
            // One thread submits, and completions are made when it asks for them: no interruptions.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_r_disabled()
            .setup_cqsize(completions)
            .build(SUBMISSIONS)?;
        let waiting = vec![0; group.queues.len()];
        let mailbox = Arc::new(Mailbox::new()?);
        Ok(Self { ring, entries: Vec::new(), waiting, group, mailbox, device, ends: false })
    }

    /// Serves until the mount is gone, or the kernel wants no rings after all.
    pub(super) fn run(mut self, dispatch: &Dispatch) -> io::Result<()> {
        self.group.bind();
        self.mailbox.adopt();
        self.ring.submitter().register_enable_rings()?;
        self.listen()?;
        self.refill()?;
        let mut body = Body::default();
        let mut completed = Vec::new();
        while self.waiting.iter().any(|count| *count > 0) || !self.ends {
            match self.ring.submit_and_wait(1) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            completed.extend(self.ring.completion().map(|done| (done.user_data(), done.result())));
            let mut left = completed.len();
            for (tag, result) in completed.drain(..) {
                match tag {
                    BELL => {
                        self.mailbox.hush();
                        self.listen()?;
                    }
                    entry => self.completed(entry, result, dispatch, &mut body)?,
                }
                self.deliver()?;
                left -= 1;
                if left > 0 {
                    // The next request may take long; nobody waits for it with an answer ready.
                    self.ring.submit()?;
                }
            }
            self.refill()?;
        }
        Ok(())
    }

    /// An entry came back, with a request or for good.
    fn completed(&mut self, tag: u64, result: i32, dispatch: &Dispatch, body: &mut Body) -> io::Result<()> {
        let index = usize::try_from(tag).map_err(io::Error::other)?;
        let slot = self.slot(index);
        self.waiting[slot] -= 1;
        if result < 0 {
            let errno = Errno::from_raw_os_error(-result);
            if errno != Errno::NOTCONN {
                tracing::info!(error = %errno, "the kernel takes requests back to the classic device");
            }
            self.ends = true;
            return Ok(());
        }
        self.entries[index].receive();
        match self.serve(index, dispatch, body) {
            Outcome::Answered => self.commit(index, Ok(body.bytes())),
            Outcome::Failed(errno) => self.commit(index, Err(errno)),
            Outcome::Silent => self.commit(index, Ok(&[])),
            Outcome::Late => Ok(()),
        }
    }

    fn serve(&self, index: usize, dispatch: &Dispatch, body: &mut Body) -> Outcome {
        let Arrived { header, args } = self.entries[index].request();
        match Request::parse(&header, args) {
            Ok(request) => {
                dispatch.handle(&request, body, || LateReply::by_ring(Arc::clone(&self.mailbox), index))
            }
            Err(_) => {
                tracing::error!(opcode = header.opcode, "bug: a request of the kernel was not understood");
                Outcome::Failed(Errno::IO)
            }
        }
    }

    /// Commits the late answers that have come.
    fn deliver(&mut self) -> io::Result<()> {
        while let Some((index, answer)) = self.mailbox.take() {
            self.commit(index, answer.as_ref().map(AsRef::as_ref).map_err(|errno| *errno))?;
        }
        Ok(())
    }

    /// Answers the request in an entry and lets the kernel put the next one into it.
    fn commit(&mut self, index: usize, answer: Result<&[u8], Errno>) -> io::Result<()> {
        self.entries[index].answer(answer);
        let mut command = [0; 80];
        command[COMMAND_COMMIT_ID].copy_from_slice(self.entries[index].commit_id().as_bytes());
        self.submit(index, COMMIT_AND_FETCH, command, None)
    }

    /// Keeps an entry waiting on each queue, as far as the limit goes.
    fn refill(&mut self) -> io::Result<()> {
        for slot in 0..self.waiting.len() {
            if self.waiting[slot] == 0 && !self.ends && self.entries.len() < MAX_ENTRIES_PER_LANE {
                self.entries.push(Entry::new(self.group.queues[slot])?);
                let index = self.entries.len() - 1;
                let places = self.entries[index].places();
                self.submit(index, REGISTER, [0; 80], Some(places))?;
            }
        }
        Ok(())
    }

    fn submit(
        &mut self,
        index: usize,
        operation: u32,
        mut command: [u8; 80],
        places: Option<(u64, u32)>,
    ) -> io::Result<()> {
        let queue = self.entries[index].queue();
        command[COMMAND_QUEUE].copy_from_slice(queue.as_bytes());
        let device = types::Fd(self.device.as_fd().as_raw_fd());
        let mut call = opcode::UringCmd80::new(device, operation).cmd(command);
        if let Some((address, _)) = places {
            call = call.addr(Some(address));
        }
        let mut call = call.build().user_data(u64::try_from(index).map_err(io::Error::other)?);
        if let Some((_, count)) = places {
            set_len(&mut call, count);
        }
        self.push(&call)?;
        self.entries[index].give();
        let slot = self.slot(index);
        self.waiting[slot] += 1;
        Ok(())
    }

    /// Waits for the mailbox's bell, once.
    fn listen(&mut self) -> io::Result<()> {
        let readable = libc::POLLIN.unsigned_abs().into();
        let call = opcode::PollAdd::new(types::Fd(self.mailbox.bell()), readable).build().user_data(BELL);
        self.push(&call.into())
    }

    fn push(&mut self, call: &squeue::Entry128) -> io::Result<()> {
        loop {
            // SAFETY: the command names memory of an entry, which lives in `self.entries` until the
            // ring is gone (fields are dropped in order), or the mailbox's bell.
            #[expect(unsafe_code, reason = "the kernel gets addresses")]
            let pushed = unsafe { self.ring.submission().push(call) };
            if pushed.is_ok() {
                return Ok(());
            }
            // No room: hand over what is there.
            self.ring.submit()?;
        }
    }

    /// The position of an entry's queue in the group.
    fn slot(&self, index: usize) -> usize {
        let queue = self.entries[index].queue();
        self.group.queues.iter().position(|other| *other == queue).expect("its own queue")
    }
}

/// Sets the length of a command, which `io-uring` 0.7 has no word for: FUSE takes the count of
/// places at REGISTER there.
fn set_len(call: &mut squeue::Entry128, len: u32) {
    /// Where `struct io_uring_sqe` has its length.
    const LEN: usize = 24;
    let start = std::ptr::from_mut(call).cast::<u8>();
    // SAFETY: `Entry128` is `repr(C)` and just the kernel's structure of 128 bytes, whose length is
    // the aligned 32-bit number at 24.
    #[expect(unsafe_code, reason = "a field that the library does not set")]
    unsafe {
        start.add(LEN).cast::<u32>().write(len);
    }
}
