//! The client library, as its session is renewed, lost, taken over and ended; and its calls about devices and people.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use common::chat::{App, User, now, patience, with};
use common::node::Node;
use common::policy::{self, rules};
use common::proxy::Link;
use common::rest::Backend;
use rookery::client::{Ended, Options, TokenSource, Update};
use rookery::domain::login_policy::{Mode, OnConflict};
use rookery::ids::{DeviceId, LoginNo, UserId};
use rookery::protocol::{
    Code, Device, FriendState, KickReason, Platform, PresenceSet, PresenceState, Status, StatusText,
};
use serde_json::json;

const QUICK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn from(options: Options, platform: Platform) -> Options {
    let device = Device { platform, ..options.device };
    Options { device, backoff: QUICK, ..options }
}

/// The next login number, and whether the connection was lost before.
async fn next_online(of: &mut User) -> LoginNo {
    of.first("online", |update| match update {
        Update::Online { login_no } => Some(*login_no),
        _ => None,
    })
    .await
}

async fn offline(of: &mut User) {
    of.first("offline", |update| matches!(update, Update::Offline { .. }).then_some(())).await;
}

/// How many messages came, and that they are numbered without a gap in the order in which they were sent.
async fn assert_in_order(of: &User, with_user: &str, count: usize) {
    let mut texts = Vec::new();
    while texts.len() < count {
        let page = json!({"conversation": with(with_user), "after": texts.len(), "limit": 200});
        let body = serde_json::value::to_raw_value(&page).unwrap();
        let page = of.client.command("message.history", body).await.unwrap();
        let page: serde_json::Value = serde_json::from_str(page.get()).unwrap();
        let messages = page["messages"].as_array().unwrap();
        assert!(!messages.is_empty(), "{} of {count}", texts.len());
        texts.extend(messages.iter().map(|it| it["content"]["text"].as_str().unwrap().to_owned()));
    }
    let expected: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    assert_eq!(texts, expected);
}

/// A source whose first token holds for 3 s, and that is down until it is let up again; how often it was asked.
fn failing_source(app: &App, name: &str) -> (TokenSource, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (is_up, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (up, count, app, name) = (is_up.clone(), asked.clone(), app.clone(), name.to_owned());
    let source = TokenSource::new(move || {
        let nth = count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(match (nth, up.load(Ordering::SeqCst)) {
            (0, _) => Ok(app.token_signed_at(&name, now(), 3)),
            (_, true) => Ok(app.token(&name)),
            (_, false) => Err("the backend is down".to_owned()),
        })
    });
    (source, is_up, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_renews_its_token_and_loses_neither_session_nor_order() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.user("bob").await;
    let (token, is_up, asked) = failing_source(&app, "alice");
    is_up.store(false, Ordering::SeqCst);
    let options = Options { token, backoff: QUICK, ..app.options("alice", "main") };
    let mut alice = User::log_in(options).await;
    let first = next_online(&mut alice).await;

    // It sends while the token runs out, and goes on when that is noticed; the source comes up a moment later.
    let mut posted = Vec::new();
    while asked.load(Ordering::SeqCst) < 6 {
        let text = rookery::protocol::Content::Text { text: posted.len().to_string() };
        posted.push(alice.client.post(&with("bob"), text).await.unwrap());
        let devices = alice.client.devices(None);
        if posted.len() > 20 {
            // A question that is asked meanwhile waits, too, and is answered in the end.
            let _ = tokio::time::timeout(Duration::from_millis(100), devices).await;
        }
    }
    let devices = tokio::spawn({
        let client = alice.client.clone();
        async move { client.devices(None).await }
    });
    is_up.store(true, Ordering::SeqCst);

    let count = posted.len();
    for message in posted {
        patience("an ack", message.acked()).await.unwrap();
    }
    assert_eq!(patience("the devices", devices).await.unwrap().unwrap().devices.len(), 1);
    assert_eq!(alice.client.status().online, Some(first), "it is the same session");
    assert_in_order(&alice, "bob", count).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_token_ran_out_while_its_backend_was_down_comes_back_with_a_new_one() {
    let node = Node::start();
    let app = App::of(&node);
    let _bob = app.user("bob").await;
    let (token, is_up, _) = failing_source(&app, "alice");
    is_up.store(false, Ordering::SeqCst);
    let options = Options { token, backoff: QUICK, ..app.options("alice", "main") };
    let mut alice = User::log_in(options).await;
    let first = next_online(&mut alice).await;

    // The server waits for a minute.
    offline(&mut alice).await;
    let text = rookery::protocol::Content::Text { text: "0".to_owned() };
    let posted = alice.client.post(&with("bob"), text).await.unwrap();
    is_up.store(true, Ordering::SeqCst);

    assert!(next_online(&mut alice).await > first);
    patience("an ack", posted.acked()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_phones_that_come_back_by_themselves_do_not_throw_each_other_out() {
    let node = Node::start();
    let app = App::of(&node);
    let link = Link::to(node.http()).await;
    let mut first = from(app.options("alice", "first"), Platform::Ios);
    first.address = link.address();
    let second = from(app.options("alice", "second"), Platform::Android);
    let mut first = User::log_in(first).await;
    next_online(&mut first).await;

    // A link that was lost and mended is no login of somebody else.
    link.cut();
    offline(&mut first).await;
    link.mend();
    next_online(&mut first).await;

    link.cut();
    offline(&mut first).await;
    let mut second = User::log_in(second).await;
    link.mend();

    let Ended::Overtaken(error) = first.ended().await else { panic!("it was not overtaken") };
    assert_eq!(error.code, Code::Conflict);
    second.say("alice", "still here").await;

    // A person may press the button; then it is the other one that stays away.
    let again = from(app.options("alice", "first"), Platform::Ios);
    let third = User::log_in(again).await;
    let Ended::Kicked { reason: KickReason::Policy, by, at_ms } = second.ended().await else {
        panic!("it was not kicked")
    };
    assert_eq!(by, Some(device("first")));
    assert!(now().since(at_ms).abs() < 60_000);
    third.say("alice", "here").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_was_ended_while_it_was_away_does_not_go_on() {
    let node = Node::start();
    let app = App::of(&node);
    let link = Link::to(node.http()).await;
    let mut away = from(app.options("alice", "away"), Platform::Web);
    away.address = link.address();
    let mut away = User::log_in(away).await;
    let desk = app.device("alice", "desk").await;

    link.cut();
    offline(&mut away).await;
    patience("a kick", desk.client.kick(&device("away"))).await.unwrap();
    link.mend();

    assert!(matches!(away.ended().await, Ended::Overtaken(_)));
    let devices = patience("the devices", desk.client.devices(None)).await.unwrap().devices;
    let online: Vec<&str> =
        devices.iter().filter(|row| row.online).map(|row| row.device.id.as_str()).collect();
    assert_eq!(online, ["desk"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_that_is_turned_away_learns_who_is_in_and_a_link_that_was_lost_is_gone_on_with()
{
    let node = Node::start();
    let app = App::of(&node);
    policy::set(&node, rules(Mode::Single, OnConflict::RefuseNewcomer)).await;
    let link = Link::to(node.http()).await;
    let mut there = from(app.options("alice", "there"), Platform::Linux);
    there.address = link.address();
    let mut there = User::log_in(there).await;
    next_online(&mut there).await;

    let newcomer = User::try_log_in(from(app.options("alice", "new"), Platform::Web)).await;

    let Err(Ended::Refused(error)) = newcomer else { panic!("it was not refused") };
    assert_eq!(error.code, Code::Conflict);
    let named: Vec<_> = error.devices.iter().flatten().collect();
    assert_eq!(named.len(), 1);
    assert_eq!((named[0].id.as_str(), named[0].platform), ("there", Platform::Linux));
    assert_eq!(named[0].name.as_deref(), Some("alice's there"));
    link.cut();
    offline(&mut there).await;
    link.mend();
    next_online(&mut there).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_backend_decides_ends_clients_for_good_and_outlives_a_restart() {
    let folder = common::node::data_folder();
    let mut node = Node::start_in(folder.path(), common::node::Options::default());
    let app = App::of(&node);
    let backend = Backend::of(&node);
    let kept = app.token("alice");
    let mut alice = User::log_in(from(app.options("alice", "main"), Platform::Web)).await;
    let mut bob = User::log_in(from(app.options("bob", "main"), Platform::Web)).await;
    let mut carol = User::log_in(from(app.options("carol", "main"), Platform::Web)).await;

    let revoked = backend.ask("POST", "/users/alice/revoke", b"").done(200);
    backend.ask("POST", "/users/bob/deactivate", b"").done(200);
    backend.post("/users/carol/kick", &json!({"device": "main"})).done(200);

    let ended = alice.ended().await;
    let is = matches!(ended, Ended::Kicked { reason: KickReason::Revoked, by: None, .. });
    assert!(is, "{ended:?}");
    let ended = bob.ended().await;
    assert!(matches!(ended, Ended::Closed { code: 4503, .. }), "{ended:?}");
    let ended = carol.ended().await;
    let is = matches!(ended, Ended::Kicked { reason: KickReason::Kicked, by: None, .. });
    assert!(is, "{ended:?}");
    assert_eq!(revoked["ended"].as_array().unwrap().len(), 1, "{revoked}");

    for restarted in [false, true] {
        if restarted {
            node.kill();
            node = Node::start_in(folder.path(), common::node::Options::default());
        }
        let app = app.moved_to(&node);
        let mut options = app.options("alice", "main");
        options.token = TokenSource::fixed(kept.clone());
        let refused = User::try_log_in(options).await;
        let Err(Ended::Refused(error)) = refused else { panic!("a revoked token let in") };
        assert_eq!(error.code, Code::BadToken, "{error:?}");
        // Signed after the answer it holds, within the same second, too.
        let alice = app.user("alice").await;
        alice.say("alice", "back").await;
        let refused = User::try_log_in(app.options("bob", "main")).await;
        let Err(Ended::Refused(error)) = refused else { panic!("a deactivated user came in") };
        assert_eq!(error.code, Code::Forbidden, "{error:?}");
        app.user("carol").await;
    }
    let backend = Backend::of(&node);
    backend.ask("POST", "/users/bob/reactivate", b"").done(200);
    app.moved_to(&node).user("bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_friends_and_presence_have_their_calls() {
    let node = Node::start();
    let app = App::of(&node);
    let mut alice = app.device("alice", "desk").await;
    let tablet = app.device("alice", "tablet").await;
    let mut bob = app.user("bob").await;

    assert_eq!(bob.client.add_friend(&user("alice")).await, Ok(FriendState::Friends));
    let friend = alice.first("a friend", |update| match update {
        Update::FriendChanged { user, state } => Some((user.clone(), *state)),
        _ => None,
    });
    assert_eq!(friend.await, (user("bob"), FriendState::Friends));
    let friends = alice.client.friends(None).await.unwrap();
    assert_eq!(friends.friends[0].user, user("bob"));

    let text = StatusText::parse("In a meeting").ok();
    let busy = PresenceSet { status: Some(Status::Busy), text, ..PresenceSet::default() };
    let own = bob.client.set_presence(&busy).await.unwrap();
    assert_eq!((&own[0].user, own[0].status), (&user("bob"), Some(Status::Busy)));
    let told = alice.first("bob is busy", |update| match update {
        Update::PresenceChanged(presence) if presence.status == Some(Status::Busy) => {
            Some((presence.user.clone(), presence.text.clone()))
        }
        _ => None,
    });
    assert_eq!(told.await, (user("bob"), busy.text));
    let there = alice.client.presences(vec![user("bob"), user("nobody")]).await.unwrap();
    assert_eq!(
        there.iter().map(|it| it.state).collect::<Vec<_>>(),
        [PresenceState::Online, PresenceState::Offline]
    );
    let watching = bob.client.watch(vec![user("dave")], Some(Duration::from_secs(60))).await;
    assert_eq!(watching.unwrap().presences[0].state, PresenceState::Offline);
    let dave = app.user("dave").await;
    let came = bob.first("dave", |update| {
        matches!(update, Update::PresenceChanged(it) if it.user == user("dave")).then_some(())
    });
    came.await;
    bob.client.unwatch(None).await.unwrap();
    dave.client.log_out().await;
    assert_eq!(bob.client.remove_friend(&user("alice")).await, Ok(FriendState::None));

    let devices = alice.client.devices(None).await.unwrap().devices;
    assert_eq!(devices.len(), 2);
    let ended = alice.client.kick_others().await.unwrap();
    assert_eq!(ended.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["tablet"]);
    let mut tablet = tablet;
    let Ended::Kicked { reason: KickReason::Kicked, by, .. } = tablet.ended().await else {
        panic!("it was not kicked")
    };
    assert_eq!(by, Some(device("desk")));
    // One's own.
    alice.client.kick(&device("desk")).await.ok();
    assert!(matches!(alice.ended().await, Ended::Kicked { reason: KickReason::Kicked, .. }));
}
