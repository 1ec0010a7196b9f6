//! The groups of the crowd: who is in them, who comes and goes, and what is held against their logs.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rookery::client::{CallError, Client};
use rookery::ids::{ClientMsgId, Conversation, GroupId, Seq, UserId};
use rookery::protocol::{Code, Content, GroupCreate, GroupKind, GroupName, Message};

use super::common::groups::follow;
use super::{Ledger, Load, USERS, holes, name, whole_history};

pub const GROUPS: usize = 10;
/// In the last of them somebody speaks now and then only, so that they fall asleep in between.
const QUIET: usize = 3;
/// How long those are quiet: longer than it takes to fall asleep.
const QUIET_FOR: Duration = Duration::from_millis(1500);
/// The time between two tries of what could not be done just now, and between two receipts.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

fn id(group: usize) -> GroupId {
    GroupId::parse(&format!("group-{group}")).unwrap()
}

fn user(user: usize) -> UserId {
    UserId::parse(&name(user)).unwrap()
}

pub fn conversation(group: usize) -> Conversation {
    Conversation::Group(id(group))
}

fn kind(group: usize) -> GroupKind {
    if group.is_multiple_of(2) { GroupKind::Work } else { GroupKind::Meeting }
}

/// Who stays in a group; the first one owns it.
pub fn members(group: usize) -> Vec<usize> {
    (0..USERS / 2).map(|n| (2 * group + n) % USERS).collect()
}

/// Who comes to a group, says something, and goes again.
fn visitor(group: usize) -> usize {
    (2 * group + USERS / 2) % USERS
}

/// Groups in which a user says much.
pub fn busy_of(user: usize) -> Vec<Conversation> {
    let groups = (0..GROUPS - QUIET).filter(|group| members(*group).contains(&user));
    groups.map(conversation).collect()
}

/// Makes all groups.
pub async fn make(clients: &[Client]) {
    for group in 0..GROUPS {
        let members = members(group);
        let create = GroupCreate {
            group: Some(id(group)),
            kind: kind(group),
            name: GroupName::parse(&format!("Group {group}")).unwrap(),
            members: members[1..].iter().map(|member| user(*member)).collect(),
        };
        clients[members[0]].create_group(&create).await.unwrap();
    }
}

/// Whether a change is done, or has to be asked for again after a while; one who goes may be gone already.
pub async fn is_done<T>(outcome: Result<T, CallError>) -> bool {
    match outcome {
        Ok(_) => return true,
        Err(CallError::Refused(error)) => match error.code {
            Code::NotAMember => return true,
            Code::Busy | Code::Unavailable | Code::OutcomeUnknown | Code::RateLimited => {}
            _ => panic!("{error:?}"),
        },
        Err(CallError::NotConnected | CallError::TimedOut | CallError::Busy) => {}
        Err(error) => panic!("{error}"),
    }
    tokio::time::sleep(AGAIN_AFTER).await;
    false
}

/// What was acked to one who spoke in a group, in the order said.
pub type Acked = Vec<(ClientMsgId, Seq)>;

async fn say(client: &Client, group: usize, acked: &mut Acked) {
    let content = Content::Text { text: format!("{}", acked.len()) };
    let posted = client.post(&conversation(group), content).await.unwrap();
    let key = posted.client_msg_id;
    acked.push((key, posted.acked().await.expect("acked in the end").seq));
}

/// The visitor of a group comes and goes until told to stop.
pub async fn visit(group: usize, clients: Vec<Client>, load: Arc<Load>) -> Acked {
    let (owner, guest) = (&clients[members(group)[0]], &clients[visitor(group)]);
    let guest_id = user(visitor(group));
    let mut acked = Acked::new();
    while !load.stop.load(Ordering::SeqCst) {
        match kind(group) {
            GroupKind::Work => {
                while !is_done(owner.invite(&id(group), vec![guest_id.clone()]).await).await {}
            }
            GroupKind::Meeting => while !is_done(guest.join(&id(group)).await).await {},
        }
        for _ in 0..3 {
            say(guest, group, &mut acked).await;
        }
        match kind(group) {
            GroupKind::Work => {
                while !is_done(owner.remove(&id(group), vec![guest_id.clone()]).await).await {}
            }
            GroupKind::Meeting => while !is_done(guest.leave(&id(group)).await).await {},
        }
    }
    acked
}

/// Somebody speaks in a quiet group now and then, until told to stop.
pub async fn wake(group: usize, client: Client, load: Arc<Load>) -> Acked {
    let mut acked = Acked::new();
    while !load.stop.load(Ordering::SeqCst) {
        say(&client, group, &mut acked).await;
        tokio::time::sleep(QUIET_FOR).await;
    }
    acked
}

/// The groups in which somebody speaks now and then, each with who does.
pub fn quiet() -> impl Iterator<Item = (usize, usize)> {
    (GROUPS - QUIET..GROUPS).map(|group| (group, members(group)[1]))
}

/// The last seq that a client has shown, by conversation.
pub type Latest = Arc<Mutex<HashMap<Conversation, Seq>>>;

/// Reads what is shown until told to stop; where the cursors are then. They never fall.
pub async fn read_on(
    client: Client,
    latest: Latest,
    load: Arc<Load>,
) -> HashMap<Conversation, Seq> {
    let mut cursors: HashMap<Conversation, Seq> = HashMap::new();
    while !load.stop.load(Ordering::SeqCst) {
        let shown = latest.lock().unwrap().clone();
        for (conversation, seq) in shown {
            if cursors.get(&conversation).is_some_and(|cursor| *cursor >= seq) {
                continue;
            }
            // What could not be told now is told with the next.
            if let Ok(reply) = client.read(&conversation, seq).await {
                let before = cursors.insert(conversation, reply.seq).unwrap_or_default();
                assert!(reply.seq >= before, "a cursor fell from {before} to {}", reply.seq);
            }
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    cursors
}

/// What a client has shown of a group.
pub type Shown = HashMap<Conversation, Vec<(Seq, ClientMsgId)>>;

fn places(log: &[Message]) -> Vec<(Seq, ClientMsgId)> {
    log.iter().map(|entry| (entry.seq, entry.client_msg_id)).collect()
}

/// The log of a group as its owner sees it, held against the rules; what else it came to is noted in the ledger.
pub async fn log_of(group: usize, clients: &[Client], ledger: &mut Ledger) -> Vec<Message> {
    let log = whole_history(&clients[members(group)[0]], &conversation(group)).await;
    ledger.holes += holes(log.iter().map(|entry| entry.seq.get()));
    let mut keys = HashSet::new();
    ledger.duplicates += log.iter().filter(|entry| !keys.insert(entry.client_msg_id)).count();
    let entries: Vec<_> = log.iter().map(|entry| serde_json::to_value(entry).unwrap()).collect();
    follow(&entries);
    // Some members ask the store too; what all of them were shown is compared at the end.
    for member in &members(group)[1..3] {
        let theirs = whole_history(&clients[*member], &conversation(group)).await;
        assert_eq!(places(&theirs), places(&log), "{member} sees another log of {group}");
    }
    view_of_visitor(group, clients, &log).await;
    log
}

/// Who comes and goes sees the log from the first entry that it may see, up to its last.
async fn view_of_visitor(group: usize, clients: &[Client], log: &[Message]) {
    let view = whole_history(&clients[visitor(group)], &conversation(group)).await;
    let (Some(first), Some(last)) = (view.first(), view.last()) else {
        panic!("the visitor of {group} sees nothing");
    };
    let part = first.seq.get() as usize - 1..last.seq.get() as usize;
    assert_eq!(places(&view), places(&log[part]), "the visitor of {group} sees another log");
    let guest = user(visitor(group));
    match kind(group) {
        GroupKind::Work => {
            // Of each stay the one sees that was the last to begin.
            let notice = |entry: &&Message| match &entry.content {
                Content::Notice(notice) => entry.seq > Seq::new(1) && notice.users.contains(&guest),
                _ => false,
            };
            let added = log.iter().filter(notice).rev().nth(1).expect("the visitor came and went");
            assert_eq!(first.seq, added.seq, "the view begins when the visitor came");
        }
        GroupKind::Meeting => assert_eq!(first.seq, Seq::new(1), "history is shown"),
    }
}

/// Holds what one was acked against a log.
pub fn hold_against(log: &[Message], acked: &Acked, ledger: &mut Ledger) {
    let at: HashMap<ClientMsgId, Seq> =
        log.iter().map(|entry| (entry.client_msg_id, entry.seq)).collect();
    let mut last = Seq::ZERO;
    for (key, seq) in acked {
        ledger.acked += 1;
        ledger.lost += usize::from(at.get(key) != Some(seq));
        assert!(*seq > last, "{key} overtook one that was said before it");
        last = *seq;
    }
}

/// Whether all who stayed were shown the whole log, each entry once and in its place.
pub fn all_agree(group: usize, log: &[Message], shown: &[Shown]) {
    for member in members(group) {
        let theirs = shown[member].get(&conversation(group)).map_or(&[][..], Vec::as_slice);
        assert_eq!(theirs, places(log), "{member} was shown another log of {group}");
    }
}

/// Whether the members have read as far as they were told at least.
pub async fn cursors_stand(
    group: usize,
    clients: &[Client],
    cursors: &[HashMap<Conversation, Seq>],
) -> usize {
    let page = clients[members(group)[0]].members(&id(group), None).await.unwrap();
    let mut count = 0;
    for member in members(group) {
        let own = page.members.iter().find(|own| own.user == user(member)).unwrap();
        let told = cursors[member].get(&conversation(group)).copied().unwrap_or_default();
        assert!(own.read.unwrap() >= told, "the cursor of {member} in {group} fell");
        count += usize::from(told > Seq::ZERO);
    }
    count
}
