//! What goes wrong in a run, and when: a schedule that comes from a seed alone, so that a run can be had again.
//!
//! Decides only; `nemesis` does it.

use std::fmt;
use std::time::Duration;

use super::common::groups::Random;

/// From what a node is cut off, or what is slow for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Link {
    Clients,
    Store,
    Redis,
}

/// Which way bytes are harmed: towards the server of a link, from it, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Heading {
    There,
    Back,
    Both,
}

impl Heading {
    pub fn there(self) -> bool {
        self != Self::Back
    }

    pub fn back(self) -> bool {
        self != Self::There
    }
}

/// What is done. Nodes are known by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A node ends as in a crash, and is started again.
    Kill {
        node: usize,
    },
    /// A node does nothing for a while and does not know it.
    Freeze {
        node: usize,
    },
    /// A node is asked to stop, and is started again.
    Stop {
        node: usize,
    },
    /// Nothing passes a link, and nobody is told.
    Cut {
        node: usize,
        link: Link,
        heading: Heading,
    },
    /// All connections of a link end, and no new one comes about.
    Part {
        node: usize,
        link: Link,
    },
    /// What passes a link is late, and comes in pieces.
    Slow {
        node: usize,
        link: Link,
    },
    /// Each connection of a link passes so many bytes more, and ends in the middle of a frame.
    Truncate {
        node: usize,
        link: Link,
        heading: Heading,
        bytes: usize,
    },
    /// The connections of all nodes to PostgreSQL end at its next word: what that said has happened and is not heard.
    EndCommits,
    /// PostgreSQL carries statements that write messages out, and refuses some of them when they are to be committed.
    RefuseCommits,
    /// Messages take long to be committed, and meanwhile the connections of all nodes to PostgreSQL end, again and
    /// again.
    SlowCommits,
    /// What a node says to PostgreSQL is held up until others have its shards, and arrives before these append
    /// anything. Its clients are elsewhere by then, so that what it says is of its groups.
    Overtake {
        node: usize,
    },
    /// PostgreSQL itself ends all connections to it, again and again, in the middle of commits: what waits for these has
    /// not happened.
    Terminate,
    KillRedis,
    FlushRedis,
    FreezeRedis,
    KillPostgres,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// After the beginning of the run.
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

/// What a fault harms; no two harm the same at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Process(usize),
    Link(usize, Link),
    Redis,
    Postgres,
}

/// All that goes wrong in a run of this length, in the order in which it begins. Nothing lasts beyond its end. With the
/// kinds in `more` it begins, and there is more of them than of the others.
pub fn schedule(seed: u64, nodes: usize, length: Duration, more: &[String]) -> Vec<Strike> {
    let mut random = Random(seed);
    let (mut strikes, mut deck): (Vec<Strike>, _) = (Vec::new(), Vec::new());
    let mut at = Duration::from_secs(2);
    while at < length {
        // As cards are dealt: a short run sees most kinds, too.
        if deck.is_empty() {
            deck = (0..CARDS).collect();
            for card in 0..CARDS {
                let kind = some_fault(&mut random, card, nodes).kind();
                let is_more = more.iter().any(|more| more == kind);
                deck.extend(std::iter::repeat_n(card, if is_more { MORE } else { 0 }));
            }
        }
        // The cards of which there are more lie behind the others.
        let others = if strikes.is_empty() && deck.len() > CARDS { CARDS } else { 0 };
        let place = others + random.below(deck.len() - others);
        let card = deck[place];
        let fault = some_fault(&mut random, card, nodes);
        let lasts = some_time(&mut random, fault).min(length - at);
        let is_free =
            |strike: &Strike| strike.at + strike.lasts < at || !is_in_the_way(strike.fault, fault);
        if strikes.iter().all(is_free) {
            deck.swap_remove(place);
            strikes.push(Strike { at, lasts, fault });
        }
        // Mostly one soon after the other; now and then time enough for shards to change hands in peace.
        let wait_ms = match random.below(10) {
            0 => 9_000 + random.below(6_000),
            _ => 200 + random.below(2_400),
        };
        at += Duration::from_millis(wait_ms as u64);
    }
    strikes
}

/// How many there are in the deck of faults.
const CARDS: usize = 25;
/// How many more there are of the kinds of which there shall be more.
const MORE: usize = 12;

fn some_fault(random: &mut Random, card: usize, nodes: usize) -> Fault {
    let node = random.below(nodes);
    let link = [Link::Clients, Link::Store, Link::Store, Link::Redis][random.below(4)];
    let one_way = [Heading::There, Heading::Back][random.below(2)];
    let heading = [Heading::There, Heading::Back, Heading::Both][random.below(3)];
    match card {
        0..3 => Fault::Kill { node },
        3..6 => Fault::Freeze { node },
        6 => Fault::Stop { node },
        7 | 8 => Fault::Cut { node, link, heading: one_way },
        9 => Fault::Cut { node, link, heading: Heading::Both },
        10 => Fault::Part { node, link },
        11 => Fault::Slow { node, link },
        12 => Fault::Truncate { node, link, heading, bytes: random.below(2_000) },
        13 | 14 => Fault::EndCommits,
        15 => Fault::Terminate,
        16 => Fault::KillRedis,
        17 => Fault::FlushRedis,
        18 => Fault::FreezeRedis,
        19 => Fault::RefuseCommits,
        20 => Fault::SlowCommits,
        21 => Fault::Overtake { node },
        // It hears late that sessions that it holds have lost.
        22 | 23 => Fault::Cut { node, link: Link::Redis, heading },
        _ => Fault::KillPostgres,
    }
}

/// What is promised of a node that is gone.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(15);
/// Nobody claims what others had before a store that was away has been there for as long as a lease.
const WELL_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// A lease, and what others need to see that it is over.
const OVERTAKEN_WITHIN: Duration = Duration::from_secs(18);

fn some_time(random: &mut Random, fault: Fault) -> Duration {
    // Around a lease of ten seconds what others may do changes.
    let longest_ms = match fault {
        Fault::Overtake { .. } => return OVERTAKEN_WITHIN,
        Fault::Cut { link: Link::Redis, .. } => 8_000,
        Fault::Kill { .. } | Fault::Freeze { .. } | Fault::Cut { .. } => {
            [1_500, 6_000, 20_000][random.below(3)]
        }
        Fault::Stop { .. } | Fault::Part { .. } | Fault::Slow { .. } => 8_000,
        Fault::KillRedis | Fault::FreezeRedis => 6_000,
        Fault::KillPostgres | Fault::SlowCommits => 3_000,
        Fault::RefuseCommits => 1_500,
        Fault::Truncate { .. } | Fault::EndCommits | Fault::Terminate => 800,
        Fault::FlushRedis => 1,
    };
    Duration::from_millis((longest_ms / 5 + random.below(longest_ms)) as u64)
}

/// Whether something may not begin while the other goes on: it would harm the same, or keep others from having the
/// shards of a node that they are to overtake.
fn is_in_the_way(of_old: Fault, new: Fault) -> bool {
    let is_overtaken = matches!(of_old, Fault::Overtake { .. });
    let (old, harmed) = (victims(of_old), victims(new));
    harmed.iter().any(|victim| old.contains(victim)) || is_overtaken && keeps_from_claims(new)
}

fn keeps_from_claims(fault: Fault) -> bool {
    let harmed = victims(fault);
    harmed.iter().any(|victim| {
        matches!(victim, Victim::Process(_) | Victim::Postgres | Victim::Link(_, Link::Store))
    })
}

/// Whether nothing but this keeps others from having the shards of a node that is gone then.
pub fn is_alone(schedule: &[Strike], strike: &Strike) -> bool {
    schedule.iter().filter(|other| *other != strike).all(|other| {
        other.at > strike.at + TAKEN_OVER_WITHIN
            || other.at + other.lasts + WELL_AGAIN_AFTER < strike.at
            || !keeps_from_claims(other.fault)
    })
}

fn victims(fault: Fault) -> Vec<Victim> {
    let victim = match fault {
        Fault::Kill { node } | Fault::Freeze { node } | Fault::Stop { node } => {
            Victim::Process(node)
        }
        Fault::Cut { node, link, .. }
        | Fault::Part { node, link }
        | Fault::Slow { node, link }
        | Fault::Truncate { node, link, .. } => Victim::Link(node, link),
        Fault::Overtake { node } => {
            return vec![Victim::Link(node, Link::Clients), Victim::Link(node, Link::Store)];
        }
        Fault::KillRedis | Fault::FlushRedis | Fault::FreezeRedis => Victim::Redis,
        Fault::EndCommits
        | Fault::RefuseCommits
        | Fault::SlowCommits
        | Fault::Terminate
        | Fault::KillPostgres => Victim::Postgres,
    };
    vec![victim]
}

impl Fault {
    /// What it is called when faults are counted.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Freeze { .. } => "freeze",
            Self::Stop { .. } => "stop",
            Self::Cut { link: Link::Redis, .. } => "cut from Redis",
            Self::Cut { heading: Heading::Both, .. } => "cut both ways",
            Self::Cut { .. } => "cut one way",
            Self::Part { .. } => "connections parted",
            Self::Slow { .. } => "slow link",
            Self::Truncate { .. } => "truncated",
            Self::EndCommits => "ended in commits",
            Self::RefuseCommits => "refused commits",
            Self::SlowCommits => "slow commits",
            Self::Overtake { .. } => "overtaken",
            Self::Terminate => "terminated",
            Self::KillRedis => "Redis killed",
            Self::FlushRedis => "Redis flushed",
            Self::FreezeRedis => "Redis frozen",
            Self::KillPostgres => "PostgreSQL killed",
        }
    }
}

/// All kinds, by which more of them can be asked for.
pub const KINDS: [&str; 18] = [
    "kill",
    "freeze",
    "stop",
    "cut from Redis",
    "cut both ways",
    "cut one way",
    "connections parted",
    "slow link",
    "truncated",
    "ended in commits",
    "refused commits",
    "slow commits",
    "overtaken",
    "terminated",
    "Redis killed",
    "Redis flushed",
    "Redis frozen",
    "PostgreSQL killed",
];

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.at.as_secs_f64(), self.lasts.as_secs_f64());
        write!(f, "{at:7.2} s, for {lasts:5.2} s: {:?}", self.fault)
    }
}

#[test]
fn a_seed_tells_all_that_goes_wrong_and_nothing_is_harmed_twice_at_once_or_beyond_the_end() {
    let length = Duration::from_secs(120);
    for seed in 0..50 {
        let strikes = schedule(seed, 3, length, &[]);

        assert_eq!(strikes, schedule(seed, 3, length, &[]));
        assert!(strikes.len() > 10, "{} strikes", strikes.len());
        for (nth, strike) in strikes.iter().enumerate() {
            let end = strike.at + strike.lasts;
            assert!(end <= length, "{strike}");
            let other = strikes[nth + 1..]
                .iter()
                .find(|other| other.at <= end && is_in_the_way(strike.fault, other.fault));
            assert_eq!(other, None, "{strike}");
        }
    }
}

#[test]
fn all_that_can_go_wrong_does_within_ten_minutes() {
    let strikes = schedule(1, 3, Duration::from_secs(600), &[]);
    let kinds: std::collections::BTreeSet<_> = strikes.iter().map(|it| it.fault.kind()).collect();
    assert_eq!(kinds, KINDS.into());
    let more = ["overtaken".to_owned()];
    let strikes = schedule(1, 3, Duration::from_secs(600), &more);
    let overtaken = strikes.iter().filter(|it| it.fault.kind() == "overtaken").count();
    assert_eq!(strikes[0].fault.kind(), "overtaken");
    assert!(overtaken > strikes.len() / 8, "{overtaken} of {}", strikes.len());
}
