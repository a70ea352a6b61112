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
//! The memory belongs to the kernel from a submission to its completion, and to the lane from then
//! to the next submission. Untouched pages cost nothing, so the payload may be large.

use std::ops::Range;
use std::ptr::{NonNull, null_mut};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use zerocopy::{FromBytes, IntoBytes};

use crate::fuse::abi::{InHeader, OutHeader};
use crate::fuse::request::Args;
use crate::limits::MAX_REQUEST_BYTES;

const IN_OUT: Range<usize> = 0..128;
const OP_IN: Range<usize> = 128..256;
const COMMIT_ID: Range<usize> = 264..272;
const PAYLOAD_BYTES: Range<usize> = 272..276;
const HEADER_BYTES: usize = 288;

/// What the kernel put into an entry.
pub(super) struct Arrived<'a> {
    pub(super) header: InHeader,
    pub(super) args: Args<'a>,
}

/// One entry of a queue.
#[derive(Debug)]
pub(super) struct Entry {
    queue: u16,
    memory: Memory,
    /// Header and payload, as REGISTER names them.
    places: Box<[libc::iovec; 2]>,
    held: bool,
    /// The request being answered.
    unique: u64,
    commit_id: u64,
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
        Ok(Self { queue, memory, places: Box::new([header, payload]), held: true, unique: 0, commit_id: 0 })
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
        self.held = false;
    }

    /// Takes the entry back from the kernel, with a request in it.
    pub(super) fn receive(&mut self) {
        self.held = true;
        let commit_id = u64::read_from_bytes(&self.bytes()[COMMIT_ID]).expect("eight bytes");
        let header = self.header();
        (self.unique, self.commit_id) = (header.unique, commit_id);
    }

    fn header(&self) -> InHeader {
        InHeader::read_from_prefix(&self.bytes()[IN_OUT]).expect("a header has 40 bytes").0
    }

    /// The request that [`Self::receive`] found.
    pub(super) fn request(&self) -> Arrived<'_> {
        let bytes = self.bytes();
        let len = u32::read_from_bytes(&bytes[PAYLOAD_BYTES]).expect("four bytes");
        let payload = &bytes[rustix::param::page_size()..];
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(payload.len());
        let args = Args { fixed: &bytes[OP_IN], payload: Some(&payload[..len]) };
        Arrived { header: self.header(), args }
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
        let bytes = self.bytes_mut();
        bytes[IN_OUT][..size_of::<OutHeader>()].copy_from_slice(header.as_bytes());
        bytes[PAYLOAD_BYTES].copy_from_slice(len.as_bytes());
        bytes[page..page + body.len()].copy_from_slice(body);
    }

    fn bytes(&self) -> &[u8] {
        assert!(self.held, "bug: an entry is read while the kernel has it");
        // SAFETY: `Memory` maps `len` bytes, which live as long as `self`; the kernel writes to them
        // only while it has the entry, which the assertion excludes.
        #[expect(unsafe_code, reason = "memory shared with the kernel")]
        unsafe {
            std::slice::from_raw_parts(self.memory.start.as_ptr(), self.memory.len)
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(self.held, "bug: an entry is written while the kernel has it");
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
        let start = unsafe { mmap_anonymous(null_mut(), len, rights, MapFlags::PRIVATE)? };
        NonNull::new(start.cast()).map(|start| Self { start, len }).ok_or(Errno::NOMEM)
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
