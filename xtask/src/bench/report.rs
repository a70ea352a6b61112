//! The table: one row a figure, one column a contender, the ratio to the best peer, and the target.

use serde_json::{Map, Value, json};

/// What is aimed at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Target {
    /// Our figure is at most this.
    AtMost(f64),
    /// Our figure is at least this.
    AtLeast(f64),
    /// We are at least so many times better than the best peer.
    Times(f64),
}

/// Which way a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    /// Times, sizes.
    Less,
    /// Rates.
    More,
}

/// One figure of every contender, ours first. Not a number stands for who has no such figure.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) target: Option<Target>,
    pub(super) figures: Vec<f64>,
}

/// All rows.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) title: String,
    pub(super) names: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
}

impl Row {
    fn ours(&self) -> f64 {
        self.figures.first().copied().unwrap_or(f64::NAN)
    }

    /// How many times better than the best peer we are; none without a peer.
    fn ratio(&self) -> Option<f64> {
        let peers = self.figures.iter().skip(1).copied().filter(|figure| !figure.is_nan());
        match self.better {
            Better::Less => Some(peers.reduce(f64::min)? / self.ours()),
            Better::More => Some(self.ours() / peers.reduce(f64::max)?),
        }
    }

    fn is_met(&self) -> Option<bool> {
        match self.target? {
            Target::AtMost(most) => Some(self.ours() <= most),
            Target::AtLeast(least) => Some(self.ours() >= least),
            Target::Times(least) => self.ratio().map(|ratio| ratio >= least),
        }
    }
}

impl Report {
    /// Prints the table, or one JSON object.
    pub(super) fn print(&self, as_json: bool) {
        if as_json {
            println!("{}", self.json());
        } else {
            print!("{}", self.table());
        }
    }

    fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(|row| self.json_row(row)).collect();
        let ratios: Map<String, Value> =
            self.rows.iter().filter_map(|row| Some((row.name.clone(), json!(row.ratio()?)))).collect();
        json!({ "schema": 1, "title": self.title, "rows": rows, "ratios": ratios })
    }

    fn json_row(&self, row: &Row) -> Value {
        let figures: Map<String, Value> = self
            .names
            .iter()
            .zip(&row.figures)
            .map(|(name, figure)| ((*name).to_owned(), json!(figure)))
            .collect();
        json!({
            "name": row.name, "unit": row.unit, "figures": figures,
            "target": row.target.map(|target| target.to_string()), "target_met": row.is_met(),
        })
    }

    fn table(&self) -> String {
        let mut lines = format!("{}\n\n{:<26} {:<6}", self.title, "", "unit");
        for name in &self.names {
            lines.push_str(&format!(" {name:>14}"));
        }
        lines.push_str(&format!(" {:>7}  target\n", "ratio"));
        for row in &self.rows {
            lines.push_str(&format!("{:<26} {:<6}", row.name, row.unit));
            for figure in &row.figures {
                lines.push_str(&format!(" {:>14}", number(*figure)));
            }
            let ratio = row.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.2}x"));
            let target = match (row.target, row.is_met()) {
                (Some(target), Some(true)) => format!("{target}: met"),
                (Some(target), Some(false)) => format!("{target}: MISSED"),
                (Some(target), None) => format!("{target}: not measured"),
                (None, _) => String::new(),
            };
            lines.push_str(&format!(" {ratio:>7}  {target}\n"));
        }
        lines.push_str("\nratio: how many times better than the best peer; below 1 we are worse.\n");
        lines
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::Times(least) => write!(f, "ratio >= {least}"),
        }
    }
}

/// A figure with as many digits as matter.
pub(super) fn number(figure: f64) -> String {
    if figure.is_nan() {
        return "-".to_owned();
    }
    if figure >= 100.0 { format!("{figure:.0}") } else { format!("{figure:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(figures: &[f64]) -> Row {
        let (name, target) = ("time".to_owned(), Some(Target::AtMost(5.0)));
        Row { name, unit: "s", better: Better::Less, target, figures: figures.to_vec() }
    }

    #[test]
    fn the_ratio_is_against_the_best_peer() {
        assert_eq!(row(&[2.0, 10.0, 6.0]).ratio(), Some(3.0));
        assert_eq!(row(&[2.0]).ratio(), None);
        assert_eq!(row(&[2.0, f64::NAN, 6.0]).ratio(), Some(3.0), "not everybody has every figure");
        let rate = Row { better: Better::More, ..row(&[600.0, 200.0, 300.0]) };
        assert_eq!(rate.ratio(), Some(2.0));
    }

    #[test]
    fn a_missed_target_is_said() {
        let report = Report { title: "t".into(), names: vec!["ours", "peer"], rows: vec![row(&[7.0, 3.5])] };
        assert!(report.table().contains("<= 5: MISSED"), "{}", report.table());
        assert_eq!(report.json()["rows"][0]["target_met"], false);
        assert_eq!(report.json()["ratios"]["time"], 0.5);
    }
}
