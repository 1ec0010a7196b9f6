//! Members of a group on several nodes who talk all the time, and what they are shown and were acked.

use std::sync::Arc;
use std::time::Duration;

use rookery::client::{Client, Update, Updates};
use rookery::ids::{ClientMsgId, Conversation, GroupId, Seq};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::common::chat::{Raw, patience};
use super::common::cluster::{Cluster, soon, within};
use super::common::groups::{Said, Talk, follow, hold_against, whole_log};

/// How many messages each says at once, and how often: there is always something under way, and the machine is not busy.
const BURST: usize = 8;
const BURST_EVERY: Duration = Duration::from_millis(50);
/// How long it may take until all have been shown the last message, whatever has happened to the nodes before.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// A group as a conversation.
pub fn group(name: &str) -> Conversation {
    Conversation::Group(GroupId::parse(name).unwrap())
}

/// What a client has shown of a group.
type Shown = Vec<(Seq, ClientMsgId)>;

/// Those who talk.
pub struct Crew {
    pub talk: Arc<Talk>,
    group: String,
    members: Vec<Member>,
}

struct Member {
    id: String,
    client: Client,
    talking: JoinHandle<Said>,
    watching: JoinHandle<Shown>,
    /// Told with the last entry when all have come to an end.
    head: watch::Sender<Option<Seq>>,
}

impl Crew {
    /// Logs these in, each at the node beside, and lets them talk in their group, which is there.
    pub async fn at_it(cluster: &Cluster, group_id: &str, members: &[(usize, &str)]) -> Self {
        let talk = Arc::new(Talk::default());
        let mut all = Vec::new();
        for (place, id) in members {
            let options = cluster.options(*place, id);
            let (client, updates) = soon("a login", Client::connect(options)).await.unwrap();
            let (head, told) = watch::channel(None);
            let watching = tokio::spawn(watch_group(updates, group(group_id), told));
            let (own, talk, to) = (client.clone(), talk.clone(), group(group_id));
            let talking =
                tokio::spawn(async move { talk.in_bursts(&own, &to, BURST, BURST_EVERY).await });
            all.push(Member { id: (*id).to_owned(), client, talking, watching, head });
        }
        let crew = Self { talk, group: group_id.to_owned(), members: all };
        soon("everybody is acked", crew.go_on()).await;
        crew
    }

    /// Waits until all that is unanswered now was acked, and as much again that was said later.
    pub async fn go_on(&self) {
        let more = self.talk.unanswered() + (BURST * self.members.len()) as u64;
        self.talk.acks(more).await;
    }

    /// They come to an end. All that was acked must be stored once, in its place and in the order said, beside so many
    /// messages of others, and nothing else; and each of them must have been shown the whole of it.
    pub async fn account(self, reader: &mut Raw, of_others: usize) {
        self.talk.stop();
        let mut members = Vec::new();
        for member in self.members {
            let said = patience("the last acks", member.talking).await.unwrap();
            members.push((member.id, member.client, member.watching, member.head, said));
        }
        let log = patience("the log", whole_log(reader, &self.group)).await;
        follow(&log);
        let of = group(&self.group);
        let acked: usize = members.iter().map(|(.., said)| hold_against(&log, &of, said)).sum();
        let texts = log.iter().filter(|entry| entry["content"]["type"] == "text").count();
        assert_eq!(texts, acked + of_others, "the log holds what nobody was acked");
        let places: Vec<_> =
            log.iter().map(|entry| json!([entry["seq"], entry["client_msg_id"]])).collect();
        for (id, client, watching, head, _) in members {
            head.send(Some(Seq::new(log.len() as u64))).unwrap();
            let shown = within(SHOWN_WITHIN, "all of it is shown", watching).await.unwrap();
            let since = shown[0].0.get() as usize - 1;
            let shown: Vec<_> = shown.iter().map(|place| json!(place)).collect();
            assert_eq!(shown, places[since..], "{id} was shown another log");
            drop(client);
        }
        println!("acked {acked}, lost 0, holes 0, duplicates 0, one log for all");
    }
}

/// Gathers what a client shows of a group until it has come to the entry that is told in the end.
async fn watch_group(
    mut updates: Updates,
    of: Conversation,
    mut head: watch::Receiver<Option<Seq>>,
) -> Shown {
    let mut shown = Shown::new();
    loop {
        let is_there = |head: Seq| shown.last().is_some_and(|(seq, _)| *seq >= head);
        if head.borrow().is_some_and(is_there) {
            return shown;
        }
        tokio::select! {
            update = updates.next() => match update.expect("the client goes on") {
                Update::Received(message) | Update::Sent(message) if message.conversation == of => {
                    shown.push((message.seq, message.client_msg_id));
                }
                lost @ (Update::MissingInGroup { .. } | Update::EpochChanged { .. } | Update::Ended(_)) => {
                    panic!("{lost:?}");
                }
                _ => {}
            },
            // Whoever would tell has failed.
            changed = head.changed() => if changed.is_err() { return shown },
        }
    }
}
