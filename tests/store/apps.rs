//! Apps: what they have set, their system user, and the keys that sign their tokens.

use rookery::domain::login_policy::{LoginPolicy, Mode, OnConflict};
use rookery::ids::{AppId, Platform};
use rookery::limits;
use rookery::store::logins::Standing;
use rookery::store::{apps, users};

use super::base::{Base, id};

#[tokio::test]
async fn what_an_app_has_set_is_read_as_it_was_written() {
    let base = Base::start().await;
    let (pool, app) = (&base.pool, AppId::DEFAULT);
    let fresh = apps::settings(pool).await.unwrap();
    let [settings] = &fresh[..] else { panic!("{fresh:?}") };
    assert_eq!((settings.app, settings.policy), (app, LoginPolicy::default()));
    assert_eq!(settings.read_receipts, None);
    let system = users::find(pool, app, &id("system")).await.unwrap().unwrap();
    assert!(system.system);
    assert_eq!(settings.system, system.no);

    let mut last = settings.policy_no;
    for mode in Mode::ALL {
        for on_conflict in OnConflict::ALL {
            let mut policy = LoginPolicy { mode, on_conflict, ..LoginPolicy::default() };
            for (n, platform) in Platform::ALL.into_iter().enumerate() {
                policy.caps = policy.caps.with(platform, limits::SESSIONS_PER_USER - n).unwrap();
            }
            assert!(apps::set_policy(pool, app, &policy).await.unwrap());
            let facts = base.facts("alice").await;
            assert_eq!(facts.policy, policy);
            assert!(facts.policy_no > last);
            last = facts.policy_no;
        }
    }
    for on in [true, false] {
        assert!(apps::set_read_receipts(pool, app, on).await.unwrap());
        assert_eq!(apps::settings(pool).await.unwrap()[0].read_receipts, Some(on));
    }
    let nowhere = AppId::new(77).unwrap();
    assert!(!apps::set_policy(pool, nowhere, &LoginPolicy::default()).await.unwrap());
    assert!(!apps::set_read_receipts(pool, nowhere, true).await.unwrap());
    base.postgres.stop().await;
}

#[tokio::test]
async fn an_app_is_made_once_with_one_system_user_whoever_comes_first() {
    let base = Base::start().await;

    let again = tokio::join!(
        apps::ensure_default(&base.pool, "other"),
        apps::ensure_default(&base.pool, "another"),
    );

    assert_eq!(again, (Ok(()), Ok(())));
    assert_eq!(apps::keys(&base.pool, AppId::DEFAULT).await.unwrap(), ["secret"]);
    assert_eq!(base.count("select count(*) from users").await, 1);
    assert_eq!(base.facts("system").await.standing, Standing::System);
    base.postgres.stop().await;
}

#[tokio::test]
async fn users_are_made_once_and_it_is_said_when() {
    let base = Base::start().await;
    let create = async || users::create(&base.pool, AppId::DEFAULT, &id("alice")).await.unwrap();

    let (one, other, third) = tokio::join!(create(), create(), create());

    assert_eq!((one.0, other.0), (other.0, third.0));
    assert_eq!([one.1, other.1, third.1].iter().filter(|made| **made).count(), 1);
    assert!(!one.0.deactivated && !one.0.online && !one.0.system);
    assert!(users::create(&base.pool, AppId::new(77).unwrap(), &id("alice")).await.is_err());
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_rotated_key_stays_valid_for_its_time_and_never_more_than_one_beside_the_newest() {
    let base = Base::start().await;
    let (pool, app) = (&base.pool, AppId::DEFAULT);
    let rotate = async |secret, keep_s| apps::rotate_key(pool, app, secret, keep_s).await.unwrap();
    let keys = async || apps::keys(pool, app).await.unwrap();

    assert!(rotate("second", 1000).await);
    assert_eq!(keys().await, ["second", "secret"]);
    assert!(rotate("second", 0).await, "twice is once");
    assert_eq!(keys().await, ["second", "secret"]);
    assert!(rotate("third", 1000).await);
    assert_eq!(keys().await, ["third", "second"]);

    let client = base.connector.open().await.unwrap();
    let pass = "update app_keys set expires_at = expires_at - interval '1000 seconds'";
    client.batch_execute(pass).await.unwrap();
    assert_eq!(keys().await, ["third"]);

    assert!(rotate("fourth", 0).await);
    assert_eq!(keys().await, ["fourth"]);
    let (one, other) = tokio::join!(rotate("fifth", 1000), rotate("sixth", 1000));
    assert!(one && other);
    assert_eq!(keys().await.len(), 2);
    assert!(!apps::rotate_key(pool, AppId::new(77).unwrap(), "none", 0).await.unwrap());
    drop(client);
    base.postgres.stop().await;
}
