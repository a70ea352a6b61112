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
    /// Requests shall come through rings, which are ready.
    pub(super) rings: bool,
}

/// What the kernel offers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    pub(super) init: InitIn,
    /// The upper half of the flags; 0 where the kernel has none.
    pub(super) flags2: u32,
}

impl Offer {
    fn flags(&self) -> u64 {
        let extended = if self.init.flags & low(init::INIT_EXT) != 0 { self.flags2 } else { 0 };
        u64::from(self.init.flags) | (u64::from(extended) << 32)
    }

    /// Whether requests can come through rings.
    pub(super) fn has_rings(&self) -> bool {
        self.flags() & init::OVER_IO_URING != 0
    }
}

/// Answers the kernel's offer.
///
/// # Errors
/// `Unsupported` if the kernel is too old.
pub(super) fn agree(offer: &Offer, wishes: Wishes) -> io::Result<InitOut> {
    let offered = offer.flags();
    let offer = &offer.init;
    let unsupported = |why| Err(io::Error::new(io::ErrorKind::Unsupported, why));
    if offer.major != MAJOR || offer.minor < MINOR_MIN {
        return unsupported("the kernel's FUSE is too old; Linux 5.4 or newer is needed");
    }
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
    if wishes.rings {
        chosen |= offered & init::OVER_IO_URING;
    }
    let page = u32::try_from(rustix::param::page_size()).map_err(io::Error::other)?;
    Ok(InitOut {
        major: MAJOR,
        minor: MINOR.min(offer.minor),
        max_readahead: offer.max_readahead,
        flags: low(chosen),
        max_background: MAX_BACKGROUND,
        congestion_threshold: CONGESTION_THRESHOLD,
        max_write: MAX_REQUEST_BYTES,
        time_gran: TIME_GRANULARITY_NS,
        max_pages: u16::try_from(MAX_REQUEST_BYTES / page).map_err(io::Error::other)?,
        flags2: low(chosen >> 32),
        ..InitOut::default()
    })
}

/// The lower 32 bits.
fn low(flags: u64) -> u32 {
    u32::try_from(flags & u64::from(u32::MAX)).expect("32 bits fit 32")
}
