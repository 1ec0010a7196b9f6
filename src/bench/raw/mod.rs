//! What the machine could do at best: the parts that the engine stands on, each without the engine.
//!
//! Measured in the same run as what is compared with them, by the same clients, since absolute figures on a shared machine
//! mean little.

pub mod postgres;
pub mod sockets;
pub mod websocket;
