//! PostgreSQL: the only truth. One file per thing stored, besides how a connection is made and where the server comes from.
//!
//! Never decides who may do what; it keeps what it is told and says what it knows.

use std::time::Duration;

use tokio_postgres::error::{DbError, Severity, SqlState};

pub mod api_keys;
pub mod apps;
pub mod bare;
pub mod binaries;
pub mod bus;
pub mod child;
pub mod connect;
pub mod conversations;
pub mod cursors;
pub mod dedup;
pub mod embedded;
pub mod folder;
pub mod friends;
pub mod group_appends;
pub mod group_changes;
pub mod groups;
pub mod idempotency;
pub mod identity;
pub mod inbox;
pub mod logins;
pub mod members;
pub mod migrate;
pub mod nodes;
pub mod pairs;
pub mod presence;
mod query;
#[cfg(feature = "sabotage")]
pub(crate) mod sabotage;
pub mod sessions;
pub mod shards;
pub mod source;
pub mod status;
pub mod users;
pub mod writer;

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written, and asking again would not help: answer the client and carry on.
    #[error("refused: {reason}")]
    Refused {
        /// What the database said, without any value from the statement.
        reason: String,
    },
    /// Nothing was written, the database is away or busy: say so and ask again later.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// What stood in the way.
        reason: String,
    },
    /// It may have been written: fence, and look it up before anything else.
    #[error("outcome unknown after {waited:?}")]
    Unknown {
        /// How long the answer was awaited.
        waited: Duration,
    },
    /// The database is there and must not be used as it is: the operator has to act.
    #[error("{reason}")]
    Unfit {
        /// What is wrong and what to do.
        reason: String,
    },
}

impl StoreError {
    /// What a failed read means: it changed nothing, so it is never [`StoreError::Unknown`].
    pub fn of_read(error: &tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) if !is_passing(db.code()) => Self::Refused { reason: reason(db) },
            Some(db) => Self::Unavailable { reason: reason(db) },
            None => Self::Unavailable { reason: error.to_string() },
        }
    }

    /// What a failed write means, `waited` after it was handed to the connection.
    ///
    /// Only the server's own word that the statement failed proves that nothing was written. A connection that ended, or
    /// that was ended by an administrator or a crash (which may strike after the commit), proves nothing.
    pub fn of_write(error: &tokio_postgres::Error, waited: Duration) -> Self {
        match error.as_db_error() {
            Some(db) if is_ending(db) => Self::Unknown { waited },
            Some(db) if is_passing(db.code()) => Self::Unavailable { reason: reason(db) },
            Some(db) => Self::Refused { reason: reason(db) },
            None => Self::Unknown { waited },
        }
    }
}

/// The code and the primary message. Not the detail: it can carry values of the row.
fn reason(db: &DbError) -> String {
    format!("{} ({})", db.message(), db.code().code())
}

fn is_ending(db: &DbError) -> bool {
    let code = db.code();
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN].contains(code)
        // The server process ends with it, perhaps in the middle of a commit: the disk was full, or could not be written.
        || matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        // Class 08 is about the connection itself.
        || code.code().starts_with("08")
}

/// Whether the same statement may succeed later: locks, time-outs, deadlocks, room, a server that starts or stops.
fn is_passing(code: &SqlState) -> bool {
    ["08", "40", "53", "55", "57", "58"].contains(&code.code().get(..2).unwrap_or_default())
}
