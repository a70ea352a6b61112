//! Random histories: four replicas of one node write and merge in any order.
//!
//! Beside the replicas runs an oracle that knows nothing of merging: for each observed-remove set it
//! notes which dotted elements were ever added and which were ever removed. What must be left at the
//! end is the first less the second.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

pub(super) const REPLICAS: usize = 4;

#[derive(Clone, Debug)]
pub(super) enum Op {
    Mode(u16),
    Owner(u32),
    Mtime(i64),
    SetXattr(u8, u8),
    RemoveXattr(u8),
    Inline(u8),
    Chunked(u8, u8),
    AddLink(u8, u8),
    MoveLink(u8, u8),
    RemoveLink(u8),
    Settle,
    Trash,
    Purge,
    MoveDir(u8, u8),
    Revive,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Changes of one operation: they share a stamp.
    Write {
        replica: usize,
        millis: u64,
        ops: Vec<Op>,
    },
    Merge {
        into: usize,
        from: usize,
    },
}

/// An element of one of the sets: which set, its key, its dot.
pub(super) type ElementName = (&'static str, Vec<u8>, Dot);

#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) replicas: Vec<Record>,
    pub(super) added: BTreeSet<ElementName>,
    pub(super) removed: BTreeSet<ElementName>,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let op = prop_oneof![
        2 => (0..0o7777_u16).prop_map(Op::Mode),
        1 => (0..4_u32).prop_map(Op::Owner),
        2 => (-2..3_i64).prop_map(Op::Mtime),
        2 => (0..3_u8, any::<u8>()).prop_map(|(k, v)| Op::SetXattr(k, v)),
        1 => (0..3_u8).prop_map(Op::RemoveXattr),
        2 => (0..3_u8).prop_map(Op::Inline),
        3 => (0..3_u8, any::<u8>()).prop_map(|(p, s)| Op::Chunked(p, s)),
        2 => (1..4_u8, 0..4_u8).prop_map(|(l, n)| Op::AddLink(l, n)),
        3 => (1..4_u8, 0..4_u8).prop_map(|(l, n)| Op::MoveLink(l, n)),
        2 => (1..4_u8).prop_map(Op::RemoveLink),
        2 => Just(Op::Settle),
        1 => Just(Op::Trash),
        1 => Just(Op::Purge),
        3 => (1..6_u8, 0..3_u8).prop_map(|(p, n)| Op::MoveDir(p, n)),
        1 => Just(Op::Revive),
    ];
    let write = (0..REPLICAS, 0..40_u64, prop::collection::vec(op, 1..3))
        .prop_map(|(replica, millis, ops)| Step::Write { replica, millis, ops });
    let merge = (0..REPLICAS, 0..REPLICAS).prop_map(|(into, from)| Step::Merge { into, from });
    prop::collection::vec(prop_oneof![3 => write, 1 => merge], 1..30)
}

pub(super) fn run(first: &Record, steps: &[Step]) -> World {
    let added = elements(first);
    let mut world = World { replicas: vec![first.clone(); REPLICAS], added, removed: BTreeSet::new() };
    let mut seq = 1;
    for step in steps {
        seq += 1;
        match step {
            Step::Merge { into, from } => {
                world.replicas[*into] = merged(&world.replicas[*into], &world.replicas[*from]);
            }
            Step::Write { replica, millis, ops } => {
                let record = &mut world.replicas[*replica];
                let (before, stamp) = (elements(record), stamp(10 + *replica as u8, seq, *millis));
                ops.iter().for_each(|op| apply(record, op, stamp));
                let after = elements(record);
                world.removed.extend(before.difference(&after).cloned());
                world.added.extend(after.difference(&before).cloned());
            }
        }
    }
    world
}

fn apply(record: &mut Record, op: &Op, stamp: Stamp) {
    let names = ["a.txt", "b.txt", "ä", "d"];
    let named = |parent: u8, name: u8| place(parent, names[usize::from(name) % names.len()]);
    let mtime = Time { secs: 5, nanos: 0 };
    // Operations that do not exist for the node, or name a missing link, are refused: also a history.
    let _ = match op {
        Op::Mode(mode) => record.set_mode(*mode, stamp),
        Op::Owner(uid) => {
            record.set_owner(Owner { uid: *uid, gid: 0 }, stamp);
            Ok(())
        }
        Op::Mtime(secs) => record.set_mtime(Time { secs: *secs, nanos: 1 }, stamp),
        Op::SetXattr(key, value) => record.set_xattr(&[b'k', *key], &[*value], stamp),
        Op::RemoveXattr(key) => {
            record.remove_xattr(&[b'k', *key], stamp);
            Ok(())
        }
        Op::Inline(plain) => record.set_content(Body::Inline(vec![*plain; 3]), mtime, stamp),
        Op::Chunked(plain, seal) => record.set_content(chunked(*plain, *seal), mtime, stamp),
        Op::AddLink(n, name) => record.add_link(link(*n), named(1, *name), stamp),
        Op::MoveLink(n, name) => record.move_link(&link(*n), named(2, *name), stamp),
        Op::RemoveLink(n) => record.remove_link(&link(*n), stamp),
        Op::Settle => {
            let current = record.newest_content().map(|content| content.stamp);
            let loser = record.contents().iter().map(|c| c.stamp).find(|stamp| Some(*stamp) != current);
            loser.and_then(|loser| record.settle(&loser.dot, place(1, "copy"), stamp));
            Ok(())
        }
        Op::Trash => {
            record.trash(&VersionVector::new(), stamp);
            Ok(())
        }
        Op::Purge => {
            record.purge(stamp);
            Ok(())
        }
        Op::MoveDir(parent, name) => record.set_dir_place(named(*parent, *name), stamp),
        Op::Revive => {
            record.revive_dir(stamp);
            Ok(())
        }
    };
}

/// Every dotted element of every set in the record.
pub(super) fn elements(record: &Record) -> BTreeSet<ElementName> {
    let contents = record.contents().iter().map(|c| ("content", Vec::new(), c.stamp.dot));
    let xattrs = record.xattrs.iter().map(|x| ("xattr", x.name.clone(), x.stamp.dot));
    let parents = record.parents().iter().map(|p| ("parent", Vec::new(), p.stamp.dot));
    let links = record.names().into_iter().flat_map(|names| &names.links);
    let links = links.map(|l| ("link", l.id.to_bytes().to_vec(), l.asserted.dot));
    contents.chain(xattrs).chain(parents).chain(links).collect()
}
