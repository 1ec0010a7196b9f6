//! The rules of order, once and ack, run together on virtual time against everything that can go wrong.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

#[path = "order_simulation/store.rs"]
mod store;
#[path = "order_simulation/world.rs"]
mod world;

use std::panic::AssertUnwindSafe;

use world::{Act, Kind, Message, World};

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;
const NOBODY: usize = 3;

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
        Some((act, Kind::Step | Kind::Retry)) => *act,
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

/// Up to three devices of two users, with up to five messages each.
fn some_world(random: &mut Random) -> World {
    let devices = 1 + random.below(3);
    let mut n = 0;
    let devices = (0..devices).map(|device| {
        let user = if device == 2 { BOB } else { ALICE };
        let messages = (0..1 + random.below(5)).map(|_| {
            n += 1;
            match random.below(12) {
                // Keys that two devices of a user may both use, with the same content or not.
                0 | 1 => Message::new(CAROL, 200 + random.below(2) as u8, random.below(2) as u8),
                2 => Message::new(NOBODY, n, 0),
                3..7 => Message::new(CAROL, n, 0),
                _ => Message::new(1 - user, n, 0),
            }
        });
        let mut outbox: Vec<Message> = Vec::new();
        for message in messages {
            if outbox.iter().all(|other| other.key != message.key) {
                outbox.push(message);
            }
        }
        (user, outbox)
    });
    World::new(devices.collect())
}

fn run_some(seed: u64, trace: &mut Vec<Act>) {
    let mut random = Random(seed);
    let mut world = some_world(&mut random);
    let mut faults = random.below(12);
    let one_in = 4 + random.below(20);
    for _ in 0..60 + random.below(200) {
        let acts = world.acts();
        let steps = acts.iter().take_while(|(_, kind)| *kind != Kind::Fault).count();
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
    for seed in 0..4_000 {
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
fn every_promise_holds_for_two_messages_under_any_two_deviations() {
    let make = || World::new(vec![(ALICE, vec![Message::new(BOB, 1, 0), Message::new(BOB, 2, 0)])]);
    let runs = explore(make, 2);
    println!("{runs} runs");
}

#[test]
fn every_promise_holds_for_two_devices_and_two_conversations_under_any_one_deviation() {
    let make = || {
        let first =
            vec![Message::new(BOB, 1, 0), Message::new(CAROL, 2, 0), Message::new(BOB, 3, 0)];
        let second =
            vec![Message::new(BOB, 4, 0), Message::new(CAROL, 5, 0), Message::new(BOB, 6, 0)];
        World::new(vec![(ALICE, first), (ALICE, second), (BOB, vec![Message::new(ALICE, 7, 0)])])
    };
    let runs = explore(make, 1);
    println!("{runs} runs");
}
