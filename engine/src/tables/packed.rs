//! A settled node in a quarter of its room.
//!
//! Most nodes of a vault are settled: nothing of them is unsent or unflushed, their body is their
//! record's content, and nobody is looking at them. Open, such a node takes more than a kilobyte, of
//! which little is said by the record's own encoding; packed, it is that encoding and what only this
//! device knows. It never leaves memory, so its layout has no version:
//!
//! ```text
//! flags 1    1 mtime is the record's   2 has a version   4 all of it is here   8 part of it is
//!            16 the next fsync fails
//! here 8     with flag 8: bytes
//! atime 12, ctime 12, and without flag 1 mtime 12
//! segment 8  the journal segment of the last image
//! heads 4 + 32 each
//! links 2    each: directory 8, number of the link in the record 2, name (length 2; 0: the record's)
//! record     to the end
//! ```

use crate::body::Here;
use crate::tables::node::{Link, Node, shown_time};
use crate::{Ino, Time};
use freehold_model::VersionHash;
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_vault::record::Record;
use std::sync::Arc;
use zeroize::Zeroizing;

const SHOWS_RECORD_TIME: u8 = 1;
const HAS_VERSION: u8 = 2;
const ALL_HERE: u8 = 4;
const PART_HERE: u8 = 8;
const POISONED: u8 = 16;

/// A packed node. Records hold content keys: the bytes are wiped when they go.
pub(crate) struct Packed(Zeroizing<Box<[u8]>>);

impl Packed {
    /// Packs a node; `None` when it is not settled, and for directories that can have entries.
    pub(crate) fn of(node: &Node) -> Option<Self> {
        if !is_settled(node) || node.is_dir() && !(node.is_deleted() && node.children.len() == 0) {
            return None;
        }
        let links = node.links.iter().map(|link| numbered(link, &node.record)).collect::<Option<Vec<_>>>()?;
        let shows_record_time = node.mtime == shown_time(node.record.mtime());
        let here = match node.body.here {
            Here::Unknown => 0,
            Here::All => ALL_HERE,
            Here::Part(_) => PART_HERE,
        };
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(shows_record_time, SHOWS_RECORD_TIME)
            | flag(node.sync.has_version, HAS_VERSION)
            | flag(node.poisoned, POISONED)
            | here;
        let record = Zeroizing::new(node.record.to_bytes());
        // A record past what a reader takes stays as it is: it is no use in bytes.
        Record::from_bytes(&record).ok()?;
        // Room for all of it: a vector that grows would leave copies of keys behind.
        let names: usize = links.iter().map(|(_, name)| 12 + name.len()).sum();
        let mut out = Writer::with_capacity(64 + 32 * node.sync.heads.len() + names + record.len());
        out.u8(flags);
        if let Here::Part(bytes) = node.body.here {
            out.u64(bytes);
        }
        out.put(&node.atime).put(&node.ctime);
        if !shows_record_time {
            out.put(&node.mtime);
        }
        out.u64(node.sync.image_segment).u32(u32::try_from(node.sync.heads.len()).ok()?);
        for head in &node.sync.heads {
            out.put(head);
        }
        out.u16(u16::try_from(links.len()).ok()?);
        for (link, (number, name)) in node.links.iter().zip(links) {
            out.u64(link.dir).u16(number).short_bytes(name);
        }
        out.raw(&record);
        Some(Self(Zeroizing::new(out.into_vec().into_boxed_slice())))
    }

    /// The node again.
    pub(crate) fn open(&self, ino: Ino) -> Node {
        self.read(ino).expect("what was packed here opens again")
    }

    /// The node's heads alone.
    pub(crate) fn heads(&self) -> Vec<VersionHash> {
        Front::read(&mut Reader::new(&self.0)).expect("what was packed here opens again").heads
    }

    /// Puts another directory into one of the links.
    pub(crate) fn place(&mut self, number: u16, dir: Ino) {
        let at = self.link_at(number).expect("what was packed here opens again");
        if let Some(place) = self.0.get_mut(at..at + size_of::<Ino>()) {
            place.copy_from_slice(&dir.to_be_bytes());
        }
    }

    /// Where a link stands.
    fn link_at(&self, number: u16) -> Result<usize, DecodeError> {
        let mut input = Reader::new(&self.0);
        Front::read(&mut input)?;
        input.u16()?;
        for _ in 0..number {
            link(&mut input)?;
        }
        Ok(self.0.len() - input.remaining())
    }

    fn read(&self, ino: Ino) -> Result<Node, DecodeError> {
        let mut input = Reader::new(&self.0);
        let Front { flags, here, atime, ctime, mtime, image_segment, heads } = Front::read(&mut input)?;
        let links = (0..input.u16()?).map(|_| link(&mut input)).collect::<Result<Vec<_>, _>>()?;
        let record = Record::from_bytes(input.rest())?;
        let links = links.into_iter().map(|(dir, number, name)| {
            let link = record.links().nth(usize::from(number)).ok_or(DecodeError::Invalid("link"))?;
            let name: Arc<[u8]> = if name.is_empty() { (*link.place.name).into() } else { name.into() };
            Ok(Link { dir, name, id: link.id })
        });
        let links = links.collect::<Result<Vec<_>, DecodeError>>()?;
        let mut node = Node::new(ino, record, atime);
        node.mtime = mtime.unwrap_or(node.mtime);
        node.ctime = ctime;
        node.links = links;
        node.body.here = here;
        node.sync.heads = heads;
        node.sync.has_version = flags & HAS_VERSION != 0;
        node.sync.image_segment = image_segment;
        node.poisoned = flags & POISONED != 0;
        Ok(node)
    }
}

/// Whether nothing is to be done about a node, and its record says what it shows.
pub(crate) fn is_settled(node: &Node) -> bool {
    // A node that other inodes lead to must not go while they are there.
    let stands_alone = node.successor.is_none() && node.old_versions == 0;
    // A deletion nobody else has to hear of goes with its last reference.
    let stays = !node.is_deleted() || node.sync.is_known();
    stands_alone && stays && node.sync.is_settled() && node.body.is_settled(&node.record)
}

/// What stands before the links.
struct Front {
    flags: u8,
    here: Here,
    atime: Time,
    ctime: Time,
    mtime: Option<Time>,
    image_segment: u64,
    heads: Vec<VersionHash>,
}

impl Front {
    fn read(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let flags = input.u8()?;
        let here = match flags & (ALL_HERE | PART_HERE) {
            0 => Here::Unknown,
            ALL_HERE => Here::All,
            _ => Here::Part(input.u64()?),
        };
        let (atime, ctime) = (input.get()?, input.get()?);
        let mtime = if flags & SHOWS_RECORD_TIME == 0 { Some(input.get()?) } else { None };
        let (image_segment, count) = (input.u64()?, input.u32()?);
        let heads = (0..count).map(|_| input.get()).collect::<Result<_, _>>()?;
        Ok(Self { flags, here, atime, ctime, mtime, image_segment, heads })
    }
}

/// Directory, number in the record, and the name if it is another one than there.
fn link<'a>(input: &mut Reader<'a>) -> Result<(Ino, u16, &'a [u8]), DecodeError> {
    Ok((input.u64()?, input.u16()?, input.short_bytes(usize::MAX)?))
}

/// Which of the record's links a shown one is, and its name where that is another one.
fn numbered<'a>(link: &'a Link, record: &Record) -> Option<(u16, &'a [u8])> {
    let (number, known) = record.links().enumerate().find(|(_, known)| known.id == link.id)?;
    let name = if *known.place.name == *link.name { &[] } else { &*link.name };
    Some((u16::try_from(number).ok()?, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::Tables;
    use crate::tables::tests::tables;
    use crate::{Kind, NewNode, ROOT, XattrMode};
    use freehold_vault::record::Body;

    /// Everything about a node that a program or a sync could notice.
    fn noticeable(node: &Node) -> String {
        let (sync, body) = (&node.sync, &node.body);
        let extents: Vec<String> = body.extents.runs().map(|run| format!("{run:?}")).collect();
        let times = (node.atime, node.mtime, node.ctime);
        let sync = (&sync.heads, sync.has_version, sync.image_segment, node.poisoned);
        let body = (body.size, body.shown, body.here, extents);
        format!("{:?} {times:?} {:?} {body:?} {sync:?} {:?}", node.record, node.links, node.attr())
    }

    /// A node as the server has it, changed in one way more.
    fn settled(kind: Kind, change: impl FnOnce(&mut Tables, Ino)) -> Node {
        let mut tables = tables();
        let target = (kind == Kind::Symlink).then(|| b"../elsewhere".to_vec());
        let new = NewNode { kind, mode: 0o640, uid: 7, gid: 8, rdev: 0, target };
        let ino = tables.insert(ROOT, b"name", new).expect("free");
        change(&mut tables, ino);
        let mut node = tables.nodes.remove(ino).expect("just made");
        node.sync.dirty_since = 0;
        node
    }

    fn with_content(tables: &mut Tables, ino: Ino) {
        let stamp = tables.stamp();
        let node = tables.change_record(ino, stamp).expect("there");
        let mtime = freehold_vault::record::Time { secs: -5, nanos: 6 };
        node.record.set_content(Body::Inline(b"words".to_vec()), mtime, stamp).expect("small");
        *node = Node { links: node.links.clone(), ..Node::new(ino, node.record.clone(), Time::default()) };
    }

    #[test]
    fn a_packed_node_opens_as_it_was() {
        let nodes = [
            settled(Kind::File, |_, _| {}),
            settled(Kind::File, |tables, ino| tables.nodes.get_mut(ino).expect("there").poisoned = true),
            settled(Kind::File, with_content),
            settled(Kind::Symlink, |_, _| {}),
            settled(Kind::Fifo, |_, _| {}),
            settled(Kind::File, |tables, ino| {
                tables.add_link(ino, ROOT, b"second").expect("free");
                tables.set_xattr(ino, b"user.a", b"1", XattrMode::Set).expect("room");
                let node = tables.nodes.get_mut(ino).expect("there");
                node.sync.heads = vec![VersionHash::from_bytes([3; 32]), VersionHash::from_bytes([4; 32])];
                node.sync.image_segment = 9;
                node.sync.has_version = true;
                node.body.here = Here::Part(11);
                node.links[1].name = b"shown otherwise".as_slice().into();
            }),
            settled(Kind::Dir, |tables, ino| {
                let node = tables.nodes.get_mut(ino).expect("there");
                node.sync.heads = vec![VersionHash::from_bytes([6; 32])];
                tables.remove_link(ROOT, b"name").expect("empty");
            }),
        ];
        for node in nodes {
            let packed = Packed::of(&node).expect("settled");
            assert_eq!(noticeable(&packed.open(node.ino)), noticeable(&node));
            assert_eq!(packed.heads(), node.sync.heads);
        }
    }

    #[test]
    fn a_packed_link_is_put_into_another_directory_in_place() {
        let mut node = settled(Kind::File, |tables, ino| {
            tables.add_link(ino, ROOT, b"second").expect("free");
            tables.nodes.get_mut(ino).expect("there").links[0].name = b"shown otherwise".as_slice().into();
        });
        let mut packed = Packed::of(&node).expect("settled");
        packed.place(1, 77);
        node.links[1].dir = 77;
        assert_eq!(noticeable(&packed.open(node.ino)), noticeable(&node));
    }

    #[test]
    fn what_is_on_its_way_or_can_have_entries_stays_open() {
        let open = [
            settled(Kind::Dir, |_, _| {}),
            settled(Kind::File, |tables, ino| tables.change_body(ino).map(drop).expect("a file")),
            settled(Kind::File, |tables, ino| tables.nodes.get_mut(ino).expect("there").old_versions = 1),
            settled(Kind::File, |tables, ino| {
                let node = tables.nodes.get_mut(ino).expect("there");
                node.sync.unplaced.push(VersionHash::from_bytes([5; 32]));
            }),
            settled(Kind::File, |tables, ino| {
                // A hole at the end: the content alone does not say it.
                with_content(tables, ino);
                tables.nodes.get_mut(ino).expect("there").body.extents.clear(3, 2);
            }),
        ];
        for node in open {
            assert!(Packed::of(&node).is_none(), "{node:?}");
        }
    }
}
