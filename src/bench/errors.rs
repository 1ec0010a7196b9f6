//! Why a run of `rookery bench` gives no report.

use super::plot::PlotError;
use crate::app::ServeError;
use crate::config::SettingsError;

/// What ends a run before its report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The options contradict each other or ask for what cannot be.
    #[error("{0}")]
    Options(String),
    /// The settings that say where the server's key is cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The key that signs tokens could not be read.
    #[error("no key to sign tokens with: {0}")]
    Key(#[from] ServeError),
    /// The server that was to be measured did not come up; its last words are in the text.
    #[error("the server did not start: {0}")]
    Start(String),
    /// The system refused something that a run needs.
    #[error("{what}: {error}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// What it said.
        error: std::io::Error,
    },
    /// A connection was refused or ended while it was needed.
    #[error("session {who}: {why}")]
    Session {
        /// Whose it is.
        who: String,
        /// What happened.
        why: String,
    },
    /// The server refused a command, so that what follows would measure something else.
    #[error("{what} was refused: {code} ({message}){}", advice(code))]
    Refused {
        /// The command.
        what: String,
        /// The protocol's code.
        code: String,
        /// The server's words.
        message: String,
    },
    /// What should have come did not.
    #[error("gave up after {after:?}: {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        after: std::time::Duration,
    },
    /// A picture could not be written.
    #[error("no picture: {0}")]
    Picture(#[from] PlotError),
    /// A signal asked for the end.
    #[error("stopped by a signal")]
    Stopped,
}

impl BenchError {
    /// What the system said when `what` was tried.
    pub fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::System { what, error }
    }
}

/// What a person does about a refusal that they can cure.
fn advice(code: &str) -> &'static str {
    match code {
        "rate_limited" => "; raise limits.sends_per_s and limits.sends_burst of the server",
        "busy" => "; a queue of the server is full: ask for less with --users or --window",
        "order_broken" => "; an earlier message of that conversation was refused",
        "bad_token" => "; is the secret that of the server's app 1?",
        _ => "",
    }
}
