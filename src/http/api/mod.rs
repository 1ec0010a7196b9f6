//! The REST interface for the apps' backends: one table of routes, from which what is served, who is let in and the
//! document all come.
//!
//! A route acts for the app of the key that asks, and for no other. What it does is done by the actors; here requests are
//! read and answers written.

mod answer;
mod call;
mod gate;
mod openapi;
mod repeats;
mod route;
mod routes;
mod serve;

mod app;
mod groups;
mod messages;
mod users;

pub use serve::{Api, configure};

/// Where the interface begins.
pub const ROOT: &str = "/api/v1";

/// A name as a part of a path: of its alphabet only one character means something else there.
fn path_part(name: &str) -> String {
    name.replace('#', "%23")
}
