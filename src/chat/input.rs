//! Where lines come from: a pipe, or a person at a terminal whose line can be edited while others are shown.
//!
//! Reading blocks, so a thread of its own does it; it ends with the process.

use std::io::{self, BufRead, BufReader, Write};

use nix::sys::termios::{self, SetArg, Termios};
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use tokio::sync::mpsc;

use crate::limits;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Text(String),
    /// A line that holds more than anything that may be sent.
    TooLong,
    /// A line that is not UTF-8.
    NotText,
    /// Ctrl-C.
    Interrupted,
    /// Nothing follows.
    End,
}

/// Lines, one after the other.
pub struct Input {
    lines: mpsc::Receiver<Line>,
    /// Where to ask a person for the next one, and with which prompt.
    prompts: Option<mpsc::Sender<String>>,
    // Puts the terminal back as it was, however the chat ends.
    terminal: Option<Terminal>,
}

/// What writes lines above the one that a person is typing.
pub type Printer = Box<dyn ExternalPrinter + Send>;

impl Input {
    /// Lines of standard input as they come.
    pub fn of_pipe() -> io::Result<Self> {
        let (sender, lines) = mpsc::channel(1);
        std::thread::Builder::new().name("input".to_owned()).spawn(move || {
            let mut reader = BufReader::new(io::stdin());
            loop {
                // What cannot be read any longer has ended.
                let line = read_line(&mut reader).unwrap_or(Line::End);
                let is_end = line == Line::End;
                if sender.blocking_send(line).is_err() || is_end {
                    return;
                }
            }
        })?;
        Ok(Self { lines, prompts: None, terminal: None })
    }

    /// Lines that a person types, each asked for by [`Input::ask`].
    pub fn of_terminal() -> io::Result<(Self, Printer)> {
        let terminal = Terminal::remember();
        let config = Config::builder().max_history_size(200).map_err(io::Error::other)?.build();
        let mut editor = Editor::<(), MemHistory>::with_history(config, MemHistory::new())
            .map_err(io::Error::other)?;
        let printer = editor.create_external_printer().map_err(io::Error::other)?;
        let (sender, lines) = mpsc::channel(1);
        let (prompts, mut asked) = mpsc::channel::<String>(1);
        std::thread::Builder::new().name("input".to_owned()).spawn(move || {
            while let Some(prompt) = asked.blocking_recv() {
                let line = match editor.readline(&prompt) {
                    Ok(text) => {
                        // A line that is not remembered is no loss.
                        let _ = editor.add_history_entry(&text);
                        Line::Text(text)
                    }
                    Err(ReadlineError::Interrupted) => Line::Interrupted,
                    Err(_) => Line::End,
                };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        })?;
        let input = Self { lines, prompts: Some(prompts), terminal };
        Ok((input, Box::new(printer)))
    }

    /// Shows a prompt for the next line; a pipe needs none.
    pub async fn ask(&mut self, prompt: String) {
        if let Some(prompts) = &self.prompts {
            self.terminal.iter_mut().for_each(|terminal| terminal.is_edited = true);
            // When the thread has ended, so have the lines.
            let _ = prompts.send(prompt).await;
        }
    }

    /// Puts the terminal back as it was, whatever is being typed.
    pub fn give_back(&mut self) {
        self.terminal = None;
    }

    /// The next line. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Line {
        let line = self.lines.recv().await.unwrap_or(Line::End);
        self.terminal.iter_mut().for_each(|terminal| terminal.is_edited = false);
        line
    }
}

/// Reads one line, without keeping more of it than may be sent.
fn read_line(reader: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let part = reader.fill_buf()?;
        let end = part.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(part.len(), |end| end + 1);
        if part.is_empty() && line.is_empty() && !is_too_long {
            return Ok(Line::End);
        }
        let is_whole = end.is_some() || part.is_empty();
        line.extend_from_slice(&part[..end.unwrap_or(taken)]);
        reader.consume(taken);
        if line.len() > limits::SERVER_FRAME_BYTES {
            is_too_long = true;
            line.clear();
        }
        if is_whole {
            break;
        }
    }
    if is_too_long {
        return Ok(Line::TooLong);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8(line).map_or(Line::NotText, Line::Text))
}

/// What the line editor turns on, so that what is pasted is not taken for keys.
const PASTES_TOLD_OFF: &[u8] = b"\x1b[?2004l\r\n";

/// A terminal as it was before the line editor changed it.
struct Terminal {
    settings: Termios,
    /// Whether the editor waits for a line, and would not tidy up if the process ended now.
    is_edited: bool,
}

impl Terminal {
    fn remember() -> Option<Self> {
        let settings = termios::tcgetattr(io::stdin()).ok()?;
        Some(Self { settings, is_edited: false })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if self.is_edited {
            // A terminal that is gone needs nothing any more.
            let _ = io::stdout().lock().write_all(PASTES_TOLD_OFF);
            let _ = io::stdout().lock().flush();
            let _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_the_input_and_one_too_long_is_told_and_passed_over() {
        let long = "x".repeat(limits::SERVER_FRAME_BYTES + 1);
        let text = format!("one\r\n\n{long}\nfour");
        let mut input = text.as_bytes().to_vec();
        input.extend_from_slice(b"\n\xff\nlast");
        let mut reader = BufReader::with_capacity(7, input.as_slice());

        let lines: Vec<Line> = (0..7).map(|_| read_line(&mut reader).unwrap()).collect();

        let text = |text: &str| Line::Text(text.to_owned());
        let expected = [
            text("one"),
            text(""),
            Line::TooLong,
            text("four"),
            Line::NotText,
            text("last"),
            Line::End,
        ];
        assert_eq!(lines, expected);
    }
}
