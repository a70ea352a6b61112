//! The canonical encoding of a record.
//!
//! Device lives and stamps stand once, in sorted tables at the front; every other field names its
//! stamp by a 16-bit index. One file written in one go is about 200 bytes that way. Every list is
//! sorted, every table entry is used, so a state has exactly one encoding: equal bytes after merges
//! in any order are what the tests compare. Layout: `docs/format.md`, "Record".

use super::content::{Body, Time};
use super::link::{Link, Names, Place};
use super::place::DirPlace;
use super::register::Register;
use super::{Node, Record};
use freehold_model::codec::{Encode, Writer};
use freehold_model::{DeviceId, Stamp};

/// First byte of a record's plaintext.
pub(super) const VERSION: u8 = 1;

pub(super) const BODY_INLINE: u8 = 0;
pub(super) const BODY_CHUNKED: u8 = 1;

/// Bytes one stamp costs at most, with its table entries.
const STAMP_BYTES: usize = 18 + 2;

impl Record {
    /// The canonical encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::with_capacity(512);
        self.encode(&mut out);
        out.into_vec()
    }

    /// A bound on the encoded length, without encoding.
    pub(super) fn encoded_len_bound(&self) -> usize {
        let mut stamps = 0;
        self.each_stamp(&mut |_| stamps += 1);
        let xattrs: usize = self.xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len() + 8).sum();
        let names = self.names().map_or(0, |names| {
            let links: usize = names.links.iter().map(|link| link.place.name.len() + 40).sum();
            links + names.unlinked.as_ref().map_or(0, |place| place.value.name.len() + 24)
        });
        let contents: usize = self
            .contents()
            .iter()
            .map(|content| match &content.body {
                Body::Inline(bytes) => bytes.len() + 32,
                Body::Chunked(_) => 160,
            })
            .sum();
        let vectors = self.context.len() + self.trash_mark().map_or(0, |trash| trash.seen.len());
        let rest = self.target().map_or(0, <[u8]>::len) + self.parents().len() * 18 + 600;
        stamps * STAMP_BYTES + xattrs + names + contents + vectors * 28 + rest
    }
}

/// The tables other fields refer to.
struct Tables {
    lives: Vec<(DeviceId, u32)>,
    stamps: Vec<Stamp>,
}

impl Tables {
    fn collect(record: &Record) -> Self {
        let lives = record.context.iter().map(|(life, _)| life).collect();
        let mut stamps = Vec::new();
        record.each_stamp(&mut |stamp| stamps.push(*stamp));
        stamps.sort_unstable();
        stamps.dedup();
        Self { lives, stamps }
    }

    fn life(&self, stamp: &Stamp) -> u16 {
        index(self.lives.binary_search(&(stamp.dot.device, stamp.dot.incarnation)))
    }

    fn stamp(&self, stamp: &Stamp) -> u16 {
        index(self.stamps.binary_search(stamp))
    }

    fn names(&self, names: &Names, out: &mut Writer) {
        put_count(names.links.len(), out);
        for Link { id, asserted, placed, place } in &names.links {
            out.put(id).u16(self.stamp(asserted)).u16(self.stamp(placed));
            put_place(place, out);
        }
        match &names.unlinked {
            None => out.u8(0),
            Some(Register { stamp, value }) => {
                out.u8(1).u16(self.stamp(stamp));
                put_place(value, out);
                out
            }
        };
    }

    fn time(&self, time: &Register<Time>, out: &mut Writer) {
        out.u16(self.stamp(&time.stamp)).i64(time.value.secs).u32(time.value.nanos);
    }

    fn dir(&self, place: &DirPlace, out: &mut Writer) {
        out.u16(self.stamp(&place.name.stamp));
        put_name(&place.name.value, out);
        put_count(place.parents.len(), out);
        for edge in &place.parents {
            out.u16(self.stamp(&edge.stamp)).put(&edge.parent);
        }
        match &place.trash {
            None => out.u8(0),
            Some(trash) => out.u8(1).u16(self.stamp(&trash.stamp)).put(&trash.seen),
        };
    }
}

impl Encode for Record {
    fn encode(&self, out: &mut Writer) {
        let tables = Tables::collect(self);
        out.u8(VERSION).u8(self.kind() as u8).put(&self.file);
        put_count(tables.lives.len(), out);
        for ((device, incarnation), seq) in self.context.iter() {
            out.put(&device).u32(incarnation).u64(seq);
        }
        put_count(tables.stamps.len(), out);
        for stamp in &tables.stamps {
            out.put(&stamp.hlc).u16(tables.life(stamp)).u64(stamp.dot.seq);
        }
        out.u16(tables.stamp(&self.mode.stamp)).u16(self.mode.value);
        out.u16(tables.stamp(&self.owner.stamp)).u32(self.owner.value.uid).u32(self.owner.value.gid);
        put_count(self.xattrs.len(), out);
        for xattr in &self.xattrs {
            put_name(&xattr.name, out);
            out.u16(tables.stamp(&xattr.stamp)).short_bytes(&xattr.value);
        }
        match &self.node {
            Node::File { names, contents } => {
                tables.names(names, out);
                put_count(contents.len(), out);
                for content in contents {
                    out.u16(tables.stamp(&content.stamp));
                    tables.time(&content.mtime, out);
                    out.put(&content.body);
                }
            }
            Node::Dir { mtime, place } => {
                tables.time(mtime, out);
                tables.dir(place, out);
            }
            Node::Symlink { names, mtime, target } => {
                tables.names(names, out);
                tables.time(mtime, out);
                out.short_bytes(target);
            }
            Node::Special { kind: _, names, mtime, rdev } => {
                tables.names(names, out);
                tables.time(mtime, out);
                out.u16(tables.stamp(&rdev.stamp)).u32(rdev.value);
            }
        }
    }
}

impl Encode for Body {
    fn encode(&self, out: &mut Writer) {
        match self {
            Self::Inline(bytes) => out.u8(BODY_INLINE).short_bytes(bytes),
            Self::Chunked(chunked) => out
                .u8(BODY_CHUNKED)
                .u64(chunked.size)
                .u8(chunked.profile)
                .put(&chunked.root)
                .raw(chunked.root_salt.as_bytes())
                .raw(chunked.cek.expose())
                .raw(&chunked.plain_hash),
        };
    }
}

fn put_place(place: &Place, out: &mut Writer) {
    out.put(&place.parent);
    put_name(&place.name, out);
}

fn put_name(name: &[u8], out: &mut Writer) {
    out.u8(u8::try_from(name.len()).expect("names are at most 255 bytes, checked on entry")).raw(name);
}

fn put_count(count: usize, out: &mut Writer) {
    out.u16(u16::try_from(count).expect("merge and mutators keep counts under the limits"));
}

fn index(found: Result<usize, usize>) -> u16 {
    let index = found.expect("the tables hold every stamp and life of the record");
    u16::try_from(index).expect("merge and mutators keep counts under the limits")
}
