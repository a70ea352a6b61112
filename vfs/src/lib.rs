//! The mount: POSIX semantics over a volume, and FUSE.
//!
//! [`mount()`] serves a volume of `freehold-engine` on a directory. Inside, from top to bottom: the
//! kernel's requests arrive through rings or the classic device (`fuse`), each becomes one call of the
//! filesystem (`fs`, one operation a file), which works on the volume's tables and bodies. Remote
//! changes travel the other way: the volume publishes them and then tells the invalidation queue
//! (`notifier`), whose thread makes the kernel forget what is stale. Nothing here waits for the
//! network; a READ of absent bytes is answered later.

mod errno;
mod fs;
mod fuse;
pub mod limits;
mod mount;
mod notifier;
mod options;
mod time;

pub use mount::{MountError, MountHandle, Unmount, mount};
pub use options::MountOptions;
