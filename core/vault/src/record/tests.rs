//! Merge laws over random histories, and the rules one by one.

mod edits;
mod encoding;
mod history;
mod laws;

use super::*;
use crate::record::content::Chunked;
use freehold_crypto::{Cek, RootSalt};
use freehold_model::{ChunkId, DeviceId, Dot};

pub(super) fn stamp(device: u8, seq: u64, millis: u64) -> Stamp {
    let dot = Dot { device: DeviceId::from_bytes([device; 16]), incarnation: 1, seq };
    Stamp { hlc: Hlc::from_millis(millis), dot }
}

pub(super) fn id(n: u8) -> FileId {
    FileId::from_bytes([n; 16])
}

pub(super) fn link(n: u8) -> LinkId {
    LinkId::from_bytes([n; 16])
}

pub(super) fn place(parent: u8, name: &str) -> Place {
    Place { parent: id(parent), name: name.as_bytes().to_vec() }
}

pub(super) fn new_node() -> NewNode {
    NewNode { mode: 0o644, owner: Owner { uid: 1000, gid: 1000 }, mtime: Time { secs: 1, nanos: 2 } }
}

pub(super) fn a_file() -> Record {
    Record::new_file(id(9), new_node(), link(1), place(1, "report.odt"), stamp(1, 1, 10)).expect("valid")
}

pub(super) fn a_dir() -> Record {
    Record::new_dir(id(9), new_node(), place(1, "folder"), stamp(1, 1, 10)).expect("valid")
}

/// Equal numbers have equal plain content; keys and root differ with `seal`.
pub(super) fn chunked(plain: u8, seal: u8) -> Body {
    Body::Chunked(Chunked {
        size: 100_000 + u64::from(plain),
        profile: 2,
        root: ChunkId::from_bytes([seal; 32]),
        root_salt: RootSalt::from_bytes([seal; 16]),
        cek: Cek::from_bytes([7; 32]),
        plain_hash: [plain; 32],
    })
}

pub(super) fn merged(a: &Record, b: &Record) -> Record {
    a.merge(b).expect("records of one node")
}
