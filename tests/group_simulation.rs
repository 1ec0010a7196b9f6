//! The rules of groups, run on virtual time against everything that can go wrong: what is acked is stored once, in the order
//! sent, by one who was a member at that place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

#[path = "group_simulation/store.rs"]
mod store;
#[path = "group_simulation/world.rs"]
mod world;

use std::panic::AssertUnwindSafe;

use rookery::domain::group::Change;
use rookery::domain::policy::Kind;
use world::{Act, Device, Message, Urgency, Wish, World, user_id};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const DAVE: usize = 3;

/// Steps without faults after which everything must have been answered; a run takes a few hundred.
const STEPS_TO_SETTLE: usize = 20_000;

/// Without further faults, everything is answered in time.
fn settle(world: &mut World, trace: &mut Vec<Act>) {
    for _ in 0..STEPS_TO_SETTLE {
        if world.is_settled() {
            break;
        }
        let act = default_act(world);
        trace.push(act);
        world.perform(act);
    }
    world.check_end();
}

/// The first step that can be taken; time passes only when nothing else happens.
fn default_act(world: &World) -> Act {
    match world.acts().first() {
        Some((act, Urgency::Step | Urgency::Retry)) => *act,
        _ => Act::SecondsPass(1),
    }
}

/// Runs `case`, and prints how it came to it when a promise was broken.
fn told(name: &str, case: impl FnOnce(&mut Vec<Act>)) {
    let mut trace = Vec::new();
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| case(&mut trace)));
    if let Err(panic) = outcome {
        for (n, act) in trace.iter().enumerate() {
            println!("{n:4} {act:?}");
        }
        println!("{name}");
        std::panic::resume_unwind(panic);
    }
}

/// SplitMix64: what a seed gives must not change with a crate's version.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }
}

/// Up to four devices of three users, with up to five messages and a change or two each.
fn some_world(random: &mut Random) -> World {
    let mut n = 0;
    let count = 1 + random.below(4);
    let devices = (0..count).map(|device| {
        let user = [BOB, ALICE, BOB, CAROL][device];
        let mut outbox: Vec<Message> = Vec::new();
        for _ in 0..1 + random.below(5) {
            n += 1;
            let slot = usize::from(random.one_in(5));
            let message = match random.below(10) {
                // Keys that two devices of a user may both use, with the same content or not.
                0 | 1 => Message::new(slot, 100 + random.below(2) as u8, random.below(2) as u8),
                _ => Message::new(slot, n, 0),
            };
            if outbox.iter().all(|other| other.key != message.key) {
                outbox.push(message);
            }
        }
        let wishes = (0..random.below(4)).map(|_| {
            n += 1;
            let slot = usize::from(random.one_in(4));
            Wish::new(slot, n, some_change(random, slot))
        });
        Device::new(user, outbox, wishes.collect())
    });
    let devices: Vec<Device> = devices.collect();
    let kind = if random.one_in(2) { Kind::Work } else { Kind::Meeting };
    let members: &[usize] = if random.one_in(4) { &[ALICE, CAROL] } else { &[ALICE, BOB, CAROL] };
    World::new(kind, members, devices)
}

fn some_change(random: &mut Random, slot: usize) -> Change {
    let someone = vec![user_id([BOB, CAROL, DAVE][random.below(3)])];
    match random.below(if slot == 0 { 12 } else { 4 }) {
        0 | 1 => Change::Join,
        2 | 3 if slot == 1 => {
            let members = vec![user_id(BOB), user_id(CAROL)];
            Change::Create { kind: Kind::Meeting, name: "New".to_owned(), members }
        }
        2 => Change::Rename("Other".to_owned()),
        3 => Change::Leave,
        4..=6 => Change::Invite(someone),
        7..=10 => Change::Remove(someone),
        _ => Change::Dissolve,
    }
}

fn run_some(seed: u64, trace: &mut Vec<Act>) {
    let mut random = Random(seed);
    let mut world = some_world(&mut random);
    let mut faults = random.below(14);
    let one_in = 4 + random.below(20);
    for _ in 0..60 + random.below(200) {
        let acts = world.acts();
        let steps = acts.iter().take_while(|(_, urgency)| *urgency != Urgency::Fault).count();
        let act = if faults > 0 && random.one_in(one_in) {
            faults -= 1;
            match random.below(6) {
                0 => Act::SecondsPass([1, 5, 10, 30][random.below(4)]),
                _ if acts.len() > steps => acts[steps + random.below(acts.len() - steps)].0,
                _ => Act::SecondsPass(5),
            }
        } else if steps > 0 {
            acts[random.below(steps)].0
        } else {
            Act::SecondsPass(1)
        };
        trace.push(act);
        world.perform(act);
    }
    settle(&mut world, trace);
}

#[test]
fn every_promise_holds_under_any_faults() {
    // As SEEDS=0..1000000 for a long run.
    let seeds = std::env::var("SEEDS").map_or(0_u64..8_000, |seeds| {
        let (from, to) = seeds.split_once("..").expect("SEEDS is a range, as 0..100");
        from.parse().unwrap()..to.parse().unwrap()
    });
    println!("{} runs", seeds.end - seeds.start);
    for seed in seeds {
        told(&format!("seed {seed}"), |trace| run_some(seed, trace));
    }
}

/// A schedule that takes the first step each time, but for these choices: (the how manieth, which of what can happen).
fn run_with(make: fn() -> World, choices: &[(usize, usize)], trace: &mut Vec<Act>) -> Vec<usize> {
    let mut world = make();
    let mut options = Vec::new();
    while !world.is_settled() && options.len() < STEPS_TO_SETTLE {
        let mut acts: Vec<Act> = world.acts().into_iter().map(|(act, _)| act).collect();
        let usual = default_act(&world);
        acts.retain(|act| *act != usual);
        acts.extend([Act::SecondsPass(5), Act::SecondsPass(30)]);
        acts.insert(0, usual);
        let choice = choices.iter().find(|(step, _)| *step == options.len());
        let act = acts[choice.map_or(0, |(_, which)| *which)];
        options.push(acts.len());
        trace.push(act);
        world.perform(act);
    }
    world.check_end();
    options
}

/// All schedules that leave the usual one at most `most` times; returns how many there were.
fn explore(make: fn() -> World, most: usize) -> usize {
    let mut runs = 0;
    let mut scripts = vec![Vec::new()];
    while let Some(script) = scripts.pop() {
        let mut options = Vec::new();
        told(&format!("choices {script:?}"), |trace| options = run_with(make, &script, trace));
        runs += 1;
        if script.len() < most {
            let from = script.last().map_or(0, |(step, _)| step + 1);
            for (step, options) in options.iter().enumerate().skip(from) {
                for which in 1..*options {
                    scripts.push([script.as_slice(), &[(step, which)]].concat());
                }
            }
        }
    }
    runs
}

#[test]
fn every_promise_holds_for_messages_and_changes_under_any_one_deviation() {
    let make = || {
        let outbox = (1..4).map(|n| Message::new(0, n, 0)).collect();
        let of_alice = vec![Message::new(0, 4, 0), Message::new(0, 5, 0)];
        let bob = vec![user_id(BOB)];
        let wishes = vec![
            Wish::new(0, 6, Change::Remove(bob.clone())),
            Wish::new(0, 7, Change::Invite(bob)),
        ];
        let devices = vec![Device::new(BOB, outbox, vec![]), Device::new(ALICE, of_alice, wishes)];
        World::new(Kind::Work, &[ALICE, BOB], devices)
    };
    let runs = explore(make, 1);
    println!("{runs} runs");
}
