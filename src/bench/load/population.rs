//! Many users as they are in real use: each with pairs and groups, and messages in all of them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::link::Way;
use super::people::{self, Person};
use crate::bench::errors::BenchError;
use crate::bench::progress::Progress;
use crate::bench::raw::postgres::failed;
use crate::bench::target::Target;
use crate::ids::{AppId, ClientMsgId, UnixMs, UserId};
use crate::limits;
use crate::store::bare;

/// Users who log in at once.
const AT_ONCE: usize = 64;
/// Users at once who make groups and write, which is mostly to wait for commits.
const WORKING: usize = 192;
/// Users whose pairs are opened in one commit.
const USERS_A_COMMIT: usize = 500;
/// Factors by which groups are spread over the users; those that divide the number of users are left out.
const STRIDES: [usize; 40] = [
    1, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101,
    103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173, 179, 181,
];

/// How many of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Users.
    pub users: usize,
    /// Others with whom each of them has a conversation; an even number.
    pub pairs: usize,
    /// Groups that each is in, at most 40.
    pub groups: usize,
    /// Members of a group, at most one more than a command may name.
    pub members: usize,
}

/// The users of a run, and who is in which group.
#[derive(Debug)]
pub struct Population {
    /// The users.
    pub users: Vec<UserId>,
    size: Size,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    id: String,
    /// Which of each user's groups it is.
    turn: usize,
    members: Vec<usize>,
}

impl Population {
    /// Users whose names begin with `prefix`. Nobody is asked for anything.
    pub fn plan(prefix: &str, size: Size) -> Result<Self, BenchError> {
        let users: Result<_, _> = (0..size.users).map(|n| people::user(prefix, "p", n)).collect();
        let strides = STRIDES
            .into_iter()
            .filter(|stride| *stride == 1 || !size.users.is_multiple_of(*stride));
        let groups = strides.take(size.groups).enumerate().flat_map(|(turn, stride)| {
            // Each number once, since the stride and the number of users have no divisor in common.
            let spread: Vec<usize> = (0..size.users).map(|n| n * stride % size.users).collect();
            let parts: Vec<Vec<usize>> = spread.chunks(size.members).map(<[_]>::to_vec).collect();
            parts.into_iter().enumerate().map(move |(n, members)| (turn, n, members))
        });
        let groups = groups
            .map(|(turn, n, members)| Group { id: format!("{prefix}-{turn}-{n}"), turn, members })
            .collect();
        Ok(Self { users: users?, size, groups })
    }

    /// Makes the users, their groups and a message in each pair. Sessions that this takes are closed again.
    ///
    /// All that is needed goes by the public protocol, so it works on a server elsewhere, too.
    pub async fn settle(
        &self,
        target: &Target,
        way: &Way,
        progress: Progress,
    ) -> Result<(), BenchError> {
        let step = progress.step("users log in for the first time", self.users.len() as u64);
        let users = self.users.iter().cloned();
        let logins = users.map(async |user| people::log_in(target, way, user).await.map(drop));
        people::do_all(logins, AT_ONCE, &step).await?;
        drop(step);
        self.open_pairs(target, progress).await?;
        let step = progress.step("they make groups and write", self.users.len() as u64);
        let working = self.owned().into_iter().enumerate();
        let working = working.map(|(n, owned)| self.furnish(target, way, n, owned));
        people::do_all(working, WORKING, &step).await
    }

    /// Opens the pairs in which they will write, many at once: one by one it is most of the time that a scene takes. A server
    /// that is given does it itself, with the first messages.
    async fn open_pairs(&self, target: &Target, progress: Progress) -> Result<(), BenchError> {
        let Some(database) = target.database().await? else { return Ok(()) };
        let step = progress.step("their pairs", self.users.len() as u64);
        for first in (0..self.users.len()).step_by(USERS_A_COMMIT) {
            let users = self.users.iter().enumerate().skip(first).take(USERS_A_COMMIT);
            let pairs: Vec<(&UserId, &UserId)> = users
                .flat_map(|(n, user)| self.others(n).map(move |other| (user, other)))
                .collect();
            bare::open_pairs(database.connector(), AppId::DEFAULT, &pairs).await.map_err(failed)?;
            step.advance(USERS_A_COMMIT as u64);
        }
        database.close().await;
        Ok(())
    }

    /// To whom user `n` writes first.
    fn others(&self, n: usize) -> impl Iterator<Item = &UserId> {
        (1..=self.size.pairs / 2)
            .filter_map(move |other| self.users.get((n + other) % self.users.len()))
    }

    /// What user `n` does: the groups that it owns, and a message to each of the next ones.
    async fn furnish(
        &self,
        target: &Target,
        way: &Way,
        n: usize,
        owned: Vec<&Group>,
    ) -> Result<(), BenchError> {
        let Some(user) = self.users.get(n) else { return Ok(()) };
        let mut person = people::log_in(target, way, user.clone()).await?;
        for group in owned {
            let members: Vec<UserId> =
                group.members.iter().filter_map(|n| self.users.get(*n)).cloned().collect();
            people::make_group(&mut person, &group.id, &members).await?;
        }
        let others = self.others(n).map(|other| format!("user:{other}"));
        say_to_all(&mut person, others.collect()).await
    }

    /// A message in those groups that are among the first `most` of each of their members.
    pub async fn move_heads(
        &self,
        target: &Target,
        way: &Way,
        most: usize,
        progress: Progress,
    ) -> Result<(), BenchError> {
        let step = progress.step("a message in some of their groups", self.users.len() as u64);
        let owned = self.owned().into_iter().zip(&self.users);
        let saying = owned.map(async |(owned, owner)| {
            let moved: Vec<&Group> = owned.into_iter().filter(|group| group.turn < most).collect();
            if moved.is_empty() {
                return Ok(());
            }
            let mut owner = people::log_in(target, way, owner.clone()).await?;
            let moved = moved.into_iter().map(|group| format!("group:{}", group.id));
            say_to_all(&mut owner, moved.collect()).await
        });
        people::do_all(saying, AT_ONCE, &step).await
    }

    /// The groups of each user that the user makes.
    fn owned(&self) -> Vec<Vec<&Group>> {
        let mut owned: Vec<Vec<&Group>> = vec![Vec::new(); self.users.len()];
        for group in &self.groups {
            if let Some(owned) = group.members.first().and_then(|owner| owned.get_mut(*owner)) {
                owned.push(group);
            }
        }
        owned
    }

    /// What a client of each user has after [`Population::settle`], as its login tells it: `sync`.
    pub fn positions(&self, epoch: &str) -> Vec<Value> {
        let mut groups: Vec<Map<String, Value>> = vec![Map::new(); self.users.len()];
        for group in &self.groups {
            for member in &group.members {
                if let Some(own) = groups.get_mut(*member) {
                    // The notice that told of the group.
                    own.insert(group.id.clone(), Value::from(1));
                }
            }
        }
        let inbox = self.size.pairs;
        let position =
            |groups: Map<_, _>| json!({"epoch": epoch, "inbox": inbox, "groups": groups});
        groups.into_iter().map(position).collect()
    }
}

/// Sends a message to each of these conversations, and waits until all are stored.
async fn say_to_all(person: &mut Person, to: Vec<String>) -> Result<(), BenchError> {
    let who = person.user.to_string();
    for to in to.chunks(limits::IN_FLIGHT) {
        let bodies = to.iter().map(|to| {
            let content = json!({"type": "text", "text": "see you tomorrow at the usual place, and bring the others with you"});
            json!({"to": to, "client_msg_id": key(), "content": content})
        });
        person.link.call_all(&who, "message.send", bodies).await?;
    }
    Ok(())
}

/// A new client message id.
pub fn key() -> ClientMsgId {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = UnixMs::new(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    ClientMsgId::mint(now, rand::random())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn everyone_is_in_as_many_groups_as_was_asked_for() {
        for users in [100, 250, 700, 10_000] {
            let size = Size { users, pairs: 20, groups: 20, members: 100 };
            let population = Population::plan("x", size).unwrap();

            let positions = population.positions("e");

            assert_eq!(positions.len(), users);
            for position in positions {
                assert_eq!(position["groups"].as_object().unwrap().len(), 20, "{position}");
            }
            assert!(
                population
                    .groups
                    .iter()
                    .all(|group| group.members.len() <= limits::GROUP_USERS + 1)
            );
        }
    }
}
