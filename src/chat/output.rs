//! Where lines go: standard output for what was asked for and what others say, standard error for what went wrong.

use std::io::{self, IsTerminal, Write};

use super::input::Printer;
use super::text::{Colours, Look, safe_line};

/// Writes whole lines.
pub struct Output {
    printer: Option<Printer>,
    colours: Colours,
    json: bool,
    is_open: bool,
}

impl Output {
    /// Lines of text or JSON on standard output.
    pub fn plain(json: bool) -> Self {
        let colours = if json { Colours::Off } else { colours() };
        Self { printer: None, colours, json, is_open: true }
    }

    /// Lines above the one that a person is typing.
    pub fn beside_a_prompt(printer: Printer) -> Self {
        Self { printer: Some(printer), colours: colours(), json: false, is_open: true }
    }

    /// From now on nobody is typing: lines are written at once.
    pub fn without_prompt(&mut self) {
        self.printer = None;
    }

    /// Whether lines are JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether and how to paint.
    pub fn colours(&self) -> Colours {
        self.colours
    }

    /// Whether somebody may still be reading.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Writes a line, which must be harmless already.
    pub fn line(&mut self, line: &str) {
        let line = format!("{line}\n");
        let written = match &mut self.printer {
            Some(printer) => printer.print(line).map_err(io::Error::other),
            None => {
                let mut out = io::stdout().lock();
                out.write_all(line.as_bytes()).and_then(|()| out.flush())
            }
        };
        self.is_open &= written.is_ok();
    }

    /// Says what went wrong: to a person where they look, else on standard error.
    pub fn complain(&mut self, what: &str) {
        let what = safe_line(what);
        if self.printer.is_some() {
            let line = self.colours.paint(Look::Bad, &what);
            self.line(&line);
        } else {
            // Nobody may be listening, which is no reason to stop.
            let _ = writeln!(io::stderr().lock(), "rookery: {what}");
        }
    }
}

/// Colours are for terminals that have them and people who want them (https://no-color.org).
fn colours() -> Colours {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    if io::stdout().is_terminal() && !refused && !is_dumb { Colours::On } else { Colours::Off }
}
