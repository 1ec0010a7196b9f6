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
}

impl Postgres {
    /// Makes and starts one with these settings, as `fsync=off`, and waits until it takes connections.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("rookery-pg-").tempdir().unwrap();
        let run_as = unprivileged();
        if let Some(user) = &run_as {
            std::os::unix::fs::chown(folder.path(), Some(user.uid), Some(user.gid)).unwrap();
        }
        let data = folder.path().join("data");
        let binaries = binaries::find(None, None).unwrap();
        let mut initdb = Command::new(binaries.folder.join("initdb"));
        initdb.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        initdb.stderr(Stdio::null()).arg("-D").arg(&data);
        // Without waiting for the disk: nothing here has to outlive a loss of power.
        initdb.args(["-U", "rookery", "-A", "trust", "--locale=C", "--no-sync"]);
        let mut initdb = child::spawn(initdb, run_as.as_ref()).unwrap();
        assert!(initdb.wait().await.unwrap().success());

        let mut args = vec!["-k".to_owned(), folder.path().to_str().unwrap().to_owned()];
        args.extend(["-h", "", "-p", "5432"].map(str::to_owned));
        args.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
        let child = Self::spawn(folder.path(), &args);
        let postgres = Self { folder, child, args };
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
