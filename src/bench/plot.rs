//! Pictures of a report: one SVG for each picture that its series name.
//!
//! Only draws; what the curves are is the matter of the workloads.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use super::figure::{Axis, Report, Scale, Series};

/// The size of a picture, in pixels.
const SIZE: (u32, u32) = (960, 600);
/// Marks that an axis of differences has at most, besides the first; and what marks are multiples of.
const MARKS: f64 = 7.0;
const DIGITS: [f64; 3] = [1.0, 2.0, 5.0];
/// The colours of curves, told apart by those who do not see all of them.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

/// A picture that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", .file.display())]
pub struct PlotError {
    /// Its file.
    pub file: PathBuf,
    /// Why not.
    pub why: String,
}

/// Writes the pictures of a report into a folder, which is made if it is not there; returns their files.
pub fn write(report: &Report, folder: &Path) -> Result<Vec<PathBuf>, PlotError> {
    let failed = |file: &Path, why: &dyn std::fmt::Display| PlotError {
        file: file.to_owned(),
        why: why.to_string(),
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut pictures: BTreeMap<&str, Vec<&Series>> = BTreeMap::new();
    for series in report.workloads.iter().flat_map(|workload| &workload.series) {
        pictures.entry(&series.picture).or_default().push(series);
    }
    let mut files = Vec::new();
    for (name, curves) in pictures {
        let file = folder.join(format!("{name}.svg"));
        draw(&file, &name.replace('-', " "), &curves).map_err(|error| failed(&file, &error))?;
        files.push(file);
    }
    Ok(files)
}

fn draw(file: &Path, caption: &str, curves: &[&Series]) -> Result<(), Box<dyn Error>> {
    let Some(first) = curves.first() else { return Ok(()) };
    let (x_axis, y_axis) = (&first.x, &first.y);
    let placed: Vec<(&Series, Vec<(f64, f64)>)> =
        curves.iter().map(|curve| (*curve, places(curve, x_axis, y_axis))).collect();
    let all = || placed.iter().flat_map(|(_, points)| points);
    let x = span(x_axis, all().map(|point| point.0));
    let y = span(y_axis, all().map(|point| point.1));

    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .caption(caption, ("sans-serif", 20))
        .x_label_area_size(52)
        .y_label_area_size(88)
        .build_cartesian_2d(Marked::new(x_axis, x), Marked::new(y_axis, y))?;
    chart
        .configure_mesh()
        .x_desc(title(x_axis))
        .y_desc(title(y_axis))
        .x_label_formatter(&|at| label(x_axis, *at))
        .y_label_formatter(&|at| label(y_axis, *at))
        .bold_line_style(RGBColor(225, 225, 225))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 15))
        .draw()?;
    for (place, ((curve, points), colour)) in placed.iter().zip(COLOURS.iter().cycle()).enumerate()
    {
        // The earlier ones are the wider, so that they are seen beneath one that runs where they do.
        let style = colour.stroke_width(2 + 2 * (placed.len() - 1 - place) as u32);
        chart
            .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
            .label(curve.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Where the points of a curve are: on an axis of factors at their logarithm. What has no place there is left out.
fn places(curve: &Series, x: &Axis, y: &Axis) -> Vec<(f64, f64)> {
    let points = curve.points.iter().map(|point| (place(x, point.0), place(y, point.1)));
    points.filter(|point| point.0.is_finite() && point.1.is_finite()).collect()
}

fn place(axis: &Axis, value: f64) -> f64 {
    match axis.scale {
        Scale::Linear => value,
        Scale::Log => value.log10(),
    }
}

/// From where to where an axis goes: from 0 on, if it is one of differences.
fn span(axis: &Axis, places: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for place in places {
        (least, most) = (least.min(place), most.max(place));
    }
    match axis.scale {
        _ if least > most => (0.0, 1.0),
        Scale::Linear => (0.0, (most * 1.05).max(f64::MIN_POSITIVE)),
        Scale::Log => (least - 0.05, most + 0.05),
    }
}

/// An axis with our marks in place of the library's, which knows nothing of logarithms.
struct Marked {
    places: RangedCoordf64,
    marks: Vec<f64>,
}

impl Marked {
    fn new(axis: &Axis, span: (f64, f64)) -> Self {
        Self { places: (span.0..span.1).into(), marks: marks(axis, span) }
    }
}

impl Ranged for Marked {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.places.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.marks.clone(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.places.range()
    }
}

/// Where an axis has its marks: at one, two and five times each power of ten; on one of differences, so far apart.
fn marks(axis: &Axis, (from, to): (f64, f64)) -> Vec<f64> {
    match axis.scale {
        Scale::Log => {
            let powers = (from.floor() as i32)..=(to.ceil() as i32);
            let marks =
                powers.flat_map(|power| DIGITS.map(|digit| f64::from(power) + digit.log10()));
            marks.filter(|mark| (from..=to).contains(mark)).collect()
        }
        Scale::Linear => {
            let least = (to - from) / MARKS;
            let power = 10f64.powf(least.log10().floor());
            let steps = DIGITS.map(|digit| digit * power);
            let step = steps.into_iter().find(|step| *step >= least).unwrap_or(10.0 * power);
            let count = ((to - from) / step) as u32;
            (0..=count).map(|n| from + f64::from(n) * step).collect()
        }
    }
}

fn title(axis: &Axis) -> String {
    match axis.what.contains(&axis.unit) {
        true => axis.what.clone(),
        false => format!("{} ({})", axis.what, axis.unit),
    }
}

/// What stands at a place of an axis: two digits that mean something, and the thousands.
fn label(axis: &Axis, place: f64) -> String {
    let value = match axis.scale {
        Scale::Linear => place,
        Scale::Log => 10f64.powf(place),
    };
    let (value, unit) = match value.abs() {
        at if at >= 1e6 => (value / 1e6, " M"),
        at if at >= 1e3 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        at if at >= 9.95 => format!("{value:.0}"),
        at if at >= 0.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    let digits = match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.'),
        false => &digits,
    };
    format!("{digits}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::figure::WorkloadReport;

    fn series(name: &str, points: &[(f64, f64)]) -> Series {
        Series {
            name: name.to_owned(),
            picture: "latency-over-load".to_owned(),
            x: Axis::linear("messages due", "messages/s"),
            y: Axis::log("from when it was due", "ms"),
            points: points.to_vec(),
        }
    }

    #[test]
    fn curves_of_one_picture_are_drawn_into_one_file() {
        let mut workload = WorkloadReport::new("one-to-one");
        workload.series.push(series("ack p50", &[(1_000.0, 1.0), (20_000.0, 3.0)]));
        workload.series.push(series("ack p99", &[(1_000.0, 4.0), (20_000.0, 30.0), (0.0, 0.0)]));
        let mut report = Report::begin();
        report.workloads.push(workload);
        let folder = tempfile::tempdir().unwrap();

        let files = write(&report, &folder.path().join("new")).unwrap();

        assert_eq!(files, [folder.path().join("new/latency-over-load.svg")]);
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        for text in ["ack p50", "ack p99", "messages due (messages/s)", "</svg>"] {
            assert!(svg.contains(text), "{text}");
        }
    }

    #[test]
    fn a_curve_without_a_point_is_no_reason_to_fail() {
        let mut workload = WorkloadReport::new("idle");
        workload.series.push(series("nothing", &[]));
        let mut report = Report::begin();
        report.workloads.push(workload);
        let folder = tempfile::tempdir().unwrap();

        assert_eq!(write(&report, folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn marks_are_at_round_numbers() {
        assert_eq!(marks(&Axis::linear("", ""), (0.0, 35_000.0)).len(), 8);
        assert_eq!(marks(&Axis::linear("", ""), (0.0, 25.0)), [0.0, 5.0, 10.0, 15.0, 20.0, 25.0]);
        let log = Axis::log("", "");
        let labels: Vec<String> =
            marks(&log, (0.9, 2.1)).into_iter().map(|mark| label(&log, mark)).collect();
        assert_eq!(labels, ["10", "20", "50", "100"]);
    }

    #[test]
    fn labels_have_as_many_digits_as_mean_something() {
        let linear = Axis::linear("", "");
        let log = Axis::log("", "");

        assert_eq!(label(&linear, 0.0), "0");
        assert_eq!(label(&linear, 20_000.0), "20 k");
        assert_eq!(label(&linear, 1_250_000.0), "1.2 M");
        assert_eq!(label(&log, 1.5), "32");
        assert_eq!(label(&log, -0.3), "0.5");
        assert_eq!(label(&log, 3.0), "1 k");
        assert_eq!(label(&linear, 5.0), "5");
    }
}
