//! Whether figures have fallen: those of a run beside those of a report that was kept.
//!
//! Ratios to what the machine could do in the same run are compared, never rates or times, which say more about the machine
//! than about us. Bytes are compared as they are: memory depends on no other's load. A run is judged only if nobody else
//! used the machine, and a workload only if it had the same sizes.

use super::figure::{Better, Figure, Goal, Of, Report};
use super::report::{number, others, percent, table};

/// So many bytes more are none: memory is had in pages, and shared by those who are counted.
const SAME_BYTES: f64 = 512.0;
/// Nor is this share of what the figure must be: one that was kept at nothing may come out at a little.
const SAME_SHARE: f64 = 0.05;

/// What is said of a run beside a report that was kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Others used the machine meanwhile; why, in a sentence.
    NotJudged(String),
    /// It was compared.
    Judged(Comparison),
}

impl Verdict {
    /// Judges a run. `usual` is by how many percent a figure may be worse that has no number of its own in the kept report.
    pub fn of(kept: &Report, run: &Report, usual: u32) -> Self {
        let disturbed = run.disturbed();
        let told =
            disturbed.map(|it| format!("during {} {}", it.workload, others(&it.disturbance)));
        let told: Vec<String> = told.collect();
        if told.is_empty() {
            return Self::Judged(Comparison::of(kept, run, usual));
        }
        let told = told.join("; ");
        Self::NotJudged(format!("not judged: {told}. Run it again when the machine is quiet."))
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Self::NotJudged(why) => why.clone(),
            Self::Judged(comparison) => comparison.table(),
        }
    }
}

/// What a comparison says.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// One for each figure that both reports have and that can be compared.
    pub rows: Vec<Row>,
    /// Names of figures that only the kept report has.
    pub missing: Vec<String>,
    /// Workloads that were kept with other settings than they were run with now: nothing of them is compared.
    pub unlike: Vec<String>,
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
    /// Whether these are ratios.
    pub is_ratio: bool,
    /// By how many percent it may be worse.
    pub tolerance: u32,
    /// Whether it is worse by more than that.
    pub has_fallen: bool,
}

impl Comparison {
    fn of(kept: &Report, run: &Report, usual: u32) -> Self {
        let mut comparison = Self { rows: Vec::new(), missing: Vec::new(), unlike: Vec::new() };
        for kept in &kept.workloads {
            let now = run.workloads.iter().find(|now| now.workload == kept.workload);
            if now.is_some_and(|now| now.settings != kept.settings) {
                comparison.unlike.push(kept.workload.clone());
                continue;
            }
            for figure in &kept.figures {
                comparison.add(figure, run.figure(&figure.name), usual);
            }
        }
        comparison
    }

    fn add(&mut self, kept: &Figure, now: Option<&Figure>, usual: u32) {
        let Some(before) = comparable(kept) else { return };
        let Some(now) = now.and_then(comparable) else {
            self.missing.push(kept.name.clone());
            return;
        };
        let tolerance = kept.tolerance.unwrap_or(usual);
        let share = f64::from(tolerance) / 100.0;
        let has_fallen = match kept.better {
            Better::Higher => now < before * (1.0 - share),
            Better::Lower => {
                let must = match kept.goal {
                    Some(Goal { must, of: Of::Value, .. }) => must,
                    _ => 0.0,
                };
                now > before + (before * share).max(SAME_BYTES).max(must * SAME_SHARE)
            }
        };
        let is_ratio = kept.ratio().is_some();
        let name = kept.name.clone();
        self.rows.push(Row { name, before, now, is_ratio, tolerance, has_fallen });
    }

    /// Whether something was compared, and nothing has fallen, is missing or was measured otherwise.
    pub fn holds(&self) -> bool {
        let all_there = self.missing.is_empty() && self.unlike.is_empty();
        all_there && !self.rows.is_empty() && self.fallen() == 0
    }

    fn fallen(&self) -> usize {
        self.rows.iter().filter(|row| row.has_fallen).count()
    }

    /// For people.
    fn table(&self) -> String {
        let told = |row: &Row| {
            let said = if row.has_fallen { "FALLEN" } else { "holds" };
            let shown = if row.is_ratio { percent } else { number };
            let change = match row.before {
                before if before > 0.0 => format!("{:+.0} %", (row.now / before - 1.0) * 100.0),
                _ => String::new(),
            };
            let allowed = format!("{} %", row.tolerance);
            let (before, now) = (shown(row.before), shown(row.now));
            vec![row.name.clone(), before, now, change, allowed, said.to_owned()]
        };
        let mut rows: Vec<Vec<String>> = self.rows.iter().map(told).collect();
        let unseen = |name: &String, said: &str| {
            let [kept, now, changed, allowed] = [const { String::new() }; 4];
            vec![name.clone(), kept, now, changed, allowed, said.to_owned()]
        };
        rows.extend(self.missing.iter().map(|name| unseen(name, "MISSING")));
        rows.extend(self.unlike.iter().map(|name| unseen(name, "KEPT WITH OTHER SETTINGS")));
        let mut text = String::new();
        let head =
            ["ratio to the raw limit, or bytes", "kept", "now", "changed", "may be worse by", ""];
        table(&head, rows, &mut text);
        let (all, fallen) = (self.rows.len(), self.fallen());
        text.push_str(&format!(
            "  {all} figures compared: {} hold, {fallen} have fallen; {} missing, {} workloads with other settings\n",
            all - fallen,
            self.missing.len(),
            self.unlike.len()
        ));
        text
    }
}

/// What of a figure means the same on another day: its ratio, or bytes.
fn comparable(figure: &Figure) -> Option<f64> {
    if figure.is_difference {
        return None;
    }
    figure.ratio().or_else(|| (figure.unit == "bytes").then_some(figure.value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::{Busy, Disturbance, WorkloadReport};

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

    fn holds(kept: Figure, now: Figure) -> bool {
        Comparison::of(&report(vec![kept]), &report(vec![now]), 20).holds()
    }

    #[test]
    fn a_slower_machine_is_no_fall() {
        assert!(holds(rate(800.0, 1_000.0), rate(80.0, 100.0)));
        assert!(!holds(rate(800.0, 1_000.0), rate(600.0, 1_000.0)));
    }

    #[test]
    fn more_memory_is_a_fall_and_less_is_none() {
        assert!(holds(memory(10_000.0), memory(11_000.0)));
        assert!(holds(memory(10_000.0), memory(1_000.0)));
        assert!(holds(memory(0.0), memory(200.0)));
        assert!(!holds(memory(10_000.0), memory(13_000.0)));
    }

    #[test]
    fn a_figure_may_be_worse_by_what_the_kept_report_says_of_it() {
        assert!(holds(memory(10_000.0).tolerating(40), memory(13_000.0)));
        assert!(!holds(memory(10_000.0).tolerating(10), memory(11_500.0)));
    }

    #[test]
    fn a_figure_that_is_no_longer_measured_is_told() {
        let kept = report(vec![memory(1.0), rate(1.0, 2.0)]);

        let comparison = Comparison::of(&kept, &report(vec![rate(1.0, 2.0)]), 20);

        assert!(!comparison.holds());
        let table = comparison.table();
        assert!(table.contains("MISSING"), "{table}");
        assert!(table.contains("1 figures compared: 1 hold, 0 have fallen; 1 missing"), "{table}");
    }

    #[test]
    fn a_figure_that_was_kept_at_nothing_may_come_out_at_a_little_of_what_it_must_be() {
        let reader = |bytes| memory(bytes).with_goal(Goal::value(2_000_000.0, 1_000_000.0));

        assert!(holds(reader(0.0), reader(90_000.0)));
        assert!(!holds(reader(0.0), reader(110_000.0)));
    }

    #[test]
    fn what_is_left_of_another_figure_is_not_compared() {
        let part = |bytes| memory(bytes).as_difference();
        let kept = report(vec![part(-3_000.0), rate(1.0, 2.0)]);

        let comparison = Comparison::of(&kept, &report(vec![part(9_000.0), rate(1.0, 2.0)]), 20);

        assert_eq!(comparison.rows.len(), 1);
        assert!(comparison.holds());
    }

    #[test]
    fn what_has_no_limit_is_not_compared() {
        let fast = Figure::higher("groups.rate", "", 9_000.0, "messages/s");
        let kept = report(vec![fast, memory(1.0)]);

        let comparison = Comparison::of(&kept, &report(vec![memory(1.0)]), 20);

        assert_eq!(comparison.rows.len(), 1);
        assert!(comparison.holds());
    }

    #[test]
    fn a_workload_of_another_size_is_not_compared_and_does_not_hold() {
        let (kept, mut run) = (report(vec![memory(1.0)]), report(vec![memory(1.0)]));
        run.workloads[0].set("sessions", 1_000);

        let comparison = Comparison::of(&kept, &run, 20);

        assert_eq!(comparison.rows, []);
        assert!(!comparison.holds());
        assert!(comparison.table().contains("KEPT WITH OTHER SETTINGS"));
    }

    #[test]
    fn a_disturbed_run_is_not_judged_and_says_who_disturbed_it() {
        let kept = report(vec![memory(1.0)]);
        let mut run = report(vec![memory(9.0)]);
        let busy = Busy { who: "rustc".to_owned(), cores: 0.9 };
        run.workloads[0].disturbance = Disturbance::of(1.2, vec![busy]);

        let verdict = Verdict::of(&kept, &run, 20);

        let why = "not judged: during fanout others used 1.20 cores (rustc 0.90). Run it again when the machine is quiet.";
        assert_eq!(verdict, Verdict::NotJudged(why.to_owned()));
    }
}
