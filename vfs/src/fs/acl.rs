//! POSIX access control lists, in the form Linux passes them as extended attributes.
//!
//! A list refines the group bits of a mode: entries for single users and groups, below a mask. What
//! list and mode have in common (owner, mask or group, other) is kept in the mode alone and laid
//! over the list when it is read, so a `chmod` on one device and a `setfacl` on another can never
//! leave the two apart. A list that says no more than the mode is not kept at all. Enforcing is the
//! kernel's part (`FUSE_POSIX_ACL`), which hands us only lists it has found well-formed; they are
//! checked again here, because a record may come from another device.
//!
//! Form: a version of 4 bytes, then 8 bytes an entry (tag, permission, id), little-endian as the
//! kernel has it (`include/uapi/linux/posix_acl_xattr.h`). Rules: acl(5), and POSIX.1e draft 17,
//! 23.1.

use std::mem;

use freehold_engine::{Attr, Ino, Kind, Tables, XattrMode};
use rustix::io::Errno;

use super::{Caller, SGID};
use crate::errno::from_engine;

/// The list that governs access to a node.
pub(super) const ACCESS: &[u8] = b"system.posix_acl_access";
/// The list of a directory that new nodes in it begin with.
pub(super) const DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const HEADER_BYTES: usize = 4;
const ENTRY_BYTES: usize = 8;
/// Bits of one class in a mode.
const CLASS: u32 = 0o7;

/// Whom an entry is about, in the order the kernel wants them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    Owner,
    User,
    OwningGroup,
    Group,
    Mask,
    Other,
}

impl Tag {
    const ALL: [(Self, u16); 6] = [
        (Self::Owner, 0x01),
        (Self::User, 0x02),
        (Self::OwningGroup, 0x04),
        (Self::Group, 0x08),
        (Self::Mask, 0x10),
        (Self::Other, 0x20),
    ];

    fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == number).map(|(tag, _)| *tag)
    }

    fn number(self) -> u16 {
        Self::ALL.iter().find(|(tag, _)| *tag == self).map_or(0, |(_, number)| *number)
    }

    const fn has_id(self) -> bool {
        matches!(self, Self::User | Self::Group)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    perm: u32,
    id: u32,
}

/// A well-formed list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Acl {
    entries: Vec<Entry>,
}

impl Acl {
    /// Reads a list and checks it as the kernel does: every class once, names in order and below a
    /// mask.
    #[expect(clippy::little_endian_bytes, reason = "the kernel's form")]
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Errno> {
        let (version, rest) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or(Errno::INVAL)?;
        let (entries, torn) = rest.as_chunks::<ENTRY_BYTES>();
        if u32::from_le_bytes(*version) != VERSION || !torn.is_empty() {
            return Err(Errno::INVAL);
        }
        let entry = |[tag_0, tag_1, perm_0, perm_1, id @ ..]: &[u8; ENTRY_BYTES]| {
            let tag = Tag::from_number(u16::from_le_bytes([*tag_0, *tag_1])).ok_or(Errno::INVAL)?;
            let perm = u32::from(u16::from_le_bytes([*perm_0, *perm_1]));
            let id = if tag.has_id() { u32::from_le_bytes(*id) } else { u32::MAX };
            if perm & !CLASS == 0 { Ok(Entry { tag, perm, id }) } else { Err(Errno::INVAL) }
        };
        let list = Self { entries: entries.iter().map(entry).collect::<Result<_, _>>()? };
        if list.is_well_formed() { Ok(list) } else { Err(Errno::INVAL) }
    }

    fn is_well_formed(&self) -> bool {
        let count = |tag| self.entries.iter().filter(|entry| entry.tag == tag).count();
        let is_ordered = self.entries.windows(2).all(|pair| match pair {
            [before, after] => before.tag <= after.tag,
            _ => true,
        });
        let masks = count(Tag::Mask);
        is_ordered
            && [Tag::Owner, Tag::OwningGroup, Tag::Other].into_iter().all(|tag| count(tag) == 1)
            && (masks == 1 || masks == 0 && count(Tag::User) + count(Tag::Group) == 0)
    }

    /// The list as the kernel reads it.
    #[expect(clippy::little_endian_bytes, reason = "the kernel's form")]
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_le_bytes().to_vec();
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.tag.number().to_le_bytes());
            bytes.extend_from_slice(&u16::try_from(entry.perm).unwrap_or_default().to_le_bytes());
            bytes.extend_from_slice(&entry.id.to_le_bytes());
        }
        bytes
    }

    /// Whether a mode says all of it.
    fn is_minimal(&self) -> bool {
        self.entries.len() == 3
    }

    /// How far an entry's bits are from the right in a mode; `None` for one that a mode has no bits
    /// for.
    fn shift(&self, tag: Tag) -> Option<u32> {
        let has_mask = self.entries.iter().any(|entry| entry.tag == Tag::Mask);
        match tag {
            Tag::Owner => Some(6),
            Tag::Mask => Some(3),
            Tag::OwningGroup if !has_mask => Some(3),
            Tag::Other => Some(0),
            Tag::OwningGroup | Tag::User | Tag::Group => None,
        }
    }

    /// The permission bits, 0777, that go with the list.
    fn mode(&self) -> u32 {
        let bits = |entry: &Entry| self.shift(entry.tag).map(|shift| entry.perm << shift);
        self.entries.iter().filter_map(bits).fold(0, |mode, bits| mode | bits)
    }

    /// The list with the bits of a mode in place of its own.
    pub(super) fn under(mut self, mode: u32) -> Self {
        let mut entries = mem::take(&mut self.entries);
        let shape = Self { entries: entries.clone() };
        for entry in &mut entries {
            if let Some(shift) = shape.shift(entry.tag) {
                entry.perm = (mode >> shift) & CLASS;
            }
        }
        Self { entries }
    }
}

/// What a new node begins with: its mode, and lists where the directory has a default one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Inherited {
    /// Permission bits, set-id bits and sticky.
    pub(super) mode: u32,
    /// Its own list.
    access: Option<Vec<u8>>,
    /// For a directory, what it passes on.
    default: Option<Vec<u8>>,
}

impl Inherited {
    /// Without a default list the creator's umask counts, with one it does not: the list's bits
    /// limit the mode instead.
    pub(super) fn from(tables: &Tables, parent: Ino, kind: Kind, mode: u32, umask: u32) -> Self {
        // A symlink has no permissions to speak of.
        let stored = if kind == Kind::Symlink { None } else { tables.xattr(parent, DEFAULT) };
        let Some((list, stored)) = stored.and_then(|stored| Some((Acl::decode(&stored).ok()?, stored)))
        else {
            let umask = if kind == Kind::Symlink { 0 } else { umask };
            return Self { mode: mode & !umask, access: None, default: None };
        };
        Self {
            mode: mode & (list.mode() | !0o777),
            default: (kind == Kind::Dir).then(|| stored.clone()),
            access: (!list.is_minimal()).then_some(stored),
        }
    }

    /// Gives a node that was just made its lists.
    pub(super) fn apply(self, tables: &mut Tables, ino: Ino) -> Result<(), Errno> {
        for (name, value) in [(ACCESS, self.access), (DEFAULT, self.default)] {
            if let Some(value) = value {
                tables.set_xattr(ino, name, &value, XattrMode::Set).map_err(from_engine)?;
            }
        }
        Ok(())
    }
}

/// The value of a list attribute as the kernel is to see it.
pub(super) fn read(tables: &Tables, attr: &Attr, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let stored = tables.xattr(attr.ino, name).ok_or(Errno::NODATA)?;
    if name != ACCESS {
        return Ok(stored);
    }
    // One that is not well-formed came from elsewhere and grants nothing.
    let list = Acl::decode(&stored).map_err(|_| Errno::NODATA)?;
    Ok(list.under(attr.mode).encode())
}

/// Sets a list. An access list sets the mode's bits, and takes sgid from whoever is not in the
/// group, as far as a request tells.
pub(super) fn set(
    tables: &mut Tables,
    caller: Caller,
    attr: &Attr,
    name: &[u8],
    value: &[u8],
) -> Result<(), Errno> {
    let list = Acl::decode(value)?;
    if name == DEFAULT {
        if attr.kind != Kind::Dir {
            return Err(Errno::ACCESS);
        }
        return tables.set_xattr(attr.ino, name, value, XattrMode::Set).map_err(from_engine);
    }
    if attr.kind == Kind::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    if !list.is_minimal() {
        tables.set_xattr(attr.ino, name, value, XattrMode::Set).map_err(from_engine)?;
    } else if tables.xattr(attr.ino, name).is_some() {
        tables.remove_xattr(attr.ino, name).map_err(from_engine)?;
    }
    let keeps_sgid = caller.is_root() || caller.gid == attr.gid;
    let high = attr.mode & !0o777 & if keeps_sgid { !0 } else { !SGID };
    let mode = high | list.mode();
    if mode != attr.mode {
        tables.set_mode(attr.ino, mode).map_err(from_engine)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(tag: Tag, perm: u32, id: u32) -> Entry {
        Entry { tag, perm, id }
    }

    fn list(extra: &[Entry]) -> Acl {
        let mut entries = vec![
            entry(Tag::Owner, 7, u32::MAX),
            entry(Tag::OwningGroup, 5, u32::MAX),
            entry(Tag::Other, 1, u32::MAX),
        ];
        entries.extend_from_slice(extra);
        entries.sort_by_key(|entry| entry.tag);
        Acl { entries }
    }

    #[test]
    fn a_list_survives_its_encoding() {
        let full = list(&[entry(Tag::User, 6, 1000), entry(Tag::Group, 4, 7), entry(Tag::Mask, 4, u32::MAX)]);
        assert_eq!(Acl::decode(&full.encode()), Ok(full));
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused() {
        let no_mask = list(&[entry(Tag::User, 6, 1000)]);
        let two_owners = list(&[entry(Tag::Owner, 6, u32::MAX)]);
        let mut disordered = list(&[]);
        disordered.entries.reverse();
        let wide = list(&[entry(Tag::Mask, 8, u32::MAX)]);
        for wrong in [no_mask, two_owners, disordered, wide, Acl { entries: Vec::new() }] {
            assert_eq!(Acl::decode(&wrong.encode()), Err(Errno::INVAL), "{wrong:?}");
        }
        let good = list(&[]).encode();
        assert_eq!(Acl::decode(&good[..good.len() - 1]), Err(Errno::INVAL));
        assert_eq!(Acl::decode(&[1, 0, 0, 0]), Err(Errno::INVAL));
    }

    #[test]
    fn group_bits_of_a_mode_are_the_mask_where_there_is_one() {
        assert_eq!(list(&[]).mode(), 0o751);
        let masked = list(&[entry(Tag::Mask, 2, u32::MAX)]);
        assert_eq!(masked.mode(), 0o721);
        let under = masked.under(0o640);
        assert_eq!(under.mode(), 0o640);
        let group = under.entries.iter().find(|entry| entry.tag == Tag::OwningGroup);
        assert_eq!(group.map(|entry| entry.perm), Some(5), "the group's own entry is no mode's business");
    }
}
