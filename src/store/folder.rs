//! The data folder: who holds it, and which node it is.
//!
//! Holding its lock is what makes a process the only one that touches the private PostgreSQL and acts as this node. The
//! lock is the kernel's, so it ends with its holder however that ends; what stands in the lock file is only for people.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::ApiKeyId;
use crate::store::child::RunAs;

const LOCK_FILE: &str = "rookery.lock";
const NODE_FILE: &str = "node.json";
const DEMO_FILE: &str = "demo.json";
const DEMO_KEY_FILE: &str = "demo_key.json";
const SERVING_FILE: &str = "serving.json";

/// What the holder of a data folder does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Serves until it is stopped; others work beside it.
    Serve,
    /// Does one thing and lets go within seconds; others wait for it.
    Command,
}

impl Purpose {
    fn word(self) -> &'static str {
        match self {
            Self::Serve => "serve",
            Self::Command => "command",
        }
    }
}

/// Who holds a data folder, as far as the lock file tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its process id, if it was written yet.
    pub pid: Option<u32>,
    /// What it does; a holder that has not said so yet counts as a command.
    pub purpose: Purpose,
}

/// Why the data folder cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process holds it.
    #[error(
        "the data folder {} is held by another server, process {}; stop that one, or choose another folder with \
         --data-dir", .folder.display(), .holder.pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string())
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// Something in it cannot be made or written.
    #[error(
        "the data folder {} cannot be used: {path}: {error}; make it writable for this user, or choose another with \
         --data-dir", .folder.display()
    )]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What could not be done.
        path: String,
        /// What the system said.
        error: io::Error,
    },
    /// The user that runs PostgreSQL cannot get there.
    #[error(
        "the folder {} cannot be entered by the user {user}, as whom PostgreSQL runs (it refuses to run as root); \
         run `chmod o+x {}`, or choose another data folder with --data-dir", .parent.display(), .parent.display()
    )]
    NotSearchable {
        /// The folder that is closed.
        parent: PathBuf,
        /// The user's name.
        user: String,
    },
    /// The file with the node's identity makes no sense.
    #[error(
        "{} is damaged ({why}); restore it, or remove it and a new one is made", .file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// A data folder whose lock we hold until this value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // Closing the file ends the lock.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if need be and takes its lock, without waiting.
    pub fn hold(path: &Path, purpose: Purpose) -> Result<Self, FolderError> {
        let unusable = |error| unusable(path, path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let mut file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = read_holder(&mut file);
                return Err(FolderError::Held { folder: path.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        file.set_len(0).map_err(unusable)?;
        writeln!(file, "{} {}", std::process::id(), purpose.word()).map_err(unusable)?;
        Ok(Self { path: path.to_owned(), _lock: file })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The node's number: random, positive, made when the folder was first used, kept for ever.
    pub fn node(&self) -> Result<u64, FolderError> {
        if let Some(Identity { node }) = self.note(NODE_FILE)? {
            if node == 0 || node > i64::MAX.unsigned_abs() {
                let file = self.path.join(NODE_FILE);
                return Err(FolderError::Damaged { file, why: "node is out of range".to_owned() });
            }
            return Ok(node);
        }
        let node = rand::random_range(1..=i64::MAX.unsigned_abs());
        self.keep_note(NODE_FILE, &Identity { node })?;
        Ok(node)
    }

    /// When the last tokens of the demo users were signed, in seconds since 1970, if there ever were any.
    pub fn demo_signed_at_s(&self) -> Result<Option<i64>, FolderError> {
        Ok(self.note(DEMO_FILE)?.map(|DemoNote { signed_at_s }| signed_at_s))
    }

    /// Keeps when tokens of the demo users were signed; to be called before anybody sees them.
    pub fn keep_demo_signed_at_s(&self, signed_at_s: i64) -> Result<(), FolderError> {
        self.keep_note(DEMO_FILE, &DemoNote { signed_at_s })
    }

    /// Which API key was made for the demo, if one was.
    pub fn demo_key(&self) -> Result<Option<ApiKeyId>, FolderError> {
        let note = self.note(DEMO_KEY_FILE)?;
        Ok(note.and_then(|DemoKeyNote { key }| ApiKeyId::parse(&key)))
    }

    /// Keeps which API key is made for the demo; to be called before it is made. None: there is none any more.
    pub fn keep_demo_key(&self, key: Option<ApiKeyId>) -> Result<(), FolderError> {
        let key = key.map(|key| key.to_string()).unwrap_or_default();
        self.keep_note(DEMO_KEY_FILE, &DemoKeyNote { key })
    }

    /// Keeps where clients of this machine find the server that holds the folder; [`serving`] finds it.
    pub fn keep_serving(&self, http: SocketAddr) -> Result<(), FolderError> {
        self.keep_note(SERVING_FILE, &ServingNote { pid: std::process::id(), http })
    }

    fn note<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FolderError> {
        let file = self.path.join(name);
        match std::fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| FolderError::Damaged { file, why: error.to_string() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&self.path, &file, error)),
        }
    }

    fn keep_note<T: Serialize>(&self, name: &str, note: &T) -> Result<(), FolderError> {
        let file = self.path.join(name);
        serde_json::to_vec(note)
            .map_err(io::Error::from)
            .and_then(|text| write_whole(&file, &text))
            .map_err(|error| unusable(&self.path, &file, error))
    }

    /// Makes a folder of mode 0700 inside, owned by `owner` if that is another user; one that exists stays.
    pub fn subfolder(&self, name: &str, owner: Option<&RunAs>) -> Result<PathBuf, FolderError> {
        let path = self.path.join(name);
        private_folder(&path, owner).map_err(|error| unusable(&self.path, &path, error))?;
        Ok(path)
    }

    /// Makes sure that `user` can reach what lies in the folder, which is opened for that; its parents are not ours.
    pub fn let_through(&self, user: &RunAs) -> Result<(), FolderError> {
        let unusable = |error| unusable(&self.path, &self.path, error);
        let path = self.path.canonicalize().map_err(unusable)?;
        let metadata = path.metadata().map_err(unusable)?;
        if !may_search(&metadata, user) {
            // Search alone: names can be guessed, not listed, and each file inside is closed by its own mode.
            let mode = metadata.mode() & 0o7777 | 0o011;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(unusable)?;
        }
        for parent in path.ancestors().skip(1) {
            if !may_search(&parent.metadata().map_err(unusable)?, user) {
                let parent = parent.to_owned();
                return Err(FolderError::NotSearchable { parent, user: user.name.clone() });
            }
        }
        Ok(())
    }
}

/// Who holds the data folder at `path` now; `None` when nobody does or it is not there.
pub fn holder(path: &Path) -> Result<Option<Holder>, FolderError> {
    if !path.join(LOCK_FILE).exists() {
        return Ok(None);
    }
    let mut file = open_lock(path)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file))),
        Err(TryLockError::Error(error)) => Err(unusable(path, path, error)),
    }
}

/// Where clients of this machine find the server that holds the folder, if one does and is ready.
pub fn serving(path: &Path) -> Option<SocketAddr> {
    // Only a hint: whatever cannot be read here, the settings say where a server would be.
    let holder = holder(path).ok()?.filter(|holder| holder.purpose == Purpose::Serve)?;
    let note: ServingNote =
        serde_json::from_slice(&std::fs::read(path.join(SERVING_FILE)).ok()?).ok()?;
    // What a former server has written names no port of this one.
    (holder.pid == Some(note.pid)).then_some(note.http)
}

/// Makes a folder that only its owner can enter, or checks that the one there is such a one.
pub fn private_folder(path: &Path, owner: Option<&RunAs>) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            if let Some(user) = owner {
                std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))?;
            }
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = path.symlink_metadata()?;
            let wanted = owner.map_or_else(crate::store::child::effective_uid, |user| user.uid);
            // One that another user laid out in a shared place would hand them our database.
            if !found.is_dir() || found.uid() != wanted || found.mode() & 0o077 != 0 {
                return Err(io::Error::other(format!(
                    "it exists, and is not a folder of mode 0700 of the user {}",
                    owner.map_or_else(|| wanted.to_string(), |user| user.name.clone())
                )));
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Writes a file of mode 0600 so that after a crash it is there as a whole or not at all.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&draft, path)?;
    sync_parent(path)
}

/// Makes the names in the parent folder of `path` survive a crash.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[derive(Serialize, Deserialize)]
struct Identity {
    node: u64,
}

#[derive(Serialize, Deserialize)]
struct DemoNote {
    signed_at_s: i64,
}

#[derive(Serialize, Deserialize)]
struct DemoKeyNote {
    /// Empty when there is none any more.
    key: String,
}

#[derive(Serialize, Deserialize)]
struct ServingNote {
    pid: u32,
    http: SocketAddr,
}

fn open_lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join(LOCK_FILE);
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| unusable(folder, &path, error))
}

fn read_holder(file: &mut File) -> Holder {
    let mut text = String::new();
    // A file that cannot be read tells as little as one that was not written yet.
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let mut words = text.split_whitespace();
    let pid = words.next().and_then(|word| word.parse().ok());
    let purpose = match words.next() {
        Some("serve") => Purpose::Serve,
        _ => Purpose::Command,
    };
    Holder { pid, purpose }
}

fn may_search(metadata: &std::fs::Metadata, user: &RunAs) -> bool {
    let bit = if metadata.uid() == user.uid {
        0o100
    } else if metadata.gid() == user.gid {
        0o010
    } else {
        0o001
    };
    metadata.mode() & bit != 0
}

fn unusable(folder: &Path, path: &Path, error: io::Error) -> FolderError {
    FolderError::Unusable { folder: folder.to_owned(), path: path.display().to_string(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_held_names_its_holder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let held = DataFolder::hold(&path, Purpose::Serve).unwrap();

        let second = DataFolder::hold(&path, Purpose::Command).unwrap_err();

        let pid = Some(std::process::id());
        assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
        assert_eq!(holder(&path).unwrap(), Some(Holder { pid, purpose: Purpose::Serve }));
        drop(held);
        assert_eq!(holder(&path).unwrap(), None);
        DataFolder::hold(&path, Purpose::Command).unwrap();
    }

    #[test]
    fn a_node_keeps_its_number() {
        let parent = tempfile::tempdir().unwrap();
        let first = DataFolder::hold(parent.path(), Purpose::Serve).unwrap().node().unwrap();

        let second = DataFolder::hold(parent.path(), Purpose::Serve).unwrap().node().unwrap();

        assert_eq!(first, second);
        let mode = parent.path().join(NODE_FILE).metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_identity_is_not_replaced_silently() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::hold(parent.path(), Purpose::Serve).unwrap();
        for text in ["", "{}", r#"{"node": 0}"#, r#"{"node": 18446744073709551615}"#, "\0\0"] {
            std::fs::write(parent.path().join(NODE_FILE), text).unwrap();

            let error = folder.node().unwrap_err();

            assert!(matches!(error, FolderError::Damaged { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn a_folder_that_others_could_enter_is_not_taken_for_a_private_one() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run");
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();

        assert!(private_folder(&path, None).is_err());
    }
}
