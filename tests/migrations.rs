//! The migrations on an empty database, side by side, and on one that knows more than we do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use common::postgres::Postgres;
use rookery::store::StoreError;
use rookery::store::connect::{Connector, MessageLoss};
use rookery::store::migrate;

#[tokio::test]
async fn nodes_that_start_together_migrate_once_and_a_newer_database_is_refused() {
    let postgres = Postgres::start(&[]).await;
    let connector =
        Connector::from_url(&postgres.url(), "rookery:test", MessageLoss::Refuse).unwrap();
    let (mut first, mut second) =
        (connector.open().await.unwrap(), connector.open().await.unwrap());

    let (one, two) = tokio::join!(migrate::run(&mut first), migrate::run(&mut second));

    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.is_empty() != two.is_empty(), "{one:?} {two:?}");
    assert!(migrate::run(&mut first).await.unwrap().is_empty());

    let newer = "insert into refinery_schema_history (version, name, applied_on, checksum)
        values (9999, 'from_the_future', '2030-01-01T00:00:00Z', '1')";
    first.batch_execute(newer).await.unwrap();
    let refused = migrate::run(&mut first).await.unwrap_err();

    assert!(matches!(refused, StoreError::Unfit { .. }));
    assert!(refused.to_string().contains("newer rookery"), "{refused}");
    // The lock is let go in every case, or this would wait for ever.
    assert!(migrate::run(&mut second).await.is_err());
    postgres.stop().await;
}
