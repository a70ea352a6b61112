//! Who is measured, what is measured in which order, and what is aimed at.
//!
//! Bars and goals are those of issue 5. A bar resolves the issue, a goal is what we are after.

use super::work::Work;
use crate::bench::report::Better;

/// A contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// As it comes, on a kernel whose FUSE has rings.
    Freehold,
    /// On one without.
    FreeholdByDevice,
    Raw,
    Passthrough,
    Gocryptfs,
    GocryptfsXchacha,
}

impl Name {
    /// What the table calls it.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Freehold => "freehold",
            Self::FreeholdByDevice => "freehold-device",
            Self::Raw => "raw",
            Self::Passthrough => "passthrough",
            Self::Gocryptfs => "gocryptfs",
            Self::GocryptfsXchacha => "gocryptfs-xchacha",
        }
    }
}

/// The circumstances of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Variant {
    /// Nothing waits to be sent.
    Drained,
    /// Uploads run all the time; Freehold alone.
    Uploading,
    /// Caller and daemons on one processor, nothing waits to be sent.
    Pinned,
}

impl Variant {
    /// What the table calls it.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Drained => "",
            Self::Uploading => "uploading",
            Self::Pinned => "pinned",
        }
    }
}

/// What is aimed at: the bar, then the goal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bar {
    /// So many times better than gocryptfs with AES.
    TimesGocryptfs(f64, f64),
    /// So many times better than the bare disk.
    TimesRaw(f64, f64),
    /// At most so many times gocryptfs's cost.
    CostOfGocryptfs(f64, f64),
    /// At most so many times the bare disk's cost.
    CostOfRaw(f64, f64),
    /// At most this.
    AtMost(f64, f64),
    /// At most this, compared with nobody.
    Limit(f64),
    /// While uploading, at most so many times what it is when all is sent.
    CostOfDrained(f64, f64),
}

impl Bar {
    /// Whether the goal is another than the bar.
    pub(super) fn has_goal(self) -> bool {
        match self {
            Self::TimesGocryptfs(bar, goal)
            | Self::TimesRaw(bar, goal)
            | Self::CostOfGocryptfs(bar, goal)
            | Self::CostOfRaw(bar, goal)
            | Self::AtMost(bar, goal)
            | Self::CostOfDrained(bar, goal) => bar != goal,
            Self::Limit(_) => false,
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) bar: Option<Bar>,
}

const fn row(id: &'static str, unit: &'static str, better: Better, bar: Bar) -> Row {
    Row { id, unit, better, bar: Some(bar) }
}

const fn plain(id: &'static str, unit: &'static str) -> Row {
    Row { id, unit, better: Better::Less, bar: None }
}

/// Every line, in the order of issue 5.
pub(super) const ROWS: &[Row] = {
    use Bar::{AtMost, CostOfDrained, CostOfGocryptfs, CostOfRaw, Limit, TimesGocryptfs, TimesRaw};
    use Better::{Less, More};
    &[
        row("seq_write_fsync", "GB/s", More, TimesGocryptfs(1.2, 1.5)),
        row("seq_read_cold", "GB/s", More, TimesGocryptfs(1.4, 1.8)),
        row("seq_read_warm", "GB/s", More, TimesGocryptfs(4.0, 6.0)),
        row("edit_4k_fsync", "ms", Less, AtMost(5.0, 2.0)),
        row("create", "files/s", More, TimesGocryptfs(1.4, 2.5)),
        row("stat_cold", "files/s", More, TimesGocryptfs(1.5, 2.5)),
        row("stat_warm", "files/s", More, TimesRaw(0.8, 0.8)),
        row("read_cold", "files/s", More, TimesGocryptfs(1.3, 2.0)),
        row("read_warm", "files/s", More, TimesGocryptfs(3.0, 6.0)),
        row("ls_lR_cold", "files/s", More, TimesGocryptfs(4.0, 6.0)),
        row("ls_lR_warm", "files/s", More, TimesGocryptfs(12.0, 20.0)),
        row("rename", "files/s", More, TimesGocryptfs(0.9, 1.5)),
        row("delete", "files/s", More, TimesGocryptfs(1.3, 2.5)),
        row("untar", "s", Less, TimesGocryptfs(1.5, 2.5)),
        row("rm_rf", "s", Less, TimesGocryptfs(1.3, 2.0)),
        row("git", "s", Less, TimesGocryptfs(1.3, 2.0)),
        plain("git_add", "s"),
        plain("git_commit", "s"),
        plain("git_status", "s"),
        row("sqlite_delete", "txn/s", More, TimesGocryptfs(1.5, 2.2)),
        row("sqlite_wal", "txn/s", More, TimesGocryptfs(1.25, 1.7)),
        row("random_read_1", "IOPS", More, TimesGocryptfs(0.8, 1.2)),
        row("random_read_4", "IOPS", More, TimesGocryptfs(0.8, 1.2)),
        row("random_write", "IOPS", More, TimesGocryptfs(8.0, 13.0)),
        row("fsync_4k_p50", "us", Less, CostOfRaw(2.0, 1.5)),
        row("fsync_4k_p50_strict", "us", Less, CostOfRaw(2.0, 1.5)),
        row("dir_rename_100k", "ms", Less, AtMost(5.0, 1.0)),
        row("write_cpu", "s/GiB", Less, CostOfGocryptfs(1.15, 0.9)),
        row("write_cpu_synced", "s/GiB", Less, AtMost(6.5, 5.0)),
        plain("write_synced", "s"),
        plain("write_p50", "us"),
        row("write_p99", "us", Less, CostOfDrained(2.0, 2.0)),
        plain("stat_p50", "us"),
        row("stat_p99", "us", Less, CostOfDrained(2.0, 2.0)),
        plain("open_p50", "us"),
        row("open_p99", "us", Less, CostOfDrained(2.0, 2.0)),
        row("mount_usable", "s", Less, Limit(3.0)),
        row("rss_after_suite", "MiB", Less, Limit(150.0)),
        plain("rss_peak", "MiB"),
    ]
};

/// One piece of work and the lines its figures belong to, in their order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) work: Work,
    pub(super) rows: &'static [&'static str],
    /// The contender is mounted afresh before, with nothing in memory.
    pub(super) is_cold: bool,
    /// Measured pinned, too: rows of small files and names.
    pub(super) is_pinned_too: bool,
    /// What must have been done before.
    pub(super) needs: Option<Work>,
}

const fn step(work: Work, rows: &'static [&'static str], needs: Option<Work>) -> Step {
    Step { work, rows, is_cold: false, is_pinned_too: false, needs }
}

const fn small(work: Work, rows: &'static [&'static str], needs: Option<Work>) -> Step {
    Step { is_pinned_too: true, ..step(work, rows, needs) }
}

const fn cold(step: Step) -> Step {
    Step { is_cold: true, ..step }
}

/// One pass. The cold steps stand early, so that the daemon at its end has lived through most of it.
pub(super) const STEPS: &[Step] = {
    use Work::{
        Create, Delete, Edit, Fsync, Git, Latency, List, RandomRead, RandomReadFour, RandomWrite, ReadBig,
        ReadSmall, RemoveBig, RemoveTree, Rename, SqliteDelete, SqliteWal, Stat, Untar, WriteBig,
    };
    let (files, big, tree) = (Some(Create), Some(WriteBig), Some(Untar));
    &[
        small(Create, &["create"], None),
        cold(small(Stat, &["stat_cold"], files)),
        small(Stat, &["stat_warm"], files),
        cold(small(ReadSmall, &["read_cold"], files)),
        small(ReadSmall, &["read_warm"], files),
        cold(small(List, &["ls_lR_cold"], files)),
        small(List, &["ls_lR_warm"], files),
        cold(step(
            Latency,
            &["write_p50", "write_p99", "stat_p50", "stat_p99", "open_p50", "open_p99"],
            files,
        )),
        small(Rename, &["rename"], files),
        small(Delete, &["delete"], files),
        step(WriteBig, &["seq_write_fsync", "write_cpu", "write_cpu_synced", "write_synced"], None),
        cold(step(ReadBig, &["seq_read_cold"], big)),
        step(ReadBig, &["seq_read_warm"], big),
        step(Edit, &["edit_4k_fsync"], big),
        cold(step(RandomRead, &["random_read_1"], big)),
        cold(step(RandomReadFour, &["random_read_4"], big)),
        step(RandomWrite, &["random_write"], big),
        step(RemoveBig, &[], big),
        small(Untar, &["untar"], None),
        small(Git, &["git", "git_add", "git_commit", "git_status"], tree),
        small(RemoveTree, &["rm_rf"], tree),
        step(SqliteDelete, &["sqlite_delete"], None),
        step(SqliteWal, &["sqlite_wal"], None),
        step(Fsync, &["fsync_4k_p50"], None),
    ]
};

/// The fsync once more, with a mount whose kernel holds no written data back.
pub(super) const STRICT: Step = cold(step(Work::Fsync, &["fsync_4k_p50_strict"], None));

/// The folder of very many names: made once a contender, because making it takes longer than all else.
pub(super) const MAKE_MANY: Step = step(Work::MakeMany, &[], None);
pub(super) const RENAME_MANY: Step = small(Work::RenameMany, &["dir_rename_100k"], Some(Work::MakeMany));

impl Step {
    /// Whether it takes away what another step has made.
    const fn cleans(&self) -> bool {
        matches!(self.work, Work::Delete | Work::RemoveBig | Work::RemoveTree)
    }

    /// Whether one of its lines is asked for; without words everything is.
    pub(super) fn is_wanted(&self, words: &[String]) -> bool {
        let is_named = |row: &&str| words.iter().any(|word| row.contains(word.as_str()));
        words.is_empty() || self.rows.iter().any(is_named)
    }
}

/// The steps of a pass: what is wanted, what that needs, what makes it warm, and what cleans up behind it.
pub(super) fn steps(variant: Variant, words: &[String]) -> Vec<Step> {
    let is_wanted = |step: &Step| step.is_wanted(words) && (variant != Variant::Pinned || step.is_pinned_too);
    let wanted: Vec<&Step> = STEPS.iter().filter(|step| is_wanted(step)).collect();
    let is_needed = |step: &Step| wanted.iter().any(|other| other.needs == Some(step.work));
    let warms = |step: &Step| step.is_cold && wanted.iter().any(|other| other.work == step.work);
    let is_made = |work: Work| wanted.iter().any(|step| step.work == work || step.needs == Some(work));
    let cleans = |step: &Step| step.cleans() && step.needs.is_some_and(is_made);
    let runs = |step: &&Step| is_wanted(step) || is_needed(step) || warms(step) || cleans(step);
    STEPS.iter().filter(runs).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_row_brings_what_it_needs_and_what_cleans_up() {
        let works: Vec<Work> =
            steps(Variant::Drained, &["git".to_owned()]).iter().map(|step| step.work).collect();
        assert_eq!(works, [Work::Untar, Work::Git, Work::RemoveTree]);
    }

    #[test]
    fn a_warm_row_brings_the_cold_one_before_it() {
        let steps = steps(Variant::Drained, &["stat_warm".to_owned()]);
        let shown: Vec<(Work, bool)> = steps.iter().map(|step| (step.work, step.is_cold)).collect();
        assert_eq!(
            shown,
            [(Work::Create, false), (Work::Stat, true), (Work::Stat, false), (Work::Delete, false)]
        );
    }

    #[test]
    fn pinned_passes_hold_rows_of_small_files_and_names_only() {
        let pinned = steps(Variant::Pinned, &[]);
        assert!(pinned.iter().all(|step| step.is_pinned_too));
        assert!(pinned.iter().any(|step| step.work == Work::RemoveTree), "nothing is left behind");
    }

    #[test]
    fn every_figure_of_a_step_has_a_line() {
        let known = |id: &&str| ROWS.iter().any(|row| row.id == *id);
        let steps = STEPS.iter().chain([&STRICT, &RENAME_MANY]);
        assert!(steps.flat_map(|step| step.rows).all(known));
    }
}
