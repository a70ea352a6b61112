//! Stops what `up` started, the mount first; every byte of data stays.

use crate::programs::Daemon;
use anyhow::Result;

/// Stops the daemons in the order that lets the client say goodbye.
pub(crate) fn run() -> Result<()> {
    let mut stopped = 0;
    for name in ["freehold-clientd", "freehold-storaged", "freehold-server"] {
        if Daemon::named(name)?.stop()? {
            println!("stopped {name}");
            stopped += 1;
        }
    }
    if stopped == 0 {
        println!("Nothing was running.");
    } else {
        println!("Your files stay where they are; `./x up` starts again.");
    }
    Ok(())
}
