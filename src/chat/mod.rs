//! A chat client for the terminal, for pipes and for scripts: `rookery chat`.
//!
//! It is an app on the client library and knows nothing of the server: what it may do, anyone's client may do.

mod command;
mod frames;
mod input;
mod output;
mod people;
mod perform;
mod show;
mod talk;
pub mod text;

use std::io::IsTerminal;
use std::time::Duration;

use crate::client::{Client, Options, TokenSource};
use crate::ids::{AppId, Conversation, DeviceId, UserId};
use crate::protocol::{Device, Platform};

use input::Input;
use output::Output;
use talk::{Mode, Talk};

/// The first and the longest wait between attempts to come back: somebody is looking.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// What a chat is begun with.
#[derive(Debug)]
pub struct Setup {
    /// Where the server is, as `127.0.0.1:8800`.
    pub address: String,
    /// The app of the user.
    pub app: AppId,
    /// Who chats.
    pub user: UserId,
    /// From which device; a new one when left out.
    pub device: Option<DeviceId>,
    /// With which token.
    pub token: TokenSource,
    /// The conversation to begin with, and the only one that lines of a pipe go to.
    pub to: Option<Conversation>,
    /// Whether to write one JSON object a line.
    pub json: bool,
    /// Whether to stay when the input has ended.
    pub follow: bool,
    /// How long a script waits for a server that cannot be reached.
    pub wait: Duration,
}

/// How a chat ended: what a script branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was asked for was done.
    Done,
    /// Something was refused, or a line could not be understood.
    Failed,
    /// The login was refused, or the server ended the session.
    Ended,
    /// There was no server, or no answer to something that was sent.
    Unreachable,
}

impl Outcome {
    /// The exit code. 2 is kept for what is wrong before a chat begins.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Ended => 3,
            Self::Unreachable => 4,
        }
    }
}

/// Chats until the input ends, a person leaves, a signal comes or the server ends it.
pub fn run(setup: Setup) -> std::io::Result<Outcome> {
    let by_hand = !setup.json && std::io::stdin().is_terminal();
    let mode = match (by_hand, setup.json, &setup.to) {
        (true, ..) => Mode::ByHand,
        (_, _, Some(_)) => Mode::Verbatim,
        (_, true, None) => Mode::Frames,
        (_, false, None) => Mode::Commands,
    };
    // A terminal that cannot move its cursor has no editor, and is written to and read like a pipe.
    let edited = if by_hand { Input::of_terminal().ok() } else { None };
    let (input, output) = match edited {
        Some((input, printer)) => (input, Output::beside_a_prompt(printer)),
        None => (Input::of_pipe()?, Output::plain(setup.json)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut options =
            Options::new(setup.address.clone(), setup.user.clone(), setup.token.clone());
        options.app = Some(setup.app);
        options.backoff = BACKOFF;
        options.device = Device {
            id: setup.device.clone().unwrap_or(options.device.id),
            platform: Platform::Api,
            name: Some("rookery chat".to_owned()),
        };
        let (client, updates) = Client::start(options);
        Talk::new(setup, mode, client, input, output).run(updates).await
    });
    // The thread that reads the input may wait for a line that never comes.
    runtime.shutdown_background();
    outcome
}
