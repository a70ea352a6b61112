//! Breaking a mount's connection off, when nobody is left who could answer.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use super::table;

/// Ends the connection of the device `major:minor`, mounted at `point`: everybody who waits hears an
/// error, and nothing more is served. The control file system belongs to whoever mounted (`fuse.rst`,
/// "Aborting a filesystem connection"); where it is not mounted, root can force the mount out.
pub(super) fn abort(device: &str, point: &Path) {
    let number = device.rsplit(':').next().unwrap_or_default();
    let control: PathBuf = ["/sys/fs/fuse/connections", number, "abort"].iter().collect();
    let Err(error) = fs::write(&control, "1") else { return };
    let forced = UnmountFlags::FORCE | UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    let is_there = matches!(table::mounted_at(point), Ok(Some(mounted)) if mounted.device == device);
    if !is_there || rustix::mount::unmount(point, forced).is_err() {
        tracing::error!(%error, "the mount's connection could not be broken off; stop the daemon");
    }
}
