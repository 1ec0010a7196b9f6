//! Groups, as their members and those who are not see them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, Raw, key};
use common::node::{Node, Options, data_folder};
use serde_json::{Value, json};

fn say(group: &str, text: &str) -> Value {
    let content = json!({"type": "text", "text": text});
    json!({"to": format!("group:{group}"), "client_msg_id": key(), "content": content})
}

async fn create(raw: &mut Raw, group: &str, kind: &str, members: &[&str]) {
    let body = json!({"group": group, "kind": kind, "name": "Team", "members": members});
    let made = raw.ok("group.create", body).await;
    assert_eq!(made, json!({"group": group, "conversation": format!("group:{group}")}));
}

async fn log(raw: &mut Raw, group: &str) -> Value {
    raw.ok("message.history", json!({"conversation": format!("group:{group}"), "limit": 200})).await
}

/// What the notices of a log say: who did what to whom.
fn told(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap();
    let told = messages.iter().map(|message| match message["content"]["type"].as_str().unwrap() {
        "notice" => {
            let users = message["content"]["users"].as_array().cloned().unwrap_or_default();
            let users: Vec<_> = users.iter().map(|user| user.as_str().unwrap()).collect();
            let (from, action) = (&message["from"], &message["content"]["action"]);
            format!("{} {} {}", from.as_str().unwrap(), action.as_str().unwrap(), users.join(" "))
        }
        _ => message["content"]["text"].as_str().unwrap().to_owned(),
    });
    told.map(|line| line.trim().to_owned()).collect()
}

async fn row(raw: &mut Raw, group: &str) -> Value {
    let list = raw.ok("conversation.list", json!({})).await;
    let rows = list["conversations"].as_array().unwrap();
    let is_it = |row: &&Value| row["conversation"] == format!("group:{group}");
    rows.iter().find(is_it).cloned().unwrap_or_default()
}

async fn sync(raw: &mut Raw, groups: Value) -> Value {
    let epoch = raw.ok("sync", json!({})).await["epoch"].take();
    raw.ok("sync", json!({"epoch": epoch, "groups": groups})).await["groups"].take()
}

#[tokio::test]
async fn members_see_one_log_with_its_notices() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;

    create(&mut alice, "eng", "work", &["bob"]).await;
    let notice = bob.event("message.new").await;
    assert_eq!((&notice["conversation"], &notice["seq"]), (&json!("group:eng"), &json!(1)));
    assert_eq!(notice["content"]["action"], "created");
    assert_eq!(notice["content"]["users"], json!(["alice", "bob"]));
    let sent = alice.ok("message.send", say("eng", "hello")).await;
    assert_eq!((&sent["seq"], &sent["duplicate"]), (&json!(2), &json!(false)));
    assert!(sent.get("inbox").is_none(), "{sent}");

    let pushed = bob.event("message.new").await;
    assert_eq!((&pushed["seq"], &pushed["content"]["text"]), (&json!(2), &json!("hello")));
    let page = log(&mut bob, "eng").await;
    assert_eq!((&page["head"], &page["min_seq"]), (&json!(2), &json!(1)));
    assert_eq!(page["messages"][1], pushed);
}

#[tokio::test]
async fn a_work_group_is_by_invitation_and_one_who_comes_later_sees_what_comes_later() {
    let node = Node::start();
    let app = App::of(&node);
    let mut carol = app.raw("carol", "c").await;
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "eng", "work", &["bob"]).await;
    alice.ok("message.send", say("eng", "before")).await;

    for (cmd, body) in [
        ("group.join", json!({"group": "eng"})),
        ("group.get", json!({"group": "eng"})),
        ("group.leave", json!({"group": "eng"})),
        ("group.members", json!({"group": "eng"})),
        ("group.invite", json!({"group": "eng", "user": "carol"})),
        ("message.send", say("eng", "let me in")),
        ("message.history", json!({"conversation": "group:eng"})),
        ("message.read", json!({"conversation": "group:eng", "seq": 1})),
    ] {
        assert_eq!(carol.code(cmd, body).await, "not_found", "{cmd} by an outsider");
    }
    let invite = json!({"group": "eng", "users": ["carol", "alice", "carol"]});
    let invited = bob.ok("group.invite", invite.clone()).await;
    assert_eq!(invited, json!({"group": "eng", "seq": 3, "users": ["carol"]}));
    assert_eq!(bob.ok("group.invite", invite).await, json!({"group": "eng"}), "all were in");
    bob.ok("message.send", say("eng", "welcome")).await;

    assert_eq!(carol.event("message.new").await["content"]["action"], "added");
    assert_eq!(carol.event("group.changed").await, json!({"group": "eng"}));
    assert_eq!(carol.event("message.new").await["content"]["text"], "welcome");
    let page = log(&mut carol, "eng").await;
    assert_eq!((&page["min_seq"], &page["has_more"]), (&json!(3), &json!(false)));
    assert_eq!(told(&page), ["bob added carol", "welcome"]);
    let before = json!({"conversation": "group:eng", "before": 3});
    assert_eq!(carol.ok("message.history", before).await["messages"], json!([]));
    assert_eq!(
        sync(&mut carol, json!({})).await[0],
        json!({"group": "eng", "head": 4, "min_seq": 3})
    );
}

#[tokio::test]
async fn a_meeting_is_free_to_join_and_shows_what_was_said() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "all", "meeting", &[]).await;
    alice.ok("message.send", say("all", "before")).await;

    assert_eq!(bob.code("message.send", say("all", "hi")).await, "not_a_member");
    assert_eq!(
        bob.code("message.history", json!({"conversation": "group:all"})).await,
        "not_a_member"
    );
    let seen = bob.ok("group.get", json!({"group": "all"})).await;
    assert_eq!(
        (&seen["name"], &seen["members"], seen.get("role")),
        (&json!("Team"), &json!(1), None)
    );
    let joined = bob.ok("group.join", json!({"group": "all"})).await;
    assert_eq!(joined, json!({"group": "all", "seq": 3, "users": ["bob"]}));
    assert_eq!(bob.ok("group.join", json!({"group": "all"})).await, json!({"group": "all"}));
    bob.ok("message.send", say("all", "hi")).await;

    let page = log(&mut bob, "all").await;
    assert_eq!(told(&page), ["alice created alice", "before", "bob joined bob", "hi"]);
    assert_eq!(page["min_seq"], 1);
    let owner_leaves = alice.code("group.leave", json!({"group": "all"})).await;
    assert_eq!(owner_leaves, "forbidden");
    assert_eq!(row(&mut alice, "all").await["unread"], 0, "a meeting counts none");
    let rename = json!({"group": "all", "name": "Other"});
    assert_eq!(bob.code("group.update", rename.clone()).await, "forbidden");
    alice.ok("group.update", rename).await;
    assert_eq!(bob.ok("group.get", json!({"group": "all"})).await["name"], "Other");
}

#[tokio::test]
async fn who_leaves_or_is_removed_sees_the_notice_and_nothing_after_it() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "b").await;
    let mut carol = app.raw("carol", "c").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "eng", "work", &["bob", "carol"]).await;
    let mine = say("eng", "mine");
    let first = carol.ok("message.send", mine.clone()).await;

    assert_eq!(
        bob.code("group.remove", json!({"group": "eng", "user": "carol"})).await,
        "forbidden"
    );
    assert_eq!(
        bob.code("group.remove", json!({"group": "eng", "user": "alice"})).await,
        "forbidden"
    );
    assert_eq!(
        alice.code("group.remove", json!({"group": "eng", "user": "alice"})).await,
        "forbidden"
    );
    let removed = alice.ok("group.remove", json!({"group": "eng", "user": "carol"})).await;
    assert_eq!(removed, json!({"group": "eng", "seq": 3, "users": ["carol"]}));
    let again = alice.ok("group.remove", json!({"group": "eng", "user": "carol"})).await;
    assert_eq!(again, json!({"group": "eng"}));
    alice.ok("message.send", say("eng", "between us")).await;

    let notice = carol.0.first(|frame| frame["body"]["content"]["action"] == "removed");
    assert_eq!(notice.await.unwrap()["body"]["seq"], 3);
    assert_eq!(carol.code("message.send", say("eng", "again")).await, "not_a_member");
    let repeat = carol.ok("message.send", mine).await;
    assert_eq!((&repeat["seq"], &repeat["duplicate"]), (&first["seq"], &json!(true)));
    let page = log(&mut carol, "eng").await;
    assert_eq!(
        (&page["head"], told(&page).last().unwrap().as_str()),
        (&json!(3), "alice removed carol")
    );
    let later = json!({"conversation": "group:eng", "after": 3});
    assert_eq!(carol.ok("message.history", later).await["messages"], json!([]));
    let left = json!([{"group": "eng", "head": 3, "min_seq": 1, "left": true}]);
    assert_eq!(sync(&mut carol, json!({"eng": 2})).await, left);
    assert_eq!(sync(&mut carol, json!({})).await, json!([]), "she did not name it");
    let seen = row(&mut carol, "eng").await;
    assert_eq!((&seen["head"], &seen["group"]["left"]), (&json!(3), &json!(true)));

    // From here on nothing of the group reaches her, which a message of another shows.
    alice
        .ok(
            "message.send",
            json!({"to": "user:carol", "client_msg_id": key(),
        "content": {"type": "text", "text": "fence"}}),
        )
        .await;
    loop {
        let next = carol.event("message.new").await;
        if next["content"]["text"] == "fence" {
            break;
        }
        assert!(next["seq"].as_u64() <= Some(3), "{next}");
    }
    bob.ok("group.invite", json!({"group": "eng", "user": "carol"})).await;
    assert_eq!(log(&mut carol, "eng").await["min_seq"], 5, "from the new joining on");
    carol.ok("message.send", say("eng", "back")).await;
    let left = carol.ok("group.leave", json!({"group": "eng"})).await;
    assert_eq!((&left["seq"], &left["users"]), (&json!(7), &json!(["carol"])));
}

#[tokio::test]
async fn when_the_owner_of_a_work_group_leaves_the_senior_follows_and_the_last_one_ends_it() {
    let node = Node::start();
    let app = App::of(&node);
    let mut carol = app.raw("carol", "c").await;
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "eng", "work", &["carol"]).await;
    alice.ok("group.invite", json!({"group": "eng", "user": "bob"})).await;

    alice.ok("group.leave", json!({"group": "eng"})).await;

    assert_eq!(log(&mut bob, "eng").await["messages"][1]["content"]["owner"], "carol");
    let seen = carol.ok("group.get", json!({"group": "eng"})).await;
    assert_eq!(
        (&seen["owner"], &seen["role"], &seen["members"]),
        (&json!("carol"), &json!("owner"), &json!(2))
    );
    assert_eq!(bob.code("group.dissolve", json!({"group": "eng"})).await, "forbidden");
    carol.ok("group.remove", json!({"group": "eng", "users": ["bob"]})).await;
    carol.ok("group.leave", json!({"group": "eng"})).await;
    let again = json!({"group": "eng", "kind": "work", "name": "Again"});
    assert_eq!(alice.code("group.create", again).await, "conflict", "its id stays taken");
    assert_eq!(carol.code("message.send", say("eng", "alone")).await, "not_a_member");
}

#[tokio::test]
async fn a_dissolved_group_keeps_its_log_for_those_who_were_in_it() {
    let node = Node::start();
    let app = App::of(&node);
    let mut carol = app.raw("carol", "c").await;
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "all", "meeting", &["bob"]).await;
    alice.ok("message.send", say("all", "so long")).await;

    assert_eq!(bob.code("group.dissolve", json!({"group": "all"})).await, "forbidden");
    assert_eq!(alice.ok("group.dissolve", json!({"group": "all"})).await["seq"], 3);

    let notice = bob.0.first(|frame| frame["body"]["content"]["action"] == "dissolved");
    assert_eq!(notice.await.unwrap()["body"]["seq"], 3);
    assert_eq!(log(&mut bob, "all").await["head"], 3);
    assert_eq!(alice.code("message.send", say("all", "more")).await, "not_a_member");
    for cmd in ["group.join", "group.get"] {
        assert_eq!(carol.code(cmd, json!({"group": "all"})).await, "not_found", "{cmd}");
    }
    assert_eq!(bob.ok("group.list", json!({})).await["groups"], json!([]));
}

#[tokio::test]
async fn lists_of_groups_and_members_come_by_page() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    for name in ["a", "b", "c"] {
        create(&mut alice, name, "work", &["bob"]).await;
    }
    let generated = alice.ok("group.create", json!({"kind": "work", "name": "No id"})).await;
    assert_eq!(
        generated["conversation"],
        format!("group:{}", generated["group"].as_str().unwrap())
    );

    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = bob.ok("group.list", json!({"limit": 2, "after": after})).await;
        let groups = page["groups"].as_array().unwrap();
        seen.extend(groups.iter().map(|group| group["group"].as_str().unwrap().to_owned()));
        after = page["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c"]);
    bob.ok("message.read", json!({"conversation": "group:a", "seq": 1})).await;
    let first = alice.ok("group.members", json!({"group": "a", "limit": 1})).await;
    assert_eq!(first["members"].as_array().unwrap().len(), 1);
    let rest = alice.ok("group.members", json!({"group": "a", "after": first["next"]})).await;
    let mut members = [&first["members"][0], &rest["members"][0]];
    members.sort_by_key(|member| member["user"].as_str());
    assert_eq!((&members[0]["user"], &members[0]["role"]), (&json!("alice"), &json!("owner")));
    assert_eq!((&members[1]["user"], &members[1]["read"]), (&json!("bob"), &json!(1)));
    assert!(rest.get("next").is_none(), "{rest}");
}

#[tokio::test]
async fn unread_counts_others_messages_above_the_cursor_and_reading_tells_the_authors_how_many() {
    let node = Node::start();
    let app = App::of(&node);
    let mut carol = app.raw("carol", "c").await;
    let mut bob = app.raw("bob", "b").await;
    let mut desk = app.raw("bob", "desk").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "eng", "work", &["bob", "carol"]).await;
    for text in ["one", "two"] {
        alice.ok("message.send", say("eng", text)).await;
    }
    bob.ok("message.send", say("eng", "three")).await;
    assert_eq!(row(&mut bob, "eng").await["unread"], 2);
    assert_eq!(row(&mut alice, "eng").await["unread"], 1);

    let read = bob.ok("message.read", json!({"conversation": "group:eng", "seq": 2})).await;
    assert_eq!(read, json!({"conversation": "group:eng", "seq": 2}));
    let own = json!({"conversation": "group:eng", "seq": 2, "user": "bob"});
    assert_eq!(desk.event("message.read").await, own);
    let counts = |seq: u64, readers: u64| json!({"conversation": "group:eng", "counts": [{"seq": seq, "readers": readers}]});
    assert_eq!(alice.event("message.read").await, counts(2, 1));
    let beyond = carol.ok("message.read", json!({"conversation": "group:eng", "seq": 99})).await;
    assert_eq!(beyond["seq"], 4, "beyond the head counts as the head");
    let both = json!({"conversation": "group:eng",
        "counts": [{"seq": 2, "readers": 2}, {"seq": 3, "readers": 1}]});
    assert_eq!(alice.event("message.read").await, both);
    assert_eq!(bob.event("message.read").await, counts(4, 1));
    assert_eq!(row(&mut bob, "eng").await["unread"], 1);
    let lower = bob.ok("message.read", json!({"conversation": "group:eng", "seq": 1})).await;
    assert_eq!(lower["seq"], 2, "a cursor only rises");
    let received = json!({"conversation": "group:eng", "seq": 1});
    assert_eq!(bob.code("message.received", received).await, "bad_request");
}

#[tokio::test]
async fn where_read_receipts_are_off_nobody_hears_who_has_read() {
    let node = Node::start_with(Options::default().env("ROOKERY__RECEIPTS__READ", "off"));
    let app = App::of(&node);
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "eng", "work", &["bob"]).await;
    let members = alice.ok("group.members", json!({"group": "eng"})).await;

    assert!(members["members"][0].get("read").is_none(), "{members}");
    bob.ok("message.read", json!({"conversation": "group:eng", "seq": 1})).await;
    assert_eq!(row(&mut bob, "eng").await["read"], 1);
}

#[tokio::test]
async fn a_client_that_comes_back_hears_which_groups_moved_and_a_ping_tells_what_it_lacks() {
    let node = Node::start();
    let app = App::of(&node);
    let mut bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "quiet", "work", &["bob"]).await;
    create(&mut alice, "busy", "work", &["bob"]).await;
    let epoch = bob.ok("sync", json!({})).await["epoch"].take();
    drop(bob);
    alice.ok("message.send", say("busy", "hello")).await;

    let mut bob = app.connect().await;
    let mut login = app.login("bob", "b");
    login["sync"] = json!({"epoch": epoch, "groups": {"quiet": 1, "busy": 1}});
    let reply = bob.ok("login", login.clone()).await;
    assert_eq!(reply["sync"]["groups"], json!([{"group": "busy", "head": 2, "min_seq": 1}]));
    alice.ok("message.send", say("busy", "more")).await;
    assert_eq!(bob.event("message.new").await["seq"], 3);
    let pong = bob.ok("ping", json!({"groups": {"busy": 2, "quiet": 1, "unknown": 0}})).await;
    assert_eq!(pong["behind"], json!({"groups": {"busy": 3}}));
    let pong = bob.ok("ping", json!({"groups": {"busy": 3, "quiet": 1}})).await;
    assert!(pong.get("behind").is_none(), "{pong}");

    login["sync"]["epoch"] = json!("another");
    let mut other = app.connect().await;
    let reply = other.ok("login", login).await;
    assert_eq!(
        reply["sync"]["groups"].as_array().unwrap().len(),
        2,
        "positions of another epoch are none"
    );
}

#[tokio::test]
async fn a_restarted_server_goes_on_with_its_groups() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let app = App::of(&node);
    let bob = app.raw("bob", "b").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "eng", "work", &["bob"]).await;
    let hello = say("eng", "hello");
    alice.ok("message.send", hello.clone()).await;
    drop((alice, bob));

    node.kill();
    let node = Node::start_in(folder.path(), Options::default());
    let app = app.moved_to(&node);
    let mut alice = app.raw("alice", "a").await;
    let mut bob = app.raw("bob", "b").await;
    let again = alice.ok("message.send", hello).await;
    assert_eq!((&again["seq"], &again["duplicate"]), (&json!(2), &json!(true)));
    assert_eq!(alice.ok("message.send", say("eng", "on")).await["seq"], 3);
    assert_eq!(bob.event("message.new").await["content"]["text"], "on");
    assert_eq!(told(&log(&mut bob, "eng").await), ["alice created alice bob", "hello", "on"]);
}
