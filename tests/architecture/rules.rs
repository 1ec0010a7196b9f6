//! What a file of `src/` may not do. Each rule returns a sentence for each place that breaks it.

use crate::paths::{Path, paths};
use crate::tokens::{Kind, Token, tokens};

/// A file of `src/`: its path from there, with `/`, and its text.
pub struct File {
    pub name: String,
    pub text: String,
}

/// Which module may use which: the table of STYLE.md, complete, so that it holds for folders that are still to come.
/// Everybody may use themselves.
const MAY_USE: &[(&str, &[&str])] = &[
    ("ids", &[]),
    ("limits", &[]),
    ("sabotage", &[]),
    ("config", &["ids", "limits"]),
    ("protocol", &["ids", "limits"]),
    ("domain", &["ids", "limits"]),
    ("store", &["ids", "limits", "domain"]),
    ("cluster", &["ids", "limits", "domain", "store"]),
    ("callbacks", &["ids", "limits", "domain", "store"]),
    ("actors", &["ids", "limits", "protocol", "domain", "store", "cluster", "callbacks"]),
    ("net", &["limits"]),
    ("http", &["ids", "limits", "protocol", "store", "cluster", "callbacks", "actors", "net"]),
    ("tcp", &["ids", "limits", "protocol", "store", "cluster", "callbacks", "actors", "net"]),
    ("client", &["ids", "limits", "protocol"]),
    ("chat", &["ids", "limits", "protocol", "client"]),
    ("bench", EVERYTHING),
    ("app", EVERYTHING),
    ("main", EVERYTHING),
    ("lib", EVERYTHING),
];

/// Nobody may use `main`, and `lib` only declares modules.
const EVERYTHING: &[&str] = &[
    "ids",
    "limits",
    "config",
    "protocol",
    "domain",
    "store",
    "cluster",
    "callbacks",
    "actors",
    "net",
    "http",
    "tcp",
    "client",
    "chat",
    "bench",
    "app",
];

/// The modules that know what an actor is.
const MAY_NAME_ACTIX: &[&str] = &["actors", "http", "tcp", "app"];

/// The modules that are pure: rules and wire types.
const PURE: &[&str] = &["domain", "protocol"];

/// The only file that may hold `unsafe`: between fork and exec there is no safe way.
pub const UNSAFE_FILE: &str = "store/child.rs";

/// The only file of the engine that may name the deprecated WebSocket crate.
pub const WEBSOCKET_FILE: &str = "http/ws.rs";

/// The bare server that the engine is measured against stands on the same crates, and is the only other one.
pub const BARE_SERVER_FILE: &str = "bench/raw/websocket.rs";

/// Compiled for tests alone: it compares the TypeScript client's types, which are committed, with those made from ours.
const GOLDEN_FILE_TEST: &str = "protocol/typescript.rs";

impl File {
    /// The module of the table that this file belongs to.
    pub fn module(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The path of the module that this file is, from the crate's root on.
    fn module_path(&self) -> Vec<String> {
        let stem = self.name.trim_end_matches(".rs");
        let path = stem.strip_suffix("/mod").unwrap_or(stem);
        if matches!(path, "lib" | "main") {
            return Vec::new();
        }
        path.split('/').map(str::to_owned).collect()
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("src/{}:{line}: {what}", self.name)
    }
}

/// Everything that is wrong with one file.
pub fn violations(file: &File) -> Vec<String> {
    let paths = paths(&file.text);
    let tokens = tokens(&file.text);
    let mut found = Vec::new();
    found.extend(imports(file, &paths));
    found.extend(actor_crate(file, &paths));
    found.extend(unsafe_code(file, &tokens));
    found.extend(module_doc(file));
    if PURE.contains(&file.module()) {
        found.extend(outside_world(file, &paths, &tokens));
    }
    if !matches!(file.module(), "store" | "bench") {
        found.extend(sql(file, &tokens));
    }
    found
}

fn may_use(module: &str) -> Option<&'static [&'static str]> {
    MAY_USE.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed)
}

fn imports(file: &File, paths: &[Path]) -> Vec<String> {
    let module = file.module();
    let Some(allowed) = may_use(module) else {
        return vec![file.at(1, &format!("the table of STYLE.md has no module `{module}`"))];
    };
    let here = file.module_path();
    let mut found = Vec::new();
    for path in paths {
        let Some(target) = path.in_this_crate(&here) else { continue };
        match target.first().map(String::as_str) {
            // `lib.rs` and `main.rs` are the root themselves, and what is theirs has no module.
            _ if here.is_empty() && path.segments[0] != "rookery" => {}
            Some(name) if name == module || allowed.contains(&name) => {}
            Some(name) if may_use(name).is_some() => {
                found.push(file.at(path.line, &format!("`{module}` must not use `{name}`")));
            }
            _ => {
                let path_as_written = path.segments.join("::");
                let why = format!("`{path_as_written}` names no module of the table");
                found.push(file.at(path.line, &why));
            }
        }
    }
    found
}

fn actor_crate(file: &File, paths: &[Path]) -> Vec<String> {
    let mut found = Vec::new();
    for path in paths {
        let name = path.segments[0].as_str();
        if file.name == BARE_SERVER_FILE {
            continue;
        }
        if name == "actix_web_actors" && file.name != WEBSOCKET_FILE {
            let why = format!("only src/{WEBSOCKET_FILE} names the deprecated `actix_web_actors`");
            found.push(file.at(path.line, &why));
        } else if is_actix(name) && !MAY_NAME_ACTIX.contains(&file.module()) {
            let why = format!("`{}` must not know `{name}`", file.module());
            found.push(file.at(path.line, &why));
        }
    }
    found
}

fn is_actix(name: &str) -> bool {
    name == "actix" || name.starts_with("actix_")
}

/// Whether a file names the deprecated WebSocket crate.
pub fn names_websocket_crate(file: &File) -> bool {
    paths(&file.text).iter().any(|path| path.segments[0] == "actix_web_actors")
}

/// Refuses `unsafe` and every mention of its lint, except the one that denies it for the crate.
fn unsafe_code(file: &File, tokens: &[Token]) -> Vec<String> {
    if file.name == UNSAFE_FILE {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let denied = at >= 2
            && tokens[at - 1].is_char('(')
            && (tokens[at - 2].is_word("deny") || tokens[at - 2].is_word("forbid"));
        if token.is_word("unsafe") || token.is_word("unsafe_code") && !denied {
            let why = format!("`unsafe` and exceptions for it stand in src/{UNSAFE_FILE} alone");
            found.push(file.at(token.line, &why));
        }
    }
    found
}

fn module_doc(file: &File) -> Vec<String> {
    let first = file.text.lines().find(|line| !line.trim().is_empty());
    if first.is_some_and(|line| line.starts_with("//!")) {
        return Vec::new();
    }
    vec![file.at(1, "a file opens with `//!`: what it owns and what it never does")]
}

/// Refuses runtimes, databases, clocks and the operating system where only rules and wire types belong.
fn outside_world(file: &File, paths: &[Path], tokens: &[Token]) -> Vec<String> {
    const CRATES: &[&str] = &[
        "tokio",
        "tokio_postgres",
        "tokio_tungstenite",
        "tokio_util",
        "deadpool_postgres",
        "refinery",
        "redis",
        "governor",
        "libc",
        "socket2",
    ];
    const OF_STD: &[&str] = &["env", "fs", "net", "process", "thread"];
    const CLOCKS: &[&str] = &["now", "now_v1", "now_v6", "now_v7", "elapsed"];
    let mut found = Vec::new();
    let mut refuse = |line: usize, what: &str| {
        let why = format!("`{}` is pure and must not use `{what}`", file.module());
        found.push(file.at(line, &why));
    };
    for path in paths {
        let first = path.segments[0].as_str();
        let second = path.segments.get(1).map_or("", String::as_str);
        let last = path.segments.last().map_or("", String::as_str);
        // A test needs some instant to count from, and there is no other way to get one.
        let origin =
            path.is_in_tests() && path.segments.ends_with(&["Instant".into(), "now".into()]);
        let clock = path.segments.len() > 1 && CLOCKS.contains(&last) && !origin;
        let system = first == "std" && OF_STD.contains(&second) && file.name != GOLDEN_FILE_TEST;
        if CRATES.contains(&first) || system || clock {
            refuse(path.line, &path.segments.join("::"));
        }
    }
    for pair in tokens.windows(2) {
        if pair[0].is_char('.') && pair[1].is_word("elapsed") {
            refuse(pair[1].line, ".elapsed()");
        }
    }
    found
}

/// Refuses statements, and files with statements, outside the store.
fn sql(file: &File, tokens: &[Token]) -> Vec<String> {
    // How a statement begins, and what else it has; a log line may begin with "update" too.
    const STATEMENTS: &[(&str, &str)] = &[
        ("select ", " from "),
        ("insert into ", ""),
        ("update ", " set "),
        ("delete from ", ""),
        ("with ", " as ("),
    ];
    let mut found = Vec::new();
    for token in tokens {
        let Kind::Text(text) = &token.kind else { continue };
        let text = text.trim_start().to_lowercase();
        let is_statement = STATEMENTS
            .iter()
            .any(|(begin, part)| text.starts_with(begin) && text[begin.len() - 1..].contains(part));
        if is_statement || text.ends_with(".sql") {
            found.push(file.at(token.line, "SQL stands in the store alone"));
        }
    }
    found
}

/// The files of `sql/queries/` that a file of the store includes.
pub fn queries(file: &File) -> Vec<String> {
    let texts = tokens(&file.text).into_iter().filter_map(|token| match token.kind {
        Kind::Text(text) => Some(text),
        _ => None,
    });
    texts
        .filter_map(|text| text.split_once("sql/queries/").map(|(_, name)| name.to_owned()))
        .collect()
}
