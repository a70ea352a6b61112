//! What is asked of the kernel at INIT, flag by flag, each with its reason. Measured on Linux 6.18
//! with fuser 0.18.
//!
//! Never asked for, because fuser 0.18 mishandles them: `SETXATTR_EXT` (its parser panics at the
//! first setxattr), `OVER_IO_URING` (requests wait for rings nobody registers), `SECURITY_CTX`,
//! `HAS_RESEND`, `ALLOW_IDMAP`. Left off by choice: `POSIX_LOCKS` and `FLOCK_LOCKS` (the kernel's
//! own locks cost no request), `AUTO_INVAL_DATA` (pages are never dropped because a time changed),
//! `ATOMIC_O_TRUNC` (truncation arrives as SETATTR, where it is handled anyway), `PASSTHROUGH` (would put plaintext into a file).

use std::io;
use std::time::Duration;

use fuser::{InitFlags, KernelConfig};

use crate::limits::{CONGESTION_THRESHOLD, MAX_BACKGROUND, MAX_REQUEST_BYTES};

/// Flags every mount asks for. A kernel without one of them works, only slower.
const WANTED: [(InitFlags, &str); 11] = [
    (InitFlags::FUSE_PARALLEL_DIROPS, "lookups and listings in one directory are not serialised"),
    (InitFlags::FUSE_DO_READDIRPLUS, "a listing may carry attributes"),
    (
        InitFlags::FUSE_READDIRPLUS_AUTO,
        "only where they are used: plain ls 6 ms instead of 18 for 10,000 names",
    ),
    (InitFlags::FUSE_CACHE_SYMLINKS, "a symlink never changes its target"),
    (
        InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        "no probe for file capabilities before each write: 3.1 down to 0.4 µs",
    ),
    (InitFlags::FUSE_EXPLICIT_INVAL_DATA, "pages are dropped only when told"),
    (InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP, "O_DIRECT users may map the file"),
    (
        InitFlags::FUSE_POSIX_ACL,
        "the kernel enforces and keeps access lists: a listing of 2,000 names 16 ms instead of 25",
    ),
    (InitFlags::FUSE_DONT_MASK, "a default access list takes the place of the umask"),
    (InitFlags::FUSE_ASYNC_DIO, "more than one direct request in flight"),
    (InitFlags::FUSE_EXPORT_SUPPORT, "a file handle outlives the kernel's memory of the file"),
];

/// Asks for everything a mount uses. `strict` leaves the writeback cache off.
pub(super) fn configure(config: &mut KernelConfig, strict: bool) -> io::Result<()> {
    for (flag, purpose) in WANTED {
        if config.add_capabilities(flag).is_err() {
            tracing::info!(purpose, "the kernel lacks a FUSE feature");
        }
    }
    if !strict && config.add_capabilities(InitFlags::FUSE_WRITEBACK_CACHE).is_err() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the kernel has no FUSE writeback cache; mount with strict",
        ));
    }
    let refused = config.set_max_write(MAX_REQUEST_BYTES).is_err()
        || config.set_max_background(MAX_BACKGROUND).is_err()
        || config.set_congestion_threshold(CONGESTION_THRESHOLD).is_err()
        || config.set_time_granularity(Duration::from_nanos(1)).is_err();
    match refused {
        true => Err(io::Error::new(io::ErrorKind::Unsupported, "fuser refused the mount's request sizes")),
        false => Ok(()),
    }
}
