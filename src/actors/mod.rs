//! The actors: each owns its state, nothing else touches it, and none of them waits.
//!
//! They translate between what travels ([`crate::protocol`]) and what is decided ([`crate::domain`]). The access adapters
//! and the application use [`Engine`], [`open_session`] and [`SessionHandle`] alone.

pub mod accounts;
mod admission;
mod api_keys;
mod apps;
mod asker;
pub mod backend;
mod changes;
mod cursors;
mod draft;
mod engine;
mod errors;
mod exchange;
mod friends;
mod group;
mod group_reads;
mod holds;
mod journal;
mod logins;
mod mailbox;
mod outlet;
mod presence;
pub mod presence_reads;
mod reads;
mod registry;
mod relay;
pub mod repeats;
mod session;
mod user;
mod wire;

pub use api_keys::{Caller, authenticate};
pub use engine::{
    ConnectionPlace, CountedConnection, Engine, EngineSettings, ReadReceipts, TurnedAway,
};
pub use session::{Handed, SessionHandle, Transport};

use crate::protocol::framing::Dialect;

/// Opens a session for a new connection that is spoken to in a dialect, on the caller's thread.
pub fn open_session(
    engine: &Engine,
    transport: Box<dyn Transport>,
    dialect: Dialect,
) -> SessionHandle {
    session::SessionActor::open(engine, transport, dialect)
}
