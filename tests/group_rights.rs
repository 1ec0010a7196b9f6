//! Rights are those at the commit: whoever ceases to be a member while sending has nothing acked after that.
//!
//! `cargo test --test group_rights -- --nocapture` prints what was raced how often.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::collections::HashMap;

use common::chat::{App, Raw, key};
use common::groups::{Random, call, create, follow, next_reply, reply_to, to_group, whole_log};
use common::node::{Node, Options};
use rookery::ids::ClientMsgId;
use serde_json::{Value, json};
use tokio::sync::watch;

/// Commands that a connection may have in flight.
const WINDOW: usize = 32;

fn fast_node() -> Node {
    Node::start_with(
        Options::default()
            .env("ROOKERY__LIMITS__SENDS_PER_S", "100000")
            .env("ROOKERY__LIMITS__SENDS_BURST", "100000"),
    )
}

/// What became of a send.
#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Acked { seq: u64, message_id: Value },
    Refused(String),
}

fn answer(reply: &Value) -> Answer {
    match &reply["ok"] {
        Value::Null => Answer::Refused(reply["error"]["code"].as_str().unwrap().to_owned()),
        ok => {
            Answer::Acked { seq: ok["seq"].as_u64().unwrap(), message_id: ok["message_id"].clone() }
        }
    }
}

/// Sends as fast as the window allows until one is refused; every send with its answer, in the order sent.
async fn send_until_refused(
    raw: &mut Raw,
    group: &str,
    acked: &watch::Sender<usize>,
) -> Vec<(ClientMsgId, Answer)> {
    let mut sent: Vec<(ClientMsgId, Option<Answer>)> = Vec::new();
    let mut place_of = HashMap::new();
    let mut unanswered = 0;
    let mut refused = false;
    loop {
        while unanswered < WINDOW && !refused {
            let key = key();
            let send = to_group(group, key, "on and on");
            let id = raw.0.submit("message.send", send).await.unwrap();
            place_of.insert(id, sent.len());
            sent.push((key, None));
            unanswered += 1;
        }
        if unanswered == 0 {
            return sent.into_iter().map(|(key, answer)| (key, answer.unwrap())).collect();
        }
        let reply = next_reply(raw).await;
        let place = place_of.remove(&reply["re"].as_u64().unwrap()).unwrap();
        let answer = answer(&reply);
        match &answer {
            Answer::Acked { .. } => acked.send_modify(|acked| *acked += 1),
            Answer::Refused(_) => refused = true,
        }
        sent[place].1 = Some(answer);
        unanswered -= 1;
    }
}

/// The seqs that were acked, which rise in the order sent; all the others were refused with `code`.
fn acked_then_refused(sent: &[(ClientMsgId, Answer)], code: &str) -> Vec<u64> {
    let mut seqs = Vec::new();
    for (key, answer) in sent {
        match answer {
            Answer::Acked { seq, .. } => seqs.push(*seq),
            Answer::Refused(with) => assert_eq!(with, code, "{key}"),
        }
    }
    assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
    let first_refused = sent.iter().position(|(_, it)| matches!(it, Answer::Refused(_))).unwrap();
    assert_eq!(first_refused, seqs.len(), "one was acked behind one that was refused");
    seqs
}

/// Whether a log holds exactly what was acked of what was sent.
fn holds_what_was_acked(log: &[Value], sent: &[(ClientMsgId, Answer)]) {
    let stored: HashMap<&str, u64> = log
        .iter()
        .map(|entry| (entry["client_msg_id"].as_str().unwrap(), entry["seq"].as_u64().unwrap()))
        .collect();
    for (key, answer) in sent {
        let at = stored.get(key.to_string().as_str()).copied();
        match answer {
            Answer::Acked { seq, .. } => assert_eq!(at, Some(*seq), "{key} was acked"),
            Answer::Refused(code) => assert_eq!(at, None, "{key} was refused: {code}"),
        }
    }
}

#[tokio::test]
async fn a_member_who_is_removed_while_sending_has_nothing_acked_after_the_removal() {
    const GROUPS: usize = 10;
    const ROUNDS: usize = 100;
    let node = fast_node();
    let app = App::of(&node);

    let mut groups = tokio::task::JoinSet::new();
    for n in 0..GROUPS {
        let app = app.clone();
        groups.spawn(async move { removals(&app, n, ROUNDS).await });
    }

    let (mut acked, mut refused) = (0, 0);
    while let Some(done) = groups.join_next().await {
        let (more_acked, more_refused) = done.unwrap();
        acked += more_acked;
        refused += more_refused;
    }
    println!("{} removals while sending: {acked} acked, {refused} refused", GROUPS * ROUNDS);
}

async fn removals(app: &App, n: usize, rounds: usize) -> (usize, usize) {
    let (group, bob_id) = (format!("crew-{n}"), format!("bob-{n}"));
    let mut bob = app.raw(&bob_id, "b").await;
    let mut alice = app.raw(&format!("alice-{n}"), "a").await;
    create(&mut alice, &group, "work", &[&bob_id]).await;
    let mut random = Random(n as u64);
    let mut all = Vec::new();
    let mut first_ever = None;
    let named = json!({"group": group, "user": bob_id});
    for _ in 0..rounds {
        let (acked, told) = watch::channel(0);
        let strike_after = random.below(WINDOW);
        let removal = async {
            let mut told = told;
            told.wait_for(|acked| *acked >= strike_after).await.unwrap();
            call(&mut alice, "group.remove", named.clone()).await
        };

        let (sent, removed) = tokio::join!(send_until_refused(&mut bob, &group, &acked), removal);

        let notice = removed["ok"]["seq"].as_u64().unwrap_or_else(|| panic!("{removed}"));
        let seqs = acked_then_refused(&sent, "not_a_member");
        assert!(seqs.iter().all(|seq| *seq < notice), "acked after the removal at {notice}");
        if let Some((key, first @ Answer::Acked { .. })) = sent.first() {
            let first_ever = first_ever.get_or_insert((*key, first.clone()));
            for (key, first) in [&(*key, first.clone()), &*first_ever] {
                let send = to_group(&group, *key, "on and on");
                let repeat = call(&mut bob, "message.send", send).await;
                assert_eq!(repeat["ok"]["duplicate"], true, "{repeat}");
                assert_eq!(answer(&repeat), *first);
            }
        }
        if let Some((key, Answer::Refused(_))) = sent.last() {
            let send = to_group(&group, *key, "on and on");
            let again = call(&mut bob, "message.send", send).await;
            assert_eq!(again["error"]["code"], "not_a_member", "{again}");
        }
        all.extend(sent);
        let added = call(&mut alice, "group.invite", named.clone()).await;
        assert_eq!(added["ok"]["users"], json!([bob_id]), "{added}");
    }

    let log = whole_log(&mut alice, &group).await;
    let members = follow(&log);
    assert_eq!(members.len(), 2);
    holds_what_was_acked(&log, &all);
    let acked = all.iter().filter(|(_, it)| matches!(it, Answer::Acked { .. })).count();
    (acked, all.len() - acked)
}

#[tokio::test]
async fn a_group_that_is_dissolved_while_all_are_sending_ends_with_that() {
    const AT_ONCE: usize = 5;
    const ROUNDS: usize = 20;
    let node = fast_node();
    let app = App::of(&node);

    let mut groups = tokio::task::JoinSet::new();
    for n in 0..AT_ONCE {
        let app = app.clone();
        groups.spawn(async move { dissolutions(&app, n, ROUNDS).await });
    }

    while let Some(done) = groups.join_next().await {
        done.unwrap();
    }
    println!("{} groups dissolved while three were sending", AT_ONCE * ROUNDS);
}

async fn dissolutions(app: &App, n: usize, rounds: usize) {
    let ids = ["bob", "carol", "dave"].map(|name| format!("{name}-{n}"));
    let mut bob = app.raw(&ids[0], "b").await;
    let mut carol = app.raw(&ids[1], "c").await;
    let mut dave = app.raw(&ids[2], "d").await;
    let mut alice = app.raw(&format!("alice-{n}"), "a").await;
    let mut random = Random(n as u64);
    for round in 0..rounds {
        let group = format!("crew-{n}-{round}");
        create(&mut alice, &group, "meeting", &ids.each_ref().map(String::as_str)).await;
        let (acked, mut told) = watch::channel(0);
        let strike_after = random.below(3 * WINDOW);
        let dissolution = async {
            told.wait_for(|acked| *acked >= strike_after).await.unwrap();
            call(&mut alice, "group.dissolve", json!({"group": group})).await
        };

        let (one, two, three, dissolved) = tokio::join!(
            send_until_refused(&mut bob, &group, &acked),
            send_until_refused(&mut carol, &group, &acked),
            send_until_refused(&mut dave, &group, &acked),
            dissolution,
        );

        let notice = dissolved["ok"]["seq"].as_u64().unwrap_or_else(|| panic!("{dissolved}"));
        let log = whole_log(&mut alice, &group).await;
        assert!(follow(&log).is_empty());
        assert_eq!(log.last().unwrap()["seq"], notice, "nothing comes after the end");
        for sent in [one, two, three] {
            acked_then_refused(&sent, "not_a_member");
            holds_what_was_acked(&log, &sent);
        }
    }
}

/// A member of a crowd in which everybody does what it likes.
async fn do_as_one_likes(
    raw: &mut Raw,
    me: &str,
    others: &[String],
    group: &str,
    seed: u64,
) -> Vec<(ClientMsgId, Answer)> {
    const COMMANDS: usize = 200;
    let mut random = Random(seed);
    let mut sends = HashMap::new();
    let mut sent: Vec<(ClientMsgId, Option<Answer>)> = Vec::new();
    let (mut submitted, mut answered) = (0, 0);
    while answered < COMMANDS {
        while submitted < COMMANDS && submitted - answered < WINDOW / 2 {
            let other = &others[random.below(others.len())];
            let (cmd, body) = match random.below(20) {
                0 => ("group.leave", json!({"group": group})),
                1..=3 => ("group.join", json!({"group": group})),
                4 => ("group.remove", json!({"group": group, "user": other})),
                5 | 6 => ("group.invite", json!({"group": group, "users": [other, me]})),
                7 => ("group.update", json!({"group": group, "name": format!("by {me}")})),
                _ => {
                    let key = key();
                    sent.push((key, None));
                    ("message.send", to_group(group, key, "so be it"))
                }
            };
            let id = raw.0.submit(cmd, body).await.unwrap();
            if cmd == "message.send" {
                sends.insert(id, sent.len() - 1);
            }
            submitted += 1;
        }
        let reply = next_reply(raw).await;
        answered += 1;
        if let Some(place) = sends.remove(&reply["re"].as_u64().unwrap()) {
            sent[place].1 = Some(answer(&reply));
        } else if let Some(code) = reply["error"]["code"].as_str() {
            assert!(matches!(code, "not_a_member" | "forbidden"), "{reply}");
        }
    }
    sent.into_iter().map(|(key, answer)| (key, answer.unwrap())).collect()
}

#[tokio::test]
async fn whatever_members_do_at_once_the_log_is_one_story_without_contradictions() {
    const AT_ONCE: usize = 4;
    const ROUNDS: usize = 5;
    let node = fast_node();
    let app = App::of(&node);

    let mut groups = tokio::task::JoinSet::new();
    for n in 0..AT_ONCE {
        let app = app.clone();
        groups.spawn(async move {
            let mut entries = 0;
            for round in 0..ROUNDS {
                entries += a_crowd(&app, n, round).await;
            }
            entries
        });
    }

    let mut entries = 0;
    while let Some(done) = groups.join_next().await {
        entries += done.unwrap();
    }
    println!("{} groups in which four did as they liked: {entries} entries", AT_ONCE * ROUNDS);
}

async fn a_crowd(app: &App, n: usize, round: usize) -> usize {
    let ids = ["alice", "bob", "carol", "dave"].map(|name| format!("{name}-{n}"));
    let mut raws = Vec::new();
    for id in &ids {
        raws.push(app.raw(id, "main").await);
    }
    let group = format!("crowd-{n}-{round}");
    create(&mut raws[0], &group, "meeting", &[&ids[1]]).await;

    let seed = (n * 100 + round * 10) as u64;
    let doing = raws.iter_mut().enumerate().map(|(me, raw)| {
        let (ids, group) = (&ids, &group);
        async move {
            let others: Vec<_> = ids.iter().filter(|id| **id != ids[me]).cloned().collect();
            do_as_one_likes(raw, &ids[me], &others, group, seed + me as u64).await
        }
    });
    let sent = futures_util::future::join_all(doing).await;

    let alice = &mut raws[0];
    let log = whole_log(alice, &group).await;
    let members = follow(&log);
    let is_notice = |entry: &&Value| entry["content"]["type"] == "notice";
    let mut names = log.iter().filter(is_notice).filter_map(|it| it["content"]["name"].as_str());
    let group_now = call(alice, "group.get", json!({"group": group})).await;
    assert_eq!(group_now["ok"]["name"], names.next_back().unwrap(), "{group_now}");
    assert_eq!(group_now["ok"]["members"], members.len(), "{group_now}");
    let id = alice.0.submit("group.members", json!({"group": group})).await.unwrap();
    let page = reply_to(alice, id).await;
    for member in page["ok"]["members"].as_array().unwrap() {
        assert!(members.contains(member["user"].as_str().unwrap()), "{page} {members:?}");
    }
    for sent in &sent {
        holds_what_was_acked(&log, sent);
        let seqs = sent.iter().filter_map(|(_, answer)| match answer {
            Answer::Acked { seq, .. } => Some(*seq),
            Answer::Refused(_) => None,
        });
        assert!(seqs.collect::<Vec<_>>().is_sorted(), "in the order sent");
        for (_, answer) in sent {
            if let Answer::Refused(code) = answer {
                assert_eq!(code, "not_a_member");
            }
        }
    }
    log.len()
}
