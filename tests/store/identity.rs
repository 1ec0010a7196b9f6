//! The store's own identity: its epoch stays while it is the database that acked, and changes when it is not.

use rookery::domain::epoch::{Committed, HighWater, Reason, Verdict, Witness};
use rookery::ids::{NodeId, NodeRun};
use rookery::store::identity::{self, HighWaterFile, Verified};
use rookery::store::nodes::{self, Held};

use super::base::{Base, NODE, stored};

const OTHER: NodeId = NodeId::from_store(8);

async fn verify(base: &Base, marks: &[HighWater]) -> Verified {
    identity::verify(&mut base.connector.open().await.unwrap(), marks, None).await.unwrap()
}

async fn witnessed(base: &Base, witness: &Witness) -> Verdict {
    let mut client = base.connector.open().await.unwrap();
    identity::verify(&mut client, &[], Some(witness)).await.unwrap().verdict
}

/// A node that has joined and renewed its lease, with nothing but that to remember.
async fn witness_of(base: &Base, node: NodeId, epoch: &str) -> Witness {
    let joined = nodes::join(&base.pool, node).await.unwrap();
    let client = base.connector.open().await.unwrap();
    let renewed = nodes::renew(&client, node, joined.incarnation, Held::Unbroken).await.unwrap();
    Witness {
        epoch: epoch.to_owned(),
        run: NodeRun { node, incarnation: joined.incarnation },
        lease_until_us: Some(renewed.unwrap().lease_until_us),
        last: Vec::new(),
        is_complete: true,
        waits: true,
    }
}

async fn execute(base: &Base, sql: &str) {
    base.connector.open().await.unwrap().batch_execute(sql).await.unwrap();
}

/// Has the store believe that the database was another branch of its history before.
async fn fail_over(base: &Base) {
    execute(base, "update store_identity set timeline = 0").await;
}

fn mark_of(verified: &Verified) -> HighWater {
    HighWater {
        epoch: verified.epoch.as_str().to_owned(),
        identity: verified.identity,
        flushed: verified.flushed,
    }
}

#[tokio::test]
async fn the_epoch_stays_with_its_database_and_begins_anew_with_another() {
    let base = Base::start().await;
    let (one, other) = tokio::join!(verify(&base, &[]), verify(&base, &[]));
    assert_eq!(one.epoch, other.epoch, "two that start at once agree on the first epoch");
    let verdicts = [one.verdict, other.verdict];
    let first = Verdict::Anew(Reason::First);
    assert!(verdicts.contains(&first) && verdicts.contains(&Verdict::Same), "{verdicts:?}");
    let again = verify(&base, &[mark_of(&one)]).await;
    assert_eq!((&again.epoch, again.verdict), (&one.epoch, Verdict::Same));
    assert!(again.flushed >= one.flushed && again.identity == one.identity);

    let mut last = again.epoch;
    for (forged, reason) in [
        ("update store_identity set timeline = timeline + 1", Reason::Unproved),
        (
            "update store_identity set system_identifier = system_identifier + 1",
            Reason::OtherDatabase,
        ),
    ] {
        execute(&base, forged).await;
        let changed = verify(&base, &[]).await;
        assert_eq!(changed.verdict, Verdict::Anew(reason));
        assert_ne!(changed.epoch, last);
        let after = verify(&base, &[]).await;
        assert_eq!((&after.epoch, after.verdict), (&changed.epoch, Verdict::Same), "once");
        last = changed.epoch;
    }
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_database_behind_the_mark_begins_a_new_epoch_once_whoever_looks_first() {
    let base = Base::start().await;
    let verified = verify(&base, &[]).await;
    let ahead = HighWater { flushed: verified.flushed + (1 << 40), ..mark_of(&verified) };
    let ahead = [mark_of(&verified), ahead];

    let (one, other) = tokio::join!(verify(&base, &ahead), verify(&base, &ahead));

    assert_eq!(one.epoch, other.epoch);
    assert_ne!(one.epoch, verified.epoch);
    let behind = |verdict| matches!(verdict, Verdict::Anew(Reason::Behind { bytes: 1.. }));
    let verdicts = [one.verdict, other.verdict];
    assert_eq!(verdicts.map(behind).iter().filter(|it| **it).count(), 1, "{verdicts:?}");
    assert!(verdicts.contains(&Verdict::Same), "{verdicts:?}");
    assert_eq!(verify(&base, &[mark_of(&one)]).await.verdict, Verdict::Same);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_failover_keeps_the_epoch_when_all_nodes_find_what_they_were_told_is_committed() {
    let base = Base::start().await;
    let epoch = verify(&base, &[]).await.epoch;
    let own = witness_of(&base, NODE, epoch.as_str()).await;
    let other = witness_of(&base, OTHER, epoch.as_str()).await;
    // One that is gone and fenced acks nothing: nobody waits for it.
    execute(
        &base,
        "insert into nodes (node, incarnation, lease_until, buried) values (9, 3, now(), 3)",
    )
    .await;
    fail_over(&base).await;

    assert_eq!(witnessed(&base, &own).await, Verdict::Wait { others: 1 });
    assert_eq!(witnessed(&base, &own).await, Verdict::Wait { others: 1 });
    assert_eq!(witnessed(&base, &other).await, Verdict::Continued);
    assert_eq!(witnessed(&base, &own).await, Verdict::Same);
    assert_eq!(verify(&base, &[]).await.epoch, epoch);

    // The other one does not come any more.
    fail_over(&base).await;
    execute(&base, "update nodes set found_all = null").await;
    assert_eq!(witnessed(&base, &own).await, Verdict::Wait { others: 1 });
    let impatient = Witness { waits: false, ..own };
    assert_eq!(witnessed(&base, &impatient).await, Verdict::Anew(Reason::Unproved));
    base.postgres.stop().await;
}

#[tokio::test]
async fn what_a_node_was_told_is_committed_and_is_not_there_begins_one_new_epoch() {
    let base = Base::start().await;
    let user = base.user("alice").await;
    let pair = base.pair(user, "alice").await;
    let placed = stored(&base.writer(0).await, &[base.row(user, pair)]).await[0];
    let there = Committed { conversation: pair.no, seq: placed.seq, message_id: placed.message_id };
    let epoch = verify(&base, &[]).await.epoch;
    let own = witness_of(&base, NODE, epoch.as_str()).await;
    let own = Witness { last: vec![there], ..own };
    assert_eq!(witnessed(&base, &own).await, Verdict::Same);

    let lost = Committed { seq: placed.seq.next(), ..there };
    let replaced = Committed { message_id: super::base::ids(1)[0], ..there };
    for entry in [lost, replaced] {
        let epoch = verify(&base, &[]).await.epoch.as_str().to_owned();
        let lacking = Witness { epoch, last: vec![there, entry], ..own.clone() };
        let anew = Verdict::Anew(Reason::Lacking { entries: 1 });
        assert_eq!(witnessed(&base, &lacking).await, anew);
        // What another node remembers of the epoch before is of no account any more, and neither is what this one does.
        assert_eq!(witnessed(&base, &lacking).await, Verdict::Same);
    }
    let epoch = verify(&base, &[]).await.epoch.as_str().to_owned();
    let renewed = own.lease_until_us.map(|us| us + 1);
    let lacking = Witness { epoch, lease_until_us: renewed, ..own.clone() };
    assert_eq!(witnessed(&base, &lacking).await, Verdict::Anew(Reason::Lacking { entries: 0 }));

    // Another process in the node's place is no loss.
    let epoch = verify(&base, &[]).await.epoch.as_str().to_owned();
    nodes::join(&base.pool, NODE).await.unwrap();
    assert_eq!(witnessed(&base, &Witness { epoch, ..lacking }).await, Verdict::Same);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_failover_begins_a_new_epoch_when_a_node_cannot_say_that_it_knows_its_last_ack() {
    let base = Base::start().await;
    let epoch = verify(&base, &[]).await.epoch;
    let own = witness_of(&base, NODE, epoch.as_str()).await;
    fail_over(&base).await;

    let incomplete = Witness { is_complete: false, ..own };

    assert_eq!(witnessed(&base, &incomplete).await, Verdict::Anew(Reason::Unproved));
    base.postgres.stop().await;
}

#[tokio::test]
async fn the_mark_comes_back_from_its_file_and_a_damaged_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = HighWaterFile::new(folder.path());
    assert_eq!(file.load().await, None);
    let base = Base::start().await;
    let mark = mark_of(&verify(&base, &[]).await);

    file.save(&mark).await.unwrap();
    assert_eq!(file.load().await, Some(mark));

    std::fs::write(folder.path().join("high_water.json"), "{\"epoch\"").unwrap();
    assert_eq!(file.load().await, None);
    base.postgres.stop().await;
}
