//! How connections are made and refused, and the migrations side by side and on a database that knows more than we do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::time::Duration;

use common::postgres::Postgres;
use rookery::store::StoreError;
use rookery::store::connect::{self, Connector, MessageLoss};
use rookery::store::migrate;
use tokio_postgres::types::ToSql;

fn connector(postgres: &Postgres, loss: MessageLoss) -> Connector {
    Connector::from_url(&postgres.url(), "rookery:7:1", loss).unwrap()
}

#[tokio::test]
async fn each_connection_is_bounded_and_says_whose_it_is() {
    let postgres = Postgres::start(&[]).await;
    let connector = connector(&postgres, MessageLoss::Refuse);
    let alone = connector.open().await.unwrap();
    let pool = connector.pool(1).unwrap();
    let pooled = pool.get().await.unwrap();

    for client in [&alone, &**pooled] {
        let row = client
            .query_one(
                "select current_setting('lock_timeout'), current_setting('statement_timeout'),
                    current_setting('application_name')",
                &[],
            )
            .await
            .unwrap();

        assert_eq!(row.get::<_, &str>(0), "2s");
        assert_eq!(row.get::<_, &str>(1), "5s");
        assert_eq!(row.get::<_, &str>(2), "rookery:7:1");
    }
    postgres.stop().await;
}

#[tokio::test]
async fn a_pool_hands_out_no_connection_to_a_server_that_may_lose_messages() {
    let postgres = Postgres::start(&["fsync=off"]).await;

    let refused = connector(&postgres, MessageLoss::Refuse).pool(1).unwrap().get().await;
    let accepted = connector(&postgres, MessageLoss::Accept).pool(1).unwrap().get().await;

    let error = connect::of_pool(&refused.unwrap_err());
    assert!(matches!(error, StoreError::Unavailable { .. }));
    assert!(error.to_string().contains("fsync"), "{error}");
    drop(accepted.unwrap());
    postgres.stop().await;
}

#[tokio::test]
async fn what_a_failure_means_depends_on_whether_something_may_have_been_written() {
    let postgres = Postgres::start(&[]).await;
    let connector = connector(&postgres, MessageLoss::Refuse);
    let client = connector.open().await.unwrap();
    let waited = Duration::from_millis(1);

    let wrong = client.batch_execute("select 1 / 0").await.unwrap_err();
    let cancelled =
        client.batch_execute("set statement_timeout = 1; select pg_sleep(60)").await.unwrap_err();
    let other = connector.open().await.unwrap();
    let pid: i32 = other.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let params: [&(dyn ToSql + Sync); 1] = [&pid];
    let (ended, _) = tokio::join!(
        other.batch_execute("select pg_sleep(60)"),
        client.execute("select pg_terminate_backend($1)", &params)
    );
    let ended = ended.unwrap_err();
    let closed = other.batch_execute("select 1").await.unwrap_err();

    assert!(matches!(StoreError::of_write(&wrong, waited), StoreError::Refused { .. }));
    assert!(matches!(StoreError::of_write(&cancelled, waited), StoreError::Unavailable { .. }));
    for broken in [&ended, &closed] {
        assert_eq!(StoreError::of_write(broken, waited), StoreError::Unknown { waited });
        assert!(matches!(StoreError::of_read(broken), StoreError::Unavailable { .. }));
    }
    postgres.stop().await;
}

#[tokio::test]
async fn nodes_that_start_together_migrate_once_and_a_newer_database_is_refused() {
    let postgres = Postgres::start(&[]).await;
    let connector = connector(&postgres, MessageLoss::Refuse);
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
