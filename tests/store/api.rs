//! What the backends of apps bring along: API keys, and Idempotency-Keys.

use rookery::domain::api_key::ApiKey;
use rookery::ids::{ApiKeyId, AppId, Scope};
use rookery::limits;
use rookery::store::api_keys::{self, Created, NewApiKey};
use rookery::store::idempotency::{self, Begun, Claim, Keyed, KeyedSend};

use super::base::Base;

fn new_key(n: u64) -> NewApiKey {
    let key = ApiKey::mint(ApiKeyId::new(n), [n as u8; 32]);
    NewApiKey {
        app: AppId::DEFAULT,
        id: key.id(),
        name: format!("key {n}"),
        hash: key.hash(),
        scopes: vec![Scope::UsersRead, Scope::AppsWrite],
        valid_days: 2,
    }
}

#[tokio::test]
async fn an_app_has_so_many_keys_and_no_more_even_if_two_are_made_at_once() {
    let base = Base::start().await;
    let (pool, app) = (&base.pool, AppId::DEFAULT);
    let most = limits::API_KEYS as u64;
    let create = async |n| api_keys::create(pool, &new_key(n)).await.unwrap();
    for n in 1..most {
        assert_eq!(create(n).await, Created::Made);
    }

    let (one, other) = tokio::join!(create(most), create(most + 1));

    assert_ne!(one, other);
    assert_eq!(create(1).await, Created::Made, "twice is once");
    let listed = api_keys::list(pool, app).await.unwrap();
    assert_eq!(listed.len(), limits::API_KEYS);
    let found = api_keys::find(pool, ApiKeyId::new(7)).await.unwrap().unwrap();
    assert_eq!(&found, listed.iter().find(|key| key.id == ApiKeyId::new(7)).unwrap());
    let new = new_key(7);
    assert_eq!((found.app, found.hash, &found.name), (app, new.hash, &new.name));
    assert_eq!(found.scopes, new.scopes);
    assert_eq!(found.expires_at.since(found.created_at), 2 * 86_400_000);

    assert!(!api_keys::revoke(pool, AppId::new(2).unwrap(), new.id).await.unwrap());
    assert!(api_keys::revoke(pool, app, new.id).await.unwrap());
    assert!(!api_keys::revoke(pool, app, new.id).await.unwrap());
    assert_eq!(api_keys::find(pool, new.id).await.unwrap(), None);
    assert_eq!(create(99).await, Created::Made);
    base.postgres.stop().await;
}

fn keyed(key: &str, hash: u8) -> Keyed<'_> {
    Keyed { app: AppId::DEFAULT, key, hash: [hash; 32] }
}

async fn begun(base: &Base, key: &str, hash: u8) -> Begun {
    idempotency::begin(&base.pool, &keyed(key, hash)).await.unwrap()
}

async fn claimed(base: &Base, key: &str, hash: u8) -> Claim {
    match begun(base, key, hash).await {
        Begun::New(claim) => claim,
        other => panic!("{other:?}"),
    }
}

/// Lets time pass for all keys that there are.
async fn pass(base: &Base, seconds: u64) {
    let sql = "update idempotency_keys set begun_at = begun_at - make_interval(secs => $1)";
    let client = base.connector.open().await.unwrap();
    client.execute(sql, &[&(seconds as f64)]).await.unwrap();
}

#[tokio::test]
async fn a_request_is_done_once_and_answered_again_the_same() {
    let base = Base::start().await;
    let request = keyed("key", 1);

    let (one, other) = tokio::join!(begun(&base, "key", 1), begun(&base, "key", 1));
    let ((Begun::New(claim), Begun::Running) | (Begun::Running, Begun::New(claim))) = (one, other)
    else {
        panic!("one begins it")
    };
    assert_eq!(begun(&base, "key", 2).await, Begun::OtherRequest);
    idempotency::finish(&base.pool, &request, claim, (201, b"made")).await.unwrap();

    let done = Begun::Done { status: 201, body: b"made".to_vec() };
    assert_eq!(begun(&base, "key", 1).await, done);
    pass(&base, 2 * limits::IDEMPOTENCY_RUNS.as_secs()).await;
    assert_eq!(begun(&base, "key", 1).await, done);
    assert_eq!(begun(&base, "key", 2).await, Begun::OtherRequest);
    let elsewhere = Keyed { app: AppId::new(2).unwrap(), ..request };
    let elsewhere = idempotency::begin(&base.pool, &elsewhere).await.unwrap();
    assert!(matches!(elsewhere, Begun::New(_)), "keys are of one app");
    pass(&base, limits::IDEMPOTENCY_KEPT.as_secs()).await;
    claimed(&base, "key", 2).await;
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_request_that_was_lost_is_begun_again_and_answered_by_the_later_one() {
    let base = Base::start().await;
    let request = keyed("key", 1);
    let lost = claimed(&base, "key", 1).await;
    pass(&base, limits::IDEMPOTENCY_RUNS.as_secs() - 5).await;
    assert_eq!(begun(&base, "key", 1).await, Begun::Running);
    pass(&base, 5).await;
    assert_eq!(begun(&base, "key", 2).await, Begun::OtherRequest);

    let later = claimed(&base, "key", 1).await;

    for (claim, answer) in [(lost, "of the lost one"), (later, "of the later one")] {
        let answer = (200, answer.as_bytes());
        idempotency::finish(&base.pool, &request, claim, answer).await.unwrap();
    }
    idempotency::abandon(&base.pool, &request, later).await.unwrap();
    let Begun::Done { body, .. } = begun(&base, "key", 1).await else { panic!("not done") };
    assert_eq!(body, b"of the later one");

    let failed = claimed(&base, "other", 1).await;
    idempotency::abandon(&base.pool, &keyed("other", 1), failed).await.unwrap();
    claimed(&base, "other", 9).await;
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_send_has_one_id_for_as_long_as_its_key_is_kept() {
    let base = Base::start().await;
    let send = async |key, hash, fresh| {
        idempotency::begin_send(&base.pool, &keyed(key, hash), fresh).await.unwrap()
    };
    let first = base.key();
    assert_eq!(send("key", 1, first).await, KeyedSend::As(first));

    pass(&base, limits::IDEMPOTENCY_KEPT.as_secs() - 60).await;
    assert_eq!(send("key", 1, base.key()).await, KeyedSend::As(first));
    assert_eq!(send("key", 2, base.key()).await, KeyedSend::OtherRequest);
    assert_eq!(begun(&base, "key", 2).await, Begun::OtherRequest);

    pass(&base, 61).await;
    let next = base.key();
    assert_eq!(send("key", 2, next).await, KeyedSend::As(next));
    claimed(&base, "of another kind", 3).await;
    assert_eq!(send("of another kind", 3, base.key()).await, KeyedSend::OtherRequest);
    base.postgres.stop().await;
}

#[tokio::test]
async fn keys_of_the_past_are_swept_away_a_few_at_a_time() {
    let base = Base::start().await;
    let swept = limits::IDEMPOTENCY_SWEPT as i64;
    for n in 0..2 * swept + 1 {
        claimed(&base, &n.to_string(), 1).await;
    }
    pass(&base, limits::IDEMPOTENCY_KEPT.as_secs() + 1).await;
    let left = "select count(*) from idempotency_keys";

    claimed(&base, "fresh", 1).await;
    assert_eq!(base.count(left).await, swept + 2);
    tokio::join!(claimed(&base, "one more", 1), claimed(&base, "another", 1));
    assert_eq!(base.count(left).await, 3, "two at once sweep different ones");
    base.postgres.stop().await;
}
