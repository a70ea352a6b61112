//! The measuring loop: one contender, started afresh, through its passes.

use super::load::Load;
use super::pin::Processors;
use super::results::{Results, Sample};
use super::rows::{MAKE_MANY, Name, RENAME_MANY, ROWS, STRICT, Step, Variant, steps};
use super::system::System;
use super::work::{Outcome, Random, Work};
use crate::bench::process::{cpu_seconds, peak_rss_mib, rss_mib};
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// How it is measured.
pub(super) struct Plan<'a> {
    pub(super) is_tenth: bool,
    /// Words of the rows that are asked for; none for all.
    pub(super) words: &'a [String],
    pub(super) tar: &'a Path,
    /// Whether this run makes the folder of very many names.
    pub(super) is_first_run: bool,
}

/// One contender under measurement.
pub(super) struct Session<'a> {
    plan: &'a Plan<'a>,
    name: Name,
    system: Box<dyn System>,
    results: &'a mut Results,
    random: Random,
    peak_rss_mib: f64,
}

impl<'a> Session<'a> {
    /// Nothing is measured yet.
    pub(super) fn of(
        plan: &'a Plan<'a>,
        name: Name,
        system: Box<dyn System>,
        results: &'a mut Results,
        seed: u64,
    ) -> Self {
        Self { plan, name, system, results, random: Random::of(seed), peak_rss_mib: 0.0 }
    }

    /// Measures everything that is asked for.
    pub(super) fn measure(&mut self) -> Result<()> {
        self.pass(Variant::Drained)?;
        self.strict()?;
        if !matches!(self.name, Name::GocryptfsXchacha | Name::FreeholdByDevice) {
            self.pass(Variant::Pinned)?;
        }
        if self.system.status_command().is_some() {
            self.pass(Variant::Uploading)?;
        }
        self.system.settle()?;
        if let (Some(pid), true) = (self.system.daemon(), self.plan.words.is_empty()) {
            let rss = rss_mib(pid).context("the daemon has gone")?;
            self.note_peak();
            self.add("rss_after_suite", Variant::Drained, rss);
            self.add("rss_peak", Variant::Drained, self.peak_rss_mib);
        }
        self.many()
    }

    fn pass(&mut self, variant: Variant) -> Result<()> {
        for step in steps(variant, self.plan.words) {
            self.step(&step, variant, false)?;
        }
        Ok(())
    }

    /// The rows of a strict mount. Others are as strict as they are, and are measured again beside it.
    fn strict(&mut self) -> Result<()> {
        if !STRICT.is_wanted(self.plan.words) {
            return Ok(());
        }
        self.step(&STRICT, Variant::Drained, true)?;
        self.remount(Variant::Drained, false)
    }

    /// The folder of very many names. Peers are not asked for it, and the passthrough keeps a descriptor a node: so
    /// many are more than a process may have on many systems.
    fn many(&mut self) -> Result<()> {
        let takes_part = matches!(self.name, Name::Freehold | Name::Raw);
        if !takes_part || !self.plan.is_first_run || !RENAME_MANY.is_wanted(self.plan.words) {
            return Ok(());
        }
        self.step(&MAKE_MANY, Variant::Drained, false)?;
        self.step(&RENAME_MANY, Variant::Drained, false)?;
        self.step(&RENAME_MANY, Variant::Pinned, false)?;
        if self.system.status_command().is_some() {
            self.step(&RENAME_MANY, Variant::Uploading, false)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, variant: Variant, is_strict: bool) -> Result<()> {
        let what = format!("{} {} {:?}", self.name.text(), variant.text(), step.work);
        self.step_inner(step, variant, is_strict).with_context(|| format!("{what} failed"))
    }

    fn step_inner(&mut self, step: &Step, variant: Variant, is_strict: bool) -> Result<()> {
        if variant != Variant::Uploading {
            self.system.settle()?;
        }
        if step.is_cold {
            self.remount(variant, is_strict)?;
        }
        let load = match (variant, self.system.status_command()) {
            (Variant::Uploading, Some(status)) => {
                Some(Load::start(self.system.dir(), status, self.random.next())?)
            }
            _ => None,
        };
        let before = self.cpu_seconds();
        let outcome = self.run_pinned(step.work, variant == Variant::Pinned);
        let waiting = load.map(Load::stop).transpose()?;
        let mut outcome = outcome?;
        if let (Some(waiting), Some(id)) = (waiting, step.rows.first()) {
            let so_far = self.results.waiting.entry(id).or_default();
            *so_far = so_far.and(waiting);
        }
        if step.work == Work::WriteBig && variant == Variant::Drained {
            outcome.figures.extend(self.until_synced(&outcome, before)?);
        }
        self.record(step, variant, &outcome);
        Ok(())
    }

    /// After a write: the processor seconds a GiB of all programs until everything is sent, and how long that took.
    fn until_synced(&self, outcome: &Outcome, cpu_before: f64) -> Result<Vec<f64>> {
        if self.system.status_command().is_none() {
            return Ok(Vec::new());
        }
        let begin = Instant::now();
        self.system.settle()?;
        let cpu_seconds = self.cpu_seconds() - cpu_before + outcome.spent.caller_cpu_seconds;
        let tenths = if self.plan.is_tenth { 10.0 } else { 1.0 };
        Ok(vec![cpu_seconds * tenths, outcome.spent.seconds + begin.elapsed().as_secs_f64()])
    }

    /// Takes the contender down, empties the kernel's memory of files, and brings it up again.
    fn remount(&mut self, variant: Variant, is_strict: bool) -> Result<()> {
        self.note_peak();
        self.system.take_down()?;
        drop_caches()?;
        let begin = Instant::now();
        self.system.bring_up(is_strict)?;
        if self.system.daemon().is_some() {
            self.add("mount_usable", variant, begin.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn run_pinned(&mut self, work: Work, is_pinned: bool) -> Result<Outcome> {
        self.note_peak();
        if let Some(pid) = self.system.daemon() {
            // Writing 5 makes the current size the peak (proc(5)).
            fs::write(format!("/proc/{pid}/clear_refs"), "5").context("could not reset the peak")?;
        }
        let all = Processors::ours()?;
        let held = is_pinned.then(|| all.first().hold(&self.system.programs())).transpose()?;
        let seed = self.random.next();
        let outcome = run_work(self.plan, &*self.system, work, seed, is_pinned);
        if let Some(held) = held {
            held.release(all)?;
        }
        outcome
    }

    fn record(&mut self, step: &Step, variant: Variant, outcome: &Outcome) {
        let cpu_seconds = outcome.spent.caller_cpu_seconds + outcome.spent.daemon_cpu_seconds;
        let peak_rss_mib = self.system.daemon().and_then(peak_rss_mib).unwrap_or(f64::NAN);
        for (number, (id, figure)) in step.rows.iter().zip(&outcome.figures).enumerate() {
            let cpu_seconds = if number == 0 { cpu_seconds } else { f64::NAN };
            let sample = Sample { figure: *figure, cpu_seconds, peak_rss_mib };
            self.results.add(id, variant, self.name, sample);
            let unit = ROWS.iter().find(|row| row.id == *id).map_or("", |row| row.unit);
            eprintln!("bench: {:<18}{:<10}{id:<22}{figure:>12.3} {unit}", self.name.text(), variant.text());
        }
    }

    fn add(&mut self, row: &'static str, variant: Variant, figure: f64) {
        let sample = Sample { figure, cpu_seconds: f64::NAN, peak_rss_mib: f64::NAN };
        self.results.add(row, variant, self.name, sample);
    }

    fn note_peak(&mut self) {
        let now = self.system.daemon().and_then(peak_rss_mib).unwrap_or(0.0);
        self.peak_rss_mib = self.peak_rss_mib.max(now);
    }

    fn cpu_seconds(&self) -> f64 {
        self.system.programs().into_iter().filter_map(cpu_seconds).sum()
    }
}

/// Starts this program again for one piece of work.
fn run_work(plan: &Plan<'_>, system: &dyn System, work: Work, seed: u64, is_pinned: bool) -> Result<Outcome> {
    // Not by its path: cargo may have built another one there in between.
    let mut command = Command::new("/proc/self/exe");
    let value = work.to_possible_value().context("a work without a name")?;
    command.args(["bench", "mount-work", value.get_name()]).arg(system.dir());
    command.arg("--tar").arg(plan.tar).arg("--seed").arg(seed.to_string());
    for pid in system.programs() {
        command.arg("--daemon").arg(pid.to_string());
    }
    command.args(plan.is_tenth.then_some("--tenth")).args(is_pinned.then_some("--pin"));
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the work failed ({})", output.status);
    serde_json::from_slice(&output.stdout).context("the work told no outcome")
}

/// Writes everything to the disk and drops what the kernel keeps of it (proc(5)).
pub(super) fn drop_caches() -> Result<()> {
    // SAFETY: sync takes and returns nothing.
    #[expect(unsafe_code, reason = "std syncs single files only")]
    unsafe {
        libc::sync();
    }
    fs::write("/proc/sys/vm/drop_caches", "3").context("cold rows take root: they drop the kernel's caches")
}
