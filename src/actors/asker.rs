//! Whoever asks something of a user or a group and is told what came of it: a session, for its client, a request of the
//! app's backend, which has none, or either of them at another node.
//!
//! A request is answered once and gone; a session knows by itself what it waits for.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::exchange::Return;
use super::outlet::Outlet;
use super::session::{ChangeDone, Verdict};
use crate::domain::group::{ChangeRefused, Changed};
use crate::domain::intake::{Ack, Refusal};
use crate::domain::order::{self, Place};
use crate::ids::{ClientMsgId, Conversation, GroupId};

/// What became of a send.
pub type SendVerdict = order::Verdict<Ack, Refusal>;
/// What came of a change of a group.
pub type ChangeOutcome = Result<Changed, ChangeRefused>;

/// Who sends a message.
pub enum Submitter {
    /// A session.
    Session(Arc<Outlet>),
    /// A request.
    Request(oneshot::Sender<SendVerdict>),
    /// Another node.
    Elsewhere(Box<Return>),
}

impl Submitter {
    /// Tells it what became of its send.
    pub fn tell(
        self,
        conversation: Conversation,
        place: Place,
        key: ClientMsgId,
        verdict: SendVerdict,
    ) {
        match self {
            Self::Session(outlet) => {
                // Lost when the session is full: it submits again in time, and is answered then.
                let _ = outlet.tell(Verdict { conversation, place, key, verdict });
            }
            // Nobody waits any more when the request has taken too long.
            Self::Request(answer) => drop(answer.send(verdict)),
            Self::Elsewhere(to) => to.judged(verdict),
        }
    }
}

/// Who asks for a change of a group.
pub enum ChangeAsker {
    /// A session.
    Session {
        /// The session.
        outlet: Arc<Outlet>,
        /// Its command.
        command: u64,
    },
    /// A request.
    Request(oneshot::Sender<ChangeOutcome>),
    /// Another node.
    Elsewhere(Box<Return>),
}

impl ChangeAsker {
    /// Tells it what came of its change.
    pub fn tell(self, group: GroupId, outcome: ChangeOutcome) {
        match self {
            Self::Session { outlet, command } => {
                outlet.insist(ChangeDone { command, group, outcome });
            }
            // Nobody waits any more when the request has taken too long.
            Self::Request(answer) => drop(answer.send(outcome)),
            Self::Elsewhere(to) => to.changed(outcome),
        }
    }
}
