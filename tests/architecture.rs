//! Guards what STYLE.md says about which way imports run, and what has one place only.
//!
//! It reads the files of `src/` and `sql/` as text; each rule is first shown to catch what it is for.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/tokens.rs"]
mod tokens;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rules::{
    BARE_SERVER_FILE, File, UNSAFE_FILE, WEBSOCKET_FILE, names_websocket_crate, queries, violations,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_under(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_under(&path, ending));
        } else if path.extension().is_some_and(|own| own == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<File> {
    let src = root().join("src");
    let read = |path: PathBuf| File {
        name: path.strip_prefix(&src).unwrap().to_str().unwrap().replace('\\', "/"),
        text: fs::read_to_string(&path).unwrap(),
    };
    files_under(&src, "rs").into_iter().map(read).collect()
}

/// What the rules say about a file of this name and text, which gets its module doc here.
fn found_in(name: &str, code: &str) -> Vec<String> {
    violations(&File { name: name.to_owned(), text: format!("//! Doc.\n{code}") })
}

#[track_caller]
fn assert_caught(name: &str, code: &str, words: &str) {
    let found = found_in(name, code);
    assert!(
        found.len() == 1 && found[0].contains(words),
        "one violation with {words:?} was to be found in {code:?}, but: {found:?}"
    );
}

#[track_caller]
fn assert_fine(name: &str, code: &str) {
    assert_eq!(found_in(name, code), Vec::<String>::new(), "in {code:?}");
}

#[test]
fn no_file_breaks_a_rule() {
    let sources = sources();

    let found: Vec<String> = sources.iter().flat_map(violations).collect();

    assert!(!sources.is_empty());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_deprecated_websocket_crate_is_named_in_one_file_and_in_the_bare_server() {
    let mut named_in: Vec<String> =
        sources().into_iter().filter(names_websocket_crate).map(|file| file.name).collect();
    named_in.sort();

    assert_eq!(named_in, [BARE_SERVER_FILE, WEBSOCKET_FILE]);
}

#[test]
fn every_query_file_is_included_once_by_the_store() {
    let folder = root().join("sql/queries");
    let mut uses: BTreeMap<String, usize> = BTreeMap::new();
    for file in sources().iter().filter(|file| file.module() == "store") {
        for query in queries(file) {
            *uses.entry(query).or_default() += 1;
        }
    }

    for path in if folder.exists() { files_under(&folder, "sql") } else { Vec::new() } {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();

        assert_eq!(uses.get(&name), Some(&1), "places of src/store that include {name}");
        assert!(text.starts_with("-- "), "{name} has no header that says what it does");
    }
}

#[test]
fn unsafe_code_is_denied_for_the_whole_crate() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();

    assert!(manifest.lines().any(|line| line.trim() == r#"unsafe_code = "deny""#));
    for path in files_under(&root().join("tests"), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        let is_unsafe = tokens::tokens(&text).iter().any(|token| token.is_word("unsafe"));
        assert!(!is_unsafe, "{} holds `unsafe`; only src/{UNSAFE_FILE} may", path.display());
    }
}

#[test]
fn an_import_against_the_table_is_caught() {
    assert_caught("ids.rs", "use crate::limits::ID_BYTES;", "`ids` must not use `limits`");
    assert_caught("config.rs", "use crate::domain::pair::Pair;", "`config` must not use `domain`");
    assert_caught("protocol/frame.rs", "use crate::domain::Pair;", "must not use `domain`");
    assert_caught("domain/pair.rs", "use crate::protocol::Code;", "must not use `protocol`");
    assert_caught("store/inbox.rs", "use crate::actors::journal;", "must not use `actors`");
    assert_caught("cluster/bus.rs", "use crate::callbacks::outbox;", "must not use `callbacks`");
    assert_caught("callbacks/outbox.rs", "use crate::cluster::bus;", "must not use `cluster`");
    assert_caught("actors/user.rs", "use crate::config::Config;", "must not use `config`");
    assert_caught("actors/user.rs", "use crate::http::ws;", "must not use `http`");
    assert_caught("http/ws.rs", "use crate::domain::pair::Pair;", "must not use `domain`");
    assert_caught("http/ws.rs", "use crate::config::Config;", "must not use `config`");
    assert_caught("tcp/mod.rs", "use crate::http::ws;", "must not use `http`");
    assert_caught("client/mod.rs", "use crate::store::Store;", "must not use `store`");
    assert_caught("bench/mod.rs", "use crate::main::run;", "must not use `main`");
}

#[test]
fn an_import_along_the_table_is_fine() {
    assert_fine("config.rs", "use crate::{ids::AppId, limits};");
    assert_fine("store/inbox.rs", "use crate::{domain::pair::{self, Pair}, ids::*, store::pool};");
    assert_fine("actors/user.rs", "use crate::{protocol::Event, domain::login, store::users};");
    assert_fine("http/ws.rs", "use crate::actors::session::{self, Session};");
    assert_fine("client/mod.rs", "use crate::{ids::Seq, limits, protocol::Command};");
    assert_fine("app.rs", "use crate::{actors, config::Config, http, store::Store};");
    assert_fine("main.rs", "use rookery::{app, config::Config, domain::token};");
    assert_fine("lib.rs", "pub mod app;\npub mod store;");
}

#[test]
fn a_path_is_seen_however_it_is_written() {
    let forbidden = [
        "use crate::{\n    ids::{Seq, UserNo},\n    store::{\n        inbox,\n    },\n};",
        "use crate::{ids, store as s};",
        "use crate::store;",
        "use {crate::ids::Seq, crate::store::Store};",
        "pub(crate) use crate::store::Store;",
        "use rookery::store::Store;",
        "fn f() { crate::store::open(); }",
        "fn f(store: &crate::store::Store) {}",
        "type Found = Vec<Option<crate::store::Row>>;",
        "#[cfg(test)]\nmod tests {\n    use crate::store::Store;\n}",
        "mod inner { use super::super::super::store::Store; }",
        "use super::super::store::Store;",
        "fn f() { super::super::store::open() }",
        "macro_rules! m { () => { $crate::store::open() }; }",
        "macro_rules! m { () => { use $crate::{store::open}; }; }",
        "#[serde(with = \"x\")] #[derive(crate::store::Row)] struct S;",
        "fn f<'a>(x: &'a str) -> char { crate::store::f(x); 'a' }",
        "fn f() { g(\"\\\"\", '\"', crate::store::N) }",
        "/* a /* nested */ comment */ use crate::store::Store;",
        "const S: &str = r#\"a \" in raw text\"#; use crate::store::Store;",
        "use r#crate::store::Store;",
    ];
    for code in forbidden {
        assert_caught("domain/pair.rs", code, "`domain` must not use `store`");
    }
}

#[test]
fn comments_and_texts_are_not_code() {
    assert_fine("domain/pair.rs", "// use crate::store::Store;\n/* crate::store /* actix */ */");
    assert_fine("domain/pair.rs", "/// As `crate::store::Store` does.\nstruct Pair;");
    assert_fine("domain/pair.rs", "const S: &str = \"crate::store, actix::Addr, unsafe\";");
    assert_fine("domain/pair.rs", "const S: &str = r##\"\"# crate::store::x \"##;");
    assert_fine("domain/pair.rs", "const S: &[u8] = b\"\\\"crate::store\"; const C: u8 = b'\"';");
    assert_fine("domain/pair.rs", "pub(crate) fn f(&self) -> Self { self.now; self::g() }");
    assert_fine(
        "domain/pair.rs",
        "#[cfg(test)] mod tests { use super::*; use super::super::log; }",
    );
}

#[test]
fn the_root_of_the_crate_gives_nothing_but_modules() {
    assert_caught("domain/pair.rs", "use crate::*;", "names no module of the table");
    assert_caught("domain/pair.rs", "use crate::{self as root};", "names no module of the table");
    assert_caught("domain/pair.rs", "use crate as root;", "names no module of the table");
    assert_caught("domain/pair.rs", "use super::super::*;", "names no module of the table");
    assert_caught("domain/pair.rs", "use crate::Error;", "names no module of the table");
    assert_caught("util.rs", "", "the table of STYLE.md has no module `util`");
}

#[test]
fn the_actor_crate_is_caught_outside_its_folders() {
    assert_caught("store/pool.rs", "use actix::Addr;", "must not know `actix`");
    assert_caught("client/mod.rs", "#[actix_web::test]\nfn f() {}", "must not know `actix_web`");
    assert_caught("main.rs", "use actix_rt as rt;", "must not know `actix_rt`");
    assert_caught("domain/pair.rs", "use {std::fmt, actix::*};", "must not know `actix`");
    assert_caught("http/rest.rs", "use actix_web_actors::ws;", "deprecated `actix_web_actors`");
    assert_caught("actors/session.rs", "use actix_web_actors::ws;", "deprecated");
    assert_fine("http/ws.rs", "use actix_web_actors::ws;\nuse actix::Addr;");
    assert_caught("net.rs", "use actix_rt::net::TcpStream;", "must not know `actix_rt`");
    assert_fine("tcp/mod.rs", "use actix::Arbiter;");
    assert_fine("app.rs", "use actix::System;");
    assert_fine("actors/user.rs", "use actix::Actor;");
}

#[test]
fn the_world_outside_is_caught_in_pure_modules() {
    for module in ["domain/pair.rs", "protocol/frame.rs"] {
        assert_caught(module, "use tokio::sync::mpsc;", "must not use `tokio::sync::mpsc`");
        assert_caught(module, "use tokio_postgres::Row;", "must not use `tokio_postgres::Row`");
        assert_caught(module, "fn f() { Instant::now(); }", "must not use `Instant::now`");
        assert_caught(module, "fn f() { std::time::SystemTime::now(); }", "SystemTime::now`");
        assert_caught(
            module,
            "fn f() { uuid::Uuid::now_v7(); }",
            "must not use `uuid::Uuid::now_v7`",
        );
        assert_caught(module, "fn f(t: Instant) { t.elapsed(); }", "must not use `.elapsed()`");
        assert_caught(module, "use std::{fmt, fs::File};", "must not use `std::fs::File`");
        assert_caught(module, "const Q: &str = \"SELECT seq FROM inbox\";", "SQL stands");
        assert_fine(module, "use std::time::{Duration, Instant};\nfn f(now: Instant) {}");
        assert_fine(module, "mod tests { fn f() { Instant::now(); } }");
        assert_caught(module, "mod tests { fn f() { SystemTime::now(); } }", "SystemTime::now`");
    }
}

#[test]
fn sql_is_caught_outside_the_store() {
    assert_caught("http/health.rs", "f(include_str!(\"../../sql/queries/a.sql\"));", "SQL stands");
    assert_caught("actors/journal.rs", "f(r\"\n insert into inbox values (1)\");", "SQL stands");
    assert_caught("actors/journal.rs", "f(\"UPDATE heads SET seq = 1\");", "SQL stands");
    assert_caught("app.rs", "f(\"with a as (select 1) select * from a\");", "SQL stands");
    assert_fine(
        "http/health.rs",
        "f(\"update failed\"); f(\"with one as well\"); f(\"select one\");",
    );
    assert_fine("store/inbox.rs", "f(\"SELECT seq FROM inbox\");");
}

#[test]
fn unsafe_code_is_caught_outside_its_file() {
    assert_caught("store/pool.rs", "fn f() { unsafe { g() } }", "store/child.rs alone");
    assert_caught("main.rs", "#![allow(unsafe_code)]", "store/child.rs alone");
    assert_caught("store/mod.rs", "#[expect(unsafe_code)]\nmod child;", "store/child.rs alone");
    assert_fine("lib.rs", "#![deny(unsafe_code)]");
    assert_fine("store/child.rs", "#![allow(unsafe_code)]\nfn f() { unsafe { g() } }");
}

#[test]
fn a_file_without_its_doc_is_caught() {
    let found = violations(&File { name: "ids.rs".to_owned(), text: "use std::fmt;\n".to_owned() });

    assert_eq!(found.len(), 1);
    assert!(found[0].contains("opens with `//!`"), "{found:?}");
}

#[test]
fn a_query_is_found_in_the_file_that_includes_it() {
    let text =
        "//! Doc.\nconst A: &str = include_str!(\"../../sql/queries/pair_append.sql\");".to_owned();

    let found = queries(&File { name: "store/append.rs".to_owned(), text });

    assert_eq!(found, ["pair_append.sql"]);
}
