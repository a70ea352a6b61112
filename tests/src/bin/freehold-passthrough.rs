//! `freehold-passthrough SOURCE MOUNTPOINT`: mounts a folder at another place through FUSE, without cryptography.
//!
//! `./x bench mount` measures it as the floor of what a FUSE file system costs. It prints `ready` when it serves and
//! ends when it is unmounted.

#![expect(clippy::print_stdout, reason = "the ready line is what the benchmark waits for")]

use anyhow::{Context, Result};
use std::path::PathBuf;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (source, mountpoint) =
        arguments.next().zip(arguments.next()).context("usage: freehold-passthrough SOURCE MOUNTPOINT")?;
    freehold_tests::pass_through(&source, &mountpoint, || println!("ready {}", mountpoint.display()))
}
