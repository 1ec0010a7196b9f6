//! Nodes and the daily partitions, with several at once.

use std::collections::BTreeSet;

use rookery::ids::{NodeId, UnixMs};
use rookery::limits;
use rookery::store::nodes::Held;
use rookery::store::{StoreError, dedup, nodes};

use super::base::{Base, DAY_MS, WINDOW_DAYS, now};

#[tokio::test]
async fn nodes_that_join_at_once_get_numbers_of_their_own_which_are_free_an_hour_after_their_lease()
{
    let base = Base::start().await;
    let node = NodeId::from_store;
    let join = async |no| nodes::join(&base.pool, node(no)).await;

    let joined = tokio::join!(join(1), join(2), join(3), join(4));
    let joined = [joined.0, joined.1, joined.2, joined.3].map(Result::unwrap);
    let numbers: BTreeSet<i16> = joined.iter().map(|joined| joined.number).collect();
    assert_eq!(numbers, BTreeSet::from([0, 1, 2, 3]));

    let again = join(2).await.unwrap();
    assert_eq!(again.number, joined[1].number, "a node keeps its number");
    assert_eq!(again.incarnation.get(), joined[1].incarnation.get() + 1);
    let client = base.connector.open().await.unwrap();
    let renewed =
        nodes::renew(&client, node(2), joined[1].incarnation, Held::Unbroken).await.unwrap();
    assert_eq!(renewed, None, "its former incarnation has lost its place");
    assert!(
        nodes::renew(&client, node(2), again.incarnation, Held::Unbroken).await.unwrap().is_some()
    );

    let pass =
        "update nodes set lease_until = clock_timestamp() - interval '59 minutes' where node = 3";
    client.batch_execute(pass).await.unwrap();
    assert_eq!(join(5).await.unwrap().number, 4);
    client.batch_execute(&pass.replace("59", "61")).await.unwrap();
    assert_eq!(join(6).await.unwrap().number, joined[2].number);
    assert_eq!(join(3).await.unwrap().number, 5, "its number was given to another");

    let fill = "insert into nodes (node, incarnation, number, lease_until)
        select 1000 + n, 1, n, now() from generate_series(6, $1::integer - 1) n";
    client.execute(fill, &[&i32::from(limits::NODE_NUMBERS)]).await.unwrap();
    let none_left = join(7).await.unwrap_err();
    assert!(matches!(none_left, StoreError::Unfit { .. }), "{none_left}");
    base.postgres.stop().await;
}

async fn days(base: &Base) -> Vec<i32> {
    let client = base.connector.open().await.unwrap();
    let days = "select substr(relname, 7)::integer from pg_inherits join pg_class on oid = inhrelid
        where inhparent = 'dedup'::regclass order by 1";
    client.query(days, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Partitions are there from the oldest key to some days ahead, after any pause.
#[tokio::test]
async fn start_after_ten_days() {
    let base = Base::start().await;
    let start = now();
    let at = |days: i64| UnixMs::new(start.get() + days * DAY_MS);
    let today = start.day();
    let window = WINDOW_DAYS as i32;
    let ahead = limits::PARTITIONS_AHEAD_DAYS;
    let kept = limits::PARTITIONS_KEPT_DAYS;
    let keep = async |day| dedup::keep_days(&base.pool, at(day), WINDOW_DAYS).await.unwrap();
    let fresh: Vec<i32> = (today - window - 1..=today + ahead).collect();
    assert_eq!(days(&base).await, fresh);

    keep(0).await;
    assert_eq!(days(&base).await, fresh, "twice is once");
    keep(1).await;
    assert_eq!(days(&base).await, (today - window - 1..=today + 1 + ahead).collect::<Vec<_>>());

    // Two nodes come back at once from ten days of silence.
    tokio::join!(keep(11), keep(11));
    let first = today + 11 - window - 1;
    assert_eq!(days(&base).await, (first - kept..=today + 11 + ahead).collect::<Vec<_>>());

    keep(60).await;
    let first = today + 60 - window - 1;
    assert_eq!(days(&base).await, (first..=today + 60 + ahead).collect::<Vec<_>>());
    base.postgres.stop().await;
}

#[tokio::test]
async fn new_partitions_are_made_while_somebody_reads_an_old_one() {
    let base = Base::start().await;
    let mut dump = base.connector.open().await.unwrap();
    let reading = dump.transaction().await.unwrap();
    reading.execute("select * from dedup", &[]).await.unwrap();
    let later = UnixMs::new(now().get() + 60 * DAY_MS);

    dedup::keep_days(&base.pool, later, WINDOW_DAYS).await.unwrap();

    let last = later.day() + limits::PARTITIONS_AHEAD_DAYS;
    let all = days(&base).await;
    assert!(all.contains(&last) && all.contains(&now().day()), "{all:?}");
    reading.commit().await.unwrap();
    dedup::keep_days(&base.pool, later, WINDOW_DAYS).await.unwrap();
    assert!(!days(&base).await.contains(&now().day()));
    base.postgres.stop().await;
}
