//! Does what a schedule says to three real nodes, a PostgreSQL and a Redis, and keeps the nodes up as a supervisor would.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use rookery::ids::Shard;
use tokio::time::Instant;
use tokio_postgres::Row;

use super::chaos::recorder::{Door, Recorder};
use super::common::cluster::Cluster;
use super::common::get;
use super::common::node::Options;
use super::faults::{Fault, Heading, Link, Strike, is_alone};
use super::observer::{Mood, Observer};
use super::way::{Target, Way};

pub const NODES: usize = 3;
/// How often the nemesis looks whether something is due, and whether a node has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node that has ended by itself is started again after this time.
const STARTED_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// As between two machines that are apart: what has to be waited for before a word goes out shows only where words take
/// time.
const REDIS_TAKES: Duration = Duration::from_millis(5);
const LOST: [&str; 2] = ["rookery_bus_gaps_total", "rookery_bus_unsent_total"];
const TERMINATED_EVERY: Duration = Duration::from_millis(150);
/// How long commits take in whose middle connections end, and how often the ways to the store do. Not at once after each
/// other, or nobody would have got so far as to commit.
const COMMITS_TAKE: Duration = Duration::from_millis(300);
const ENDED_IN_SLOW_COMMITS_EVERY: Duration = Duration::from_millis(700);
/// How long a commit takes that may be refused: until more waits behind it.
const REFUSALS_TAKE: Duration = Duration::from_millis(60);
/// How long clients have to be elsewhere before the words of their node are held up.
const CLIENTS_LEAVE: Duration = Duration::from_millis(600);
/// How often it is looked whether others have the shards of a node whose words are held up: before they use them.
const LOOK_FOR_CLAIMS_EVERY: Duration = Duration::from_millis(5);
/// How long the others do nothing then: until what was held up has been carried out.
const STATEMENT_TAKES: Duration = Duration::from_millis(300);
/// A node that was asked to stop has ended within this time, or is killed.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);
/// A node that is frozen for less may thaw before another has its shards.
const LEASE: Duration = Duration::from_secs(10);

/// Those who are hurt, and by what they are reached.
pub struct Nemesis {
    cluster: Cluster,
    ways: Vec<Ways>,
    nodes: Vec<State>,
    recorder: Recorder,
    began: Instant,
    terminated: Option<Instant>,
    ended_in_commits: Option<Instant>,
    frozen: BTreeSet<usize>,
    /// Whose words to PostgreSQL are held up until others have its shards.
    overtaken: Option<usize>,
    observer: Observer,
    /// What was done, by its kind.
    pub done: BTreeMap<&'static str, usize>,
    /// Which groups lost their owner.
    pub orphaned: Vec<Orphaned>,
    /// What was seen besides, for people.
    pub notes: Vec<String>,
    /// What the processes of each node have said that have ended.
    said: Vec<String>,
}

/// A group whose owner is gone.
pub struct Orphaned {
    pub group: String,
    /// When in the history.
    pub at_us: u64,
    /// Nothing else was wrong that keeps others from taking it over.
    pub is_alone: bool,
}

/// The ways to a node, and from it to what it needs.
struct Ways {
    clients: Way,
    store: Way,
    redis: Way,
}

impl Ways {
    async fn open() -> Self {
        let redis = Way::open_long(REDIS_TAKES).await;
        Self { clients: Way::open().await, store: Way::open().await, redis }
    }

    fn of(&self, link: Link) -> &Way {
        match link {
            Link::Clients => &self.clients,
            Link::Store => &self.store,
            Link::Redis => &self.redis,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Up,
    Starting,
    /// We ended it, and start it again.
    Down,
    /// It was asked to stop.
    Stopping(Instant),
    /// It has ended by itself.
    Ended(Instant),
}

impl Nemesis {
    /// Three nodes that are ready and well, which are reached by ways that can be harmed.
    pub async fn start(recorder: Recorder, options: Options) -> Self {
        let mut ways = Vec::new();
        let own = async |_, options: Options, postgres: &_, redis: &_| {
            let own = Ways::open().await;
            let options = led_by(&own, options, postgres, redis);
            ways.push(own);
            options
        };
        let cluster = Cluster::start_each(NODES, options, own).await;
        for (place, ways) in ways.iter().enumerate() {
            ways.clients.lead_to(Target::Tcp(cluster.node(place).http()));
        }
        cluster.await_settled().await;
        let observer = Observer::begin(cluster.database().await, cluster.database_url()).await;
        Self {
            cluster,
            ways,
            nodes: vec![State::Up; NODES],
            recorder,
            began: Instant::now(),
            terminated: None,
            ended_in_commits: None,
            frozen: BTreeSet::new(),
            overtaken: None,
            observer,
            done: BTreeMap::new(),
            orphaned: Vec::new(),
            notes: Vec::new(),
            said: vec![String::new(); NODES],
        }
    }

    /// Where clients connect.
    pub fn doors(&self) -> Vec<Door> {
        let door = |(place, ways): (usize, &Ways)| Door {
            node: format!("n{place}"),
            address: ways.clients.address().to_string(),
        };
        self.ways.iter().enumerate().map(door).collect()
    }

    /// The nodes.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Does all that the schedule says, and lets all be well again.
    pub async fn perform(&mut self, schedule: &[Strike]) {
        self.began = Instant::now();
        // The end of one before the beginning of another at the same moment.
        let mut moments: Vec<(Duration, bool, &Strike)> = Vec::new();
        for strike in schedule {
            moments.push((strike.at, true, strike));
            moments.push((strike.at + strike.lasts, false, strike));
        }
        moments.sort_by_key(|(at, begins, _)| (*at, *begins));
        for (at, begins, strike) in moments {
            while self.began.elapsed() < at {
                self.look_after().await;
            }
            if begins {
                self.begin(strike, is_alone(schedule, strike)).await;
            } else {
                self.end(strike.fault).await;
            }
        }
        for ways in &self.ways {
            [&ways.clients, &ways.store, &ways.redis].into_iter().for_each(Way::mend);
        }
        while self.nodes.iter().any(|state| *state != State::Up) {
            self.look_after().await;
        }
        for place in 0..NODES {
            self.cluster.node(place).await_all_ready();
        }
    }

    /// Looks after the nodes while nothing is done to them. It ends when it is dropped.
    pub async fn watch(&mut self) {
        loop {
            self.look_after().await;
        }
    }

    async fn begin(&mut self, strike: &Strike, is_alone: bool) {
        let Strike { fault, lasts, .. } = *strike;
        *self.done.entry(fault.kind()).or_default() += 1;
        match fault {
            Fault::Kill { node } => {
                self.orphan(node, is_alone).await;
                if self.cluster.node(node).is_running() {
                    self.cluster.kill(node);
                }
                self.nodes[node] = State::Down;
            }
            Fault::Freeze { node } => {
                if lasts > LEASE {
                    self.orphan(node, is_alone).await;
                }
                self.frozen.insert(node);
                self.cluster.freeze(node);
            }
            Fault::Stop { node } => {
                self.cluster.ask_to_stop(node);
                self.nodes[node] = State::Stopping(Instant::now());
            }
            Fault::Cut { node, link, heading } => self.ways[node].of(link).hold(heading),
            Fault::Part { node, link } => self.ways[node].of(link).part(),
            Fault::Slow { node, link } => self.ways[node].of(link).slow_down(),
            Fault::Truncate { node, link, heading, bytes } => {
                self.ways[node].of(link).end_after(heading, bytes);
            }
            Fault::EndCommits => {
                self.ways.iter().for_each(|ways| ways.store.end_after(Heading::Back, 0));
            }
            Fault::RefuseCommits => self.observer.set(Mood::Refuses(REFUSALS_TAKE)).await,
            Fault::SlowCommits => {
                self.observer.set(Mood::Waits(COMMITS_TAKE)).await;
                self.ended_in_commits = Some(Instant::now());
            }
            Fault::Overtake { node } => {
                self.ways[node].clients.part();
                tokio::time::sleep(CLIENTS_LEAVE).await;
                self.ways[node].store.hold(Heading::There);
                self.overtaken = Some(node);
            }
            Fault::Terminate => {
                self.observer.set(Mood::Waits(COMMITS_TAKE)).await;
                self.terminated = Some(Instant::now());
            }
            Fault::KillRedis => self.cluster.redis().kill().await,
            Fault::FlushRedis => {
                let flush = self.cluster.redis().ask("FLUSHALL");
                let _ = tokio::time::timeout(ANSWERS_WITHIN, flush).await;
            }
            Fault::FreezeRedis => self.cluster.redis().pause(),
            Fault::KillPostgres => self.cluster.postgres().kill().await,
        }
    }

    async fn end(&mut self, fault: Fault) {
        match fault {
            Fault::Kill { node } => self.launch(node),
            Fault::Freeze { node } => {
                self.frozen.remove(&node);
                self.cluster.thaw(node);
            }
            // When it has ended.
            Fault::Stop { .. } | Fault::FlushRedis => {}
            Fault::Cut { node, link, .. }
            | Fault::Part { node, link }
            | Fault::Slow { node, link }
            | Fault::Truncate { node, link, .. } => self.ways[node].of(link).mend(),
            Fault::EndCommits => self.ways.iter().for_each(|ways| ways.store.mend()),
            Fault::RefuseCommits => self.observer.set(Mood::Calm).await,
            Fault::SlowCommits => {
                self.ended_in_commits = None;
                self.observer.set(Mood::Calm).await;
            }
            Fault::Overtake { node } => {
                self.overtaken = None;
                self.ways[node].store.mend();
                self.ways[node].clients.mend();
            }
            Fault::Terminate => {
                self.terminated = None;
                self.observer.set(Mood::Calm).await;
            }
            Fault::KillRedis => self.cluster.redis().start_again().await,
            Fault::FreezeRedis => self.cluster.redis().resume(),
            Fault::KillPostgres => self.cluster.postgres().start_again().await,
        }
    }

    /// One look: nodes that have come up, that have ended, that are to be started again.
    async fn look_after(&mut self) {
        match self.overtaken {
            Some(node) => {
                tokio::time::sleep(LOOK_FOR_CLAIMS_EVERY).await;
                self.look_for_claims(node).await;
            }
            None => tokio::time::sleep(LOOK_EVERY).await,
        }
        if self.terminated.is_some_and(|last| last.elapsed() > TERMINATED_EVERY) {
            self.terminated = Some(Instant::now());
            self.terminate().await;
        }
        if self.ended_in_commits.is_some_and(|last| last.elapsed() > ENDED_IN_SLOW_COMMITS_EVERY) {
            self.ended_in_commits = Some(Instant::now());
            self.ways.iter().for_each(|ways| ways.store.end_all());
        }
        for place in 0..NODES {
            let is_running = self.cluster.node(place).is_running();
            match self.nodes[place] {
                State::Up | State::Starting if !is_running => {
                    // One that begins while the store is away says so and ends, as it should.
                    let when =
                        if self.nodes[place] == State::Up { "by itself" } else { "at its start" };
                    self.note(format!("node {place} has ended {when}: {}", self.last_of(place)));
                    self.nodes[place] = State::Ended(Instant::now());
                }
                State::Starting if self.cluster.is_ready(place) => {
                    let http = self.cluster.node(place).http();
                    self.ways[place].clients.lead_to(Target::Tcp(http));
                    self.nodes[place] = State::Up;
                }
                State::Stopping(_) if !is_running => self.launch(place),
                State::Stopping(since) if since.elapsed() > STOPS_WITHIN => {
                    self.note(format!("node {place} does not stop in {STOPS_WITHIN:?}"));
                    self.cluster.kill(place);
                }
                State::Ended(since) if since.elapsed() > STARTED_AGAIN_AFTER => self.launch(place),
                _ => {}
            }
        }
    }

    /// When others have all the groups of a node whose words are held up, they do nothing until these have arrived.
    async fn look_for_claims(&mut self, node: usize) {
        let id = self.cluster.id_of(node);
        let Some(groups) = self.observer.groups_of(id).await else { return };
        if groups > 0 {
            return;
        }
        self.overtaken = None;
        let is_awake = |place: &usize| {
            self.nodes[*place] == State::Up && *place != node && !self.frozen.contains(place)
        };
        let others: Vec<usize> = (0..NODES).filter(is_awake).collect();
        others.iter().for_each(|place| self.cluster.freeze(*place));
        self.ways[node].store.mend();
        tokio::time::sleep(STATEMENT_TAKES).await;
        others.iter().for_each(|place| self.cluster.thaw(*place));
    }

    /// Under which epoch each group is owned.
    pub async fn claims(&self) -> BTreeMap<String, i64> {
        let database = self.cluster.database().await;
        let claims = "select g.id, o.epoch from groups g
            join shard_owner o on o.shard = g.conversation_no % $1::bigint";
        let rows = database.query(claims, &[&i64::from(Shard::COUNT)]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// What nodes have lost of what they told each other, as they count it themselves.
    pub fn lost_letters(&self) -> u64 {
        let places = 0..NODES;
        let metrics = places.filter_map(|place| get(self.cluster.node(place).inside(), "/metrics"));
        let count = |metrics: &str| -> u64 {
            let lines =
                metrics.lines().filter(|line| LOST.iter().any(|lost| line.starts_with(lost)));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
        };
        metrics.map(|(_, metrics)| count(&metrics)).sum()
    }

    /// Takes down who owned what, and who appended what.
    pub async fn tell_owners(&self) {
        let ids: BTreeMap<i64, String> =
            (0..NODES).map(|place| (self.cluster.id_of(place), format!("n{place}"))).collect();
        let name = |id: i64| ids.get(&id).cloned().unwrap_or_else(|| format!("node {id}"));
        self.observer.tell(&self.recorder, name).await;
    }

    fn launch(&mut self, place: usize) {
        let said = self.cluster.node(place).stderr();
        self.said[place] += &format!("{said}\n--- started again\n");
        self.cluster.relaunch(place);
        self.nodes[place] = State::Starting;
    }

    fn last_of(&self, place: usize) -> String {
        let said = self.cluster.node(place).stderr();
        said.lines().last().unwrap_or_default().to_owned()
    }

    fn note(&mut self, note: String) {
        self.notes.push(format!("{:7.2} s: {note}", self.began.elapsed().as_secs_f64()));
    }

    async fn terminate(&mut self) {
        let end = async {
            let database = self.cluster.postgres().try_connect().await.ok()?;
            let others = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                where pid <> pg_backend_pid() and backend_type = 'client backend'";
            database.query_one(others, &[]).await.ok()
        };
        let _ = tokio::time::timeout(ANSWERS_WITHIN, end).await;
    }

    /// Takes down which groups a node owns that is about to be gone.
    async fn orphan(&mut self, place: usize, is_alone: bool) {
        let at_us = self.recorder.now_us();
        let id = self.cluster.id_of(place);
        let owned = async {
            let database = self.cluster.postgres().try_connect().await.ok()?;
            let owned = "select g.id from groups g
                join shard_owner o on o.shard = g.conversation_no % $2::bigint
                where o.node = $1";
            database.query(owned, &[&id, &i64::from(Shard::COUNT)]).await.ok()
        };
        if let Ok(Some(rows)) = tokio::time::timeout(ANSWERS_WITHIN, owned).await {
            let orphaned = |row: &Row| Orphaned { group: row.get(0), at_us, is_alone };
            self.orphaned.extend(rows.iter().map(orphaned));
        }
    }

    /// Keeps what the nodes have said.
    pub fn keep_logs(&self, folder: &Path) {
        for place in 0..NODES {
            let said = self.said[place].clone() + &self.cluster.node(place).stderr();
            std::fs::write(folder.join(format!("node-{place}.log")), said).unwrap();
        }
    }
}

/// Leads a node to the database and to Redis by its own ways.
fn led_by(
    ways: &Ways,
    options: Options,
    postgres: &super::common::postgres::Postgres,
    redis: &super::common::redis::Redis,
) -> Options {
    ways.store.lead_to(Target::Unix(postgres.socket()));
    ways.redis.lead_to(Target::Tcp(redis.address()));
    let store = ways.store.address().port();
    let url = format!("host=127.0.0.1 port={store} user=rookery dbname=postgres");
    options
        .env("ROOKERY__DATABASE__URL", &url)
        .env("ROOKERY__REDIS__URL", &format!("redis://{}", ways.redis.address()))
}
