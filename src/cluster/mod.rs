//! What makes this process a node: its row, its lease, its shards, its share of the database's clock.
//!
//! Never decides about messages; PostgreSQL does.

pub mod node;
pub mod ownership;
