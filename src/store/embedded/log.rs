//! What a process says on its way: passed on to our log, the end of it kept for the text of an error.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::task::JoinHandle;

/// Lines of the server's log that are kept for the text of an error.
const LAST_LINES: usize = 5;
/// What each connection still open is told when the server stops as it should, and what one that is just being opened.
const AT_A_STOP: [&str; 2] =
    ["terminating connection due to administrator command", "the database system is shutting down"];
/// How long the last lines of a process that ended are waited for.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);

/// The last lines of a process, for the text of an error.
pub(super) struct LastLines {
    lines: Arc<Mutex<VecDeque<String>>>,
    reading: Option<JoinHandle<()>>,
}

impl LastLines {
    pub(super) fn of(stderr: Option<ChildStderr>) -> Self {
        let lines = Arc::<Mutex<VecDeque<String>>>::default();
        let reading = stderr.map(|stderr| tokio::spawn(pass_on(stderr, lines.clone())));
        Self { lines, reading }
    }

    /// What the process said last, once it has ended.
    pub(super) async fn text(self) -> String {
        if let Some(reading) = self.reading {
            // They may still be on their way through the pipe, which its own children can keep open.
            let _ = tokio::time::timeout(LAST_WORDS_WITHIN, reading).await;
        }
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// Passes a server's log on to ours, in its words.
async fn pass_on(stderr: ChildStderr, last: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (severity, text) = line.split_once(":  ").unwrap_or(("LOG", &line));
        match severity {
            "FATAL" if AT_A_STOP.contains(&text) => {
                tracing::debug!(target: "postgres", severity, "{text}");
            }
            "PANIC" => tracing::error!(target: "postgres", severity, "{text}"),
            "FATAL" | "ERROR" | "WARNING" => tracing::warn!(target: "postgres", severity, "{text}"),
            _ => tracing::debug!(target: "postgres", severity, "{text}"),
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}
