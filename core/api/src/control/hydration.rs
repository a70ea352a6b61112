//! What stays on this device: pinning files and folders, and giving up their content.

use serde::{Deserialize, Serialize};

/// What a user wants of a file's or folder's content on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PinMode {
    /// Always here, readable offline.
    Always,
    /// Here once it was used, until the room is needed.
    Auto,
    /// Here only while it is used.
    Never,
    /// As the folder it is in.
    Inherit,
}

/// Sets that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// What is wanted.
    pub mode: PinMode,
    /// A path in the vault, or anywhere below the mount point.
    pub path: String,
    /// The same from the root of the file system, when the caller knows where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute: Option<String>,
}

/// What a file, or everything below a folder, is on this device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hydrated {
    /// The path in the vault.
    pub path: String,
    /// What counts for it, inherited or not: never `Inherit`.
    pub mode: PinMode,
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of those bytes are on this device.
    pub here_bytes: u64,
}

/// Gives up the content of a file or of everything below a folder; it comes again when it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evict {
    /// As in [`Pin::path`].
    pub path: String,
    /// As in [`Pin::absolute`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute: Option<String>,
}

/// What was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evicted {
    /// Files of which nothing is here any more.
    pub files: u64,
    /// Their bytes that were here.
    pub bytes: u64,
    /// Files that stayed because they are not safe elsewhere yet.
    pub waiting: u64,
    /// Files that stayed because they are pinned.
    pub pinned: u64,
}

/// All pinned files together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// How many there are.
    pub files: u64,
    /// How many of them are not wholly here yet.
    pub missing_files: u64,
    /// The bytes of those.
    pub missing_bytes: u64,
}
