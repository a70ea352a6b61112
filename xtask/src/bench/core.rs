//! `./x bench core`: rates of the ciphers, the chunker and the whole way from content to sealed chunks.
//!
//! restic is measured by a first backup of the same amount of random bytes, gocryptfs by its own `-speed`, whose
//! blocks are 4 KiB.

use super::part::{Folder, Options, measure};
use super::peers::{Restic, gocryptfs_speed, random_file};
use super::report::{Better, Report, Row, Target};
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// What the chunker must reach on one core: then it does not hold the pipeline up.
const CUT_TARGET: (&str, f64) = ("cut_medium_random", 600.0);

/// Runs everybody and prints the table.
pub(super) fn run(options: &Options) -> Result<()> {
    let dir = Folder::make("core")?;
    let ours = measure("core", options, dir.path())?;
    let ours = ours.as_object().context("freehold-measure printed no figures")?;
    let mut names = vec!["freehold"];
    let mut peers = Vec::new();
    if options.peers {
        names.extend(["restic", "gocryptfs"]);
        eprintln!("bench: restic and gocryptfs");
        let restic = restic_rate(dir.path(), if options.quick { 32 } else { 256 })?;
        let best = |sealer: &str| {
            let rates = gocryptfs_speed()?;
            let of_cipher = rates.iter().filter(|(name, _)| name.starts_with(sealer)).map(|(_, rate)| *rate);
            anyhow::Ok(of_cipher.reduce(f64::max).unwrap_or(f64::NAN))
        };
        let gocryptfs = best("XChaCha20-Poly1305")?;
        peers =
            vec![("cut_and_seal_random", [restic, f64::NAN]), ("seal_aws_lc_4_kib", [f64::NAN, gocryptfs])];
    }
    let rows = ours.iter().map(|(name, figure)| {
        let mut figures = vec![figure.as_f64().unwrap_or(f64::NAN)];
        if options.peers {
            let theirs = peers.iter().find(|(of, _)| of == name).map_or([f64::NAN; 2], |(_, theirs)| *theirs);
            figures.extend(theirs);
        }
        let target = (name == CUT_TARGET.0).then_some(Target::AtLeast(CUT_TARGET.1));
        Row { name: name.clone(), unit: "MB/s", better: Better::More, target, figures }
    });
    let title = format!("core: MB/s, one core but for cut_and_seal{}", options.remark());
    Report { title, names, rows: rows.collect() }.print(options.json);
    Ok(())
}

/// MB a second of a first backup of random bytes into a repository on the same disk, with all of restic's threads.
fn restic_rate(dir: &Path, mib: u64) -> Result<f64> {
    let dir = dir.join("restic");
    let folder = dir.join("folder");
    fs::create_dir_all(&folder)?;
    random_file(&folder.join("file"), mib << 20)?;
    let seconds = Restic::make(&dir)?.back_up(&folder)?;
    fs::remove_dir_all(&dir)?;
    Ok((mib << 20) as f64 / 1e6 / seconds)
}
