//! Whether figures have fallen: those of a run beside those of a report that was kept.
//!
//! Ratios to what the machine could do in the same run are compared, never rates or times, which say more about the machine
//! than about us. Bytes are compared as they are: memory depends on no other's load.

use super::figure::{Better, Figure, Report};
use super::report::{number, table};

/// What a comparison says.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// One for each figure that both reports have and that can be compared.
    pub rows: Vec<Row>,
    /// Names of figures that only the kept report has.
    pub missing: Vec<String>,
}

/// One figure in both reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// In the kept report: a ratio, or bytes.
    pub before: f64,
    /// In the run.
    pub now: f64,
    /// Whether it is worse by more than what is tolerated.
    pub has_fallen: bool,
}

impl Comparison {
    /// Compares a run with a kept report. `tolerance` is the share by which a figure may be worse.
    pub fn of(kept: &Report, run: &Report, tolerance: f64) -> Self {
        let mut comparison = Self { rows: Vec::new(), missing: Vec::new() };
        let figures = kept.workloads.iter().flat_map(|workload| &workload.figures);
        for (figure, before) in figures.filter_map(|figure| Some((figure, comparable(figure)?))) {
            let Some(now) = run.figure(&figure.name).and_then(comparable) else {
                comparison.missing.push(figure.name.clone());
                continue;
            };
            let has_fallen = match figure.better {
                Better::Higher => now < before * (1.0 - tolerance),
                Better::Lower => now > before * (1.0 + tolerance),
            };
            comparison.rows.push(Row { name: figure.name.clone(), before, now, has_fallen });
        }
        comparison
    }

    /// Whether nothing has fallen and nothing is missing.
    pub fn holds(&self) -> bool {
        self.missing.is_empty() && self.rows.iter().all(|row| !row.has_fallen)
    }

    /// For people.
    pub fn table(&self) -> String {
        let told = |row: &Row| {
            let said = if row.has_fallen { "FALLEN" } else { "holds" };
            vec![row.name.clone(), number(row.before), number(row.now), said.to_owned()]
        };
        let mut rows: Vec<Vec<String>> = self.rows.iter().map(told).collect();
        let gone = self.missing.iter();
        rows.extend(
            gone.map(|name| vec![name.clone(), String::new(), String::new(), "MISSING".into()]),
        );
        let mut text = String::new();
        table(&["ratio to the raw limit, or bytes", "kept", "now", ""], rows, &mut text);
        text
    }
}

/// What of a figure means the same on another day: its ratio, or bytes.
fn comparable(figure: &Figure) -> Option<f64> {
    figure.ratio().or_else(|| (figure.unit == "bytes").then_some(figure.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::WorkloadReport;

    fn report(figures: Vec<Figure>) -> Report {
        let mut workload = WorkloadReport::new("fanout");
        workload.figures = figures;
        let mut report = Report::begin();
        report.workloads.push(workload);
        report
    }

    fn rate(value: f64, limit: f64) -> Figure {
        Figure::higher("fanout.rate", "", value, "deliveries/s").against("", limit)
    }

    fn memory(value: f64) -> Figure {
        Figure::lower("idle.session_bytes", "", value, "bytes")
    }

    #[test]
    fn a_slower_machine_is_no_fall() {
        let kept = report(vec![rate(800.0, 1_000.0)]);

        assert!(Comparison::of(&kept, &report(vec![rate(80.0, 100.0)]), 0.2).holds());
        assert!(!Comparison::of(&kept, &report(vec![rate(600.0, 1_000.0)]), 0.2).holds());
    }

    #[test]
    fn more_memory_is_a_fall_and_less_is_none() {
        let kept = report(vec![memory(10_000.0)]);

        assert!(Comparison::of(&kept, &report(vec![memory(11_000.0)]), 0.2).holds());
        assert!(Comparison::of(&kept, &report(vec![memory(1_000.0)]), 0.2).holds());
        let fallen = Comparison::of(&kept, &report(vec![memory(13_000.0)]), 0.2);
        assert!(!fallen.holds());
        assert!(fallen.table().contains("FALLEN"), "{}", fallen.table());
    }

    #[test]
    fn a_figure_that_is_no_longer_measured_is_told() {
        let kept = report(vec![memory(1.0)]);

        let comparison = Comparison::of(&kept, &report(vec![]), 0.2);

        assert!(!comparison.holds());
        assert!(comparison.table().contains("MISSING"));
    }

    #[test]
    fn what_has_no_limit_is_not_compared() {
        let fast = Figure::higher("groups.rate", "", 9_000.0, "messages/s");
        let kept = report(vec![fast]);

        assert_eq!(Comparison::of(&kept, &report(vec![]), 0.2).rows, []);
        assert!(Comparison::of(&kept, &report(vec![]), 0.2).holds());
    }
}
