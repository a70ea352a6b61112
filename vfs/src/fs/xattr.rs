//! GETXATTR, SETXATTR, LISTXATTR and REMOVEXATTR.
//!
//! `user.*` for everybody and `trusted.*` for root are stored and travel. `user.freehold.*` is
//! ours, answered from the volume's state, and never listed, so that `cp -a` and rsync do not copy it:
//! `state` says whether a node is safe elsewhere, `residence` how much of a file is here, and `pin` what
//! is wanted here, which can be set. `system.posix_acl_*` are access lists (`acl`). Everything else answers `EOPNOTSUPP`
//! before any lock is taken: `ls -l` asks for `security.selinux` of every file.

use freehold_engine::{Ino, Kind, NodeState, PinMode, Residence, Tables, XattrMode};
use freehold_model::limits::{XATTR_NAME_BYTES_MAX, XATTR_VALUE_BYTES_MAX};
use rustix::io::Errno;

use super::{Caller, Filesystem, acl};
use crate::errno::from_engine;

const USER: &[u8] = b"user.";
const TRUSTED: &[u8] = b"trusted.";
const FREEHOLD: &[u8] = b"user.freehold.";
const STATE: &[u8] = b"user.freehold.state";
const RESIDENCE: &[u8] = b"user.freehold.residence";
const PIN: &[u8] = b"user.freehold.pin";

/// The words for what is wanted on this device.
const PIN_MODES: [(PinMode, &[u8]); 3] =
    [(PinMode::Always, b"always"), (PinMode::Auto, b"auto"), (PinMode::Never, b"never")];

/// Whose an attribute is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// Stored; the caller's.
    Stored,
    /// Stored; an access list.
    Acl,
    /// Ours, computed.
    Freehold,
    /// Ours, and the user's to set.
    Pin,
}

fn space(name: &[u8]) -> Result<Space, Errno> {
    if name == PIN {
        return Ok(Space::Pin);
    }
    if name.starts_with(FREEHOLD) {
        return Ok(Space::Freehold);
    }
    if name == acl::ACCESS || name == acl::DEFAULT {
        return Ok(Space::Acl);
    }
    match [USER, TRUSTED].iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix)) {
        true => Ok(Space::Stored),
        false => Err(Errno::OPNOTSUPP),
    }
}

impl Filesystem {
    /// The value of an attribute.
    pub(crate) fn getxattr(&self, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Errno> {
        let space = space(name)?;
        let tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
        let attr = tables.attr(ino).ok_or(Errno::STALE)?;
        match space {
            Space::Freehold => freehold_xattr(&tables, ino, name),
            Space::Pin => Ok(word(tables.effective_pin(ino))),
            Space::Acl => acl::read(&tables, &attr, name),
            Space::Stored => tables.xattr(ino, name).ok_or(Errno::NODATA),
        }
    }

    /// Sets an attribute; `flags` are setxattr(2)'s.
    pub(crate) fn setxattr(
        &self,
        caller: Caller,
        ino: Ino,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Result<(), Errno> {
        let mode = match flags {
            0 => XattrMode::Set,
            libc::XATTR_CREATE => XattrMode::Create,
            libc::XATTR_REPLACE => XattrMode::Replace,
            _ => return Err(Errno::INVAL),
        };
        may_change(caller, name)?;
        if name.len() > XATTR_NAME_BYTES_MAX {
            return Err(Errno::RANGE);
        }
        if value.len() > XATTR_VALUE_BYTES_MAX {
            return Err(Errno::TOOBIG);
        }
        let mut tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
        let attr = tables.attr(ino).ok_or(Errno::STALE)?;
        match space(name)? {
            Space::Acl => return acl::set(&mut tables, caller, &attr, name, value),
            Space::Pin => {
                let named = PIN_MODES.iter().find(|(_, word)| *word == value);
                let (wanted, _) = named.ok_or(Errno::INVAL)?;
                return tables.set_pin(ino, Some(*wanted)).map_err(from_engine);
            }
            Space::Stored | Space::Freehold => {}
        }
        if name.starts_with(USER) && !matches!(attr.kind, Kind::File | Kind::Dir) {
            return Err(Errno::PERM);
        }
        tables.set_xattr(ino, name, value, mode).map_err(from_engine)
    }

    /// The names of the attributes the caller may see, each with a zero byte after it.
    pub(crate) fn listxattr(&self, caller: Caller, ino: Ino) -> Result<Vec<u8>, Errno> {
        let tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
        tables.kind(ino).ok_or(Errno::STALE)?;
        let mut list = Vec::new();
        let names = tables.xattrs(ino).into_iter();
        for name in names.filter(|name| caller.is_root() || !name.starts_with(TRUSTED)) {
            list.extend_from_slice(&name);
            list.push(0);
        }
        Ok(list)
    }

    /// Removes an attribute.
    pub(crate) fn removexattr(&self, caller: Caller, ino: Ino, name: &[u8]) -> Result<(), Errno> {
        may_change(caller, name)?;
        let mut tables = self.volume.lock_nodes(&[ino]).map_err(from_engine)?;
        tables.kind(ino).ok_or(Errno::STALE)?;
        match space(name)? {
            Space::Pin if tables.pin(ino).is_none() => Err(Errno::NODATA),
            Space::Pin => tables.set_pin(ino, None).map_err(from_engine),
            _ => tables.remove_xattr(ino, name).map_err(from_engine),
        }
    }
}

/// What we say of a node ourselves. `state` is `synced` once everything about it is with the policy's
/// nodes, `waiting` before, and `damaged` when bytes of it were lost; `residence` is `online-only`,
/// `partial`, `local` or `pinned`.
fn freehold_xattr(tables: &Tables, ino: Ino, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let word: &[u8] = match name {
        STATE => match tables.sync_state(ino).ok_or(Errno::STALE)? {
            NodeState::Synced => b"synced",
            NodeState::Waiting => b"waiting",
            NodeState::Damaged => b"damaged",
        },
        RESIDENCE => match tables.residence(ino).ok_or(Errno::NODATA)? {
            Residence::OnlineOnly => b"online-only",
            Residence::Partial => b"partial",
            Residence::Local => b"local",
            Residence::Pinned => b"pinned",
        },
        _ => return Err(Errno::NODATA),
    };
    Ok(word.to_vec())
}

fn word(mode: PinMode) -> Vec<u8> {
    PIN_MODES.iter().find(|(known, _)| *known == mode).map_or_else(Vec::new, |(_, word)| word.to_vec())
}

fn may_change(caller: Caller, name: &[u8]) -> Result<(), Errno> {
    match space(name)? {
        Space::Freehold => Err(Errno::PERM),
        Space::Stored if name.starts_with(TRUSTED) && !caller.is_root() => Err(Errno::PERM),
        // Who may change a list the kernel has decided.
        Space::Stored | Space::Acl | Space::Pin => Ok(()),
    }
}
