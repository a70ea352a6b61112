//! The ratios to gocryptfs as a bar chart: SVG by hand, on a logarithmic scale, readable on light and on dark.

use super::results::{Results, Verdict};
use super::rows::{Bar, Name, Row, Variant};
use std::fmt::Write as _;

/// Places, in the chart's own units.
const LABELS: f64 = 190.0;
const PLOT: f64 = 560.0;
const FIGURES: f64 = 70.0;
const LINE: f64 = 22.0;
const TOP: f64 = 64.0;

/// The scale's ends, in times of gocryptfs.
const LEAST: f64 = 0.1;
const MOST: f64 = 100.0;

/// Colours as plain classes: not every viewer knows variables.
const STYLE: &str = "<style>text{font:12px system-ui,sans-serif;fill:#1b1f24}.page{fill:#fff}.dim{fill:#6a737d}\
.grid{stroke:#d8dee4}.met{fill:#2f7d4f}.missed{fill:#b3472f}.none{fill:#5b7083}.bar{stroke:#1b1f24;stroke-width:2}\
.goal{stroke:#1b1f24;stroke-width:1.5;stroke-dasharray:2 2}\
@media(prefers-color-scheme:dark){text{fill:#e6e9ec}.page{fill:#14181d}.dim{fill:#98a2ad}.grid{stroke:#333b44}\
.met{fill:#5fb884}.missed{fill:#e0826b}.none{fill:#8aa2b6}.bar,.goal{stroke:#e6e9ec}}</style>";

/// The whole drawing; no rows, where gocryptfs was not measured.
pub(super) fn svg(title: &str, results: &Results) -> String {
    let lines: Vec<(&Row, f64)> = results
        .lines()
        .into_iter()
        .filter(|(row, variant)| *variant == Variant::Drained && row.bar.is_some())
        .filter_map(|(row, variant)| Some((row, results.ratio(row, variant, Name::Gocryptfs)?)))
        .filter(|(_, ratio)| ratio.is_finite() && *ratio > 0.0)
        .collect();
    let (width, bottom) = (LABELS + PLOT + FIGURES, TOP + LINE * lines.len() as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {}\" role=\"img\">{STYLE}\n\
         <rect width=\"100%\" height=\"100%\" class=\"page\"/>\n<title>{}</title>\n\
         <text x=\"8\" y=\"20\" font-weight=\"bold\">{}</text>\n\
         <text x=\"8\" y=\"38\" class=\"dim\">times better than gocryptfs with AES; | is the bar, a dashed line the goal\
         </text>\n",
        bottom + 12.0,
        escaped(title),
        escaped(title)
    );
    grid(&mut svg, bottom);
    for (number, (row, ratio)) in lines.iter().enumerate() {
        let verdict = results.verdict(row, Variant::Drained);
        line(&mut svg, TOP + LINE * number as f64, row, *ratio, verdict);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Lines at the scale's round places; the one at 1 is where both are equal.
fn grid(svg: &mut String, bottom: f64) {
    for place in [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0] {
        let x = x(place);
        let class = if place == 1.0 { "bar" } else { "grid" };
        push(
            svg,
            format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" class=\"{class}\"/>"
            ),
        );
        let y = TOP - 6.0;
        push(
            svg,
            format_args!("<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\" class=\"dim\">{place}</text>"),
        );
    }
}

fn line(svg: &mut String, y: f64, row: &Row, ratio: f64, verdict: Option<Verdict>) {
    let class = match verdict {
        Some(Verdict { is_bar_met: true, .. }) => "met",
        Some(_) => "missed",
        None => "none",
    };
    let (text_y, from, to) = (y + 15.0, x(ratio.min(1.0)), x(ratio.max(1.0)));
    push(
        svg,
        format_args!("<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{}</text>", LABELS - 8.0, row.id),
    );
    push(
        svg,
        format_args!(
            "<rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"14\" class=\"{class}\"/>",
            y + 4.0,
            to - from
        ),
    );
    push(svg, format_args!("<text x=\"{}\" y=\"{text_y}\">{ratio:.2}x</text>", LABELS + PLOT + 8.0));
    let marks = match row.bar {
        Some(Bar::TimesGocryptfs(bar, goal)) => Some((bar, goal)),
        Some(Bar::CostOfGocryptfs(bar, goal)) => Some((1.0 / bar, 1.0 / goal)),
        _ => None,
    };
    for (place, class) in marks.into_iter().flat_map(|(bar, goal)| [(bar, "bar"), (goal, "goal")]) {
        let (x, y1, y2) = (x(place), y + 2.0, y + 20.0);
        push(
            svg,
            format_args!("<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y1}\" y2=\"{y2}\" class=\"{class}\"/>"),
        );
    }
}

/// Where a ratio lies.
fn x(ratio: f64) -> f64 {
    LABELS + PLOT * (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln()
}

fn push(svg: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(svg, "{line}").expect("a string takes every line");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::mount::results::Sample;

    #[test]
    fn the_scale_is_logarithmic_and_bounded() {
        assert!((x(1.0) - x(0.1) - (x(10.0) - x(1.0))).abs() < 1e-9);
        assert_eq!(x(1000.0), x(MOST));
    }

    #[test]
    fn a_row_is_drawn_with_its_bar_and_its_verdict() {
        let mut results = Results::default();
        for (name, figure) in [(Name::Freehold, 100.0), (Name::Gocryptfs, 100.0)] {
            let sample = Sample { figure, cpu_seconds: 0.0, peak_rss_mib: 0.0 };
            results.add("create", Variant::Drained, name, sample);
        }
        let svg = svg("a < b", &results);
        assert!(
            svg.contains("class=\"missed\"") && svg.contains("class=\"goal\"") && svg.contains("a &lt; b")
        );
    }
}
