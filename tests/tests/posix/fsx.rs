//! fsx (crates.io 0.3.2): random reads, writes, mappings, truncations, holes and copies on one file, each read checked.

use crate::program::{Mode, installed, mounted, succeed};
use anyhow::{Context, Result, ensure};
use freehold_tests::{Draw, World, is_long, say, seed};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Of a seed; every second seed flushes what it wrote through a mapping, which takes most of the time.
const OPERATIONS: u64 = 16_000;
const OPERATIONS_FLUSHED: u64 = 4_000;
const OPERATIONS_LONG: u64 = 1_000_000;
const SEEDS: usize = 2;
const SEEDS_LONG: usize = 3;

/// Everything it can do on Linux.
const CONFIG: &str = "
flen = 1048576
[opsize]
max = 131072
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 2
punch_hole = 5
copy_file_range = 5
sendfile = 2
posix_fadvise = 2
";

fn exercise(folder: &Path, config: &Path, operations: u64, seed: u64) -> Result<()> {
    let file = folder.join("exercised");
    let mut fsx = Command::new(installed("fsx")?);
    fsx.args(["-N", &operations.to_string(), "-S", &seed.to_string(), "-P"]).arg(config.with_extension("d"));
    succeed(fsx.arg("-f").arg(config).arg(&file))?;
    ensure!(fs::metadata(&file)?.len() > 0, "nothing was written");
    Ok(fs::remove_file(&file)?)
}

#[test]
fn every_read_of_a_file_changed_at_random_is_right() -> Result<()> {
    let mut draw = Draw::new(seed("fsx"));
    let dir = tempfile::tempdir()?;
    let config = dir.path().join("fsx.toml");
    fs::create_dir(config.with_extension("d"))?;
    let seeds = if is_long() { SEEDS_LONG } else { SEEDS };
    for mode in Mode::BOTH {
        let world = World::start()?;
        let device = mounted(&world, mode)?;
        for number in 0..seeds {
            let flushes = number % 2 == 1;
            let operations = match (is_long(), flushes) {
                (true, _) => OPERATIONS_LONG,
                (false, true) => OPERATIONS_FLUSHED,
                (false, false) => OPERATIONS,
            };
            fs::write(&config, format!("nomsyncafterwrite = {}\n{CONFIG}", !flushes))?;
            let (seed, start) = (draw.next() % 1_000_000_000, Instant::now());
            let what =
                format!("fsx {mode:?}: {operations} operations, mappings flushed: {flushes}, seed {seed}");
            exercise(device.mount_point(), &config, operations, seed).with_context(|| what.clone())?;
            say(&format!("{what}: {} s", start.elapsed().as_secs()));
        }
    }
    Ok(())
}
