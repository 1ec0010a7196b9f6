//! The rules, pure: no socket, no clock, no database, no actor. They cannot fail, they can only refuse.

pub mod api_key;
pub mod epoch;
pub mod group;
pub mod intake;
pub mod journal;
pub mod login_policy;
pub mod order;
pub mod outbound;
pub mod policy;
pub mod presence;
pub mod sends;
pub mod snowflake;
pub mod usersig;
pub mod watching;
