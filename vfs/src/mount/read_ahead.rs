//! How far the kernel reads ahead in the files of a mount.
//!
//! Its default of 128 KiB makes a sequential read of a file eight requests a MiB, each a round trip to
//! the daemon; at 1 MiB it is one, and reading is nearly twice as fast. The knob is the device's in
//! sysfs and takes root; without it, everything works at the default.

use crate::limits::READ_AHEAD_KIB;
use std::io;
use std::path::PathBuf;

/// Raises the read-ahead of the device `major:minor`, where that is allowed and it is less.
pub(super) fn raise(device: &str) {
    match try_raise(device) {
        Ok(()) => {}
        Err(error) => tracing::debug!(%error, "the kernel's read-ahead stays as it is"),
    }
}

fn try_raise(device: &str) -> io::Result<()> {
    let knob: PathBuf = ["/sys/class/bdi", device, "read_ahead_kb"].iter().collect();
    let present = std::fs::read_to_string(&knob)?;
    match present.trim().parse::<u32>() {
        Ok(kib) if kib < READ_AHEAD_KIB => std::fs::write(&knob, READ_AHEAD_KIB.to_string()),
        _ => Ok(()),
    }
}
