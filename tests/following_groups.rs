//! The client library in groups: each entry once and in order, through absences, comings and goings.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use common::chat::{App, User, patience};
use common::node::Node;
use rookery::client::{Ended, Options, Position, TokenSource, Transport, Update};
use rookery::ids::{Conversation, GroupId, Seq, UserId};
use rookery::protocol::{Content, GroupCreate, GroupKind, GroupName, Message, NoticeAction};

fn id(group: &str) -> GroupId {
    GroupId::parse(group).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn conversation(group: &str) -> Conversation {
    Conversation::Group(id(group))
}

/// What an entry says, in a word: its text, or what happened to whom.
fn word(message: &Message) -> String {
    match &message.content {
        Content::Text { text } => text.clone(),
        Content::Notice(notice) => {
            let users: Vec<&str> = notice.users.iter().map(UserId::as_str).collect();
            format!("{:?} {}", notice.action, users.join(","))
        }
        other => panic!("{other:?}"),
    }
}

async fn create(by: &User, group: &str, kind: GroupKind, members: &[&str]) {
    let create = GroupCreate {
        group: Some(id(group)),
        kind,
        name: GroupName::parse(group).unwrap(),
        members: members.iter().copied().map(user).collect(),
    };
    patience("a group", by.client.create_group(&create)).await.unwrap();
}

async fn say(by: &User, group: &str, text: &str) -> Seq {
    patience("an ack", by.client.send_text(&conversation(group), text)).await.unwrap().seq
}

/// The next entry of a group, whoever sent it: its seq and its word.
async fn next_in(of: &mut User, group: &str) -> (u64, String) {
    let conversation = conversation(group);
    of.first("an entry of a group", |update| match update {
        Update::Received(message) | Update::Sent(message)
            if message.conversation == conversation =>
        {
            Some((message.seq.get(), word(message)))
        }
        _ => None,
    })
    .await
}

/// The last entry of a group that was left.
async fn left(of: &mut User, group: &str) -> u64 {
    of.first("the end of a group", |update| match update {
        Update::GroupLeft { group: own, last } if *own == id(group) => Some(last.get()),
        _ => None,
    })
    .await
}

/// The next updates, up to the one with this text.
async fn all_up_to(of: &mut User, text: &str) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    loop {
        let next = of
            .first("an entry", |update| match update {
                Update::Received(message) | Update::Sent(message) => {
                    Some((message.seq.get(), word(message)))
                }
                _ => None,
            })
            .await;
        let is_last = next.1 == text;
        found.push(next);
        if is_last {
            return found;
        }
    }
}

/// Leaves, and tells where.
async fn leave(user: User) -> Position {
    let position = user.client.status().position.unwrap();
    patience("a farewell", user.client.log_out()).await;
    position
}

async fn back_at(app: &App, name: &str, position: Position) -> User {
    let options = Options { position: Some(position), ..app.options(name, "main") };
    User::log_in(options).await
}

#[actix_web::test]
async fn members_see_one_order_from_their_own_notice_on() {
    let node = Node::start();
    let app = App::of(&node);
    let (mut alice, mut bob, mut carol) =
        (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    create(&alice, "eng", GroupKind::Work, &["bob"]).await;
    assert_eq!(next_in(&mut bob, "eng").await, (1, "Created alice,bob".to_owned()));

    for n in 0..20 {
        let (one, two) = (format!("a{n}"), format!("b{n}"));
        tokio::join!(say(&alice, "eng", &one), say(&bob, "eng", &two));
        if n == 10 {
            alice.client.invite(&id("eng"), vec![user("carol")]).await.unwrap();
        }
    }
    say(&alice, "eng", "end").await;

    let of_alice = all_up_to(&mut alice, "end").await;
    let mut of_bob = vec![(1, "Created alice,bob".to_owned())];
    of_bob.extend(all_up_to(&mut bob, "end").await);
    let of_carol = all_up_to(&mut carol, "end").await;
    assert_eq!(of_alice, of_bob);
    assert_eq!(
        of_alice.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        (1..=43).collect::<Vec<_>>()
    );
    assert_eq!(of_carol[0].1, "Added carol");
    assert_eq!(of_carol, of_alice[of_carol[0].0 as usize - 1..]);
}

#[actix_web::test]
async fn who_comes_back_gets_what_was_said_and_joined_and_left_meanwhile() {
    let node = Node::start();
    let app = App::of(&node);
    let (alice, mut bob) = (app.user("alice").await, app.user("bob").await);
    create(&alice, "old", GroupKind::Work, &["bob"]).await;
    create(&alice, "eng", GroupKind::Work, &["bob"]).await;
    next_in(&mut bob, "old").await;
    next_in(&mut bob, "eng").await;
    let position = leave(bob).await;
    assert_eq!(position.groups, [(id("eng"), Seq::new(1)), (id("old"), Seq::new(1))].into());

    for n in 2..=300 {
        alice
            .client
            .post(&conversation("eng"), Content::Text { text: n.to_string() })
            .await
            .unwrap();
    }
    assert_eq!(say(&alice, "eng", "301").await.get(), 301);
    create(&alice, "new", GroupKind::Work, &[]).await;
    say(&alice, "new", "before bob").await;
    alice.client.invite(&id("new"), vec![user("bob")]).await.unwrap();
    say(&alice, "new", "after").await;
    say(&alice, "old", "still").await;
    alice.client.remove(&id("old"), vec![user("bob")]).await.unwrap();
    say(&alice, "old", "without bob").await;
    let mut bob = back_at(&app, "bob", position).await;

    for n in 2..=301 {
        assert_eq!(next_in(&mut bob, "eng").await, (n, n.to_string()));
    }
    assert_eq!(next_in(&mut bob, "new").await, (3, "Added bob".to_owned()));
    assert_eq!(next_in(&mut bob, "new").await, (4, "after".to_owned()));
    assert_eq!(next_in(&mut bob, "old").await, (2, "still".to_owned()));
    assert_eq!(next_in(&mut bob, "old").await, (3, "Removed bob".to_owned()));
    assert_eq!(left(&mut bob, "old").await, 3);
    let position = leave(bob).await;
    assert_eq!(position.groups, [(id("eng"), Seq::new(301)), (id("new"), Seq::new(4))].into());
}

#[actix_web::test]
async fn who_was_out_and_is_in_again_is_told_from_the_new_notice_on() {
    let node = Node::start();
    let app = App::of(&node);
    let (alice, mut bob, mut carol) =
        (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    create(&alice, "eng", GroupKind::Work, &["bob", "carol"]).await;
    next_in(&mut bob, "eng").await;
    next_in(&mut carol, "eng").await;
    let position = leave(carol).await;

    bob.client.leave(&id("eng")).await.unwrap();
    assert_eq!(next_in(&mut bob, "eng").await, (2, "Left bob".to_owned()));
    assert_eq!(left(&mut bob, "eng").await, 2);
    alice.client.remove(&id("eng"), vec![user("carol")]).await.unwrap();
    say(&alice, "eng", "without them").await;
    alice.client.invite(&id("eng"), vec![user("bob"), user("carol")]).await.unwrap();
    say(&alice, "eng", "with them").await;

    let mut carol = back_at(&app, "carol", position).await;
    for member in [&mut bob, &mut carol] {
        assert_eq!(next_in(member, "eng").await, (5, "Added bob,carol".to_owned()));
        assert_eq!(next_in(member, "eng").await, (6, "with them".to_owned()));
    }
}

#[actix_web::test]
async fn a_new_device_begins_at_the_heads_and_a_meeting_ends_for_all() {
    let node = Node::start();
    let app = App::of(&node);
    let alice = app.user("alice").await;
    create(&alice, "m", GroupKind::Meeting, &[]).await;
    for n in 0..5 {
        say(&alice, "m", &n.to_string()).await;
    }

    let mut phone = app.device("alice", "phone").await;
    let mut bob = app.user("bob").await;
    bob.client.join(&id("m")).await.unwrap();
    say(&bob, "m", "hi").await;
    alice.client.dissolve(&id("m")).await.unwrap();

    assert_eq!(next_in(&mut phone, "m").await.1, "Joined bob");
    for member in [&mut phone, &mut bob] {
        let dissolved = member
            .first("the end", |update| match update {
                Update::Received(Message { content: Content::Notice(notice), seq, .. }) => {
                    (notice.action == NoticeAction::Dissolved).then_some(seq.get())
                }
                _ => None,
            })
            .await;
        assert_eq!((dissolved, left(member, "m").await), (9, 9));
    }
}

#[actix_web::test]
async fn an_app_that_takes_nothing_for_a_while_loses_nothing() {
    let node = Node::start();
    let app = App::of(&node);
    let (alice, mut bob) = (app.user("alice").await, app.user("bob").await);
    create(&alice, "eng", GroupKind::Work, &["bob"]).await;

    let posts = (2..=3000).map(|n: u64| Content::Text { text: n.to_string() });
    let mut last = None;
    for content in posts {
        last = Some(alice.client.post(&conversation("eng"), content).await.unwrap());
    }
    patience("the last ack", last.unwrap().acked()).await.unwrap();

    assert_eq!(next_in(&mut bob, "eng").await.0, 1);
    for n in 2..=3000 {
        assert_eq!(next_in(&mut bob, "eng").await, (n, n.to_string()));
    }
}

#[actix_web::test]
async fn authors_learn_how_many_have_read_and_readers_other_devices_that_they_have() {
    let node = Node::start();
    let app = App::of(&node);
    let (mut alice, bob, carol) =
        (app.user("alice").await, app.user("bob").await, app.user("carol").await);
    let mut phone = app.device("bob", "phone").await;
    create(&alice, "eng", GroupKind::Work, &["bob", "carol"]).await;
    let seq = say(&alice, "eng", "read me").await;

    for reader in [&bob, &carol] {
        reader.client.read(&conversation("eng"), seq).await.unwrap();
    }

    let read = phone
        .first("a cursor", |update| match update {
            Update::Read { conversation, seq, user } => {
                Some((conversation.clone(), *seq, user.clone()))
            }
            _ => None,
        })
        .await;
    assert_eq!(read, (conversation("eng"), seq, user("bob")));
    alice
        .first("both readers", |update| match update {
            Update::ReadCounts { counts, .. } => {
                counts.iter().find(|count| count.seq == seq && count.readers == 2).map(drop)
            }
            _ => None,
        })
        .await;
}

#[actix_web::test]
async fn frames_over_tcp_carry_all_the_same() {
    let node = Node::start();
    let app = App::of(&node);
    let over_tcp = |name: &str, device: &str| Options {
        address: node.tcp().to_string(),
        transport: Transport::Tcp,
        ..app.options(name, device)
    };
    let alice = User::log_in(over_tcp("alice", "main")).await;
    let mut bob = User::log_in(over_tcp("bob", "main")).await;
    create(&alice, "eng", GroupKind::Work, &["bob"]).await;
    say(&alice, "eng", "hi").await;
    assert_eq!(next_in(&mut bob, "eng").await.0, 1);
    assert_eq!(next_in(&mut bob, "eng").await, (2, "hi".to_owned()));

    let _other = User::log_in(over_tcp("bob", "main")).await;
    assert!(matches!(bob.ended().await, Ended::Kicked { .. }));
    let mut wrong = over_tcp("carol", "main");
    wrong.token = TokenSource::fixed("nonsense");
    let refused = User::try_log_in(wrong).await.err();
    assert!(matches!(refused, Some(Ended::Refused(_))), "{refused:?}");
}
