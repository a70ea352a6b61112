//! An entry: memory that the kernel fills with a request and takes the answer from.
//!
//! ```text
//!     0  in_out    128   in: the request's header (40)    out: the answer's header (16)
//!   128  op_in     128   in: the operation's structure
//!   256  flags       8
//!   264  commit_id   8   in: names the request when the answer is committed
//!   272  payload     4   bytes of payload, in: of the request, out: of the answer
//!   276  …
//!  page  payload         in: names and data               out: the answer's body
//! ```
//! (`struct fuse_uring_req_header`, `include/uapi/linux/fuse.h`.)
//!
//! The memory belongs to the kernel from a submission to its completion, and to whoever has the entry
//! from then to the next submission. The kernel writes to it only in the lane's own thread, while that
//! waits for completions. Untouched pages cost nothing; those touched are given back ([`Entry::trim`]).

use std::ops::Range;
use std::ptr::{NonNull, null_mut};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use zerocopy::{FromBytes, IntoBytes};

use crate::fuse::abi::{InHeader, OutHeader};
use crate::fuse::request::{Args, Request};
use crate::limits::MAX_REQUEST_BYTES;

const IN_OUT: Range<usize> = 0..128;
const OP_IN: Range<usize> = 128..256;
const COMMIT_ID: Range<usize> = 264..272;
const PAYLOAD_BYTES: Range<usize> = 272..276;
const HEADER_BYTES: usize = 288;

/// One entry of a queue.
#[derive(Debug)]
pub(in crate::fuse) struct Entry {
    queue: u16,
    memory: Memory,
    /// Header and payload, as REGISTER names them.
    places: Box<[libc::iovec; 2]>,
    /// Ours, not the kernel's, at present.
    is_held: bool,
    /// The request being answered.
    unique: u64,
    commit_id: u64,
    /// Bytes at the start of the payload that may be touched.
    touched: usize,
}

// SAFETY: the raw pointers in `places` lead into `memory`, which is this entry's own and moves with
// it.
#[expect(unsafe_code, reason = "pointers into memory of one's own")]
unsafe impl Send for Entry {}

impl Entry {
    /// Memory for an entry of `queue`, held by the lane.
    pub(super) fn new(queue: u16) -> Result<Self, Errno> {
        let page = rustix::param::page_size();
        let memory = Memory::new(page + usize::try_from(MAX_REQUEST_BYTES).map_err(|_| Errno::NOMEM)?)?;
        let start = memory.start.as_ptr();
        let header = libc::iovec { iov_base: start.cast(), iov_len: HEADER_BYTES };
        let payload = libc::iovec { iov_base: start.wrapping_add(page).cast(), iov_len: memory.len - page };
        let places = Box::new([header, payload]);
        Ok(Self { queue, memory, places, is_held: true, unique: 0, commit_id: 0, touched: 0 })
    }

    pub(super) fn queue(&self) -> u16 {
        self.queue
    }

    pub(super) fn commit_id(&self) -> u64 {
        self.commit_id
    }

    /// The address and count of the places, for REGISTER. They stay where they are.
    pub(super) fn places(&self) -> (u64, u32) {
        (self.places.as_ptr().expose_provenance() as u64, 2)
    }

    /// The entry goes to the kernel: the next call but [`Self::receive`] would be a bug.
    pub(super) fn give(&mut self) {
        self.is_held = false;
    }

    /// Takes the entry back from the kernel, with a request in it.
    pub(super) fn receive(&mut self) {
        self.is_held = true;
        let commit_id = u64::read_from_bytes(&self.bytes()[COMMIT_ID]).expect("eight bytes");
        let header = self.header();
        (self.unique, self.commit_id) = (header.unique, commit_id);
        self.touched = self.touched.max(self.payload().len());
    }

    /// Whether what the kernel did not take was an answer.
    pub(super) fn has_answer(&self) -> bool {
        self.commit_id != 0
    }

    /// Takes the entry back as it was given: the kernel did not take it.
    pub(super) fn take_back(&mut self) {
        self.is_held = true;
    }

    fn header(&self) -> InHeader {
        InHeader::read_from_prefix(&self.bytes()[IN_OUT]).expect("a header has 40 bytes").0
    }

    fn payload(&self) -> &[u8] {
        let len = u32::read_from_bytes(&self.bytes()[PAYLOAD_BYTES]).expect("four bytes");
        let payload = &self.bytes()[rustix::param::page_size()..];
        &payload[..usize::try_from(len).unwrap_or(usize::MAX).min(payload.len())]
    }

    /// The request that [`Self::receive`] found, or the number of an operation whose bytes make no
    /// sense.
    pub(super) fn request(&self) -> Result<Request<'_>, u32> {
        let header = self.header();
        let args = Args { fixed: &self.bytes()[OP_IN], payload: Some(self.payload()) };
        Request::parse(&header, args).map_err(|_| header.opcode)
    }

    /// The thread that asks; 0 for one of the kernel's.
    pub(super) fn caller(&self) -> u32 {
        self.header().pid
    }

    /// Puts the answer where the kernel looks for it. One that does not fit is an error.
    pub(super) fn answer(&mut self, answer: Result<&[u8], Errno>) {
        let page = rustix::param::page_size();
        let room = self.memory.len - page;
        let (error, body) = match answer {
            Ok(body) if body.len() <= room => (0, body),
            Ok(_) => (-Errno::OVERFLOW.raw_os_error(), &[][..]),
            Err(errno) => (-errno.raw_os_error(), &[][..]),
        };
        let len = u32::try_from(body.len()).expect("no more than a payload");
        let head = u32::try_from(size_of::<OutHeader>()).expect("16");
        let header = OutHeader { len: head + len, error, unique: self.unique };
        self.touched = self.touched.max(body.len());
        let bytes = self.bytes_mut();
        bytes[IN_OUT][..size_of::<OutHeader>()].copy_from_slice(header.as_bytes());
        bytes[PAYLOAD_BYTES].copy_from_slice(len.as_bytes());
        bytes[page..page + body.len()].copy_from_slice(body);
    }

    /// Whether the kernel has it.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_held
    }

    /// Bytes of memory its payload may have.
    pub(super) fn touched(&self) -> usize {
        self.touched
    }

    /// Gives the payload's memory back to the system. Only for the lane, with the entry at the kernel,
    /// its last answer taken and no completion unseen: the kernel has nothing in there then.
    pub(super) fn trim(&mut self) {
        debug_assert!(!self.is_held, "bug: an entry is emptied while its request is worked on");
        let page = rustix::param::page_size();
        let start = self.memory.start.as_ptr().wrapping_add(page);
        // SAFETY: the range is within the entry's own mapping, nothing borrows from it, and its bytes
        // are of no use any more; they read as zeroes from here on.
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        let given = unsafe { madvise(start.cast(), self.memory.len - page, Advice::LinuxDontNeed) };
        if let Err(error) = given {
            tracing::debug!(%error, "memory of a ring stays in use");
        }
        self.touched = 0;
    }

    fn bytes(&self) -> &[u8] {
        assert!(self.is_held, "bug: an entry is read while the kernel has it");
        // SAFETY: `Memory` maps `len` bytes, which live as long as `self`; the kernel writes to them
        // only while it has the entry, which the assertion excludes.
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        unsafe {
            std::slice::from_raw_parts(self.memory.start.as_ptr(), self.memory.len)
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(self.is_held, "bug: an entry is written while the kernel has it");
        // SAFETY: as in `bytes`, and `&mut self` makes this the only view.
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        unsafe {
            std::slice::from_raw_parts_mut(self.memory.start.as_ptr(), self.memory.len)
        }
    }
}

/// Zeroed memory straight from the kernel, whose pages come with their first use.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    len: usize,
}

impl Memory {
    fn new(len: usize) -> Result<Self, Errno> {
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that is there.
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        let start =
            unsafe { mmap_anonymous(null_mut(), len, rights, MapFlags::PRIVATE | MapFlags::NORESERVE)? };
        let memory = NonNull::new(start.cast()).map(|start| Self { start, len }).ok_or(Errno::NOMEM)?;
        // A huge page would make the first byte of an entry 2 MiB of memory.
        // SAFETY: advice on how to back one's own mapping changes none of its bytes.
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        let advised = unsafe { madvise(start, len, Advice::LinuxNoHugepage) };
        if let Err(error) = advised {
            tracing::debug!(%error, "no say in the pages of a ring");
        }
        Ok(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing borrows from it any more.
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
        if let Err(error) = unmapped {
            tracing::error!(%error, "bug: a ring's memory could not be unmapped");
        }
    }
}
