//! A lane: one thread with its ring, serving the requests of one processor.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::cpus::Group;
use super::entry::Entry;
use super::mailbox::{Letter, Mailbox};
use super::workers::{Job, Workers};
use crate::fuse::body::Body;
use crate::fuse::device::Device;
use crate::fuse::dispatch::Dispatch;
use crate::fuse::request::Weight;
use crate::limits::{
    ENTRIES_WAITING_MAX, ENTRIES_WAITING_MIN, ENTRIES_WAITING_UNUSED, MAX_ENTRIES_PER_QUEUE, MAX_ENTRY_MEMORY,
};

/// Commands to the kernel's FUSE (`enum fuse_uring_cmd`).
const REGISTER: u32 = 1;
const COMMIT_AND_FETCH: u32 = 2;

/// Where a command names its request and its queue (`struct fuse_uring_cmd_req`).
const COMMAND_COMMIT_ID: std::ops::Range<usize> = 8..16;
const COMMAND_QUEUE: std::ops::Range<usize> = 16..18;

/// Submissions that fit before they must be handed over. Usually there is one.
const SUBMISSIONS: u32 = 64;
/// Completions that fit; beyond that the kernel keeps them elsewhere.
const COMPLETIONS: u32 = 4096;

/// Marks the completion that says: the mailbox has something.
const BELL: u64 = u64::MAX;

/// How long a thread must have been alone on a processor to count as alone.
const ALONE_AFTER: Duration = Duration::from_millis(100);

/// A flush that takes longer is not waited for on the lane, and none for a while after it.
const SHORT_FLUSH: Duration = Duration::from_millis(2);
const SLOW_FOR: Duration = Duration::from_secs(1);

/// How long to leave a kernel alone that is short of something.
const SHORTAGE: Duration = Duration::from_millis(1);
const SHORTAGE_OF_ENTRIES: Duration = Duration::from_secs(1);

/// A thread's part of the mount.
pub(super) struct Lane {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
    slots: Vec<Slot>,
    /// Slots without an entry.
    free: Vec<usize>,
    queues: Vec<Queue>,
    mailbox: Arc<Mailbox>,
    device: Arc<Device>,
    /// Who waits for the disk, and who moves large data.
    waiters: Arc<Workers>,
    bulk: Arc<Workers>,
    /// Bytes that payloads may have touched.
    touched: usize,
    /// No entry could be had; not before then again.
    short_until: Option<Instant>,
    /// The mount is going away: entries come back for good.
    ends: bool,
    has_served: bool,
    /// The disk takes long: not before then is a flush worth waiting for here.
    slow_until: Option<Instant>,
}

/// An entry's place.
struct Slot {
    /// None while a worker has it.
    entry: Option<Entry>,
    /// An answer that came before the entry was back.
    early: Option<Result<bytes::Bytes, Errno>>,
}

/// One of the kernel's queues.
struct Queue {
    number: u16,
    /// Entries the kernel has.
    waiting: usize,
    entries: usize,
    is_used: bool,
    /// The thread that asked last, and until when the queue counts as used by several.
    caller: u32,
    shared_until: Option<Instant>,
}

impl Lane {
    /// A lane for the queues of a group, for the calling thread alone.
    pub(super) fn new(
        device: Arc<Device>,
        group: &Group,
        waiters: Arc<Workers>,
        bulk: Arc<Workers>,
    ) -> io::Result<Self> {
        let ring = IoUring::builder()
            // One thread submits, and completions are made when it asks for them: no interruptions.
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let mailbox = Arc::new(Mailbox::new()?);
        mailbox.adopt();
        let queue = |number: &u16| Queue {
            number: *number,
            waiting: 0,
            entries: 1,
            is_used: group.processor.is_some(),
            caller: 0,
            shared_until: None,
        };
        let queues = group.queues.iter().map(queue).collect();
        // The kernel waits for one on every queue, so these are had before any is promised.
        let first = group.queues.iter().map(|queue| Entry::new(*queue)).collect::<Result<Vec<_>, _>>()?;
        let slots = first.into_iter().map(|entry| Slot { entry: Some(entry), early: None }).collect();
        Ok(Self {
            ring,
            slots,
            free: Vec::new(),
            queues,
            mailbox,
            device,
            waiters,
            bulk,
            touched: 0,
            short_until: None,
            ends: false,
            has_served: false,
            slow_until: None,
        })
    }

    pub(super) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }

    /// Serves until the mount is gone, or the kernel wants no rings after all.
    pub(super) fn run(&mut self, dispatch: &Dispatch) -> io::Result<()> {
        self.listen()?;
        for index in 0..self.slots.len() {
            self.register(index)?;
        }
        self.refill()?;
        let mut body = Body::default();
        let mut completed = Vec::new();
        while self.is_wanted() {
            self.enter(1)?;
            completed.extend(self.ring.completion().map(|done| (done.user_data(), done.result())));
            let mut left = completed.len();
            for (tag, result) in completed.drain(..) {
                left -= 1;
                match tag {
                    BELL => self.rung(result)?,
                    entry => self.completed(entry, result, left > 0, dispatch, &mut body)?,
                }
                self.read_letters()?;
                if left > 0 {
                    // The next request may take a while; no answer waits for it.
                    self.enter(0)?;
                }
            }
            self.refill()?;
            self.trim()?;
        }
        // Refused before it served, it leaves the mount to the classic device, as the kernel does.
        match self.ends || !self.has_served {
            true => Ok(()),
            false => Err(io::Error::other("the kernel took all entries of a ring in use away")),
        }
    }

    /// Whether anything can still come: the mount lives and there are entries, or the kernel has some.
    fn is_wanted(&self) -> bool {
        self.queues.iter().any(|queue| queue.waiting > 0 || (!self.ends && queue.entries > 0))
    }

    /// Hands over what is to be submitted, and waits for so many completions.
    fn enter(&mut self, wanted: usize) -> io::Result<()> {
        loop {
            let Err(error) = self.ring.submit_and_wait(wanted) else { return Ok(()) };
            match error.raw_os_error().map(Errno::from_raw_os_error) {
                Some(Errno::INTR) => {}
                Some(Errno::AGAIN | Errno::NOMEM) => thread::sleep(SHORTAGE),
                _ => return Err(error),
            }
        }
    }

    /// An entry came back, with a request or for good.
    fn completed(
        &mut self,
        tag: u64,
        result: i32,
        others_wait: bool,
        dispatch: &Dispatch,
        body: &mut Body,
    ) -> io::Result<()> {
        let index = usize::try_from(tag).map_err(io::Error::other)?;
        let Some(mut entry) = self.slots.get_mut(index).and_then(|slot| slot.entry.take()) else {
            return Err(io::Error::other("an entry came back twice"));
        };
        let queue = self.queue(entry.queue());
        queue.waiting -= 1;
        self.touched -= entry.touched();
        if result < 0 {
            return self.refused(index, entry, Errno::from_raw_os_error(-result));
        }
        let queue = self.queue(entry.queue());
        queue.is_used = true;
        self.has_served = true;
        entry.receive();
        self.note_caller(&entry);
        let number = entry.queue();
        let job = Job { index, entry, mailbox: self.mailbox() };
        let weight = job.entry.request().map_or(Weight::Light, |request| request.op.weight());
        let given = match weight {
            Weight::Waits if self.is_shared(number) => self.waiters.take(job),
            Weight::Bulk => self.bulk.take(job),
            // It may sleep for the disk: only the last of several does so here.
            Weight::Short if others_wait => self.bulk.take(job),
            Weight::Light | Weight::Short | Weight::Waits => Err(job),
        };
        match given {
            Ok(()) => Ok(()),
            Err(mut job) => {
                let begin = (weight == Weight::Waits).then(Instant::now);
                let is_answered = job.carry_out(dispatch, body);
                if begin.is_some_and(|begin| begin.elapsed() > SHORT_FLUSH) {
                    self.slow_until = Some(Instant::now() + SLOW_FOR);
                }
                self.back(index, job.entry, is_answered)
            }
        }
    }

    /// Remembers who asks. The clock is looked at only when that is another than before.
    fn note_caller(&mut self, entry: &Entry) {
        let (caller, queue) = (entry.caller(), self.queue(entry.queue()));
        if caller != queue.caller {
            queue.caller = caller;
            queue.shared_until = Some(Instant::now() + ALONE_AFTER);
        }
    }

    /// Whether a flush here could keep anybody waiting but who asks for it. Somebody alone is answered
    /// a fifth sooner without another thread.
    fn is_shared(&mut self, number: u16) -> bool {
        let now = Instant::now();
        let is_sole = self.queues.len() == 1 && self.slow_until.is_none_or(|until| until < now);
        let queue = self.queue(number);
        // Nobody knows who has no number: the kernel, or a program in another container.
        let is_alone = queue.caller != 0 && queue.shared_until.is_none_or(|until| until < now);
        // Others' answers come by this lane too.
        let is_only = queue.entries == queue.waiting + 1;
        !(is_sole && is_alone && is_only)
    }

    /// The kernel did not take an entry.
    fn refused(&mut self, index: usize, mut entry: Entry, errno: Errno) -> io::Result<()> {
        match errno {
            Errno::NOTCONN | Errno::CONNABORTED | Errno::CANCELED => self.ends = true,
            // The answer is still in there.
            Errno::NOMEM | Errno::AGAIN if entry.has_answer() => {
                thread::sleep(SHORTAGE);
                entry.take_back();
                self.slots[index].entry = Some(entry);
                return self.commit(index);
            }
            errno if entry.has_answer() => return Err(errno.into()),
            errno => {
                tracing::debug!(error = %errno, "the kernel took no further entry for the mount's rings");
                self.short_until = Some(Instant::now() + SHORTAGE_OF_ENTRIES);
            }
        }
        self.queue(entry.queue()).entries -= 1;
        self.free.push(index);
        Ok(())
    }

    /// Somebody left a letter.
    fn rung(&mut self, result: i32) -> io::Result<()> {
        match result {
            0.. => self.mailbox.hush(),
            _ => thread::sleep(SHORTAGE),
        }
        self.listen()
    }

    fn read_letters(&mut self) -> io::Result<()> {
        while let Some(letter) = self.mailbox.take() {
            match letter {
                Letter::Back { index, entry, is_answered } => self.back(index, entry, is_answered)?,
                Letter::Answer { entry, answer } => self.answer(entry, answer)?,
                Letter::End => self.ends = true,
            }
        }
        Ok(())
    }

    /// An entry is back from whoever carried its request out.
    fn back(&mut self, index: usize, entry: Entry, is_answered: bool) -> io::Result<()> {
        self.slots[index].entry = Some(entry);
        match self.slots[index].early.take() {
            _ if is_answered => self.commit(index),
            Some(answer) => self.answer(index, answer),
            None => Ok(()),
        }
    }

    /// A READ's answer came.
    fn answer(&mut self, index: usize, answer: Result<bytes::Bytes, Errno>) -> io::Result<()> {
        match self.slots[index].entry.as_mut() {
            Some(entry) => {
                entry.answer(answer.as_ref().map(AsRef::as_ref).map_err(|errno| *errno));
                self.commit(index)
            }
            None => {
                self.slots[index].early = Some(answer);
                Ok(())
            }
        }
    }

    /// Hands the answer in an entry over and lets the kernel put the next request into it.
    fn commit(&mut self, index: usize) -> io::Result<()> {
        let entry = self.slots[index].entry.as_ref().expect("it was put there");
        self.touched += entry.touched();
        let mut command = [0; 80];
        command[COMMAND_COMMIT_ID].copy_from_slice(entry.commit_id().as_bytes());
        self.submit(index, COMMIT_AND_FETCH, command, None)
    }

    /// Keeps entries waiting on each queue.
    fn refill(&mut self) -> io::Result<()> {
        if self.ends || self.short_until.is_some_and(|until| Instant::now() < until) {
            return Ok(());
        }
        for number in 0..self.queues.len() {
            let Queue { number: queue, waiting, entries, is_used, .. } = self.queues[number];
            let (least, most) = match is_used {
                true => (ENTRIES_WAITING_MIN, ENTRIES_WAITING_MAX),
                false => (ENTRIES_WAITING_UNUSED, ENTRIES_WAITING_UNUSED),
            };
            let missing = if waiting < least { most - waiting } else { 0 };
            for _ in 0..missing.min(MAX_ENTRIES_PER_QUEUE - entries) {
                let Ok(entry) = Entry::new(queue) else {
                    tracing::debug!("no memory for further entries of the mount's rings");
                    self.short_until = Some(Instant::now() + SHORTAGE_OF_ENTRIES);
                    return Ok(());
                };
                self.queues[number].entries += 1;
                let slot = Slot { entry: Some(entry), early: None };
                let index = self.free.pop().unwrap_or(self.slots.len());
                match self.slots.get_mut(index) {
                    Some(free) => *free = slot,
                    None => self.slots.push(slot),
                }
                self.register(index)?;
            }
        }
        Ok(())
    }

    /// Tells the kernel of an entry.
    fn register(&mut self, index: usize) -> io::Result<()> {
        let places = self.slots[index].entry.as_ref().expect("it was put there").places();
        self.submit(index, REGISTER, [0; 80], Some(places))
    }

    /// Gives memory back that many large requests at once have left.
    fn trim(&mut self) -> io::Result<()> {
        if self.touched <= MAX_ENTRY_MEMORY {
            return Ok(());
        }
        // The kernel takes the answers that were just committed, and may have requests for their
        // entries at once: those are seen first.
        self.enter(0)?;
        if self.ring.completion().is_empty() && self.ring.submission().is_empty() {
            let waiting = self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut());
            for entry in waiting.filter(|entry| entry.is_waiting() && entry.touched() > 0) {
                self.touched -= entry.touched();
                entry.trim();
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
        let entry = self.slots[index].entry.as_mut().expect("only what is here is submitted");
        let queue = entry.queue();
        entry.give();
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
        self.queue(queue).waiting += 1;
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
            // SAFETY: the command names the memory of an entry, which outlives the ring (`Drop`), or
            // the mailbox's bell.
            #[expect(unsafe_code, reason = "the kernel gets addresses")]
            let pushed = unsafe { self.ring.submission().push(call) };
            if pushed.is_ok() {
                return Ok(());
            }
            // No room: hand over what is there.
            self.enter(0)?;
        }
    }

    fn queue(&mut self, number: u16) -> &mut Queue {
        self.queues.iter_mut().find(|queue| queue.number == number).expect("its own queue")
    }
}

impl Drop for Lane {
    /// A ring is taken apart by the kernel after it was closed; until then memory it was given may be
    /// written to. Entries that did not come back, which happens only after an error, stay mapped.
    fn drop(&mut self) {
        for slot in &mut self.slots {
            if let Some(entry) = slot.entry.take_if(|entry| entry.is_waiting()) {
                std::mem::forget(entry);
            }
        }
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
