//! Waiting for what must come: a bound, not a measurement.

use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a change may take from one device to another.
pub const ARRIVAL: Duration = Duration::from_secs(20);

/// How often is looked. Short, because what is waited for is also measured.
const LOOK: Duration = Duration::from_millis(2);

/// Looks until the answer is yes; how long it took.
///
/// # Errors
/// When it is still no after `patience`.
pub fn wait_until(what: &str, patience: Duration, mut is_so: impl FnMut() -> bool) -> Result<Duration> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > patience {
            bail!("after {} s still not: {what}", patience.as_secs());
        }
        std::thread::sleep(LOOK);
    }
    Ok(start.elapsed())
}

/// Waits until a file reads as `content`; how long it took.
///
/// # Errors
/// When it does not within [`ARRIVAL`].
pub fn wait_for_content(path: &Path, content: &[u8]) -> Result<Duration> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    wait_until(&name, ARRIVAL, || fs::read(path).is_ok_and(|found| found == content))
}
