//! What this node has asked others and waits for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use dashmap::DashMap;
use tokio::sync::oneshot;

use super::letter::Ticket;
use crate::actors::asker::{ChangeAsker, ChangeOutcome, SendVerdict, Submitter};
use crate::domain::group::ChangeRefused;
use crate::domain::intake::Refusal;
use crate::domain::order::{Place, Verdict};
use crate::ids::{ClientMsgId, Conversation, GroupId, NodeRun};
use crate::limits;

/// Who waits for what.
pub(super) enum Waiting {
    /// A sender for the verdict on its send.
    Send { submitter: Submitter, conversation: Conversation, place: Place, key: ClientMsgId },
    /// Whoever asked for a change for what came of it.
    Change { asker: ChangeAsker, group: GroupId },
    /// Somebody for something to be done.
    Done(oneshot::Sender<()>),
}

impl Waiting {
    /// A send came to this.
    pub(super) fn judged(self, verdict: SendVerdict) {
        if let Self::Send { submitter, conversation, place, key } = self {
            submitter.tell(conversation, place, key, verdict);
        }
    }

    /// A change came to this.
    pub(super) fn changed(self, outcome: ChangeOutcome) {
        if let Self::Change { asker, group } = self {
            asker.tell(group, outcome);
        }
    }

    /// What was asked for was done.
    pub(super) fn done(self) {
        if let Self::Done(done) = self {
            // Whoever waited may have given up.
            let _ = done.send(());
        }
    }

    /// It was not handed to anybody.
    pub(super) fn refused(self, why: Refusal) {
        match self {
            Self::Send { .. } => self.judged(Verdict::Curable(why)),
            Self::Change { .. } => self.changed(Err(ChangeRefused::NotNow(why))),
            // Dropped, which says so.
            Self::Done(_) => {}
        }
    }

    /// Whoever was asked does not own the group; by now it may be known who does.
    pub(super) fn try_again(self) {
        match self {
            Self::Send { .. } => self.judged(Verdict::Resubmit),
            Self::Change { .. } | Self::Done(_) => self.refused(Refusal::Unavailable),
        }
    }

    /// No answer came in time. What became of it nobody knows; a session passes its send on again.
    fn given_up(self) {
        match self {
            Self::Send { .. } => self.judged(Verdict::Resubmit),
            Self::Change { .. } | Self::Done(_) => self.refused(Refusal::OutcomeUnknown),
        }
    }
}

/// What is waited for, by ticket.
#[derive(Default)]
pub(super) struct Tickets {
    next: AtomicU64,
    waiting: DashMap<Ticket, (NodeRun, Instant, Waiting)>,
}

impl Tickets {
    /// A ticket for something that this node is asked; none when too much is waited for.
    pub(super) fn draw(&self, of: NodeRun, waiting: Waiting) -> Result<Ticket, Waiting> {
        if self.waiting.len() >= limits::TICKETS {
            return Err(waiting);
        }
        let ticket = Ticket(self.next.fetch_add(1, Ordering::Relaxed));
        self.waiting.insert(ticket, (of, Instant::now(), waiting));
        Ok(ticket)
    }

    /// When something was asked that is still waited for.
    pub(super) fn asked_at(&self, ticket: Ticket) -> Option<Instant> {
        self.waiting.get(&ticket).map(|waiting| waiting.1)
    }

    /// Who waits, if this node was asked and nobody has answered.
    pub(super) fn take(&self, ticket: Ticket, of: NodeRun) -> Option<Waiting> {
        self.waiting.remove_if(&ticket, |_, (asked, ..)| *asked == of).map(|(_, (.., it))| it)
    }

    /// Gives up what was not answered in time, or was asked of a node that is gone.
    pub(super) fn sweep(&self, now: Instant, is_there: impl Fn(NodeRun) -> bool) {
        let is_over = |asked: NodeRun, since: Instant| {
            now.duration_since(since) >= limits::LETTER_ANSWERED_WITHIN || !is_there(asked)
        };
        let over = self.waiting.iter().filter(|it| is_over(it.0, it.1));
        let over: Vec<Ticket> = over.map(|it| *it.key()).collect();
        for ticket in over {
            if let Some((_, (.., waiting))) = self.waiting.remove(&ticket) {
                waiting.given_up();
            }
        }
    }
}
