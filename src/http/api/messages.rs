//! Messages of the app's backend, as its own user `system` or for one of its users; and what was said.

use super::answer::{Answer, Outcome, Refused};
use super::call::{Call, IDEMPOTENCY_KEY};
use super::{path_part, repeats};
use crate::actors::backend::{self, As, Sender};
use crate::ids::{Conversation, GroupId, Seq, UserId};
use crate::protocol::rest::{LogQuery, MessageSent, NewMessage};
use crate::protocol::{Code, ErrorBody, History, Send, Sent};

/// Sends a message.
pub async fn send(call: Call) -> Outcome {
    let new: NewMessage = call.body()?;
    let client_msg_id = match (new.client_msg_id, &call.key) {
        (Some(_), Some(_)) => return Err(both_ids()),
        (Some(id), None) => id,
        (None, Some(key)) => repeats::message_id(&call, key).await?,
        (None, None) => backend::mint_client_msg_id(&call.engine),
    };
    let NewMessage { from, to, content, mentions, reply_to, .. } = new;
    let send = Send { to, client_msg_id, content, mentions, reply_to };
    let sender = from.map_or(Sender::System, Sender::User);
    let (engine, app) = (&call.engine, call.caller.app);
    let sent = backend::send(engine, app, sender.clone(), send).await?;
    let Sent { conversation, seq, message_id, sent_at_ms, duplicate, .. } = sent;
    let place = place(&sender, &conversation, seq);
    let sent = MessageSent { conversation, seq, message_id, client_msg_id, sent_at_ms, duplicate };
    if duplicate { Answer::ok(&sent) } else { Answer::created(&place, &sent) }
}

/// Reads a group's log.
pub async fn of_group(call: Call) -> Outcome {
    let group: GroupId = call.parameter("group")?;
    log(call, As::App, Conversation::Group(group)).await
}

/// Reads a conversation as one of its sides sees it.
pub async fn of_user(call: Call) -> Outcome {
    let user: UserId = call.parameter("user")?;
    let conversation: Conversation = call.parameter("conversation")?;
    log(call, As::User(user), conversation).await
}

async fn log(call: Call, reader: As, conversation: Conversation) -> Outcome {
    let LogQuery { after, before, limit } = call.query()?;
    let ask = History { conversation, after, before, limit };
    Answer::ok(&backend::history(&call.engine, call.caller.app, reader, ask).await?)
}

/// Where a message is read again.
fn place(sender: &Sender, conversation: &Conversation, seq: Seq) -> String {
    let before = seq.get().saturating_sub(1);
    let log = match (conversation, sender) {
        (Conversation::Group(group), _) => format!("/groups/{}", path_part(group.as_str())),
        (Conversation::User(peer), Sender::System) => of_pair(backend::SYSTEM, peer),
        (Conversation::User(peer), Sender::User(user)) => of_pair(user.as_str(), peer),
    };
    format!("{log}/messages?after={before}&limit=1")
}

fn of_pair(user: &str, peer: &UserId) -> String {
    format!("/users/{}/conversations/user:{}", path_part(user), path_part(peer.as_str()))
}

fn both_ids() -> Refused {
    let message = format!("expected client_msg_id or the header {IDEMPOTENCY_KEY}, not both");
    ErrorBody::new(Code::BadRequest, message).field("client_msg_id").into()
}
