//! A database of an earlier version is brought up to the present with all that is in it.

use rookery::domain::login_policy::LoginPolicy;
use rookery::domain::policy::Kind;
use rookery::ids::{AppId, ConversationNo, InboxSeq, Incarnation, Seq, UserNo};
use rookery::store::connect::{Connector, MessageLoss};
use rookery::store::conversations::{self, ListPlace, Listed};
use rookery::store::logins::Standing;
use rookery::store::{apps, dedup, groups, inbox, migrate, nodes};

use super::base::{Base, NODE, WINDOW_DAYS, now, stored as stored_pairs};
use super::common::postgres::Postgres;
use super::group_base::{Group, own_shards_as, stored};

mod embedded {
    refinery::embed_migrations!("sql/migrations");
}

#[tokio::test]
async fn groups_come_to_a_database_that_has_users_pairs_and_messages() {
    let postgres = Postgres::start(&[]).await;
    let connector =
        Connector::from_url(&postgres.url(), "rookery:7:1", MessageLoss::Refuse).unwrap();
    let mut client = connector.open().await.unwrap();
    let first = refinery::Target::Version(1);
    embedded::migrations::runner().set_target(first).run_async(&mut client).await.unwrap();
    dedup::keep_days(&connector.pool(1).unwrap(), now(), WINDOW_DAYS).await.unwrap();
    client.batch_execute(include_str!("first_version.sql")).await.unwrap();
    let everything = "select md5(string_agg(t, '|' order by t)) from (
        select (user_no, app, id, login_no, not_before_s, created_at)::text from users where id <> 'system' union all select m::text from pair_messages m union all select h::text from pair_heads h
        union all select c::text from pair_cursors c union all select i::text from inbox i
        union all select d::text from dedup d) as t (t)";
    let before: String = client.query_one(everything, &[]).await.unwrap().get(0);

    let applied = migrate::run(&mut client).await.unwrap();

    assert_eq!(applied[0], "V2__groups");
    assert_eq!(client.query_one(everything, &[]).await.unwrap().get::<_, String>(0), before);
    drop(client);
    let base = Base::on(postgres).await;
    assert_eq!(base.broken().await, []);

    // The node goes on, and so do the pair and its numbers.
    assert_eq!(nodes::join(&base.pool, NODE).await.unwrap().incarnation.get(), 4);
    own_shards_as(&base, NODE, 4).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    assert_eq!((alice, bob), (UserNo::from_store(1), UserNo::from_store(2)));
    let writer = base.writer(0).await;
    let pair = base.pair(alice, "bob").await;
    stored_pairs(&writer, &[base.row(alice, pair)]).await;
    let entries = inbox::page(&base.pool, bob, InboxSeq::ZERO, 9, 9999).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.seq.get()).collect::<Vec<_>>(), [1, 2, 3]);
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[bob]).await;
    assert!(group.no > ConversationNo::from_store(1), "one sequence numbers both");
    stored(&writer, &[group.post(&base, alice)]).await;
    let state = groups::load(&base.pool, AppId::DEFAULT, &group.id).await.unwrap().unwrap();
    assert_eq!(state.owner_of_shard.unwrap().incarnation, Incarnation::from_store(4));
    let listed = conversations::list(&base.pool, bob, ListPlace::START, 9).await.unwrap();
    let [Listed::Group(eng), Listed::Pair(with_alice)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((eng.unread, with_alice.unread, with_alice.read), (1, 1, Seq::new(1)));
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn devices_and_the_system_user_come_to_a_database_that_has_users_and_sessions() {
    let postgres = Postgres::start(&[]).await;
    let connector =
        Connector::from_url(&postgres.url(), "rookery:7:1", MessageLoss::Refuse).unwrap();
    let mut client = connector.open().await.unwrap();
    let second = refinery::Target::Version(2);
    embedded::migrations::runner().set_target(second).run_async(&mut client).await.unwrap();
    dedup::keep_days(&connector.pool(1).unwrap(), now(), WINDOW_DAYS).await.unwrap();
    client.batch_execute(include_str!("first_version.sql")).await.unwrap();
    client.batch_execute(include_str!("second_version.sql")).await.unwrap();
    drop(client);

    let base = Base::on(postgres).await;

    let settings = apps::settings(&base.pool).await.unwrap();
    assert_eq!(settings.len(), 1);
    assert_eq!(settings[0].policy, LoginPolicy::default());
    assert_eq!(settings[0].system, UserNo::from_store(3), "who has the name is it");
    assert_eq!(base.facts("system").await.standing, Standing::System);
    let alice = base.facts("alice").await;
    let kept: Vec<i64> = alice.known.iter().map(|known| known.login_no.get()).collect();
    let expected: Vec<i64> = [1].into_iter().chain((32..=130).rev()).collect();
    assert_eq!(kept, expected, "who is in, and those that were in last");
    assert_eq!(base.count("select count(*) from user_sessions").await, 100);
    let (_, login_no) = base.login("alice", "tab1").await;
    assert_eq!(login_no.get(), 131);
    assert!(apps::rotate_key(&base.pool, AppId::DEFAULT, "next", 9).await.unwrap());
    assert_eq!(apps::keys(&base.pool, AppId::DEFAULT).await.unwrap(), ["next", "secret"]);
    base.postgres.stop().await;
}
