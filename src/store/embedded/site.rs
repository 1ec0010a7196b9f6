//! Where the private server lives, what runs it and as whom, and its command line.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use super::log::LastLines;
use super::{CLUSTER, EmbeddedError, NAME, PORT};
use crate::store::binaries::{self, Binaries};
use crate::store::child::{self, RunAs};
use crate::store::folder::{self, DataFolder};

/// The folder of the socket inside the data folder.
const RUN: &str = "run";
/// What the system holds of a socket's path, without its closing zero.
const SOCKET_PATH_BYTES: usize = 107;

/// macOS has no C.UTF-8; there the order of letters is the same with C, and the encoding is given apart.
const LOCALE: &str = if cfg!(target_os = "macos") { "--locale=C" } else { "--locale=C.UTF-8" };

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

/// What a server is started from.
pub(super) struct Site {
    pub(super) binaries: Binaries,
    pub(super) data: PathBuf,
    pub(super) has_data: bool,
    pub(super) socket_folder: PathBuf,
    /// The user that it runs as, if that is not ours.
    pub(super) run_as: Option<RunAs>,
}

impl Site {
    /// Finds the programs and the folders; those that are missing are made, but for the data.
    pub(super) fn find(
        folder: &DataFolder,
        postgres_bin: Option<&Path>,
    ) -> Result<Self, EmbeddedError> {
        let data = folder.path().join(CLUSTER);
        let made_by = read_version(&data);
        let binaries = binaries::find(postgres_bin, made_by)?;
        let run_as = if child::effective_uid() == 0 { Some(unprivileged_user()?) } else { None };
        if let Some(user) = &run_as {
            folder.let_through(user)?;
        }
        let socket_folder = socket_folder(folder, run_as.as_ref())?;
        Ok(Self { binaries, data, has_data: made_by.is_some(), socket_folder, run_as })
    }

    /// Makes the data in an empty folder.
    pub(super) fn initdb(&self, into: &Path) -> Command {
        let mut command = self.command("initdb");
        command.arg("-D").arg(into).args(["-U", NAME, "-A", "trust", "--encoding=UTF8"]);
        command.args([LOCALE, "--data-checksums", "--no-instructions"]);
        command
    }

    /// Starts the server, which does not take the process `stranger` for one that uses its data.
    pub(super) fn server(&self, stranger: Option<u32>) -> Command {
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.data).arg("-k").arg(in_quotes(&self.socket_folder));
        command.arg("-p").arg(PORT.to_string());
        for (name, value) in SERVER_SETTINGS {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        if let Some(pid) = stranger {
            // The server ignores its starter's starter in its lock file, and still looks for users of its shared memory.
            // Removing the lock file would take away that second look.
            command.env("PG_GRANDPARENT_PID", pid.to_string());
        }
        command
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.binaries.folder.join(program));
        // Variables as PGDATA and PGPORT are meant for the operator's own server.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        // Messages are read by code. The folder we stand in may be closed to the user that it runs as.
        command.env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Starts a process whose lines go to the log; the last of them are kept.
    pub(super) fn spawn(&self, command: Command) -> Result<(Child, LastLines), EmbeddedError> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        let mut child = child::spawn(command, self.run_as.as_ref())
            .map_err(|error| EmbeddedError::Run { program, error })?;
        let lines = LastLines::of(child.stderr.take());
        Ok((child, lines))
    }

    /// Removes the socket's folder if it lies outside the data folder, once the server has ended.
    pub(super) fn tidy_up(&self, folder: &DataFolder) {
        if !self.socket_folder.starts_with(folder.path()) {
            // If something is left in it, the next start uses it as it is.
            let _ = std::fs::remove_dir(&self.socket_folder);
        }
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

/// Removes what a start that was killed while it made the data has left.
pub(super) fn remove_drafts(folder: &Path) -> io::Result<()> {
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
