//! What a client tells its app.

use std::time::Duration;

use super::errors::Ended;
use crate::ids::{Conversation, Epoch, InboxSeq, LoginNo, Seq, UserId};
use crate::protocol::{DeliveredBy, Message};

/// Something that an app may want to show.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// Logged in, for the first time or again.
    Online {
        /// This session's login number.
        login_no: LoginNo,
    },
    /// The connection is gone; the client comes back by itself.
    Offline {
        /// How long it waits before it tries.
        retry_in: Duration,
    },
    /// The store lost data. What is shown should be read anew and matched by client message id.
    EpochChanged {
        /// The new one.
        epoch: Epoch,
    },
    /// An entry of the inbox that this client did not send itself. Each comes once, in inbox order.
    Received(Message),
    /// An entry of the inbox that this client sent, at its place among the others.
    Sent(Message),
    /// Entries are no longer in the store.
    Missing {
        /// The last number before them.
        after: InboxSeq,
        /// The first number after them.
        before: InboxSeq,
    },
    /// The peer of a conversation has it up to this seq, or the server answers for a peer who is not online.
    Delivered {
        /// The conversation.
        conversation: Conversation,
        /// The highest seq.
        seq: Seq,
        /// To whom.
        user: UserId,
        /// Who says so.
        by: DeliveredBy,
    },
    /// Someone has read a conversation up to this seq.
    Read {
        /// The conversation.
        conversation: Conversation,
        /// The highest seq.
        seq: Seq,
        /// By whom.
        user: UserId,
    },
    /// The last one: the client does not come back.
    Ended(Ended),
}
