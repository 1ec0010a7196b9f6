//! Groups that an app's backend makes and changes over REST.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use common::chat::{App, key};
use common::groups::{create, to_group};
use common::node::Node;
use common::rest::Backend;
use serde_json::{Value, json};

/// Users who are there, some of them as the demo's, and not logged in.
fn with_users(backend: &Backend, users: &[&str]) {
    for user in users {
        let made = backend.post("/users", &json!({"user": user}));
        assert!([200, 201].contains(&made.status), "{made:?}");
    }
}

fn group(group: &str, kind: &str, owner: &str, members: &[&str]) -> Value {
    json!({"group": group, "kind": kind, "name": "Team", "owner": owner, "members": members})
}

/// What a log says: who did or said what.
fn told(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap().iter();
    let line = |message: &Value| {
        let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (from, content) = (of(&message["from"]), &message["content"]);
        let users = content["users"].as_array().cloned().unwrap_or_default();
        let users: Vec<_> = users.iter().map(of).collect();
        format!("{from} {}{} {}", of(&content["action"]), of(&content["text"]), users.join(" "))
    };
    messages.map(|message| line(message).trim().to_owned()).collect()
}

fn members(backend: &Backend, group: &str) -> Vec<String> {
    let page = backend.get(&format!("/groups/{group}/members")).done(200);
    let rows = page["members"].as_array().unwrap().iter();
    rows.map(|row| row["user"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_the_app_makes_is_its_owner_s_and_all_members_hear_of_it() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    with_users(&backend, &["carol"]);
    let mut bob = app.raw("bob", "phone").await;
    let mut alice = app.raw("alice", "tab").await;

    let made = backend.post("/groups", &group("eng", "work", "alice", &["bob", "carol"]));

    assert_eq!(made.header("location"), "/api/v1/groups/eng");
    assert_eq!(made.done(201), json!({"group": "eng", "conversation": "group:eng"}));
    for member in [&mut alice, &mut bob] {
        let notice = member.event("message.new").await;
        assert_eq!((&notice["from"], &notice["seq"]), (&json!("alice"), &json!(1)));
        assert_eq!(notice["content"]["users"], json!(["alice", "bob", "carol"]));
    }
    let shown = backend.get("/groups/eng").done(200);
    assert_eq!((&shown["owner"], &shown["members"]), (&json!("alice"), &json!(3)));
    assert_eq!(shown.get("role"), None, "the app is no member");
    alice.ok("group.remove", json!({"group": "eng", "user": "carol"})).await;
    assert_eq!(members(&backend, "eng"), ["alice", "bob"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_changes_a_group_without_being_in_it_and_its_user_system_tells_so() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    with_users(&backend, &["bob"]);
    let mut carol = app.raw("carol", "phone").await;
    let mut alice = app.raw("alice", "tab").await;
    create(&mut alice, "eng", "meeting", &["bob"]).await;
    assert_eq!(alice.event("message.new").await["content"]["action"], "created");

    let add = json!({"users": ["carol", "bob", "carol"]});
    let added = backend.post("/groups/eng/members", &add).done(200);
    let again = backend.post("/groups/eng/members", &add).done(200);
    let named = backend.send("PATCH", "/groups/eng", &json!({"name": "Crew"})).done(200);
    let remove = json!({"users": ["bob"]});
    let removed = backend.post("/groups/eng/members/remove", &remove).done(200);

    assert_eq!(added, json!({"group": "eng", "seq": 2, "users": ["carol"]}));
    assert_eq!(again, json!({"group": "eng"}), "all were in");
    assert_eq!(named, json!({"group": "eng", "seq": 3}));
    assert_eq!(removed, json!({"group": "eng", "seq": 4, "users": ["bob"]}));
    let expected = ["system added carol", "system renamed", "system removed bob"];
    for member in [&mut alice, &mut carol] {
        for expected in expected {
            let notice = member.event("message.new").await;
            assert_eq!(told(&json!({"messages": [notice]})), [expected]);
        }
    }
    assert_eq!(members(&backend, "eng"), ["alice", "carol"]);
    assert_eq!(backend.get("/groups/eng").done(200)["name"], "Crew");
    carol.ok("message.send", to_group("eng", key(), "hello")).await;
    assert_eq!(alice.event("message.new").await["content"]["text"], "hello");
}

#[test]
fn a_change_that_cannot_be_is_refused_for_what_is_wrong_with_it() {
    let node = Node::start();
    let backend = Backend::of(&node);
    with_users(&backend, &["alice", "bob"]);
    backend.post("/groups", &group("eng", "work", "alice", &[])).done(201);
    let add = |users: Vec<&str>| backend.post("/groups/eng/members", &json!({"users": users}));
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();

    let taken = backend.post("/groups", &group("eng", "work", "bob", &[]));
    assert_eq!(taken.refused(409, "conflict"), "group");
    let owner = backend.post("/groups", &group("ops", "work", "nobody", &[]));
    assert_eq!(owner.refused(404, "not_found"), "owner");
    backend.post("/groups", &group("ops", "work", "bob", &["nobody"])).refused(404, "not_found");
    assert_eq!(add(vec!["nobody"]).refused(404, "not_found"), "users");
    assert_eq!(add(vec![]).refused(400, "bad_request"), "users");
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(add(many[..100].to_vec()).refused(404, "not_found"), "users", "100 may be named");
    assert_eq!(add(many).refused(400, "bad_request"), "users");
    backend.get("/groups/nothing").refused(404, "not_found");
    backend.ask("DELETE", "/groups/nothing", b"").refused(404, "not_found");
    let remove = backend.post("/groups/eng/members/remove", &json!({"users": ["alice"]}));
    remove.refused(403, "forbidden");

    backend.ask("POST", "/users/bob/deactivate", b"").done(200);
    let of_bob = backend.post("/groups", &group("ops", "work", "bob", &[]));
    assert_eq!(of_bob.refused(409, "conflict"), "owner");
    assert_eq!(members(&backend, "eng"), ["alice"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_the_app_dissolves_has_ended_for_everyone_and_keeps_its_log() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    let mut alice = app.raw("alice", "tab").await;
    create(&mut alice, "eng", "work", &[]).await;
    alice.ok("message.send", to_group("eng", key(), "hello")).await;
    let message = json!({
        "to": "group:eng", "content": {"type": "text", "text": "goodbye"}, "client_msg_id": key(),
    });
    backend.post("/messages", &message).done(201);

    let ended = backend.ask("DELETE", "/groups/eng", b"").done(200);

    assert_eq!(ended, json!({"group": "eng", "seq": 4}));
    assert_eq!(backend.ask("DELETE", "/groups/eng", b"").done(200), json!({"group": "eng"}));
    assert_eq!(backend.get("/groups/eng").done(200)["dissolved"], true);
    assert_eq!(members(&backend, "eng"), Vec::<String>::new());
    let name = json!({"name": "Crew"});
    backend.send("PATCH", "/groups/eng", &name).refused(409, "conflict");
    backend.post("/groups/eng/members", &json!({"users": ["alice"]})).refused(409, "conflict");
    let mut other = message.clone();
    other["client_msg_id"] = json!(key());
    backend.post("/messages", &other).refused(409, "conflict");
    assert_eq!(backend.post("/messages", &message).done(200)["duplicate"], true, "a repeat");
    alice.code("message.send", to_group("eng", key(), "anyone?")).await;
    let log = backend.get("/groups/eng/messages").done(200);
    let expected = ["alice created alice", "alice hello", "system goodbye", "system dissolved"];
    assert_eq!(told(&log), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_app_reads_the_whole_log_of_a_group_and_a_user_s_part_of_it() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    with_users(&backend, &["carol"]);
    let mut alice = app.raw("alice", "tab").await;
    create(&mut alice, "eng", "work", &[]).await;
    for n in 0..5 {
        alice.ok("message.send", to_group("eng", key(), &format!("{n}"))).await;
    }
    let log = "/groups/eng/messages";
    let of_carol = "/users/carol/conversations/group:eng/messages";

    backend.get(of_carol).refused(404, "not_found");
    backend.post("/groups/eng/members", &json!({"users": ["carol"]})).done(200);
    let first = backend.get(&format!("{log}?after=0&limit=4")).done(200);
    let second = backend.get(&format!("{log}?after=4&limit=4")).done(200);
    let newest = backend.get(&format!("{log}?limit=2")).done(200);
    let carol = backend.get(of_carol).done(200);

    let created = "alice created alice";
    assert_eq!(told(&first), [created, "alice 0", "alice 1", "alice 2"]);
    assert_eq!((&first["has_more"], &first["head"]), (&json!(true), &json!(7)));
    assert_eq!(told(&second), ["alice 3", "alice 4", "system added carol"]);
    assert_eq!(second["has_more"], false);
    assert_eq!(told(&newest), ["alice 4", "system added carol"]);
    assert_eq!(told(&carol), ["system added carol"], "what was said before is not hers");
    assert_eq!(carol["min_seq"], 7);
    let both = backend.get(&format!("{log}?after=1&before=3"));
    assert_eq!(both.refused(400, "bad_request"), "before");
    backend.get("/groups/nothing/messages").refused(404, "not_found");
    backend.get("/users/nobody/conversations/group:eng/messages").refused(404, "not_found");
}

#[test]
fn members_are_listed_by_page() {
    let node = Node::start();
    let backend = Backend::of(&node);
    with_users(&backend, &["alice", "bob", "carol"]);
    backend.post("/groups", &group("eng", "work", "bob", &["alice", "carol"])).done(201);

    let first = backend.get("/groups/eng/members?limit=2").done(200);
    let next = first["next"].as_str().unwrap();
    let second = backend.get(&format!("/groups/eng/members?limit=2&after={next}")).done(200);

    let rows = |page: &Value| page["members"].as_array().unwrap().clone();
    let users: Vec<Value> =
        rows(&first).into_iter().chain(rows(&second)).map(|row| row["user"].clone()).collect();
    assert_eq!(users, ["alice", "bob", "carol"]);
    assert_eq!(rows(&first)[1]["role"], "owner");
    assert_eq!(second.get("next"), None);
    let wrong = backend.get("/groups/eng/members?after=x");
    assert_eq!(wrong.refused(400, "bad_request"), "after");
}
