//! Who takes part: users of this run alone, logged in, and the groups that they are in.

use std::fmt::Display;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::link::{Link, Way};
use crate::bench::errors::BenchError;
use crate::bench::progress::Step;
use crate::bench::target::Target;
use crate::ids::UserId;
use crate::limits;

/// Logins, or questions to different sessions, at once.
const AT_ONCE: usize = 64;

/// A user of this run with a session.
#[derive(Debug)]
pub struct Person {
    /// The user.
    pub user: UserId,
    /// The session.
    pub link: Link,
    /// What the login was answered with.
    pub login: Value,
}

/// The user number `n` of the run that goes by `prefix`, in the part of it that `role` names.
pub fn user(prefix: &str, role: &str, n: impl Display) -> Result<UserId, BenchError> {
    UserId::parse(&format!("{prefix}-{role}-{n}"))
        .map_err(|error| BenchError::Options(error.to_string()))
}

/// Connects and logs in.
pub async fn log_in(target: &Target, way: &Way, user: UserId) -> Result<Person, BenchError> {
    let failed = |error: std::io::Error| BenchError::Session {
        who: user.to_string(),
        why: error.to_string(),
    };
    let link = Link::open(way).await.map_err(failed)?;
    enter(target, link, user).await
}

/// Logs in over a connection that is open already.
pub async fn enter(target: &Target, mut link: Link, user: UserId) -> Result<Person, BenchError> {
    let body = json!({
        "user": user.as_str(),
        "token": target.token(&user),
        "device": {"id": "bench", "platform": "api"},
    });
    let login = link.call(user.as_str(), "login", body).await?;
    Ok(Person { user, link, login })
}

/// Connects and logs all of them in, some at a time, each by the next of `ways` in turn; they come back in their order. Each
/// of them is told to `step`.
pub async fn log_all_in(
    target: &Target,
    ways: &[Way],
    users: Vec<UserId>,
    step: &Step,
) -> Result<Vec<Person>, BenchError> {
    let logins = users.into_iter().zip(ways.iter().cycle());
    let logins = logins.map(|(user, way)| log_in(target, way, user));
    let mut logins = futures_util::stream::iter(logins).buffered(AT_ONCE);
    let mut people = Vec::new();
    while let Some(person) = logins.next().await {
        people.push(person?);
        step.advance(1);
    }
    Ok(people)
}

/// Does all of this, so much at once, in whatever order it ends; each that is done is told to `step`.
pub async fn do_all<W: Future<Output = Result<(), BenchError>>>(
    work: impl Iterator<Item = W>,
    at_once: usize,
    step: &Step,
) -> Result<(), BenchError> {
    let mut working = futures_util::stream::iter(work).buffer_unordered(at_once);
    while let Some(done) = working.next().await {
        done?;
        step.advance(1);
    }
    Ok(())
}

/// Has the first of `members` make a group with all of them, and returns how its conversation is named.
///
/// Who shall be a member exists from the first login on. As many as a command may name are invited at a time.
pub async fn make_group(
    owner: &mut Person,
    group: &str,
    members: &[UserId],
) -> Result<String, BenchError> {
    let who = owner.user.to_string();
    let others: Vec<&str> =
        members.iter().filter(|user| **user != owner.user).map(UserId::as_str).collect();
    let mut parts = others.chunks(limits::GROUP_USERS);
    let first = parts.next().unwrap_or_default();
    let body = json!({"group": group, "kind": "work", "name": "Bench", "members": first});
    owner.link.call(&who, "group.create", body).await?;
    for part in parts {
        let body = json!({"group": group, "users": part});
        owner.link.call(&who, "group.invite", body).await?;
    }
    Ok(format!("group:{group}"))
}

/// The epoch of the store, as the logins told it.
pub fn epoch(people: &[Person]) -> String {
    let first = people.first().and_then(|person| person.login["epoch"].as_str());
    first.unwrap_or_default().to_owned()
}
