//! Why a mount or an unmount was refused, each as one clear line.
//!
//! The caller knows the path and prints it beside the line; errors here carry none.

use std::io;

/// Why the volume could not be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// Nothing at the path.
    #[error("cannot mount: the mount point does not exist; create an empty directory there")]
    Missing,
    /// Something else than a directory.
    #[error("cannot mount: the mount point is not a directory")]
    NotDirectory,
    /// Entries that the mount would hide.
    #[error("cannot mount: the directory is not empty; choose an empty one or move its entries away")]
    NotEmpty,
    /// A live mount, ours or another's.
    #[error("cannot mount: something is mounted there already; unmount it first")]
    AlreadyMounted,
    /// The device node is missing or refuses us.
    #[error(
        "cannot mount: /dev/fuse cannot be used ({0}); load the fuse module or ask for access to the device"
    )]
    NoDevice(#[source] io::Error),
    /// The helper for users other than root is missing.
    #[error("cannot mount: fusermount3 is not installed; install the package fuse3")]
    NoHelper,
    /// The helper refused; its own words.
    #[error("cannot mount: fusermount3 refused: {0}")]
    Helper(String),
    /// The kernel refused, or lacks what the mount needs.
    #[error("cannot mount: {what}: {source}")]
    Kernel {
        /// What was attempted.
        what: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// Files are open or a process stands in the mount.
    #[error(
        "cannot unmount: files in the mount are open or a program stands in it; close them, or detach it"
    )]
    Busy,
    /// Somebody else unmounted or mounted over it; nothing was touched.
    #[error("cannot unmount: this mount is no longer on top at its mount point")]
    NotOurs,
    /// The unmount failed for another reason.
    #[error("cannot unmount: {0}")]
    Unmount(#[source] io::Error),
    /// The event loop ended with an error; the mount is gone.
    #[error("the mount ended early: {0}")]
    Loop(String),
}
