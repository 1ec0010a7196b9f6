//! Who is in a group, who was, and how far they have read.

use deadpool_postgres::Pool;
use tokio_postgres::Row;

use super::StoreError;
use super::groups::members as count;
use super::inbox::user_id;
use super::query::{get, rows};
use crate::domain::policy::Role;
use crate::ids::{AppId, ConversationNo, Seq, UnixMs, UserId, UserNo};

const GROUP_FACTS: &str = include_str!("../../sql/queries/group_facts.sql");
const GROUP_MEMBER_PAGE: &str = include_str!("../../sql/queries/group_member_page.sql");
const GROUP_MEMBER_NUMBERS: &str = include_str!("../../sql/queries/group_member_numbers.sql");
const GROUP_READ_STATE: &str = include_str!("../../sql/queries/group_read_state.sql");

/// What somebody is, or was, in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// As what.
    pub role: Role,
    /// The notice of the joining.
    pub join_seq: Seq,
    /// The notice of the leaving; none for one who is a member.
    pub left_seq: Option<Seq>,
    /// The first entry that the member may see.
    pub min_seq: Seq,
}

/// Reads the columns of a membership; none where they are null.
pub(super) fn membership(row: &Row) -> Result<Option<Membership>, StoreError> {
    let role: Option<i16> = get(row, "role")?;
    let Some(role) = role else { return Ok(None) };
    let left: Option<i64> = get(row, "left_seq")?;
    Ok(Some(Membership {
        role: known_role(role)?,
        join_seq: Seq::from_store(get(row, "join_seq")?),
        left_seq: left.map(Seq::from_store),
        min_seq: Seq::from_store(get(row, "min_seq")?),
    }))
}

fn known_role(raw: i16) -> Result<Role, StoreError> {
    Role::from_store(raw)
        .ok_or_else(|| StoreError::Refused { reason: "a member of an unknown role".to_owned() })
}

/// Somebody whom a change is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The name that was given.
    pub id: UserId,
    /// The user; none when there is no such one.
    pub no: Option<UserNo>,
    /// What the user is or was in the group.
    pub membership: Option<Membership>,
}

/// What a change of a group is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFacts {
    /// The group's head when this held.
    pub head: Seq,
    /// How many members it has.
    pub members: u32,
    /// What the caller is or was in it.
    pub caller: Option<Membership>,
    /// Those whom it is about, in the order in which they were named.
    pub targets: Vec<Target>,
    /// The member other than the caller who joined first: who follows an owner that leaves.
    pub senior: Option<(UserNo, UserId)>,
}

/// Looks up what a change is judged by; none when there is no such group.
pub async fn facts(
    pool: &Pool,
    app: AppId,
    group: ConversationNo,
    caller: UserNo,
    targets: &[UserId],
) -> Result<Option<ChangeFacts>, StoreError> {
    let ids: Vec<&str> = targets.iter().map(UserId::as_str).collect();
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&group.get(), &caller.get(), &app.get(), &ids];
    let rows = rows(pool, GROUP_FACTS, params).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut facts = ChangeFacts {
        head: Seq::from_store(get(first, "head")?),
        members: count(first)?,
        caller: None,
        targets: Vec::with_capacity(targets.len()),
        senior: None,
    };
    for row in &rows {
        let no: Option<i64> = get(row, "user_no")?;
        let no = no.map(UserNo::from_store);
        match get(row, "kind")? {
            "caller" => facts.caller = membership(row)?,
            "target" => {
                let (id, membership) = (user_id(row, "id")?, membership(row)?);
                facts.targets.push(Target { id, no, membership });
            }
            _ => facts.senior = no.zip(Some(user_id(row, "id")?)),
        }
    }
    Ok(Some(facts))
}

/// One member in the list of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// The number: the place in the order of pages.
    pub no: UserNo,
    /// Who.
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// Since when.
    pub joined_at: UnixMs,
    /// Up to where the member has read.
    pub read: Seq,
}

/// A page of a group's members by number.
pub async fn page(
    pool: &Pool,
    group: ConversationNo,
    after: UserNo,
    limit: usize,
) -> Result<Vec<MemberRow>, StoreError> {
    let rows =
        rows(pool, GROUP_MEMBER_PAGE, &[&group.get(), &after.get(), &(limit as i64)]).await?;
    rows.iter()
        .map(|row| {
            Ok(MemberRow {
                no: UserNo::from_store(get(row, "user_no")?),
                user: user_id(row, "id")?,
                role: known_role(get(row, "role")?)?,
                joined_at: UnixMs::new(get(row, "joined_at_ms")?),
                read: Seq::from_store(get(row, "read")?),
            })
        })
        .collect()
}

/// The members of a group, by number.
pub async fn numbers(pool: &Pool, group: ConversationNo) -> Result<Vec<UserNo>, StoreError> {
    let rows = rows(pool, GROUP_MEMBER_NUMBERS, &[&group.get()]).await?;
    rows.iter().map(|row| Ok(UserNo::from_store(get(row, "user_no")?))).collect()
}

/// How far a member has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// Who.
    pub user: UserNo,
    /// Up to where.
    pub read: Seq,
    /// The first entry that the member may see; nothing below it was read, wherever the cursor stands.
    pub min_seq: Seq,
}

/// What readers are counted from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadState {
    /// The members.
    pub readers: Vec<Reader>,
    /// Messages and who sent them, the newest first.
    pub messages: Vec<(Seq, UserNo)>,
}

/// How far at most `members` of a group have read, and the newest `messages` of its log above one seq and up to another.
pub async fn read_state(
    pool: &Pool,
    group: ConversationNo,
    (above, to): (Seq, Seq),
    messages: usize,
    members: usize,
) -> Result<ReadState, StoreError> {
    let params: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&group.get(), &above.to_store(), &to.to_store(), &(messages as i64), &(members as i64)];
    let mut state = ReadState::default();
    for row in &rows(pool, GROUP_READ_STATE, params).await? {
        let user = UserNo::from_store(get(row, "user_no")?);
        let seq = Seq::from_store(get(row, "seq")?);
        let min_seq: Option<i64> = get(row, "min_seq")?;
        match min_seq.map(Seq::from_store) {
            Some(min_seq) => state.readers.push(Reader { user, read: seq, min_seq }),
            None => state.messages.push((seq, user)),
        }
    }
    Ok(state)
}
