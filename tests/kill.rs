//! Twenty users send to each other and in ten groups, some of them asleep now and then, with members who come and go, and
//! with phones that log in, push each other out and are ended, while the server, its PostgreSQL and its connections are
//! killed under them.
//!
//! Afterwards every acked message is there, once, at the seq that it was acked with, in the order in which its sender sent
//! it, no conversation and no inbox has a hole, and all members were shown one log. `cargo test --test kill -- --nocapture`
//! prints the ledger.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;
#[path = "kill/groups.rs"]
mod groups;
#[path = "kill/people.rs"]
mod people;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::node::{Node, Options, data_folder, run};
use common::postgres::Postgres;
use common::{GIVE_UP_AFTER, get, send_signal};
use rookery::client::{self, Client, TokenSource, Update, Updates};
use rookery::domain::usersig;
use rookery::ids::{AppId, ClientMsgId, Conversation, InboxSeq, Seq, UnixMs, UserId};
use rookery::limits;
use rookery::protocol::{Content, History, Limit, Message, StatusText};
use rookery::store::embedded;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use groups::{Acked, GROUPS, Latest, Shown};

const USERS: usize = 20;
/// Sends that each user has unanswered at most.
const WINDOW: usize = 4;
const NODE_KILLS: usize = 5;
const DATABASE_KILLS: usize = 5;
const CONNECTION_KILLS: usize = 20;
/// A strike counts only while at least this many sends are unanswered.
const UNANSWERED_AT_LEAST: u64 = 20;
/// Acks between two strikes: the system has recovered and works again.
const ACKS_BETWEEN: u64 = 200;

/// What one user sent, in order, by conversation.
type Sent = HashMap<Conversation, Vec<(ClientMsgId, Option<Seq>)>>;

struct Load {
    posted: AtomicU64,
    acked: watch::Sender<u64>,
    stop: AtomicBool,
}

impl Load {
    fn unanswered(&self) -> u64 {
        self.posted.load(Ordering::SeqCst) - *self.acked.borrow()
    }

    /// Waits for so many more acks.
    async fn acks(&self, more: u64) {
        let mut acked = self.acked.subscribe();
        let goal = *acked.borrow() + more;
        let reached = acked.wait_for(|acked| *acked >= goal);
        tokio::time::timeout(GIVE_UP_AFTER, reached).await.expect("sends are acked").unwrap();
    }

    /// Strikes while enough is unanswered for it to count.
    async fn strike(&self, strike: impl FnOnce()) {
        let enough = async {
            while self.unanswered() < UNANSWERED_AT_LEAST {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(GIVE_UP_AFTER, enough).await.expect("sends are under way");
        let unanswered = self.unanswered();
        strike();
        assert!(unanswered >= UNANSWERED_AT_LEAST, "only {unanswered} sends were unanswered");
    }
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

fn with(user: usize) -> Conversation {
    Conversation::parse(&format!("user:{}", name(user))).unwrap()
}

/// Sends to the others in turn until told to stop, never more than the window unanswered, and remembers what was acked.
async fn send_on(me: usize, client: Client, load: Arc<Load>) -> Sent {
    let sent: Arc<Mutex<Sent>> = Arc::default();
    let room = Arc::new(tokio::sync::Semaphore::new(WINDOW));
    let peers = (1..USERS).map(|n| with((me + n) % USERS));
    let mut groups = groups::busy_of(me).into_iter().cycle();
    let places: Vec<_> =
        peers.flat_map(|peer| std::iter::once(peer).chain(groups.next())).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0.. {
        let permit = room.clone().acquire_owned().await.unwrap();
        if load.stop.load(Ordering::SeqCst) {
            break;
        }
        // Two in a row to each, so that the order within a conversation is at stake.
        let to = places[n / 2 % places.len()].clone();
        let content = Content::Text { text: format!("{me}:{n}") };
        let posted = client.post(&to, content).await.unwrap();
        load.posted.fetch_add(1, Ordering::SeqCst);
        let key = posted.client_msg_id;
        let place = {
            let mut sent = sent.lock().unwrap();
            let log = sent.entry(to.clone()).or_default();
            log.push((key, None));
            log.len() - 1
        };
        let (load, sent) = (load.clone(), sent.clone());
        tasks.spawn(async move {
            let ack = posted.acked().await.expect("a send is acked in the end");
            sent.lock().unwrap().get_mut(&to).unwrap()[place].1 = Some(ack.seq);
            load.acked.send_modify(|acked| *acked += 1);
            drop(permit);
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    Arc::try_unwrap(sent).unwrap().into_inner().unwrap()
}

/// Up to where a client is to have shown everything.
#[derive(Clone)]
struct Goal {
    inbox: InboxSeq,
    groups: Vec<(Conversation, Seq)>,
}

impl Goal {
    fn is_reached(&self, inbox: &[u64], shown: &Shown) -> bool {
        let last = |of: &Conversation| shown.get(of).and_then(|shown| shown.last());
        inbox.len() as u64 >= self.inbox.get()
            && self.groups.iter().all(|(of, head)| last(of).is_some_and(|(seq, _)| seq >= head))
    }
}

/// Gathers the inbox and the groups as an app would show them, until all is there.
async fn watch_all(
    mut updates: Updates,
    latest: Latest,
    mut goal: watch::Receiver<Option<Goal>>,
) -> (Vec<u64>, Shown) {
    let (mut inbox, mut shown) = (Vec::new(), Shown::new());
    loop {
        if goal.borrow().as_ref().is_some_and(|goal| goal.is_reached(&inbox, &shown)) {
            return (inbox, shown);
        }
        tokio::select! {
            update = updates.next() => match update.expect("the client goes on") {
                Update::Received(message) | Update::Sent(message) => {
                    latest.lock().unwrap().insert(message.conversation.clone(), message.seq);
                    match message.inbox {
                        Some(number) => inbox.push(number.get()),
                        None => shown
                            .entry(message.conversation)
                            .or_default()
                            .push((message.seq, message.client_msg_id)),
                    }
                }
                Update::Missing { .. }
                | Update::MissingInGroup { .. }
                | Update::EpochChanged { .. }
                | Update::Ended(_) => panic!("nothing was lost"),
                _ => {}
            },
            changed = goal.changed() => changed.unwrap(),
        }
    }
}

/// The processes of the private PostgreSQL, the first one first.
fn postgres_processes(node: &Node) -> Vec<u32> {
    let first = node.postgres_pid().expect("PostgreSQL runs");
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
    std::iter::once(first).chain(children).collect()
}

/// Ends the connections that are in the middle of an append; how many.
async fn end_connections_in_commits(database: &tokio_postgres::Client) -> usize {
    let ended = database
        .query(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where state = 'active' and pid <> pg_backend_pid() and
               (query like '%append_pairs%' or query like '%into group_messages%' or query like '%change_group(%')",
            &[],
        )
        .await
        .unwrap();
    ended.len()
}

fn metric(node: &Node, name: &str) -> u64 {
    let (_, metrics) = get(node.inside(), "/metrics").expect("the server shows its metrics");
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

async fn whole_history(client: &Client, of: &Conversation) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let after = messages.last().map_or(Seq::ZERO, |last| last.seq);
        let limit = Limit::new(limits::PAGE_MAX);
        let page = History { conversation: of.clone(), after: Some(after), before: None, limit };
        let page = client.history(&page).await.unwrap();
        messages.extend(page.messages);
        if !page.has_more {
            assert_eq!(messages.last().map_or(Seq::ZERO, |last| last.seq), page.head);
            return messages;
        }
    }
}

async fn whole_inbox(client: &Client) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let after = messages.last().and_then(|last| last.inbox).unwrap_or_default();
        let page = client.inbox(after, Limit::new(limits::PAGE_MAX)).await.unwrap();
        messages.extend(page.messages);
        if !page.has_more {
            return messages;
        }
    }
}

/// How many numbers are missing from 1, 2, 3 …
fn holes(numbers: impl Iterator<Item = u64>) -> usize {
    let numbers: HashSet<u64> = numbers.collect();
    (1..=numbers.iter().copied().max().unwrap_or_default())
        .filter(|number| !numbers.contains(number))
        .count()
}

/// Twenty users who send, watch and read, and ten groups of them.
struct Crowd {
    load: Arc<Load>,
    clients: Vec<Client>,
    senders: Vec<JoinHandle<Sent>>,
    watchers: Vec<JoinHandle<(Vec<u64>, Shown)>>,
    goals: Vec<watch::Sender<Option<Goal>>>,
    readers: Vec<JoinHandle<HashMap<Conversation, Seq>>>,
    /// Who comes and goes, and who speaks now and then, each in a group.
    others: Vec<(usize, JoinHandle<Acked>)>,
    phones: Vec<(usize, JoinHandle<people::Phones>)>,
    statuses: Vec<JoinHandle<StatusText>>,
}

impl Crowd {
    /// Logs everybody in and makes the groups, then lets them send.
    async fn gather(node: &Node, secret: &str) -> Self {
        let acked = watch::Sender::new(0);
        let load =
            Arc::new(Load { posted: AtomicU64::new(0), acked, stop: AtomicBool::new(false) });
        let (mut clients, mut watchers, mut goals) = (Vec::new(), Vec::new(), Vec::new());
        let (mut readers, mut all_options) = (Vec::new(), Vec::new());
        for user in 0..USERS {
            let id = UserId::parse(&name(user)).unwrap();
            let token = usersig::sign(secret, AppId::DEFAULT, &id, now(), 3600);
            let address = node.http().to_string();
            let mut options = client::Options::new(address, id, TokenSource::fixed(token));
            options.backoff = (Duration::from_millis(50), Duration::from_millis(500));
            all_options.push(options.clone());
            let (client, updates) = Client::connect(options).await.unwrap();
            let (goal, told) = watch::channel(None);
            let latest = Latest::default();
            watchers.push(tokio::spawn(watch_all(updates, latest.clone(), told)));
            goals.push(goal);
            readers.push(tokio::spawn(groups::read_on(client.clone(), latest, load.clone())));
            clients.push(client);
        }
        groups::make(&clients).await;
        let send = |(me, client): (usize, &Client)| {
            tokio::spawn(send_on(me, client.clone(), load.clone()))
        };
        let senders = clients.iter().enumerate().map(send).collect();
        let visit = |group: usize| {
            (group, tokio::spawn(groups::visit(group, clients.clone(), load.clone())))
        };
        let wake = |(group, speaker): (usize, usize)| {
            let client = clients[speaker].clone();
            (group, tokio::spawn(groups::wake(group, client, load.clone())))
        };
        let others = (0..GROUPS).map(visit).chain(groups::quiet().map(wake)).collect();
        let change_phones = |me: usize| {
            let (main, options) = (clients[me].clone(), all_options[me].clone());
            (me, tokio::spawn(people::change_phones(main, options, me, load.clone())))
        };
        let phones = people::owners().map(change_phones).collect();
        let change_status =
            |client: &Client| tokio::spawn(people::change_status(client.clone(), load.clone()));
        let statuses = clients.iter().map(change_status).collect();
        load.acks(ACKS_BETWEEN).await;
        Self { load, clients, senders, watchers, goals, readers, others, phones, statuses }
    }

    /// Lets what is under way come to its end, and holds all that was acked against what is stored and was shown.
    async fn account(self) -> Ledger {
        self.load.stop.store(true, Ordering::SeqCst);
        let mut sent = Vec::new();
        for sender in self.senders {
            sent.push(tokio::time::timeout(GIVE_UP_AFTER, sender).await.unwrap().unwrap());
        }
        let mut ledger = Ledger::default();
        let mut others = Vec::new();
        for (group, other) in self.others {
            let acked = tokio::time::timeout(GIVE_UP_AFTER, other).await.unwrap().unwrap();
            others.push((group, acked));
        }
        let (mut phones, mut statuses) = (Vec::new(), Vec::new());
        for (me, own) in self.phones {
            phones.push((me, tokio::time::timeout(GIVE_UP_AFTER, own).await.unwrap().unwrap()));
        }
        for status in self.statuses {
            statuses.push(tokio::time::timeout(GIVE_UP_AFTER, status).await.unwrap().unwrap());
        }
        let mut cursors = Vec::new();
        for reader in self.readers {
            cursors.push(tokio::time::timeout(GIVE_UP_AFTER, reader).await.unwrap().unwrap());
        }
        let mut logs = Vec::new();
        for group in 0..GROUPS {
            let log = groups::log_of(group, &self.clients, &mut ledger).await;
            for (_, acked) in others.iter().filter(|(of, _)| *of == group) {
                groups::hold_against(&log, acked, &mut ledger);
            }
            ledger.cursors += groups::cursors_stand(group, &self.clients, &cursors).await;
            logs.push(log);
        }
        let of_others = ledger.acked;
        for (me, client) in self.clients.iter().enumerate() {
            for peer in (0..USERS).filter(|peer| *peer != me) {
                let history = whole_history(client, &with(peer)).await;
                ledger.holes += holes(history.iter().map(|message| message.seq.get()));
                let mut keys = HashSet::new();
                ledger.duplicates +=
                    history.iter().filter(|message| !keys.insert(message.client_msg_id)).count();
                hold_sent(&history, sent[me].get(&with(peer)), &mut ledger);
            }
            for (group, log) in logs.iter().enumerate() {
                hold_sent(log, sent[me].get(&groups::conversation(group)), &mut ledger);
            }
            let inbox = whole_inbox(client).await;
            let numbers = inbox.iter().filter_map(|message| message.inbox).map(InboxSeq::get);
            ledger.holes += holes(numbers);
            let head = inbox.last().and_then(|last| last.inbox).unwrap_or_default();
            assert_eq!(inbox.len() as u64, head.get());
            let of_groups = (0..GROUPS).filter(|group| groups::members(*group).contains(&me));
            let head_of =
                |group: usize| (groups::conversation(group), logs[group].last().unwrap().seq);
            let goal = Goal { inbox: head, groups: of_groups.map(head_of).collect() };
            self.goals[me].send(Some(goal)).unwrap();
        }
        assert_eq!((ledger.acked - of_others) as u64, *self.load.acked.borrow());
        people::account(&self.clients, phones, &statuses, &mut ledger).await;
        let mut shown = Vec::new();
        for watcher in self.watchers {
            let (inbox, groups) =
                tokio::time::timeout(GIVE_UP_AFTER, watcher).await.unwrap().unwrap();
            assert!(inbox.is_sorted_by(|one, next| one + 1 == *next), "each once, in order");
            shown.push(groups);
        }
        for (group, log) in logs.iter().enumerate() {
            groups::all_agree(group, log, &shown);
            ledger.in_groups += log.len();
        }
        ledger
    }
}

/// Holds what one sent to one conversation against its log.
fn hold_sent(log: &[Message], sent: Option<&Vec<(ClientMsgId, Option<Seq>)>>, ledger: &mut Ledger) {
    let acked = sent.into_iter().flatten();
    let acked: Acked = acked.map(|(key, seq)| (*key, seq.expect("everything was acked"))).collect();
    groups::hold_against(log, &acked, ledger);
}

/// What came of a run.
#[derive(Debug, Default)]
struct Ledger {
    acked: usize,
    lost: usize,
    holes: usize,
    duplicates: usize,
    /// Entries of groups, notices included, that all members were shown in one order.
    in_groups: usize,
    /// Cursors in groups that stand where they were told to be, or beyond.
    cursors: usize,
}

impl Ledger {
    fn close(&self) {
        let Self { acked, lost, holes, duplicates, in_groups, cursors } = self;
        println!("acked {acked}, lost {lost}, holes {holes}, duplicates {duplicates}");
        println!("{in_groups} entries of groups in one order for all, {cursors} cursors stand");
        assert_eq!((*lost, *holes, *duplicates), (0, 0, 0));
    }
}

/// What a server says of outcomes that were unknown: how many, found stored, appended again.
fn outcomes(node: &Node) -> (u64, u64, u64) {
    let resolved = "rookery_journal_outcomes_resolved_total";
    let unknown = metric(node, "rookery_journal_outcomes_unknown_total ");
    let stored = metric(node, &format!("{resolved}{{found=\"true\"}}"));
    let again = metric(node, &format!("{resolved}{{found=\"false\"}}"));
    println!("outcomes unknown {unknown}: {stored} were stored, {again} were appended again");
    (unknown, stored, again)
}

/// A server whose groups fall asleep after a second.
fn sleepy() -> Options {
    Options::default().env("ROOKERY__GROUPS__SLEEP_AFTER_S", "1")
}

fn secret(data_dir: &Path, env: &[(&str, &str)]) -> String {
    let shown = String::from_utf8(run(data_dir, &["key", "show"], env).stdout).unwrap();
    shown.lines().find_map(|line| line.strip_prefix("secret=")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acked_is_lost_when_everything_is_killed_under_load() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), sleepy());
    let port = node.http().port().to_string();
    let again = || sleepy().env("ROOKERY__HTTP__PORT", &port);
    let crowd = Crowd::gather(&node, &secret(folder.path(), &[])).await;
    let load = crowd.load.clone();

    for _ in 0..NODE_KILLS {
        load.strike(|| node.kill()).await;
        node = Node::start_in(folder.path(), again());
        load.acks(ACKS_BETWEEN).await;
    }
    for _ in 0..DATABASE_KILLS {
        let processes = postgres_processes(&node);
        load.strike(|| processes.iter().for_each(|pid| send_signal(*pid, "KILL"))).await;
        load.acks(ACKS_BETWEEN).await;
    }
    node.await_all_ready();
    let config = embedded::config_beside(folder.path()).expect("the private server's socket");
    let (database, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..CONNECTION_KILLS {
        loop {
            load.strike(|| ()).await;
            if end_connections_in_commits(&database).await > 0 {
                break;
            }
        }
        load.acks(ACKS_BETWEEN).await;
    }

    let ledger = crowd.account().await;
    println!("groups woken since the last start: {}", metric(&node, "rookery_groups_woken_total "));
    let (unknown, stored, again) = outcomes(&node);
    assert!(unknown > 0 && stored + again > 0, "no unknown outcome was met and resolved");
    ledger.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_whose_answers_are_cut_off_are_acked_as_they_were_stored() {
    let folder = data_folder();
    let postgres = Postgres::start(&[]).await;
    let between = Between::start(postgres.socket_folder());
    let url = format!("host={} user=rookery dbname=postgres", between.folder.path().display());
    let options = sleepy().env("ROOKERY__DATABASE__URL", &url);
    let node = Node::start_in(folder.path(), options);
    let env = [("ROOKERY__DATABASE__URL", url.as_str())];
    let crowd = Crowd::gather(&node, &secret(folder.path(), &env)).await;
    let load = crowd.load.clone();

    for _ in 0..CONNECTION_KILLS {
        load.strike(|| between.cut_answers()).await;
        load.acks(ACKS_BETWEEN).await;
    }

    let ledger = crowd.account().await;
    let (_, stored, _) = outcomes(&node);
    assert!(stored > 0, "no commit lost its answer");
    ledger.close();
}

/// Stands between a server and its PostgreSQL. When told so it lets what is asked through, swallows the next answer on
/// each connection, and cuts it.
struct Between {
    folder: TempDir,
    cuts: watch::Sender<u64>,
}

impl Between {
    fn start(postgres: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("rookery-cut-").tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let cuts = watch::Sender::new(0);
        let (socket, told) = (postgres.join(SOCKET), cuts.subscribe());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&socket).await else { continue };
                tokio::spawn(relay(client, server, told.clone()));
            }
        });
        Self { folder, cuts }
    }

    fn cut_answers(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

const SOCKET: &str = ".s.PGSQL.5432";

async fn relay(client: UnixStream, server: UnixStream, cuts: watch::Receiver<u64>) {
    let at_first = *cuts.borrow();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move {
        // Ends when either side does.
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut answer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut answer).await {
        if *cuts.borrow() != at_first || to_client.write_all(&answer[..length]).await.is_err() {
            break;
        }
    }
    asking.abort();
}

fn now() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixMs::new(since.as_millis() as i64)
}
