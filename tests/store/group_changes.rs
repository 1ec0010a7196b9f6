//! Changes of groups: the notice and what it tells of are there together or not at all.

use rookery::domain::policy::{Kind, Role};
use rookery::ids::{AppId, ConversationNo, GroupId, Incarnation, Seq, Shard, UserNo};
use rookery::limits;
use rookery::store::group_changes::{GroupChanged, NewGroup};
use rookery::store::groups::{self, GroupRow};
use rookery::store::members::{self, Membership};
use rookery::store::{StoreError, shards};

use super::base::{Base, NODE, id};
use super::group_base::{Change, Group, own_all_shards, stored};

async fn info(base: &Base, group: &Group, reader: UserNo) -> GroupRow {
    groups::info(&base.pool, AppId::DEFAULT, &group.id, reader).await.unwrap().unwrap()
}

async fn membership(base: &Base, group: &Group, user: UserNo) -> Option<Membership> {
    info(base, group, user).await.membership
}

async fn names(base: &Base, group: &Group) -> Vec<String> {
    let page = members::page(&base.pool, group.no, UserNo::from_store(0), 200).await.unwrap();
    page.iter().map(|member| member.user.to_string()).collect()
}

fn member(join: u64, left: Option<u64>, min: u64) -> Membership {
    Membership {
        role: Role::Member,
        join_seq: Seq::new(join),
        left_seq: left.map(Seq::new),
        min_seq: Seq::new(min),
    }
}

/// Users by the hundred, without the ceremony of logins.
async fn many(base: &Base, count: i64) -> Vec<UserNo> {
    let client = base.connector.open().await.unwrap();
    let sql =
        "insert into users (app, id) select 1, 'many' || n from generate_series(1, $1::bigint) as n
        returning user_no";
    let rows = client.query(sql, &[&count]).await.unwrap();
    rows.iter().map(|row| UserNo::from_store(row.get(0))).collect()
}

/// What the store has of groups, in short.
async fn everything(base: &Base) -> String {
    let all = "select md5(string_agg(t, '|' order by t)) from (
        select g::text from groups g union all select m::text from group_members m union all select h::text from group_heads h
        union all select c::text from group_cursors c union all select e::text from group_messages e
        union all select d::text from dedup d) as t (t)";
    base.connector.open().await.unwrap().query_one(all, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_group_lives_from_its_making_to_its_end_and_each_step_is_one_notice() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let (carol, dave) = (base.user("carol").await, base.user("dave").await);
    let writer = base.writer(0).await;

    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[bob]).await;
    let made = info(&base, &group, alice).await;
    assert_eq!((made.owner, made.members, made.head.get()), (Some(id("alice")), 2, 1));
    let owner = Membership { role: Role::Owner, ..member(1, None, 1) };
    assert_eq!(made.membership, Some(owner));
    assert_eq!(membership(&base, &group, bob).await, Some(member(1, None, 1)));
    assert_eq!(membership(&base, &group, carol).await, None);

    stored(&writer, &[group.post(&base, alice)]).await;
    let invite = Change { add: &[carol, dave], ..Change::by(bob) };
    assert_eq!(group.change(&base, &writer, invite).await, GroupChanged::Stored);
    assert_eq!(membership(&base, &group, carol).await, Some(member(3, None, 3)));
    assert_eq!(names(&base, &group).await, ["alice", "bob", "carol", "dave"]);

    let remove = Change { remove: &[bob, carol], ..Change::by(alice) };
    assert_eq!(group.change(&base, &writer, remove).await, GroupChanged::Stored);
    assert_eq!(membership(&base, &group, bob).await, Some(member(1, Some(4), 1)));
    let again = Change { add: &[bob], name: Some("Engineers"), ..Change::by(alice) };
    assert_eq!(group.change(&base, &writer, again).await, GroupChanged::Stored);
    assert_eq!(membership(&base, &group, bob).await, Some(member(5, None, 5)));

    let leave = Change { remove: &[alice], owner: Some(dave), ..Change::by(alice) };
    assert_eq!(group.change(&base, &writer, leave).await, GroupChanged::Stored);
    let left = info(&base, &group, alice).await;
    assert_eq!((left.owner, left.name.as_str()), (Some(id("dave")), "Engineers"));
    assert_eq!(left.membership, Some(member(1, Some(6), 1)), "a role ends with its membership");
    let follower = membership(&base, &group, dave).await.unwrap();
    assert_eq!((follower.role, follower.join_seq.get()), (Role::Owner, 3));
    let handed = Change { owner: Some(bob), ..Change::by(dave) };
    assert_eq!(group.change(&base, &writer, handed).await, GroupChanged::Stored);
    assert_eq!(membership(&base, &group, dave).await.unwrap().role, Role::Member);

    let end = Change { dissolve: true, ..Change::by(bob) };
    assert_eq!(group.change(&base, &writer, end).await, GroupChanged::Stored);
    let ended = info(&base, &group, bob).await;
    assert_eq!((ended.owner, ended.members, ended.dissolved), (None, 0, Some(Seq::new(8))));
    assert_eq!(ended.membership, Some(member(5, Some(8), 5)));
    let late = Change { add: &[carol], ..Change::by(bob) };
    assert_eq!(group.change(&base, &writer, late).await, GroupChanged::Moved);
    assert_eq!(base.count("select version from groups").await, 8 - 1, "one message is no change");
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn history_before_joining_is_hidden_or_shown_as_the_caller_says() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "open", Kind::Meeting, alice, &[]).await;
    stored(&writer, &[group.post(&base, alice)]).await;

    let join = Change { add: &[bob], ..Change::by(bob) };
    assert_eq!(group.change(&base, &writer, join).await, GroupChanged::Stored);

    let seen = info(&base, &group, bob).await;
    assert_eq!(seen.membership, Some(member(3, None, 1)));
    let window = seen.window().unwrap();
    assert_eq!((window.from.get(), window.to.get()), (1, 3));
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_change_on_a_wrong_belief_writes_nothing() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let carol = base.user("carol").await;
    let former = base.writer(0).await;
    let group = Group::create(&base, &former, "eng", Kind::Work, alice, &[bob]).await;
    let writer = base.writer(0).await;
    let before = everything(&base).await;

    let add = Change { add: &[carol], ..Change::by(alice) };
    assert_eq!(group.clone().change(&base, &former, add).await, GroupChanged::Fenced);
    let (mut ahead, mut behind, mut stale) = (group.clone(), group.clone(), group.clone());
    ahead.head += 1;
    behind.head -= 1;
    stale.epoch = rookery::ids::ShardEpoch::from_store(group.epoch.get() - 1);
    for mut wrong in [ahead, behind, stale] {
        assert_eq!(wrong.change(&base, &writer, add).await, GroupChanged::Moved);
    }
    for wrong in [
        Change { add: &[carol, bob], ..Change::by(alice) },
        Change { remove: &[bob, carol], ..Change::by(alice) },
        Change { owner: Some(carol), ..Change::by(alice) },
    ] {
        let outcome = group.clone().change(&base, &writer, wrong).await;
        assert_eq!(outcome, GroupChanged::Moved, "the members are others");
    }

    assert_eq!(everything(&base).await, before);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_change_that_fails_at_its_last_row_leaves_no_other() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let carol = base.user("carol").await;
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[bob]).await;
    let before = everything(&base).await;
    let client = base.connector.open().await.unwrap();
    // What is written last refuses.
    let refuse = "alter table groups add constraint test check (version < 2) not valid";
    client.batch_execute(refuse).await.unwrap();

    for change in [
        Change { add: &[carol], remove: &[bob], name: Some("Other"), ..Change::by(alice) },
        Change { remove: &[alice], owner: Some(bob), ..Change::by(alice) },
        Change { dissolve: true, ..Change::by(alice) },
    ] {
        let refused = group.try_change(&base, &writer, change).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    }

    assert_eq!(everything(&base).await, before);
    client.batch_execute("alter table groups drop constraint test").await.unwrap();
    let add = Change { add: &[carol], ..Change::by(alice) };
    assert_eq!(group.change(&base, &writer, add).await, GroupChanged::Stored);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_claim_of_a_shard_waits_for_the_change_in_flight() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[]).await;
    let mut other = base.connector.open().await.unwrap();
    let holder = other.transaction().await.unwrap();
    holder.execute("select 1 from users for update", &[]).await.unwrap();
    let claimer = base.connector.open().await.unwrap();

    let add = Change { add: &[bob], ..Change::by(alice) };
    let (outcome, seen, ()) = tokio::join!(
        group.change(&base, &writer, add),
        async {
            base.await_lock_waits(1).await;
            shards::claim_own(&claimer, NODE, Incarnation::from_store(2)).await.unwrap();
            base.count("select count(*) from group_members").await
        },
        async {
            base.await_lock_waits(2).await;
            holder.commit().await.unwrap();
        }
    );

    assert_eq!((outcome, seen), (GroupChanged::Stored, 2), "seen by whoever has claimed");
    let end = Change { dissolve: true, ..Change::by(alice) };
    assert_eq!(group.change(&base, &writer, end).await, GroupChanged::Moved);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn an_owner_whose_shard_was_claimed_changes_nothing_not_even_when_it_waited_for_the_claim() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[]).await;
    let mut claimer = base.connector.open().await.unwrap();
    let claim = claimer.transaction().await.unwrap();
    let forged = "update shard_owner set epoch = epoch + 1, node = 99 where shard = $1";
    claim.execute(forged, &[&Shard::of(group.no).to_store()]).await.unwrap();

    let add = Change { add: &[bob], ..Change::by(alice) };
    let (outcome, ()) = tokio::join!(group.change(&base, &writer, add), async {
        base.await_lock_waits(1).await;
        claim.commit().await.unwrap();
    });

    assert_eq!(outcome, GroupChanged::Moved);
    let end = Change { dissolve: true, ..Change::by(alice) };
    assert_eq!(group.change(&base, &writer, end).await, GroupChanged::Moved);
    assert_eq!(membership(&base, &group, bob).await, None);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn of_two_that_make_a_group_of_one_id_at_once_one_does_and_the_other_finds_it_taken() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let (first, second) = (base.writer(0).await, base.writer(1).await);

    for n in 0..30 {
        let name = GroupId::parse(&format!("g{n}")).unwrap();
        let make = async |writer, by| {
            let mut group = Group::new(&base, name.as_str(), Kind::Work).await;
            let new =
                NewGroup { app: AppId::DEFAULT, id: &name, kind: Kind::Work, name: "A group" };
            group.change(&base, writer, Change { create: Some(new), ..Change::by(by) }).await
        };
        let (one, other) = tokio::join!(make(&first, alice), make(&second, bob));

        let outcomes = [one, other];
        assert!(outcomes.contains(&GroupChanged::Stored), "{outcomes:?}");
        assert!(outcomes.contains(&GroupChanged::Taken), "{outcomes:?}");
        assert_eq!(make(&first, alice).await, GroupChanged::Taken);
    }

    assert_eq!(base.count("select count(*) from groups").await, 30);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_group_that_is_made_again_under_its_number_is_not_made_twice() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let writer = base.writer(0).await;
    let mut group = Group::new(&base, "eng", Kind::Work).await;
    let name = group.id.clone();
    let new = NewGroup { app: AppId::DEFAULT, id: &name, kind: Kind::Work, name: "A group" };
    let make = Change { create: Some(new), ..Change::by(alice) };
    let mut retry = group.clone();

    assert_eq!(group.change(&base, &writer, make).await, GroupChanged::Stored);
    assert_eq!(retry.change(&base, &writer, make).await, GroupChanged::Moved);

    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn nobody_is_in_more_groups_than_one_may_be_in_even_when_two_take_them_in_at_once() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let (first, second) = (base.writer(0).await, base.writer(1).await);
    let mut one = Group::create(&base, &first, "one", Kind::Work, alice, &[]).await;
    let mut other = Group::create(&base, &second, "other", Kind::Work, alice, &[]).await;
    let client = base.connector.open().await.unwrap();
    // Bob is in all groups but one that he may be in.
    let filled = "with made as (
            insert into groups (conversation_no, app, id, kind, name, owner_no, members, version)
            select nextval('conversation_numbers'), 1, 'f' || n, 'work', 'f', $1, 1, 1 from generate_series(1, $2::bigint) as n
            returning conversation_no
        ), heads as (
            insert into group_heads select conversation_no, 0, 0, 0 from made
        )
        insert into group_members (conversation_no, user_no, role, join_seq, min_seq)
        select conversation_no, $1, 20, 1, 1 from made";
    let most = limits::GROUPS_PER_USER as i64;
    client.execute(filled, &[&bob.get(), &(most - 1)]).await.unwrap();

    let add = Change { add: &[bob], ..Change::by(alice) };
    let (here, there) =
        tokio::join!(one.change(&base, &first, add), other.change(&base, &second, add));

    let full = GroupChanged::TooManyGroups { users: vec![bob] };
    let outcomes = [here, there];
    assert!(outcomes.contains(&GroupChanged::Stored) && outcomes.contains(&full), "{outcomes:?}");
    let groups_of_bob = groups::of_user(&base.pool, bob).await.unwrap();
    assert_eq!(groups_of_bob.len() as i64, most);
    let name = GroupId::parse("own").unwrap();
    let new = NewGroup { app: AppId::DEFAULT, id: &name, kind: Kind::Work, name: "Bob's" };
    let make = Change { create: Some(new), add: &[alice], ..Change::by(bob) };
    let mut own = Group::new(&base, "own", Kind::Work).await;
    assert_eq!(own.change(&base, &first, make).await, full);
    let nothing = groups::load(&base.pool, AppId::DEFAULT, &name).await.unwrap();
    assert_eq!(nothing, None);
    base.postgres.stop().await;
}

#[tokio::test]
async fn six_thousand_come_in_sixty_changes_and_go_in_one() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let users = many(&base, 5_999).await;
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "big", Kind::Work, alice, &users[..99]).await;
    for hundred in users[99..].chunks(limits::GROUP_USERS) {
        let invite = Change { add: hundred, ..Change::by(alice) };
        assert_eq!(group.change(&base, &writer, invite).await, GroupChanged::Stored);
    }
    let full = info(&base, &group, alice).await;
    assert_eq!((full.members, full.head.get()), (limits::GROUP_MEMBERS, 60));
    let mut seen = 0;
    let mut after = UserNo::from_store(0);
    loop {
        let page = members::page(&base.pool, group.no, after, limits::PAGE_MAX).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.windows(2).all(|two| two[0].no < two[1].no));
        after = last.no;
        seen += page.len();
    }
    assert_eq!(seen, 6_000);
    assert_eq!(base.broken().await, []);

    let end = Change { dissolve: true, ..Change::by(alice) };
    assert_eq!(group.change(&base, &writer, end).await, GroupChanged::Stored);

    assert_eq!(info(&base, &group, users[5_000]).await.members, 0);
    let gone = "select count(*) from group_members where left_seq = 61";
    assert_eq!(base.count(gone).await, 6_000);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn what_a_change_is_judged_by_is_read_in_one_go() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let (carol, dave) = (base.user("carol").await, base.user("dave").await);
    base.user("erin").await;
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, dave, &[]).await;
    for change in [
        Change { add: &[carol], ..Change::by(dave) },
        Change { add: &[alice, bob], ..Change::by(dave) },
        Change { remove: &[carol], ..Change::by(dave) },
        Change { add: &[carol], ..Change::by(dave) },
        Change { remove: &[bob], ..Change::by(dave) },
    ] {
        assert_eq!(group.change(&base, &writer, change).await, GroupChanged::Stored);
    }
    let targets = ["nobody", "bob", "erin", "carol"].map(id);
    let facts = async |group, caller| {
        members::facts(&base.pool, AppId::DEFAULT, group, caller, &targets).await.unwrap()
    };

    let judged = facts(group.no, dave).await.unwrap();

    assert_eq!((judged.head.get(), judged.members), (6, 3));
    assert_eq!(judged.caller.map(|membership| membership.role), Some(Role::Owner));
    assert_eq!(judged.senior, Some((alice, id("alice"))));
    let seen: Vec<_> = judged
        .targets
        .iter()
        .map(|target| (target.id.to_string(), target.no.is_some(), target.membership))
        .collect();
    assert_eq!(
        seen,
        [
            ("nobody".to_owned(), false, None),
            ("bob".to_owned(), true, Some(member(3, Some(6), 3))),
            ("erin".to_owned(), true, None),
            ("carol".to_owned(), true, Some(member(5, None, 5))),
        ]
    );
    assert_eq!(facts(group.no, alice).await.unwrap().senior, Some((dave, id("dave"))));
    assert_eq!(facts(ConversationNo::from_store(99), dave).await, None);
    base.postgres.stop().await;
}
