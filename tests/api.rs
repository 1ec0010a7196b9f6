//! The REST interface from outside: who is let in, what is wrong with a request, and what users, devices and settings come to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod common;

use std::collections::BTreeSet;

use common::chat::App;
use common::node::Node;
use common::rest::{Backend, ROOT, key};
use rookery::store::embedded;
use serde_json::{Value, json};

/// A route of the document: its method, its path with names in place of the parameters, and its scope.
struct Operation {
    method: String,
    path: String,
    scope: Option<String>,
}

/// The document is written from the table of routes, which a test of the table sees to.
fn operations() -> Vec<Operation> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut operations = Vec::new();
    for (path, methods) in paths {
        let path = path.strip_prefix(ROOT).unwrap();
        let path = path.replace("{conversation}", "user:bob").replace(['{', '}'], "");
        for (method, operation) in methods.as_object().unwrap() {
            let scope = operation["security"][0]["apiKey"][0].as_str().map(str::to_owned);
            operations.push(Operation { method: method.to_uppercase(), path: path.clone(), scope });
        }
    }
    operations
}

#[test]
fn every_route_asks_for_a_key_that_holds_and_has_its_scope() {
    let node = Node::start();
    let (reader, setter) = (key(&node, &["users:read"]), key(&node, &["apps:write"]));
    let other = format!("rk_{}_{}", "0".repeat(16), "A".repeat(43));
    let of_other_secret = format!("{}_{}", &reader[..19], "A".repeat(43));
    let nobody = Backend::without_key(&node);
    let mut scopes = BTreeSet::new();

    for Operation { method, path, scope } in operations() {
        let Some(scope) = scope else {
            assert_eq!(nobody.ask(&method, &path, b"").status, 200, "{path} is for everybody");
            continue;
        };
        let without = nobody.ask(&method, &path, b"");
        assert_eq!(without.refused(401, "not_logged_in"), "Authorization");
        assert_eq!(without.header("www-authenticate"), "Bearer");
        for wrong in ["nonsense", "rk_", &other, &of_other_secret] {
            let refused = Backend::with_key(&node, wrong).ask(&method, &path, b"");
            refused.refused(401, "bad_token");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
        }
        let lacking = if scope == "users:read" { &setter } else { &reader };
        let refused = Backend::with_key(&node, lacking).ask(&method, &path, b"");
        refused.refused(403, "forbidden");
        assert!(refused.json()["detail"].as_str().unwrap().contains(&scope));
        scopes.insert(scope);
    }
    assert_eq!(scopes.len(), 10, "{scopes:?}");
}

#[test]
fn a_key_that_was_revoked_is_refused_from_then_on() {
    let node = Node::start();
    let made = key(&node, &[]);
    let backend = Backend::with_key(&node, &made);
    backend.get("/app/receipts").done(200);

    let id = made.split('_').nth(1).unwrap();
    assert!(node.run(&["api-key", "revoke", id]).status.success());

    backend.get("/app/receipts").refused(401, "bad_token");
}

#[tokio::test]
async fn a_key_that_has_expired_is_refused_and_told_so() {
    let node = Node::start();
    let backend = Backend::of(&node);
    let config = embedded::config_beside(node.data_dir()).expect("the private server's socket");
    let (database, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);

    let update = "update api_keys set expires_at = now() - interval '1 second'";
    database.batch_execute(update).await.unwrap();

    backend.get("/app/receipts").refused(401, "token_expired");
}

#[test]
fn what_is_wrong_with_a_request_is_named() {
    let node = Node::start();
    let backend = Backend::of(&node);

    backend.get("/nothing").refused(404, "not_found");
    let other = backend.ask("DELETE", "/users", b"");
    other.refused(405, "unknown_command");
    assert_eq!(other.header("allow"), "POST");
    let other = backend.send("PUT", "/groups/eng", &json!({}));
    assert_eq!(other.header("allow"), "GET, PATCH, DELETE");

    assert_eq!(backend.ask("POST", "/users", b"{}").refused(415, "bad_request"), "Content-Type");
    let text = backend.header("Content-Type", "text/plain");
    text.ask("POST", "/users", b"{}").refused(415, "bad_request");

    let json = backend.header("Content-Type", "application/json; charset=utf-8");
    for (body, field) in [
        (&b""[..], "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b"{} {}", "user"),
        (b"{\"user\":\"a\"} x", "body"),
        (b"\xff", "body"),
        (b"{}", "user"),
        (b"{\"user\":7}", "user"),
        (b"{\"user\":\"a b\"}", "user"),
        (b"{\"user\":\"a\",\"name\":\"A\"}", "name"),
        (b"{\"user\":\"a\",\"user\":\"b\"}", "user"),
    ] {
        assert_eq!(json.ask("POST", "/users", body).refused(400, "bad_request"), field, "{body:?}");
    }
    let deep = format!("{{\"user\":{}{}}}", "[".repeat(40), "]".repeat(40));
    json.ask("POST", "/users", deep.as_bytes()).refused(400, "bad_request");
    let message = json!({ "to": "user:a", "content": { "type": "text" } });
    assert_eq!(backend.post("/messages", &message).refused(400, "bad_request"), "content.text");

    for (path, field) in [
        ("/users/a%20b", "user"),
        ("/users/%2e%2f", "user"),
        ("/users/%ff", "user"),
        ("/users/a/devices?limit=0", "limit"),
        ("/users/a/devices?limit=many", "limit"),
        ("/users/a/devices?before=1", "before"),
        ("/users/a/conversations/bob/messages", "conversation"),
        ("/groups/eng/messages?after=-1", "after"),
    ] {
        assert_eq!(backend.get(path).refused(400, "bad_request"), field, "{path}");
    }
    for (bad, name) in [("", "empty"), (&"x".repeat(65)[..], "long"), ("a b", "with a space")] {
        let keyed = backend.header("Idempotency-Key", bad);
        let refused = keyed.post("/users", &json!({ "user": "a" }));
        assert_eq!(refused.refused(400, "bad_request"), "Idempotency-Key", "{name}");
    }
}

#[test]
fn a_user_is_made_once_shown_and_kept_out_and_let_in_again() {
    let node = Node::start();
    let backend = Backend::of(&node);

    let made = backend.post("/users", &json!({ "user": "a#1" }));
    let user = made.done(201);
    assert_eq!(made.header("location"), "/api/v1/users/a%231");
    assert_eq!((&user["user"], &user["online"]), (&json!("a#1"), &json!(false)));
    assert_eq!(backend.post("/users", &json!({ "user": "a#1" })).done(200), user);
    assert_eq!(backend.get("/users/a%231").done(200), user);
    assert_eq!(backend.get("/users/nobody").refused(404, "not_found"), "user");

    let out = backend.ask("POST", "/users/a%231/deactivate", b"").done(200);
    assert_eq!(out["deactivated"], true);
    assert_eq!(backend.get("/users/a%231").done(200)["deactivated"], true);
    let back = backend.post("/users/a%231/reactivate", &json!({})).done(200);
    assert_eq!(back, user);
    backend.ask("POST", "/users/system/deactivate", b"").refused(409, "conflict");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_are_listed_by_page_and_ended_one_by_one_or_all() {
    let node = Node::start();
    let (app, backend) = (App::of(&node), Backend::of(&node));
    for name in ["one", "two", "three"] {
        app.raw("alice", name).await;
    }

    let first = backend.get("/users/alice/devices?limit=2").done(200);
    let next = first["next"].as_str().unwrap();
    let second = backend.get(&format!("/users/alice/devices?limit=2&after={next}")).done(200);
    let named = |page: &Value| -> Vec<String> {
        let devices = page["devices"].as_array().unwrap().iter();
        devices.map(|row| row["device"]["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!([named(&first), named(&second)].concat(), ["three", "two", "one"]);
    assert_eq!(second.get("next"), None);
    let wrong = backend.get("/users/alice/devices?after=x");
    assert_eq!(wrong.refused(400, "bad_request"), "after");

    for wrong in [json!({}), json!({ "device": "one", "all": true })] {
        backend.post("/users/alice/kick", &wrong).refused(400, "bad_request");
    }
    backend.post("/users/nobody/kick", &json!({ "all": true })).refused(404, "not_found");
    let ended = backend.post("/users/alice/kick", &json!({ "all": true })).done(200);
    let none = backend.post("/users/alice/kick", &json!({ "all": true })).done(200);
    assert_eq!(none["ended"], json!([]));
    assert!(ended["ended"].as_array().unwrap().len() <= 3);
    assert_eq!(backend.get("/users/alice").done(200)["online"], false);
}

#[test]
fn a_post_under_a_key_is_done_once_and_answered_alike() {
    let node = Node::start();
    let backend = Backend::of(&node);
    let keyed = backend.header("Idempotency-Key", "order-17");
    let dave = json!({ "user": "dave" });

    let first = keyed.post("/users", &dave);
    let again = keyed.post("/users", &dave);

    first.done(201);
    assert_eq!(first.header("idempotent-replayed"), "");
    // Asked anew it would have been there already, with 200.
    assert_eq!(again.done(201), first.json());
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotent-replayed"), "true");
    let other = keyed.post("/users", &json!({ "user": "erin" }));
    assert_eq!(other.refused(422, "key_reused"), "Idempotency-Key");
    let elsewhere = keyed.ask("POST", "/users/dave/deactivate", b"");
    elsewhere.refused(422, "key_reused");
}

#[test]
fn what_was_refused_under_a_key_may_be_asked_again() {
    let node = Node::start();
    let backend = Backend::of(&node);
    let keyed = backend.header("Idempotency-Key", "k");
    let out = "/users/frank/deactivate";
    keyed.ask("POST", out, b"").refused(404, "not_found");

    backend.post("/users", &json!({ "user": "frank" })).done(201);

    assert_eq!(keyed.ask("POST", out, b"").done(200)["deactivated"], true);
}

#[test]
fn the_app_s_settings_are_shown_and_changed() {
    let node = Node::start();
    let backend = Backend::of(&node);
    let policy = backend.get("/app/login-policy").done(200);
    assert_eq!(policy["mode"], "per_class");
    assert_eq!(policy["caps"]["web"], 10);

    let single =
        json!({ "mode": "single", "on_conflict": "refuse_newcomer", "caps": { "web": 2 } });
    let set = backend.send("PUT", "/app/login-policy", &single).done(200);
    assert_eq!(
        (&set["mode"], &set["caps"]["web"], &set["caps"]["ios"]),
        (&json!("single"), &json!(2), &json!(3))
    );
    assert_eq!(backend.get("/app/login-policy").done(200), set);
    let mut at_once = single.clone();
    at_once["apply_now"] = json!(true);
    assert_eq!(backend.send("PUT", "/app/login-policy", &at_once).done(200)["ended"], 0);
    let short = backend.send("PUT", "/app/login-policy", &json!({ "mode": "all" })).done(200);
    assert_eq!(
        (&short["on_conflict"], &short["caps"]["web"]),
        (&json!("newest_wins"), &json!(10)),
        "what is left out is as in an app that set nothing"
    );
    for (wrong, field) in [
        (json!({ "mode": "double", "on_conflict": "newest_wins" }), "mode"),
        (json!({ "mode": "single", "on_conflict": "newest_wins", "caps": { "web": 0 } }), "caps"),
        (json!({ "mode": "single", "on_conflict": "newest_wins", "caps": { "web": 65 } }), "caps"),
        (json!({ "mode": "single", "on_conflict": "newest_wins", "caps": { "tv": 1 } }), "caps"),
        (json!({ "mode": "single", "on_conflict": "oldest_wins" }), "on_conflict"),
        (json!({ "on_conflict": "newest_wins" }), "mode"),
    ] {
        let refused = backend.send("PUT", "/app/login-policy", &wrong);
        assert!(refused.refused(400, "bad_request").starts_with(field), "{wrong}");
    }

    assert_eq!(backend.get("/app/receipts").done(200), json!({ "read": "on" }));
    backend.send("PUT", "/app/receipts", &json!({ "read": "off" })).done(200);
    assert_eq!(backend.get("/app/receipts").done(200), json!({ "read": "off" }));
}

#[test]
fn the_document_and_its_page_are_for_everybody_and_load_nothing_from_elsewhere() {
    let node = Node::start();
    let nobody = Backend::without_key(&node);

    let document = nobody.get("/openapi.json").done(200);
    let page = nobody.get("/docs");

    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(!page.body.contains("://"), "{}", page.body);
    for asset in page.body.split('"').filter(|part| part.starts_with("/assets/")) {
        assert!(
            common::get(node.http(), asset).is_some_and(|(status, _)| status == 200),
            "{asset}"
        );
    }
}
