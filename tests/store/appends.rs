//! Appends: one order, each key once, under the writer's fence, whoever writes at the same time.

use std::time::Instant;

use rookery::domain::intake::{Outcome, Refusal};
use rookery::domain::journal::{Appended, Effect, Input, Journal, Placed, Row};
use rookery::domain::sends::Pair;
use rookery::ids::{AppId, InboxSeq, Seq, UnixMs, UserNo};
use rookery::store::pairs::{self, AppendOutcome, From};
use rookery::store::writer::Writer;
use rookery::store::{StoreError, inbox, users};

use super::base::{Base, Body, DAY_MS, Random, append, id, now, stored};

/// Each two of these users, and each with itself: who can send, and where.
async fn pairs_of(base: &Base, names: &[&str]) -> Vec<(UserNo, Pair)> {
    let mut all = Vec::new();
    for name in names {
        let user = base.user(name).await;
        for peer in names {
            base.user(peer).await;
            all.push((user, base.pair(user, peer).await));
        }
    }
    all
}

#[tokio::test]
async fn two_writers_to_the_same_pairs_at_once_leave_no_hole_and_never_wait_for_each_other_in_a_ring()
 {
    let base = Base::start().await;
    let all = pairs_of(&base, &["alice", "bob", "carol", "dave"]).await;
    let (first, second) = (base.writer(0).await, base.writer(1).await);
    let write = async |writer: &Writer, seed: u64, reversed: bool| {
        let mut random = Random(seed);
        for _ in 0..60 {
            let mut rows: Vec<Row<Body>> = (0..1 + random.below(40))
                .map(|_| all[random.below(all.len())])
                .map(|(sender, pair)| base.row(sender, pair))
                .collect();
            rows.sort_by_key(|row| row.target.conversation());
            if reversed {
                rows.reverse();
            }
            let placed = stored(writer, &rows).await;
            check_placed(&base, &rows, &placed).await;
        }
    };

    tokio::join!(write(&first, 1, false), write(&second, 2, true));

    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

/// What was answered is what is stored.
async fn check_placed(base: &Base, rows: &[Row<Body>], placed: &[Placed]) {
    for (row, placed) in rows.iter().zip(placed).take(3) {
        let before = From::After(Seq::new(placed.seq.get() - 1));
        let page =
            pairs::history(&base.pool, row.target.conversation(), before, 1, 1).await.unwrap();
        let entry = &page[0];
        assert_eq!((entry.key, &entry.body), (row.key, &row.payload));
        assert_eq!(entry.message_id, placed.message_id);
        assert_eq!(
            (Some(entry.inbox_low), entry.inbox_high),
            (placed.inbox_low, placed.inbox_high)
        );
    }
}

#[tokio::test]
async fn of_two_writers_that_append_a_key_at_once_one_stores_it_and_the_other_hears_of_it() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    base.user("bob").await;
    let pair = base.pair(alice, "bob").await;
    let (first, second) = (base.writer(0).await, base.writer(1).await);

    for _ in 0..100 {
        let rows = [base.row(alice, pair)];
        let (one, other) = tokio::join!(append(&first, &rows), append(&second, &rows));

        let (placed, known) = match (one.unwrap(), other.unwrap()) {
            (AppendOutcome::Stored(placed), AppendOutcome::Known(known))
            | (AppendOutcome::Known(known), AppendOutcome::Stored(placed)) => (placed, known),
            other => panic!("expected one of each, was {other:?}"),
        };
        assert_eq!((known.len(), known[0].index), (1, 0));
        assert_eq!((known[0].seq, known[0].message_id), (placed[0].seq, placed[0].message_id));
        assert_eq!(known[0].hash, rows[0].hash);
    }

    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_batch_with_a_known_key_writes_nothing_and_the_same_key_counts_for_each_conversation_and_sender()
 {
    let base = Base::start().await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let (pair, back) = (base.pair(alice, "bob").await, base.pair(bob, "alice").await);
    let own = base.pair(alice, "alice").await;
    let writer = base.writer(0).await;
    let row = base.row(alice, pair);
    stored(&writer, std::slice::from_ref(&row)).await;

    let mixed = [base.row(bob, back), row.clone(), base.row(alice, pair)];
    let outcome = append(&writer, &mixed).await.unwrap();

    assert!(matches!(&outcome, AppendOutcome::Known(known) if known[0].index == 1), "{outcome:?}");
    assert_eq!(base.count("select count(*) from pair_messages").await, 1);
    let others = [base.row_with(bob, back, row.key), base.row_with(alice, own, row.key)];
    stored(&writer, &others).await;
    let twice = base.row(alice, pair);
    let refused = append(&writer, &[twice.clone(), twice]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_fenced_writer_stores_nothing_not_even_when_its_statement_waited_for_the_claim() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    let pair = base.pair(alice, "alice").await;
    let former = base.writer(0).await;
    stored(&former, &[base.row(alice, pair)]).await;
    let present = base.writer(0).await;

    let outcome = append(&former, &[base.row(alice, pair)]).await.unwrap();
    assert!(matches!(outcome, AppendOutcome::Fenced), "{outcome:?}");

    let mut claimer = base.connector.open().await.unwrap();
    let claim = claimer.transaction().await.unwrap();
    claim.execute("update writers set fence = fence + 1", &[]).await.unwrap();
    let rows = [base.row(alice, pair)];
    let (outcome, ()) = tokio::join!(append(&present, &rows), async {
        base.await_lock_waits(1).await;
        claim.commit().await.unwrap();
    });

    assert!(matches!(outcome.unwrap(), AppendOutcome::Fenced));
    assert_eq!(base.count("select count(*) from pair_messages").await, 1);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_claim_waits_for_the_statement_in_flight_and_then_finds_what_it_stored() {
    let base = Base::start().await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let (pair, back) = (base.pair(alice, "bob").await, base.pair(bob, "alice").await);
    let former = base.writer(0).await;
    let mut other = base.connector.open().await.unwrap();
    let holder = other.transaction().await.unwrap();
    holder.execute("select 1 from pair_heads for update", &[]).await.unwrap();
    let rows = [base.row(alice, pair), base.row(bob, back)];
    let never_sent = base.row(alice, pair);

    let (placed, present, ()) = tokio::join!(
        stored(&former, &rows),
        async {
            base.await_lock_waits(1).await;
            base.writer(0).await
        },
        async {
            // The statement waits for the head, and the claim for the statement.
            base.await_lock_waits(2).await;
            holder.commit().await.unwrap();
        }
    );
    let [first, second] = rows;
    let found = present.find(&[never_sent, second, first], &[]).await.unwrap();

    let found: Vec<_> = found.iter().map(|found| (found.index, found.placed, found.hash)).collect();
    assert_eq!(found, [(1, placed[1], [7; 16]), (2, placed[0], [7; 16])]);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_pair_with_oneself_has_one_place_in_the_inbox_and_one_cursor() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    let pair = base.pair(alice, "alice").await;
    let writer = base.writer(0).await;

    let placed = stored(&writer, &[base.row(alice, pair), base.row(alice, pair)]).await;

    let places: Vec<_> = placed
        .iter()
        .map(|it| (it.seq.get(), it.inbox_low.unwrap().get(), it.inbox_high))
        .collect();
    assert_eq!(places, [(1, 1, None), (2, 2, None)]);
    let page = inbox::page(&base.pool, alice, InboxSeq::ZERO, 9, 9999).await.unwrap();
    assert_eq!(page.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>(), [1, 2]);
    let (head, peer) = pairs::state(&base.pool, alice, pair.no).await.unwrap();
    assert_eq!((head.get(), peer), (2, None));
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_missing_head_refuses_the_batch_instead_of_giving_its_places_to_others() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    base.user("bob").await;
    let (pair, own) = (base.pair(alice, "bob").await, base.pair(alice, "alice").await);
    let writer = base.writer(0).await;
    let rows = [base.row(alice, pair), base.row(alice, own)];
    let client = base.connector.open().await.unwrap();

    client
        .execute("delete from pair_heads where conversation_no = $1", &[&pair.no.get()])
        .await
        .unwrap();
    let no_head = append(&writer, &rows).await.unwrap_err();
    client
        .execute("insert into pair_heads (conversation_no) values ($1)", &[&pair.no.get()])
        .await
        .unwrap();
    client.execute("delete from inbox_heads where owner_no <> $1", &[&alice.get()]).await.unwrap();
    let no_inbox = append(&writer, &rows).await.unwrap_err();

    for (refused, reason) in [
        (no_head, "a pair of the batch has no head"),
        (no_inbox, "an owner of the batch has no inbox"),
    ] {
        assert!(
            matches!(&refused, StoreError::Refused { reason: it } if it.contains(reason)),
            "{refused}"
        );
    }
    assert_eq!(base.count("select count(*) from pair_messages").await, 0);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_row_whose_day_has_no_partition_costs_only_its_sender_its_turn() {
    let base = Base::start().await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let (pair, back) = (base.pair(alice, "bob").await, base.pair(bob, "alice").await);
    let writer = base.writer(0).await;
    let too_old = base.key_at(UnixMs::new(now().get() - 60 * DAY_MS));
    let poison = base.row_with(alice, pair, too_old);
    let mut journal = Journal::new(Instant::now());
    let mut todo = Vec::new();
    journal.decide(Instant::now(), Input::Fenced(Vec::new()), &mut todo);
    let first = base.row(bob, back);
    for row in [
        first,
        base.row(alice, pair),
        poison.clone(),
        base.row(bob, back),
        base.row(alice, pair),
        base.row(bob, back),
    ] {
        journal.decide(Instant::now(), Input::Append(vec![row]), &mut todo);
    }

    let (mut kept, mut refused) = (Vec::new(), Vec::new());
    while !todo.is_empty() {
        for effect in std::mem::take(&mut todo) {
            match effect {
                Effect::Run(rows) => {
                    let appended = match append(&writer, &rows).await {
                        Ok(AppendOutcome::Stored(placed)) => Appended::Stored(placed),
                        Err(StoreError::Refused { .. }) => Appended::Refused,
                        other => panic!("{other:?}"),
                    };
                    journal.decide(Instant::now(), Input::Appended(appended), &mut todo);
                }
                Effect::Stored { row, .. } => kept.push(row.sender),
                Effect::Settled { row, outcome } => refused.push((row.key, outcome)),
                Effect::Reconnect => panic!("the connection is there"),
            }
        }
    }

    kept.sort();
    assert_eq!(kept, [alice, bob, bob, bob], "alice's first, and all of bob's");
    assert_eq!(refused[0], (poison.key, Outcome::Refused(Refusal::Unavailable)));
    assert_eq!(refused.len(), 2, "and what alice sent after it");
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn whom_the_backend_made_can_be_written_to() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    users::create(&base.pool, AppId::DEFAULT, &id("bob")).await.unwrap();
    let pair = base.pair(alice, "bob").await;

    stored(&base.writer(0).await, &[base.row(alice, pair)]).await;

    let head = inbox::head(&base.pool, pair.peer).await.unwrap();
    assert_eq!(head.get(), 1);
    base.postgres.stop().await;
}

#[tokio::test]
async fn two_that_open_a_pair_at_once_get_the_same_one() {
    let base = Base::start().await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);

    let (one, other, again) =
        tokio::join!(base.pair(alice, "bob"), base.pair(bob, "alice"), base.pair(alice, "bob"));

    assert_eq!((one.no, other.no, one), (other.no, again.no, again));
    assert_eq!(base.count("select count(*) from pair_cursors").await, 2);
    assert_eq!(base.count("select count(*) from pair_heads").await, 1);
    let nobody = pairs::open(&base.pool, AppId::DEFAULT, alice, &id("nobody")).await.unwrap();
    assert_eq!(nobody, None);
    base.postgres.stop().await;
}
