//! Finding the PostgreSQL server that the machine has.
//!
//! Never installs or downloads anything; when there is none, it says how to get one.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest PostgreSQL that the statements of the store work with.
pub const OLDEST: u32 = 14;

/// A folder with the programs of one PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// The folder.
    pub folder: PathBuf,
    /// The version as it calls itself, as `15.14`.
    pub version: String,
    /// Its first number.
    pub major: u32,
}

/// Why there is no PostgreSQL to start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// None was found.
    #[error(
        "no PostgreSQL server was found on this machine; install one: {}; or name its folder in \
         database.postgres_bin, or a running server in database.url",
        INSTALL
    )]
    Missing,
    /// The folder in the settings has none.
    #[error(
        "database.postgres_bin {}: {why}; name the folder that holds `postgres` and `initdb`", .folder.display()
    )]
    NotThere {
        /// The folder that was named.
        folder: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Only older ones were found.
    #[error(
        "PostgreSQL {} in {} is too old, {OLDEST} or newer is needed; install one: {INSTALL}", .0.version,
        .0.folder.display()
    )]
    TooOld(Binaries),
    /// The data was made by another major version.
    #[error(
        "the data folder was made by PostgreSQL {made_by}, and this machine has only {}; install PostgreSQL {made_by} \
         beside it, or bring the data over with pg_upgrade", list(.found)
    )]
    OtherMajor {
        /// The major version that made the data.
        made_by: u32,
        /// What the machine has.
        found: Vec<Binaries>,
    },
}

const INSTALL: &str = "`apt-get install postgresql` (Debian, Ubuntu), `dnf install postgresql-server` (Fedora, RHEL), \
    `apk add postgresql` (Alpine), `pacman -S postgresql` (Arch), `brew install postgresql@17` (macOS)";

fn list(found: &[Binaries]) -> String {
    found.iter().map(|binaries| binaries.version.as_str()).collect::<Vec<_>>().join(", ")
}

/// Finds a PostgreSQL: `named` alone if it is given, else PATH, then the highest version in the usual folders.
///
/// `made_by` is the major version that made the data, which alone can read it.
pub fn find(named: Option<&Path>, made_by: Option<u32>) -> Result<Binaries, BinariesError> {
    let found = match named {
        Some(folder) => {
            let not_there = |error: io::Error| BinariesError::NotThere {
                folder: folder.to_owned(),
                why: error.to_string(),
            };
            vec![examine(folder).map_err(not_there)?]
        }
        None => on_this_machine(),
    };
    choose(found, made_by)
}

/// The first that can be used; the list is in order of preference.
fn choose(found: Vec<Binaries>, made_by: Option<u32>) -> Result<Binaries, BinariesError> {
    let Some(first) = found.first().cloned() else { return Err(BinariesError::Missing) };
    let recent: Vec<_> = found.into_iter().filter(|one| one.major >= OLDEST).collect();
    if recent.is_empty() {
        return Err(BinariesError::TooOld(first));
    }
    match made_by {
        None => recent.into_iter().next().ok_or(BinariesError::Missing),
        Some(made_by) => match recent.iter().find(|one| one.major == made_by) {
            Some(same) => Ok(same.clone()),
            None => Err(BinariesError::OtherMajor { made_by, found: recent }),
        },
    }
}

fn on_this_machine() -> Vec<Binaries> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).filter_map(|folder| examine(&folder).ok());
    let mut usual: Vec<Binaries> =
        usual_folders().iter().filter_map(|folder| examine(folder).ok()).collect();
    usual.sort_by_key(|one| std::cmp::Reverse(one.major));
    on_path.chain(usual).collect()
}

fn usual_folders() -> Vec<PathBuf> {
    // Parent folder, what the name of the version's folder begins with, and what follows it.
    const PATTERNS: [(&str, &str, &str); 6] = [
        ("/usr/lib/postgresql", "", "bin"),         // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),                  // PostgreSQL's own packages for RHEL
        ("/usr/libexec", "postgresql", ""),         // Alpine
        ("/opt/homebrew/opt", "postgresql", "bin"), // Homebrew on Apple silicon
        ("/usr/local/opt", "postgresql", "bin"),    // Homebrew on Intel
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ];
    let mut folders = vec![PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/pgsql/bin")];
    for (parent, begin, rest) in PATTERNS {
        let Ok(entries) = std::fs::read_dir(parent) else { continue };
        let versions = entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(begin))
            .map(|entry| entry.path().join(rest));
        folders.extend(versions);
    }
    folders
}

/// What stands in a folder, if both programs do.
fn examine(folder: &Path) -> io::Result<Binaries> {
    if !folder.join("initdb").is_file() {
        return Err(io::Error::other("it has no `initdb`"));
    }
    let postgres = folder.join("postgres");
    let output = Command::new(&postgres).arg("--version").output().map_err(|error| {
        io::Error::other(format!("{} cannot be run: {error}", postgres.display()))
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let (version, major) = parse_version(&text)
        .ok_or_else(|| io::Error::other(format!("`postgres --version` said {text:?}")))?;
    Ok(Binaries { folder: folder.to_owned(), version, major })
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`, and `17beta1`.
fn parse_version(text: &str) -> Option<(String, u32)> {
    let version = text.split_once("(PostgreSQL) ")?.1.split_whitespace().next()?;
    let digits = version.split(|letter: char| !letter.is_ascii_digit()).next()?;
    Some((version.to_owned(), digits.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32) -> Binaries {
        Binaries { folder: PathBuf::from(format!("/{major}")), version: major.to_string(), major }
    }

    #[test]
    fn versions_are_read_as_the_distributions_write_them() {
        for (text, version, major) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", "15.14", 15),
            ("postgres (PostgreSQL) 17beta1\n", "17beta1", 17),
            ("postgres (PostgreSQL) 9.6.24\n", "9.6.24", 9),
        ] {
            assert_eq!(parse_version(text), Some((version.to_owned(), major)));
        }
        assert_eq!(parse_version("bash: no such thing"), None);
    }

    #[test]
    fn a_newer_one_is_taken_where_the_first_is_too_old() {
        assert_eq!(choose(vec![version(13), version(17)], None).unwrap(), version(17));
    }

    #[test]
    fn a_machine_without_any_is_told_how_to_get_one_on_each_system() {
        let error = choose(Vec::new(), None).unwrap_err().to_string();

        for install in ["apt-get install postgresql", "dnf install", "apk add", "brew install"] {
            assert!(error.contains(install), "{error}");
        }
        assert!(error.contains("database.url"), "{error}");
    }

    #[test]
    fn too_old_a_one_is_named_with_how_to_get_another() {
        let error = choose(vec![version(13)], None).unwrap_err().to_string();

        assert!(error.contains("PostgreSQL 13 in /13 is too old"), "{error}");
        assert!(error.contains("apt-get install postgresql"), "{error}");
    }

    #[test]
    fn data_is_opened_only_by_the_version_that_made_it() {
        assert_eq!(choose(vec![version(17), version(15)], Some(15)).unwrap(), version(15));

        let error = choose(vec![version(17)], Some(15)).unwrap_err().to_string();

        assert!(error.contains("made by PostgreSQL 15"), "{error}");
        assert!(error.contains("only 17"), "{error}");
    }

    #[test]
    fn a_folder_without_the_programs_is_named() {
        let empty = tempfile::tempdir().unwrap();

        let error = find(Some(empty.path()), None).unwrap_err().to_string();

        assert!(error.contains("database.postgres_bin"), "{error}");
    }
}
