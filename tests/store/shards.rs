//! Shards: each has one owner at any time, and changes hands only under a new epoch and for a reason.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rookery::cluster::node::{Node, Replaced};
use rookery::domain::policy::Kind;
use rookery::ids::{AppId, Incarnation, NodeId, NodeRun, Shard, ShardEpoch};
use rookery::limits;
use rookery::store::group_appends::GroupsAppended;
use rookery::store::identity::HighWaterFile;
use rookery::store::nodes::{self, Held};
use rookery::store::{groups, shards};
use tempfile::TempDir;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::base::{Base, NODE, WINDOW_DAYS};
use super::group_base::{Group, append, own_all_shards, own_shards_as, stored};

const OTHER: NodeId = NodeId::from_store(8);
/// Whoever holds a lease at all has held it for so long.
const AT_ONCE: Duration = Duration::ZERO;

async fn joined(base: &Base, node: NodeId) -> Incarnation {
    nodes::join(&base.pool, node).await.unwrap().incarnation
}

async fn owned(client: &Client, node: NodeId, incarnation: Incarnation) -> Vec<(i32, i64)> {
    let owners = shards::owners(client).await.unwrap();
    let ours = owners.iter().filter(|it| it.owner == NodeRun { node, incarnation });
    let mut owned: Vec<_> = ours.map(|it| (it.shard.to_store(), it.epoch.get())).collect();
    owned.sort();
    owned
}

/// All shards from one to another, under one epoch.
fn run(from: i32, to: i32, epoch: i64) -> Vec<(i32, i64)> {
    (from..to).map(|shard| (shard, epoch)).collect()
}

/// Lets a node's lease end a second ago.
async fn end_lease(client: &Client, node: NodeId) {
    let end =
        "update nodes set lease_until = clock_timestamp() - interval '1 second' where node = $1";
    client.execute(end, &[&node.get()]).await.unwrap();
}

#[tokio::test]
async fn the_first_node_owns_all_and_the_next_start_of_it_owns_them_under_a_new_epoch() {
    let base = Base::start().await;
    let client = base.connector.open().await.unwrap();
    let first = joined(&base, NODE).await;
    shards::claim_own(&client, NODE, first).await.unwrap();
    assert_eq!(owned(&client, NODE, first).await, run(0, 1024, 1));

    let other = joined(&base, OTHER).await;
    shards::claim_own(&client, OTHER, other).await.unwrap();
    assert_eq!(owned(&client, OTHER, other).await, []);

    let again = joined(&base, NODE).await;
    shards::claim_own(&client, NODE, again).await.unwrap();
    assert_eq!(owned(&client, NODE, again).await, run(0, 1024, 2));
    assert_eq!(owned(&client, NODE, first).await, []);
    shards::claim_own(&client, NODE, again).await.unwrap();
    assert_eq!(owned(&client, NODE, again).await, run(0, 1024, 2), "once");
    base.postgres.stop().await;
}

#[tokio::test]
async fn of_nodes_that_start_at_once_each_shard_has_one_owner() {
    let base = Base::start().await;
    let start = async |node| {
        let node = NodeId::from_store(node);
        let client = base.connector.open().await.unwrap();
        let incarnation = joined(&base, node).await;
        shards::claim_own(&client, node, incarnation).await.unwrap();
        owned(&client, node, incarnation).await
    };

    let (one, two, three) = tokio::join!(start(1), start(2), start(3));

    let all: Vec<i32> = [one, two, three].concat().iter().map(|(shard, _)| *shard).collect();
    assert_eq!(all.len(), 1024);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1024);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_node_that_is_alive_keeps_its_shards_and_a_dead_ones_go_in_order_a_few_at_a_time() {
    let base = Base::start().await;
    let client = base.connector.open().await.unwrap();
    let (here, there) = (joined(&base, NODE).await, joined(&base, OTHER).await);
    shards::claim_own(&client, NODE, here).await.unwrap();
    let claim = async || shards::claim_dead(&client, OTHER, there, AT_ONCE).await.unwrap();
    assert_eq!(claim().await, 0, "the owner is alive");

    end_lease(&client, NODE).await;
    assert_eq!(claim().await, 32);
    assert_eq!(owned(&client, OTHER, there).await, run(0, 32, 2));
    assert_eq!(claim().await, 32);
    assert_eq!(owned(&client, OTHER, there).await, run(0, 64, 2));

    // The owner was only slow: what is still under its epoch stays its own.
    nodes::renew(&client, NODE, here, Held::Unbroken).await.unwrap().unwrap();
    assert_eq!(claim().await, 0);
    assert_eq!(owned(&client, NODE, here).await, run(64, 1024, 1));
    base.postgres.stop().await;
}

#[tokio::test]
async fn nobody_claims_before_its_own_lease_was_held_for_long_without_a_break() {
    let base = Base::start().await;
    let client = base.connector.open().await.unwrap();
    let (here, there) = (joined(&base, NODE).await, joined(&base, OTHER).await);
    shards::claim_own(&client, NODE, here).await.unwrap();
    end_lease(&client, NODE).await;
    let claim = async |held_for| shards::claim_dead(&client, OTHER, there, held_for).await.unwrap();
    let hour = Duration::from_secs(3600);
    let held_since = async |forged: &str| {
        let held = format!("update nodes set held_since = {forged} where node = {OTHER}");
        client.batch_execute(&held).await.unwrap();
    };

    held_since("clock_timestamp() - interval '2 hours'").await;
    assert_eq!(claim(hour).await, 0, "the database has not been up for that long");
    held_since("clock_timestamp() + interval '1 minute'").await;
    assert_eq!(claim(AT_ONCE).await, 0, "not held yet");
    held_since("clock_timestamp()").await;
    let former = Incarnation::from_store(there.get() - 1);
    let claimed = shards::claim_dead(&client, OTHER, former, AT_ONCE).await.unwrap();
    assert_eq!(claimed, 0, "a former incarnation claims nothing");
    end_lease(&client, OTHER).await;
    assert_eq!(claim(AT_ONCE).await, 0, "its own lease is over as well");
    nodes::renew(&client, OTHER, there, Held::Unbroken).await.unwrap().unwrap();
    assert_eq!(claim(AT_ONCE).await, 32);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_lease_counts_as_held_until_it_was_over_or_its_node_knows_of_a_break() {
    let base = Base::start().await;
    let client = base.connector.open().await.unwrap();
    let incarnation = joined(&base, NODE).await;
    let set = "update nodes set held_since = '2020-01-01'";
    let is_old = "select count(*) from nodes where held_since = '2020-01-01'";

    for (held, over, kept) in [
        (Held::Unbroken, false, 1),
        (Held::Anew, false, 0),
        (Held::Unbroken, true, 0),
        (Held::Anew, true, 0),
    ] {
        client.batch_execute(set).await.unwrap();
        if over {
            end_lease(&client, NODE).await;
        }
        nodes::renew(&client, NODE, incarnation, held).await.unwrap().unwrap();
        assert_eq!(base.count(is_old).await, kept, "{held:?}, over: {over}");
    }
    client.batch_execute(set).await.unwrap();
    joined(&base, NODE).await;
    assert_eq!(base.count(is_old).await, 0, "a new incarnation begins anew");
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_lease_that_is_renewed_while_it_is_claimed_upon_keeps_its_shards() {
    let base = Base::start().await;
    let client = base.connector.open().await.unwrap();
    let (here, there) = (joined(&base, NODE).await, joined(&base, OTHER).await);
    shards::claim_own(&client, NODE, here).await.unwrap();
    end_lease(&client, NODE).await;
    let mut renewing = base.connector.open().await.unwrap();
    let renewal = renewing.transaction().await.unwrap();
    let renew =
        "update nodes set lease_until = clock_timestamp() + interval '10 seconds' where node = $1";
    renewal.execute(renew, &[&NODE.get()]).await.unwrap();

    let (claimed, ()) = tokio::join!(shards::claim_dead(&client, OTHER, there, AT_ONCE), async {
        base.await_lock_waits(1).await;
        renewal.commit().await.unwrap();
    });

    assert_eq!(claimed.unwrap(), 0);
    base.postgres.stop().await;
}

#[tokio::test]
async fn an_owner_goes_on_under_its_epoch_when_the_database_was_started_again() {
    let mut base = Base::start().await;
    let there = joined(&base, OTHER).await;
    let here = joined(&base, NODE).await;
    own_shards_as(&base, NODE, here.get()).await;
    let alice = base.user("alice").await;
    let mut group =
        Group::create(&base, &base.writer(0).await, "one", Kind::Work, alice, &[]).await;
    let client = base.connector.open().await.unwrap();
    end_lease(&client, NODE).await;
    end_lease(&client, OTHER).await;

    base.postgres.pause().await;
    base.postgres.start_again().await;

    // The other one is back first, and finds the owner's lease over.
    let client = base.connector.open().await.unwrap();
    nodes::renew(&client, OTHER, there, Held::Anew).await.unwrap().unwrap();
    let claimed = shards::claim_dead(&client, OTHER, there, limits::LEASE).await.unwrap();
    assert_eq!(claimed, 0);
    stored(&base.writer(0).await, &[group.post(&base, alice)]).await;
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

/// Claims and appends that follow one another without a pause wait for each other, and never in a ring.
#[tokio::test]
async fn claim_wins_against_saturated_journal() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let writer = base.writer(0).await;
    let mut all = Vec::new();
    for n in 0..40 {
        all.push(Group::create(&base, &writer, &format!("g{n}"), Kind::Work, alice, &[]).await);
    }
    let claimer = base.connector.open().await.unwrap();
    let done = std::cell::Cell::new(false);
    let claim = async {
        for incarnation in 2..22 {
            let incarnation = Incarnation::from_store(incarnation);
            shards::claim_own(&claimer, NODE, incarnation).await.unwrap();
        }
        done.set(true);
    };
    let write = async {
        let mut turned_away = 0;
        while !done.get() {
            let posts: Vec<_> =
                all.iter_mut().rev().map(|group| group.post(&base, alice)).collect();
            let outcome = append(&writer, &posts).await;
            let GroupsAppended::Done { stored, .. } = outcome else { panic!("{outcome:?}") };
            for group in &mut all {
                if stored.contains(&group.no) {
                    continue;
                }
                turned_away += 1;
                let state = groups::load(&base.pool, AppId::DEFAULT, &group.id).await.unwrap();
                let state = state.unwrap();
                group.epoch = state.owner_of_shard.unwrap().epoch;
                (group.head, group.counted) = (state.head.get(), state.counted);
            }
        }
        turned_away
    };

    let ((), turned_away) = tokio::join!(claim, write);

    assert!(turned_away > 0);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

async fn node(base: &Base, id: NodeId, folder: &TempDir) -> Arc<Node> {
    let mark = HighWaterFile::new(folder.path());
    Node::join(id, base.connector.clone(), base.pool.clone(), mark, None, WINDOW_DAYS)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_node_that_was_replaced_owns_nothing_and_its_successor_everything() {
    let base = Base::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = node(&base, NODE, &folder).await;
    let other = node(&base, OTHER, &folder).await;
    let shard = Shard::all().last().unwrap();
    assert_eq!(first.ownership().count(), 1024, "before it is ready");
    assert_eq!(first.ownership().epoch_of(shard), Some(ShardEpoch::from_store(1)));
    assert_eq!(other.ownership().count(), 0);

    let successor = node(&base, NODE, &folder).await;
    let kept = first.keep(CancellationToken::new()).await;

    assert_eq!(kept, Err(Replaced));
    assert_eq!(first.ownership().count(), 0);
    assert_eq!(successor.ownership().count(), 1024);
    assert_eq!(successor.ownership().epoch_of(shard), Some(ShardEpoch::from_store(2)));
    base.postgres.stop().await;
}

#[tokio::test]
async fn the_keeper_learns_of_each_claim_which_shards_are_left() {
    let base = Base::start().await;
    let folder = tempfile::tempdir().unwrap();
    let first = node(&base, NODE, &folder).await;
    let shard = Shard::all().next().unwrap();
    let client = base.connector.open().await.unwrap();
    client
        .batch_execute("update shard_owner set epoch = epoch + 1, node = 99 where shard >= 1000")
        .await
        .unwrap();
    // What an append was told too early, or by mistake, the store puts right.
    first.ownership().lost(shard, ShardEpoch::from_store(1));
    let stop = CancellationToken::new();
    let keeping = tokio::spawn({
        let (first, stop) = (first.clone(), stop.clone());
        async move { first.keep(stop).await }
    });

    while first.ownership().count() != 1000 {
        tokio::task::yield_now().await;
    }

    assert_eq!(first.ownership().epoch_of(shard), Some(ShardEpoch::from_store(1)));
    stop.cancel();
    assert_eq!(keeping.await.unwrap(), Ok(()));
    base.postgres.stop().await;
}
