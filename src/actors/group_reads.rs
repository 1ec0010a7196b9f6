//! What is read of groups: by sessions for their clients, and by a group's owner when it wakes up, meets a sender whom it
//! does not know, or is asked to change.

use super::engine::{Engine, ReadReceipts, Shared};
use super::errors::{no_such_group, not_a_member};
use super::reads::{
    Identity, Keep, Reader, Sight, admitted, bad_after, fitting, parse_number, readable,
};
use super::relay::GroupKey;
use super::wire;
use crate::domain::group::{self, Facts, Found, Loaded, Profile, SenderFacts, Target};
use crate::domain::policy::Joining;
use crate::ids::{AppId, ClientMsgId, ConversationNo, GroupId, Seq, Shard, UserId, UserNo};
use crate::limits;
use crate::protocol::{
    After, ErrorBody, GroupInfo, GroupList, GroupMembers, GroupsPage, HistoryPage, Member,
    MembersPage,
};
use crate::store::groups::{self, GroupRow, OwnGroup, Window};
use crate::store::pairs::From;
use crate::store::{StoreError, members, users};

/// The groups that a user is a member of.
pub(super) async fn own_groups(
    engine: &Engine,
    who: &Identity,
) -> Result<Vec<OwnGroup>, ErrorBody> {
    let shared = engine.shared();
    admitted(shared, groups::of_user(&shared.pool, who.no)).await
}

/// A group's number, for one who is or was a member.
pub(super) async fn number(
    engine: &Engine,
    app: AppId,
    reader: UserNo,
    id: &GroupId,
) -> Result<ConversationNo, ErrorBody> {
    let shared = engine.shared();
    let row = admitted(shared, groups::info(&shared.pool, app, id, reader)).await?;
    let row = row.ok_or_else(no_such_group)?;
    if row.membership.is_none() { Err(unseen(&row)) } else { Ok(row.no) }
}

/// What one who never was a member is told.
fn unseen(row: &GroupRow) -> ErrorBody {
    if is_hidden(row) { no_such_group() } else { not_a_member() }
}

fn is_hidden(row: &GroupRow) -> bool {
    row.kind.policy().joining == Joining::ByInvitation || row.dissolved.is_some()
}

/// Answers `group.get`: members see it, and anyone one that is free to join; the app sees all of its groups.
pub(super) async fn get(
    engine: &Engine,
    who: Reader<'_>,
    id: &GroupId,
) -> Result<GroupInfo, ErrorBody> {
    let shared = engine.shared();
    let row = admitted(shared, groups::info(&shared.pool, who.app, id, who.no)).await?;
    let row = row.ok_or_else(no_such_group)?;
    match row.membership {
        _ if who.sight == Sight::Whole => Ok(wire::group_info(row)),
        None if is_hidden(&row) => Err(no_such_group()),
        Some(own) if own.left_seq.is_some() && is_hidden(&row) => Err(not_a_member()),
        _ => Ok(wire::group_info(row)),
    }
}

/// Answers `group.list`.
pub(super) async fn list(
    engine: &Engine,
    who: &Identity,
    ask: GroupList,
) -> Result<GroupsPage, ErrorBody> {
    let shared = engine.shared();
    let after = match &ask.after {
        None => 0,
        Some(after) => parse_number(after).ok_or_else(bad_after)?,
    };
    let (after, limit) = (ConversationNo::from_store(after), ask.limit.get());
    let page = groups::list(&shared.pool, who.no, after, limit + 1);
    let mut rows = admitted(shared, page).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| After::new(last.no.to_string()));
    Ok(GroupsPage { groups: rows.into_iter().map(wire::group_info).collect(), next })
}

/// Answers `group.members`.
pub(super) async fn members(
    engine: &Engine,
    who: Reader<'_>,
    ask: GroupMembers,
) -> Result<MembersPage, ErrorBody> {
    let shared = engine.shared();
    let after = match &ask.after {
        None => 0,
        Some(after) => parse_number(after).ok_or_else(bad_after)?,
    };
    let (after, limit) = (UserNo::from_store(after), ask.limit.get());
    let row = admitted(shared, groups::info(&shared.pool, who.app, &ask.group, who.no)).await?;
    let row = row.ok_or_else(no_such_group)?;
    match row.membership {
        _ if who.sight == Sight::Whole => {}
        None => return Err(unseen(&row)),
        Some(own) if own.left_seq.is_some() => return Err(not_a_member()),
        Some(_) => {}
    }
    let page = members::page(&shared.pool, row.no, after, limit + 1);
    let mut rows = admitted(shared, page).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|last| After::new(last.no.to_string()));
    let shows_read = row.members <= limits::READ_COUNTS_MEMBERS
        && row.kind.policy().read_receipts
        && shared.apps.read_receipts(who.app) == ReadReceipts::On;
    let members = rows.into_iter().map(|member| Member {
        user: member.user,
        role: wire::role(member.role),
        joined_at_ms: member.joined_at,
        read: shows_read.then_some(member.read),
    });
    Ok(MembersPage { members: members.collect(), next })
}

/// Answers `message.history` of a group: what lies between the first entry that the reader may see and the last.
pub(super) async fn history(
    engine: &Engine,
    who: Reader<'_>,
    id: &GroupId,
    from: From,
    limit: usize,
) -> Result<HistoryPage, ErrorBody> {
    let shared = engine.shared();
    let row = admitted(shared, groups::info(&shared.pool, who.app, id, who.no)).await?;
    let row = row.ok_or_else(no_such_group)?;
    let window = match who.sight {
        Sight::Own => row.window().ok_or_else(|| unseen(&row))?,
        Sight::Whole => Window { from: Seq::new(1), to: row.head },
    };
    let bytes = limits::SERVER_FRAME_BYTES;
    let page = groups::history(&shared.pool, row.no, window, from, limit, bytes);
    let entries = admitted(shared, page).await?;
    let messages = readable(entries.into_iter().map(|entry| wire::group_message(id, entry)))?;
    let keep = match from {
        From::After(_) => Keep::First,
        From::Before(_) => Keep::Last,
    };
    let messages = fitting(messages, keep);
    let has_more = match (from, messages.first(), messages.last()) {
        (From::After(_), _, Some(last)) => last.seq < window.to,
        (From::Before(_), Some(first), _) => first.seq > window.from,
        (_, _, _) => false,
    };
    let (head, min_seq) = (window.to, window.from);
    Ok(HistoryPage { messages, head, min_seq, has_more, peer: None })
}

/// A group's number, which says who owns it; none when there is no such group.
pub(super) async fn find_number(
    engine: &Engine,
    key: &GroupKey,
) -> Result<Option<ConversationNo>, StoreError> {
    let state = groups::load(&engine.shared().pool, key.app, &key.id).await?;
    Ok(state.map(|state| state.no))
}

/// Loads a group for its owner: its head alone.
pub(super) async fn load(engine: &Engine, key: &GroupKey) -> Result<Option<Loaded>, StoreError> {
    let shared = engine.shared();
    let state = groups::load(&shared.pool, key.app, &key.id).await?;
    Ok(state.map(|state| {
        let shard = Shard::of(state.no);
        let ours = shared.node.ownership().epoch_of(shard);
        let is_ours = |epoch| state.owner_of_shard.is_some_and(|owner| owner.epoch == epoch);
        if let Some(epoch) = ours.filter(|epoch| !is_ours(*epoch)) {
            shared.node.ownership().lost(shard, epoch);
        }
        Loaded {
            no: state.no,
            epoch: ours.filter(|epoch| is_ours(*epoch)),
            profile: Profile {
                kind: state.kind,
                name: state.name,
                dissolved: state.dissolved.is_some(),
            },
            head: state.head,
            counted: state.counted,
        }
    }))
}

/// Looks up a sender whom the group's owner does not know to be a member, and its send.
pub(super) async fn sender(
    engine: &Engine,
    group: ConversationNo,
    sender: UserNo,
    key: ClientMsgId,
) -> Result<SenderFacts, StoreError> {
    let found = groups::sender(&engine.shared().pool, group, sender, key).await?;
    Ok(match found {
        None => SenderFacts { membership: None, stored: None },
        Some(facts) => SenderFacts {
            membership: facts.membership.map(membership),
            stored: facts.stored.map(|stored| (stored.seq, stored.message_id, stored.hash)),
        },
    })
}

/// Reads what a change is judged by.
pub(super) async fn facts(
    engine: &Engine,
    app: AppId,
    group: Option<ConversationNo>,
    by: UserNo,
    targets: &[UserId],
) -> Result<Found, StoreError> {
    let shared = engine.shared();
    let Some(group) = group else {
        let no = number_of_ours(shared).await?;
        let known = users::resolve(&shared.pool, app, targets).await?;
        let targets = targets.iter().zip(known).map(|(id, no)| Target {
            id: id.clone(),
            no,
            membership: None,
        });
        let facts = Facts { by: None, members: 0, targets: targets.collect(), senior: None };
        let epoch = shared.node.ownership().epoch_of(Shard::of(no));
        return Ok(Found { facts, new: Some((no, epoch)) });
    };
    let facts = members::facts(&shared.pool, app, group, by, targets).await?;
    let facts =
        facts.ok_or_else(|| StoreError::Refused { reason: "a group is gone".to_owned() })?;
    let targets = facts.targets.into_iter().map(|target| Target {
        id: target.id,
        no: target.no,
        membership: target.membership.map(membership),
    });
    let facts = Facts {
        by: facts.caller.map(membership),
        members: facts.members,
        targets: targets.collect(),
        senior: facts.senior,
    };
    Ok(Found { facts, new: None })
}

/// A number for a new group whose shard is ours, so that it can be made here.
async fn number_of_ours(shared: &Shared) -> Result<ConversationNo, StoreError> {
    for _ in 0..limits::NUMBERS_TRIED {
        let no = groups::next_number(&shared.pool).await?;
        if shared.node.ownership().epoch_of(Shard::of(no)).is_some() {
            return Ok(no);
        }
    }
    // Made under a shard of another it is refused, and tried again.
    groups::next_number(&shared.pool).await
}

fn membership(stored: members::Membership) -> group::Membership {
    let members::Membership { role, join_seq, left_seq, .. } = stored;
    group::Membership { role, join_seq, left_seq }
}
