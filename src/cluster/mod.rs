//! What makes this process a node: its row, its lease, its shards, its share of the database's clock; and who is
//! there.
//!
//! Never decides about messages; PostgreSQL does.

pub mod bus;
mod memory;
pub mod node;
pub mod ownership;
pub mod peers;
pub mod presence;
