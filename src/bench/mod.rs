//! The load generator: it measures a server from outside, and what the machine could do at best in the same run.

pub mod figure;
