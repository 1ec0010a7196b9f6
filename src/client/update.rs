//! What a client tells its app.

use std::collections::VecDeque;
use std::time::Duration;

use super::errors::Ended;
use crate::ids::{Conversation, Epoch, GroupId, InboxSeq, LoginNo, Seq, UserId};
use crate::limits;
use crate::protocol::{DeliveredBy, FriendState, Message, Presence, ReadCount};

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
    /// An entry that this client did not send itself. Each comes once, in the order of the inbox or of its group.
    Received(Message),
    /// An entry that this client sent, at its place among the others.
    Sent(Message),
    /// Entries of the inbox are no longer in the store.
    Missing {
        /// The last number before them.
        after: InboxSeq,
        /// The first number after them.
        before: InboxSeq,
    },
    /// Entries of a group are no longer in the store.
    MissingInGroup {
        /// The group.
        group: GroupId,
        /// The last seq before them.
        after: Seq,
        /// The first seq after them.
        before: Seq,
    },
    /// A group's profile or membership moved; the notice in its log says how.
    GroupChanged {
        /// The group.
        group: GroupId,
    },
    /// The user is no longer a member of a group, or the group was dissolved. Comes after the last entry that may be seen.
    GroupLeft {
        /// The group.
        group: GroupId,
        /// That entry.
        last: Seq,
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
    /// More members of a group have read what this user wrote.
    ReadCounts {
        /// The group's conversation.
        conversation: Conversation,
        /// The messages that were newly read, rising, each with how many others have read it.
        counts: Vec<ReadCount>,
    },
    /// Somebody became a friend, or ceases to be one.
    FriendChanged {
        /// Who.
        user: UserId,
        /// What they are from now on.
        state: FriendState,
    },
    /// How a friend, somebody who is watched, or the user is now. A hint: after each [`Update::Online`] they are asked for
    /// anew, and whoever shall be watched is watched again.
    PresenceChanged(Presence),
    /// The last one: the client does not come back.
    Ended(Ended),
}

/// Updates besides entries that wait until the app takes them: they can be asked for again, so they are merged and bounded.
#[derive(Debug, Default)]
pub(super) struct Waiting(VecDeque<Update>);

impl Waiting {
    /// Puts an update behind the others, or into the older one that it brings up to date.
    pub fn push(&mut self, update: Update) {
        let about = about(&update);
        let older = self.0.iter_mut().find(|own| about.is_some() && self::about(own) == about);
        match (older, update) {
            (Some(Update::ReadCounts { counts, .. }), Update::ReadCounts { counts: newer, .. }) => {
                merge(counts, newer);
            }
            (Some(older), update) => *older = update,
            (None, update) => self.0.push_back(update),
        }
        // Entries never wait here.
        if self.0.len() > limits::CLIENT_EVENTS {
            self.0.pop_front();
        }
    }

    /// The oldest.
    pub fn pop(&mut self) -> Option<Update> {
        self.0.pop_front()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a state is about, of which the newest alone matters.
#[derive(PartialEq, Eq)]
enum About {
    Delivered(Conversation),
    Read(Conversation, UserId),
    ReadCounts(Conversation),
    Group(GroupId),
    Friend(UserId),
    Presence(UserId),
}

fn about(update: &Update) -> Option<About> {
    match update {
        Update::Delivered { conversation, .. } => Some(About::Delivered(conversation.clone())),
        Update::Read { conversation, user, .. } => {
            Some(About::Read(conversation.clone(), user.clone()))
        }
        Update::ReadCounts { conversation, .. } => Some(About::ReadCounts(conversation.clone())),
        Update::GroupChanged { group } => Some(About::Group(group.clone())),
        Update::FriendChanged { user, .. } => Some(About::Friend(user.clone())),
        Update::PresenceChanged(presence) => Some(About::Presence(presence.user.clone())),
        _ => None,
    }
}

/// Brings counts up to date. As on the wire, of many the newest messages are kept.
fn merge(counts: &mut Vec<ReadCount>, newer: Vec<ReadCount>) {
    for count in newer {
        match counts.binary_search_by_key(&count.seq, |own| own.seq) {
            Ok(place) => counts[place] = count,
            Err(place) => counts.insert(place, count),
        }
    }
    let surplus = counts.len().saturating_sub(limits::READ_COUNTS);
    counts.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &str, counts: &[(u64, u32)]) -> Update {
        let count = |&(seq, readers): &(u64, u32)| ReadCount { seq: Seq::new(seq), readers };
        let conversation = Conversation::parse(of).unwrap();
        Update::ReadCounts { conversation, counts: counts.iter().map(count).collect() }
    }

    fn all(mut waiting: Waiting) -> Vec<Update> {
        std::iter::from_fn(|| waiting.pop()).collect()
    }

    #[test]
    fn counts_of_a_group_are_merged_message_by_message() {
        let mut waiting = Waiting::default();

        waiting.push(counts("group:eng", &[(1, 1), (3, 1)]));
        waiting.push(counts("group:art", &[(1, 7)]));
        waiting.push(counts("group:eng", &[(2, 1), (3, 2)]));

        let merged = counts("group:eng", &[(1, 1), (2, 1), (3, 2)]);
        assert_eq!(all(waiting), [merged, counts("group:art", &[(1, 7)])]);
    }

    #[test]
    fn of_a_cursor_the_newest_is_kept_and_each_reader_has_their_own() {
        let conversation = Conversation::parse("user:bob").unwrap();
        let read = |by: &str, seq| Update::Read {
            conversation: conversation.clone(),
            seq: Seq::new(seq),
            user: UserId::parse(by).unwrap(),
        };
        let mut waiting = Waiting::default();

        waiting.push(read("bob", 1));
        waiting.push(read("alice", 1));
        waiting.push(read("bob", 2));

        assert_eq!(all(waiting), [read("bob", 2), read("alice", 1)]);
    }

    #[test]
    fn what_nobody_takes_is_bounded() {
        let mut waiting = Waiting::default();
        for n in 0..=limits::CLIENT_EVENTS {
            waiting.push(counts(&format!("group:{n}"), &[(1, 1)]));
        }

        assert_eq!(all(waiting).len(), limits::CLIENT_EVENTS);
    }
}
