//! The classic transport: requests read from `/dev/fuse`, answers written to it.
//!
//! It carries everything until rings are ready, and beside them what the kernel never sends through
//! rings: FORGET and INTERRUPT. Notifications are written here as well.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::abi::{
    InHeader, InitIn, InvalEntryOut, InvalInodeOut, NOTIFY_INVAL_ENTRY, NOTIFY_INVAL_INODE, OutHeader, opcode,
};
use super::body::Body;
use super::dispatch::{Dispatch, Outcome};
use super::flags::{self, Offer, Wishes};
use super::late::LateReply;
use super::request::{Args, Request};
use crate::limits::MAX_REQUEST_BYTES;
use crate::notifier::{Inval, KernelNotify};

/// Room beside the data of the largest WRITE for its header and arguments.
const HEADER_ROOM: usize = 4096;

/// A mounted `/dev/fuse`. Reads and writes are whole messages, so any thread may do either.
#[derive(Debug)]
pub(super) struct Device(OwnedFd);

/// One message from the kernel.
struct Message<'a> {
    header: InHeader,
    rest: &'a [u8],
}

impl Device {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// A buffer for [`Self::receive`]. The kernel refuses a smaller one.
    fn buffer() -> Vec<u8> {
        vec![0; usize::try_from(MAX_REQUEST_BYTES).expect("a MiB fits") + HEADER_ROOM]
    }

    /// The next message; `None` once the mount is gone.
    fn receive<'a>(&self, buffer: &'a mut [u8]) -> io::Result<Option<Message<'a>>> {
        let len = loop {
            match rustix::io::read(&self.0, &mut *buffer) {
                Ok(len) => break len,
                Err(Errno::NODEV) => return Ok(None),
                // A signal, or a request that its caller took back just now.
                Err(Errno::INTR | Errno::NOENT | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
        };
        let (header, rest) = InHeader::read_from_prefix(&buffer[..len])
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the kernel sent half a header"))?;
        Ok(Some(Message { header, rest }))
    }

    /// The kernel's first request: what it offers, and the number to answer.
    pub(super) fn offer(&self) -> io::Result<(u64, Offer)> {
        let mut buffer = Self::buffer();
        let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "the mount was taken down at once");
        let Message { header, rest } = self.receive(&mut buffer)?.ok_or_else(gone)?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "the kernel did not begin with INIT");
        if header.opcode != opcode::INIT {
            return Err(malformed());
        }
        let (init, rest) = InitIn::read_from_prefix(rest).map_err(|_| malformed())?;
        let flags2 = u32::read_from_prefix(rest).map_or(0, |(flags, _)| flags);
        Ok((header.unique, Offer { init, flags2 }))
    }

    /// Answers the offer. From here on the kernel sends requests, or waits for rings it was promised.
    ///
    /// # Errors
    /// `Unsupported` if the kernel lacks what a mount needs.
    pub(super) fn accept(&self, unique: u64, offer: &Offer, wishes: Wishes) -> io::Result<()> {
        match flags::agree(offer, wishes) {
            Ok(answer) => Ok(self.write(unique, 0, answer.as_bytes())?),
            Err(error) => {
                self.answer(unique, Err(Errno::PROTO));
                Err(error)
            }
        }
    }

    /// Serves requests until the mount is gone.
    pub(super) fn serve(self: &Arc<Self>, dispatch: &Dispatch) -> io::Result<()> {
        let mut buffer = Self::buffer();
        let mut body = Body::default();
        while let Some(Message { header, rest }) = self.receive(&mut buffer)? {
            let args = Args { fixed: rest, payload: None };
            let Ok(request) = Request::parse(&header, args) else {
                tracing::error!(opcode = header.opcode, "bug: a request of the kernel was not understood");
                self.answer(header.unique, Err(Errno::IO));
                continue;
            };
            let late = || LateReply::by_device(Arc::clone(self), header.unique);
            match dispatch.handle(&request, &mut body, late) {
                Outcome::Answered => self.answer(header.unique, Ok(body.bytes())),
                Outcome::Failed(errno) => self.answer(header.unique, Err(errno)),
                Outcome::Silent | Outcome::Late => {}
            }
        }
        Ok(())
    }

    /// Answers a request. A caller that is gone, and a mount that is, need no answer.
    pub(super) fn answer(&self, unique: u64, answer: Result<&[u8], Errno>) {
        let (error, body) = match answer {
            Ok(body) => (0, body),
            Err(errno) => (-errno.raw_os_error(), &[][..]),
        };
        match self.write(unique, error, body) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => {}
            Err(error) => tracing::warn!(%error, "the kernel did not take an answer"),
        }
    }

    fn write(&self, unique: u64, error: i32, body: &[u8]) -> Result<(), Errno> {
        let len = u32::try_from(size_of::<OutHeader>() + body.len()).map_err(|_| Errno::TOOBIG)?;
        let header = OutHeader { len, error, unique };
        rustix::io::writev(&self.0, &[IoSlice::new(header.as_bytes()), IoSlice::new(body)])?;
        Ok(())
    }

    fn notify(&self, code: i32, what: &(impl IntoBytes + Immutable), name: &[u8]) -> io::Result<()> {
        let mut body = what.as_bytes().to_vec();
        body.extend_from_slice(name);
        match self.write(0, code, &body) {
            // The kernel does not know it, so there is nothing to forget.
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Invalidations, written to the device.
pub(super) struct Notices(pub(super) Arc<Device>);

impl KernelNotify for Notices {
    fn send(&self, inval: &Inval) -> io::Result<()> {
        // A negative offset means attributes only: pages stay. For a directory, offset 0 drops the
        // cached listing.
        let inode =
            |ino, offset| self.0.notify(NOTIFY_INVAL_INODE, &InvalInodeOut { ino, offset, len: 0 }, &[]);
        match inval {
            Inval::Entry { dir, name } => {
                let name_bytes = u32::try_from(name.len()).map_err(io::Error::other)?;
                let what = InvalEntryOut { parent: *dir, name_bytes, flags: 0 };
                self.0.notify(NOTIFY_INVAL_ENTRY, &what, &[name.as_slice(), &[0]].concat())
            }
            Inval::Attributes(ino) => inode(*ino, -1),
            Inval::Listing(dir) => inode(*dir, 0),
        }
    }
}
