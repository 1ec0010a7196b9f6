//! Rookery: a chat engine that other people's products stand on.
