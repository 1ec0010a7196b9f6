//! What an app's own backend does, which has no session: it sends, as the app itself or for one of its users, it makes and
//! changes groups, and it reads.
//!
//! The same owners decide as for sessions. A request waits beside them for its answer, so many of them at once and each for
//! so long; then nobody knows, and the same key again finds out.

use tokio::sync::oneshot;

use super::asker::{ChangeAsker, SendVerdict, Submitter};
use super::draft::Draft;
use super::engine::Engine;
use super::group::{Caller, GroupRequest};
use super::reads::{self, Reader, Sight, admitted};
use super::registry::{Arrival, Enter};
use super::relay::GroupKey;
use super::user::Submit;
use super::{changes, errors, group_reads, wire};
use crate::domain::group::{Authority, Change, ChangeRefused, Changed};
use crate::domain::intake::{Refusal, Waiter};
use crate::domain::order::{Place, Verdict};
use crate::ids::{AppId, ClientMsgId, Conversation, GroupId, UserId};
use crate::limits;
use crate::protocol::{
    Code, ErrorBody, GroupChanged, GroupCreate, GroupCreated, GroupInfo, GroupMembers, GroupName,
    GroupUsers, History, HistoryPage, MembersPage, Send, Sent,
};
use crate::store::users::{self, UserRecord};

/// The id of an app's own user, which cannot log in: as it the app speaks, and its changes of groups are told.
pub const SYSTEM: &str = "system";

/// How often a send is passed on whose owner has gone or is out of step.
const TRIES: usize = 3;

/// As whom the backend sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// As the app itself: to any of its users and groups.
    System,
    /// As one of its users, by that user's rights.
    User(UserId),
}

/// With whose eyes the backend reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum As {
    /// With the app's own, which see every group whole and no pair.
    App,
    /// With those of one of its users.
    User(UserId),
}

/// An id for a message that came without one. Whoever repeats the request sends another message.
pub fn mint_client_msg_id(engine: &Engine) -> ClientMsgId {
    ClientMsgId::mint(engine.shared().node.now(), rand::random())
}

/// Sends a message.
pub async fn send(
    engine: &Engine,
    app: AppId,
    from: Sender,
    send: Send,
) -> Result<Sent, ErrorBody> {
    let (to, key) = (send.to.clone(), send.client_msg_id);
    let draft = Draft::of(send.into_body())?;
    let sending = async {
        let by = match from {
            Sender::User(id) if id.as_str() != SYSTEM => user(engine, app, id, "from").await?,
            Sender::System | Sender::User(_) => system(engine, app).await?,
        };
        Speaker { engine, app, by }.say(to, key, draft).await
    };
    in_time(engine, errors::of_refusal(Refusal::OutcomeUnknown), sending).await
}

/// Who has much to say: looked up once, and not counted among the requests that are under way.
pub struct Speaker<'a> {
    engine: &'a Engine,
    app: AppId,
    by: Caller,
}

impl<'a> Speaker<'a> {
    /// The app itself.
    pub async fn system(engine: &'a Engine, app: AppId) -> Result<Self, ErrorBody> {
        Ok(Self { engine, app, by: system(engine, app).await? })
    }

    /// Sends a message, and waits for what becomes of it however long that takes.
    pub async fn send(&self, send: Send) -> Result<Sent, ErrorBody> {
        let (to, key) = (send.to.clone(), send.client_msg_id);
        self.say(to, key, Draft::of(send.into_body())?).await
    }

    async fn say(
        &self,
        to: Conversation,
        key: ClientMsgId,
        draft: Draft,
    ) -> Result<Sent, ErrorBody> {
        let Self { engine, app, by } = self;
        tracing::debug!(client_msg_id = %key, from = %by.id, "received");
        for tried in 0..TRIES {
            match submit(engine, *app, by, &to, key, draft.clone()).await {
                Some(Verdict::Stored(ack)) => return Ok(wire::sent(to, ack)),
                // An owner that was not heard of again may have stored it.
                Some(Verdict::Curable(_)) if tried > 0 => break,
                Some(Verdict::Final(why) | Verdict::Curable(why)) => {
                    return Err(about_receiver(errors::of_send(why, &to)));
                }
                // Passed on again it is stored once, whatever became of it before.
                Some(Verdict::Resubmit) | None => {}
            }
        }
        Err(errors::of_refusal(Refusal::OutcomeUnknown))
    }
}

/// Makes a group in the name of its owner.
pub async fn create_group(
    engine: &Engine,
    app: AppId,
    owner: &UserId,
    ask: GroupCreate,
) -> Result<GroupCreated, ErrorBody> {
    let (group, create) = changes::creation(ask)?;
    let making = async {
        let by = user(engine, app, owner.clone(), "owner").await?;
        change(engine, app, by, &group, create).await?;
        Ok(changes::created(group))
    };
    in_time(engine, unknown_change(), making).await
}

/// Changes a group's name.
pub async fn rename_group(
    engine: &Engine,
    app: AppId,
    group: &GroupId,
    name: GroupName,
) -> Result<GroupChanged, ErrorBody> {
    change_as_app(engine, app, group, Change::Rename(name.as_str().to_owned())).await
}

/// Makes users members of a group.
pub async fn add_members(
    engine: &Engine,
    app: AppId,
    group: &GroupId,
    users: Vec<UserId>,
) -> Result<GroupChanged, ErrorBody> {
    let (group, users) = changes::users(GroupUsers { group: group.clone(), user: None, users })?;
    change_as_app(engine, app, &group, Change::Invite(users)).await
}

/// Ends memberships in a group. Its owner stays: without one it could only end.
pub async fn remove_members(
    engine: &Engine,
    app: AppId,
    group: &GroupId,
    users: Vec<UserId>,
) -> Result<GroupChanged, ErrorBody> {
    let (group, users) = changes::users(GroupUsers { group: group.clone(), user: None, users })?;
    change_as_app(engine, app, &group, Change::Remove(users)).await
}

/// Ends a group.
pub async fn dissolve_group(
    engine: &Engine,
    app: AppId,
    group: &GroupId,
) -> Result<GroupChanged, ErrorBody> {
    change_as_app(engine, app, group, Change::Dissolve).await
}

/// Shows a group.
pub async fn get_group(
    engine: &Engine,
    app: AppId,
    group: &GroupId,
) -> Result<GroupInfo, ErrorBody> {
    let by = system(engine, app).await?;
    group_reads::get(engine, of_app(app, &by), group).await
}

/// Shows a page of a group's members.
pub async fn group_members(
    engine: &Engine,
    app: AppId,
    ask: GroupMembers,
) -> Result<MembersPage, ErrorBody> {
    let by = system(engine, app).await?;
    group_reads::members(engine, of_app(app, &by), ask).await
}

/// Shows a page of a conversation.
pub async fn history(
    engine: &Engine,
    app: AppId,
    reader: As,
    ask: History,
) -> Result<HistoryPage, ErrorBody> {
    match (reader, &ask.conversation) {
        (As::User(id), _) => {
            let no = find(engine, app, &id, "user").await?.no;
            let reader = Reader { app, no, user: &id, sight: Sight::Own };
            reads::history(engine, reader, ask).await
        }
        (As::App, Conversation::Group(_)) => {
            let by = system(engine, app).await?;
            reads::history(engine, of_app(app, &by), ask).await
        }
        (As::App, Conversation::User(_)) => {
            let message = "a conversation of two users is read as one of them sees it";
            Err(ErrorBody::new(Code::BadRequest, message).field("conversation"))
        }
    }
}

/// Passes a send on to whoever owns the conversation. No verdict when the owner has gone with it.
async fn submit(
    engine: &Engine,
    app: AppId,
    by: &Caller,
    to: &Conversation,
    key: ClientMsgId,
    draft: Draft,
) -> Option<SendVerdict> {
    let shared = engine.shared();
    let waiter = Waiter { session: shared.next_session(), place: Place::ALONE };
    let (answer, verdict) = oneshot::channel();
    match to.clone() {
        Conversation::User(to) => {
            let submit = Submit { waiter, to, key, draft, request: Some(answer) };
            let Caller { no: user, id, .. } = by.clone();
            let arrival = Arrival::Request(submit);
            let enter = Enter { engine: engine.clone(), user, id, app, near: None, arrival };
            shared.directory.submit(engine, enter);
        }
        Conversation::Group(id) => {
            let submitter = Submitter::Request(answer);
            let request = GroupRequest::Submit { submitter, waiter, by: by.clone(), key, draft };
            shared.directory.ask_group(engine, GroupKey { app, id }, request);
        }
    }
    verdict.await.ok()
}

async fn change_as_app(
    engine: &Engine,
    app: AppId,
    group: &GroupId,
    wanted: Change,
) -> Result<GroupChanged, ErrorBody> {
    let changing = async {
        let by = system(engine, app).await?;
        let changed = change(engine, app, by, group, wanted).await?;
        Ok(changes::changed(group.clone(), changed))
    };
    in_time(engine, unknown_change(), changing).await
}

async fn change(
    engine: &Engine,
    app: AppId,
    by: Caller,
    group: &GroupId,
    change: Change,
) -> Result<Changed, ErrorBody> {
    let (answer, answered) = oneshot::channel();
    let request = GroupRequest::Change { asker: ChangeAsker::Request(answer), by, change };
    let key = GroupKey { app, id: group.clone() };
    engine.shared().directory.ask_group(engine, key, request);
    // Its key is its own, so it cannot be passed on again when the group's actor has gone with it.
    answered.await.map_err(|_| unknown_change())?.map_err(errors::of_change)
}

/// Answers a request, when not too many are under way, within its time.
async fn in_time<T>(
    engine: &Engine,
    late: ErrorBody,
    work: impl Future<Output = Result<T, ErrorBody>>,
) -> Result<T, ErrorBody> {
    let shared = engine.shared();
    if shared.directory.is_draining() {
        return Err(errors::unavailable());
    }
    let Ok(_place) = shared.backend.try_acquire() else {
        return Err(errors::of_refusal(Refusal::Busy));
    };
    tokio::time::timeout(limits::BACKEND_ANSWER_WITHIN, work).await.unwrap_or(Err(late))
}

/// The app's own user, by the app's right.
async fn system(engine: &Engine, app: AppId) -> Result<Caller, ErrorBody> {
    let id = UserId::parse(SYSTEM).map_err(|_| errors::unavailable())?;
    let no = find(engine, app, &id, "from").await?.no;
    Ok(Caller { no, id, authority: Authority::App })
}

/// A user in whose name something is done, by its own right.
async fn user(engine: &Engine, app: AppId, id: UserId, field: &str) -> Result<Caller, ErrorBody> {
    let found = find(engine, app, &id, field).await?;
    if found.deactivated {
        let message = format!("{id} is deactivated, and does nothing until it is reactivated");
        return Err(ErrorBody::new(Code::Conflict, message).field(field));
    }
    Ok(Caller { no: found.no, id, authority: Authority::Member })
}

async fn find(
    engine: &Engine,
    app: AppId,
    id: &UserId,
    field: &str,
) -> Result<UserRecord, ErrorBody> {
    let shared = engine.shared();
    let found = admitted(shared, users::find(&shared.pool, app, id)).await?;
    found.ok_or_else(|| errors::not_found().field(field))
}

fn of_app(app: AppId, by: &Caller) -> Reader<'_> {
    Reader { app, no: by.no, user: &by.id, sight: Sight::Whole }
}

fn unknown_change() -> ErrorBody {
    errors::of_change(ChangeRefused::NotNow(Refusal::OutcomeUnknown))
}

/// Names the field that is wrong when there is no such receiver.
fn about_receiver(error: ErrorBody) -> ErrorBody {
    if error.code == Code::NotFound { error.field("to") } else { error }
}
