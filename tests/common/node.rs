//! A real server, started from the built program, that never outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{GIVE_UP_AFTER, eventually, get, is_running, send_signal};

/// How a server is to be started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    args: Vec<String>,
    env: Vec<(String, String)>,
}

impl Options {
    /// Sets a variable of the environment, as `ROOKERY__LOG__LEVEL`.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument after `serve`.
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }
}

/// A folder for the data of a node, removed at the end.
pub fn data_folder() -> TempDir {
    tempfile::Builder::new().prefix("rookery-test-").tempdir().unwrap()
}

/// The program with ports that are free, and with nothing of our environment that could set anything.
pub fn program(data_dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rookery"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("ROOKERY__") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
        .env("ROOKERY__HTTP__PORT", "0")
        .env("ROOKERY__TCP__PORT", "0")
        .env("ROOKERY__INSIDE__PORT", "0")
        .env("ROOKERY__DATA_DIR", data_dir)
        // Away from the rookery.toml of the repository.
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

/// Runs a command of the program to its end.
pub fn run(data_dir: &Path, args: &[&str], env: &[(&str, &str)]) -> Output {
    program(data_dir).args(args).envs(env.iter().copied()).output().unwrap()
}

/// What `rookery cluster status --json` prints beside a server.
pub fn status(node: &Node) -> Value {
    let output = node.run(&["cluster", "status", "--json"]);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A running server.
pub struct Node {
    child: Child,
    data_dir: PathBuf,
    env: Vec<(String, String)>,
    stdout: Lines,
    stderr: Lines,
    ready: Option<(SocketAddr, SocketAddr, SocketAddr)>,
    /// The PostgreSQL that was running when the server was killed.
    orphan: Option<u32>,
    // Removed when the server is gone.
    _folder: Option<TempDir>,
}

impl Node {
    /// Starts a server in a folder of its own, and waits until it is ready.
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// The same with options.
    pub fn start_with(options: Options) -> Self {
        let folder = data_folder();
        let mut node = Self::start_in(folder.path(), options);
        node._folder = Some(folder);
        node
    }

    /// Starts a server in this data folder, and waits until it is ready.
    pub fn start_in(data_dir: &Path, options: Options) -> Self {
        let mut node = Self::launch(data_dir, options);
        node.await_ready();
        node
    }

    /// Starts a server and waits for nothing.
    pub fn launch(data_dir: &Path, options: Options) -> Self {
        let mut child = program(data_dir)
            .arg("serve")
            .args(&options.args)
            .envs(options.env.clone())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        let data_dir = data_dir.to_owned();
        let env = options.env;
        Self { child, data_dir, env, stdout, stderr, ready: None, orphan: None, _folder: None }
    }

    /// Waits for the ready line; fails with what the server said when it ends first.
    pub fn await_ready(&mut self) {
        let line = self.stdout.await_line(|line| line.starts_with("rookery ready "));
        let Some(line) = line else {
            panic!("the server ended before it was ready:\n{}", self.stderr.text());
        };
        // The last of the lines that come with it, so that whoever looks finds all of them.
        let is_last =
            |line: &str| line.contains("&user=bob&") || line.contains("demo users are off");
        self.stdout.await_line(is_last).unwrap();
        let address = |name: &str| {
            let (_, rest) = line.split_once(name).unwrap();
            rest.split(' ').next().unwrap().parse::<SocketAddr>().unwrap()
        };
        self.ready = Some((address("http="), address("tcp="), address("inside=")));
    }

    /// Whether it is ready by now.
    pub fn is_ready(&mut self) -> bool {
        let has_said = || self.stdout.any(|line| line.starts_with("rookery ready "));
        if self.ready.is_none() && has_said() {
            self.await_ready();
        }
        self.ready.is_some()
    }

    /// Runs a command of the program beside the server, with the same settings, to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        program(&self.data_dir).args(args).envs(self.env.clone()).output().unwrap()
    }

    /// The outer port.
    pub fn http(&self) -> SocketAddr {
        self.ready.expect("the server is ready").0
    }

    /// The port of frames over TCP.
    pub fn tcp(&self) -> SocketAddr {
        self.ready.expect("the server is ready").1
    }

    /// The inside port.
    pub fn inside(&self) -> SocketAddr {
        self.ready.expect("the server is ready").2
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        is_running(self.pid())
    }

    /// The data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its private PostgreSQL's first process, if it has one now.
    pub fn postgres_pid(&self) -> Option<u32> {
        let file = self.data_dir.join("postgres/postmaster.pid");
        std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Waits until all that it needs is there.
    pub fn await_all_ready(&self) {
        eventually("/readyz says 200", || {
            get(self.inside(), "/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// Waits for a line on standard error; `None` when the server ends first.
    pub fn await_stderr(&self, part: &str) -> Option<String> {
        self.stderr.await_line(|line| line.contains(part))
    }

    /// All of standard error until now.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// All of standard output until now.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Sends a signal to the server alone.
    pub fn signal(&self, name: &str) {
        send_signal(self.pid(), name);
    }

    /// Kills the server as a crash would.
    pub fn kill(&mut self) {
        self.orphan = self.postgres_pid();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.await_end()
    }

    /// Waits until the server has ended by itself.
    pub fn await_end(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Not in order, since nobody will look at it; the kernel stops its PostgreSQL.
            self.orphan = self.postgres_pid();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // The folder must not be removed under a PostgreSQL that is still stopping.
        let since = Instant::now();
        while self.orphan.is_some_and(is_running) && since.elapsed() < GIVE_UP_AFTER {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// The lines that a process writes, as they come.
#[derive(Clone)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// Reads them in a thread of their own.
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let written = lines.clone();
        std::thread::spawn(move || {
            let (state, changed) = &*written.0;
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                state.lock().unwrap().lines.push(line);
                changed.notify_all();
            }
            state.lock().unwrap().ended = true;
            changed.notify_all();
        });
        lines
    }

    /// All of them until now.
    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }

    /// Whether a line that fits has come.
    pub fn any(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.0.0.lock().unwrap().lines.iter().any(|line| fits(line))
    }

    /// The first line that fits, old ones included; `None` when the process closes its end first.
    pub fn await_line(&self, fits: impl Fn(&str) -> bool) -> Option<String> {
        let (state, changed) = &*self.0;
        let since = Instant::now();
        let mut written = state.lock().unwrap();
        loop {
            if let Some(line) = written.lines.iter().find(|line| fits(line)) {
                return Some(line.clone());
            }
            if written.ended {
                return None;
            }
            let left = GIVE_UP_AFTER.checked_sub(since.elapsed());
            let Some(left) = left else { panic!("gave up waiting for a line") };
            written = changed.wait_timeout(written, left).unwrap().0;
        }
    }
}
