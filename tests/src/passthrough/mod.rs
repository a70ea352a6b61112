//! A FUSE file system over a folder, without any cryptography: what the transport alone costs.
//!
//! The benchmark of the mount measures it beside ours, so it asks of the kernel what ours asks (flags, times to
//! live, kept pages, two event loops) and answers each request with the matching call on the folder below. A node is
//! an `O_PATH` descriptor, so no path is walked twice and renames cost nothing; its number is the inode's number
//! below, which that descriptor keeps from being used again.

mod adapter;
mod attributes;
mod files;
mod names;
mod nodes;

use anyhow::{Context, Result};
use fuser::{Config, MountOption, SessionACL};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;

/// As many as the mount of `freehold-vfs` has.
const EVENT_LOOPS: usize = 2;

/// Descriptors asked for: one a node the kernel knows. Linux's `fs.nr_open` is this where nobody changed it.
const DESCRIPTORS: u64 = 1 << 20;

/// Serves `source` at `mountpoint` until it is unmounted. `ready` is called when requests may come.
///
/// # Errors
/// When the folder cannot be opened or the kernel refuses the mount.
pub fn pass_through(source: &Path, mountpoint: &Path, ready: impl FnOnce()) -> Result<()> {
    raise_descriptor_limit();
    // The kernel has applied the caller's mask already.
    rustix::process::umask(rustix::fs::Mode::empty());
    let adapter =
        adapter::Adapter::over(source).with_context(|| format!("could not open {}", source.display()))?;
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName("passthrough".into()),
        MountOption::Subtype("passthrough".into()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
    ];
    // As root everybody is answered, also the kernel's own flusher; a user's helper would refuse that.
    config.acl = if rustix::process::geteuid().is_root() { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(EVENT_LOOPS);
    let session = fuser::spawn_mount(adapter, mountpoint, &config).context("could not mount")?;
    ready();
    session.join().context("the mount ended with an error")
}

/// To [`DESCRIPTORS`] where allowed, else to the most a user may have.
fn raise_descriptor_limit() {
    let most = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    if setrlimit(Resource::Nofile, most).is_err() {
        let allowed = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: allowed.maximum, maximum: allowed.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            crate::say(&format!("the limit of open files stays as it is: {error}"));
        }
    }
}
