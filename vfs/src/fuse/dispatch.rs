//! Turns requests into filesystem calls and their results into answers; decides nothing else.
//!
//! Every call runs under [`guarded`]: a panic becomes `EIO` for that one request and one line in the
//! log, instead of a silently dead thread. Answered `ENOSYS` on purpose, which the kernel remembers
//! for the life of the mount: FLUSH (the kernel has pushed the data by then, so the request says
//! nothing), OPENDIR (cookies are stable, a listing needs no state; the kernel then caches
//! listings), LSEEK (under writeback the kernel asks without flushing, so an honest answer would
//! hide unwritten data; it falls back to "all data"), locks (never asked for), POLL, BMAP and
//! ACCESS (the kernel checks the permission bits itself). INTERRUPT too, since nothing here can be
//! broken off; for a request that came through a ring the kernel does not take that answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use freehold_engine::Attr;
use rustix::io::Errno;
use zerocopy::FromBytes;

use super::abi::ForgetOne;
use super::body::Body;
use super::late::LateReply;
use super::request::{Op, Request};
use crate::fs::Filesystem;

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The body holds the answer.
    Answered,
    Failed(Errno),
    /// The kernel wants no answer.
    Silent,
    /// The [`LateReply`] answers, perhaps already.
    Late,
}

/// The filesystem as a transport sees it.
#[derive(Debug)]
pub(super) struct Dispatch {
    fs: Arc<Filesystem>,
}

impl Dispatch {
    pub(super) fn new(fs: Arc<Filesystem>) -> Self {
        Self { fs }
    }

    /// Carries out one request. Its answer is in `body` (which begins empty), or goes to the reply
    /// that `late` makes, on any thread.
    pub(super) fn handle(
        &self,
        request: &Request<'_>,
        body: &mut Body,
        late: impl FnOnce() -> LateReply,
    ) -> Outcome {
        body.clear();
        match &request.op {
            Op::Forget { lookups } => {
                self.forget(request.node, *lookups);
                Outcome::Silent
            }
            Op::BatchForget { nodes } => {
                self.forget_all(nodes);
                Outcome::Silent
            }
            Op::Read { offset, size } => {
                // The reply travels with the read, which may end on another thread. Lost in a
                // panic, it answers EIO.
                let reply = late();
                let _ = guarded("READ", || {
                    self.fs.read(request.node, *offset, *size, move |answer| reply.send(answer));
                    Ok(())
                });
                Outcome::Late
            }
            op => match guarded(op.name(), || self.answer(request, body)) {
                Ok(()) => Outcome::Answered,
                Err(errno) => Outcome::Failed(errno),
            },
        }
    }

    fn forget(&self, node: u64, lookups: u64) {
        // Nobody waits for an answer, and the guard has logged a panic.
        let _ = guarded("FORGET", || {
            self.fs.forget(node, lookups);
            Ok(())
        });
    }

    fn forget_all(&self, nodes: &[u8]) {
        for one in nodes.chunks_exact(size_of::<ForgetOne>()) {
            let one = ForgetOne::read_from_bytes(one).expect("a chunk has just its length");
            self.forget(one.nodeid, one.lookups);
        }
    }

    fn answer(&self, request: &Request<'_>, body: &mut Body) -> Result<(), Errno> {
        let (fs, node, caller) = (&self.fs, request.node, request.caller);
        match &request.op {
            Op::Lookup { name } => body.put_entry(fs.lookup(node, name)?.as_ref()),
            Op::GetAttr => body.put_attr(&fs.getattr(node)?),
            Op::SetAttr(set) => body.put_attr(&fs.setattr(caller, node, set)?),
            Op::ReadLink => body.put_bytes(&fs.readlink(node)?),
            Op::Symlink { name, target } => named(body, fs.symlink(caller, node, name, target)?),
            Op::Mknod { name, mode, rdev } => named(body, fs.mknod(caller, node, name, *mode, *rdev)?),
            Op::Mkdir { name, mode } => named(body, fs.mkdir(caller, node, name, *mode)?),
            Op::Unlink { name } => fs.unlink(node, name)?,
            Op::Rmdir { name } => fs.rmdir(node, name)?,
            Op::Rename(rename) => fs.rename(rename)?,
            Op::Link { node: existing, name } => named(body, fs.link(*existing, node, name)?),
            Op::Open => {
                fs.open(node)?;
                body.put_open();
            }
            Op::Create { name, mode, flags } => {
                named(body, fs.create(caller, node, name, *mode, *flags)?);
                body.put_open();
            }
            Op::Write(write) => body.put_count(fs.write(node, write)?),
            Op::StatFs => body.put_statfs(&fs.statfs()),
            Op::Release => fs.release(node),
            Op::ReleaseDir | Op::Destroy => {}
            Op::Fsync => fs.fsync(node)?,
            Op::ReadDir { offset, size } => self.list(node, *offset, *size, false, body)?,
            Op::ReadDirPlus { offset, size } => self.list(node, *offset, *size, true, body)?,
            Op::Fallocate { offset, len, mode } => fs.fallocate(node, *offset, *len, *mode)?,
            Op::CopyFileRange(copy) => body.put_count(fs.copy_file_range(copy)?),
            Op::SetXattr { name, value, flags } => fs.setxattr(caller, node, name, value, *flags)?,
            Op::GetXattr { name, size } => attribute(body, &fs.getxattr(node, name)?, *size)?,
            Op::ListXattr { size } => attribute(body, &fs.listxattr(caller, node)?, *size)?,
            Op::RemoveXattr { name } => fs.removexattr(caller, node, name)?,
            // Programs probe with ioctls (is it a terminal, has it flags); the answer for "no such
            // call here" is ENOTTY.
            Op::Ioctl => return Err(Errno::NOTTY),
            Op::Other | Op::Read { .. } | Op::Forget { .. } | Op::BatchForget { .. } => {
                return Err(Errno::NOSYS);
            }
        }
        Ok(())
    }

    fn list(&self, dir: u64, offset: u64, size: u32, plus: bool, body: &mut Body) -> Result<(), Errno> {
        let limit = usize::try_from(size).map_err(|_| Errno::INVAL)?;
        match plus {
            true => self.fs.readdirplus(dir, offset, |entry| body.add_dirent(entry, true, limit)),
            false => self.fs.readdir(dir, offset, |entry| body.add_dirent(entry, false, limit)),
        }
    }
}

fn named(body: &mut Body, attr: Attr) {
    body.put_entry(Some(&attr));
}

/// Answers GETXATTR and LISTXATTR: the length if the caller's buffer has none, else the bytes if
/// they fit.
fn attribute(body: &mut Body, value: &[u8], buffer_bytes: u32) -> Result<(), Errno> {
    let len = u32::try_from(value.len()).map_err(|_| Errno::TOOBIG)?;
    match buffer_bytes {
        0 => body.put_count(len),
        room if len > room => return Err(Errno::RANGE),
        _ => body.put_bytes(value),
    }
    Ok(())
}

/// Runs one request; a panic in it is a bug of ours, answered with `EIO`.
fn guarded<T>(operation: &'static str, body: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        tracing::error!(operation, "bug: the handler of a filesystem request panicked; its caller got EIO");
        Err(Errno::IO)
    })
}
