//! Rookery: a chat engine that other people's products stand on.
//!
//! The map of the crate, from the outside in:
//!
//! - [`protocol`]: what travels, and how it is written.

pub mod ids;
pub mod limits;
pub mod protocol;
