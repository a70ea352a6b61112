//! The kernel's switch for FUSE over `io_uring`, borrowed for the time of a test or a benchmark.

use anyhow::{Context, Result};
use std::fs;

/// Asked by the kernel when a file system is mounted.
const SWITCH: &str = "/sys/module/fuse/parameters/enable_uring";

/// The switch as it was; put back when dropped.
pub(crate) struct Rings {
    /// None where the kernel has no such switch.
    before: Option<String>,
}

impl Rings {
    /// Looks at the switch.
    pub(crate) fn borrow() -> Self {
        let before = fs::read_to_string(SWITCH).ok();
        if before.is_none() {
            eprintln!("this kernel's FUSE has no io_uring: everything goes through /dev/fuse");
        }
        Self { before }
    }

    /// Lets what is mounted from here on use rings, or not. Takes root.
    pub(crate) fn turn(&self, on: bool) -> Result<()> {
        match self.before {
            Some(_) => fs::write(SWITCH, if on { "Y" } else { "N" }).context("could not turn FUSE's rings"),
            None => Ok(()),
        }
    }
}

impl Drop for Rings {
    fn drop(&mut self) {
        if let Some(before) = &self.before
            && fs::read_to_string(SWITCH).is_ok_and(|now| now != *before)
            && let Err(error) = fs::write(SWITCH, before.trim())
        {
            eprintln!("{SWITCH} was {} and could not be put back: {error}", before.trim());
        }
    }
}
