//! Rookery: a chat engine that other people's products stand on.
//!
//! The map of the crate, from the outside in:
//!
//! - [`config`]: the settings: a file, the environment, flags.
//! - [`domain`]: the rules, pure.
//! - [`protocol`]: what travels, and how it is written.

pub mod config;
pub mod domain;
pub mod ids;
pub mod limits;
pub mod protocol;
