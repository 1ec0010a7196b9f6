//! What a run of the load generator has to say: figures with their limits and goals, latencies, curves, and the proof
//! that no figure was bought with a lost message.
//!
//! Plain data, written as JSON and read again by whoever compares two runs. Measures nothing and prints nothing.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Above so many cores used by others while it was measured, a run is disturbed.
pub const DISTURBED_ABOVE_CORES: f64 = 0.15;

/// Everything that one run has to say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// When it began, to the minute, in UTC.
    pub at: String,
    /// The version of the program that measured.
    pub version: String,
    /// Where it was measured.
    pub machine: Machine,
    /// One for each workload, in the order in which they ran.
    pub workloads: Vec<WorkloadReport>,
}

impl Report {
    /// The figure of this name, whichever workload it is of.
    pub fn figure(&self, name: &str) -> Option<&Figure> {
        self.workloads
            .iter()
            .flat_map(|workload| &workload.figures)
            .find(|figure| figure.name == name)
    }

    /// Whether every workload found everything where it belongs.
    pub fn is_proven(&self) -> bool {
        self.workloads.iter().all(|workload| workload.proof.holds())
    }

    /// The workloads during which others used the machine.
    pub fn disturbed(&self) -> impl Iterator<Item = &WorkloadReport> {
        self.workloads.iter().filter(|workload| workload.disturbance.disturbed)
    }
}

/// The machine that was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Logical processors.
    pub cores: usize,
    /// Main memory.
    pub memory_bytes: u64,
    /// The processor, as it names itself.
    pub cpu: String,
    /// The operating system and its kernel.
    pub os: String,
}

/// What one workload has to say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkloadReport {
    /// The name of its subcommand.
    pub workload: String,
    /// With what it was run.
    pub settings: Vec<Setting>,
    /// Single numbers.
    pub figures: Vec<Figure>,
    /// Distributions of waiting.
    pub latencies: Vec<Latency>,
    /// Curves for pictures.
    pub series: Vec<Series>,
    /// What was checked against the history.
    pub proof: Proof,
    /// Who else used the machine meanwhile.
    pub disturbance: Disturbance,
}

impl WorkloadReport {
    /// A report of the workload of this name, with nothing in it yet.
    pub fn new(workload: impl Into<String>) -> Self {
        Self { workload: workload.into(), ..Self::default() }
    }

    /// Notes with what it was run.
    pub fn set(&mut self, name: impl Into<String>, value: impl ToString) {
        self.settings.push(Setting { name: name.into(), value: value.to_string() });
    }
}

/// One setting of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// As the option is called.
    pub name: String,
    /// As a person would write it.
    pub value: String,
}

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Its name, which does not change from run to run, as `one_to_one.rate`.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// The number, in `unit`.
    pub value: f64,
    /// As `messages/s`, `bytes`, `ms`, `µs`.
    pub unit: String,
    /// In which direction it improves.
    pub better: Better,
    /// What the machine could do at best, measured in the same run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Limit>,
    /// What it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<Goal>,
    /// By how many percent it may be worse when it is compared, if it varies more than most from run to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<u32>,
    /// Whether it is what is left of another figure when a third is taken away: too small beside the variation of both to be
    /// compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_difference: bool,
}

impl Figure {
    /// A figure of which more is better.
    pub fn higher(name: &str, what: &str, value: f64, unit: &str) -> Self {
        Self::new(name, what, (value, unit), Better::Higher)
    }

    /// A figure of which less is better.
    pub fn lower(name: &str, what: &str, value: f64, unit: &str) -> Self {
        Self::new(name, what, (value, unit), Better::Lower)
    }

    fn new(name: &str, what: &str, (value, unit): (f64, &str), better: Better) -> Self {
        let (name, what, unit) = (name.to_owned(), what.to_owned(), unit.to_owned());
        let (limit, goal, tolerance, is_difference) = (None, None, None, false);
        Self { name, what, value, unit, better, limit, goal, tolerance, is_difference }
    }

    /// With the raw limit that was measured in the same run, in the figure's unit.
    pub fn against(self, what: &str, value: f64) -> Self {
        Self { limit: Some(Limit { what: what.to_owned(), value }), ..self }
    }

    /// With what it must be and what is aimed at.
    pub fn with_goal(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// With by how many percent it may be worse when it is compared.
    pub fn tolerating(self, percent: u32) -> Self {
        Self { tolerance: Some(percent), ..self }
    }

    /// As what is left of another when a third is taken away.
    pub fn as_difference(self) -> Self {
        Self { is_difference: true, ..self }
    }

    /// The figure divided by its limit; `None` without a limit, or with one of nothing.
    pub fn ratio(&self) -> Option<f64> {
        let limit = self.limit.as_ref()?.value;
        (limit > 0.0).then(|| self.value / limit)
    }

    /// How it stands to its goal; `None` without a goal, or when the ratio that the goal is of is missing.
    pub fn standing(&self) -> Option<Standing> {
        let goal = self.goal?;
        let reached = match goal.of {
            Of::Value => self.value,
            Of::Ratio => self.ratio()?,
        };
        Some(self.better.standing(reached, goal.must, goal.aim))
    }
}

/// In which direction a figure improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

impl Better {
    /// Whether `reached` is as good as `wanted`, or better.
    pub fn is_met(self, reached: f64, wanted: f64) -> bool {
        match self {
            Self::Higher => reached >= wanted,
            Self::Lower => reached <= wanted,
        }
    }

    fn standing(self, reached: f64, must: f64, aim: f64) -> Standing {
        if self.is_met(reached, aim) {
            Standing::Aim
        } else if self.is_met(reached, must) {
            Standing::Must
        } else {
            Standing::Missed
        }
    }
}

/// How a figure stands to its goal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// What is aimed at was reached.
    Aim,
    /// It is what it must be.
    Must,
    /// It is worse than it must be.
    Missed,
}

/// What the machine could do at best.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What was measured, for people.
    pub what: String,
    /// The number, in the unit of the figure.
    pub value: f64,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Goal {
    /// What it has to be.
    pub must: f64,
    /// What would be better.
    pub aim: f64,
    /// What `must` and `aim` are numbers of.
    pub of: Of,
}

impl Goal {
    /// A goal for the number itself, in the figure's unit.
    pub const fn value(must: f64, aim: f64) -> Self {
        Self { must, aim, of: Of::Value }
    }

    /// A goal for the figure divided by its limit.
    pub const fn ratio(must: f64, aim: f64) -> Self {
        Self { must, aim, of: Of::Ratio }
    }
}

/// What a goal is a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// The figure's value.
    Value,
    /// The figure divided by its limit.
    Ratio,
}

/// How long something took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Its name, which does not change from run to run, as `one_to_one.latency_ack`.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    /// From when it is counted.
    #[serde(default)]
    pub since: Since,
    /// How many were due, or done, in a second.
    pub rate_per_s: f64,
    /// How many were measured.
    pub count: u64,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// 99 of 100 were faster, in microseconds.
    pub p99_us: u64,
    /// 999 of 1,000 were faster, in microseconds.
    pub p999_us: u64,
    /// The slowest, in microseconds.
    pub max_us: u64,
    /// What it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<LatencyGoal>,
}

/// From when a latency is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// From when it was due, whatever came before: whoever is held up counts that, too.
    #[default]
    Due,
    /// From when it was begun, which is when the one before had ended: a server that is slow is asked less often.
    Begun,
}

impl Latency {
    /// What a histogram of microseconds holds that were counted from when something was due.
    pub fn from(name: &str, what: &str, rate_per_s: f64, histogram: &Histogram<u64>) -> Self {
        Self {
            name: name.to_owned(),
            what: what.to_owned(),
            since: Since::Due,
            rate_per_s,
            count: histogram.len(),
            p50_us: histogram.value_at_quantile(0.5),
            p99_us: histogram.value_at_quantile(0.99),
            p999_us: histogram.value_at_quantile(0.999),
            max_us: histogram.max(),
            goal: None,
        }
    }

    /// Counted from when it was begun.
    pub fn since_begun(self) -> Self {
        Self { since: Since::Begun, ..self }
    }

    /// With what it must be and what is aimed at.
    pub fn with_goal(self, goal: LatencyGoal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    /// How it stands to its goal: as the worse of its two percentiles. `None` without a goal, or when nothing was measured.
    pub fn standing(&self) -> Option<Standing> {
        let goal = self.goal.filter(|_| self.count > 0)?;
        let is_met = |(p50_ms, p99_ms): (f64, f64)| {
            self.p50_us as f64 <= p50_ms * 1e3 && self.p99_us as f64 <= p99_ms * 1e3
        };
        Some(if is_met((goal.p50_aim_ms, goal.p99_aim_ms)) {
            Standing::Aim
        } else if is_met((goal.p50_must_ms, goal.p99_must_ms)) {
            Standing::Must
        } else {
            Standing::Missed
        })
    }
}

/// What a latency should be, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LatencyGoal {
    /// What the median has to be.
    pub p50_must_ms: f64,
    /// What would be better for the median.
    pub p50_aim_ms: f64,
    /// What the 99th percentile has to be.
    pub p99_must_ms: f64,
    /// What would be better for the 99th percentile.
    pub p99_aim_ms: f64,
}

/// One curve of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// The picture that it is in, as `latency-over-load`: the name of the file without its ending.
    pub picture: String,
    /// What runs to the right.
    pub x: Axis,
    /// What runs upwards.
    pub y: Axis,
    /// In the order of x.
    pub points: Vec<(f64, f64)>,
}

/// What one direction of a picture shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    /// What is measured, for people.
    pub what: String,
    /// As `messages/s` or `ms`.
    pub unit: String,
    /// How it is divided.
    #[serde(default)]
    pub scale: Scale,
}

impl Axis {
    /// An axis on which equal distances are equal differences.
    pub fn linear(what: &str, unit: &str) -> Self {
        Self { what: what.to_owned(), unit: unit.to_owned(), scale: Scale::Linear }
    }

    /// An axis on which equal distances are equal factors. A point at or below 0 has no place on it.
    pub fn log(what: &str, unit: &str) -> Self {
        Self { scale: Scale::Log, ..Self::linear(what, unit) }
    }
}

/// How an axis is divided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Equal distances are equal differences.
    #[default]
    Linear,
    /// Equal distances are equal factors.
    Log,
}

/// What was checked against the history after the load: all numbers but `acked`, `found` and `deliveries` are faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Messages that were acknowledged.
    pub acked: u64,
    /// Those of them that are in the history.
    pub found: u64,
    /// Acknowledged and not in the history.
    pub lost: u64,
    /// In the history more than once.
    pub doubled: u64,
    /// In the history in another order than their sender sent them.
    pub out_of_order: u64,
    /// Messages that a receiver's client has read.
    pub deliveries: u64,
    /// Messages that a receiver who was there should have read and has not.
    pub missed_deliveries: u64,
    /// Sends that got no answer.
    pub unanswered: u64,
}

impl Proof {
    /// How many faults were found.
    pub fn faults(&self) -> u64 {
        let Self { lost, doubled, out_of_order, missed_deliveries, unanswered, .. } = self;
        lost + doubled + out_of_order + missed_deliveries + unanswered
    }

    /// Whether everything is where it belongs, in order and once.
    pub fn holds(&self) -> bool {
        self.faults() == 0 && self.acked == self.found
    }
}

impl std::ops::AddAssign for Proof {
    fn add_assign(&mut self, other: Self) {
        self.acked += other.acked;
        self.found += other.found;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.deliveries += other.deliveries;
        self.missed_deliveries += other.missed_deliveries;
        self.unanswered += other.unanswered;
    }
}

/// Who else used the machine while it was measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Disturbance {
    /// How many cores others kept busy, on average.
    pub others_cores: f64,
    /// Whether that was more than [`DISTURBED_ABOVE_CORES`].
    pub disturbed: bool,
    /// Who they were, the busiest first; not all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Busy>,
}

/// Somebody who used processors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Busy {
    /// A program, as the system names it, or what else it was.
    pub who: String,
    /// How many cores it kept busy, on average.
    pub cores: f64,
}

impl Disturbance {
    /// Judges what others used, and keeps who they were.
    pub fn of(others_cores: f64, by: Vec<Busy>) -> Self {
        Self { others_cores, disturbed: others_cores > DISTURBED_ABOVE_CORES, by }
    }

    /// Of two stretches of one run the worse one counts.
    pub fn worsen(&mut self, other: Self) {
        if other.others_cores > self.others_cores {
            *self = other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_for_a_ratio_is_missed_when_the_machine_could_do_much_more() {
        let figure = Figure::higher("fanout.rate", "deliveries", 700.0, "deliveries/s")
            .with_goal(Goal::ratio(0.75, 1.0));

        assert_eq!(figure.standing(), None);
        assert_eq!(figure.clone().against("bare", 1_000.0).standing(), Some(Standing::Missed));
        assert_eq!(figure.clone().against("bare", 900.0).standing(), Some(Standing::Must));
        assert_eq!(figure.against("bare", 700.0).standing(), Some(Standing::Aim));
    }

    #[test]
    fn of_memory_less_is_better() {
        let figure = Figure::lower("idle.session_bytes", "memory", 20_000.0, "bytes")
            .with_goal(Goal::value(24_576.0, 16_384.0));

        assert_eq!(figure.standing(), Some(Standing::Must));
    }

    #[test]
    fn a_latency_is_as_good_as_the_worse_of_its_percentiles() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(1_000, 98).unwrap();
        histogram.record_n(15_000, 2).unwrap();
        let goal =
            LatencyGoal { p50_must_ms: 5.0, p50_aim_ms: 2.0, p99_must_ms: 20.0, p99_aim_ms: 10.0 };

        let latency = Latency::from("a", "b", 10.0, &histogram).with_goal(goal);

        assert_eq!(latency.standing(), Some(Standing::Must));
        assert_eq!((latency.count, latency.p50_us), (100, 1_000));
    }

    #[test]
    fn an_acked_message_that_is_not_found_breaks_the_proof() {
        let well = Proof { acked: 3, found: 3, ..Proof::default() };

        assert!(well.holds());
        assert!(!Proof { found: 2, ..well }.holds());
        assert!(!Proof { lost: 1, ..well }.holds());
        assert!(!Proof { unanswered: 1, ..well }.holds());
    }
}
