//! What sessions ask of durable history, and logins: read from the store, never from an actor.

use tokio::sync::{SemaphorePermit, oneshot};

use super::apps::NotVerified;
use super::engine::{Engine, ReadReceipts, Shared};
use super::errors::{self, bad_token, not_found, of_store, of_token};
use super::logins::{self, Admitted, DecideLogin, Request};
use super::{mailbox, wire};
use crate::domain::login_policy::Newcomer;
use crate::domain::usersig::Verified;
use crate::ids::{
    AppId, Conversation, ConversationNo, DeviceId, InboxSeq, LoginNo, MessageId, Platform, Seq,
    UserId, UserNo,
};
use crate::limits;
use crate::protocol::{
    self, After, Code, ConversationList, ConversationsPage, Device, ErrorBody, GroupHead, History,
    HistoryPage, Inbox, InboxPage, Login, Message, Synced,
};
use crate::store::conversations::{self, ListPlace, Listed};
use crate::store::pairs::{self, Entry, Found, From, PeerCursors};
use crate::store::{StoreError, groups, inbox, sessions};

/// Room in a frame for what stands around the messages of a page, in bytes.
const PAGE_FRAME_BYTES: usize = 1024;
/// A bound of the JSON around a message's content, in bytes. MessagePack is never longer, as a test of the codecs shows.
const MESSAGE_FRAME_BYTES: usize = 512;
/// One byte of text becomes six at most, as in `\u0000`.
const WORST_ESCAPE: usize = 6;

/// Who a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) app: AppId,
    pub(super) user: UserId,
    pub(super) no: UserNo,
    pub(super) platform: Platform,
    pub(super) device: DeviceId,
    pub(super) login_no: LoginNo,
}

impl Identity {
    /// What is read for its client.
    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { app: self.app, no: self.no, user: &self.user, sight: Sight::Own }
    }
}

/// For whom something is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) app: AppId,
    pub(super) user: &'a UserId,
    pub(super) no: UserNo,
    pub(super) sight: Sight,
}

/// How much of a group a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// What a user may see by its membership, or without one.
    Own,
    /// All of it: the app's own.
    Whole,
}

/// Awaits the store, for so long.
pub(super) async fn bounded<T>(
    read: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(limits::READ_WITHIN, read).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Unavailable { reason: "no answer in time".to_owned() }),
    }
}

/// Answers `read`, when not too many are read at once.
pub(super) async fn admitted<T>(
    shared: &Shared,
    read: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, ErrorBody> {
    let _place = place_to_read(shared)?;
    bounded(read).await.map_err(|error| of_store(&error))
}

/// One of the places that there are to read, if one is free.
fn place_to_read(shared: &Shared) -> Result<SemaphorePermit<'_>, ErrorBody> {
    shared.reads.try_acquire().map_err(|_| {
        let busy = ErrorBody::new(Code::Busy, "too many clients read at once");
        busy.retry_after(limits::RETRY_AFTER)
    })
}

/// Checks a login's token, and has the login decided by the store.
pub(super) async fn log_in(
    engine: &Engine,
    login: &Login,
) -> Result<(Identity, Admitted, Verified), ErrorBody> {
    let app = login.app.unwrap_or(AppId::DEFAULT);
    let verified = verify(engine, &login.token, app, &login.user).await?;
    let Device { id, platform, name } = login.device.clone();
    let resumes = login.resume.map(|resume| resume.login_no);
    let request = Request {
        app,
        user: login.user.clone(),
        token_s: verified.signed_at_s,
        newcomer: Newcomer { platform, device: id.clone(), resumes },
        device_name: name,
    };
    let (answer, answered) = oneshot::channel();
    if mailbox::tell(&engine.shared().logins, DecideLogin { request, answer }).is_err() {
        return Err(logins::busy());
    }
    let admitted = match tokio::time::timeout(limits::LOGIN_DECIDED_WITHIN, answered).await {
        Ok(Ok(outcome)) => outcome?,
        Ok(Err(_)) | Err(_) => return Err(errors::unavailable()),
    };
    let key = admitted.held.key();
    let (no, login_no) = (key.user, key.login_no);
    let who = Identity { app, user: login.user.clone(), no, platform, device: id, login_no };
    Ok((who, admitted, verified))
}

/// Checks a token with which a session is to go on, and notes that in the store.
pub(super) async fn renew(
    engine: &Engine,
    who: &Identity,
    token: &str,
) -> Result<Verified, ErrorBody> {
    let shared = engine.shared();
    let verified = verify(engine, token, who.app, &who.user).await?;
    let renew = sessions::renew_token(&shared.pool, who.no, who.login_no, verified.signed_at_s);
    if admitted(shared, renew).await? { Ok(verified) } else { Err(errors::revoked_token()) }
}

async fn verify(
    engine: &Engine,
    token: &str,
    app: AppId,
    user: &UserId,
) -> Result<Verified, ErrorBody> {
    if token.len() > limits::TOKEN_BYTES {
        return Err(bad_token());
    }
    let shared = engine.shared();
    // The keys of an app that is there are read once for all who wait for them, so that a wave of its logins fits.
    let _place = if shared.apps.is_known(app) { None } else { Some(place_to_read(shared)?) };
    let verify = shared.apps.verify(token, app, user, shared.node.now());
    match tokio::time::timeout(limits::READ_WITHIN, verify).await {
        Ok(Ok(verified)) => Ok(verified),
        Ok(Err(NotVerified::Token(error))) => Err(of_token(&error)),
        Ok(Err(NotVerified::Store(error))) => Err(of_store(&error)),
        Err(_) => Err(errors::unavailable()),
    }
}

/// Refuses a session that was ended by a decision since its login.
pub(super) async fn stands(engine: &Engine, who: &Identity) -> Result<(), ErrorBody> {
    let shared = engine.shared();
    if admitted(shared, sessions::stands(&shared.pool, who.no, who.login_no)).await? {
        return Ok(());
    }
    Err(ErrorBody::new(Code::Conflict, "the session was ended by a decision"))
}

/// Answers `sync`.
pub(super) async fn sync(
    engine: &Engine,
    who: &Identity,
    ask: &protocol::Sync,
) -> Result<Synced, ErrorBody> {
    let shared = engine.shared();
    let epoch = shared.epoch.borrow().clone();
    let after = match &ask.after {
        None => ConversationNo::from_store(0),
        Some(after) => parse_number(after).map(ConversationNo::from_store).ok_or_else(bad_after)?,
    };
    // In another epoch a position means nothing, but it still says which groups the client knows.
    let knows = ask.epoch.as_ref().is_none_or(|known| *known == epoch);
    let named = ask.groups.iter().map(|(id, seq)| (id, if knows { *seq } else { Seq::ZERO }));
    let named: Vec<_> = named.collect();
    let limit = limits::PAGE_MAX;
    let read = async {
        // The heads are read before anything else of them: what is committed in between comes again rather than never.
        let inbox = inbox::head(&shared.pool, who.no).await?;
        let groups = groups::moved(&shared.pool, who.app, who.no, &named, after, limit + 1).await?;
        Ok((inbox, groups))
    };
    let (inbox, mut groups) = admitted(shared, read).await?;
    let more = groups.len() > limit;
    groups.truncate(limit);
    let next = groups.last().filter(|_| more).map(|last| After::new(last.no.to_string()));
    let groups = groups.into_iter().map(|group| GroupHead {
        group: group.id,
        head: group.head,
        min_seq: group.min_seq,
        left: group.left,
    });
    Ok(Synced { epoch, inbox, groups: groups.collect(), next })
}

/// Answers `message.inbox`.
pub(super) async fn inbox(
    engine: &Engine,
    who: &Identity,
    ask: Inbox,
) -> Result<InboxPage, ErrorBody> {
    let shared = engine.shared();
    let limit = ask.limit.get();
    let read = async {
        // The head first: what is committed in between comes again rather than never.
        let head = inbox::head(&shared.pool, who.no).await?;
        let bytes = limits::SERVER_FRAME_BYTES;
        let entries = inbox::page(&shared.pool, who.no, ask.after, limit, bytes).await?;
        Ok((head, entries))
    };
    let (head, entries) = admitted(shared, read).await?;
    let messages = readable(entries.into_iter().map(wire::inbox_message))?;
    let messages = fitting(messages, Keep::First);
    let last = messages.last().and_then(|message| message.inbox);
    // Entries may have been committed since the head was read; a page never ends beyond its head.
    let head = last.map_or(head, |last| head.max(last));
    Ok(InboxPage { has_more: last.is_some_and(|last| last < head), messages, head })
}

/// Answers `message.history`.
pub(super) async fn history(
    engine: &Engine,
    who: Reader<'_>,
    ask: History,
) -> Result<HistoryPage, ErrorBody> {
    let from = match (ask.after, ask.before) {
        (Some(_), Some(_)) => {
            let error = ErrorBody::new(Code::BadRequest, "expected after or before, not both");
            return Err(error.field("before"));
        }
        (Some(after), None) => From::After(after),
        (None, Some(before)) => From::Before(before),
        (None, None) => From::Before(Seq::new(u64::MAX)),
    };
    match &ask.conversation {
        Conversation::User(peer) => pair_history(engine, who, peer, from, ask.limit.get()).await,
        Conversation::Group(group) => {
            super::group_reads::history(engine, who, group, from, ask.limit.get()).await
        }
    }
}

async fn pair_history(
    engine: &Engine,
    who: Reader<'_>,
    peer: &UserId,
    from: From,
    limit: usize,
) -> Result<HistoryPage, ErrorBody> {
    let shared = engine.shared();
    let show_read = shared.apps.read_receipts(who.app) == ReadReceipts::On;
    let found = admitted(shared, pairs::find(&shared.pool, who.app, who.no, peer)).await?;
    let pair = match found {
        Found::Nobody => return Err(not_found()),
        Found::Strangers => {
            let nothing =
                PeerCursors { by_device: Seq::ZERO, by_server: Seq::ZERO, read: Seq::ZERO };
            return Ok(HistoryPage {
                messages: Vec::new(),
                head: Seq::ZERO,
                min_seq: Seq::new(1),
                has_more: false,
                peer: (peer != who.user).then(|| wire::peer(nothing, show_read)),
            });
        }
        Found::Pair(pair) => pair,
    };
    let read = async {
        let (head, cursors) = pairs::state(&shared.pool, who.no, pair.no).await?;
        let bytes = limits::SERVER_FRAME_BYTES;
        let entries = pairs::history(&shared.pool, pair.no, from, limit, bytes).await?;
        Ok((head, cursors, entries))
    };
    let (head, cursors, entries) = admitted(shared, read).await?;
    let is_low = who.no <= pair.peer;
    let messages = readable(entries.into_iter().map(|entry| {
        let sender = if entry.sender == who.no { who.user.clone() } else { peer.clone() };
        history_message(entry, peer, sender, is_low)
    }))?;
    let keep = match from {
        From::After(_) => Keep::First,
        From::Before(_) => Keep::Last,
    };
    let messages = fitting(messages, keep);
    let has_more = match (from, messages.first(), messages.last()) {
        (From::After(_), _, Some(last)) => last.seq < head,
        (From::Before(_), Some(first), _) => first.seq > Seq::new(1),
        (_, _, _) => false,
    };
    Ok(HistoryPage {
        // Entries may have been committed since the head was read; a page never ends beyond its head.
        head: messages.last().map_or(head, |last| head.max(last.seq)),
        messages,
        min_seq: Seq::new(1),
        has_more,
        peer: cursors.map(|cursors| wire::peer(cursors, show_read)),
    })
}

fn history_message(entry: Entry, peer: &UserId, sender: UserId, is_low: bool) -> Option<Message> {
    let inbox = if is_low { Some(entry.inbox_low) } else { entry.inbox_high };
    wire::inbox_message(inbox::InboxEntry {
        inbox: inbox.unwrap_or(InboxSeq::ZERO),
        seq: entry.seq,
        peer: peer.clone(),
        sender,
        message_id: entry.message_id,
        key: entry.key,
        body: entry.body,
    })
}

/// Answers `conversation.list`.
pub(super) async fn conversations(
    engine: &Engine,
    who: &Identity,
    ask: ConversationList,
) -> Result<ConversationsPage, ErrorBody> {
    let shared = engine.shared();
    let after = match &ask.after {
        None => ListPlace::START,
        Some(after) => parse_place(after).ok_or_else(bad_after)?,
    };
    let limit = ask.limit.get();
    let list = conversations::list(&shared.pool, who.no, after, limit + 1);
    let mut entries = admitted(shared, list).await?;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let show_read = shared.apps.read_receipts(who.app) == ReadReceipts::On;
    let places: Vec<ListPlace> = entries.iter().map(Listed::place).collect();
    let rows = readable(entries.into_iter().map(|entry| wire::listed(entry, show_read)))?;
    let mut bytes = PAGE_FRAME_BYTES;
    let mut conversations = Vec::new();
    let all = rows.len();
    for row in rows {
        bytes += MESSAGE_FRAME_BYTES + message_bytes(&row.last_message);
        if bytes > limits::SERVER_FRAME_BYTES && !conversations.is_empty() {
            break;
        }
        conversations.push(row);
    }
    let ended_early = conversations.len() < all;
    let last = conversations.len().checked_sub(1).and_then(|last| places.get(last));
    let next = last.filter(|_| more || ended_early).map(|place| format_place(*place));
    Ok(ConversationsPage { conversations, next })
}

/// What a page's `after` must be.
pub(super) fn bad_after() -> ErrorBody {
    let message = "expected what an earlier reply gave as next";
    ErrorBody::new(Code::BadRequest, message).field("after")
}

/// A place in a list that goes by number.
pub(super) fn parse_number(after: &After) -> Option<i64> {
    after.as_str().parse().ok().filter(|number| *number >= 0)
}

fn format_place(place: ListPlace) -> String {
    format!("{}.{}", place.last, place.no)
}

fn parse_place(after: &After) -> Option<ListPlace> {
    let (last, no) = after.as_str().split_once('.')?;
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0);
    Some(ListPlace {
        last: MessageId::from_store(number(last)?),
        no: ConversationNo::from_store(number(no)?),
    })
}

/// All or none: a page with a hole would pass for complete.
pub(super) fn readable<T>(items: impl Iterator<Item = Option<T>>) -> Result<Vec<T>, ErrorBody> {
    items.collect::<Option<Vec<T>>>().ok_or_else(errors::unavailable)
}

pub(super) enum Keep {
    First,
    Last,
}

/// Cuts a page to what a frame of ours may hold; one message always fits.
pub(super) fn fitting(mut messages: Vec<Message>, keep: Keep) -> Vec<Message> {
    let mut bytes = PAGE_FRAME_BYTES;
    let mut fits = |message: &Message| {
        bytes += message_bytes(message);
        bytes <= limits::SERVER_FRAME_BYTES
    };
    let count = match keep {
        Keep::First => messages.iter().take_while(|message| fits(message)).count(),
        Keep::Last => messages.iter().rev().take_while(|message| fits(message)).count(),
    };
    let count = count.max(1).min(messages.len());
    match keep {
        Keep::First => messages.truncate(count),
        Keep::Last => drop(messages.drain(..messages.len() - count)),
    }
    messages
}

/// The size of a message in a frame, or a bound of it where that is cheaper.
fn message_bytes(message: &Message) -> usize {
    let text = message.content.bytes();
    let mentions = message.mentions.as_ref().map_or(0, Vec::len) * (crate::ids::NAME_BYTES + 3);
    let bound = MESSAGE_FRAME_BYTES + mentions + text * WORST_ESCAPE;
    if bound <= limits::SERVER_FRAME_BYTES / limits::PAGE_MAX {
        return bound;
    }
    serde_json::to_vec(message).map_or(bound, |json| json.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_the_list_comes_back_and_garbage_does_not() {
        let place = ListPlace { last: MessageId::from_store(7), no: ConversationNo::from_store(9) };
        assert_eq!(parse_place(&After::new(format_place(place))), Some(place));

        for garbage in ["", "7", "7.", ".9", "7.x", "-7.9", "7.9.1", "9999999999999999999.1"] {
            assert_eq!(parse_place(&After::new(garbage.into())), None, "{garbage}");
        }
    }
}
