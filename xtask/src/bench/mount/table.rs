//! The results as text and as JSON.

use super::load::Waiting;
use super::results::{Results, Sample};
use super::rows::{Bar, Name, Row, Variant};
use crate::bench::report::number;
use serde_json::{Map, Value, json};

/// One cell: the figure, processor seconds, peak resident size.
const CELL: usize = 24;

/// The whole table.
pub(super) fn text(title: &str, names: &[Name], results: &Results) -> String {
    let mut text = format!("{title}\n\n{:<32} {:<7}", "", "unit");
    for name in names {
        text.push_str(&format!(" {:>CELL$}", name.text()));
    }
    text.push_str(&format!(" {:>8} {:>8}  bar\n", "x gocr.", "x raw"));
    for (row, variant) in results.lines() {
        text.push_str(&format!("{:<32} {:<7}", line_name(row, variant), row.unit));
        for name in names {
            text.push_str(&format!(" {:>CELL$}", cell(results.median(row, variant, *name))));
        }
        let ratio =
            |other| results.ratio(row, variant, other).map_or("-".into(), |ratio| format!("{ratio:.2}"));
        text.push_str(&format!(" {:>8} {:>8}", ratio(Name::Gocryptfs), ratio(Name::Raw)));
        text.push_str(&format!("  {}\n", verdict(results, row, variant)));
    }
    text.push_str(
        "\nA cell is the median, then (CPU seconds of caller and daemons while the clock ran, peak MiB of the mount's \
         daemon).\nx: how many times better freehold is than gocryptfs with AES, and than the bare disk; below 1 it \
         is worse. While uploading\nthe others' drained rows stand against it, and its CPU seconds hold those of the \
         uploads. Bars are for drained rows.\n",
    );
    text.push_str(&waiting(results));
    let percent = results.share_of_others * 100.0;
    text.push_str(&format!(
        "Other programs and the kernel by itself took {percent:.1} % of all processors.\n"
    ));
    text
}

/// The same as one object, with every sample.
pub(super) fn json(title: &str, names: &[Name], results: &Results) -> Value {
    let lines = results.lines();
    let rows = lines.iter().map(|(row, variant)| {
        let figures: Map<String, Value> = names
            .iter()
            .filter_map(|name| {
                let median = results.median(row, *variant, *name)?;
                let samples: Vec<f64> =
                    results.samples(row, *variant, *name).iter().map(|sample| sample.figure).collect();
                let figures = json!({
                    "median": median.figure, "samples": samples, "cpu_seconds": median.cpu_seconds,
                    "peak_rss_mib": median.peak_rss_mib,
                });
                Some((name.text().to_owned(), figures))
            })
            .collect();
        let verdict = results.verdict(row, *variant);
        json!({
            "name": row.id, "variant": if *variant == Variant::Drained { "drained" } else { variant.text() },
            "unit": row.unit, "figures": figures,
            "ratio_to_gocryptfs": results.ratio(row, *variant, Name::Gocryptfs),
            "ratio_to_raw": results.ratio(row, *variant, Name::Raw),
            "bar": row.bar.map(|bar| bar.to_string()),
            "bar_met": verdict.map(|verdict| verdict.is_bar_met),
            "goal_met": verdict.map(|verdict| verdict.is_goal_met),
        })
    });
    json!({
        "schema": 1, "title": title, "share_of_others": results.share_of_others, "rows": rows.collect::<Vec<_>>(),
        "uploading": results.waiting.iter().map(|(id, of_row)| {
            json!({ "name": id, "asked": of_row.asked, "found_waiting": of_row.found })
        }).collect::<Vec<_>>(),
    })
}

/// A row and its circumstances.
pub(super) fn line_name(row: &Row, variant: Variant) -> String {
    format!("{} {}", row.id, variant.text()).trim_end().to_owned()
}

fn cell(median: Option<Sample>) -> String {
    let Some(Sample { figure, cpu_seconds, peak_rss_mib }) = median else { return "-".to_owned() };
    let figure = number(figure);
    match (cpu_seconds.is_nan(), peak_rss_mib.is_nan()) {
        (true, true) => figure,
        (true, false) => format!("{figure} ({peak_rss_mib:.0}M)"),
        (false, true) => format!("{figure} ({cpu_seconds:.2}s)"),
        (false, false) => format!("{figure} ({cpu_seconds:.2}s {peak_rss_mib:.0}M)"),
    }
}

fn verdict(results: &Results, row: &Row, variant: Variant) -> String {
    let Some(bar) = row.bar else { return String::new() };
    match (results.verdict(row, variant), variant, bar) {
        (Some(verdict), _, bar) if verdict.is_goal_met && bar.has_goal() => {
            format!("{bar}: met, and the goal")
        }
        (Some(verdict), ..) if verdict.is_bar_met => format!("{bar}: met"),
        (Some(_), ..) => format!("{bar}: MISSED"),
        (None, Variant::Uploading, Bar::CostOfDrained(..)) => format!("{bar}: not measured"),
        (None, Variant::Drained, bar) if !matches!(bar, Bar::CostOfDrained(..)) => {
            format!("{bar}: not measured")
        }
        _ => String::new(),
    }
}

/// Whether the uploading rows are what they say.
fn waiting(results: &Results) -> String {
    let all = results.waiting.values().fold(Waiting::default(), |all, of_row| all.and(*of_row));
    if all.asked == 0 {
        return String::new();
    }
    let idle = results.waiting.iter().filter(|(_, of_row)| of_row.found < of_row.asked);
    let idle = idle.map(|(id, of_row)| format!(" {id} ({} of {})", of_row.found, of_row.asked));
    let idle: String = idle.collect();
    let said = format!(
        "While uploading, something waited to be sent {} of {} times it was asked",
        all.found, all.asked
    );
    if idle.is_empty() { format!("{said}.\n") } else { format!("{said}; NOT ALWAYS in:{idle}.\n") }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimesGocryptfs(bar, goal) => write!(f, ">= {bar}x gocryptfs (goal {goal}x)"),
            Self::TimesRaw(bar, _) => write!(f, ">= {bar}x raw"),
            Self::CostOfGocryptfs(bar, goal) => write!(f, "<= {bar}x gocryptfs (goal {goal}x)"),
            Self::CostOfRaw(bar, goal) => write!(f, "<= {bar}x raw (goal {goal}x)"),
            Self::AtMost(bar, goal) => write!(f, "<= {bar} (goal {goal})"),
            Self::Limit(bar) => write!(f, "<= {bar}"),
            Self::CostOfDrained(bar, _) => write!(f, "<= {bar}x drained"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::mount::rows::ROWS;

    #[test]
    fn a_missed_bar_is_said_in_text_and_json() {
        let mut results = Results::default();
        let sample = |figure| Sample { figure, cpu_seconds: 1.0, peak_rss_mib: 50.0 };
        results.add("create", Variant::Drained, Name::Freehold, sample(100.0));
        results.add("create", Variant::Drained, Name::Gocryptfs, sample(100.0));
        let names = [Name::Freehold, Name::Gocryptfs];
        assert!(text("t", &names, &results).contains("MISSED"));
        assert_eq!(json("t", &names, &results)["rows"][0]["bar_met"], false);
    }

    #[test]
    fn a_run_without_uploads_is_not_passed_off_as_uploading() {
        let mut results = Results::default();
        results.waiting.insert("create", Waiting { asked: 3, found: 2 });
        assert!(text("t", &[], &results).contains("NOT ALWAYS in: create (2 of 3)"));
    }

    #[test]
    fn rows_have_names_of_their_own() {
        let mut ids: Vec<&str> = ROWS.iter().map(|row| row.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), ROWS.len());
    }
}
