//! What the store promises of appends, cursors, logins, nodes, apps and its own identity, on a real PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

#[path = "store/api.rs"]
mod api;
#[path = "store/appends.rs"]
mod appends;
#[path = "store/apps.rs"]
mod apps;
#[path = "store/base.rs"]
mod base;
mod common;
#[path = "store/cursors.rs"]
mod cursors;
#[path = "store/group_appends.rs"]
mod group_appends;
#[path = "store/group_base.rs"]
mod group_base;
#[path = "store/group_changes.rs"]
mod group_changes;
#[path = "store/group_reads.rs"]
mod group_reads;
#[path = "store/identity.rs"]
mod identity;
#[path = "store/logins.rs"]
mod logins;
#[path = "store/migration.rs"]
mod migration;
#[path = "store/nodes.rs"]
mod nodes;
#[path = "store/plans.rs"]
mod plans;
#[path = "store/sessions.rs"]
mod sessions;
#[path = "store/shards.rs"]
mod shards;
#[path = "store/unread.rs"]
mod unread;
