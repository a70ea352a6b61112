//! What the kernel knows: nodes by number, and open files by handle.

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The number of the top folder, fixed by the protocol.
pub(super) const ROOT: u64 = 1;

/// How the descriptor of a node is opened: it stands for the inode and cannot be read.
const AS_NODE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// One inode the kernel may ask about.
struct Node {
    descriptor: Arc<OwnedFd>,
    /// Answers that named it, less what the kernel has forgotten.
    lookups: u64,
}

/// All nodes and all open files.
pub(super) struct Nodes {
    device: u64,
    root: u64,
    nodes: Mutex<HashMap<u64, Node>>,
    open: Mutex<HashMap<u64, Arc<OwnedFd>>>,
    next_handle: AtomicU64,
}

impl Nodes {
    /// Only the top folder is known.
    pub(super) fn over(top: OwnedFd) -> Result<Self, Errno> {
        let stat = rustix::fs::fstat(&top)?;
        let root = Node { descriptor: Arc::new(top), lookups: 1 };
        Ok(Self {
            device: stat.st_dev,
            root: stat.st_ino,
            nodes: Mutex::new(HashMap::from([(ROOT, root)])),
            open: Mutex::default(),
            next_handle: AtomicU64::new(1),
        })
    }

    /// The descriptor of a node.
    pub(super) fn node(&self, number: u64) -> Result<Arc<OwnedFd>, Errno> {
        lock(&self.nodes).get(&number).map(|node| Arc::clone(&node.descriptor)).ok_or(Errno::STALE)
    }

    /// The number the kernel knows an inode by.
    pub(super) fn number(&self, inode: u64) -> u64 {
        if inode == self.root { ROOT } else { inode }
    }

    /// Finds a name and counts one lookup.
    pub(super) fn look_up(&self, parent: u64, name: &OsStr) -> Result<(u64, Stat), Errno> {
        let parent = self.node(parent)?;
        let found = rustix::fs::openat(&*parent, name, AS_NODE, Mode::empty())?;
        let stat = rustix::fs::fstat(&found)?;
        if stat.st_dev != self.device {
            return Err(Errno::XDEV);
        }
        let number = self.number(stat.st_ino);
        let mut nodes = lock(&self.nodes);
        let fresh = || Node { descriptor: Arc::new(found), lookups: 0 };
        nodes.entry(number).or_insert_with(fresh).lookups += 1;
        Ok((number, stat))
    }

    /// Takes lookups back; the last one closes the node.
    pub(super) fn forget(&self, number: u64, lookups: u64) {
        let mut nodes = lock(&self.nodes);
        let Some(node) = nodes.get_mut(&number) else { return };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups == 0 && number != ROOT {
            nodes.remove(&number);
        }
    }

    /// The attributes of a node.
    pub(super) fn stat(&self, number: u64) -> Result<Stat, Errno> {
        rustix::fs::statat(&*self.node(number)?, "", AtFlags::EMPTY_PATH)
    }

    /// Opens what a node stands for.
    pub(super) fn reopen(&self, number: u64, flags: OFlags) -> Result<OwnedFd, Errno> {
        let node = self.node(number)?;
        rustix::fs::open(by_descriptor(&node), flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// Keeps an open file; the handle that names it.
    pub(super) fn keep_open(&self, file: OwnedFd) -> u64 {
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(handle, Arc::new(file));
        handle
    }

    /// The open file of a handle.
    pub(super) fn open_file(&self, handle: u64) -> Result<Arc<OwnedFd>, Errno> {
        lock(&self.open).get(&handle).cloned().ok_or(Errno::BADF)
    }

    /// Closes a handle.
    pub(super) fn close(&self, handle: u64) {
        drop(lock(&self.open).remove(&handle));
    }
}

/// The path that leads to an inode, whatever it is called: for the calls that take no `O_PATH` descriptor.
pub(super) fn by_descriptor(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

/// A panic elsewhere leaves whole entries behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
