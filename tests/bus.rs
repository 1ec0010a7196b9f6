//! Letters between nodes, over a real PostgreSQL and a real Redis, while these go away and come back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use common::redis::Redis;

#[tokio::test]
async fn a_redis_of_the_tests_goes_away_in_every_way_and_comes_back() {
    let mut redis = Redis::start().await;
    assert_eq!(redis.ask("SET a 1").await, "+OK");

    redis.set_max_memory(1).await;
    assert!(redis.ask("SET b 1").await.starts_with("-OOM"));
    redis.set_max_memory(0).await;
    redis.flush().await;
    assert_eq!(redis.ask("GET a").await, "$-1");
    redis.kill().await;
    redis.start_again().await;
    redis.pause();
    redis.resume();

    assert_eq!(redis.ask("SET a 1").await, "+OK");
}
