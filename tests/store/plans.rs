//! The hot statements touch what they are about and nothing else, whatever the planner knew when they were prepared.

use deadpool_postgres::Pool;
use rookery::domain::login_policy::EndedBy;
use rookery::domain::policy::Kind;
use rookery::domain::presence::SeenTo;
use rookery::ids::{
    AppId, ConversationNo, DeviceId, InboxSeq, Incarnation, Platform, Seq, UserId, UserNo,
};
use rookery::store::cursors::{CursorKey, CursorWriter, Cursors};
use rookery::store::group_appends::GroupKey;
use rookery::store::group_changes::GroupChanged;
use rookery::store::groups::{self, Window};
use rookery::store::logins::{self, Ask, Entered, Entering, Facts};
use rookery::store::pairs::{self, From};
use rookery::store::presence::Said;
use rookery::store::sessions::{self, Misfits, Which};
use rookery::store::writer::Writer;
use rookery::store::{conversations, friends, inbox, members, presence, users};

use super::base::{Base, NODE, device, entering, id, now, stored};
use super::group_base::{self, Change, Group, own_all_shards};

/// What PostgreSQL has counted of each table, once all others have ended: only then are their statistics complete.
async fn counted(base: &Base, column: &str) -> Vec<(String, i64)> {
    let others = "select count(*) from pg_stat_activity
        where backend_type = 'client backend' and pid <> pg_backend_pid()";
    while base.count(others).await > 0 {}
    let client = base.connector.open().await.unwrap();
    let counted = format!("select relname::text, {column} from pg_stat_user_tables order by 1");
    client.query(&counted, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Fills the tables with more than any statement is about.
async fn fill(base: &Base) {
    let client = base.connector.open().await.unwrap();
    // No statement of ours takes as long, but this one may.
    client.batch_execute("set statement_timeout = 0").await.unwrap();
    client.execute(include_str!("many.sql"), &[&now().day()]).await.unwrap();
}

/// Each statement about logins and sessions, on many users at once where it can.
async fn use_logins(pool: &Pool, names: &[UserId]) {
    let (node, incarnation, app) = (NODE, Incarnation::from_store(1), AppId::DEFAULT);
    let asks: Vec<Ask> = names.iter().map(|user| Ask { app, user: user.clone() }).collect();
    let facts: Vec<Facts> =
        logins::facts(pool, &asks).await.unwrap().into_iter().flatten().collect();
    let enter = async |ends: &[(Platform, DeviceId)]| {
        let asked = logins::facts(pool, &asks).await.unwrap();
        let all: Vec<Entering> = asked
            .iter()
            .flatten()
            .map(|facts| Entering {
                ends: ends.to_vec(),
                ..entering(facts, Platform::Web, &format!("tab{}", facts.login_no))
            })
            .collect();
        logins::enter(pool, node, incarnation, &all).await.unwrap()
    };
    enter(&[]).await;
    let entered = enter(&[(Platform::Web, device("tab"))]).await;
    for (facts, entered) in facts.iter().zip(&entered) {
        let Entered::In { login_no, .. } = entered else { panic!("{entered:?}") };
        let (user, last) = (facts.user, *login_no);
        let device = device("tab");
        sessions::renew_token(pool, user, last, now().get() / 1000).await.unwrap();
        sessions::stands(pool, user, last).await.unwrap();
        sessions::devices(pool, user, Some(last), 20).await.unwrap();
        sessions::over(pool, user, Platform::Web, &device, last).await.unwrap();
        let which = Which::Device { device: &device, platform: None };
        sessions::end(pool, user, which, EndedBy::Kick).await.unwrap();
        sessions::revoke(pool, user, 1).await.unwrap();
        sessions::set_deactivated(pool, user, false).await.unwrap();
    }
    let online = sessions::online(pool, app, facts[0].user, 20).await.unwrap();
    let misfits = online.iter().map(|one| Misfits {
        user: one.user,
        expected: one.login_no,
        devices: one.known.iter().skip(1).map(|it| (it.platform, it.device.clone())).collect(),
    });
    sessions::end_misfits(pool, &misfits.collect::<Vec<_>>()).await.unwrap();
    users::find(pool, app, &names[0]).await.unwrap();
    users::create(pool, app, &names[0]).await.unwrap();
}

/// Each statement that writes to groups, on all of them at once where it can.
async fn use_groups(
    base: &Base,
    writer: &Writer,
    raises: &CursorWriter,
    all: &mut [Group],
    owner: UserNo,
    other: UserNo,
) {
    let posts: Vec<_> = all.iter_mut().map(|group| group.post(base, owner)).collect();
    group_base::stored(writer, &posts).await;
    let sought: Vec<_> = posts
        .iter()
        .map(|post| GroupKey { group: post.group, sender: owner, key: post.key })
        .collect();
    assert_eq!(writer.find_groups(&sought).await.unwrap().len(), posts.len());
    let read: Vec<_> = all
        .iter()
        .map(|group| (CursorKey { owner, conversation: group.no }, Seq::new(group.head)))
        .collect();
    assert_eq!(raises.raise_groups(&read).await.unwrap().len(), read.len());
    for group in all {
        for change in [
            Change { add: &[other], ..Change::by(owner) },
            Change { name: Some("Other"), ..Change::by(owner) },
            Change { remove: &[other], ..Change::by(owner) },
        ] {
            assert_eq!(group.change(base, writer, change).await, GroupChanged::Stored);
        }
    }
}

#[tokio::test]
async fn the_hot_statements_read_no_table_from_end_to_end() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    let mut peers = Vec::new();
    let filler = base.writer(1).await;
    for n in 0..20 {
        let name = format!("peer{n}");
        base.user(&name).await;
        let pair = base.pair(alice, &name).await;
        let rows: Vec<_> = (0..20).map(|_| base.row(alice, pair)).collect();
        stored(&filler, &rows).await;
        peers.push((name, pair));
    }
    own_all_shards(&base).await;
    let mut groups_of_alice = Vec::new();
    for n in 0..20 {
        let name = format!("group{n}");
        let users: Vec<UserNo> = peers.iter().map(|(_, pair)| pair.peer).collect();
        groups_of_alice.push(Group::create(&base, &filler, &name, Kind::Work, alice, &users).await);
    }
    let spare = base.user("spare").await;
    fill(&base).await;
    let client = base.connector.open().await.unwrap();
    client.batch_execute("analyze").await.unwrap();
    drop((client, filler));
    base.pool.close();
    let mut before = counted(&base, "seq_scan").await;

    let pool = base.connector.pool(1).unwrap();
    let writer = base.writer(0).await;
    let raises = CursorWriter::new(base.connector.open().await.unwrap()).await.unwrap();
    // More than five times each: then a plan that fits all values may be made.
    for n in 0..groups_of_alice.len() {
        use_groups(&base, &writer, &raises, &mut groups_of_alice, alice, spare).await;
        let group = &groups_of_alice[n];
        let all = Window { from: Seq::new(1), to: Seq::new(50) };
        let (app, zero) = (AppId::DEFAULT, ConversationNo::from_store(0));
        groups::load(&pool, app, &group.id).await.unwrap();
        groups::sender(&pool, group.no, alice, base.key()).await.unwrap();
        groups::info(&pool, app, &group.id, alice).await.unwrap();
        groups::list(&pool, alice, zero, 20).await.unwrap();
        groups::of_user(&pool, alice).await.unwrap();
        groups::moved(&pool, app, alice, &[(&group.id, Seq::new(1))], zero, 20).await.unwrap();
        groups::history(&pool, group.no, all, From::Before(Seq::new(5)), 5, 9999).await.unwrap();
        groups::history(&pool, group.no, all, From::After(Seq::new(1)), 5, 9999).await.unwrap();
        let targets: Vec<_> = peers.iter().map(|(name, _)| id(name)).collect();
        members::facts(&pool, app, group.no, alice, &targets).await.unwrap();
        users::resolve(&pool, app, &targets).await.unwrap();
        use_logins(&pool, &targets).await;
        members::page(&pool, group.no, UserNo::from_store(0), 20).await.unwrap();
        let range = (Seq::ZERO, Seq::new(50));
        members::read_state(&pool, group.no, range, 50, 500).await.unwrap();
        conversations::list(&pool, alice, conversations::ListPlace::START, 20).await.unwrap();
    }
    for (name, pair) in &peers {
        let rows: Vec<_> = peers.iter().map(|(_, pair)| base.row(alice, *pair)).collect();
        stored(&writer, &rows).await;
        assert_eq!(writer.find(&rows, &[]).await.unwrap().len(), rows.len());
        let name = id(name);
        inbox::head(&pool, alice).await.unwrap();
        inbox::page(&pool, alice, InboxSeq::new(300), 50, 9999).await.unwrap();
        pairs::history(&pool, pair.no, From::Before(Seq::new(15)), 5, 9999).await.unwrap();
        pairs::history(&pool, pair.no, From::After(Seq::new(5)), 5, 9999).await.unwrap();
        pairs::state(&pool, alice, pair.no).await.unwrap();
        pairs::find(&pool, AppId::DEFAULT, alice, &name).await.unwrap();
        pairs::open(&pool, AppId::DEFAULT, alice, &name).await.unwrap();
        pairs::stored_send(&pool, pair.no, Seq::new(1), pair.peer).await.unwrap();
        conversations::page(&pool, alice, conversations::ListPlace::START, 20).await.unwrap();
        let key = CursorKey { owner: pair.peer, conversation: pair.no };
        raises.raise(&[(key, Cursors { read: Seq::new(9), ..Cursors::default() })]).await.unwrap();
    }
    drop((writer, raises));
    pool.close();

    let mut after = counted(&base, "seq_scan").await;
    for counts in [&mut before, &mut after] {
        // One page holds all of them.
        counts.retain(|(table, _)| table != "apps");
    }
    assert_eq!(after, before);
    base.postgres.stop().await;
}

#[tokio::test]
async fn the_statements_of_presence_read_no_table_from_end_to_end() {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    let client = base.connector.open().await.unwrap();
    client.batch_execute(include_str!("many_friends.sql")).await.unwrap();
    client.batch_execute("analyze").await.unwrap();
    drop(client);
    base.pool.close();
    let before = counted(&base, "seq_scan").await;

    let pool = base.connector.pool(1).unwrap();
    let names: Vec<_> = (1..=500).map(|n| id(&format!("friend{n}"))).collect();
    let found = users::resolve(&pool, AppId::DEFAULT, &names).await.unwrap();
    let users: Vec<UserNo> = found.into_iter().flatten().collect();
    assert_eq!(users.len(), names.len());
    // More than five times each: then a plan that fits all values may be made.
    for name in names.iter().take(10) {
        presence::by_id(&pool, AppId::DEFAULT, Some(alice), &names).await.unwrap();
        presence::by_id(&pool, AppId::DEFAULT, None, &names).await.unwrap();
        assert_eq!(presence::by_number(&pool, &users).await.unwrap().len(), users.len());
        let said = Said { status: None, seen_to: Some(SeenTo::Nobody) };
        let said: Vec<_> = users.iter().map(|user| (*user, said.clone())).collect();
        assert_eq!(presence::set(&pool, &said).await.unwrap().len(), users.len());
        let left: Vec<_> = users.iter().map(|user| (*user, now())).collect();
        presence::left(&pool, &left).await.unwrap();
        assert_eq!(friends::numbers(&pool, &users[..100]).await.unwrap().len(), 100);
        friends::add(&pool, AppId::DEFAULT, alice, name).await.unwrap();
        assert_eq!(friends::page(&pool, alice, "", 50).await.unwrap().len(), 1);
        friends::remove(&pool, alice, name).await.unwrap();
    }
    pool.close();

    let read: Vec<_> = counted(&base, "seq_scan").await;
    // The apps are so few that no index is worth a look.
    let of_many = |counted: Vec<(String, i64)>| -> Vec<(String, i64)> {
        counted.into_iter().filter(|(table, _)| table != "apps").collect()
    };
    assert_eq!(of_many(read), of_many(before));
    base.postgres.stop().await;
}

#[tokio::test]
async fn writers_that_were_opened_on_an_empty_database_read_no_table_from_end_to_end_when_it_has_grown()
 {
    let base = Base::start().await;
    let alice = base.user("alice").await;
    base.user("bob").await;
    let pair = base.pair(alice, "bob").await;
    let writer = base.writer(0).await;
    let raises = CursorWriter::new(base.connector.open().await.unwrap()).await.unwrap();
    let key = CursorKey { owner: pair.peer, conversation: pair.no };
    own_all_shards(&base).await;
    let (bob, carol) = (pair.peer, base.user("carol").await);
    let mut all = Vec::new();
    for n in 0..3 {
        let name = format!("group{n}");
        all.push(Group::create(&base, &writer, &name, Kind::Work, alice, &[bob]).await);
    }
    let mut write = async || {
        use_groups(&base, &writer, &raises, &mut all, alice, carol).await;
        let rows = [base.row(alice, pair), base.row(alice, pair)];
        stored(&writer, &rows).await;
        assert_eq!(writer.find(&rows, &[]).await.unwrap().len(), 2);
        raises.raise(&[(key, Cursors { read: Seq::new(9), ..Cursors::default() })]).await.unwrap();
    };
    for _ in 0..10 {
        write().await;
    }
    fill(&base).await;
    for _ in 0..10 {
        write().await;
    }
    drop((writer, raises));
    base.pool.close();

    // While a table is all but empty it may be read from end to end; once is enough to see it afterwards.
    let read: Vec<_> = counted(&base, "seq_tup_read").await;
    assert!(read.iter().all(|(_, rows)| *rows < 10_000), "{read:?}");
    // An index can be read from end to end, too. Those behind foreign keys were used by what filled the tables.
    let client = base.connector.open().await.unwrap();
    let read = "select indexrelname::text from pg_stat_user_indexes where idx_tup_read >= 20000
        and indexrelname not in ('users_pkey', 'apps_pkey', 'groups_pkey')";
    let read: Vec<String> =
        client.query(read, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(read, [] as [&str; 0]);
    drop(client);
    base.postgres.stop().await;
}

/// The plan of a statement that has to fit all values, as a journal's connection makes it.
async fn plan(base: &Base, sql: &str, parameters: usize) -> Vec<String> {
    let client = base.connector.open().await.unwrap();
    client.batch_execute(include_str!("../../sql/queries/writer_opened.sql")).await.unwrap();
    client.batch_execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    client.batch_execute(&format!("prepare planned as {sql}")).await.unwrap();
    let nulls = vec!["null"; parameters].join(", ");
    let explain = format!("explain (costs off) execute planned ({nulls})");
    let answers = client.simple_query(&explain).await.unwrap();
    let lines = answers.iter().filter_map(|answer| match answer {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    lines.collect()
}

#[tokio::test]
async fn an_append_to_groups_probes_indexes_and_scans_nothing() {
    let base = Base::start().await;
    let sql = include_str!("../../sql/queries/append_groups.sql");
    let fill = async |sql: &str| {
        base.connector.open().await.unwrap().batch_execute(sql).await.unwrap();
    };

    // On a database without groups, on one with a few that the planner knows of, and on one with many.
    for filled in [
        "select",
        "insert into group_heads select n, 0, 0, 0 from generate_series(1, 30) n;
         insert into shard_owner select n, 1, 7, 1 from generate_series(0, 1023) n;
         analyze",
        "insert into group_heads select n, 0, 0, 0 from generate_series(31, 50000) n; analyze",
    ] {
        fill(filled).await;
        let plan = plan(&base, sql, 19).await;

        let table_scans = plan
            .iter()
            .zip(plan.iter().skip(1))
            .filter(|(line, _)| line.contains("Scan using") || line.contains("Index Scan on"));
        let mut seen = 0;
        for (scan, next) in table_scans {
            assert!(next.trim().starts_with("Index Cond:"), "{scan} without a key:\n{plan:#?}");
            seen += 1;
        }
        assert!(seen >= 4, "writer, keys, shards and heads are looked up:\n{plan:#?}");
        assert!(!plan.iter().any(|line| line.contains("Seq Scan")), "{plan:#?}");
    }
    base.postgres.stop().await;
}
