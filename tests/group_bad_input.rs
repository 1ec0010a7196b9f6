//! Whatever is wrong with a command about groups, it is answered with the code that fits, and the group stays as it was.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use common::chat::{App, Raw, key};
use common::groups::{create, follow, to_group, whole_log};
use common::node::Node;
use common::postgres::database_of;
use serde_json::{Value, json};

/// Sends a command that is wrong; its code and the field that is said to be at fault.
async fn refused(raw: &mut Raw, cmd: &str, body: &Value) -> (String, String) {
    let error = raw.error(cmd, body.clone()).await;
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    assert!(!text("message").is_empty(), "{error}");
    (text("code"), text("field"))
}

/// A server with a group `crew` of alice and bob; carol is a user and an outsider.
async fn crew(kind: &str) -> (Node, App, Raw, Raw, Raw) {
    let node = Node::start();
    let app = App::of(&node);
    let bob = app.raw("bob", "b").await;
    let carol = app.raw("carol", "c").await;
    let mut alice = app.raw("alice", "a").await;
    create(&mut alice, "crew", kind, &["bob"]).await;
    (node, app, alice, bob, carol)
}

#[tokio::test]
async fn names_that_nobody_can_see_or_read_are_refused() {
    let (_node, _app, mut alice, _bob, _carol) = crew("work").await;
    let whitespace = [
        '\t', '\n', '\u{b}', '\u{c}', '\r', ' ', '\u{85}', '\u{a0}', '\u{1680}', '\u{2000}',
        '\u{2001}', '\u{2002}', '\u{2003}', '\u{2004}', '\u{2005}', '\u{2006}', '\u{2007}',
        '\u{2008}', '\u{2009}', '\u{200a}', '\u{2028}', '\u{2029}', '\u{202f}', '\u{205f}',
        '\u{3000}',
    ];
    let mut bad = vec![String::new(), "x".repeat(31), "\u{1f600}".repeat(31), "a\0b".to_owned()];
    for blank in whitespace {
        bad.extend([format!("{blank}"), format!("{blank}x"), format!("x{blank}")]);
    }
    bad.extend(
        ["\u{200b}", "\u{feff}", "\u{2060}\u{200d}", "\u{3164}", "a\u{2028}b", "a\nb"]
            .map(str::to_owned),
    );

    for name in &bad {
        let rename = json!({"group": "crew", "name": name});
        let made = json!({"group": "other", "kind": "work", "name": name});
        let fault = ("bad_request".to_owned(), "name".to_owned());
        assert_eq!(refused(&mut alice, "group.update", &rename).await, fault, "{name:?}");
        assert_eq!(refused(&mut alice, "group.create", &made).await, fault, "{name:?}");
    }

    let good = ["x", "a b", "Grüße, 世界", &"\u{1f600}".repeat(30), "a\u{a0}b", "\u{200d}x"];
    for name in good {
        alice.ok("group.update", json!({"group": "crew", "name": name})).await;
        assert_eq!(alice.ok("group.get", json!({"group": "crew"})).await["name"], *name);
    }
    // The same once more is no entry.
    let again = alice.ok("group.update", json!({"group": "crew", "name": good[5]})).await;
    assert_eq!(again, json!({"group": "crew"}));
    assert_eq!(whole_log(&mut alice, "crew").await.len(), 1 + good.len());
}

#[tokio::test]
async fn what_does_not_fit_a_command_is_refused_and_changes_nothing() {
    let (_node, _app, mut alice, mut bob, mut carol) = crew("work").await;
    let new = |change: Value| {
        let mut body = json!({"group": "new", "kind": "work", "name": "New", "members": ["bob"]});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        body
    };
    let many: Vec<String> = (0..101).map(|n| format!("u{n}")).collect();
    let cases = [
        ("group.create", new(json!({"kind": "chatroom"})), "bad_request", "kind"),
        ("group.create", new(json!({"kind": "Work"})), "bad_request", "kind"),
        ("group.create", new(json!({"kind": 1})), "bad_request", "kind"),
        ("group.create", new(json!({"kind": null})), "bad_request", "kind"),
        ("group.create", new(json!({"group": ""})), "bad_request", "group"),
        ("group.create", new(json!({"group": "a b"})), "bad_request", "group"),
        ("group.create", new(json!({"group": "x".repeat(65)})), "bad_request", "group"),
        ("group.create", new(json!({"group": 7})), "bad_request", "group"),
        ("group.create", new(json!({"group": "crew"})), "conflict", "group"),
        ("group.create", new(json!({"members": ["nobody"]})), "not_found", "users"),
        ("group.create", new(json!({"members": ["al ice"]})), "bad_request", "members"),
        ("group.create", new(json!({"members": many})), "too_large", "members"),
        ("group.create", new(json!({"members": "bob"})), "bad_request", "members"),
        ("group.invite", json!({"group": "crew"}), "bad_request", "users"),
        ("group.invite", json!({"group": "crew", "users": []}), "bad_request", "users"),
        (
            "group.invite",
            json!({"group": "crew", "user": "carol", "users": ["bob"]}),
            "bad_request",
            "users",
        ),
        ("group.invite", json!({"group": "crew", "user": ["carol"]}), "bad_request", "user"),
        ("group.invite", json!({"group": "crew", "user": "nobody"}), "not_found", "users"),
        ("group.invite", json!({"group": "crew", "users": many}), "too_large", "users"),
        ("group.invite", json!({"group": "nobodys", "user": "carol"}), "not_found", ""),
        ("group.remove", json!({"group": "crew"}), "bad_request", "users"),
        (
            "group.remove",
            json!({"group": "crew", "user": "bob", "users": ["bob"]}),
            "bad_request",
            "users",
        ),
        ("group.remove", json!({"group": "crew", "user": "nobody"}), "not_found", "users"),
        ("group.remove", json!({"group": "crew", "user": "alice"}), "forbidden", ""),
        ("group.remove", json!({"group": "crew", "users": many}), "too_large", "users"),
        ("group.members", json!({"group": "crew", "after": "x"}), "bad_request", "after"),
        ("group.members", json!({"group": "crew", "after": "1; drop"}), "bad_request", "after"),
        ("group.members", json!({"group": "crew", "after": 1}), "bad_request", "after"),
        (
            "group.members",
            json!({"group": "crew", "after": "9".repeat(30)}),
            "bad_request",
            "after",
        ),
        (
            "group.members",
            json!({"group": "crew", "after": "9".repeat(500)}),
            "bad_request",
            "after",
        ),
        ("group.members", json!({"group": "crew", "limit": 0}), "bad_request", "limit"),
        ("group.list", json!({"after": "\u{0}"}), "bad_request", "after"),
        ("group.list", json!({"after": "crew"}), "bad_request", "after"),
        ("group.list", json!({"limit": -1}), "bad_request", "limit"),
    ];

    for (cmd, body, code, field) in &cases {
        let (with, at) = refused(&mut alice, cmd, body).await;
        assert_eq!(with, *code, "{cmd} {body}");
        assert!(at.starts_with(field), "{cmd} {body}: at {at:?}, expected {field:?}");
    }
    for cmd in ["group.get", "group.join", "group.leave", "group.dissolve", "group.members"] {
        for group in [json!("nobodys"), json!("GROUP"), json!("crew\u{0}"), json!(null), json!(1)] {
            let (with, _) = refused(&mut alice, cmd, &json!({"group": group})).await;
            let code = if matches!(group.as_str(), Some("nobodys" | "GROUP")) {
                "not_found"
            } else {
                "bad_request"
            };
            assert_eq!(with, code, "{cmd} {group}");
        }
    }
    // An outsider of such a group is told that there is none; a plain member may not do everything.
    for (cmd, more) in [
        ("group.get", json!({})),
        ("group.members", json!({})),
        ("group.join", json!({})),
        ("group.leave", json!({})),
        ("group.dissolve", json!({})),
        ("group.update", json!({"name": "Mine"})),
        ("group.invite", json!({"user": "carol"})),
        ("group.remove", json!({"user": "bob"})),
    ] {
        let mut body = more;
        body["group"] = json!("crew");
        assert_eq!(carol.code(cmd, body).await, "not_found", "{cmd}");
    }
    assert_eq!(carol.code("message.send", to_group("crew", key(), "hi")).await, "not_found");
    let history = json!({"conversation": "group:crew"});
    assert_eq!(carol.code("message.history", history).await, "not_found");
    let read = json!({"conversation": "group:crew", "seq": 1});
    assert_eq!(carol.code("message.read", read).await, "not_found");
    assert_eq!(bob.code("group.dissolve", json!({"group": "crew"})).await, "forbidden");
    assert_eq!(
        bob.code("group.remove", json!({"group": "crew", "user": "alice"})).await,
        "forbidden"
    );
    let received = json!({"conversation": "group:crew", "seq": 1});
    assert_eq!(bob.code("message.received", received).await, "bad_request");
    assert_eq!(whole_log(&mut bob, "crew").await.len(), 1, "nothing of it has happened");
}

#[tokio::test]
async fn nobody_writes_notices_but_the_server() {
    let (_node, _app, mut alice, mut bob, _carol) = crew("meeting").await;
    let notices = [
        json!({"type": "notice", "action": "removed", "users": ["alice"]}),
        json!({"type": "notice", "action": "dissolved"}),
        json!({"type": "notice", "action": "renamed", "name": "Mine", "users": []}),
        json!({"type": "notice", "action": "crowned", "users": ["bob"]}),
        json!({"type": "notice"}),
        json!({"type": "recall", "seq": 1}),
    ];

    for content in notices {
        for to in ["group:crew", "user:alice"] {
            let send = json!({"to": to, "client_msg_id": key(), "content": content});
            let (code, field) = refused(&mut bob, "message.send", &send).await;
            assert_eq!(code, "bad_request", "{content}");
            assert!(field.starts_with("content"), "{content}: {field}");
        }
    }

    let sent = bob.ok("message.send", to_group("crew", key(), "fence")).await;
    assert_eq!(sent["seq"], 2, "none of them took a place");
    assert_eq!(follow(&whole_log(&mut alice, "crew").await).len(), 2);
}

#[tokio::test]
async fn what_belongs_to_another_app_is_not_there() {
    let (node, _app, mut alice, _bob, _carol) = crew("work").await;
    let database = database_of(&node).await;
    let other_app = "
        insert into apps (app, name) values (2, 'other');
        insert into users (app, id) values (2, 'dora');
        insert into groups (conversation_no, app, id, kind, name, owner_no, members, version)
          select nextval('conversation_numbers'), 2, 'theirs', 'meeting', 'Theirs', user_no, 1, 1 from users where id = 'dora';
        insert into group_heads (conversation_no, seq, counted, last_message_id)
          select conversation_no, 1, 0, 1 from groups where id = 'theirs';";
    database.batch_execute(other_app).await.unwrap();

    for cmd in ["group.get", "group.join", "group.leave", "group.members", "group.dissolve"] {
        assert_eq!(alice.code(cmd, json!({"group": "theirs"})).await, "not_found", "{cmd}");
    }
    let invite = json!({"group": "crew", "user": "dora"});
    assert_eq!(alice.code("group.invite", invite).await, "not_found");
    assert_eq!(alice.code("message.send", to_group("theirs", key(), "hi")).await, "not_found");
    // The id is free in this app.
    create(&mut alice, "theirs", "work", &[]).await;
    let made = alice.ok("group.get", json!({"group": "theirs"})).await;
    assert_eq!((&made["name"], &made["kind"]), (&json!("Team"), &json!("work")));
}
