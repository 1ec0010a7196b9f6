//! What runs under faults are judged by: their histories, a checker of these, and clients that make them.
//!
//! A run makes a [`recorder::Recorder`], lets [`workload`] loose on its nodes while it does them harm, and holds what
//! was recorded against [`checker::check`].
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses a part of this, and a test that cannot go on should end"
)]

pub mod checker;
pub mod client;
pub mod habits;
pub mod history;
pub mod outbox;
pub mod position;
pub mod recorder;
pub mod visitor;
pub mod workload;
