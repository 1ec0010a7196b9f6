//! The clients that make the load: lean, many in one thread, and honest about time.
//!
//! A [`link::Link`] is one connection. While a scene is set (logins, groups, histories) it is asked with
//! [`link::Link::call`], one command at a time. While it is measured all links form a [`crowd::Crowd`] that one thread
//! drives: a workload is a [`crowd::Player`], which hears every frame and answers by putting frames into the buffers of
//! any session; what was put there leaves once the sessions that are readable were heard, in one write a session.
//!
//! Client, server and PostgreSQL share the processors of the machine, so a cheap client is what makes a figure one of the
//! server. That is why frames are read here in place, from one buffer for all sessions, and not by a library that copies
//! each, and why nothing in the way of a message allocates.
//!
//! Most workloads want [`talk::Talk`], a player for messages in pairs and groups alike: windows, open loop, latencies and
//! what the proof needs are there.

pub mod crowd;
pub mod http;
pub mod link;
pub mod pace;
pub mod people;
pub mod population;
pub mod stamp;
pub mod talk;
pub mod wire;
