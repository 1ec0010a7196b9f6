//! The command line of Rookery.
fn main() {}
