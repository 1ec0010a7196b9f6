//! The rules, as plain types and functions.
//!
//! Nothing here performs I/O, reads a clock or knows the actor crate: time and keys are arguments, and a rule cannot
//! fail, it can only refuse.

pub mod usersig;
