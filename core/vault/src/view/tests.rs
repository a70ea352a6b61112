//! The view rules one by one, and the whole tree over random histories.

mod names;
mod trees;

use crate::record::{NewNode, Owner, Place, Time};
use freehold_model::{DeviceId, Dot, FileId, Hlc, LinkId, Stamp};

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
    NewNode { mode: 0o644, owner: Owner::default(), mtime: Time::default() }
}

/// A device's label in these tests: its first byte.
pub(super) fn label(device: &DeviceId) -> String {
    format!("device {}", device.as_bytes()[0])
}
