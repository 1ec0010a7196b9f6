//! How far a run is, for whoever waits: bars at a terminal, lines in a log. Figures are not told here.
//!
//! Standard error alone, so that what goes to standard output can be piped.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::AbortHandle;

/// How often a bar is drawn anew; more often would cost what is measured.
const DRAWN_PER_S: u8 = 4;

/// Tells how far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bars that move.
    Bars,
    /// A line at the end of each step.
    Lines,
    /// Nothing.
    Silent,
}

impl Progress {
    /// Bars at a terminal. Elsewhere lines, or nothing when the report is for a machine.
    pub fn choose(is_for_a_machine: bool) -> Self {
        match (std::io::stderr().is_terminal(), is_for_a_machine) {
            (true, _) => Self::Bars,
            (false, false) => Self::Lines,
            (false, true) => Self::Silent,
        }
    }

    /// A step of so many parts, such as logins, each of which is told with [`Step::advance`].
    pub fn step(self, what: &str, parts: u64) -> Step {
        Step::begin(self, what, parts, PARTS)
    }

    /// A step of this length, whose bar moves with the time. Must be called within a runtime.
    pub fn stretch(self, what: &str, length: Duration) -> Step {
        let mut step = Step::begin(self, what, milliseconds(length), TIME);
        if self == Self::Bars {
            let (bar, begun) = (step.bar.clone(), step.begun);
            let moving = tokio::spawn(async move {
                let every = Duration::from_secs(1) / u32::from(DRAWN_PER_S);
                while begun.elapsed() < length {
                    tokio::time::sleep(every).await;
                    bar.set_position(milliseconds(begun.elapsed().min(length)));
                }
            });
            step.moving = Some(moving.abort_handle());
        }
        step
    }

    /// Tells something that is over at once.
    pub fn note(self, what: &str) {
        if self != Self::Silent {
            line(what);
        }
    }
}

const PARTS: &str = "{msg:40!} {bar:30} {human_pos:>9} of {human_len}";
const TIME: &str = "{msg:40!} {bar:30} {elapsed:>9}";

/// A step that goes on until it is dropped.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    what: String,
    begun: Instant,
    bar: ProgressBar,
    moving: Option<AbortHandle>,
}

impl Step {
    fn begin(progress: Progress, what: &str, length: u64, style: &str) -> Self {
        let bar = match progress {
            Progress::Bars => {
                let target = ProgressDrawTarget::stderr_with_hz(DRAWN_PER_S);
                let bar = ProgressBar::with_draw_target(Some(length), target);
                // A template that cannot be read leaves the usual bar.
                if let Ok(style) = ProgressStyle::with_template(style) {
                    bar.set_style(style.progress_chars("━━╌"));
                }
                bar
            }
            Progress::Lines | Progress::Silent => ProgressBar::hidden(),
        };
        bar.set_message(what.to_owned());
        Self { progress, what: what.to_owned(), begun: Instant::now(), bar, moving: None }
    }

    /// So many more parts are done.
    pub fn advance(&self, parts: u64) {
        self.bar.inc(parts);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(moving) = self.moving.take() {
            moving.abort();
        }
        // A bar that is over makes room for the next.
        self.bar.finish_and_clear();
        if self.progress == Progress::Lines {
            line(&format!("{}: {:.1} s", self.what, self.begun.elapsed().as_secs_f64()));
        }
    }
}

fn line(text: &str) {
    // Whoever started us may have closed it; the run goes on all the same.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn milliseconds(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_styles_of_the_bars_can_be_read() {
        for style in [PARTS, TIME] {
            assert!(ProgressStyle::with_template(style).is_ok(), "{style}");
        }
    }
}
