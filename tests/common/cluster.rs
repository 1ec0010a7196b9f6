//! Several real servers on one PostgreSQL and one Redis, which can be killed, frozen, stopped and started one by one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use rookery::client;
use rookery::ids::Shard;
use rookery::limits;
use rookery::protocol::Platform;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::chat::{App, Raw, User};
use super::node::{self, Node, Options, data_folder};
use super::postgres::Postgres;
use super::redis::Redis;
use super::rest::{self, Backend};

/// What comes at once has come by then on a busy machine, and before anybody looks for what was not pushed.
pub const SOON: Duration = Duration::from_secs(5);
/// How long nodes take at most to share the shards among themselves.
const SPREAD_WITHIN: Duration = Duration::from_secs(60);
/// How often the database is asked for what must come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Awaits what must come in that time, and fails when it does not.
pub async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}

/// Awaits what must come at once.
pub async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    within(SOON, what, work).await
}

/// The body of the next event, which must have this name and come at once; how others are is passed over.
pub async fn next_soon(raw: &mut Raw, event: &str) -> Value {
    soon(event, raw.next_event(event)).await
}

/// The body of the next event of this name, which must come at once; others are kept.
pub async fn event_soon(raw: &mut Raw, event: &str) -> Value {
    soon(event, raw.event(event)).await
}

/// Names that nobody else has, for tests that share a cluster.
pub fn cast<const N: usize>(names: [&str; N]) -> [String; N] {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    names.map(|name| format!("{name}-{call}"))
}

/// One server of a cluster and its folder.
struct Member {
    node: Node,
    options: Options,
    data_dir: PathBuf,
}

impl Member {
    fn launch(data_dir: PathBuf, options: &Options) -> Self {
        let node = Node::launch(&data_dir, options.clone());
        Self { node, options: options.clone(), data_dir }
    }

    /// What it is called in the database.
    fn id(&self) -> i64 {
        let text = std::fs::read_to_string(self.data_dir.join("node.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["node"].as_i64().unwrap()
    }
}

/// Several servers that share a database and a Redis.
pub struct Cluster {
    // Ended in this order: servers first.
    members: Vec<Member>,
    app: App,
    key: OnceLock<String>,
    options: Options,
    postgres: Postgres,
    redis: Redis,
    folder: TempDir,
}

impl Cluster {
    /// Starts so many servers at once on a database of their own, and waits until all are ready.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, Options::default()).await
    }

    /// The same with options for each of the servers.
    pub async fn start_with(count: usize, options: Options) -> Self {
        Self::start_each(count, options, async |_, options, _, _| options).await
    }

    /// The same with options that may differ from server to server: what comes later stands, so that each may be led to
    /// the database and to Redis by a way of its own.
    pub async fn start_each(
        count: usize,
        options: Options,
        mut own: impl AsyncFnMut(usize, Options, &Postgres, &Redis) -> Options,
    ) -> Self {
        let postgres = Postgres::start(&["max_connections=300"]).await;
        let redis = Redis::start().await;
        let folder = data_folder();
        let mut options = options
            .env("ROOKERY__DATABASE__URL", &postgres.url())
            .env("ROOKERY__LIMITS__SENDS_PER_S", "1000000");
        if knows_redis(folder.path()) {
            options = options.env("ROOKERY__REDIS__URL", &redis.url());
        }
        let mut members = Vec::new();
        for place in 0..count {
            let own = own(place, options.clone(), &postgres, &redis).await;
            members.push(Member::launch(data_dir(folder.path(), place), &own));
        }
        for member in &mut members {
            member.node.await_ready();
        }
        let app = App::of(&members[0].node);
        Self { members, app, key: OnceLock::new(), options, postgres, redis, folder }
    }

    /// Three servers for all tests of a file that disturb nobody. They end with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| {
            let (tell, told) = mpsc::sync_channel(1);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
                runtime.unwrap().block_on(async {
                    let cluster = Self::start(3).await;
                    cluster.await_settled().await;
                    let mut reaper = reaper_of(&cluster);
                    tell.send(cluster).unwrap();
                    // For ever: what ends with the thread that started it must not end before. To wait for the reaper
                    // alone would close what it waits for.
                    let _open = reaper.stdin.take();
                    reaper.wait().unwrap();
                });
            });
            told.recv().expect("the shared cluster starts")
        })
    }

    /// How many servers there are, those that were stopped included.
    pub fn count(&self) -> usize {
        self.members.len()
    }

    /// One of the servers.
    pub fn node(&self, place: usize) -> &Node {
        &self.members[place].node
    }

    /// The app, at one of the servers.
    pub fn app(&self, place: usize) -> App {
        self.app.moved_to(self.node(place))
    }

    /// The app's backend, which asks one of the servers.
    pub fn backend(&self, place: usize) -> Backend {
        let key = self.key.get_or_init(|| rest::key(self.node(place), &[]));
        Backend::with_key(self.node(place), key)
    }

    /// Makes users who are there and not logged in.
    pub fn with_users(&self, users: &[&str]) {
        let place = self.members.iter().position(|member| member.node.is_running()).unwrap();
        let backend = self.backend(place);
        for user in users {
            let made = backend.post("/users", &json!({"user": user}));
            assert!([200, 201].contains(&made.status), "{made:?}");
        }
    }

    /// Logs a user in at one of the servers, from a browser, on a bare connection.
    pub async fn raw(&self, place: usize, user: &str, device: &str) -> Raw {
        soon("a login", self.app(place).raw(user, device)).await
    }

    /// The same from a device of this kind.
    pub async fn raw_from(&self, place: usize, user: &str, on: Platform, device: &str) -> Raw {
        soon("a login", self.app(place).raw_from(user, on, device)).await
    }

    /// How a client of this user logs in at one of the servers. It comes back within half a second where it can.
    pub fn options(&self, place: usize, user: &str) -> client::Options {
        let mut options = self.app(place).options(user, "main");
        options.backoff = (Duration::from_millis(50), Duration::from_millis(500));
        options
    }

    /// Logs a user in at one of the servers, on the client library.
    pub async fn user(&self, place: usize, user: &str) -> User {
        soon("a login", User::log_in(self.options(place, user))).await
    }

    /// Makes a group over one of the servers.
    pub fn group(&self, place: usize, group: &str, owner: &str, members: &[&str]) {
        let body = json!({"group": group, "kind": "work", "name": "Team", "owner": owner,
            "members": members});
        self.backend(place).post("/groups", &body).done(201);
    }

    /// Ends a server as a crash would.
    pub fn kill(&mut self, place: usize) {
        self.members[place].node.kill();
    }

    /// Halts a server: it does nothing, and its connections stay.
    pub fn freeze(&self, place: usize) {
        self.node(place).signal("STOP");
    }

    /// Lets a halted server go on.
    pub fn thaw(&self, place: usize) {
        self.node(place).signal("CONT");
    }

    /// Asks a server to stop, and waits for nothing.
    pub fn ask_to_stop(&self, place: usize) {
        self.node(place).signal("TERM");
    }

    /// Waits until a server that was asked to has ended.
    pub fn await_end(&mut self, place: usize) -> ExitStatus {
        self.members[place].node.await_end()
    }

    /// Asks a server to stop, and waits until it has ended.
    pub fn stop(&mut self, place: usize) -> ExitStatus {
        self.ask_to_stop(place);
        self.await_end(place)
    }

    /// Starts a server that has ended again, in its folder and on its ports, and waits until it is ready.
    pub fn restart(&mut self, place: usize) {
        let former = &self.members[place];
        assert!(!former.node.is_running(), "it runs");
        let ports = [
            ("ROOKERY__HTTP__PORT", former.node.http()),
            ("ROOKERY__TCP__PORT", former.node.tcp()),
            ("ROOKERY__INSIDE__PORT", former.node.inside()),
        ];
        let options = ports.into_iter().fold(former.options.clone(), |options, (name, address)| {
            options.env(name, &address.port().to_string())
        });
        let mut member = Member::launch(former.data_dir.clone(), &options);
        member.node.await_ready();
        self.members[place] = member;
    }

    /// Starts a server that has ended again, in its folder, on ports that are free, and waits for nothing.
    pub fn relaunch(&mut self, place: usize) {
        let former = &self.members[place];
        assert!(!former.node.is_running(), "it runs");
        self.members[place] = Member::launch(former.data_dir.clone(), &former.options);
    }

    /// Whether a server is ready by now.
    pub fn is_ready(&mut self, place: usize) -> bool {
        self.members[place].node.is_ready()
    }

    /// Starts one more server and waits until it is ready; its place.
    pub fn join(&mut self) -> usize {
        let place = self.count();
        let mut member = Member::launch(data_dir(self.folder.path(), place), &self.options);
        member.node.await_ready();
        self.members.push(member);
        place
    }

    /// What a server is called in the database.
    pub fn id_of(&self, place: usize) -> i64 {
        self.members[place].id()
    }

    /// A connection to the database.
    pub async fn database(&self) -> tokio_postgres::Client {
        self.postgres.connect().await
    }

    /// Where the database is.
    pub fn database_url(&self) -> String {
        self.postgres.url()
    }

    /// The database, which can be stopped and started.
    pub fn postgres(&mut self) -> &mut Postgres {
        &mut self.postgres
    }

    /// The Redis, which can go away in every way.
    pub fn redis(&mut self) -> &mut Redis {
        &mut self.redis
    }

    /// What `rookery cluster status --json` prints beside one of the servers.
    pub fn status(&self, place: usize) -> Value {
        node::status(self.node(place))
    }

    /// The line of one of the servers in it.
    pub fn status_of<'a>(&self, place: usize, status: &'a Value) -> &'a Value {
        let id = self.members[place].id().to_string();
        let mut nodes = status["nodes"].as_array().unwrap().iter();
        nodes.find(|node| node["node"] == *id).expect("it is listed")
    }

    /// How many shards each server has.
    pub async fn shares(&self, database: &tokio_postgres::Client) -> Vec<usize> {
        let counted =
            "select n.node, count(*) from shard_owner o join nodes n using (node, incarnation)
            where n.lease_until > clock_timestamp() group by n.node";
        let rows = database.query(counted, &[]).await.unwrap();
        let of = |id: i64| rows.iter().find(|row| row.get::<_, i64>(0) == id);
        let share = |member: &Member| of(member.id()).map_or(0, |row| row.get::<_, i64>(1));
        self.members.iter().map(|member| share(member) as usize).collect()
    }

    /// Waits until each server that runs has shards, and none has changed hands for longer than nodes take from one look at
    /// them to the next.
    pub async fn await_settled(&self) {
        let database = self.database().await;
        let settled_after = limits::LEASE_RENEWED_EVERY + Duration::from_secs(1);
        let began = Instant::now();
        let (mut shares, mut since) = (Vec::new(), Instant::now());
        while since.elapsed() < settled_after {
            let now = self.shares(&database).await;
            let is_without =
                |(member, share): (&Member, &usize)| *share == 0 && member.node.is_running();
            if now != shares || self.members.iter().zip(&now).any(is_without) {
                (shares, since) = (now, Instant::now());
            }
            assert!(began.elapsed() < 2 * SPREAD_WITHIN, "shards go on changing hands: {shares:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until each server that runs has at least half of what would be an even share.
    pub async fn await_spread(&self) {
        let database = self.database().await;
        let running = self.members.iter().filter(|member| member.node.is_running()).count();
        let least = usize::from(Shard::COUNT) / running / 2;
        let since = Instant::now();
        loop {
            let shares = self.shares(&database).await;
            let is_spread = self
                .members
                .iter()
                .zip(&shares)
                .all(|(member, share)| !member.node.is_running() || *share >= least);
            if is_spread {
                return;
            }
            assert!(
                since.elapsed() < SPREAD_WITHIN,
                "the nodes do not share the shards among themselves: {shares:?}"
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The place of the server that owns a group, and the epoch of its shard.
    pub async fn owner_of(&self, group: &str, database: &tokio_postgres::Client) -> (usize, i64) {
        let owner = "select o.node, o.epoch from groups g
            join shard_owner o on o.shard = g.conversation_no % $2::bigint where g.id = $1";
        let shards = i64::from(Shard::COUNT);
        let row = database.query_one(owner, &[&group, &shards]).await.unwrap();
        let id: i64 = row.get(0);
        let place = self.members.iter().position(|member| member.id() == id);
        (place.expect("it is one of ours"), row.get(1))
    }
}

/// Whether the program has the setting already. To be removed when it has.
fn knows_redis(data_dir: &Path) -> bool {
    let env = [("ROOKERY__REDIS__URL", "redis://127.0.0.1:1")];
    node::run(data_dir, &["config", "check"], &env).status.success()
}

fn data_dir(folder: &Path, place: usize) -> PathBuf {
    let data_dir = folder.join(format!("node-{place}"));
    std::fs::create_dir(&data_dir).unwrap();
    data_dir
}

/// Passes over the numbers of this many conversations, so that groups that are made one after the other are in shards
/// that lie apart.
pub async fn skip_numbers(database: &tokio_postgres::Client, count: i32) {
    let skip = "select count(nextval('conversation_numbers')) from generate_series(1, $1)";
    database.query_one(skip, &[&count]).await.unwrap();
}

/// Ends the servers of a cluster that nothing drops, and removes their folders, when this process is gone, however that
/// came.
fn reaper_of(cluster: &Cluster) -> Child {
    let nodes: Vec<_> = cluster.members.iter().map(|it| it.node.pid().to_string()).collect();
    let (postgres, redis) = (cluster.postgres.socket_folder(), cluster.redis.folder());
    let folders = [cluster.folder.path(), postgres, redis];
    // PostgreSQL stops by itself, and has to be gone before its folder is.
    let script = format!(
        "trap '' INT TERM; read -r line; kill -KILL {}; while ls \"$2\"/.s.PGSQL.* >/dev/null 2>&1; do sleep 0.1; done; rm -rf \"$@\"",
        nodes.join(" ")
    );
    let reaper = Command::new("sh")
        .args(["-c", &script, "sh"])
        .args(folders)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    reaper.unwrap()
}
