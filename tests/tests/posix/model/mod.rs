//! The mount against a plain folder: the same random operations on both must have the same answers, and leave the same
//! tree, also after the daemon was stopped or killed and started again.

mod draw;
mod operation;
mod side;

use crate::program::{Mode, mounted, remount};
use anyhow::{Context, Result, ensure};
use draw::Plan;
use freehold_tests::{Device, Difference, Draw, World, differences, is_long, say, seed};
use operation::Operation;
use side::{Answer, Side, recent};
use std::fs::{self, File};
use std::path::Path;

/// Between two remounts.
const OPERATIONS: usize = 4_000;
const OPERATIONS_LONG: usize = 10_000;
const ROUNDS: usize = 4;
const ROUNDS_LONG: usize = 40;

/// Both trees.
struct Pair {
    plain: Side,
    mount: Side,
    plan: Plan,
}

impl Pair {
    /// One operation on both. How it went: whether it succeeded.
    fn step(&mut self) -> Result<bool> {
        let operation = self.plan.next(self.plain.root())?;
        let expected = self.plain.apply(&operation);
        let found = self.mount.apply(&operation);
        ensure!(found == expected, "{operation:?}: {}", describe(&expected, &found));
        Ok(expected.is_ok())
    }

    fn same_trees(&self) -> Result<()> {
        let found = differences(self.plain.root(), self.mount.root())?;
        let found: Vec<Difference> =
            found.into_iter().filter(|difference| !is_by_clock(self.plain.root(), difference)).collect();
        ensure!(
            found.is_empty(),
            "{} differences, the first: {:#?}",
            found.len(),
            &found[..found.len().min(5)]
        );
        Ok(())
    }
}

/// Whether a time differs that no program set: each side has its own.
fn is_by_clock(plain: &Path, difference: &Difference) -> bool {
    difference.what.starts_with("mtime")
        && fs::symlink_metadata(plain.join(&difference.path)).is_ok_and(|meta| recent(&meta))
}

/// Two answers that are not the same, shortly.
fn describe(expected: &Answer, found: &Answer) -> String {
    if let (Ok(expected), Ok(found)) = (expected, found)
        && expected.len().max(found.len()) > 500
    {
        let at = expected.iter().zip(found).position(|(a, b)| a != b);
        return format!("{} and {} bytes, the first that differs: {at:?}", expected.len(), found.len());
    }
    let text = |answer: &Answer| match answer {
        Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Err(error) => format!("{error:?}"),
    };
    format!("the mount says `{}` instead of `{}`", text(found), text(expected))
}

/// A crash instead of a stop; what was flushed before is there.
fn crash(device: &mut Device) -> Result<()> {
    File::open(device.mount_point())?.sync_all()?;
    device.kill()?;
    device.restart()
}

fn run(device: &mut Device, plain: &Path, draw: &mut Draw) -> Result<(usize, usize)> {
    let (rounds, operations) = if is_long() { (ROUNDS_LONG, OPERATIONS_LONG) } else { (ROUNDS, OPERATIONS) };
    let tree = device.mount_point().join("tree");
    fs::create_dir(&tree)?;
    fs::create_dir(plain)?;
    let mut pair = Pair { plain: Side::new(plain), mount: Side::new(&tree), plan: Plan::new(draw.next()) };
    let mut succeeded = 0;
    for round in 0..rounds {
        for number in 0..operations {
            let step = pair.step().with_context(|| format!("round {round}, operation {number}"))?;
            succeeded += usize::from(step);
        }
        pair.same_trees().with_context(|| format!("round {round}"))?;
        pair.plain.close_all();
        pair.mount.close_all();
        let end = if draw.is_one_in(2) { remount(device) } else { crash(device) };
        end.with_context(|| format!("after round {round}"))?;
        pair.same_trees().with_context(|| format!("round {round}, after a restart"))?;
    }
    Ok((rounds * operations, succeeded))
}

#[test]
fn random_operations_have_the_same_answers_as_on_a_plain_folder() -> Result<()> {
    let mut draw = Draw::new(seed("model"));
    for mode in Mode::BOTH {
        let world = World::start()?;
        let mut device = mounted(&world, mode)?;
        let plain = world.dir().join(format!("{mode:?} plain"));
        let (all, succeeded) = run(&mut device, &plain, &mut draw).with_context(|| format!("{mode:?}"))?;
        ensure!(succeeded > all / 3, "only {succeeded} of {all} operations did something");
        say(&format!("model {mode:?}: {all} operations, {succeeded} succeeded, on both alike"));
    }
    Ok(())
}

#[test]
fn an_answer_that_differs_is_found() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let roots = [dir.path().join("a"), dir.path().join("b")];
    for root in &roots {
        fs::create_dir(root)?;
        fs::write(root.join("a"), "content")?;
    }
    let pair = Pair { plain: Side::new(&roots[0]), mount: Side::new(&roots[1]), plan: Plan::new(1) };
    pair.same_trees()?;
    fs::write(roots[1].join("a"), "contenT")?;
    ensure!(pair.same_trees().is_err(), "another content");
    let read = Operation::ReadFile { path: "a".into() };
    let [mut plain, mut mount] = [pair.plain, pair.mount];
    ensure!(plain.apply(&read) != mount.apply(&read), "another answer");
    Ok(())
}
