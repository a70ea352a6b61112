//! What can be done to a tree. Paths are relative to its top, slots name open files.

/// One operation.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Open { slot: usize, path: String, create: bool, exclusive: bool, truncate: bool, append: bool, mode: u32 },
    Close { slot: usize },
    Write { slot: usize, offset: u64, len: usize, seed: u64 },
    Read { slot: usize, offset: u64, len: usize },
    SetLen { slot: usize, len_bytes: u64 },
    Allocate { slot: usize, how: Allocate, offset: u64, len: u64 },
    Copy { from: usize, from_offset: u64, to: usize, to_offset: u64, len: usize },
    Sync { slot: usize, only_data: bool },
    StatOpen { slot: usize },
    MakeDir { path: String, mode: u32 },
    RemoveDir { path: String },
    Unlink { path: String },
    Rename { from: String, to: String, how: Rename },
    Link { from: String, to: String },
    Symlink { target: String, path: String },
    ReadLink { path: String },
    Fifo { path: String, mode: u32 },
    Chmod { path: String, mode: u32 },
    Chown { path: String, uid: u32, gid: u32 },
    Times { path: String, accessed: (i64, i64), modified: (i64, i64) },
    SetXattr { path: String, name: String, len: usize, seed: u64, how: SetXattr },
    GetXattr { path: String, name: String },
    ListXattr { path: String },
    RemoveXattr { path: String, name: String },
    Truncate { path: String, len_bytes: u64 },
    List { path: String },
    Stat { path: String },
    ReadFile { path: String },
}

/// Kinds of `fallocate`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Allocate {
    Grow,
    KeepSize,
    Punch,
    Zero,
    ZeroKeepSize,
}

/// Kinds of rename.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rename {
    Replace,
    NoReplace,
    Exchange,
}

/// Kinds of `setxattr`.
#[derive(Clone, Copy, Debug)]
pub(super) enum SetXattr {
    Any,
    Create,
    Replace,
}
