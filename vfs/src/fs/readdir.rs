//! READDIR and READDIRPLUS: listings by cookie.
//!
//! An entry keeps its cookie for as long as it exists, so a listing that goes on after a cookie
//! neither skips nor repeats an entry that stayed, whatever happened between two requests, and
//! needs no state per open directory.

use std::ops::ControlFlow;

use freehold_engine::{Attr, Ino, Kind, Tables, TablesGuard};
use rustix::io::Errno;

use super::Filesystem;
use crate::errno::from_engine;

const DOT_COOKIE: u64 = 1;
const DOT_DOT_COOKIE: u64 = 2;

/// One entry of a listing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DirEntry<'a> {
    /// Continue after this to get what follows.
    pub(crate) cookie: u64,
    pub(crate) name: &'a [u8],
    pub(crate) attr: Attr,
}

impl Filesystem {
    /// Gives `add` the entries after `offset` until it answers true, "full", to one it did not
    /// take.
    pub(crate) fn readdir(
        &self,
        dir: Ino,
        offset: u64,
        mut add: impl FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        walk(&*self.listing(dir, offset)?, dir, offset, &mut add)
    }

    /// As [`Self::readdir`]; each entry taken counts one kernel lookup, except `.` and `..`.
    pub(crate) fn readdirplus(
        &self,
        dir: Ino,
        offset: u64,
        mut add: impl FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<(), Errno> {
        let mut tables = self.listing(dir, offset)?;
        let mut taken = Vec::new();
        walk(&tables, dir, offset, &mut |entry| {
            let full = add(entry);
            if !full && entry.cookie > DOT_DOT_COOKIE {
                taken.push(entry.attr.ino);
            }
            full
        })?;
        for ino in taken {
            tables.remember(ino, 1);
        }
        Ok(())
    }

    /// The tables, with the entries awake that come after a cookie.
    fn listing(&self, dir: Ino, offset: u64) -> Result<TablesGuard<'_>, Errno> {
        self.volume.lock_listing(dir, offset.max(DOT_DOT_COOKIE)).map_err(from_engine)
    }
}

fn walk(
    tables: &Tables,
    dir: Ino,
    offset: u64,
    add: &mut dyn FnMut(&DirEntry<'_>) -> bool,
) -> Result<(), Errno> {
    let this = tables.attr(dir).ok_or(Errno::STALE)?;
    if this.kind != Kind::Dir {
        return Err(Errno::NOTDIR);
    }
    // A removed directory has no parent any more; it is its own.
    let above = tables.parent(dir).and_then(|parent| tables.attr(parent)).unwrap_or(this);
    let dots = [(DOT_COOKIE, b".".as_slice(), this), (DOT_DOT_COOKIE, b"..".as_slice(), above)];
    for (cookie, name, attr) in dots {
        if offset < cookie && add(&DirEntry { cookie, name, attr }) {
            return Ok(());
        }
    }
    tables.list(dir, offset.max(DOT_DOT_COOKIE), |cookie, name, attr| {
        match add(&DirEntry { cookie, name, attr }) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    Ok(())
}
