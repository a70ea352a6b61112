//! `./x bench delta`: what one byte put into a large random file sends.
//!
//! Ours are the sealed bytes that a device sends: new chunks, new manifest nodes, the record; and beside them, of the
//! running programs, all bytes on the wire (see [`super::wire`]). restic's are the bytes its repository grows by,
//! rsync's what goes both ways; it sends plaintext and keeps no versions.

use super::part::{Folder, Options, measure};
use super::peers::{Restic, insert_byte, random_file, rsync};
use super::report::{Better, Report, Row, Target};
use super::wire::Wire;
use crate::build;
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Files: our program's name for them, bytes, and the targets of median and most in KiB.
const FILES: [(&str, u64, Option<f64>, Option<f64>); 2] =
    [("100_mib", 100 << 20, Some(220.0), Some(450.0)), ("10_mib", 10 << 20, Some(110.0), None)];

/// Where the byte goes, in the order of our program's figures.
const PLACES: [&str; 3] = ["front", "middle", "end"];

/// Everybody's figures for one file, KiB, place by place.
type Sent = Vec<f64>;

/// Runs everybody and prints the table.
pub(super) fn run(options: &Options) -> Result<()> {
    let dir = Folder::make("delta")?;
    let programs = build::released().context("building the programs")?;
    let mut names = vec!["freehold"];
    if options.peers {
        names.extend(["restic", "rsync"]);
    }
    let mut rows = Vec::new();
    // First, because it takes root and says so at once.
    let of_wire = on_the_wire(options, &programs, dir.path(), names.len())?;
    let ours = measure("delta", options, dir.path())?;
    for (name, len_bytes, median_target, most_target) in FILES {
        let mut everybody = vec![our_figures(&ours, name)?];
        if options.peers {
            eprintln!("bench: restic and rsync, {name}");
            let runs = if options.quick { 1 } else { 5 };
            everybody.extend(peer_figures(dir.path(), len_bytes, runs)?);
        }
        let mut row = |what: &str, target: Option<f64>, figure: &dyn Fn(&Sent) -> f64| {
            let figures = everybody.iter().map(figure).collect();
            let name = format!("{name}_{what}");
            let target = target.map(Target::AtMost);
            rows.push(Row { name, unit: "KiB", better: Better::Less, target, figures });
        };
        row("median", median_target, &|sent| median(sent.clone()));
        row("mean", None, &|sent| sent.iter().sum::<f64>() / sent.len() as f64);
        row("max", most_target, &|sent| sent.iter().copied().fold(0.0, f64::max));
        for (at, place) in PLACES.iter().enumerate() {
            let of_place = move |sent: &Sent| median(sent.iter().skip(at).step_by(3).copied().collect());
            row(&format!("{place}_median"), None, &of_place);
        }
    }
    rows.extend(of_wire);
    let title = format!("delta: one byte put into a random file{}", options.remark());
    Report { title, names, rows }.print(options.json);
    Ok(())
}

/// The rows of the running programs, in a table of so many columns.
fn on_the_wire(options: &Options, programs: &Path, dir: &Path, columns: usize) -> Result<Vec<Row>> {
    eprintln!("bench: the running programs");
    let wire = Wire::start(programs, dir)?;
    let mut rows = Vec::new();
    for (name, len_bytes, ..) in FILES {
        let len = usize::try_from(len_bytes)?;
        let seeds = if options.quick { 1 } else { 20 };
        let sent = (0..seeds).map(|seed| wire.insertions(seed, len)).collect::<Result<Vec<_>>>()?.concat();
        let sent: Sent = sent.iter().map(|bytes| bytes / 1024.0).collect();
        let mut row = |what: &str, figure: f64| {
            let mut figures = vec![f64::NAN; columns];
            figures[0] = figure;
            let name = format!("{name}_on_the_wire_{what}");
            rows.push(Row { name, unit: "KiB", better: Better::Less, target: None, figures });
        };
        row("median", median(sent.clone()));
        row("max", sent.iter().copied().fold(0.0, f64::max));
    }
    Ok(rows)
}

fn our_figures(ours: &Value, name: &str) -> Result<Sent> {
    let figures =
        ours[name].as_array().with_context(|| format!("freehold-measure says nothing of {name}"))?;
    Ok(figures.iter().filter_map(Value::as_f64).map(|bytes| bytes / 1024.0).collect())
}

/// restic's and rsync's figures. Each insertion is into the first file, as ours is.
fn peer_figures(dir: &Path, len_bytes: u64, runs: usize) -> Result<[Sent; 2]> {
    let (mut by_restic, mut by_rsync) = (Sent::new(), Sent::new());
    for number in 0..runs {
        let dir = dir.join(format!("peers-{len_bytes}-{number}"));
        let (folder, copy) = (dir.join("folder"), dir.join("copy"));
        fs::create_dir_all(&folder)?;
        let (first, file) = (dir.join("first"), folder.join("file"));
        random_file(&first, len_bytes)?;
        fs::copy(&first, &file)?;
        let restic = Restic::make(&dir)?;
        restic.back_up(&folder)?;
        let middle = usize::try_from(len_bytes / 2)?;
        for at in [0, middle, 2 * middle] {
            insert_byte(&first, &file, at)?;
            let before = restic.bytes()?;
            restic.back_up(&folder)?;
            by_restic.push((restic.bytes()? - before) as f64 / 1024.0);
            fs::copy(&first, &copy)?;
            by_rsync.push(rsync(&file, &copy)? as f64 / 1024.0);
        }
        fs::remove_dir_all(&dir)?;
    }
    Ok([by_restic, by_rsync])
}

/// The middle figure, or the mean of the two.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(figures.len().saturating_sub(1) / 2), at(figures.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}
