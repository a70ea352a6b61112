//! Reading a record back: only the canonical encoding is taken.
//!
//! Counts are checked against the bytes left before anything is allocated, lists must be in strict
//! order, every stamp must be in the context and in use, names must be able to stand in a directory:
//! what this returns can be shown in a mount and encodes to the very same bytes.

use super::content::{Body, Chunked, Content, Time};
use super::encode::{BODY_CHUNKED, BODY_INLINE, VERSION};
use super::link::{Link, Names, Place};
use super::observed::{self, Element};
use super::place::{DirPlace, ParentEdge, Trash};
use super::register::Register;
use super::xattr::Xattr;
use super::{Kind, Node, Owner, ROOT, Record, SpecialKind};
use crate::{limits, name};
use freehold_crypto::{Cek, RootSalt};
use freehold_model::codec::{Decode, DecodeError, Reader};
use freehold_model::{DeviceId, Dot, FileId, Hlc, Stamp, VersionVector};

impl Record {
    /// Reads a record's plaintext, without its padding.
    ///
    /// # Errors
    /// Anything but the canonical encoding is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > limits::RECORD_PLAIN_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        let mut input = Reader::new(bytes);
        let record = input.get()?;
        input.finish()?;
        Ok(record)
    }
}

/// The stamp table, and which of its stamps were used.
struct Tables {
    stamps: Vec<(Stamp, bool)>,
}

impl Decode for Record {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        input.expect(&[VERSION], "record version")?;
        let kind = input.u8()?;
        let file = input.get()?;
        let (context, lives) = read_context(input)?;
        let mut tables = Tables { stamps: read_stamps(input, &lives, &context)? };
        let mode = Register { stamp: tables.stamp(input)?, value: input.u16()? };
        check(mode.value <= 0o7777, "mode")?;
        let owner =
            Register { stamp: tables.stamp(input)?, value: Owner { uid: input.u32()?, gid: input.u32()? } };
        let xattrs = tables.sorted(input, 5, Tables::xattr)?;
        let node = tables.node(kind, file, input)?;
        check(tables.stamps.iter().all(|(_, used)| *used), "stamp table")?;
        Ok(Self { file, context, mode, owner, xattrs, node })
    }
}

impl Tables {
    fn stamp(&mut self, input: &mut Reader<'_>) -> Result<Stamp, DecodeError> {
        let slot = self.stamps.get_mut(usize::from(input.u16()?));
        let (stamp, used) = slot.ok_or(DecodeError::Invalid("stamp index"))?;
        *used = true;
        Ok(*stamp)
    }

    fn sorted<E: Element>(
        &mut self,
        input: &mut Reader<'_>,
        min_item_bytes: usize,
        read: fn(&mut Self, &mut Reader<'_>) -> Result<E, DecodeError>,
    ) -> Result<Vec<E>, DecodeError> {
        let count = read_count(input, limits::ELEMENTS_MAX, min_item_bytes)?;
        let items = (0..count).map(|_| read(self, input)).collect::<Result<Vec<E>, _>>()?;
        check(observed::is_sorted(&items), "order of a set")?;
        Ok(items)
    }

    fn node(&mut self, kind: u8, file: FileId, input: &mut Reader<'_>) -> Result<Node, DecodeError> {
        let special = match kind {
            k if k == Kind::File as u8 => {
                let names = self.names(input)?;
                return Ok(Node::File { names, contents: self.sorted(input, 19, Self::content)? });
            }
            k if k == Kind::Dir as u8 => {
                let mtime = self.time(input)?;
                return Ok(Node::Dir { mtime, place: self.dir(file, input)? });
            }
            k if k == Kind::Symlink as u8 => {
                let (names, mtime) = (self.names(input)?, self.time(input)?);
                let target = input.short_bytes(limits::SYMLINK_BYTES_MAX)?.to_vec();
                check(!target.is_empty(), "symlink target")?;
                return Ok(Node::Symlink { names, mtime, target });
            }
            k if k == Kind::Fifo as u8 => SpecialKind::Fifo,
            k if k == Kind::Socket as u8 => SpecialKind::Socket,
            k if k == Kind::Char as u8 => SpecialKind::Char,
            k if k == Kind::Block as u8 => SpecialKind::Block,
            _ => return Err(DecodeError::Unknown("node kind")),
        };
        let (names, mtime) = (self.names(input)?, self.time(input)?);
        let rdev = Register { stamp: self.stamp(input)?, value: input.u32()? };
        Ok(Node::Special { kind: special, names, mtime, rdev })
    }

    fn names(&mut self, input: &mut Reader<'_>) -> Result<Names, DecodeError> {
        let links = self.sorted(input, 38, Self::link)?;
        let unlinked = if read_flag(input)? {
            Some(Register { stamp: self.stamp(input)?, value: read_place(input)? })
        } else {
            None
        };
        Ok(Names { links, unlinked })
    }

    fn link(&mut self, input: &mut Reader<'_>) -> Result<Link, DecodeError> {
        Ok(Link {
            id: input.get()?,
            asserted: self.stamp(input)?,
            placed: self.stamp(input)?,
            place: read_place(input)?,
        })
    }

    fn xattr(&mut self, input: &mut Reader<'_>) -> Result<Xattr, DecodeError> {
        let name = read_name(input)?.to_vec();
        check(!name.is_empty(), "attribute name")?;
        let stamp = self.stamp(input)?;
        Ok(Xattr { name, stamp, value: input.short_bytes(limits::XATTR_VALUE_BYTES_MAX)?.to_vec() })
    }

    fn content(&mut self, input: &mut Reader<'_>) -> Result<Content, DecodeError> {
        Ok(Content { stamp: self.stamp(input)?, mtime: self.time(input)?, body: input.get()? })
    }

    fn time(&mut self, input: &mut Reader<'_>) -> Result<Register<Time>, DecodeError> {
        let stamp = self.stamp(input)?;
        let value = Time { secs: input.i64()?, nanos: input.u32()? };
        check(value.nanos < 1_000_000_000, "nanoseconds")?;
        Ok(Register { stamp, value })
    }

    fn dir(&mut self, file: FileId, input: &mut Reader<'_>) -> Result<DirPlace, DecodeError> {
        let name = Register { stamp: self.stamp(input)?, value: read_name(input)?.to_vec() };
        let parents = self.sorted(input, 18, Self::parent)?;
        let rootless = name.value.is_empty() && parents.is_empty();
        check(if file == ROOT { rootless } else { name::validate(&name.value).is_ok() }, "directory name")?;
        let trash = if read_flag(input)? {
            Some(Trash { stamp: self.stamp(input)?, seen: input.get()? })
        } else {
            None
        };
        Ok(DirPlace { name, parents, trash })
    }

    fn parent(&mut self, input: &mut Reader<'_>) -> Result<ParentEdge, DecodeError> {
        Ok(ParentEdge { stamp: self.stamp(input)?, parent: input.get()? })
    }
}

impl Decode for Body {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match input.u8()? {
            BODY_INLINE => Ok(Self::Inline(input.short_bytes(limits::INLINE_BYTES_DECODE_MAX)?.to_vec())),
            BODY_CHUNKED => {
                let chunked = Chunked {
                    size: input.u64()?,
                    profile: input.u8()?,
                    root: input.get()?,
                    root_salt: RootSalt::from_bytes(input.array()?),
                    cek: Cek::from_bytes(input.array()?),
                    plain_hash: input.array()?,
                };
                check((1..=limits::FILE_BYTES_MAX).contains(&chunked.size), "file size")?;
                Ok(Self::Chunked(chunked))
            }
            _ => Err(DecodeError::Unknown("content body")),
        }
    }
}

type Lives = Vec<(DeviceId, u32)>;

fn read_context(input: &mut Reader<'_>) -> Result<(VersionVector, Lives), DecodeError> {
    let count = read_count(input, limits::VECTOR_ENTRIES_MAX, 28)?;
    let mut context = VersionVector::new();
    let mut lives = Vec::with_capacity(count);
    for _ in 0..count {
        let dot: Dot = input.get()?;
        check(dot.seq > 0, "context")?;
        context.observe(dot);
        lives.push((dot.device, dot.incarnation));
    }
    check(lives.is_sorted_by(|a, b| a < b), "context")?;
    Ok((context, lives))
}

fn read_stamps(
    input: &mut Reader<'_>,
    lives: &[(DeviceId, u32)],
    context: &VersionVector,
) -> Result<Vec<(Stamp, bool)>, DecodeError> {
    let count = read_count(input, usize::from(u16::MAX), 18)?;
    let mut stamps = Vec::with_capacity(count);
    for _ in 0..count {
        let hlc: Hlc = input.get()?;
        let life = lives.get(usize::from(input.u16()?)).ok_or(DecodeError::Invalid("life index"))?;
        let dot = Dot { device: life.0, incarnation: life.1, seq: input.u64()? };
        check(dot.seq > 0 && context.covers(&dot), "stamp outside the context")?;
        stamps.push((Stamp { hlc, dot }, false));
    }
    check(stamps.is_sorted_by(|a, b| a.0 < b.0), "stamp table")?;
    Ok(stamps)
}

fn read_count(input: &mut Reader<'_>, max: usize, min_item_bytes: usize) -> Result<usize, DecodeError> {
    let count = usize::from(input.u16()?);
    if count > max {
        return Err(DecodeError::TooLong);
    }
    if count.saturating_mul(min_item_bytes) > input.remaining() {
        return Err(DecodeError::Truncated);
    }
    Ok(count)
}

fn read_flag(input: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match input.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid("flag")),
    }
}

fn read_name<'a>(input: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let len = usize::from(input.u8()?);
    input.bytes(len)
}

fn read_place(input: &mut Reader<'_>) -> Result<Place, DecodeError> {
    let (parent, name) = (input.get()?, read_name(input)?.to_vec());
    check(name::validate(&name).is_ok(), "name")?;
    Ok(Place { parent, name })
}

fn check(holds: bool, what: &'static str) -> Result<(), DecodeError> {
    if holds { Ok(()) } else { Err(DecodeError::Invalid(what)) }
}
