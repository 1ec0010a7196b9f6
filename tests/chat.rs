//! `rookery chat` as people and scripts use it: through pipes, in JSON, and at a terminal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::io::Write;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};

use common::node::{Lines, Node, data_folder, program};
use common::policy::{self, rules};
use common::{eventually, send_signal};
use rookery::domain::login_policy::{Mode, OnConflict};
use serde_json::{Value, json};

/// Exit codes, as `rookery chat --help` lists them.
const DONE: Option<i32> = Some(0);
const FAILED: Option<i32> = Some(1);
const WRONG: Option<i32> = Some(2);
const ENDED: Option<i32> = Some(3);
const UNREACHABLE: Option<i32> = Some(4);

fn chat(node: &Node, args: &[&str]) -> Command {
    let mut command = program(node.data_dir());
    command.arg("chat").args(args).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a chat on this input to its end.
fn piped(mut command: Command, input: &str) -> Output {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        // A chat that ended at once reads nothing.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

fn run(node: &Node, args: &[&str], input: &str) -> Output {
    piped(chat(node, args), input)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
fn assert_ended(output: &Output, code: Option<i32>) {
    assert_eq!(
        output.status.code(),
        code,
        "out: {}\nerr: {}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

/// Makes users, who exist from their first login on.
fn users(node: &Node, names: &[&str]) {
    for name in names {
        assert_ended(&run(node, &["--user", name, "--to", "user:nobody"], ""), DONE);
    }
}

/// The texts of a conversation, as a user reads them.
fn history(node: &Node, user: &str, conversation: &str) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        let body = json!({"conversation": conversation, "after": texts.len(), "limit": 200});
        let command = json!({"id": 1, "cmd": "message.history", "body": body});
        let output = run(node, &["--user", user, "--json"], &format!("{command}\n"));
        assert_ended(&output, DONE);
        let page = reply(&output, 1);
        let messages = page["ok"]["messages"].as_array().unwrap().clone();
        texts.extend(messages.iter().map(|message| {
            message["content"]["text"].as_str().map_or(message.to_string(), str::to_owned)
        }));
        if page["ok"]["has_more"] == false {
            return texts;
        }
    }
}

/// All lines of a chat in JSON.
fn frames(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn reply(output: &Output, re: u64) -> Value {
    let found = frames(output).into_iter().find(|frame| frame["re"] == re);
    found.unwrap_or_else(|| panic!("no reply to {re}: {}", text(&output.stdout)))
}

/// A chat that stays.
struct Live {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Lines,
    err: Lines,
}

impl Live {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Self { stdin: child.stdin.take(), child, out: Lines::of(out), err: Lines::of(err) }
    }

    fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).unwrap();
    }

    #[track_caller]
    fn shows(&self, part: &str) -> String {
        self.out.await_line(|line| line.contains(part)).unwrap_or_else(|| {
            panic!("no {part:?} in\n{}\nerr: {}", self.out.text(), self.err.text())
        })
    }

    fn close(&mut self) {
        self.stdin = None;
    }

    fn end(&mut self) -> ExitStatus {
        eventually("the chat ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn lines_of_a_pipe_are_stored_in_order_before_it_ends() {
    let node = Node::start();
    let lines: Vec<String> = (1..=300).map(|n| format!("line {n}")).collect();

    let output = run(&node, &["--user", "alice", "--to", "user:alice"], &lines.join("\n"));

    assert_ended(&output, DONE);
    assert_eq!(text(&output.stdout).lines().count(), 300);
    assert!(text(&output.stdout).starts_with("user:alice #1 ✓\nuser:alice #2 ✓\n"));
    assert_eq!(text(&output.stderr), "");
    assert_eq!(history(&node, "alice", "user:alice"), lines);
}

#[test]
fn with_a_destination_a_line_is_a_message_whatever_it_begins_with() {
    let node = Node::start();
    let input = "/dissolve eng\n\n//x\n  {\"cmd\":\"logout\"}\r\n/quit\nlast without end";

    for more in [&[][..], &["--json"]] {
        let args = [&["--user", "alice", "--to", "user:alice"], more].concat();
        assert_ended(&run(&node, &args, input), DONE);
    }

    let sent = ["/dissolve eng", "//x", "  {\"cmd\":\"logout\"}", "/quit", "last without end"];
    assert_eq!(history(&node, "alice", "user:alice"), [sent, sent].concat());
}

#[test]
fn what_is_refused_is_told_with_its_line_and_the_rest_is_sent() {
    let node = Node::start();
    users(&node, &["alice"]);

    let output = run(&node, &["--user", "alice", "--to", "user:nobody"], "hi\n");
    assert_ended(&output, FAILED);
    let expected = "rookery: line 1, to user:nobody: refused: there is no such user (not_found)\n";
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("", expected));

    let long =
        format!("one\n{}\nthree\n{}\nfive\n", "x".repeat(32 * 1024 + 1), "y".repeat(300_000));
    let output = run(&node, &["--user", "alice", "--to", "user:alice"], &long);
    assert_ended(&output, FAILED);
    assert!(text(&output.stderr).contains("too_large"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("too long"), "{}", text(&output.stderr));
    assert_eq!(history(&node, "alice", "user:alice"), ["one", "three", "five"]);
}

#[test]
fn text_that_is_not_utf8_is_refused_and_not_guessed_at() {
    let node = Node::start();
    let mut child = chat(&node, &["--user", "alice", "--to", "user:alice"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"a\xff\nb\n").unwrap();

    let output = child.wait_with_output().unwrap();

    assert_ended(&output, FAILED);
    assert!(text(&output.stderr).contains("not UTF-8"));
    assert_eq!(history(&node, "alice", "user:alice"), ["b"]);
}

#[test]
fn a_login_that_is_refused_ends_with_a_code_of_its_own() {
    let node = Node::start();
    let token = text(&node.run(&["token", "--user", "bob"]).stdout);
    let http = node.http().to_string();

    for (token, words) in [("nonsense", "bad_token"), (token.trim(), "another user")] {
        let args = ["--user", "alice", "--to", "user:alice", "--server", &http, "--token", token];
        let output = run(&node, &args, "hi\n");
        assert_ended(&output, ENDED);
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));

        let output = run(&node, &[&args[..], &["--json"]].concat(), "hi\n");
        assert_ended(&output, ENDED);
        assert_eq!(frames(&output)[0]["event"], "client.ended");
    }
}

#[test]
fn a_token_needs_neither_store_nor_data_folder() {
    let node = Node::start();
    let token = text(&node.run(&["token", "--user", "alice"]).stdout);
    let elsewhere = data_folder();
    let mut command = program(elsewhere.path());
    let http = node.http().to_string();
    command.args(["chat", "--user", "alice", "--to", "user:alice", "--server", &http]);
    command.env("ROOKERY_TOKEN", token.trim());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());

    let output = piped(command, "hi\n");

    assert_ended(&output, DONE);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn without_a_server_it_ends_with_a_sentence() {
    let folder = data_folder();
    let chat = |args: &[&str]| {
        let mut command = program(folder.path());
        command.args(["chat", "--user", "alice", "--to", "user:bob"]).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        piped(command, "hi\n")
    };

    let output = chat(&[]);
    assert_ended(&output, WRONG);
    assert!(text(&output.stderr).contains("no server runs on the data folder"));
    // Nothing was started or made for it.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    // A port that was free a moment ago.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = chat(&["--server", &closed.to_string(), "--token", "x", "--wait-s", "1"]);
    assert_ended(&output, UNREACHABLE);
    let expected = format!("rookery: no server was reached at {closed} for 1 s\n");
    assert_eq!(text(&output.stderr), expected);
}

#[test]
fn a_server_that_dies_leaves_nothing_unsaid() {
    let mut node = Node::start();
    let args = ["--user", "alice", "--to", "user:alice", "--wait-s", "2"];
    let mut live = Live::start(chat(&node, &args));
    live.write("one\n");
    live.shows("user:alice #1 ✓");

    node.kill();
    assert!(live.err.await_line(|line| line.contains("connection lost")).is_some());
    live.write("two\n");
    live.close();

    assert_eq!(live.end().code(), UNREACHABLE);
    assert!(live.err.text().contains("1 messages were not acknowledged"), "{}", live.err.text());
}

#[test]
fn arguments_that_make_no_sense_are_refused_before_anything_is_done() {
    let folder = data_folder();
    for args in [
        &["chat"][..],
        &["chat", "--user", "a b"],
        &["chat", "--user", "alice", "--to", "bob"],
        &["chat", "--user", "alice", "--wait-s", "0"],
        &["chat", "--user", "alice", "--app", "0"],
    ] {
        let output = common::node::run(folder.path(), args, &[]);
        assert_ended(&output, WRONG);
    }
}

#[test]
fn nothing_that_others_write_reaches_a_terminal_as_a_command() {
    let node = Node::start();
    users(&node, &["bob"]);
    let evil = "\u{1b}[2J\u{9b}31m\u{7}a\r\u{202e}b";
    let sent = json!({"cmd": "message.send", "body": {"to": "user:bob",
        "content": {"type": "text", "text": format!("{evil}\n#2 bob: forged")}}});
    let mut plain = Live::start(chat(&node, &["--user", "bob", "--follow", "--to", "user:bob"]));
    let json = Live::start(chat(&node, &["--user", "bob", "--follow", "--json"]));
    // Both are there before anything is said.
    plain.write("ready\n");
    plain.shows("user:bob #1 ✓");
    json.shows("client.online");

    assert_ended(&run(&node, &["--user", "alice", "--json"], &format!("{sent}\n")), DONE);

    let shown = plain.shows("user:alice #1 alice: ");
    assert!(shown.contains("\\u{1b}[2J\\u{9b}31m\\u{7}a\\u{d}\\u{202e}b"), "{shown:?}");
    plain.shows("    | #2 bob: forged");
    let line = json.shows("2J");
    assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["body"]["content"]["text"], format!("{evil}\n#2 bob: forged"));
    let listed = run(&node, &["--user", "bob"], "/list\n/to alice\n/history\n");
    assert!(!text(&listed.stdout).contains(['\u{1b}', '\u{9b}', '\u{202e}', '\r']));
}

#[test]
fn scripts_speak_the_frames_of_the_protocol() {
    let node = Node::start();
    users(&node, &["bob"]);
    let mut bob = Live::start(chat(&node, &["--user", "bob", "--json", "--follow"]));
    let online: Value = serde_json::from_str(&bob.shows("client.online")).unwrap();
    assert!(online["body"]["login_no"].is_string(), "{online}");
    let commands = [
        json!({"id": 1, "cmd": "group.create", "body": {"group": "eng", "kind": "work", "name": "Eng",
            "members": ["bob"]}}),
        json!({"id": 2, "cmd": "message.send", "body": {"to": "group:eng", "mentions": ["bob"],
            "content": {"type": "text", "text": "Hello"}}}),
        json!({"id": 3, "cmd": "group.get", "body": {"group": "eng"}}),
        json!({"cmd": "conversation.list"}),
        json!({"id": 5, "cmd": "message.send", "body": {"to": "user:nobody",
            "content": {"type": "text", "text": "x"}}}),
        json!({"id": 6, "cmd": "ping"}),
        json!({"id": 7, "cmd": "no.such"}),
        json!("not an object"),
    ];
    let input: String = commands.iter().map(|command| format!("{command}\n")).collect();

    let output = run(&node, &["--user", "alice", "--json"], &input);

    assert_ended(&output, FAILED);
    assert_eq!(reply(&output, 1)["ok"]["conversation"], "group:eng");
    assert_eq!(reply(&output, 2)["ok"]["seq"], 2);
    assert_eq!(reply(&output, 3)["ok"]["members"], 2);
    assert_eq!(reply(&output, 4)["ok"]["conversations"][0]["conversation"], "group:eng");
    let code = |re| reply(&output, re)["error"]["code"].as_str().unwrap().to_owned();
    assert_eq!(
        [5, 6, 7, 8].map(code),
        ["not_found", "bad_request", "unknown_command", "bad_request"]
    );
    let notice: Value = serde_json::from_str(&bob.shows("\"notice\"")).unwrap();
    assert_eq!((&notice["event"], &notice["body"]["seq"]), (&json!("message.new"), &json!(1)));
    let hello: Value = serde_json::from_str(&bob.shows("Hello")).unwrap();
    assert_eq!(hello["body"]["mentions"], json!(["bob"]));

    let read =
        json!({"id": 9, "cmd": "message.read", "body": {"conversation": "group:eng", "seq": 2}});
    bob.close();
    send_signal(bob.child.id(), "TERM");
    assert_eq!(bob.end().code(), DONE);
    let output = run(&node, &["--user", "bob", "--json"], &format!("{read}\n"));
    assert_eq!(reply(&output, 9)["ok"]["seq"], 2);
}

#[test]
fn a_pipe_without_destination_takes_the_commands_of_a_person() {
    let node = Node::start();
    users(&node, &["bob", "carol"]);
    let mut bob = Live::start(chat(&node, &["--user", "bob", "--follow"]));
    bob.write("/status\n");
    bob.shows("online at");

    let input = "/create work:eng The team\nfirst\n/invite bob, carol\n//second\n/remove carol\n/rename Builders\n\
                 /members\n/info\n/groups\n/history 2\n/older 1\n/dissolve eng\nafter\n";
    let output = run(&node, &["--user", "alice"], input);

    assert_ended(&output, FAILED);
    assert!(text(&output.stderr).contains("not_a_member"), "{}", text(&output.stderr));
    let out = text(&output.stdout);
    let mut lines = out.lines();
    for part in [
        "group:eng is made and open",
        "group:eng #2 ✓",
        "group:eng #3 ✓",
        "group:eng #4 ✓",
        "group:eng #5 ✓",
        "group:eng #6 ✓",
        "alice, owner, since",
        "bob, since",
        "Builders (group:eng)  work, 2 members, owned by alice",
        "Builders (group:eng)  work, 2 members, owned by alice",
        "#5 * alice removed carol",
        "#6 * alice named the group Builders",
        "#4 alice: /second",
        "group:eng #7 ✓",
    ] {
        let line = lines.next().unwrap_or_default();
        assert!(line.contains(part), "{part:?} was to be in {line:?} of\n{out}");
    }
    assert_eq!(lines.next(), None);
    for line in [
        "group:eng #3 * alice added bob, carol",
        "group:eng #4 alice: /second",
        "group:eng #5 * alice removed carol",
        "group:eng #6 * alice named the group Builders",
        "group:eng #7 * alice dissolved the group",
    ] {
        bob.shows(line);
    }
    assert!(bob.err.await_line(|line| line.contains("no longer a member of group:eng")).is_some());
}

#[test]
fn a_meeting_is_joined_and_left_and_a_wrong_command_fails() {
    let node = Node::start();
    let made = run(&node, &["--user", "alice"], "/create meeting:m Stand-up\nbefore bob\n");
    assert_ended(&made, DONE);

    let output = run(&node, &["--user", "bob"], "/join m\nhi\n/history\n/leave\n/list\n");
    assert_ended(&output, DONE);
    assert!(text(&output.stdout).contains("#2 alice: before bob"), "{}", text(&output.stdout));

    for input in ["/nope\n", "/join no-such\n", "hi\n", "/members\n", "/create work \n"] {
        assert_ended(&run(&node, &["--user", "bob"], input), FAILED);
    }
}

#[test]
fn receipts_and_what_comes_are_shown_to_who_stays() {
    let node = Node::start();
    users(&node, &["bob"]);
    let mut alice = Live::start(chat(&node, &["--user", "alice", "--follow", "--to", "user:bob"]));
    alice.write("hi\n");
    alice.shows("user:bob #1 ✓ kept for bob, who is not online");

    let output = run(&node, &["--user", "bob"], "/to alice\n/read\nhello\n");

    assert_ended(&output, DONE);
    alice.shows("user:bob #1 ✓✓ read by bob");
    alice.shows("user:bob #2 bob: hello");
    send_signal(alice.child.id(), "INT");
    assert_eq!(alice.end().code(), DONE);
}

/// Times are those of the day on which the README was written.
fn without_times(text: &str) -> String {
    let is_time = |word: &str| word.len() == 6 && word.ends_with('Z') && word.contains(':');
    let lines = text.lines().map(|line| {
        let time = line.split(' ').nth(1).filter(|word| is_time(word));
        time.map_or(line, |_| &line["2026-01-31 09:30Z ".len()..])
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_session_in_the_readme_goes_as_it_says() {
    let readme = include_str!("../README.md");
    let section = readme.split("\n## From the command line\n").nth(1).unwrap();
    let session = section.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let node = Node::start();
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_rookery")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());

    let steps: Vec<&str> = session.strip_prefix("$ ").unwrap().split("\n$ ").collect();
    assert_eq!(steps.len(), 4);
    for step in steps {
        let (command, expected) = step.split_once('\n').unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("({command}) 2>&1")]).env("PATH", &path).current_dir("/");
        shell.env("ROOKERY__DATA_DIR", node.data_dir()).env_remove("ROOKERY_TOKEN");

        let output = shell.output().unwrap();

        let shown = text(&output.stdout);
        assert_eq!(without_times(&shown), without_times(expected), "{command}");
    }
}

/// A chat at a terminal that `script` makes for it.
fn at_a_terminal(node: &Node, args: &str, env: &[(&str, &str)]) -> Live {
    let rookery = env!("CARGO_BIN_EXE_rookery");
    let mut command = Command::new("script");
    command.args(["-qfec", &format!("{rookery} chat {args}; echo ended $?; stty -a"), "/dev/null"]);
    command.env("ROOKERY__DATA_DIR", node.data_dir()).env("TERM", "xterm").env_remove("NO_COLOR");
    command.envs(env.iter().copied()).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Live::start(command)
}

#[test]
fn at_a_terminal_a_half_typed_line_survives_what_others_say() {
    let node = Node::start();
    users(&node, &["bob", "carol"]);
    let mut alice = at_a_terminal(&node, "--user alice --to user:bob", &[]);
    alice.shows("alice is online at");
    alice.write("half a ");

    assert_ended(&run(&node, &["--user", "carol", "--to", "user:alice"], "psst\u{1b}[2J\n"), DONE);
    assert!(!alice.shows("psst").contains("psst\u{1b}[2J"));
    alice.shows("(1 unread)");
    alice.write(&format!("line{}\r", "x".repeat(6000)));
    alice.shows("#1 ✓");
    // Typed faster than it is read.
    alice.write("/status\rahead\r");
    alice.shows("#2 ✓");
    alice.write("\u{4}");

    alice.shows("ended 0");
    assert!(alice.shows("icanon").contains(" icanon"), "the terminal is as it was");
    let texts = history(&node, "bob", "user:alice");
    assert_eq!(texts, [format!("half a line{}", "x".repeat(6000)), "ahead".to_owned()]);
}

#[test]
fn colours_are_for_those_who_want_them() {
    let node = Node::start();
    for (name, value, wants) in [("X", "", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let mut alice = at_a_terminal(&node, "--user alice", &[(name, value)]);
        let greeting = alice.shows("alice is online at");
        assert_eq!(greeting.contains("\u{1b}[2m"), wants, "{name}={value}: {greeting:?}");
        alice.write("/quit\r");
        alice.shows("ended 0");
    }
}

#[test]
fn one_who_is_replaced_at_a_terminal_gets_it_back_as_it_was() {
    let node = Node::start();
    let alice = at_a_terminal(&node, "--user alice --device laptop", &[]);
    alice.shows("alice is online at");

    assert_ended(
        &run(&node, &["--user", "alice", "--device", "laptop", "--to", "user:alice"], "hi\n"),
        DONE,
    );

    alice.shows("another session took its place");
    alice.shows("ended 3");
    assert!(alice.shows("icanon").contains(" icanon"), "the terminal is as it was");
}

#[test]
fn friends_and_who_is_there_are_shown_and_a_status_is_set() {
    let node = Node::start();
    users(&node, &["carol"]);
    let bob = Live::start(chat(&node, &["--user", "bob", "--follow", "--device", "desk"]));
    let json = Live::start(chat(&node, &["--user", "bob", "--follow", "--json"]));
    json.shows("client.online");

    let input = "/friend bob\n/friend carol\n/friends\n/who\n/who bob nobody\n\
                 /status busy:30 In a \u{202e}meeting\n/unfriend carol\n/friends\n";
    let mut alice = Live::start(chat(&node, &["--user", "alice"]));
    alice.write(input);
    // Changes within a second are joined, so that she has to stay for as long as it takes.
    bob.shows("alice is a friend");
    bob.shows("alice is online with api, busy: In a \\u{202e}meeting");
    alice.close();

    assert_eq!(alice.end().code(), DONE);
    bob.shows("alice is offline");
    let out = alice.out.text();
    let mut lines = out.lines();
    for part in [
        "bob is a friend",
        "carol is a friend",
        "bob, since 20",
        "carol, since 20",
        "bob is online with api",
        "carol is offline",
        "bob is online with api",
        "nobody is offline",
        "alice is online with api, busy: In a \\u{202e}meeting, until 20",
        "carol is no friend",
        "bob, since 20",
    ] {
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(part), "{part:?} was to begin {line:?} of\n{out}");
    }
    assert_eq!(lines.next(), None);
    let event: Value = serde_json::from_str(&json.shows("\"busy\"")).unwrap();
    assert_eq!(event["event"], "presence.changed");
    assert_eq!(event["body"]["presences"][0]["text"], "In a \u{202e}meeting");
    let event: Value = serde_json::from_str(&json.shows("friend.changed")).unwrap();
    assert_eq!(event["body"], json!({"user": "alice", "state": "friends"}));
}

#[test]
fn devices_are_listed_and_ended_and_one_that_was_says_why() {
    let node = Node::start();
    let mut desk = Live::start(chat(&node, &["--user", "alice", "--device", "desk", "--follow"]));
    let mut json =
        Live::start(chat(&node, &["--user", "alice", "--device", "tab", "--follow", "--json"]));
    desk.write("/status\n");
    desk.shows("online at");
    json.shows("client.online");

    let input = "/devices\n/kick desk\n/kick desk\n/kick *\n/devices\n";
    let output = run(&node, &["--user", "alice", "--device", "phone"], input);

    assert_ended(&output, DONE);
    let out = text(&output.stdout);
    let named = |line: &str| line.split(' ').next().unwrap().to_owned();
    assert_eq!(
        out.lines().map(named).collect::<Vec<_>>()[..1],
        ["phone"],
        "the last login comes first: {out}"
    );
    assert!(out.contains("phone (api) \"rookery chat\"  this one, since 20"), "{out}");
    assert!(out.contains("desk (api) \"rookery chat\"  online since 20"), "{out}");
    assert!(out.contains("desk (api) \"rookery chat\" was logged out"), "{out}");
    assert!(out.contains("tab (api) \"rookery chat\" was logged out"), "{out}");
    assert!(out.contains("desk (api) \"rookery chat\"  ended 20"), "{out}");
    assert_eq!(text(&output.stderr), "rookery: none was logged in\n");
    assert_eq!(desk.end().code(), ENDED);
    let said = desk.err.text();
    assert!(said.contains("the session was ended, from the device phone at 20"), "{said}");
    assert!(said.contains("it does not come back by itself"), "{said}");
    let ended: Value = serde_json::from_str(&json.shows("client.ended")).unwrap();
    let body = &ended["body"];
    assert_eq!((&body["reason"], &body["by"]), (&json!("kicked"), &json!("phone")), "{body}");
    assert!(body["at_ms"].is_i64(), "{body}");
    assert_eq!(json.end().code(), ENDED);
}

#[tokio::test]
async fn one_that_is_turned_away_says_who_is_in() {
    let node = Node::start();
    policy::set(&node, rules(Mode::Single, OnConflict::RefuseNewcomer)).await;
    let mut desk = Live::start(chat(&node, &["--user", "alice", "--device", "desk", "--follow"]));
    desk.write("/status\n");
    desk.shows("online at");

    let output = run(&node, &["--user", "alice", "--to", "user:alice"], "hi\n");
    assert_ended(&output, ENDED);
    let said = text(&output.stderr);
    assert!(said.contains("logged in already: desk (api) \"rookery chat\""), "{said}");

    let output = run(&node, &["--user", "alice", "--to", "user:alice", "--json"], "hi\n");
    assert_ended(&output, ENDED);
    let error = &frames(&output)[0]["body"]["error"];
    assert_eq!((&error["code"], &error["devices"][0]["id"]), (&json!("conflict"), &json!("desk")));
}
