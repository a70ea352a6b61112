//! fio: blocks with a checksum each, written in order and at random, verified after the daemon was restarted.

use crate::program::{Mode, PATIENCE, mounted, remount, run_within, succeed, tail};
use anyhow::{Context, Result, ensure};
use freehold_tests::{World, is_long};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// How blocks come: fio's name, and their length.
const JOBS: [(&str, &str); 3] = [("write", "128k"), ("randwrite", "4k"), ("randwrite", "13k")];

fn job(folder: &Path, (order, block): (&str, &str), more: &[&str]) -> Command {
    let size = if is_long() { "512m" } else { "48m" };
    let mut fio = Command::new("fio");
    fio.arg(format!("--name={order}-{block}")).arg(format!("--filename={order}-{block}"));
    fio.arg(format!("--rw={order}")).arg(format!("--bs={block}")).arg(format!("--size={size}"));
    fio.args(["--ioengine=psync", "--randseed=20261126", "--verify=crc32c", "--verify_fatal=1"]);
    fio.args(more).current_dir(folder);
    fio
}

#[test]
fn every_block_has_its_checksum_after_a_remount() -> Result<()> {
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        for kind in JOBS {
            succeed(&mut job(device.mount_point(), kind, &["--do_verify=0", "--end_fsync=1"]))?;
        }
        remount(&mut device)?;
        for kind in JOBS {
            succeed(&mut job(device.mount_point(), kind, &["--verify_only=1"]))
                .with_context(|| format!("{mode:?}"))?;
        }
        // The check can fail: one byte is changed.
        let file = File::options().write(true).open(device.mount_point().join("randwrite-4k"))?;
        file.write_all_at(&[0x5a; 2], 20_000)?;
        drop(file);
        let found =
            run_within(&mut job(device.mount_point(), ("randwrite", "4k"), &["--verify_only=1"]), PATIENCE)?;
        ensure!(!found.status.success(), "fio found nothing wrong: {}", tail(&found.text));
    }
    Ok(())
}
