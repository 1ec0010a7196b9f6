//! Users who change their status while their friends are online: how soon each friend's client knows, and what it costs.
//!
//! There is a stretch for each number of friends. A state that is followed by another one before it is told need not be
//! told, so a client that hears of a later one knows the earlier ones, too, and all of them took until then.

use std::ops::Range;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde_json::json;

use super::{Run, talking};
use crate::bench::errors::BenchError;
use crate::bench::figure::{Figure, Latency, LatencyGoal, Proof, WorkloadReport};
use crate::bench::load::crowd::{self, Crowd, Player, Scene};
use crate::bench::load::link::{CALLS_FROM, Link};
use crate::bench::load::pace::{Metronome, Schedule};
use crate::bench::load::people::{self, Person};
use crate::bench::load::wire::Frame;
use crate::bench::meter::Usage;
use crate::limits;
use crate::protocol::codec::Codec;

/// How long after a change the same user makes the next: longer than changes are joined, so that each is told by itself.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
const _: () = assert!(AGAIN_AFTER.as_millis() > limits::PRESENCE_JOINED.as_millis());
/// Changes begin so long before they are measured: from then on as many are told as are made.
const WARM_UP: Duration = Duration::from_millis(1_500);
const _: () = assert!(WARM_UP.as_millis() > limits::PRESENCE_JOINED.as_millis());
/// Of users with fewer friends as many changes are made as of users with so many.
const FRIENDS_AT_LEAST: u32 = 20;
/// Sessions, and times that a friend is told in a second, of a short run.
const SHORT_ONLINE: u32 = 1_200;
const SHORT_DELIVERIES: u32 = 1_000;
/// How long the last changes may take to be known.
const SETTLE_WITHIN: Duration = Duration::from_secs(20);
/// Users at once who make friends.
const AT_ONCE: usize = 64;
/// Times that are longer count as this long, in µs.
const LONGEST_US: u64 = 60_000_000;
/// Ids of what is asked by who fell behind.
const SYNC_ID: u64 = CALLS_FROM + 1;
const ASK_ID: u64 = CALLS_FROM + 2;

/// When a friend's client should know. No change is told before the second is over for which changes are joined.
const GOAL: LatencyGoal = LatencyGoal {
    p50_must_ms: 2_000.0,
    p50_aim_ms: 1_100.0,
    p99_must_ms: 2_000.0,
    p99_aim_ms: 1_500.0,
};

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Presence {
    /// Sessions: those who change their status, and others, who are their friends.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    pub online: u32,
    /// Friends, all of them online, of each user who changes their status; measured one number after the other.
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [0, 100, 1_000], value_parser = clap::value_parser!(u32).range(0..=limits::FRIENDS as i64))]
    pub friends: Vec<u32>,
    /// How often in a second a friend's client is to be told; of users with more friends fewer changes are made.
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(20..=100_000))]
    pub deliveries: u32,
}

/// Measures it.
pub async fn run(run: &Run<'_>, options: &Presence) -> Result<WorkloadReport, BenchError> {
    let plan = Plan::of(options, run.common.short)?;
    let mut report = WorkloadReport::new("presence");
    report.set("online", plan.online);
    let friends: Vec<String> = options.friends.iter().map(u32::to_string).collect();
    report.set("friends", friends.join(" and "));
    report.set("deliveries", plan.deliveries);

    let mut everyone = talking::log_in(run, "c", 0..plan.online).await?;
    plan.befriend(run, &mut everyone).await?;
    let player = Onlookers::new(&plan, &everyone, run.common.codec())?;
    let links = everyone.into_iter().map(|person| person.link).collect();
    let played = crowd::play(links, player, run.began, async |scene: &Scene<Onlookers>| {
        let idle = {
            let _step = run.progress.stretch("nobody changes", run.common.measured());
            idle(run, scene).await
        };
        report.disturbance = idle.disturbance();
        let share = idle.server_cpu.as_secs_f64() * 1e3 / idle.wall.as_secs_f64();
        let what = "processor time of the server a second while nobody changes";
        report.figures.push(Figure::lower("presence.idle_cpu", what, share, "ms"));
        for cast in &plan.casts {
            let said = format!("changes of users with {} friends", cast.friends);
            let time = cast.warm_up(run) + run.common.stretch();
            let _step = run.progress.stretch(&said, time);
            let told = changes(run, scene, cast).await?;
            report.disturbance.worsen(told.usage.disturbance());
            report.figures.extend(told.figures(cast, &idle));
            report.latencies.extend(told.latencies(cast)?);
        }
        Ok(())
    })
    .await?;
    report.proof = prove(&played.player, played.links).await?;
    Ok(report)
}

/// Who changes, and who looks on.
struct Plan {
    online: u32,
    deliveries: u32,
    casts: Vec<Cast>,
    /// The sessions that change nothing.
    onlookers: Range<usize>,
}

/// Users who have the same number of friends.
struct Cast {
    friends: usize,
    changers: Range<usize>,
    /// Changes of all of them in a second.
    rate_per_s: f64,
}

impl Plan {
    fn of(options: &Presence, is_short: bool) -> Result<Self, BenchError> {
        let (online, deliveries) = if is_short {
            (options.online.min(SHORT_ONLINE), options.deliveries.min(SHORT_DELIVERIES))
        } else {
            (options.online, options.deliveries)
        };
        let mut first = 0;
        let mut casts = Vec::new();
        for &friends in &options.friends {
            let rate_per_s = f64::from(deliveries) / f64::from(friends.max(FRIENDS_AT_LEAST));
            let changers = (rate_per_s * AGAIN_AFTER.as_secs_f64()).ceil().max(1.0) as usize;
            let changers = first..first + changers;
            first = changers.end;
            casts.push(Cast { friends: friends as usize, changers, rate_per_s });
        }
        let onlookers = first..(online as usize).max(first);
        if casts.iter().any(|cast| cast.friends > onlookers.len()) {
            return Err(BenchError::Options(format!(
                "of --online {online}, {first} change their status, which leaves too few to be the most --friends"
            )));
        }
        Ok(Self { online, deliveries, casts, onlookers })
    }

    /// The session of each friend of a user who changes: others for the next user, so that all have about as many.
    fn friends(&self, cast: &Cast, changer: usize) -> impl Iterator<Item = usize> {
        let Range { start, end } = self.onlookers;
        let (first, count) = (changer * cast.friends, cast.friends);
        (first..first + count).map(move |n| start + n % (end - start).max(1))
    }

    /// Has each user who will change make their friends.
    async fn befriend(&self, run: &Run<'_>, everyone: &mut [Person]) -> Result<(), BenchError> {
        let names: Vec<String> = everyone.iter().map(|person| person.user.to_string()).collect();
        let casts = self.casts.iter();
        let whose = casts.flat_map(|cast| cast.changers.clone().map(move |who| (cast, who)));
        let step = run.progress.step("making friends", self.onlookers.start as u64);
        let making = everyone.iter_mut().zip(whose).map(async |(person, (cast, changer))| {
            let friends = self.friends(cast, changer).filter_map(|friend| names.get(friend));
            let friends: Vec<_> = friends.map(|friend| json!({"user": friend})).collect();
            for friends in friends.chunks(limits::IN_FLIGHT) {
                person.link.call_all(person.user.as_str(), "friend.add", friends).await?;
            }
            Ok(())
        });
        people::do_all(making, AT_ONCE, &step).await
    }
}

impl Cast {
    fn warm_up(&self, run: &Run<'_>) -> Duration {
        let told = if self.friends > 0 { WARM_UP } else { Duration::ZERO };
        run.common.warm_up().max(told)
    }
}

/// What all sessions cost while they only say that they are there.
async fn idle(run: &Run<'_>, scene: &Scene<Onlookers>) -> Usage {
    scene.run_for(run.common.warm_up()).await;
    let meter = run.meter();
    scene.run_for(run.common.stretch()).await;
    meter.stop()
}

/// Has changes due at a fixed rate, each of the next user of the cast, and waits until all who look on know them.
async fn changes(run: &Run<'_>, scene: &Scene<Onlookers>, cast: &Cast) -> Result<Told, BenchError> {
    let metronome = Metronome::start().map_err(BenchError::system("no thread"))?;
    let (warm_up, time) = (cast.warm_up(run), run.common.stretch());
    let since = Instant::now();
    let from_us = scene.with(|player, crowd| {
        let now_us = crowd.now_us();
        player.measure_from(now_us + u64::try_from(warm_up.as_micros()).unwrap_or_default());
        now_us
    });
    let mut schedule = Schedule::new(from_us, cast.rate_per_s, warm_up + time);
    let mut changers = cast.changers.clone().cycle();
    let mut measuring = None;
    while since.elapsed() < warm_up + time {
        metronome.beat().await;
        if measuring.is_none() && since.elapsed() >= warm_up {
            measuring = Some((run.meter(), scene.with(|player, _| player.tally)));
        }
        scene.with(|player, crowd| {
            let now_us = crowd.now_us();
            while let Some(due_us) = schedule.next_due().filter(|due_us| *due_us <= now_us) {
                if let Some(changer) = changers.next() {
                    player.change(crowd, changer, due_us);
                }
                schedule.pass();
            }
        });
    }
    let (meter, before) =
        measuring.unwrap_or_else(|| (run.meter(), scene.with(|player, _| player.tally)));
    let (tally, usage) = (scene.with(|player, _| player.tally), meter.stop());
    // What does not come is told by the proof.
    scene.until(SETTLE_WITHIN, Onlookers::is_settled).await;
    let times = scene.with(|player, _| player.times.clone());
    let known = tally.known - before.known;
    let heard = tally.heard - before.heard;
    Ok(Told { known, heard, usage, times })
}

/// What was measured of one cast.
struct Told {
    /// Changes that all friends' clients came to know.
    known: u64,
    /// Changes that a friend's client came to know.
    heard: u64,
    usage: Usage,
    times: Times,
}

impl Told {
    /// What changes cost is what was used above `idle`.
    fn figures(&self, cast: &Cast, idle: &Usage) -> Vec<Figure> {
        let friends = cast.friends;
        let wall = self.usage.wall.as_secs_f64();
        let above = |used: Duration, idle_used: Duration| {
            let idle = idle_used.as_secs_f64() / idle.wall.as_secs_f64() * wall;
            (used.as_secs_f64() - idle).max(0.0) * 1e6
        };
        let server_us = above(self.usage.server_cpu, idle.server_cpu);
        let postgres_us = above(self.usage.postgres_cpu, idle.postgres_cpu);
        let each = |us: f64, count: u64| us / count.max(1) as f64;
        let figure = |name: &str, what: &str, us: f64| {
            Figure::lower(&format!("presence.{name}_{friends}"), what, us, "µs")
        };
        let mut figures = Vec::new();
        let what = format!("changes of users with {friends} friends, known to all of them");
        let name = format!("presence.rate_{friends}");
        figures.push(Figure::higher(&name, &what, self.known as f64 / wall, "changes/s"));
        let what = "processor time of the server for such a change";
        figures.push(figure("server_cpu", what, each(server_us, self.known)));
        let what = "processor time of PostgreSQL for it";
        figures.push(figure("postgres_cpu", what, each(postgres_us, self.known)));
        if friends > 0 {
            let what = "processor time of the server for it, by friend told";
            figures.push(figure("delivery_cpu", what, each(server_us, self.heard)));
        }
        figures
    }

    fn latencies(&self, cast: &Cast) -> Result<Vec<Latency>, BenchError> {
        let Cast { friends, rate_per_s, .. } = cast;
        let Times { answer, each, last, sending } = &self.times;
        let latency = |name: &str, what: &str, times: &Histogram<u64>| {
            let what = format!("{what}, {friends} friends");
            Latency::from(&format!("presence.{name}_{friends}"), &what, *rate_per_s, times)
        };
        let mut latencies = vec![latency("latency_answer", "to the answer", answer)];
        if *friends > 0 {
            let to_each = latency("latency_each", "to a friend's client", each);
            let to_last = latency("latency_last", "to the last friend's client", last);
            latencies.extend([to_each.with_goal(GOAL), to_last.with_goal(GOAL)]);
        }
        let what = "to when it was sent: the load's own part";
        latencies.push(latency("latency_sending", what, sending));
        Ok(latencies)
    }
}

/// How long things took, in µs from when a change was due.
#[derive(Debug, Clone)]
struct Times {
    /// Up to the answer.
    answer: Histogram<u64>,
    /// Up to when a friend's client knew.
    each: Histogram<u64>,
    /// Up to when all of them did.
    last: Histogram<u64>,
    /// Up to when it was sent: how late the load itself was. The others contain it.
    sending: Histogram<u64>,
}

impl Times {
    fn new() -> Result<Self, BenchError> {
        let empty = || {
            Histogram::new_with_bounds(1, LONGEST_US, 3)
                .map_err(|error| BenchError::Options(error.to_string()))
        };
        Ok(Self { answer: empty()?, each: empty()?, last: empty()?, sending: empty()? })
    }
}

/// What was counted since the run began.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// Changes that were made.
    made: u64,
    /// That were answered.
    answered: u64,
    /// That were answered and are known to the clients of all friends.
    known: u64,
    /// Changes known, by each friend's client.
    heard: u64,
}

/// The player: what each user changed, and what each client knows of it.
struct Onlookers {
    codec: Codec,
    epoch: String,
    users: Vec<String>,
    /// By session: those who change come first.
    changers: Vec<Changer>,
    /// By session.
    clients: Vec<Client>,
    tally: Tally,
    times: Times,
    /// Which changes are measured: those that were due from then on.
    measured_from_us: u64,
    /// Presences that were older than what was known.
    out_of_order: u64,
}

/// What a user changed.
struct Changer {
    friends: u32,
    /// By number.
    changes: Vec<Change>,
}

struct Change {
    due_us: u64,
    is_answered: bool,
    /// Friends whose clients know it, or a later one.
    heard: u32,
}

/// What a client knows.
#[derive(Default)]
struct Client {
    /// Of each friend who changes, in their order: the session, and the number of the next change that is news.
    friends: Vec<(usize, usize)>,
}

impl Onlookers {
    fn new(plan: &Plan, everyone: &[Person], codec: Codec) -> Result<Self, BenchError> {
        let users: Vec<String> = everyone.iter().map(|person| person.user.to_string()).collect();
        let mut clients: Vec<Client> = users.iter().map(|_| Client::default()).collect();
        let mut changers = Vec::new();
        for cast in &plan.casts {
            for changer in cast.changers.clone() {
                for friend in plan.friends(cast, changer) {
                    if let Some(client) = clients.get_mut(friend) {
                        client.friends.push((changer, 0));
                    }
                }
                changers.push(Changer { friends: cast.friends as u32, changes: Vec::new() });
            }
        }
        Ok(Self {
            codec,
            epoch: people::epoch(everyone),
            users,
            changers,
            clients,
            tally: Tally::default(),
            times: Times::new()?,
            measured_from_us: 0,
            out_of_order: 0,
        })
    }

    /// Forgets the times so far, and those of all changes that were due before `from_us`.
    fn measure_from(&mut self, from_us: u64) {
        self.measured_from_us = from_us;
        let Times { answer, each, last, sending } = &mut self.times;
        for times in [answer, each, last, sending] {
            times.reset();
        }
    }

    /// Makes the next change of a user, which was due at `due_us`.
    fn change(&mut self, crowd: &mut Crowd, changer: usize, due_us: u64) {
        let Some(own) = self.changers.get_mut(changer) else { return };
        let number = own.changes.len();
        own.changes.push(Change { due_us, is_answered: false, heard: 0 });
        self.tally.made += 1;
        if due_us >= self.measured_from_us {
            self.times.sending.saturating_record(crowd.now_us().saturating_sub(due_us));
        }
        let body = json!({"status": "busy", "text": words(number)});
        crowd.command(changer, number as u64, "presence.set", body);
    }

    /// Whether every change was answered and is known to all.
    fn is_settled(&self) -> bool {
        self.tally.known == self.tally.made
    }

    fn on_answer(&mut self, changer: usize, number: u64, now_us: u64) {
        let Some(own) = self.changers.get_mut(changer) else { return };
        let Some(change) = own.changes.get_mut(number as usize).filter(|it| !it.is_answered) else {
            return;
        };
        change.is_answered = true;
        self.tally.answered += 1;
        self.tally.known += u64::from(change.heard == own.friends);
        if change.due_us >= self.measured_from_us {
            self.times.answer.saturating_record(now_us.saturating_sub(change.due_us));
        }
    }

    /// Client `who` hears that a user is as their change of this number made them.
    fn on_presence(&mut self, who: usize, changer: usize, number: usize, now_us: u64) {
        let Some(client) = self.clients.get_mut(who) else { return };
        let Ok(place) = client.friends.binary_search_by_key(&changer, |(changer, _)| *changer)
        else {
            return;
        };
        let (Some((_, next)), Some(own)) =
            (client.friends.get_mut(place), self.changers.get_mut(changer))
        else {
            return;
        };
        // The same once more is no fault: whoever fell behind asks, and may be told besides.
        self.out_of_order += u64::from(number + 1 < *next);
        let Some(news) = own.changes.get_mut(*next..number + 1) else { return };
        for change in news {
            change.heard += 1;
            self.tally.heard += 1;
            let is_last = change.heard == own.friends;
            self.tally.known += u64::from(is_last && change.is_answered);
            if change.due_us >= self.measured_from_us {
                let time_us = now_us.saturating_sub(change.due_us);
                self.times.each.saturating_record(time_us);
                if is_last {
                    self.times.last.saturating_record(time_us);
                }
            }
        }
        *next = number + 1;
    }

    /// The client missed something: it says that it goes on from here, and asks for those whom it shows.
    fn catch_up(&mut self, crowd: &mut Crowd, who: usize) {
        crowd.command(who, SYNC_ID, "sync", json!({"epoch": self.epoch, "inbox": 0}));
        let shown = self.clients.get(who).map(|client| client.friends.as_slice());
        for part in shown.unwrap_or_default().chunks(limits::PRESENCE_USERS) {
            let users: Vec<&String> =
                part.iter().filter_map(|(changer, _)| self.users.get(*changer)).collect();
            crowd.command(who, ASK_ID, "presence.get", json!({"users": users}));
        }
    }
}

impl Player for Onlookers {
    fn hear(
        &mut self,
        crowd: &mut Crowd,
        who: usize,
        payload: &[u8],
        now_us: u64,
    ) -> Result<(), BenchError> {
        let name = || self.users.get(who).cloned().unwrap_or_default();
        let frame = Frame::read(payload, self.codec).map_err(|why| BenchError::Session {
            who: name(),
            why: format!("a frame cannot be read: {why}"),
        })?;
        if let Some(trouble) = frame.trouble(self.users.get(who).map_or("", String::as_str)) {
            return Err(trouble);
        }
        match frame.re {
            Some(number) if number < CALLS_FROM => self.on_answer(who, number, now_us),
            None if frame.event == Some("sync.needed") => self.catch_up(crowd, who),
            _ => {
                for presence in frame.presences() {
                    if let (Some(changer), Some(number)) =
                        (number_in(presence.user, '-'), presence.text.and_then(of_words))
                    {
                        self.on_presence(who, changer, number, now_us);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The words beside the status of a change, which say its number.
fn words(number: usize) -> String {
    format!("In meeting {number}")
}

fn of_words(words: &str) -> Option<usize> {
    number_in(words, ' ')
}

/// The number behind the last `mark`.
fn number_in(text: &str, mark: char) -> Option<usize> {
    text.rsplit_once(mark)?.1.parse().ok()
}

/// There is no history of presences: the last change of each user must be what the server tells whoever asks, and what the
/// clients of all friends know.
async fn prove(player: &Onlookers, mut links: Vec<Link>) -> Result<Proof, BenchError> {
    let mut proof = Proof {
        deliveries: player.tally.heard,
        out_of_order: player.out_of_order,
        unanswered: player.tally.made - player.tally.answered,
        ..Proof::default()
    };
    let made = |changer: usize| player.changers.get(changer).map_or(0, |own| own.changes.len());
    let known = player.clients.iter().flat_map(|client| &client.friends);
    proof.missed_deliveries =
        known.filter(|(changer, next)| *next != made(*changer)).count() as u64;
    // One who is everybody's stranger or friend, and not one of those who ask for their own.
    let Some((asker, name)) = links.last_mut().zip(player.users.last()) else { return Ok(proof) };
    let users = player.users.get(..player.changers.len()).unwrap_or_default();
    for (part, users) in users.chunks(limits::PRESENCE_USERS).enumerate() {
        let told = asker.call(name, "presence.get", json!({"users": users})).await?;
        let presences = told["presences"].as_array().into_iter().flatten();
        let first = part * limits::PRESENCE_USERS;
        let mut found = vec![false; users.len()];
        for presence in presences {
            let changer = presence["user"].as_str().and_then(|user| number_in(user, '-'));
            let number = presence["text"].as_str().and_then(of_words);
            let place = changer.and_then(|changer| changer.checked_sub(first));
            if let (Some(found), Some(changer), Some(number)) =
                (place.and_then(|place| found.get_mut(place)), changer, number)
            {
                *found = number + 1 == made(changer);
            }
        }
        // Of a user who never changed nothing is to be found.
        let acked = (first..first + users.len()).map(|changer| made(changer) > 0);
        for (is_acked, is_found) in acked.zip(found) {
            proof.acked += u64::from(is_acked);
            proof.found += u64::from(is_acked && is_found);
        }
    }
    proof.lost = proof.acked - proof.found;
    Ok(proof)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn plan(online: u32, friends: &[u32]) -> Result<Plan, BenchError> {
        Plan::of(&Presence { online, friends: friends.to_vec(), deliveries: 5_000 }, false)
    }

    #[test]
    fn nobody_is_a_friend_twice_and_all_look_on_at_about_as_many() {
        let plan = plan(2_000, &[0, 100, 1_000]).unwrap();
        let mut friends_of = vec![0; 2_000];

        for cast in &plan.casts {
            for changer in cast.changers.clone() {
                let mut friends: Vec<usize> = plan.friends(cast, changer).collect();
                friends.iter().for_each(|friend| friends_of[*friend] += 1);
                friends.sort_unstable();
                friends.dedup();
                assert_eq!(friends.len(), cast.friends);
            }
        }

        let looking = &friends_of[plan.onlookers.clone()];
        assert!(friends_of[..plan.onlookers.start].iter().all(|friends| *friends == 0));
        assert!(looking.iter().all(|friends| (10..=20).contains(friends)), "{looking:?}");
    }

    #[test]
    fn who_has_more_friends_than_look_on_is_refused() {
        assert!(plan(200, &[100, 1_000]).is_err());
        assert!(plan(2_000, &[1_995]).is_err());
    }

    #[test]
    fn a_later_state_tells_the_earlier_ones_and_an_earlier_one_is_out_of_order() {
        let change = |due_us| Change { due_us, is_answered: true, heard: 0 };
        let changes = vec![change(1_000), change(2_000), change(3_000)];
        let mut player = Onlookers {
            codec: Codec::Json,
            epoch: String::new(),
            users: vec!["c-0".into(), "c-1".into()],
            changers: vec![Changer { friends: 1, changes }],
            clients: vec![Client::default(), Client { friends: vec![(0, 0)] }],
            tally: Tally { made: 3, answered: 3, ..Tally::default() },
            times: Times::new().unwrap(),
            measured_from_us: 2_000,
            out_of_order: 0,
        };

        player.on_presence(1, 0, 1, 5_000);
        assert_eq!((player.tally.heard, player.tally.known), (2, 2));
        assert_eq!((player.times.each.len(), player.times.last.max()), (1, 3_001));
        player.on_presence(1, 0, 1, 6_000);
        assert_eq!((player.tally.heard, player.out_of_order), (2, 0));
        player.on_presence(1, 0, 0, 7_000);
        assert_eq!((player.tally.heard, player.out_of_order), (2, 1));
        assert!(!player.is_settled());
        player.on_presence(1, 0, 2, 8_000);
        assert!(player.is_settled());
    }

    #[test]
    fn words_say_the_number_of_their_change() {
        assert_eq!(of_words(&words(17)), Some(17));
        assert_eq!(of_words("In a meeting"), None);
    }
}
