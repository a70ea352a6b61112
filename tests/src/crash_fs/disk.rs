//! The live state: what programs see, whatever is kept of it.

use super::Faults;
use super::found::write;
use super::trace::{At, Kind, Op, ROOT};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

/// What the disk holds when nothing else is said: enough for any scenario.
const CAPACITY_BYTES: u64 = 1 << 30;

/// One node. Nodes without a name stay: somebody may have them open.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) children: BTreeMap<OsString, u64>,
}

/// Nodes, record, faults.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) trace: Vec<Op>,
    pub(super) has_failed: bool,
    faults: Faults,
    used_bytes: u64,
}

impl Default for Disk {
    fn default() -> Self {
        let root = Node {
            kind: Kind::Dir,
            mode: libc::S_IFDIR | 0o700,
            bytes: Vec::new(),
            children: BTreeMap::new(),
        };
        Self {
            nodes: BTreeMap::from([(ROOT, root)]),
            trace: Vec::new(),
            has_failed: false,
            faults: Faults::default(),
            used_bytes: 0,
        }
    }
}

impl Disk {
    /// From here on these things go wrong.
    pub(super) fn inject(&mut self, faults: Faults) {
        self.faults = faults;
        self.has_failed = false;
    }

    /// Bytes in all, and free.
    pub(super) fn space(&self) -> (u64, u64) {
        let free = CAPACITY_BYTES.saturating_sub(self.used_bytes);
        (CAPACITY_BYTES, self.faults.free_bytes.unwrap_or(free).min(free))
    }

    pub(super) fn node(&self, node: u64) -> Result<&Node, Errno> {
        self.nodes.get(&node).ok_or(Errno::NOENT)
    }

    fn node_mut(&mut self, node: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&node).ok_or(Errno::NOENT)
    }

    pub(super) fn child(&self, dir: u64, name: &OsStr) -> Result<u64, Errno> {
        self.node(dir)?.children.get(name).copied().ok_or(Errno::NOENT)
    }

    /// Makes a node with a new name.
    pub(super) fn make(&mut self, dir: u64, name: &OsStr, kind: Kind, mode: u32) -> Result<u64, Errno> {
        if self.child(dir, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let node = self.nodes.keys().next_back().copied().unwrap_or(ROOT) + 1;
        self.node_mut(dir)?.children.insert(name.to_owned(), node);
        self.nodes.insert(node, Node { kind, mode, bytes: Vec::new(), children: BTreeMap::new() });
        self.trace.push(Op::Make { at: (dir, name.to_owned()), node, kind, mode });
        Ok(node)
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, dir: u64, name: &OsStr) -> Result<(), Errno> {
        let node = self.child(dir, name)?;
        if !self.node(node)?.children.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.node_mut(dir)?.children.remove(name);
        self.free(node);
        self.trace.push(Op::Remove { at: (dir, name.to_owned()) });
        Ok(())
    }

    /// Moves a name, over another one if need be.
    pub(super) fn rename(&mut self, from: At, to: At, may_replace: bool) -> Result<(), Errno> {
        let node = self.child(from.0, &from.1)?;
        if let Ok(replaced) = self.child(to.0, &to.1) {
            if !may_replace {
                return Err(Errno::EXIST);
            }
            if !self.node(replaced)?.children.is_empty() {
                return Err(Errno::NOTEMPTY);
            }
            self.free(replaced);
        }
        self.node_mut(from.0)?.children.remove(&from.1);
        self.node_mut(to.0)?.children.insert(to.1.clone(), node);
        self.trace.push(Op::Move { from, to });
        Ok(())
    }

    /// Its bytes count no more, although they stay for who has the node open.
    fn free(&mut self, node: u64) {
        let len = self.nodes.get(&node).map_or(0, |node| node.bytes.len() as u64);
        self.used_bytes = self.used_bytes.saturating_sub(len);
    }

    pub(super) fn read(&self, node: u64, offset: u64, len: usize) -> Result<&[u8], Errno> {
        let bytes = &self.node(node)?.bytes;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[start..start.saturating_add(len).min(bytes.len())])
    }

    pub(super) fn write(&mut self, node: u64, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        if self.faults.fails_writes {
            return Err(Errno::IO);
        }
        self.grow(node, offset.saturating_add(bytes.len() as u64))?;
        write(&mut self.node_mut(node)?.bytes, usize::try_from(offset).unwrap_or(usize::MAX), bytes);
        self.trace.push(Op::Write { node, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    pub(super) fn set_len(&mut self, node: u64, len_bytes: u64) -> Result<(), Errno> {
        let before = self.node(node)?.bytes.len() as u64;
        self.grow(node, len_bytes)?;
        self.used_bytes = self.used_bytes.saturating_sub(before.saturating_sub(len_bytes));
        self.node_mut(node)?.bytes.resize(usize::try_from(len_bytes).unwrap_or(usize::MAX), 0);
        self.trace.push(Op::SetLen { node, len_bytes });
        Ok(())
    }

    /// Reserves room: the file is at least so long afterwards.
    pub(super) fn reserve(&mut self, node: u64, end: u64, keep_size: bool) -> Result<(), Errno> {
        let before = self.node(node)?.bytes.len() as u64;
        if keep_size || end <= before {
            return if end.saturating_sub(before) > self.space().1 { Err(Errno::NOSPC) } else { Ok(()) };
        }
        self.set_len(node, end)
    }

    /// Books what a file grows by.
    fn grow(&mut self, node: u64, end: u64) -> Result<(), Errno> {
        let more = end.saturating_sub(self.node(node)?.bytes.len() as u64);
        let (_, free) = self.space();
        if more > free {
            return Err(Errno::NOSPC);
        }
        self.used_bytes += more;
        if let Some(left) = &mut self.faults.free_bytes {
            *left -= more;
        }
        Ok(())
    }

    /// Flushes a file, or the names.
    pub(super) fn sync(&mut self, node: u64) -> Result<(), Errno> {
        let is_dir = self.node(node)?.kind == Kind::Dir;
        let fails = self.faults.fails_syncs || self.faults.failing_sync == Some(0);
        self.faults.failing_sync = self.faults.failing_sync.and_then(|left| left.checked_sub(1));
        if fails {
            self.has_failed = true;
            if !is_dir {
                self.trace.push(Op::Lose { node });
            }
            return Err(Errno::IO);
        }
        self.trace.push(if is_dir { Op::SyncNames } else { Op::Sync { node } });
        Ok(())
    }
}
