//! The README says what is so: its tables of bounds and settings, its examples, its list of metrics, its links.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let inner = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.extend(files(&inner, endings));
        } else if endings.iter().any(|ending| path.to_str().unwrap().ends_with(ending)) {
            found.push(path);
        }
    }
    found
}

/// The rows of the table under a heading whose first cell begins with a name in backticks: the name, then all cells.
fn rows(document: &str, heading: &str) -> BTreeMap<String, Vec<String>> {
    let section =
        document.split(&format!("\n## {heading}\n")).nth(1).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap();
    let mut rows = BTreeMap::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let name = cells[0].split('`').nth(1).unwrap().to_owned();
        assert!(rows.insert(name.clone(), cells).is_none(), "{name} has two rows");
    }
    rows
}

/// What a bound comes to, in milliseconds if it is a time: `a * b`, `Duration::from_secs(c)`, or a pair of these.
fn worth(name: &str, expression: &str) -> Vec<u64> {
    let unit = |text: &str| {
        if text.contains("from_secs") || name.ends_with("_S") {
            1000
        } else if name.contains("_DAYS") {
            86_400_000
        } else {
            1
        }
    };
    let parts: Vec<&str> = match expression.strip_prefix('(') {
        Some(pair) => pair.trim_end_matches(')').split(", ").collect(),
        None => vec![expression],
    };
    parts
        .into_iter()
        .map(|part| {
            let plain = part.rsplit('(').next().unwrap().trim_end_matches(')').replace('_', "");
            let product: u64 = plain
                .split('*')
                .map(|factor| match factor.trim().parse::<u64>() {
                    Ok(factor) => factor,
                    Err(_) => panic!("{name} = {expression}: teach this test to read it"),
                })
                .product();
            product * unit(part)
        })
        .collect()
}

/// The same of what people read, as `64 KiB`, `20,000`, `1 s, 60 s`.
fn said(value: &str) -> Vec<u64> {
    value
        .split(", ")
        .map(|part| {
            let (number, unit) = part.split_once(' ').unwrap_or((part, ""));
            let unit = match unit {
                "" | "bytes" | "ms" => 1,
                "KiB" => 1024,
                "MiB" => 1024 * 1024,
                "s" => 1000,
                "min" => 60_000,
                "days" => 86_400_000,
                other => panic!("the unit {other} of {value} is not known here"),
            };
            number.replace(',', "").parse::<u64>().unwrap() * unit
        })
        .collect()
}

#[test]
fn the_table_of_limits_has_every_bound_of_the_server_with_its_value() {
    let table = rows(&read("README.md"), "Limits");
    let source = read("src/limits.rs");
    let bounds: BTreeMap<&str, &str> = source
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("pub const ")?.split_once(':')?;
            Some((name, rest.split_once(" = ")?.1.trim_end_matches(';')))
        })
        .collect();
    let public = source.matches("pub const ").count();
    assert_eq!(bounds.len(), public, "every bound stands on one line");

    let listed: BTreeSet<&str> = table.keys().map(String::as_str).collect();
    assert_eq!(listed, bounds.keys().copied().collect());
    for (name, expression) in bounds {
        assert_eq!(said(&table[name][1]), worth(name, expression), "{name}");
        assert_eq!(table[name].len(), 3, "{name} says what happens there, or nothing");
    }
}

#[test]
fn the_table_of_settings_has_every_setting_with_its_default() {
    let table = rows(&read("README.md"), "Configuration");
    let mut settings = BTreeMap::new();
    let mut section = String::new();
    for line in read("rookery.toml").lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_end_matches(']'));
        } else if let Some((name, default)) =
            line.strip_prefix('#').and_then(|line| line.split_once(" = "))
            && name.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        {
            settings.insert(format!("{section}{name}"), default.to_owned());
        }
    }

    let shown: BTreeMap<String, String> = table
        .into_iter()
        .map(|(name, cells)| (name, cells[1].trim_matches('`').to_owned()))
        .collect();
    assert_eq!(shown, settings);
}

#[test]
fn the_examples_are_those_that_are_run_or_compiled() {
    let readme = read("README.md");
    for (language, example) in [
        ("js", "token.mjs"),
        ("python", "token.py"),
        ("go", "token.go"),
        ("ts", "conversation.ts"),
        ("rust", "conversation.rs"),
    ] {
        let blocks: Vec<&str> = readme.split(&format!("\n```{language}\n")).skip(1).collect();
        assert_eq!(blocks.len(), 1, "one block of {language}");
        let quoted = blocks[0].split("\n```").next().unwrap();

        assert!(read(format!("docs/examples/{example}")).contains(quoted), "{example} says else");
    }
}

#[test]
fn the_list_of_metrics_has_every_metric() {
    let names = |text: &str, quote: char| -> BTreeSet<String> {
        text.split(quote)
            .filter(|part| {
                part.starts_with("rookery_")
                    && part.chars().all(|c| c.is_ascii_lowercase() || c == '_')
            })
            .map(str::to_owned)
            .collect()
    };
    let counted: BTreeSet<String> = files("src", &[".rs"])
        .iter()
        .flat_map(|file| names(&fs::read_to_string(file).unwrap(), '"'))
        .collect();

    assert_eq!(names(&read("README.md"), '`'), counted);
}

#[test]
fn no_link_of_the_documents_leads_nowhere() {
    let mut documents = files("docs", &[".md"]);
    documents.extend(files("deploy", &[".md"]));
    for name in fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()) {
        documents.extend(Some(name).filter(|name| name.extension().is_some_and(|end| end == "md")));
    }
    let mut dead = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") {
                continue;
            }
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let leads = target.exists() && (anchor.is_empty() || has_heading(&target, anchor));
            if !leads {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

/// Whether a document has a heading that this anchor names.
fn has_heading(document: &Path, anchor: &str) -> bool {
    fs::read_to_string(document).unwrap().lines().any(|line| {
        let heading: String = line
            .trim_start_matches('#')
            .trim()
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() })
            .collect();
        line.starts_with('#') && heading == anchor
    })
}
