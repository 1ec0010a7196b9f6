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
    /// PostgreSQL itself ends all connections to it, again and again.
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

/// All that goes wrong in a run of this length, in the order in which it begins. Nothing lasts beyond its end.
pub fn schedule(seed: u64, nodes: usize, length: Duration) -> Vec<Strike> {
    let mut random = Random(seed);
    let (mut strikes, mut deck): (Vec<Strike>, _) = (Vec::new(), Vec::new());
    let mut at = Duration::from_secs(2);
    while at < length {
        // As cards are dealt: a short run sees most kinds, too.
        if deck.is_empty() {
            deck = (0..CARDS).collect();
        }
        let card = deck[random.below(deck.len())];
        let fault = some_fault(&mut random, card, nodes);
        let lasts = some_time(&mut random, fault).min(length - at);
        let is_free = |strike: &Strike| {
            strike.at + strike.lasts < at || victim(strike.fault) != victim(fault)
        };
        if strikes.iter().all(is_free) {
            deck.retain(|other| *other != card);
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
const CARDS: usize = 20;

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
        _ => Fault::KillPostgres,
    }
}

fn some_time(random: &mut Random, fault: Fault) -> Duration {
    // Around a lease of ten seconds what others may do changes.
    let longest_ms = match fault {
        Fault::Kill { .. } | Fault::Freeze { .. } | Fault::Cut { .. } => {
            [1_500, 6_000, 20_000][random.below(3)]
        }
        Fault::Stop { .. } | Fault::Part { .. } | Fault::Slow { .. } => 8_000,
        Fault::KillRedis | Fault::FreezeRedis => 6_000,
        Fault::KillPostgres => 3_000,
        Fault::Truncate { .. } | Fault::EndCommits | Fault::Terminate => 800,
        Fault::FlushRedis => 1,
    };
    Duration::from_millis((longest_ms / 5 + random.below(longest_ms)) as u64)
}

fn victim(fault: Fault) -> Victim {
    match fault {
        Fault::Kill { node } | Fault::Freeze { node } | Fault::Stop { node } => {
            Victim::Process(node)
        }
        Fault::Cut { node, link, .. }
        | Fault::Part { node, link }
        | Fault::Slow { node, link }
        | Fault::Truncate { node, link, .. } => Victim::Link(node, link),
        Fault::KillRedis | Fault::FlushRedis | Fault::FreezeRedis => Victim::Redis,
        Fault::EndCommits | Fault::Terminate | Fault::KillPostgres => Victim::Postgres,
    }
}

impl Fault {
    /// What it is called when faults are counted.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Freeze { .. } => "freeze",
            Self::Stop { .. } => "stop",
            Self::Cut { heading: Heading::Both, .. } => "cut both ways",
            Self::Cut { .. } => "cut one way",
            Self::Part { .. } => "connections parted",
            Self::Slow { .. } => "slow link",
            Self::Truncate { .. } => "truncated",
            Self::EndCommits => "ended in commits",
            Self::Terminate => "terminated",
            Self::KillRedis => "Redis killed",
            Self::FlushRedis => "Redis flushed",
            Self::FreezeRedis => "Redis frozen",
            Self::KillPostgres => "PostgreSQL killed",
        }
    }
}

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
        let strikes = schedule(seed, 3, length);

        assert_eq!(strikes, schedule(seed, 3, length));
        assert!(strikes.len() > 10, "{} strikes", strikes.len());
        for (nth, strike) in strikes.iter().enumerate() {
            let end = strike.at + strike.lasts;
            assert!(end <= length, "{strike}");
            let other = strikes[nth + 1..]
                .iter()
                .find(|other| other.at <= end && victim(other.fault) == victim(strike.fault));
            assert_eq!(other, None, "{strike}");
        }
    }
}

#[test]
fn all_that_can_go_wrong_does_within_ten_minutes() {
    let strikes = schedule(1, 3, Duration::from_secs(600));
    let kinds: std::collections::BTreeSet<_> = strikes.iter().map(|it| it.fault.kind()).collect();
    assert_eq!(kinds.len(), 14, "{kinds:?}");
}
