//! What groups hold in memory once somebody has written to them, beside what they hold while they sleep.
//!
//! That a session hears of its groups costs the session memory, whether they are awake or not; that is not counted here.

use std::ops::Range;
use std::time::Duration;

use serde_json::json;

use super::Run;
use crate::bench::errors::BenchError;
use crate::bench::figure::{Figure, Goal};
use crate::bench::load::crowd::{self, Crowd, Player, Scene};
use crate::bench::load::link::{CALLS_FROM, Link, Way};
use crate::bench::load::people;
use crate::bench::load::population;
use crate::bench::load::wire::Frame;
use crate::bench::progress::Progress;
use crate::bench::target::Target;
use crate::ids::UserId;
use crate::protocol::codec::Codec;

/// All these groups are of so many users at most, so that the first ones make room in all their buffers.
const USERS: usize = 1_000;
/// With how many members, and how many of them.
const SETS: [(usize, usize); 3] = [(10, 2_000), (100, 500), (1_000, 40)];
/// Of so many groups that are counted one more is woken before.
const COUNTED: usize = 4;
/// Users at once who make groups.
const AT_ONCE: usize = 32;
/// Messages that are under way at once, at most, each of another group: no more than are woken before, so that no queue is
/// ever longer than it was then.
const IN_FLIGHT: usize = 20;
/// How long the answers to them may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// Groups of several sizes that are there and that nobody has written to since the server started.
pub struct Sleepers {
    prefix: String,
    /// Who is in them.
    pub users: Vec<UserId>,
    sets: Vec<Set>,
}

#[derive(Clone, Copy)]
struct Set {
    members: usize,
    /// How many are counted.
    count: usize,
}

impl Set {
    fn warm(self) -> usize {
        self.count / COUNTED
    }
}

impl Sleepers {
    /// Groups of at most so many users. Nobody is asked for anything.
    pub fn plan(prefix: &str, most: usize, is_short: bool) -> Result<Self, BenchError> {
        let users = (0..most.min(USERS)).map(|n| people::user(prefix, "w", n));
        let users = users.collect::<Result<Vec<_>, _>>()?;
        let sets = SETS.into_iter().filter(|(members, _)| *members <= users.len());
        let sets = sets.map(|(members, count)| {
            let count = if is_short { count / 2 } else { count };
            Set { members, count }
        });
        Ok(Self { prefix: prefix.to_owned(), sets: sets.collect(), users })
    }

    /// Makes them. Sessions that this takes are closed again.
    pub async fn settle(
        &self,
        target: &Target,
        way: &Way,
        progress: Progress,
    ) -> Result<(), BenchError> {
        {
            let step = progress.step("members of groups that sleep", self.users.len() as u64);
            drop(
                people::log_all_in(target, std::slice::from_ref(way), self.users.clone(), &step)
                    .await?,
            );
        }
        let mut owned: Vec<Vec<(Set, usize)>> = vec![Vec::new(); self.users.len()];
        for set in &self.sets {
            for n in 0..set.warm() + set.count {
                if let Some(owned) = owned.get_mut(self.owner(n)) {
                    owned.push((*set, n));
                }
            }
        }
        let step = progress.step("groups that sleep", self.users.len() as u64);
        let making = owned.into_iter().enumerate();
        let making = making.map(|(owner, owned)| self.make(target, way, owner, owned));
        people::do_all(making, AT_ONCE, &step).await
    }

    async fn make(
        &self,
        target: &Target,
        way: &Way,
        owner: usize,
        owned: Vec<(Set, usize)>,
    ) -> Result<(), BenchError> {
        let Some(user) = self.users.get(owner).filter(|_| !owned.is_empty()) else {
            return Ok(());
        };
        let mut person = people::log_in(target, way, user.clone()).await?;
        for (set, n) in owned {
            let members = self.users.iter().cycle().skip(owner).take(set.members);
            let members: Vec<UserId> = members.cloned().collect();
            people::make_group(&mut person, &self.group(set, n), &members).await?;
        }
        Ok(())
    }

    /// Wakes them, set by set, and says by what the server's memory, in bytes, rose for each.
    ///
    /// Of `links` those from `first` on are the users', in their order; the others stay online meanwhile. Memory is read when
    /// the server has had `rest`.
    pub async fn wake(
        &self,
        run: &Run<'_>,
        mut links: Vec<Link>,
        first: usize,
        rest: Duration,
        target: &Target,
    ) -> Result<Vec<Figure>, BenchError> {
        let mut figures = Vec::new();
        for set in &self.sets {
            let what = format!("waking groups of {}", set.members);
            let _step = run.progress.step(&what, set.count as u64);
            let player = Replies { codec: run.common.codec(), answered: 0, refused: None };
            let played = crowd::play(links, player, run.began, async |scene: &Scene<Replies>| {
                self.write_to(scene, first, *set, 0..set.warm()).await?;
                scene.run_for(rest).await;
                let before = target.memory().await?;
                self.write_to(scene, first, *set, set.warm()..set.warm() + set.count).await?;
                scene.run_for(rest).await;
                Ok((target.memory().await? - before) / set.count as f64)
            })
            .await?;
            links = played.links;
            let members = set.members as f64;
            let name = format!("idle.group_bytes_{members}");
            let what = format!("resident memory that waking a group with {members} online takes");
            figures.push(
                Figure::lower(&name, &what, played.told, "bytes")
                    .with_goal(Goal::value(4_096.0 + 16.0 * members, 2_048.0 + 8.0 * members))
                    .tolerating(40),
            );
        }
        Ok(figures)
    }

    /// A message to each of these groups, by its owner.
    async fn write_to(
        &self,
        scene: &Scene<Replies>,
        first: usize,
        set: Set,
        groups: Range<usize>,
    ) -> Result<(), BenchError> {
        let groups: Vec<usize> = groups.collect();
        for part in groups.chunks(set.warm().clamp(1, IN_FLIGHT)) {
            let asked = scene.with(|replies, crowd| {
                for &n in part {
                    let content = json!({"type": "text", "text": "is anybody there?"});
                    let to = format!("group:{}", self.group(set, n));
                    let key = population::key();
                    let body = json!({"to": to, "client_msg_id": key, "content": content});
                    crowd.command(first + self.owner(n), n as u64 + 1, "message.send", body);
                }
                replies.answered + part.len()
            });
            let is_over =
                |replies: &Replies| replies.refused.is_some() || replies.answered >= asked;
            if !scene.until(ANSWERS_WITHIN, is_over).await {
                let what = "acks of messages that wake groups".to_owned();
                return Err(BenchError::Late { what, after: ANSWERS_WITHIN });
            }
            if let Some(refused) = scene.with(|replies, _| replies.refused.take()) {
                return Err(refused);
            }
        }
        Ok(())
    }

    fn group(&self, set: Set, n: usize) -> String {
        format!("{}-w{}-{n}", self.prefix, set.members)
    }

    fn owner(&self, n: usize) -> usize {
        n * 7 % self.users.len().max(1)
    }
}

/// Counts answers, and hears nothing else.
struct Replies {
    codec: Codec,
    answered: usize,
    refused: Option<BenchError>,
}

impl Player for Replies {
    fn hear(
        &mut self,
        _: &mut Crowd,
        who: usize,
        payload: &[u8],
        _: u64,
    ) -> Result<(), BenchError> {
        let ended = |why: String| BenchError::Session { who: who.to_string(), why };
        let frame = Frame::read(payload, self.codec).map_err(ended)?;
        // Heartbeats are answered, too.
        if frame.re.is_none_or(|id| id >= CALLS_FROM) {
            return Ok(());
        }
        self.answered += 1;
        if let Some(refusal) = frame.error {
            let (code, message) = (refusal.code.to_owned(), refusal.message.into_owned());
            self.refused = Some(BenchError::Refused { what: "a message".into(), code, message });
        }
        Ok(())
    }
}
