//! The private PostgreSQL: made at the first start, kept running while we serve, stopped with us.
//!
//! One thread of its own starts every process, because the kernel stops them when the thread that started them ends. It is
//! reached by tokens and watched by a channel; nothing else ever signals the server. Who calls here holds the lock of the
//! data folder, so a server that is found in it is one that a killed process of ours left behind.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use crate::store::binaries::{self, Binaries, BinariesError};
use crate::store::child::{self, Ask, RunAs};
use crate::store::folder::{self, DataFolder, FolderError};

/// The database, and the user that owns it.
const NAME: &str = "rookery";
/// The folder of the data inside the data folder.
const CLUSTER: &str = "postgres";
/// The folder of the socket inside the data folder.
const RUN: &str = "run";
/// Names the socket; no port is opened.
const PORT: u16 = 5432;
/// What the system holds of a socket's path, without its closing zero.
const SOCKET_PATH_BYTES: usize = 107;

/// The time between two looks at a server that starts or stops.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a server that was left behind may take to stop by itself before it is asked to.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);
/// How long the first start goes on trying while the server ends at once (an old one may still hold memory or the lock).
const FIRST_START_WITHIN: Duration = Duration::from_secs(30);
/// How long a stop may take before the server is told to stop without its checkpoint.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// The pause before a server that died is started again; doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// The longest such pause.
const BACKOFF_MOST: Duration = Duration::from_secs(5);
/// After this time without a fault the pause starts small again.
const STEADY_AFTER: Duration = Duration::from_secs(30);
/// Lines of the server's log that are kept for the text of an error.
const LAST_LINES: usize = 5;
/// How long the last lines of a process that ended are waited for.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);
/// How long an `initdb` that a kill left behind may keep its unfinished folder.
const DRAFT_GONE_WITHIN: Duration = Duration::from_secs(10);

/// What the server is told on its command line: what our load needs, and what the promise of durability stands on. It
/// goes before `postgresql.conf`, where an operator may set everything else.
const SERVER_SETTINGS: &[(&str, &str)] = &[
    // The three on which an ack stands.
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    // The socket alone; its folder is closed to others.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    // The hot part is the heads and the newest pages; the rest is the system's page cache.
    ("shared_buffers", "128MB"),
    // The pool, a few journals, and room for the command line and an operator.
    ("max_connections", "50"),
    // Fewer and longer checkpoints, since each page is written whole once after every one of them; recovery after a kill
    // stays within seconds.
    ("checkpoint_timeout", "10min"),
    ("max_wal_size", "1GB"),
    ("wal_compression", "on"),
    // Small statements only: compiling them costs more than running them.
    ("jit", "off"),
    // Dead rows of the hot heads and cursors go quickly.
    ("autovacuum", "on"),
    ("autovacuum_naptime", "15s"),
    // Its log comes to us line by line. Neither statements nor values of rows: they hold what people wrote.
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_line_prefix", ""),
    ("log_min_error_statement", "panic"),
    ("log_error_verbosity", "terse"),
    ("log_statement", "none"),
    ("log_min_duration_statement", "-1"),
    ("log_timezone", "UTC"),
    ("timezone", "UTC"),
    ("lc_messages", "C"),
];

/// How the private server stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not there yet: being made, started, or recovering.
    Starting,
    /// Takes connections.
    Ready,
    /// Ended by itself; it is started again.
    Down {
        /// How it ended.
        why: String,
    },
    /// Stopped because it was told to, or never started.
    Stopped,
}

/// Why the private server could not be started. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// There is no server to start.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A process could not be run.
    #[error("{program} cannot be run: {error}; check the installation of PostgreSQL")]
    Run {
        /// The program.
        program: String,
        /// What the system said.
        error: io::Error,
    },
    /// The server or `initdb` ended with a complaint.
    #[error(
        "the private PostgreSQL did not start: {why}; mend that, or name another server in database.url"
    )]
    Failed {
        /// Its last words.
        why: String,
    },
    /// Something that it needs could not be made.
    #[error("{what}: {error}; choose another data folder with --data-dir")]
    Setup {
        /// What could not be done.
        what: String,
        /// What the system said.
        error: io::Error,
    },
    /// We were told to stop first.
    #[error("stopped while PostgreSQL was starting")]
    Stopped,
}

/// Where progress of a start is told, one line at a time.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// The private server, running or being started again.
#[derive(Debug)]
pub struct Embedded {
    socket_folder: PathBuf,
    version: String,
    state: watch::Receiver<State>,
    stop: CancellationToken,
    hurry: CancellationToken,
}

impl Embedded {
    /// Finds the programs, makes the data at the first start, and waits until the server takes connections.
    ///
    /// `hurry` makes the stop, whenever it comes, leave the checkpoint out. Cancelling `stop` while this waits ends it.
    pub async fn start(
        folder: Arc<DataFolder>,
        postgres_bin: Option<PathBuf>,
        stop: CancellationToken,
        hurry: CancellationToken,
        progress: Progress,
    ) -> Result<Self, EmbeddedError> {
        let (told, first) = oneshot::channel();
        let (tell_state, state) = watch::channel(State::Starting);
        let (thread_stop, thread_hurry) = (stop.clone(), hurry.clone());
        let keep = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let what = "no runtime for the private PostgreSQL".to_owned();
                    let _ = told.send(Err(EmbeddedError::Setup { what, error }));
                    return;
                }
            };
            let mut keeper =
                Keeper { tell_state, stop: thread_stop, hurry: thread_hurry, progress };
            runtime.block_on(keeper.run(&folder, postgres_bin.as_deref(), told));
            // Here, where no server runs any more; inside the data folder it stays for the next start.
            let _ = std::fs::remove_dir(elsewhere(&folder));
            keeper.tell_state.send_replace(State::Stopped);
        };
        std::thread::Builder::new().name("postgres-keeper".to_owned()).spawn(keep).map_err(
            |error| EmbeddedError::Setup {
                what: "no thread for the private PostgreSQL".to_owned(),
                error,
            },
        )?;
        match first.await {
            Ok(Ok(Site { socket_folder, binaries })) => {
                Ok(Self { socket_folder, version: binaries.version, state, stop, hurry })
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(EmbeddedError::Stopped),
        }
    }

    /// How to connect to it.
    pub fn config(&self) -> tokio_postgres::Config {
        config(&self.socket_folder, NAME)
    }

    /// The version, as `15.14`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How it stands, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Stops the server and waits for it; at once if it was hurried.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // An error means that the keeper is gone, and with it the server.
        let _ = self.state.wait_for(|state| *state == State::Stopped).await;
    }

    /// Lets the stop leave its checkpoint out; the next start replays the log instead.
    pub fn hurry(&self) {
        self.hurry.cancel();
    }
}

/// How to connect to the private server that another process runs in this data folder, once it is ready.
pub fn config_beside(data_dir: &Path) -> Option<tokio_postgres::Config> {
    let file = PidFile::read(&data_dir.join(CLUSTER))?;
    (file.ready && !file.socket_folder.as_os_str().is_empty())
        .then(|| config(&file.socket_folder, NAME))
}

fn config(socket_folder: &Path, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket_folder).port(PORT).user(NAME).dbname(database);
    config
}

/// Where the server lives and what runs it.
struct Site {
    socket_folder: PathBuf,
    binaries: Binaries,
}

/// How one run of the server ended.
enum Run {
    /// It was told to.
    Stopped,
    /// By itself, after it had been ready or before.
    Ended { why: String, was_ready: bool },
}

/// The state of the thread that keeps the server.
struct Keeper {
    tell_state: watch::Sender<State>,
    stop: CancellationToken,
    hurry: CancellationToken,
    progress: Progress,
}

impl Keeper {
    /// Prepares, then keeps the server running until told to stop; `told` learns how the first start went.
    async fn run(
        &mut self,
        folder: &DataFolder,
        postgres_bin: Option<&Path>,
        told: oneshot::Sender<Result<Site, EmbeddedError>>,
    ) {
        let prepared = match self.prepare(folder, postgres_bin).await {
            Ok(prepared) => prepared,
            Err(error) => {
                let _ = told.send(Err(error));
                return;
            }
        };
        let mut first = Some((told, Instant::now()));
        let mut backoff = BACKOFF_FIRST;
        while !self.stop.is_cancelled() {
            let started = Instant::now();
            let (why, was_ready) = match self.run_once(&prepared, &mut first).await {
                Ok(Run::Stopped) => break,
                Ok(Run::Ended { why, was_ready }) => (why, was_ready),
                Err(error) => (error.to_string(), false),
            };
            if let Some((told, since)) = first.take() {
                if since.elapsed() >= FIRST_START_WITHIN || !is_passing(&why) {
                    let _ = told.send(Err(EmbeddedError::Failed { why }));
                    return;
                }
                first = Some((told, since));
            } else {
                metrics::counter!("rookery_postgres_restarts_total").increment(1);
                tracing::error!(%why, ?backoff, "the private postgresql ended, it is started again");
            }
            self.tell_state.send_replace(State::Down { why });
            if was_ready && started.elapsed() >= STEADY_AFTER {
                backoff = BACKOFF_FIRST;
            }
            self.pause(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MOST);
        }
    }

    /// Everything that must be there before the server can be started, made where it is missing.
    async fn prepare(
        &self,
        folder: &DataFolder,
        postgres_bin: Option<&Path>,
    ) -> Result<Prepared, EmbeddedError> {
        let data = folder.path().join(CLUSTER);
        let made_by = read_version(&data);
        let binaries = binaries::find(postgres_bin, made_by)?;
        (self.progress)(&format!(
            "found PostgreSQL {} in {}",
            binaries.version,
            binaries.folder.display()
        ));
        let run_as = if child::effective_uid() == 0 { Some(unprivileged_user()?) } else { None };
        if let Some(user) = &run_as {
            folder.let_through(user)?;
        }
        let socket_folder = socket_folder(folder, run_as.as_ref())?;
        let prepared = Prepared { binaries, data, socket_folder, run_as };
        if made_by.is_none() {
            self.make_data(folder, &prepared).await?;
        }
        Ok(prepared)
    }

    /// Makes the data beside its place and moves it there as a whole, so that a kill leaves no half of it.
    async fn make_data(
        &self,
        folder: &DataFolder,
        prepared: &Prepared,
    ) -> Result<(), EmbeddedError> {
        let setup = |what: &str| {
            let what = what.to_owned();
            move |error| EmbeddedError::Setup { what, error }
        };
        (self.progress)(&format!("making the database in {}", prepared.data.display()));
        let since = Instant::now();
        while let Err(error) = remove_drafts(folder.path()) {
            // An `initdb` of a killed start may still be writing, on its way out.
            if since.elapsed() >= DRAFT_GONE_WITHIN {
                return Err(setup("an unfinished database cannot be removed")(error));
            }
            self.pause(LOOK_EVERY).await;
        }
        let draft = folder.subfolder(
            &format!("{CLUSTER}.draft-{}", rand::random::<u32>()),
            prepared.run_as.as_ref(),
        )?;
        // An empty folder of this name can be replaced, and one with content that is no database stays for its owner to see.
        if prepared.data.exists() {
            std::fs::remove_dir(&prepared.data)
                .map_err(setup("the folder of the database holds something else"))?;
        }
        let mut command = prepared.command("initdb");
        command.arg("-D").arg(&draft).args(["-U", NAME, "-A", "trust", "--encoding=UTF8"]);
        command.args([LOCALE, "--data-checksums", "--no-instructions"]).stdout(Stdio::null());
        let (mut child, lines) = prepared.spawn(command)?;
        let status = tokio::select! {
            status = child.wait() => status,
            () = self.stop.cancelled() => {
                child::ask(&child, Ask::StopFast);
                let _ = child.wait().await;
                return Err(EmbeddedError::Stopped);
            }
        };
        let status = status.map_err(setup("initdb cannot be awaited"))?;
        if !status.success() {
            return Err(EmbeddedError::Failed { why: format!("initdb: {}", lines.text().await) });
        }
        std::fs::rename(&draft, &prepared.data)
            .and_then(|()| folder::sync_parent(&prepared.data))
            .map_err(setup("the new database cannot be moved to its place"))
    }

    /// Starts the server and stays with it until it has ended.
    async fn run_once(
        &self,
        prepared: &Prepared,
        first: &mut Option<(oneshot::Sender<Result<Site, EmbeddedError>>, Instant)>,
    ) -> Result<Run, EmbeddedError> {
        let not_in_the_way = match self.await_predecessor(&prepared.data).await {
            Predecessor::Stopped => return Ok(Run::Stopped),
            Predecessor::Gone => None,
            Predecessor::OtherProcess(pid) => Some(pid),
        };
        let mut command = prepared.command("postgres");
        command.arg("-D").arg(&prepared.data).arg("-k").arg(in_quotes(&prepared.socket_folder));
        command.arg("-p").arg(PORT.to_string()).stdout(Stdio::null());
        for (name, value) in SERVER_SETTINGS {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if let Some(pid) = not_in_the_way {
            // The number in its lock file passed to a process that is no PostgreSQL, or is a corpse that nobody has
            // buried: the server ignores the process of this number, and still looks for users of its shared memory.
            command.env("PG_GRANDPARENT_PID", pid.to_string());
        }
        (self.progress)(&format!(
            "starting PostgreSQL, its socket in {}",
            prepared.socket_folder.display()
        ));
        let (mut child, lines) = prepared.spawn(command)?;
        let was_ready = tokio::select! {
            ready = self.until_ready(prepared, &mut child) => ready,
            () = self.stop.cancelled() => false,
        };
        if was_ready {
            self.tell_state.send_replace(State::Ready);
            if let Some((told, _)) = first.take() {
                let socket_folder = prepared.socket_folder.clone();
                let _ = told.send(Ok(Site { socket_folder, binaries: prepared.binaries.clone() }));
            }
        }
        tokio::select! {
            status = child.wait() => {
                let ended = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                Ok(Run::Ended { why: format!("{ended}: {}", lines.text().await), was_ready })
            }
            () = self.stop.cancelled() => {
                self.end(&mut child).await;
                Ok(Run::Stopped)
            }
        }
    }

    /// Waits until the server takes connections and the database exists; false when the server has ended first.
    async fn until_ready(&self, prepared: &Prepared, child: &mut Child) -> bool {
        let mut told_at = Instant::now();
        loop {
            match child.try_wait() {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return false,
            }
            let ready = PidFile::read(&prepared.data)
                .is_some_and(|file| file.ready && Some(file.pid) == child.id());
            if ready {
                match make_database(&prepared.socket_folder).await {
                    Ok(()) => return true,
                    Err(error) => {
                        tracing::warn!(%error, "the private postgresql is not usable yet")
                    }
                }
            }
            if told_at.elapsed() >= Duration::from_secs(3) {
                told_at = Instant::now();
                (self.progress)(
                    "PostgreSQL is still starting; after a crash it replays its log first",
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits for a server that a killed process of ours left in this folder.
    async fn await_predecessor(&self, data: &Path) -> Predecessor {
        let since = Instant::now();
        let mut asked = false;
        let mut told = false;
        loop {
            let Some(file) = PidFile::read(data) else { return Predecessor::Gone };
            match occupant(file.pid, data) {
                Occupant::None => return Predecessor::Gone,
                Occupant::Other => return Predecessor::OtherProcess(file.pid),
                Occupant::Postgres => {}
            }
            if !told {
                told = true;
                (self.progress)(&format!(
                    "waiting for the previous PostgreSQL, process {}, to stop",
                    file.pid
                ));
            }
            if !asked && since.elapsed() >= ORPHAN_PATIENCE {
                asked = true;
                child::ask_orphan(file.pid, Ask::StopFast);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.stop.cancelled() => return Predecessor::Stopped,
            }
        }
    }

    /// Stops the server in order; without its checkpoint when that takes too long or somebody hurries.
    async fn end(&self, child: &mut Child) {
        child::ask(child, Ask::StopFast);
        tokio::select! {
            _ = child.wait() => return,
            () = tokio::time::sleep(STOP_WITHIN) => {}
            () = self.hurry.cancelled() => {}
        }
        child::ask(child, Ask::StopNow);
        let _ = child.wait().await;
    }

    async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.stop.cancelled() => {}
        }
    }
}

/// macOS has no C.UTF-8; there the order of letters is the same with C, and the encoding is given apart.
const LOCALE: &str = if cfg!(target_os = "macos") { "--locale=C" } else { "--locale=C.UTF-8" };

/// What stands ready for a start.
struct Prepared {
    binaries: Binaries,
    data: PathBuf,
    socket_folder: PathBuf,
    run_as: Option<RunAs>,
}

impl Prepared {
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.folder.join(program));
        // Variables as PGDATA and PGPORT are meant for the operator's own server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        // Messages are read by code. The folder we stand in may be closed to the user that it runs as.
        command.env("LC_ALL", "C").current_dir("/").stdin(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts a process whose lines go to the log; the last of them are kept.
    fn spawn(&self, command: Command) -> Result<(Child, LastLines), EmbeddedError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = child::spawn(command, self.run_as.as_ref())
            .map_err(|error| EmbeddedError::Run { program, error })?;
        let lines = LastLines::of(child.stderr.take());
        Ok((child, lines))
    }
}

/// The user for a server that refuses to run as root.
fn unprivileged_user() -> Result<RunAs, EmbeddedError> {
    let setup = |error| EmbeddedError::Setup {
        what: "no user found to run PostgreSQL as, which refuses to run as root".to_owned(),
        error,
    };
    let users = std::fs::read_to_string("/etc/passwd").map_err(setup)?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| user(&users, name))
        .ok_or_else(|| setup(io::Error::other("neither postgres nor nobody is in /etc/passwd")))
}

fn user(users: &str, name: &str) -> Option<RunAs> {
    let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut numbers = line.split(':').skip(2);
    let uid = numbers.next()?.parse().ok()?;
    let gid = numbers.next()?.parse().ok()?;
    Some(RunAs { name: name.to_owned(), uid, gid })
}

/// The folder of the socket: inside the data folder, or a private one elsewhere when that path is too long.
fn socket_folder(folder: &DataFolder, owner: Option<&RunAs>) -> Result<PathBuf, EmbeddedError> {
    let socket = format!(".s.PGSQL.{PORT}");
    let fits = |folder: &Path| folder.join(&socket).as_os_str().len() <= SOCKET_PATH_BYTES;
    if fits(&folder.path().join(RUN)) {
        return Ok(folder.subfolder(RUN, owner)?);
    }
    let path = elsewhere(folder);
    folder::private_folder(&path, owner).map_err(|error| EmbeddedError::Setup {
        what: format!(
            "the data folder's path is too long for a socket, and {} cannot be used",
            path.display()
        ),
        error,
    })?;
    Ok(path)
}

/// The option takes a list, in which a comma would begin another folder.
fn in_quotes(folder: &Path) -> OsString {
    let mut quoted = vec![b'"'];
    for byte in folder.as_os_str().as_bytes() {
        quoted.extend(if *byte == b'"' { &b"\"\""[..] } else { std::slice::from_ref(byte) });
    }
    quoted.push(b'"');
    OsString::from_vec(quoted)
}

/// Where the socket lies when the data folder's path is too long: the same place at each start, so that kills do not leave
/// one folder each.
fn elsewhere(folder: &DataFolder) -> PathBuf {
    let digest = Sha256::digest(folder.path().as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("rookery-{name}"))
}

fn remove_drafts(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&format!("{CLUSTER}.draft-")) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// The major version that made the data, if there is any.
fn read_version(data: &Path) -> Option<u32> {
    std::fs::read_to_string(data.join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// Makes our database unless it is there.
async fn make_database(socket_folder: &Path) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config(socket_folder, "postgres").connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    let there =
        client.query_opt("select 1 from pg_database where datname = $1", &[&NAME]).await?.is_some();
    if !there {
        client.batch_execute("create database rookery").await?;
    }
    drop(client);
    let _ = connection.await;
    Ok(())
}

/// Whether a server that ended with these words may start a moment later.
fn is_passing(why: &str) -> bool {
    // A predecessor that is not quite gone: its lock file, its shared memory, its socket.
    ["lock file", "shared memory block", "is still in use", "could not bind"]
        .iter()
        .any(|word| why.contains(word))
}

/// What stands in the lock file of a server's data.
struct PidFile {
    pid: u32,
    socket_folder: PathBuf,
    ready: bool,
}

impl PidFile {
    fn read(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        // Process, data, start time, port, socket folder, address, memory, status; later ones follow while it starts.
        let lines: Vec<&str> = text.lines().collect();
        Some(Self {
            pid: lines.first()?.trim().parse().ok()?,
            socket_folder: PathBuf::from(lines.get(4).copied().unwrap_or_default()),
            ready: lines.get(7).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

/// How the wait for an earlier server ended.
enum Predecessor {
    /// Nothing is in the way.
    Gone,
    /// Its number belongs to a process that is no server of this data.
    OtherProcess(u32),
    /// We were told to stop.
    Stopped,
}

/// What runs under a process id.
enum Occupant {
    None,
    Postgres,
    Other,
}

#[cfg(target_os = "linux")]
fn occupant(pid: u32, data: &Path) -> Occupant {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(stat) = std::fs::read_to_string(process.join("stat")) else { return Occupant::None };
    // `123 (postgres) S …`: the name may hold brackets itself, so it ends at the last one.
    let (name, state) = match (stat.find('('), stat.rfind(')')) {
        (Some(open), Some(close)) if open < close => {
            (&stat[open + 1..close], stat[close + 1..].trim_start().chars().next())
        }
        _ => return Occupant::Other,
    };
    let is_corpse = matches!(state, Some('Z' | 'X'));
    // A server stands in its data. Where that cannot be read the name has to do.
    let elsewhere = std::fs::read_link(process.join("cwd"))
        .is_ok_and(|folder| folder != data.canonicalize().unwrap_or_else(|_| data.to_owned()));
    if name == "postgres" && !is_corpse && !elsewhere {
        Occupant::Postgres
    } else {
        Occupant::Other
    }
}

#[cfg(not(target_os = "linux"))]
fn occupant(pid: u32, data: &Path) -> Occupant {
    let output = std::process::Command::new("ps")
        .args(["-ww", "-o", "state=,command=", "-p", &pid.to_string()])
        .output();
    let Ok(output) = output else { return Occupant::Other };
    let line = String::from_utf8_lossy(&output.stdout);
    let line = line.trim();
    if line.is_empty() {
        return Occupant::None;
    }
    // We start it with the data's path on its command line.
    let is_ours = line.contains("postgres") && line.contains(&*data.to_string_lossy());
    if is_ours && !line.starts_with('Z') { Occupant::Postgres } else { Occupant::Other }
}

/// The last lines of a process, for the text of an error.
struct LastLines {
    lines: Arc<Mutex<VecDeque<String>>>,
    reading: Option<JoinHandle<()>>,
}

impl LastLines {
    fn of(stderr: Option<ChildStderr>) -> Self {
        let lines = Arc::<Mutex<VecDeque<String>>>::default();
        let reading = stderr.map(|stderr| tokio::spawn(pass_on(stderr, lines.clone())));
        Self { lines, reading }
    }

    /// What the process said last, once it has ended.
    async fn text(self) -> String {
        if let Some(reading) = self.reading {
            // They may still be on their way through the pipe, which its own children can keep open.
            let _ = tokio::time::timeout(LAST_WORDS_WITHIN, reading).await;
        }
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }
}

/// Passes a server's log on to ours, in its words.
async fn pass_on(stderr: ChildStderr, last: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let (severity, text) = line.split_once(":  ").unwrap_or(("LOG", &line));
        match severity {
            "PANIC" => tracing::error!(target: "postgres", severity, "{text}"),
            "FATAL" | "ERROR" | "WARNING" => tracing::warn!(target: "postgres", severity, "{text}"),
            _ => tracing::debug!(target: "postgres", severity, "{text}"),
        }
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LAST_LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}
