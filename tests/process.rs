//! The server as a process: how it starts, what it says, how it ends, and what it leaves behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use common::chat::{self, App, key};
use common::node::{Node, Options, data_folder, run};
use common::postgres::Postgres;
use common::{eventually, get, is_running, send_signal};
use rookery::domain::usersig;
use rookery::ids::{AppId, UnixMs, UserId};
use rookery::limits;
use serde_json::json;

fn is_root() -> bool {
    rookery::store::child::effective_uid() == 0
}

/// One sentence for a person, no traces, and the code that says that the start was refused.
fn refused(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty(), "{text}");
    for word in ["panicked", "backtrace", "Error {"] {
        assert!(!text.contains(word), "{text}");
    }
    text.lines().last().unwrap_or_default().to_owned()
}

#[track_caller]
fn assert_says(sentence: &str, parts: &[&str]) {
    for part in parts {
        assert!(sentence.contains(part), "`{sentence}` should say `{part}`");
    }
}

#[test]
fn a_ready_server_says_so_once_with_its_real_ports() {
    let node = Node::start();

    let (status, health) = get(node.inside(), "/healthz").unwrap();
    assert_eq!((status, health.as_str()), (200, "ok\n"));
    let (status, readiness) = get(node.inside(), "/readyz").unwrap();
    assert_eq!(status, 200, "{readiness}");
    assert!(readiness.contains(r#""postgres":{"ready":true}"#), "{readiness}");
    assert!(get(node.inside(), "/metrics").unwrap().1.contains("rookery_postgres_up 1"));

    let stdout = node.stdout();
    let first = stdout.lines().next().unwrap();
    assert_eq!(
        first,
        format!("rookery ready http={} tcp={} inside={}", node.http(), node.tcp(), node.inside())
    );
    assert_eq!(stdout.matches("rookery ready").count(), 1);
    assert!(stdout.contains(&format!("http://{}/", node.http())), "{stdout}");
}

#[test]
fn a_stopped_server_leaves_nothing_running_and_starts_again_as_the_same_node() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let postgres = node.postgres_pid().unwrap();
    let identity = fs::read_to_string(folder.path().join("node.json")).unwrap();

    let status = node.stop();

    assert_eq!(status.code(), Some(0));
    // Not eventually: PostgreSQL goes before its server does.
    assert!(!is_running(postgres));
    assert_eq!(node.postgres_pid(), None);
    let said = node.stderr();
    assert!(!said.contains("terminating connection") && !said.contains("shutting down"), "{said}");
    let again = Node::start_in(folder.path(), Options::default());
    assert_eq!(fs::read_to_string(folder.path().join("node.json")).unwrap(), identity);
    assert!(!again.stderr().contains("making the database"));
}

#[test]
fn a_second_signal_hurries_the_stop() {
    let mut node = Node::start();
    let postgres = node.postgres_pid().unwrap();

    node.signal("INT");
    node.signal("INT");

    assert_eq!(node.await_end().code(), Some(0));
    assert!(!is_running(postgres));
}

#[test]
fn a_start_that_is_broken_off_leaves_nothing_in_the_way_of_the_next() {
    let folder = data_folder();
    let mut node = Node::launch(folder.path(), Options::default());
    node.await_stderr("making the database").unwrap();

    node.signal("TERM");

    assert_eq!(node.await_end().code(), Some(0));
    assert!(!node.stdout().contains("ready"));
    Node::start_in(folder.path(), Options::default());
}

#[test]
fn a_start_that_is_killed_while_it_makes_the_database_is_made_up_for() {
    let folder = data_folder();
    let mut node = Node::launch(folder.path(), Options::default());
    node.await_stderr("making the database").unwrap();

    node.kill();

    Node::start_in(folder.path(), Options::default());
    let drafts = fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("draft"))
        .count();
    assert_eq!(drafts, 0);
}

#[test]
fn a_killed_server_leaves_no_postgresql_behind() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let postgres = node.postgres_pid().unwrap();
    assert!(is_running(postgres));

    node.kill();

    eventually("PostgreSQL ends with its server", || (!is_running(postgres)).then_some(()));
    Node::start_in(folder.path(), Options::default());
}

/// A start right after a kill waits for the PostgreSQL that is still stopping.
#[test]
fn restart_while_old_postmaster_stops() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    for _ in 0..3 {
        node.kill();

        let mut next = Node::launch(folder.path(), Options::default());
        next.await_ready();
        next.await_all_ready();

        node = next;
    }
}

#[test]
fn a_lock_file_that_names_a_living_stranger_is_no_hindrance() {
    let folder = data_folder();
    let mut node = Node::start_in(folder.path(), Options::default());
    let postgres = node.postgres_pid().unwrap();
    // As after a restart of the machine: the lock file stays, and its number belongs to somebody else.
    node.signal("STOP");
    send_signal(postgres, "KILL");
    eventually("PostgreSQL is gone", || (!is_running(postgres)).then_some(()));
    node.kill();
    let lock = folder.path().join("postgres/postmaster.pid");
    let text = fs::read_to_string(&lock).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&lock, format!("{}\n{rest}", std::process::id())).unwrap();

    Node::start_in(folder.path(), Options::default()).await_all_ready();
}

#[test]
fn a_postgresql_that_dies_is_started_again_under_a_living_server() {
    let node = Node::start();
    for round in 1..=2 {
        let before = node.postgres_pid().unwrap();

        send_signal(before, "KILL");

        eventually("another PostgreSQL runs", || {
            node.postgres_pid().filter(|now| *now != before && is_running(*now))
        });
        node.await_all_ready();
        let (_, metrics) = get(node.inside(), "/metrics").unwrap();
        let count = metrics
            .lines()
            .find_map(|line| line.strip_prefix("rookery_postgres_restarts_total "))
            .and_then(|count| count.parse::<u32>().ok());
        assert!(count >= Some(round), "{metrics}");
    }
    node.await_stderr("it is started again").unwrap();
}

#[test]
fn a_data_folder_that_another_server_holds_is_refused_with_its_process() {
    let node = Node::start();

    let second = run(node.data_dir(), &["serve"], &[]);

    let sentence = refused(&second);
    assert_says(&sentence, &["held by another server", &node.pid().to_string(), "--data-dir"]);
    node.await_all_ready();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let sentence = refused(&run(Path::new("/proc/rookery"), &["serve"], &[]));

    assert_says(&sentence, &["/proc/rookery", "--data-dir"]);
}

#[test]
fn a_folder_that_postgresqls_user_cannot_reach_is_refused_with_the_folder_to_open() {
    if !is_root() {
        // Then PostgreSQL runs as ourselves, and reaches what we reach.
        return;
    }
    let closed = data_folder();
    fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();

    let sentence = refused(&run(&closed.path().join("data"), &["serve"], &[]));

    assert_says(&sentence, &[closed.path().to_str().unwrap(), "chmod o+x"]);
}

#[test]
fn a_port_in_use_is_named_with_its_setting_before_anything_is_made() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (variable, setting) in
        [("ROOKERY__HTTP__PORT", "http.port"), ("ROOKERY__INSIDE__PORT", "inside.port")]
    {
        let folder = data_folder();

        let sentence = refused(&run(folder.path(), &["serve"], &[(variable, &port)]));

        assert_says(&sentence, &[&format!("127.0.0.1:{port}"), "in use", setting]);
        assert!(!folder.path().join("postgres").exists());
    }
}

#[test]
fn a_postgresql_that_is_not_there_or_too_old_is_refused_with_what_to_install() {
    let folder = data_folder();
    let programs = data_folder();
    let bin = programs.path().to_str().unwrap();
    let named = [("ROOKERY__DATABASE__POSTGRES_BIN", bin)];

    let missing = refused(&run(folder.path(), &["serve"], &named));
    for program in ["initdb", "postgres"] {
        let path = programs.path().join(program);
        fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 13.23'\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let too_old = refused(&run(folder.path(), &["serve"], &named));

    assert_says(&missing, &["database.postgres_bin", bin, "initdb"]);
    assert_says(
        &too_old,
        &["PostgreSQL 13.23", bin, "too old", "14", "apt-get install postgresql"],
    );
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let folder = data_folder();
    for (variable, value, parts) in [
        ("ROOKERY__HTTP__PROT", "1", ["unknown setting", "did you mean ROOKERY__HTTP__PORT?"]),
        ("ROOKERY__HTTP__PORT", "soon", ["http.port", "a whole number"]),
        ("ROOKERY__DATABASE__POOL_SIZE", "0", ["database.pool_size", "1 to 1000"]),
        ("ROOKERY__HTTP__PORT", "8802", ["http.port and inside.port", "8802"]),
        ("ROOKERY__LOG__LEVEL", "a=b=c", ["log.level", "info"]),
        ("ROOKERY__RECEIPTS__READ", "maybe", ["receipts.read", "`on` or `off`"]),
    ] {
        for command in [&["serve"][..], &["config", "check"]] {
            let same = [("ROOKERY__INSIDE__PORT", "8802"), (variable, value)];
            assert_says(&refused(&run(folder.path(), command, &same)), &parts);
        }
    }
    let missing = refused(&run(folder.path(), &["serve", "--config", "/nowhere.toml"], &[]));
    assert_says(&missing, &["/nowhere.toml"]);
}

#[test]
fn a_damaged_identity_is_refused_and_not_replaced() {
    let folder = data_folder();
    fs::write(folder.path().join("node.json"), "{}").unwrap();

    let sentence = refused(&run(folder.path(), &["serve"], &[]));

    assert_says(&sentence, &["node.json", "damaged"]);
    assert_eq!(fs::read_to_string(folder.path().join("node.json")).unwrap(), "{}");
}

#[test]
fn config_check_prints_what_is_in_force_and_hides_the_password() {
    let folder = data_folder();
    let url = "postgres://app:hunter2@db.example.com:5432/chat";

    let output = run(folder.path(), &["config", "check"], &[("ROOKERY__DATABASE__URL", url)]);

    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_says(&text, &["http.host = \"127.0.0.1\"  # default", "app:***@db.example.com"]);
    assert!(!text.contains("hunter2"));
}

#[test]
fn a_data_folder_may_have_any_name() {
    let folder = data_folder();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();

    Node::start_in(&folder.path().join("a, \"b\" 'c' ü"), Options::default()).await_all_ready();
}

#[test]
fn migrate_works_without_a_server_and_beside_one() {
    let folder = data_folder();

    let first = run(folder.path(), &["migrate"], &[]);
    let node = Node::start_in(folder.path(), Options::default());
    let beside = run(folder.path(), &["migrate"], &[]);

    let text = String::from_utf8_lossy(&first.stdout).into_owned();
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    assert!(text.contains("first_conversation"), "{text}");
    assert_eq!(beside.status.code(), Some(0), "{}", String::from_utf8_lossy(&beside.stderr));
    assert!(beside.stdout.is_empty() && beside.stderr.is_empty());
    node.await_all_ready();
}

/// What stands in the fragment of the link of a demo user.
fn demo_token(node: &Node, user: &str) -> Option<String> {
    let stdout = node.stdout();
    let begin = format!("http://{}/#app=1&user={user}&token=", node.http());
    let line = stdout.lines().find_map(|line| line.split_once(&begin).map(|(_, rest)| rest))?;
    Some(line.to_owned())
}

/// Second at which tokens of a user begin to hold, as the database has it.
async fn not_before_s(node: &Node, user: &str) -> i64 {
    let socket = node.data_dir().join("run");
    let url = format!("host={} user=rookery dbname=rookery", socket.display());
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = client
        .query_opt("select not_before_s from users where app = 1 and id = $1", &[&user])
        .await
        .unwrap();
    row.map_or(0, |row| row.get(0))
}

fn text(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn verified(token: &str, secret: &str, user: &str) -> UnixMs {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    let now = UnixMs::new(i64::try_from(since.as_millis()).unwrap());
    let user = UserId::parse(user).unwrap();
    let app = AppId::DEFAULT;
    usersig::verify(token, &[secret], app, &user, now, limits::TOKEN_VALIDITY_S).unwrap().expires_at
}

#[test]
fn token_prints_a_token_and_key_show_what_signs_it() {
    let folder = data_folder();

    // Without a server, on a folder that is empty, and then beside one.
    let key = text(&run(folder.path(), &["key", "show"], &[]));
    let node = Node::start_in(folder.path(), Options::default());
    let token = text(&run(folder.path(), &["token", "--user", "carol"], &[]));
    let same_key = text(&run(folder.path(), &["key", "show"], &[]));

    assert_eq!(key, same_key);
    let secret = key.strip_prefix("sdkappid=1\nsecret=").unwrap().trim_end();
    assert_eq!(secret.len(), 64);
    assert_eq!(token.lines().count(), 1);
    verified(token.trim_end(), secret, "carol");
    verified(&demo_token(&node, "alice").unwrap(), secret, "alice");
    verified(&demo_token(&node, "bob").unwrap(), secret, "bob");
    for (args, parts) in [
        (&["token", "--user", "no spaces"][..], "expected only the characters"),
        (&["token", "--user", "carol", "--app", "7"], "app 7 does not exist"),
        (&["token", "--user", "carol", "--app", "0"], "2147483647"),
        (&["token", "--user", "carol", "--expire-s", "99999999999"], "99999999999"),
    ] {
        let output = run(folder.path(), args, &[]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_says(&String::from_utf8_lossy(&output.stderr), &[parts]);
    }
}

#[tokio::test]
async fn demo_users_end_at_an_address_that_others_can_reach() {
    let folder = data_folder();
    let mut first = Node::start_in(folder.path(), Options::default());
    let key = text(&run(folder.path(), &["key", "show"], &[]));
    let secret = key.rsplit_once('=').unwrap().1.trim_end().to_owned();
    let token = demo_token(&first, "alice").unwrap();
    let signed_at_s = |token: &str| verified(token, &secret, "alice").get() / 1000 - 7 * 86_400;
    assert!(not_before_s(&first, "alice").await <= signed_at_s(&token));
    first.stop();

    for host in ["ROOKERY__HTTP__HOST", "ROOKERY__TCP__HOST"] {
        let elsewhere = Options::default().env(host, "0.0.0.0");
        let mut open = Node::start_in(folder.path(), elsewhere);

        assert_eq!(demo_token(&open, "alice"), None);
        assert_says(&open.stdout(), &["the demo users are off", "0.0.0.0"]);
        assert!(not_before_s(&open, "alice").await > signed_at_s(&token));
        assert!(not_before_s(&open, "bob").await > signed_at_s(&token));
        open.stop();
    }

    // At once, within the same second if it can be.
    let again = Node::start_in(folder.path(), Options::default());
    let fresh = demo_token(&again, "alice").unwrap();
    assert!(not_before_s(&again, "alice").await <= signed_at_s(&fresh));
}

#[test]
fn commands_and_a_server_that_start_at_once_take_turns() {
    let folder = data_folder();
    let path = folder.path();
    std::thread::scope(|scope| {
        let migrations: Vec<_> =
            (0..3).map(|_| scope.spawn(|| run(path, &["migrate"], &[]))).collect();

        let node = Node::start_in(path, Options::default());

        for migration in migrations {
            let output = migration.join().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{errors}");
        }
        node.await_all_ready();
    });
}

#[test]
fn a_data_folder_with_a_path_too_long_for_a_socket_works() {
    let folder = data_folder();
    fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let deep =
        folder.path().join("d".repeat(100)).join("with, \"all\" sorts of 'signs' in its name");
    fs::create_dir_all(&deep).unwrap();

    let mut node = Node::start_in(&deep, Options::default());

    node.await_all_ready();
    assert_eq!(node.stop().code(), Some(0));
}

#[tokio::test]
async fn a_database_that_may_lose_messages_is_refused_unless_that_is_accepted() {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let postgres = Postgres::start(&[&format!("{setting}=off")]).await;
        let folder = data_folder();

        let url = postgres.url();
        let sentence =
            refused(&run(folder.path(), &["serve"], &[("ROOKERY__DATABASE__URL", &url)]));
        let options = Options::default().env("ROOKERY__DATABASE__URL", &url);
        let mut node = Node::start_in(folder.path(), options.arg("--accept-message-loss"));

        assert_says(&sentence, &[setting, "--accept-message-loss"]);
        node.await_stderr("may lose acknowledged messages").unwrap();
        node.await_all_ready();
        assert_eq!(node.stop().code(), Some(0));
        assert!(!folder.path().join("postgres").exists());
        postgres.stop().await;
    }
}

#[tokio::test]
async fn a_named_database_is_used_and_left_running() {
    let postgres = Postgres::start(&[]).await;

    let mut node =
        Node::start_with(Options::default().env("ROOKERY__DATABASE__URL", &postgres.url()));
    node.await_all_ready();
    assert_says(&node.stdout(), &["the demo users are off: database.url is set"]);
    assert_eq!(demo_token(&node, "alice"), None);
    assert_eq!(node.stop().code(), Some(0));

    postgres.connect().await;
    postgres.stop().await;
}

#[tokio::test]
async fn a_node_whose_database_is_away_is_alive_and_not_ready() {
    let postgres = Postgres::start(&[]).await;
    let mut node =
        Node::start_with(Options::default().env("ROOKERY__DATABASE__URL", &postgres.url()));
    node.await_all_ready();

    postgres.stop().await;

    let report = eventually("/readyz says 503", || {
        get(node.inside(), "/readyz").filter(|(status, _)| *status == 503).map(|(_, body)| body)
    });
    assert_says(&report, &[r#""ready":false"#, r#""postgres":{"ready":false,"detail":"#]);
    assert_says(&report, &[r#""serving":{"ready":true}"#]);
    assert_eq!(get(node.inside(), "/healthz").unwrap().0, 200);
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let mut node = Node::start_with(Options::default().env("ROOKERY__LOG__FORMAT", "json"));
    node.stop();

    let stderr = node.stderr();
    assert!(stderr.lines().count() > 3, "{stderr}");
    for line in stderr.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(value["level"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn a_log_follows_a_message_and_shows_no_body_token_or_secret_at_any_level() {
    for level in ["trace", "trace,tokio_postgres=trace,tokio_postgres::query=trace"] {
        let mut node = Node::start_with(Options::default().env("RUST_LOG", level));
        let app = App::of(&node);
        let shown = text(&node.run(&["key", "show"]));
        let secret = shown.lines().find_map(|line| line.strip_prefix("secret=")).unwrap();
        let token = app.token("alice");
        let mut bob = app.raw("bob", "phone").await;
        let mut alice = app.connect().await;
        let device = json!({"id": "laptop", "platform": "linux"});
        alice.ok("login", json!({"user": "alice", "token": token, "device": device})).await;
        let key = key();
        alice.ok("message.send", chat::text("bob", key, "MARKER-OF-A-BODY")).await;
        bob.event("message.new").await;
        alice.ok("message.history", json!({"conversation": "user:bob"})).await;
        node.stop();

        let log = node.stderr();
        let of_the_message: Vec<&str> =
            log.lines().filter(|line| line.contains(&key.to_string())).collect();
        for step in ["received", "committed", "pushed"] {
            assert!(of_the_message.iter().any(|line| line.contains(step)), "{of_the_message:?}");
        }
        // The driver shows bytes as numbers.
        for hidden in ["MARKER-OF-A-BODY", "77, 65, 82, 75, 69, 82", &token[..60], secret] {
            let line = log.lines().find(|line| line.contains(hidden));
            assert_eq!(line, None, "{level}");
        }
    }
}

#[test]
fn a_database_that_cannot_be_reached_is_refused() {
    let folder = data_folder();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let url = format!("postgres://app:hunter2@127.0.0.1:{port}/chat");

    let sentence = refused(&run(folder.path(), &["serve"], &[("ROOKERY__DATABASE__URL", &url)]));

    assert_says(&sentence, &["database.url"]);
    assert!(!sentence.contains("hunter2"));
}
