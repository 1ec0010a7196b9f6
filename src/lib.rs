//! Rookery: a chat engine that other people's products stand on.
//!
//! The map of the crate, from the outside in:
//!
//! - [`app`]: builds the parts and wires them, in order.
//! - [`http`]: ports, the WebSocket adapter, the web client's files, health, metrics.
//! - [`tcp`]: the adapter for native clients. Both stand on `net`, one connection's reading and writing.
//! - [`actors`]: sessions, users, journals, the registry; each owns its state and none waits.
//! - [`mod@bench`]: the load generator, and what it says.
//! - [`chat`]: the chat client of the command line.
//! - [`client`]: a client that keeps every rule of the protocol, and a bare connection that keeps none.
//! - [`cluster`]: what makes this process a node.
//! - [`config`]: the settings: a file, the environment, flags.
//! - [`domain`]: the rules, pure.
//! - [`protocol`]: what travels, and how it is written.
//! - [`store`]: PostgreSQL, the only truth.
//! - [`ids`] and [`limits`]: a type for every number and name, and every bound.

#![deny(unsafe_code)]

#[cfg(all(feature = "sabotage", not(debug_assertions)))]
compile_error!("a build with faults on purpose is no release");

/// Whether something is wrong on purpose here; false in every build without the feature `sabotage`.
#[cfg(feature = "sabotage")]
macro_rules! sabotaged {
    ($fault:ident) => {
        $crate::sabotage::is($crate::sabotage::Fault::$fault)
    };
    (sql $statement:expr) => {
        &$crate::store::sabotage::statement($statement)
    };
    (answer $client:expr, $statement:expr, $params:expr) => {
        $crate::store::sabotage::answer(&$client, $statement, $params)
    };
}
#[cfg(not(feature = "sabotage"))]
macro_rules! sabotaged {
    ($fault:ident) => {
        false
    };
    (sql $statement:expr) => {
        $statement
    };
    (answer $client:expr, $statement:expr, $params:expr) => {
        $client.query($statement, $params)
    };
}

pub mod actors;
pub mod app;
pub mod bench;
pub mod chat;
pub mod client;
pub mod cluster;
pub mod config;
pub mod domain;
pub mod http;
pub mod ids;
pub mod limits;
mod net;
pub mod protocol;
#[cfg(feature = "sabotage")]
mod sabotage;
pub mod store;
pub mod tcp;
