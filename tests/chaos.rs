//! Whether a history of a run is judged rightly, and whether a run without faults is found in order.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

#[path = "chaos/mod.rs"]
mod chaos;
mod common;

#[path = "chaos/bad.rs"]
mod bad;
#[path = "chaos/generated.rs"]
mod generated;
#[path = "chaos/good.rs"]
mod good;
#[path = "chaos/model.rs"]
mod model;
#[path = "chaos/mutation.rs"]
mod mutation;
#[path = "chaos/script.rs"]
mod script;
