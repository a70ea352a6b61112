//! All samples, and what they say: medians, ratios, bars.

use super::load::Waiting;
use super::rows::{Bar, Name, ROWS, Row, Variant};
use crate::bench::report::Better;
use std::collections::BTreeMap;

/// One run of one row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) figure: f64,
    /// Of caller and daemons, while the clock of the row ran; not a number beside the further figures of one work.
    pub(super) cpu_seconds: f64,
    /// The mount's daemon while the row ran; not a number where there is none.
    pub(super) peak_rss_mib: f64,
}

/// Everything measured.
#[derive(Debug, Default)]
pub(super) struct Results {
    samples: BTreeMap<(&'static str, Variant, Name), Vec<Sample>>,
    /// Whether the uploading rows are what they say, by the first line of their step.
    pub(super) waiting: BTreeMap<&'static str, Waiting>,
    /// Of all processors, what programs took that are no part of this.
    pub(super) share_of_others: f64,
}

/// How a figure stands against what is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) is_bar_met: bool,
    pub(super) is_goal_met: bool,
}

impl Results {
    /// Adds one run of a row.
    pub(super) fn add(&mut self, row: &'static str, variant: Variant, name: Name, sample: Sample) {
        self.samples.entry((row, variant, name)).or_default().push(sample);
    }

    /// The lines that anybody has a figure for, in their order.
    pub(super) fn lines(&self) -> Vec<(&'static Row, Variant)> {
        let has = |row: &Row, variant| self.samples.keys().any(|key| key.0 == row.id && key.1 == variant);
        let variants = [Variant::Drained, Variant::Uploading, Variant::Pinned];
        let lines = ROWS.iter().flat_map(|row| variants.map(|variant| (row, variant)));
        lines.filter(|(row, variant)| has(row, *variant)).collect()
    }

    /// All runs of a row.
    pub(super) fn samples(&self, row: &Row, variant: Variant, name: Name) -> &[Sample] {
        self.samples.get(&(row.id, variant, name)).map_or(&[], Vec::as_slice)
    }

    /// The middle run, each figure by itself; none where nothing was measured.
    pub(super) fn median(&self, row: &Row, variant: Variant, name: Name) -> Option<Sample> {
        let samples = self.samples(row, variant, name);
        let of = |figure: fn(&Sample) -> f64| middle(samples.iter().map(figure).collect());
        (!samples.is_empty()).then(|| Sample {
            figure: of(|sample| sample.figure),
            cpu_seconds: of(|sample| sample.cpu_seconds),
            peak_rss_mib: of(|sample| sample.peak_rss_mib),
        })
    }

    /// How many times better than another one we are. Who sends nothing has no rows while uploading: then it is the
    /// other's plain row.
    pub(super) fn ratio(&self, row: &Row, variant: Variant, other: Name) -> Option<f64> {
        if matches!(row.bar, Some(Bar::Limit(_))) {
            return None;
        }
        let ours = self.median(row, variant, Name::Freehold)?.figure;
        let of_other = if variant == Variant::Uploading { Variant::Drained } else { variant };
        let theirs = self.median(row, of_other, other)?.figure;
        Some(if row.better == Better::More { ours / theirs } else { theirs / ours })
    }

    /// Whether bar and goal are met. They are set for drained rows; of the others only limits and the growth while
    /// uploading are asked.
    pub(super) fn verdict(&self, row: &Row, variant: Variant) -> Option<Verdict> {
        let at_least =
            |value: f64, (bar, goal)| Verdict { is_bar_met: value >= bar, is_goal_met: value >= goal };
        let at_most =
            |value: f64, (bar, goal)| Verdict { is_bar_met: value <= bar, is_goal_met: value <= goal };
        let cost = |other| Some(1.0 / self.ratio(row, variant, other)?);
        let ours = self.median(row, variant, Name::Freehold)?.figure;
        match (row.bar?, variant) {
            (Bar::CostOfDrained(bar, goal), Variant::Uploading) => {
                let drained = self.median(row, Variant::Drained, Name::Freehold)?.figure;
                Some(at_most(ours / drained, (bar, goal)))
            }
            (Bar::Limit(bar), _) => Some(at_most(ours, (bar, bar))),
            (Bar::CostOfDrained(..), _) | (_, Variant::Uploading | Variant::Pinned) => None,
            (Bar::TimesGocryptfs(bar, goal), _) => {
                Some(at_least(self.ratio(row, variant, Name::Gocryptfs)?, (bar, goal)))
            }
            (Bar::TimesRaw(bar, goal), _) => {
                Some(at_least(self.ratio(row, variant, Name::Raw)?, (bar, goal)))
            }
            (Bar::CostOfGocryptfs(bar, goal), _) => Some(at_most(cost(Name::Gocryptfs)?, (bar, goal))),
            (Bar::CostOfRaw(bar, goal), _) => Some(at_most(cost(Name::Raw)?, (bar, goal))),
            (Bar::AtMost(bar, goal), _) => Some(at_most(ours, (bar, goal))),
        }
    }
}

/// The middle one, or the mean of the two.
fn middle(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    f64::midpoint(at(figures.len().saturating_sub(1) / 2), at(figures.len() / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str) -> &'static Row {
        ROWS.iter().find(|row| row.id == id).expect("a row of that name")
    }

    fn results(figures: &[(&'static str, Variant, Name, f64)]) -> Results {
        let mut results = Results::default();
        for &(id, variant, name, figure) in figures {
            results.add(id, variant, name, Sample { figure, cpu_seconds: 0.0, peak_rss_mib: f64::NAN });
        }
        results
    }

    #[test]
    fn a_bar_in_times_of_gocryptfs_is_met_or_missed() {
        let drained = Variant::Drained;
        let results = results(&[
            ("create", drained, Name::Freehold, 200.0),
            ("create", drained, Name::Gocryptfs, 100.0),
            ("untar", drained, Name::Freehold, 4.0),
            ("untar", drained, Name::Gocryptfs, 4.0),
        ]);
        let create = Verdict { is_bar_met: true, is_goal_met: false };
        assert_eq!(results.verdict(row("create"), drained), Some(create));
        let untar = Verdict { is_bar_met: false, is_goal_met: false };
        assert_eq!(results.verdict(row("untar"), drained), Some(untar));
    }

    #[test]
    fn a_cost_is_compared_the_other_way_round() {
        let drained = Variant::Drained;
        let results = results(&[
            ("fsync_4k_p50", drained, Name::Freehold, 240.0),
            ("fsync_4k_p50", drained, Name::Raw, 125.0),
        ]);
        let verdict = Verdict { is_bar_met: true, is_goal_met: false };
        assert_eq!(results.verdict(row("fsync_4k_p50"), drained), Some(verdict));
    }

    #[test]
    fn without_the_peer_there_is_no_verdict() {
        let results = results(&[("create", Variant::Drained, Name::Freehold, 200.0)]);
        assert_eq!(results.verdict(row("create"), Variant::Drained), None);
    }

    #[test]
    fn growth_while_uploading_is_against_the_drained_row() {
        let of = |variant, figure| ("open_p99", variant, Name::Freehold, figure);
        let results = results(&[of(Variant::Drained, 100.0), of(Variant::Uploading, 250.0)]);
        assert!(!results.verdict(row("open_p99"), Variant::Uploading).expect("both are there").is_bar_met);
        assert_eq!(results.verdict(row("open_p99"), Variant::Drained), None);
    }

    #[test]
    fn the_median_of_two_runs_is_their_mean() {
        let of = |figure| ("create", Variant::Drained, Name::Raw, figure);
        let results = results(&[of(1.0), of(3.0)]);
        let median = results.median(row("create"), Variant::Drained, Name::Raw).expect("two samples");
        assert_eq!(median.figure, 2.0);
    }
}
