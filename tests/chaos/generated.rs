//! Histories from a model: good ones pass, and one thing changed in them is found.

use super::chaos::checker::{assert_kept, check};
use super::common::groups::Random;
use super::model;
use super::mutation::KINDS;

const GOOD: u64 = 300;
/// Good histories in each of which each kind of change is tried.
const CHANGED: u64 = 60;
/// Of the changes of one kind so many must have found something to change, so that the kind counts as tried.
const TRIED: usize = 10;

#[test]
fn runs_of_the_model_keep_everything() {
    for seed in 0..GOOD {
        assert_kept(&model::history(seed));
    }
}

#[test]
fn one_change_to_a_good_history_is_found() {
    let mut tried = [0; KINDS.len()];
    for seed in 0..CHANGED {
        let good = model::history(seed);
        for (nth, mutation) in KINDS.into_iter().enumerate() {
            let mut bad = good.clone();
            let Some(about) = mutation.apply(&mut bad, &mut Random(seed)) else { continue };
            tried[nth] += 1;
            let violations = check(&bad);
            assert!(!violations.is_empty(), "seed {seed}, {mutation:?} {about}: not found");
            let rules: Vec<_> = violations.iter().map(|it| it.rule).collect();
            let is_expected = rules.iter().any(|rule| mutation.breaks().contains(rule));
            assert!(is_expected, "seed {seed}, {mutation:?} {about}: found as {rules:?}");
        }
    }
    for (mutation, tried) in KINDS.iter().zip(tried) {
        println!("{mutation:?} was tried {tried} times");
        assert!(tried >= TRIED, "{mutation:?} was tried {tried} times");
    }
}
