//! What `stat` shows: inode numbers, kinds, times and attributes.
//!
//! These types are the language between the engine and the mount. They carry plain POSIX values and
//! know nothing of records, stamps or sync.

/// An inode number. Never reused while the volume is open; a remote content change takes a new one.
pub type Ino = u64;

/// The root directory.
pub const ROOT: Ino = 1;

/// What a node is. Never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// A point in time; before 1970 `secs` is negative and `nanos` still counts forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds since 1970.
    pub secs: i64,
    /// Nanoseconds past the second, below 1,000,000,000.
    pub nanos: u32,
}

impl Time {
    /// Milliseconds since 1970, zero for earlier times: what stamps are made from.
    #[must_use]
    pub fn millis(self) -> u64 {
        let millis = i128::from(self.secs) * 1000 + i128::from(self.nanos / 1_000_000);
        u64::try_from(millis.max(0)).unwrap_or(u64::MAX)
    }

    /// The time of a stamp: milliseconds since 1970.
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        let nanos = u32::try_from(millis % 1000).unwrap_or_default() * 1_000_000;
        Self { secs: i64::try_from(millis / 1000).unwrap_or(i64::MAX), nanos }
    }
}

/// The attributes of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with suid, sgid and sticky: 07777.
    pub mode: u32,
    /// Names; 0 once the last one is gone, 2 + subdirectories for a directory.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of device nodes, else 0.
    pub rdev: u32,
    /// Bytes of content, or of a symlink's target.
    pub size: u64,
    /// 512-byte blocks: the file's bytes that are not holes.
    pub blocks: u64,
    /// Last access. Local.
    pub atime: Time,
    /// Last content change.
    pub mtime: Time,
    /// Last attribute change. Local.
    pub ctime: Time,
}

/// What to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of device nodes, else 0.
    pub rdev: u32,
    /// A symlink's target; `None` for everything else.
    pub target: Option<Vec<u8>>,
}

/// Times to set; `None` leaves a time as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetTimes {
    /// Last access.
    pub atime: Option<Time>,
    /// Last content change.
    pub mtime: Option<Time>,
    /// Last attribute change.
    pub ctime: Option<Time>,
}

/// Totals of the volume, in 4 KiB blocks of the disk below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatFs {
    /// Bytes of a block.
    pub block_bytes: u32,
    /// Blocks of the disk.
    pub blocks: u64,
    /// Blocks a write can still take before it is refused.
    pub free: u64,
    /// Nodes in the tree.
    pub files: u64,
    /// Nodes that can still be created.
    pub files_free: u64,
    /// Longest name in bytes.
    pub name_max: u32,
}

/// Something a kernel that caches names and attributes must hear of.
///
/// Notices come from remote changes only. They are handed over with no lock held, after the change
/// is visible; the receiver queues them and sends them from a thread of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Notice {
    /// The name now leads to another node, or to none.
    Entry {
        /// The directory.
        parent: Ino,
        /// The name in it.
        name: Vec<u8>,
    },
    /// Attributes changed, content did not.
    Attr {
        /// The node.
        ino: Ino,
    },
    /// The directory has other entries.
    Listing {
        /// The directory.
        dir: Ino,
    },
    /// The node was replaced by a new version and has no name any more.
    Detached {
        /// The old node.
        ino: Ino,
    },
}

/// What the hydration and sync state of one node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Everything about it is numbered and placed.
    Synced,
    /// Waits for cut, upload, number or placement.
    Waiting,
    /// Journal damage took bytes of it; reads fail until it is overwritten.
    Damaged,
}

/// What a user wants of a node's content on this device. Nodes without a wish follow the folder they are
/// in; the root follows `Auto`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PinMode {
    /// Always here, also those who read it offline: fetched as soon as it changes, never evicted.
    Always,
    /// Here once it was read or written, until the cache needs the room.
    #[default]
    Auto,
    /// Here while it is used, and given up soon after it is safe elsewhere.
    Never,
}

/// How much of a node's content is on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Residence {
    /// Nothing of it: reading needs the network.
    OnlineOnly,
    /// Some of it.
    Partial,
    /// All of it, until the cache needs the room.
    Local,
    /// All of it, and it stays.
    Pinned,
}
