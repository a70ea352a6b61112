//! What is agreed with the kernel at INIT, flag by flag, each with its reason. Measured on Linux
//! 6.18.
//!
//! Left off by choice: `POSIX_LOCKS` and `FLOCK_LOCKS` (the kernel's own locks cost no request),
//! `AUTO_INVAL_DATA` (pages are never dropped because a time changed), `ATOMIC_O_TRUNC` (truncation
//! arrives as SETATTR, where it is handled anyway), `PASSTHROUGH` (would put plaintext into a file).

use std::io;

use super::abi::{InitIn, InitOut, MAJOR, MINOR, MINOR_MIN, init};
use crate::limits::{CONGESTION_THRESHOLD, MAX_BACKGROUND, MAX_REQUEST_BYTES};

/// Flags every mount asks for. A kernel without one of them works, only slower.
const WANTED: [(u64, &str); 14] = [
    (init::ASYNC_READ, "more than one read of a file in flight"),
    (init::BIG_WRITES, "a WRITE may have more than a page"),
    (init::MAX_PAGES, "a request may have more than 32 pages"),
    (init::PARALLEL_DIROPS, "lookups and listings in one directory are not serialised"),
    (init::DO_READDIRPLUS, "a listing may carry attributes"),
    (init::READDIRPLUS_AUTO, "only where they are used: plain ls 6 ms instead of 18 for 10,000 names"),
    (init::CACHE_SYMLINKS, "a symlink never changes its target"),
    (init::HANDLE_KILLPRIV_V2, "no probe for file capabilities before each write: 3.1 down to 0.4 µs"),
    (init::EXPLICIT_INVAL_DATA, "pages are dropped only when told"),
    (init::DIRECT_IO_ALLOW_MMAP, "O_DIRECT users may map the file"),
    (
        init::POSIX_ACL,
        "the kernel enforces and keeps access lists: a listing of 2,000 names 16 ms instead of 25",
    ),
    (init::DONT_MASK, "a default access list takes the place of the umask"),
    (init::ASYNC_DIO, "more than one direct request in flight"),
    (init::EXPORT_SUPPORT, "a file handle outlives the kernel's memory of the file"),
];

/// Every nanosecond of a time counts.
const TIME_GRANULARITY_NS: u32 = 1;

/// What this end would like beyond the flags every mount asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wishes {
    /// The writeback cache stays off.
    pub(super) strict: bool,
    /// Requests shall come through rings, if the kernel can.
    pub(super) rings: bool,
}

/// What was agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Agreement {
    pub(super) answer: InitOut,
    /// Whether the kernel waits for rings.
    pub(super) rings: bool,
}

/// Answers the kernel's offer: `offer` and the upper half of its flags.
///
/// # Errors
/// `Unsupported` if the kernel is too old.
pub(super) fn agree(offer: &InitIn, flags2: u32, wishes: Wishes) -> io::Result<Agreement> {
    let unsupported = |why| Err(io::Error::new(io::ErrorKind::Unsupported, why));
    if offer.major != MAJOR || offer.minor < MINOR_MIN {
        return unsupported("the kernel speaks another version of FUSE; Linux 5.4 or newer is needed");
    }
    let extended = if offer.flags & init_low(init::INIT_EXT) != 0 { flags2 } else { 0 };
    let offered = u64::from(offer.flags) | (u64::from(extended) << 32);
    let mut chosen = offered & init::INIT_EXT;
    for (flag, purpose) in WANTED {
        if offered & flag == 0 {
            tracing::info!(purpose, "the kernel lacks a FUSE feature");
        }
        chosen |= offered & flag;
    }
    if !wishes.strict {
        if offered & init::WRITEBACK_CACHE == 0 {
            return unsupported("the kernel has no FUSE writeback cache; mount with strict");
        }
        chosen |= init::WRITEBACK_CACHE;
    }
    let rings = wishes.rings && offered & init::OVER_IO_URING != 0;
    if rings {
        chosen |= init::OVER_IO_URING;
    }
    let page = u32::try_from(rustix::param::page_size()).map_err(io::Error::other)?;
    let answer = InitOut {
        major: MAJOR,
        minor: MINOR.min(offer.minor),
        max_readahead: offer.max_readahead,
        flags: init_low(chosen),
        max_background: MAX_BACKGROUND,
        congestion_threshold: CONGESTION_THRESHOLD,
        max_write: MAX_REQUEST_BYTES,
        time_gran: TIME_GRANULARITY_NS,
        max_pages: u16::try_from(MAX_REQUEST_BYTES / page).map_err(io::Error::other)?,
        flags2: init_low(chosen >> 32),
        ..InitOut::default()
    };
    Ok(Agreement { answer, rings })
}

/// The lower 32 bits.
fn init_low(flags: u64) -> u32 {
    u32::try_from(flags & u64::from(u32::MAX)).expect("32 bits fit 32")
}
