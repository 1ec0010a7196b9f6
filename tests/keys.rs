//! The keys of an app as an operator handles them: made, listed, rotated and ended by commands.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::process::Output;

use common::chat::{App, patience};
use common::node::{Node, data_folder, run};
use rookery::domain::api_key::ApiKey;
use rookery::ids::Scope;
use rookery::limits;

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The code and what was said of a command that was refused.
fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_api_key_is_printed_once_and_alone_and_is_nowhere_else() {
    let node = Node::start();

    let output = node.run(&["api-key", "create", "--name", "the shop"]);
    let text = stdout(&output);
    let key = ApiKey::parse(text.trim_end()).unwrap();
    assert_eq!(text, format!("{}\n", key.reveal()));
    let note = String::from_utf8(output.stderr).unwrap();
    assert!(note.contains(&key.id().to_string()) && note.contains("365 days"), "{note}");

    let narrow = ["--scopes", "users:read,messages:send", "--expire-days", "2"];
    let narrow = [&["api-key", "create", "--name", "a\u{1b}[31m"], &narrow[..]].concat();
    let narrow = ApiKey::parse(stdout(&node.run(&narrow)).trim_end()).unwrap();
    let listed = stdout(&node.run(&["api-key", "list"]));
    let lines: Vec<&str> = listed.lines().collect();
    let [head, demo, first, second] = lines[..] else { panic!("{listed}") };
    assert!(head.starts_with("ID ") && demo.ends_with("  all  demo"), "{listed}");
    assert!(first.starts_with(&key.id().to_string()), "{first}");
    assert!(first.ends_with("  all  the shop"), "{first}");
    assert!(second.starts_with(&narrow.id().to_string()), "{second}");
    assert!(second.ends_with("  users:read,messages:send  a\\u{1b}[31m"), "{second}");
    assert!(!listed.contains(&key.reveal()[20..]), "{listed}");

    stdout(&node.run(&["api-key", "revoke", &key.id().to_string()]));
    let listed = stdout(&node.run(&["api-key", "list"]));
    assert_eq!(listed.lines().collect::<Vec<_>>(), [head, demo, second]);
    let again = refused(&node.run(&["api-key", "revoke", &key.id().to_string()]));
    assert!(again.contains("there is no API key") && again.contains("api-key list"), "{again}");
}

#[test]
fn an_app_has_so_many_api_keys_and_one_more_is_refused() {
    let node = Node::start();
    let create = || node.run(&["api-key", "create", "--name", "key"]);
    let mut last = String::new();
    // The demo has one.
    for _ in 1..limits::API_KEYS {
        last = stdout(&create());
    }

    let said = refused(&create());
    assert!(said.contains("20 API keys") && said.contains("api-key revoke"), "{said}");

    let id = ApiKey::parse(last.trim_end()).unwrap().id().to_string();
    stdout(&node.run(&["api-key", "revoke", &id]));
    stdout(&create());
}

#[test]
fn what_no_api_key_can_be_is_refused_with_what_was_expected() {
    let folder = data_folder();
    let long = "x".repeat(limits::API_KEY_NAME_BYTES + 1);
    for (args, said) in [
        (&["create"][..], "--name"),
        (&["create", "--name", ""], "1 to 64 bytes"),
        (&["create", "--name", &long], "1 to 64 bytes"),
        (&["create", "--name", "n", "--scopes", "users:red"], Scope::UsersRead.as_str()),
        (&["create", "--name", "n", "--scopes", ""], Scope::UsersRead.as_str()),
        (&["create", "--name", "n", "--expire-days", "0"], "1..=3650"),
        (&["create", "--name", "n", "--expire-days", "3651"], "1..=3650"),
        (&["revoke", "rk_1"], "16 hexadecimal digits"),
    ] {
        let output = run(folder.path(), &[&["api-key"], args].concat(), &[]);

        let text = refused(&output);
        assert!(text.contains(said), "{args:?}: {text}");
    }
}

/// Whether a token that this app signs lets its user in; if not, it must be for the token.
async fn comes_in(app: &App) -> bool {
    let mut raw = app.connect().await;
    let reply = patience("a login", raw.0.call("login", app.login("alice", "tab"))).await.unwrap();
    assert!(reply["ok"].is_object() || reply["error"]["code"] == "bad_token", "{reply}");
    reply["ok"].is_object()
}

/// A node takes keys as known for a second.
async fn is_refused_soon(app: &App) {
    patience("a key that was rotated away signs no more", async { while comes_in(app).await {} })
        .await;
}

#[tokio::test]
async fn two_keys_sign_tokens_while_one_is_rotated_and_the_older_one_does_so_no_more() {
    let node = Node::start();
    let rotate = |keep_s| {
        let printed = stdout(&node.run(&["key", "rotate", "--keep-old-s", keep_s]));
        assert_eq!(printed, stdout(&node.run(&["key", "show"])), "the newest is shown");
        App::of(&node)
    };
    let first = App::of(&node);
    assert!(comes_in(&first).await);

    let second = rotate("1000");
    assert!(comes_in(&first).await && comes_in(&second).await);

    let third = rotate("1000");
    is_refused_soon(&first).await;
    assert!(comes_in(&second).await && comes_in(&third).await);

    let fourth = rotate("0");
    for ended in [&second, &third] {
        is_refused_soon(ended).await;
    }
    assert!(comes_in(&fourth).await);
}
