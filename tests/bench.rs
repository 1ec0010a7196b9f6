//! `rookery bench` as a person or a script uses it: against a server of its own, against one that is given, and asked for
//! what cannot be.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::path::Path;
use std::process::Output;

use common::node::{Node, Options, data_folder, program};
use rookery::bench::figure::{Report, WorkloadReport};
use tempfile::TempDir;

/// Runs `rookery bench` to its end, with temporary files in a folder of the test.
fn bench(temporary: &Path, args: &[&str]) -> Output {
    program(temporary)
        .env_remove("ROOKERY__DATA_DIR")
        .env_remove("ROOKERY_BENCH_SECRET")
        .env("TMPDIR", temporary)
        .arg("bench")
        .args(args)
        .output()
        .unwrap()
}

/// A folder for temporary files whose name is short enough for the socket of a private PostgreSQL.
fn temporary() -> TempDir {
    tempfile::Builder::new().prefix("rb").tempdir().unwrap()
}

/// The report, which proves what it says.
#[track_caller]
fn proven(output: &Output) -> Report {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.is_proven(), "{report:?}");
    report
}

#[track_caller]
fn only(report: &Report) -> &WorkloadReport {
    assert_eq!(report.workloads.len(), 1);
    report.workloads.first().unwrap()
}

#[track_caller]
fn assert_refused(output: &Output, part: &str) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(output.stdout.is_empty(), "{words}");
    assert!(words.contains(part), "`{words}` should say `{part}`");
    assert!(!words.contains("panicked"), "{words}");
}

#[test]
fn a_server_of_its_own_is_measured_and_gone_afterwards() {
    let temporary = temporary();

    let kept = data_folder();
    let file = kept.path().join("report.json");
    let args = ["one-to-one", "--users", "10", "--duration", "1", "--json", "--report"];
    let output = bench(temporary.path(), &[&args[..], &[file.to_str().unwrap()]].concat());

    let report = proven(&output);
    let written: Report = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, report);
    let workload = only(&report);
    assert!(report.figure("one_to_one.rate").unwrap().value > 0.0);
    assert_eq!(workload.proof.acked, workload.proof.found);
    assert_eq!(workload.proof.acked, workload.proof.deliveries);
    assert!(workload.latencies.iter().all(|latency| latency.count > 0), "{workload:?}");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_given_server_is_measured_more_than_once_and_goes_on() {
    let unbounded = "1000000000";
    let node = Node::start_with(
        Options::default()
            .env("ROOKERY__LIMITS__SENDS_PER_S", unbounded)
            .env("ROOKERY__LIMITS__SENDS_BURST", unbounded),
    );
    let (http, tcp) = (node.http().to_string(), node.tcp().to_string());
    let data_dir = node.data_dir().to_str().unwrap();
    let short = ["--data-dir", data_dir, "--duration", "1", "--json", "--server"];
    let temporary = temporary();
    let small = ["groups", "--groups", "3", "--members", "3", "--users", "5"];

    let by_websocket = bench(temporary.path(), &[&small[..], &short[..], &[&http]].concat());
    let by_tcp = bench(
        temporary.path(),
        &[&small[..], &short[..], &[&tcp, "--transport", "tcp", "--codec", "msgpack"]].concat(),
    );

    for output in [by_websocket, by_tcp] {
        let report = proven(&output);
        // Each message goes to the two others of its group.
        let proof = only(&report).proof;
        assert!(proof.acked > 0);
        assert_eq!(proof.deliveries, 2 * proof.acked);
    }
    assert!(common::get(node.inside(), "/healthz").is_some());
}

#[test]
fn several_nodes_are_measured_and_messages_cross_them() {
    let temporary = temporary();
    let small = ["one-to-one", "--users", "8", "--duration", "1", "--json", "--nodes", "2"];

    let output = bench(temporary.path(), &small);

    let proof = only(&proven(&output)).proof;
    assert!(proof.acked > 0);
    assert_eq!(proof.acked, proof.deliveries);
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_node_that_dies_loses_nobody_and_the_others_go_on() {
    let temporary = temporary();
    let small = ["storm", "--users", "60", "--talkers", "6", "--duration", "1", "--json"];

    let output = bench(temporary.path(), &[&small[..], &["--nodes", "2"]].concat());

    let report = proven(&output);
    assert!(report.figure("storm.back_s").unwrap().value > 0.0);
    assert!(report.figure("storm.others_rate").unwrap().value > 0.0);
    assert_eq!(only(&report).latencies[0].count, 60);
}

#[test]
fn what_cannot_be_measured_on_several_nodes_says_so() {
    let temporary = temporary();

    let alone = bench(temporary.path(), &["logins", "--nodes", "3"]);
    let elsewhere = ["one-to-one", "--nodes", "3", "--server", "127.0.0.1:8800"];
    let elsewhere = bench(temporary.path(), &elsewhere);
    let one = bench(temporary.path(), &["storm", "--nodes", "1"]);

    assert_refused(&alone, "leave out --nodes");
    assert_refused(&elsewhere, "--nodes is for servers that are started here");
    assert_refused(&one, "at least two");
}

#[test]
fn a_message_to_many_is_read_by_each_of_them_once() {
    let temporary = temporary();

    let output =
        bench(temporary.path(), &["fanout", "--members", "150", "--duration", "1", "--json"]);

    let proof = only(&proven(&output)).proof;
    assert!(proof.acked > 0);
    assert_eq!(proof.deliveries, 149 * proof.acked);
}

#[test]
fn who_stops_reading_costs_memory_and_no_message_of_the_others() {
    let temporary = temporary();
    let small = ["--readers", "3", "--stopped", "2", "--rate", "200", "--duration", "1", "--json"];

    let output = bench(temporary.path(), &[&["slow-reader"], &small[..]].concat());

    let report = proven(&output);
    assert!(report.figure("slow_reader.bytes").is_some());
    assert!(only(&report).proof.acked > 0);
}

#[test]
fn a_refusal_of_a_given_server_names_what_to_raise() {
    let node = Node::start_with(
        Options::default()
            .env("ROOKERY__LIMITS__SENDS_PER_S", "1")
            .env("ROOKERY__LIMITS__SENDS_BURST", "1"),
    );
    let temporary = temporary();
    let (http, data_dir) = (node.http().to_string(), node.data_dir().to_str().unwrap());

    let output = bench(
        temporary.path(),
        &["one-to-one", "--users", "2", "--server", &http, "--data-dir", data_dir],
    );

    assert_refused(&output, "raise limits.sends_per_s");
}

#[test]
fn what_cannot_be_measured_is_said_in_a_sentence() {
    let folder = data_folder();
    let bench = |args: &[&str]| bench(folder.path(), args);

    assert_refused(&bench(&[]), "Usage: rookery bench");
    assert_refused(&bench(&["one-to-one", "--window", "33"]), "33 is not in 1..=32");
    assert_refused(&bench(&["one-to-one", "--duration", "0"]), "0 is not in 1..=3600");
    assert_refused(&bench(&["everything"]), "unrecognized subcommand");
    assert_refused(&bench(&["check", "--against", "no-such-file"]), "no-such-file: No such file");
    // Nobody listens there, and a key that would be refused is not asked for.
    let nobody = ["one-to-one", "--server", "127.0.0.1:1", "--secret", "not-a-secret"];
    assert_refused(&bench(&nobody), "onnection refused");
    let too_many = ["groups", "--members", "9", "--users", "5", "--secret", "x"];
    assert_refused(
        &bench(&[&too_many[..], &["--server", "127.0.0.1:1"]].concat()),
        "more --members than there are --users",
    );
}

#[test]
fn the_help_names_what_can_be_measured() {
    let folder = data_folder();

    let output = bench(folder.path(), &["--help"]);

    let text = String::from_utf8(output.stdout).unwrap();
    let workloads = ["one-to-one", "groups", "fanout", "slow-reader", "presence", "all", "check"];
    for word in workloads.into_iter().chain(["--server", "--json"]) {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn idle_sessions_and_groups_have_a_size() {
    let folder = temporary();

    let args = ["idle", "--short", "--sessions", "100", "--pairs", "4", "--groups", "3", "--json"];
    let report = proven(&bench(folder.path(), &args));

    let value = |name: &str| report.figure(name).unwrap_or_else(|| panic!("{name}")).value;
    for name in ["idle.bare_bytes", "idle.group_bytes_10", "idle.group_bytes_100"] {
        assert!(value(name).is_finite(), "{name}");
    }
    // A session's memory is what its parts hold.
    let parts = ["connected", "login", "groups", "pairs"];
    let sum: f64 = parts.iter().map(|part| value(&format!("idle.{part}_bytes"))).sum();
    assert!((sum - value("idle.session_bytes")).abs() < 1.0, "{report:?}");
    let [curve] = &only(&report).series[..] else { panic!("{report:?}") };
    assert!(curve.points.len() > 5 && curve.points.iter().all(|(_, mebibytes)| *mebibytes > 0.0));
}

#[test]
fn all_who_come_back_are_told_which_heads_moved() {
    let folder = temporary();

    let args = ["logins", "--short", "--users", "100", "--pairs", "4", "--groups", "12", "--json"];
    let report = proven(&bench(folder.path(), &args));

    let [latency] = &only(&report).latencies[..] else { panic!("{report:?}") };
    assert_eq!(latency.count, 100);
    assert!(latency.p50_us > 0 && latency.p50_us <= latency.max_us, "{latency:?}");
    assert!(report.figure("logins.time_s").is_some_and(|figure| figure.value > 0.0));
}

#[test]
fn what_a_backend_sends_is_stored_once() {
    let folder = temporary();

    let args = ["rest", "--connections", "4", "--duration", "1", "--json"];
    let report = proven(&bench(folder.path(), &args));

    let proof = only(&report).proof;
    assert!(proof.acked > 0 && proof.acked == proof.found);
    assert!(report.figure("rest.rate").is_some_and(|figure| figure.value > 0.0));
}

#[test]
fn every_friend_hears_of_the_last_change() {
    let folder = temporary();

    let args = ["presence", "--online", "60", "--friends", "0,20", "--deliveries", "100"];
    let report =
        proven(&bench(folder.path(), &[&args[..], &["--duration", "1", "--json"]].concat()));

    let workload = only(&report);
    let proof = workload.proof;
    assert!(proof.acked > 0 && proof.deliveries >= 20, "{proof:?}");
    for name in ["presence.rate_0", "presence.rate_20"] {
        assert!(report.figure(name).is_some_and(|figure| figure.value > 0.0), "{name}");
    }
    let last = workload.latencies.iter().find(|it| it.name == "presence.latency_last_20").unwrap();
    // Nothing is told before the second is over for which changes are joined.
    assert!(last.count > 0 && last.p50_us > 900_000, "{last:?}");
}
