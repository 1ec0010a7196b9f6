//! The report of a run for people: what was measured, beside what the machine could do and what it should be.
//!
//! Only text is made here; `figure` holds what it is made of, and its JSON is for machines.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::figure::{
    Better, Disturbance, Figure, Goal, Latency, Of, Proof, Report, Setting, Since, Standing,
    WorkloadReport,
};
use super::meter;
use crate::chat::text::minute;
use crate::ids::UnixMs;

impl Report {
    /// The report of a run of this program on this machine that begins now, with nothing in it yet.
    pub fn begin() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = minute(UnixMs::new(since_1970.as_millis() as i64));
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self { at, version, machine: meter::machine(), workloads: Vec::new() }
    }

    /// The whole report, for people. Faults come first: a figure that was bought with a lost message is none.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for workload in self.workloads.iter().filter(|workload| !workload.proof.holds()) {
            let _ = writeln!(text, "NOT PROVEN {}: {}", workload.workload, faults(&workload.proof));
        }
        let machine = &self.machine;
        let _ = writeln!(
            text,
            "rookery {} on {} cores ({}), {} of memory, {}, {}",
            self.version,
            machine.cores,
            machine.cpu,
            bytes(machine.memory_bytes as f64),
            machine.os,
            self.at
        );
        for workload in &self.workloads {
            text.push('\n');
            describe(workload, &mut text);
        }
        text
    }
}

fn describe(report: &WorkloadReport, text: &mut String) {
    let settings: Vec<String> =
        report.settings.iter().map(|Setting { name, value }| format!("{name} {value}")).collect();
    let _ = writeln!(text, "{}  {}", report.workload, settings.join(", "));
    if !report.figures.is_empty() {
        let head = ["", "measured", "raw limit", "ratio", "must", "aim", ""];
        table(&head, report.figures.iter().map(figure_row).collect(), text);
    }
    for (since, said) in
        [(Since::Due, "ms from when it was due"), (Since::Begun, "ms from when it was begun")]
    {
        let counted = report.latencies.iter().filter(|latency| latency.since == since);
        let rows: Vec<Vec<String>> = counted.map(latency_row).collect();
        if !rows.is_empty() {
            let head = [said, "a second", "p50", "p99", "p99.9", "max", "must", "aim", ""];
            table(&head, rows, text);
        }
    }
    let proof = &report.proof;
    let verdict = if proof.holds() { "proven".to_owned() } else { faults(proof) };
    let _ = writeln!(
        text,
        "  {verdict}: {} acknowledged, {} found in order and once, {} read by receivers",
        count(proof.acked),
        count(proof.found),
        count(proof.deliveries)
    );
    let _ = writeln!(text, "  {}", disturbance(&report.disturbance));
}

fn figure_row(figure: &Figure) -> Vec<String> {
    let Figure { what, value, unit, limit, goal, .. } = figure;
    let ratio = figure.ratio().map(percent).unwrap_or_default();
    let limit = limit.as_ref().map(|limit| number(limit.value)).unwrap_or_default();
    let wanted = |pick: fn(&Goal) -> f64| {
        goal.as_ref().map(|goal| wanted(figure.better, goal.of, pick(goal))).unwrap_or_default()
    };
    vec![
        what.clone(),
        format!("{} {unit}", number(*value)),
        limit,
        ratio,
        wanted(|goal| goal.must),
        wanted(|goal| goal.aim),
        standing(figure.standing()),
    ]
}

fn wanted(better: Better, of: Of, wanted: f64) -> String {
    let wanted = match of {
        Of::Value => number(wanted),
        Of::Ratio => percent(wanted),
    };
    match better {
        Better::Higher => format!("≥ {wanted}"),
        Better::Lower => format!("≤ {wanted}"),
    }
}

fn latency_row(latency: &Latency) -> Vec<String> {
    let goal = |pick: fn(&super::figure::LatencyGoal) -> (f64, f64)| {
        let pair = latency.goal.as_ref().map(pick);
        pair.map(|(p50, p99)| format!("≤ {} and {}", number(p50), number(p99))).unwrap_or_default()
    };
    vec![
        latency.what.clone(),
        number(latency.rate_per_s),
        milliseconds(latency.p50_us),
        milliseconds(latency.p99_us),
        milliseconds(latency.p999_us),
        milliseconds(latency.max_us),
        goal(|goal| (goal.p50_must_ms, goal.p99_must_ms)),
        goal(|goal| (goal.p50_aim_ms, goal.p99_aim_ms)),
        standing(latency.standing()),
    ]
}

fn standing(standing: Option<Standing>) -> String {
    match standing {
        None => "",
        Some(Standing::Aim) => "reaches the aim",
        Some(Standing::Must) => "as it must be",
        Some(Standing::Missed) => "MISSED",
    }
    .to_owned()
}

fn faults(proof: &Proof) -> String {
    let missing = proof.acked.saturating_sub(proof.found + proof.lost);
    let faults = [
        (proof.lost, "acknowledged and lost"),
        (proof.doubled, "stored twice"),
        (proof.out_of_order, "out of order"),
        (proof.missed_deliveries, "not delivered"),
        (proof.unanswered, "without an answer"),
        (missing, "acknowledged and not looked for"),
    ];
    let faults: Vec<String> = faults
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, fault)| format!("{} {fault}", count(*number)))
        .collect();
    match faults.is_empty() {
        true => "more was found than was acknowledged".to_owned(),
        false => faults.join(", "),
    }
}

/// What others used of the machine, and what that means.
fn disturbance(disturbance: &Disturbance) -> String {
    match disturbance.disturbed {
        true => format!("DISTURBED: {}, so the figures mean little", others(disturbance)),
        false => format!("undisturbed: others used {:.2} cores", disturbance.others_cores),
    }
}

/// How much others used, and who they were.
pub(super) fn others(disturbance: &Disturbance) -> String {
    let by = disturbance.by.iter().map(|busy| format!("{} {:.2}", busy.who, busy.cores));
    let by: Vec<String> = by.collect();
    let by = if by.is_empty() { String::new() } else { format!(" ({})", by.join(", ")) };
    format!("others used {:.2} cores{by}", disturbance.others_cores)
}

/// Rows beneath a head: the first column to the left, the last as it is, numbers to the right.
pub(super) fn table(head: &[&str], rows: Vec<Vec<String>>, text: &mut String) {
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|at| {
            let cells = rows.iter().chain([&head]).filter_map(|row| row.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in [&head].into_iter().chain(&rows) {
        let mut line = String::from("  ");
        for (at, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            match at {
                0 => line.push_str(&format!("{cell:<width$}")),
                _ if at + 1 == row.len() => line.push_str(&format!("  {cell}")),
                _ => line.push_str(&format!("  {cell:>width$}")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

/// A number with as many digits as mean something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", count(size.round() as u64))
        }
        size if size == size.round() => format!("{value}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A count with a comma between thousands.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share of one as a percentage.
pub(super) fn percent(share: f64) -> String {
    match share < 0.0995 {
        true => format!("{:.1} %", share * 100.0),
        false => format!("{:.0} %", share * 100.0),
    }
}

fn milliseconds(us: u64) -> String {
    number(us as f64 / 1e3)
}

fn bytes(bytes: f64) -> String {
    format!("{:.1} GiB", bytes / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use hdrhistogram::Histogram;

    use super::*;
    use crate::bench::figure::{Busy, LatencyGoal};

    fn report() -> Report {
        let mut workload = WorkloadReport::new("fanout");
        workload.set("members", 1000);
        workload.set("window", 16);
        workload.figures.push(
            Figure::higher("fanout.rate", "16 in flight", 1_234_567.0, "deliveries/s")
                .against("bare fan-out", 2_000_000.0)
                .with_goal(Goal::ratio(0.75, 1.0)),
        );
        let mut histogram = Histogram::<u64>::new(3).unwrap();
        histogram.record(1_500).unwrap();
        workload.latencies.push(Latency::from("a", "acknowledged", 2_000.0, &histogram).with_goal(
            LatencyGoal { p50_must_ms: 5.0, p50_aim_ms: 2.0, p99_must_ms: 20.0, p99_aim_ms: 10.0 },
        ));
        workload.proof = Proof { acked: 1_500, found: 1_500, ..Proof::default() };
        let mut report = Report::begin();
        report.workloads.push(workload);
        report
    }

    #[test]
    fn a_row_says_the_figure_its_limit_and_how_it_stands() {
        let table = report().table();

        let row = table.lines().find(|line| line.contains("16 in flight")).unwrap();
        let words: Vec<&str> = row.split_whitespace().collect();
        let expected = "16 in flight 1,234,567 deliveries/s 2,000,000 62 % ≥ 75 % ≥ 100 % MISSED";
        assert_eq!(words.join(" "), expected);
        let row = table.lines().find(|line| line.contains("acknowledged  ")).unwrap();
        assert!(row.ends_with("≤ 5 and 20  ≤ 2 and 10  reaches the aim"), "{table}");
    }

    #[test]
    fn what_is_counted_from_when_it_began_stands_under_another_head() {
        let mut report = report();
        let latency = &mut report.workloads[0].latencies[0];
        *latency = latency.clone().since_begun();

        let table = report.table();

        assert!(table.contains("ms from when it was begun"), "{table}");
        assert!(!table.contains("ms from when it was due"), "{table}");
    }

    #[test]
    fn faults_are_told_before_any_figure() {
        let mut report = report();
        report.workloads[0].proof.lost = 2;

        let first = report.table().lines().next().unwrap().to_owned();

        assert_eq!(first, "NOT PROVEN fanout: 2 acknowledged and lost");
    }

    #[test]
    fn a_disturbed_run_says_so() {
        let mut report = report();
        assert!(report.table().contains("undisturbed: others used 0.00 cores"));

        let busy = Busy { who: "rustc".to_owned(), cores: 0.31 };
        report.workloads[0].disturbance = Disturbance::of(0.4, vec![busy]);

        assert!(report.table().contains("DISTURBED: others used 0.40 cores (rustc 0.31), so"));
    }

    #[test]
    fn a_report_comes_back_from_json_as_it_was() {
        let report = report();

        let json = serde_json::to_string(&report).unwrap();

        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    }

    #[test]
    fn numbers_have_as_many_digits_as_mean_something() {
        let shown = [0.034, 1.5, 12.34, 99.0, 4_096.4, 1_234_567.0].map(number);

        assert_eq!(shown, ["0.03", "1.50", "12.3", "99", "4,096", "1,234,567"]);
        assert_eq!([-2_879.4, -0.5].map(number), ["-2,879", "-0.50"]);
        assert_eq!([0.052, 0.75].map(percent), ["5.2 %", "75 %"]);
    }
}
