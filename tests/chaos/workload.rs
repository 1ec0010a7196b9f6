//! People who talk, read, come and go, on however many nodes, until the run is over; and what is there in the end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rookery::client::raw::Connection;
use rookery::ids::Platform;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::common::groups::Random;
use super::client::Client;
use super::habits::Habit;
use super::history::{Entry, Log, Presence, What};
use super::recorder::{Device, Door, Recorder, entries};
use super::visitor::{VISITORS, visit};

/// A user's token, made when it is needed.
pub type Token = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// Every so manieth user has two phones beside the browser.
const WITH_PHONES: usize = 2;
const PHONES: [(&str, Platform); 2] = [("phone-a", Platform::Ios), ("phone-b", Platform::Android)];
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Each answer to what is asked at the beginning and in the end comes within this time, or it is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// How often a group is to be made, and how soon again.
const TRIES: usize = 10;
const TRIED_EVERY: Duration = Duration::from_secs(1);

/// How much goes on, and how long its end may take.
pub struct Plan {
    pub seed: u64,
    pub doors: Vec<Door>,
    pub users: usize,
    pub groups: usize,
    /// After the last fault: until all is sent and acked, and all is shown to all.
    pub settles_within: Duration,
    /// After the last change: until all who watch know how everybody is.
    pub true_within: Duration,
}

/// What the clients of a run share.
#[derive(Clone)]
pub struct Shared {
    pub recorder: Recorder,
    pub doors: Arc<Vec<Door>>,
    pub users: Arc<Vec<String>>,
    pub token: Token,
    /// How many of a crowd have yet to say what they have to say.
    pub crowd: Arc<watch::Sender<usize>>,
    /// From which of their phones users have logged in last.
    pub phones_in: Arc<HashMap<String, watch::Sender<String>>>,
    /// How the users are when nothing changes any more.
    pub truth: Arc<Mutex<HashMap<String, Presence>>>,
    pub true_within: Duration,
}

/// What the clients of a run are to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Anything, and a crowd talks to one who does not read for a while.
    Peace,
    /// Anything.
    Talking,
    /// Nothing new: have acked what was written.
    Settling,
    /// Nobody writes: have everything.
    Settled,
    /// Nobody moves: know how everybody is.
    Watching,
    Over,
}

/// How far a client is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// All that it wrote is settled.
    pub is_drained: bool,
    /// It has all that the others wrote.
    pub has_all: bool,
    /// It has taken down how all others seem to be.
    pub knows_all: bool,
    /// What is said of its user.
    pub text: Option<String>,
}

/// A run that goes on.
pub struct Workload {
    shared: Shared,
    phase: watch::Sender<Phase>,
    clients: Vec<(Device, watch::Receiver<Status>, JoinHandle<()>)>,
    visitors: Vec<JoinHandle<()>>,
    groups: Vec<(String, Vec<String>)>,
    settles_within: Duration,
}

/// Why the end of a run cannot be judged.
#[derive(Debug)]
pub struct Unsettled(pub String);

impl Workload {
    /// Makes the groups and lets everybody loose. The nodes are to be well until then.
    pub async fn start(plan: Plan, recorder: Recorder, token: Token) -> Self {
        let Plan { seed, doors, users, groups, settles_within, true_within } = plan;
        let users: Vec<String> = (0..users).map(|user| format!("user-{user}")).collect();
        let shared = Shared {
            recorder,
            doors: Arc::new(doors),
            users: Arc::new(users.clone()),
            token,
            crowd: Arc::new(watch::Sender::new(users.len() - 1)),
            phones_in: Arc::new(users.iter().map(|user| (user.clone(), nobody())).collect()),
            truth: Arc::default(),
            true_within,
        };
        // Each large group lacks another part of the users; a small one is of two, so that most nodes have nobody of
        // it.
        let members = |group: usize| {
            let two = [group % users.len(), (group + 2) % users.len()];
            let is_in = |user: &usize| match group % 2 {
                0 => (user + group) % 4 != 3,
                _ => two.contains(user),
            };
            let all = (0..users.len()).filter(is_in);
            all.map(|user| users[user].clone()).collect::<Vec<_>>()
        };
        let groups: Vec<_> =
            (0..groups).map(|group| (format!("group-{group}"), members(group))).collect();
        make_groups(&shared, &groups).await;

        let (phase, _) = watch::channel(Phase::Talking);
        let mut random = Random(seed);
        let mut clients = Vec::new();
        for (nth, user) in users.iter().enumerate() {
            let own = groups.iter().filter(|(_, members)| members.contains(user));
            let own: Vec<_> = own.map(|(id, _)| Log::group(id)).collect();
            let pairs = users.iter().map(|other| Log::pair(user, other));
            // As much in groups as in pairs.
            let all_own = own.iter().cycle().take(users.len().min(own.len() * users.len()));
            let logs: Vec<Log> = pairs.chain(all_own.cloned()).collect();
            let phones = if nth % WITH_PHONES == 0 { &PHONES[..] } else { &[] };
            let names: Vec<_> = phones.iter().map(|(id, _)| (*id).to_owned()).collect();
            for (id, platform) in [("main", Platform::Web)].iter().chain(phones) {
                let device =
                    Device { user: user.clone(), id: (*id).to_owned(), platform: *platform };
                let seed = random.below(usize::MAX) as u64;
                let is_browser = *platform == Platform::Web;
                let habit = Habit::of(nth, is_browser, &users[0], user);
                let (client, status) = Client::new(
                    device.clone(),
                    shared.clone(),
                    phase.subscribe(),
                    seed,
                    logs.clone(),
                    names.clone(),
                    habit,
                );
                clients.push((device, status, tokio::spawn(client.live())));
            }
        }
        Self { shared, phase, clients, visitors: Vec::new(), groups, settles_within }
    }

    /// From now on nothing is wrong: a crowd talks, and visitors come.
    pub fn begin_peace(&mut self) {
        self.phase.send_replace(Phase::Peace);
        let visit = |nth| tokio::spawn(visit(self.shared.clone(), nth, self.phase.subscribe()));
        self.visitors.extend((0..VISITORS).map(visit));
    }

    /// The visitors go.
    pub fn end_peace(&self) {
        self.phase.send_replace(Phase::Talking);
    }

    /// Lets all come to rest, and takes down what everybody sees then and what is stored. The nodes are to be well from
    /// now on. An error says who did not come to rest; what is judged then is how far it went.
    pub async fn finish(mut self) -> Result<(), Unsettled> {
        let outcome = self.come_to_rest().await;
        self.phase.send_replace(Phase::Over);
        let clients = self.clients.iter_mut().map(|(_, _, client)| client);
        for client in clients.chain(&mut self.visitors) {
            if tokio::time::timeout(ANSWER_WITHIN, &mut *client).await.is_err() {
                client.abort();
            }
        }
        for door in self.shared.doors.iter() {
            read_back(&self.shared, &self.groups, door).await?;
        }
        outcome
    }

    async fn come_to_rest(&mut self) -> Result<(), Unsettled> {
        self.phase.send_replace(Phase::Settling);
        self.all("has sent all", |status| status.is_drained).await?;
        self.phase.send_replace(Phase::Settled);
        self.all("has all", |status| status.has_all).await?;
        self.tell_truth();
        self.phase.send_replace(Phase::Watching);
        self.clients.retain(|(device, _, _)| device.platform == Platform::Web);
        self.all("knows how all are", |status| status.knows_all).await
    }

    async fn all(&self, what: &str, is_so: impl Fn(&Status) -> bool) -> Result<(), Unsettled> {
        let since = Instant::now();
        loop {
            let mut others = self.clients.iter().filter(|(_, status, _)| !is_so(&status.borrow()));
            let Some((device, status, client)) = others.next() else { return Ok(()) };
            let within = self.settles_within + self.shared.true_within;
            let has_ended = client.is_finished() && !is_so(&status.borrow());
            if since.elapsed() > within || has_ended {
                let status = status.borrow().clone();
                let says = format!("not so that {device:?} {what}: {status:?}");
                return Err(Unsettled(says));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// All that is left are the browsers, and what was said of each user last.
    fn tell_truth(&self) {
        for (device, status, _) in &self.clients {
            if device.platform != Platform::Web {
                continue;
            }
            let (text, user) = (status.borrow().text.clone(), device.user.clone());
            let status = if text.is_some() { "busy" } else { "available" };
            let (state, platforms) = ("online".to_owned(), vec!["web:online".to_owned()]);
            let presence = Presence { state, platforms, status: Some(status.to_owned()), text };
            self.shared
                .recorder
                .see(What::Truth { user: user.clone(), presence: presence.clone() });
            self.shared.truth.lock().unwrap().insert(user, presence);
        }
    }
}

fn nobody() -> watch::Sender<String> {
    watch::Sender::new(String::new())
}

/// A connection of which nothing is taken down.
struct Bare(Connection);

impl Bare {
    /// Logs a user in; the epoch.
    async fn log_in(shared: &Shared, door: &Door, user: &str) -> Result<(Self, String), Unsettled> {
        let opened = Connection::open(&door.address).await;
        let mut bare = Self(opened.map_err(|error| Unsettled(format!("{door:?}: {error}")))?);
        let device = json!({"id": "main", "platform": "web"});
        let body = json!({"user": user, "token": (shared.token)(user), "device": device});
        let ok = bare.ok("login", body).await?;
        Ok((bare, ok["epoch"].as_str().unwrap_or_default().to_owned()))
    }

    async fn ok(&mut self, cmd: &str, body: Value) -> Result<Value, Unsettled> {
        let reply = tokio::time::timeout(ANSWER_WITHIN, self.0.call(cmd, body)).await;
        let reply = reply.map_err(|_| Unsettled(format!("{cmd} was not answered")))?;
        let mut reply = reply.map_err(|parted| Unsettled(format!("{cmd}: {parted}")))?;
        match reply.get("ok") {
            Some(_) => Ok(reply["ok"].take()),
            None => Err(Unsettled(format!("{cmd}: {reply}"))),
        }
    }
}

async fn make_groups(shared: &Shared, groups: &[(String, Vec<String>)]) {
    let door = &shared.doors[0];
    // Whoever makes a group owns it.
    let doors = shared.doors.iter().cycle();
    // Who was never there cannot be made a member.
    for user in shared.users.iter() {
        Bare::log_in(shared, door, user).await.unwrap();
    }
    for ((id, members), door) in groups.iter().zip(doors) {
        let (mut owner, _) = Bare::log_in(shared, door, &members[0]).await.unwrap();
        let body = json!({"group": id, "kind": "work", "name": id, "members": members[1..]});
        for left in (0..TRIES).rev() {
            match owner.ok("group.create", body.clone()).await {
                Ok(_) => break,
                // On a busy machine a node may have no lease for a moment.
                Err(error) => assert!(left > 0, "{error:?}"),
            }
            tokio::time::sleep(TRIED_EVERY).await;
        }
    }
}

/// Takes down the whole of all logs and inboxes, as they are read through a node.
async fn read_back(
    shared: &Shared,
    groups: &[(String, Vec<String>)],
    door: &Door,
) -> Result<(), Unsettled> {
    for user in shared.users.iter() {
        let (mut bare, epoch) = Bare::log_in(shared, door, user).await?;
        let node = door.node.clone();
        let (head, _, entries) = whole(&mut bare, user, "message.inbox", json!({})).await?;
        let (own, of) = (user.clone(), epoch.clone());
        shared.recorder.see(What::InboxBack { node, user: own, epoch: of, head, entries });
        let pairs = shared.users.iter().filter(|other| user <= *other);
        let pairs = pairs.map(|other| Log::pair(user, other));
        let own = groups.iter().filter(|(_, members)| members.contains(user));
        for log in pairs.chain(own.map(|(id, _)| Log::group(id))) {
            let ask = json!({"conversation": log.name_for(user)});
            let (head, min_seq, entries) = whole(&mut bare, user, "message.history", ask).await?;
            let (node, user, epoch) = (door.node.clone(), user.clone(), epoch.clone());
            let back = What::ReadBack { node, user, epoch, log, min_seq, head, entries };
            shared.recorder.see(back);
        }
    }
    Ok(())
}

/// All pages of a stream: its head, the first place that may be seen, the entries.
async fn whole(
    bare: &mut Bare,
    user: &str,
    cmd: &str,
    mut ask: Value,
) -> Result<(u64, u64, Vec<Entry>), Unsettled> {
    let mut all: Vec<Entry> = Vec::new();
    ask["limit"] = json!(200);
    loop {
        let is_inbox = cmd == "message.inbox";
        let last = all.last().map_or(0, |entry| match entry.inbox {
            Some(inbox) if is_inbox => inbox,
            _ => entry.seq,
        });
        ask["after"] = json!(last);
        let page = bare.ok(cmd, ask.clone()).await?;
        let new = entries(user, &page["messages"]);
        let is_over = page["has_more"] != true || new.is_empty();
        all.extend(new);
        if is_over {
            let min_seq = page["min_seq"].as_u64().unwrap_or(1);
            return Ok((page["head"].as_u64().unwrap_or_default(), min_seq, all));
        }
    }
}
