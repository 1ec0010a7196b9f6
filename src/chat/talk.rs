//! A chat from its first line to its last: what came in, what was typed, what was acknowledged, and when it is over.

use std::io;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::command::{self, Command};
use super::frames::{self, Asked, Frame};
use super::input::{Input, Line};
use super::output::Output;
use super::show::View;
use super::text::{Look, safe_json};
use super::{Outcome, Setup};
use crate::client::{Client, Ended, SendError, Update, Updates};
use crate::ids::{Conversation, Seq};
use crate::limits;
use crate::protocol::{Content, Message, Send, Sent};

/// How long a farewell to the server may take.
const FAREWELL_WITHIN: Duration = Duration::from_secs(3);

/// What a line of the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A person types: commands and texts.
    ByHand,
    /// The same from a pipe.
    Commands,
    /// Each line is a text, whatever it begins with: what is piped may be what others wrote.
    Verbatim,
    /// Each line is a frame of the protocol.
    Frames,
}

/// What waits until everything before it was answered.
pub enum Waiting {
    Command(Command),
    Frame(Frame),
}

/// What became of something that was sent.
pub enum Done {
    Sent { re: u64, to: Conversation, outcome: Result<Sent, SendError> },
    Read,
}

pub struct Talk {
    pub(super) setup: Setup,
    pub(super) mode: Mode,
    pub(super) client: Client,
    pub(super) output: Output,
    pub(super) view: View,
    input: Input,
    under_way: FuturesUnordered<BoxFuture<'static, Done>>,
    waiting: Option<Waiting>,
    lines: u64,
    /// Whether a person was asked for the next line.
    is_asked: bool,
    pub(super) has_ended: bool,
    has_failed: bool,
    was_online: bool,
    offline_since: Option<Instant>,
}

impl Talk {
    pub fn new(setup: Setup, mode: Mode, client: Client, input: Input, output: Output) -> Self {
        let by_hand = mode == Mode::ByHand;
        let view = View::new(setup.user.clone(), output.colours(), setup.to.clone(), by_hand);
        Self {
            setup,
            mode,
            client,
            output,
            view,
            input,
            under_way: FuturesUnordered::new(),
            waiting: None,
            lines: 0,
            is_asked: false,
            has_ended: false,
            has_failed: false,
            was_online: false,
            offline_since: Some(Instant::now()),
        }
    }

    pub async fn run(mut self, mut updates: Updates) -> io::Result<Outcome> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            if self.under_way.is_empty()
                && let Some(waiting) = self.waiting.take()
            {
                self.perform_waiting(waiting).await;
            }
            if self.is_done() {
                return Ok(self.leave().await);
            }
            let wants_line = self.wants_line();
            if wants_line && !self.is_asked {
                self.input.ask(self.view.prompt()).await;
                self.is_asked = true;
            }
            let deadline = self.deadline();
            tokio::select! {
                update = updates.next() => match update {
                    Some(Update::Ended(ended)) => return Ok(self.ended(&ended)),
                    Some(update) => self.hear(update).await,
                    None => return Ok(Outcome::Ended),
                },
                Some(done) = self.under_way.next() => self.answered(done),
                line = self.input.next(), if wants_line => self.take(line).await,
                () = until(deadline), if deadline.is_some() => return Ok(self.unreachable()),
                () = either(&mut interrupt, &mut terminate) => return Ok(self.leave().await),
            }
        }
    }

    /// More than the server works on at once would only wait here instead of in the pipe.
    fn wants_line(&self) -> bool {
        let is_ready = self.was_online || self.mode == Mode::ByHand;
        let has_room = self.under_way.len() < limits::IN_FLIGHT;
        is_ready && has_room && self.waiting.is_none() && !self.has_ended
    }

    fn is_done(&self) -> bool {
        let stays = self.setup.follow && self.mode != Mode::ByHand;
        let is_idle = self.under_way.is_empty() && self.waiting.is_none();
        !self.output.is_open() || self.has_ended && is_idle && !stays
    }

    /// When to give up on a server that cannot be reached. A person sees for themselves, and one who follows has time.
    fn deadline(&self) -> Option<Instant> {
        let since = self.offline_since?;
        let is_patient = match self.mode {
            Mode::ByHand => !self.has_ended,
            Mode::Commands | Mode::Verbatim | Mode::Frames => self.setup.follow && self.was_online,
        };
        (!is_patient).then_some(since + self.setup.wait)
    }

    async fn take(&mut self, line: Line) {
        self.is_asked = false;
        self.lines += 1;
        let text = match line {
            Line::Text(text) => text,
            Line::TooLong => return self.fail("the line is too long"),
            Line::NotText => return self.fail("the line is not UTF-8"),
            Line::Interrupted | Line::End => {
                self.has_ended = true;
                return;
            }
        };
        match self.mode {
            Mode::Verbatim if text.is_empty() => {}
            Mode::Verbatim => self.say(text).await,
            Mode::Frames if text.trim().is_empty() => {}
            Mode::Frames => match frames::read(&text, self.lines) {
                Ok(Frame { re, asked: Asked::Send(send) }) => {
                    let client_msg_id = send.client_msg_id.unwrap_or_else(|| self.client.mint());
                    let (mentions, reply_to) = (send.mentions, send.reply_to);
                    let (to, content) = (send.to, send.content);
                    self.post(re, Send { to, client_msg_id, content, mentions, reply_to }).await;
                }
                Ok(frame) => self.waiting = Some(Waiting::Frame(frame)),
                Err((re, what)) => self.fail_as(re, "bad_request", &what),
            },
            Mode::ByHand | Mode::Commands => match command::parse(&text) {
                Ok(None) => {}
                Ok(Some(Command::Say(text))) => self.say(text).await,
                Ok(Some(command)) => self.waiting = Some(Waiting::Command(command)),
                Err(what) => self.fail(&what),
            },
        }
    }

    async fn say(&mut self, text: String) {
        let Some(to) = self.view.open.clone() else {
            return self.fail("no conversation is open; /to bob opens one");
        };
        let (client_msg_id, content) = (self.client.mint(), Content::Text { text });
        let send = Send { to, client_msg_id, content, mentions: None, reply_to: None };
        self.post(self.lines, send).await;
    }

    async fn post(&mut self, re: u64, send: Send) {
        let to = send.to.clone();
        let posted = self.client.post_as(send).await;
        self.under_way.push(Box::pin(async move {
            let outcome = match posted {
                Ok(posted) => posted.acked().await,
                Err(error) => Err(error),
            };
            Done::Sent { re, to, outcome }
        }));
    }

    async fn perform_waiting(&mut self, waiting: Waiting) {
        // A script gets an answer, not the news that there is no connection just now.
        if self.mode != Mode::ByHand {
            let _ = tokio::time::timeout(self.setup.wait, self.client.online()).await;
        }
        match waiting {
            Waiting::Command(command) => self.perform(command).await,
            Waiting::Frame(Frame { re, asked: Asked::Call { cmd, body } }) => {
                let answer = self.client.command(&cmd, body).await;
                self.has_failed |= answer.is_err();
                self.json(&frames::answer(re, &answer));
            }
            // Sends wait for nothing.
            Waiting::Frame(Frame { asked: Asked::Send(_), .. }) => {}
        }
    }

    fn answered(&mut self, done: Done) {
        match done {
            Done::Sent { re, outcome, .. } if self.output.is_json() => {
                self.has_failed |= outcome.is_err();
                self.json(&frames::sent(re, &outcome));
            }
            Done::Sent { to, outcome: Ok(sent), .. } => {
                self.output.line(&self.view.stored(&to, sent.seq));
            }
            Done::Sent { re, to, outcome: Err(error) } => {
                let which =
                    if self.mode == Mode::ByHand { String::new() } else { format!("line {re}, ") };
                self.fail(&format!("{which}to {to}: {error}"));
            }
            Done::Read => {}
        }
    }

    async fn hear(&mut self, update: Update) {
        match &update {
            Update::Online { .. } => self.offline_since = None,
            Update::Offline { .. } => self.offline_since = Some(Instant::now()),
            _ => {}
        }
        let is_first = !self.was_online && matches!(update, Update::Online { .. });
        self.was_online |= is_first;
        if self.output.is_json() {
            return self.json(&frames::event(&update));
        }
        match update {
            Update::Online { .. } if is_first => self.greet().await,
            Update::Online { .. } => self.note("online again"),
            Update::Offline { retry_in } => {
                self.note(&format!(
                    "connection lost, trying again in {:.1} s",
                    retry_in.as_secs_f64()
                ));
            }
            Update::EpochChanged { .. } => {
                self.note("the server's store has lost messages; /history shows what there is now");
            }
            Update::Received(message) => self.received(message).await,
            // Its ack was shown.
            Update::Sent(_) => {}
            Update::Missing { .. } => self.note("messages are no longer in the server's store"),
            Update::MissingInGroup { group, .. } => {
                self.note(&format!(
                    "messages of group:{group} are no longer in the server's store"
                ));
            }
            Update::GroupChanged { group } => self.view.forgets(&group),
            Update::GroupLeft { group, .. } => {
                let name = self.view.name(&Conversation::Group(group));
                self.note(&format!("you are no longer a member of {name}"));
            }
            Update::Delivered { conversation, seq, user, by } if self.shows(&conversation) => {
                self.output.line(&self.view.delivered(&conversation, seq, &user, by));
            }
            Update::Read { conversation, user, .. } if user == self.setup.user => {
                self.view.has_unread(&conversation, 0);
            }
            Update::Read { conversation, seq, user } if self.shows(&conversation) => {
                self.output.line(&self.view.read(&conversation, seq, &user));
            }
            Update::ReadCounts { conversation, counts } if self.shows(&conversation) => {
                self.output.line(&self.view.counts(&conversation, &counts));
            }
            Update::FriendChanged { user, state } if self.hears_of_people() => {
                self.output.line(&self.view.friend_changed(&user, state));
            }
            Update::PresenceChanged(presence)
                if self.hears_of_people() && presence.user != self.setup.user =>
            {
                self.output.line(&self.view.presence_changed(&presence));
            }
            // Receipts of conversations that are not open, and news of people for who only writes; the end is heard of before.
            Update::Delivered { .. }
            | Update::Read { .. }
            | Update::ReadCounts { .. }
            | Update::FriendChanged { .. }
            | Update::PresenceChanged(_)
            | Update::Ended(_) => {}
        }
    }

    fn hears_of_people(&self) -> bool {
        self.setup.follow || self.mode == Mode::ByHand
    }

    /// Whether receipts of a conversation are shown: to a person those of the open one, else to who waits for them.
    fn shows(&self, conversation: &Conversation) -> bool {
        self.setup.follow || self.view.is_open(conversation)
    }

    async fn received(&mut self, message: Message) {
        let is_own_notice =
            message.from == self.setup.user && matches!(message.content, Content::Notice(_));
        if is_own_notice && self.mode != Mode::ByHand && !self.setup.follow {
            // What was asked for line by line was answered line by line.
            return;
        }
        if let Conversation::Group(group) = &message.conversation {
            self.learn_name(group).await;
        }
        let is_open = self.view.is_open(&message.conversation);
        if !is_open {
            self.view.missed(&message);
        }
        self.output.line(&self.view.message(&message));
        if is_open && message.from != self.setup.user {
            self.read_up_to(message.conversation, message.seq);
        }
    }

    /// What a person was shown counts as read.
    pub(super) fn read_up_to(&mut self, conversation: Conversation, seq: Seq) {
        self.view.has_unread(&conversation, 0);
        let client = self.client.clone();
        let read = async move {
            // What was read is told again with the next message, and by /read.
            let _ = client.read(&conversation, seq).await;
            Done::Read
        };
        self.under_way.push(Box::pin(read));
    }

    /// Last words must be seen: the editor, which shows lines in its own time, is left first.
    fn hang_up(&mut self) {
        self.input.give_back();
        self.output.without_prompt();
    }

    fn ended(&mut self, ended: &Ended) -> Outcome {
        self.hang_up();
        if self.output.is_json() {
            self.json(&frames::event(&Update::Ended(ended.clone())));
        } else {
            self.output.complain(&self.view.ended(ended));
        }
        Outcome::Ended
    }

    fn unreachable(&mut self) -> Outcome {
        self.hang_up();
        let (address, wait) = (&self.setup.address, self.setup.wait.as_secs());
        let lost = match self.under_way.len() {
            0 => String::new(),
            count => format!("; {count} messages were not acknowledged and may be stored or not"),
        };
        self.output.complain(&format!("no server was reached at {address} for {wait} s{lost}"));
        Outcome::Unreachable
    }

    async fn leave(mut self) -> Outcome {
        self.hang_up();
        let unanswered = self.under_way.len() + usize::from(self.waiting.is_some());
        // A server that is away hears of it by the end of the connection.
        let _ = tokio::time::timeout(FAREWELL_WITHIN, self.client.log_out()).await;
        if unanswered > 0 {
            self.output.complain("left before everything was acknowledged");
            Outcome::Unreachable
        } else if self.has_failed {
            Outcome::Failed
        } else {
            Outcome::Done
        }
    }

    /// A line about the chat itself: beside what others say, to a person.
    pub(super) fn note(&mut self, what: &str) {
        if self.mode == Mode::ByHand {
            let line = self.output.colours().paint(Look::Dim, &format!("-- {what}"));
            self.output.line(&line);
        } else {
            self.output.complain(what);
        }
    }

    /// Something was not done.
    pub(super) fn fail(&mut self, what: &str) {
        self.fail_as(self.lines, "bad_request", what);
    }

    fn fail_as(&mut self, re: u64, code: &str, what: &str) {
        self.has_failed |= self.mode != Mode::ByHand;
        if self.output.is_json() {
            self.json(&frames::failure(re, code, what));
        } else {
            self.output.complain(what);
        }
    }

    fn json(&mut self, frame: &str) {
        self.output.line(&safe_json(frame));
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
