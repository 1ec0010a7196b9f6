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
pub mod store;
pub mod tcp;
