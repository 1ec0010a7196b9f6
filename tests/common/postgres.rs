//! A PostgreSQL that is not the server's own, for tests of `database.url`; and a way into the one that is.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rookery::store::binaries;
use rookery::store::child::{self, RunAs};
use rookery::store::embedded;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::node::Node;
use super::{GIVE_UP_AFTER, is_running};

/// A connection to the private PostgreSQL of a node.
pub async fn database_of(node: &Node) -> tokio_postgres::Client {
    let config = embedded::config_beside(node.data_dir()).expect("the private server's socket");
    let (database, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    database
}

/// A running PostgreSQL; it ends with the thread that started it at the latest.
pub struct Postgres {
    folder: TempDir,
    child: Child,
    args: Vec<String>,
    settings: Vec<String>,
}

/// A copy of what one held, as it was then.
pub struct Backup(TempDir);

impl Postgres {
    /// Makes and starts one with these settings, as `fsync=off`, and waits until it takes connections.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = folder();
        // Without waiting for the disk: nothing here has to outlive a loss of power.
        let how = ["-U", "rookery", "-A", "trust", "--locale=C", "--no-sync"];
        run("initdb", &folder.path().join("data"), &how).await;
        let settings = settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]);
        Self::start_in(folder, settings.collect()).await
    }

    /// Makes and starts a standby of this one, with the same settings, that follows it as `standby`.
    pub async fn standby(&self) -> Self {
        let folder = folder();
        // The name goes into what the standby connects by, too.
        self.copy_to(&folder, &["-R", "-d", &format!("{} application_name=standby", self.url())])
            .await;
        Self::start_in(folder, self.settings.clone()).await
    }

    /// Takes a copy of it while it runs.
    pub async fn back_up(&self) -> Backup {
        let folder = folder();
        self.copy_to(&folder, &["-d", &self.url()]).await;
        Backup(folder)
    }

    async fn copy_to(&self, folder: &TempDir, how: &[&str]) {
        let at_once = ["-X", "stream", "-c", "fast", "--no-sync"];
        run("pg_basebackup", &folder.path().join("data"), &[how, &at_once].concat()).await;
    }

    async fn start_in(folder: TempDir, settings: Vec<String>) -> Self {
        let mut args = vec!["-k".to_owned(), folder.path().to_str().unwrap().to_owned()];
        args.extend(["-h", "", "-p", "5432"].map(str::to_owned));
        args.extend(settings.clone());
        let child = Self::spawn(folder.path(), &args);
        let postgres = Self { folder, child, args, settings };
        postgres.await_ready().await;
        postgres
    }

    fn spawn(folder: &Path, args: &[String]) -> Child {
        let binaries = binaries::find(None, None).unwrap();
        let mut server = Command::new(binaries.folder.join("postgres"));
        server.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        server.arg("-D").arg(folder.join("data")).args(args);
        child::spawn(server, unprivileged().as_ref()).unwrap()
    }

    /// For `database.url`.
    pub fn url(&self) -> String {
        format!("host={} port=5432 user=rookery dbname=postgres", self.socket_folder().display())
    }

    /// Opens a connection to it.
    pub async fn connect(&self) -> tokio_postgres::Client {
        self.try_connect().await.unwrap()
    }

    /// The same, where it may be away.
    pub async fn try_connect(&self) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let (client, connection) =
            tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Stops it in order, for good.
    pub async fn stop(mut self) {
        self.pause().await;
    }

    /// Stops it in order, to be started again.
    pub async fn pause(&mut self) {
        child::ask(&self.child, child::Ask::StopFast);
        self.child.wait().await.unwrap();
    }

    /// Kills its first process, which takes the others with it; to be started again.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it after a pause or a kill, and waits until it takes connections.
    pub async fn start_again(&mut self) {
        let since = Instant::now();
        self.child = Self::spawn(self.folder.path(), &self.args);
        while self.try_connect().await.is_err() {
            // While some of those that were killed with it still have its memory, it does not start.
            if self.child.try_wait().unwrap().is_some() {
                self.child = Self::spawn(self.folder.path(), &self.args);
            }
            assert!(since.elapsed() < GIVE_UP_AFTER, "the test's PostgreSQL does not start again");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Puts a copy in the place of what it holds, which is gone; it must not run.
    pub fn restore(&self, backup: &Backup) {
        let data = self.folder.path().join("data");
        std::fs::remove_dir_all(&data).unwrap();
        std::fs::rename(backup.0.path().join("data"), &data).unwrap();
    }

    /// Makes a primary of a standby, and waits until it takes writes.
    pub async fn promote(&self) {
        run("pg_ctl", &self.folder.path().join("data"), &["promote", "--silent"]).await;
    }

    /// Has a standby follow its primary no more, whatever comes.
    pub async fn cut_off(&self) {
        let standby = self.connect().await;
        standby.batch_execute("alter system set primary_conninfo = ''").await.unwrap();
        standby.batch_execute("select pg_reload_conf()").await.unwrap();
        let since = Instant::now();
        while self.receiver().await.is_some() {
            assert!(since.elapsed() < GIVE_UP_AFTER, "the standby goes on following");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The process by which a standby follows its primary, while it does.
    pub async fn receiver(&self) -> Option<u32> {
        let following = "select pid from pg_stat_wal_receiver where status = 'streaming'";
        let row = self.connect().await.query_opt(following, &[]).await.unwrap();
        row.map(|row| row.get::<_, i32>(0).unsigned_abs())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.socket_folder().join(".s.PGSQL.5432")
    }

    /// The folder of its socket.
    pub fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    async fn await_ready(&self) {
        let since = Instant::now();
        while self.try_connect().await.is_err() {
            assert!(since.elapsed() < GIVE_UP_AFTER, "the test's PostgreSQL does not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The folder must not be removed under a server that still writes into it.
        child::ask(&self.child, child::Ask::StopNow);
        let since = Instant::now();
        while self.child.id().is_some_and(is_running) && since.elapsed() < GIVE_UP_AFTER {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
}

/// A folder of the user that PostgreSQL runs as.
fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("rookery-pg-").tempdir().unwrap();
    if let Some(user) = unprivileged() {
        std::os::unix::fs::chown(folder.path(), Some(user.uid), Some(user.gid)).unwrap();
    }
    folder
}

/// Runs one of PostgreSQL's programs on a data folder.
async fn run(name: &str, data: &Path, args: &[&str]) {
    // Where the programs were found there may only be links to some of them.
    let postgres = binaries::find(None, None).unwrap().folder.join("postgres");
    let mut program = Command::new(postgres.canonicalize().unwrap().with_file_name(name));
    program.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    program.args(args).arg("-D").arg(data);
    let mut program = child::spawn(program, unprivileged().as_ref()).unwrap();
    assert!(program.wait().await.unwrap().success(), "{name}");
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Option<RunAs> {
    (child::effective_uid() == 0).then(|| {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let line = ["postgres:", "nobody:"]
            .iter()
            .find_map(|name| users.lines().find(|line| line.starts_with(name)))
            .unwrap();
        let parts: Vec<&str> = line.split(':').collect();
        let number = |at: usize| parts[at].parse().unwrap();
        RunAs { name: parts[0].to_owned(), uid: number(2), gid: number(3) }
    })
}
