//! What operators see of the nodes that share a database: `rookery cluster status`.
//!
//! Asks no node, so it says the same wherever it is run, and says it also when none is there.

use std::path::Path;

use serde_json::{Value, json};

use super::ServeError;
use super::commands::with_database;
use crate::cluster::bus::check_redis;
use crate::config::Settings;
use crate::ids::Shard;
use crate::store::bus::known_cluster_key;
use crate::store::embedded::Progress;
use crate::store::status::{self, ClusterStatus, NodeStatus, StoreStatus};

/// How a cluster stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    cluster: ClusterStatus,
    redis: RedisStatus,
}

/// How Redis stands, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
enum RedisStatus {
    /// The settings name none, or the node is alone on its private database.
    Unused,
    /// It takes what it is given.
    Answers,
    /// It does not, and why.
    Away(String),
}

/// Reads how the cluster stands from its database, and asks its Redis.
pub fn read(
    settings: &Settings,
    data_dir: &Path,
    progress: Progress,
) -> Result<Report, ServeError> {
    with_database(settings, data_dir, progress, async |database| {
        let (mut client, _) = database.first_contact().await?;
        let cluster = status::read(&mut client).await?;
        let url = &settings.redis.url;
        let redis = if url.is_empty() || settings.database.url.is_empty() {
            RedisStatus::Unused
        } else {
            // Without a key no node was ever there; any name does to find out whether Redis is.
            let key = known_cluster_key(&client).await?.unwrap_or_default();
            check_redis(url, key).await?.map_or_else(RedisStatus::Away, |()| RedisStatus::Answers)
        };
        Ok(Report { cluster, redis })
    })
}

impl Report {
    /// For people: a line for each node in aligned columns, and what concerns all of them below.
    pub fn to_text(&self) -> String {
        let ClusterStatus { store, nodes, shards, letters } = &self.cluster;
        let there = nodes.iter().filter(|node| node.is_there()).count();
        let owned = i64::from(Shard::COUNT) - shards.without_owner;
        let waiting = match letters.oldest_s {
            Some(oldest_s) => {
                format!("{} in the database, the oldest for {oldest_s:.1} s", letters.waiting)
            }
            None => "none waits in the database".to_owned(),
        };
        let redis = match &self.redis {
            RedisStatus::Unused => "not used",
            RedisStatus::Answers => "answers",
            RedisStatus::Away(why) => &format!("does not answer, PostgreSQL carries: {why}"),
        };
        let epoch = store.epoch.as_deref().unwrap_or("none yet, the next start begins one");
        let lines = [
            ("nodes", format!("{there} of {} are there", nodes.len())),
            (
                "shards",
                format!(
                    "{owned} of {} are owned by nodes that are there, after {} claims",
                    Shard::COUNT,
                    shards.claims,
                ),
            ),
            ("epoch", epoch.to_owned()),
            (
                "database",
                format!(
                    "PostgreSQL {}, timeline {}, on disk up to {}",
                    store.version, store.timeline, store.flushed,
                ),
            ),
            ("standbys", standbys(store)),
            ("letters", waiting),
            ("redis", redis.to_owned()),
        ];
        let mut text = table(nodes);
        text.push('\n');
        for (name, value) in lines {
            text.push_str(&format!("{name:<9}  {value}\n"));
        }
        text
    }

    /// For programs. Ids are text, since they do not fit into every program's numbers.
    pub fn to_json(&self) -> Value {
        let ClusterStatus { store, nodes, shards, letters } = &self.cluster;
        let redis = match &self.redis {
            RedisStatus::Unused => json!({"used": false}),
            RedisStatus::Answers => json!({"used": true, "answers": true}),
            RedisStatus::Away(why) => json!({"used": true, "answers": false, "detail": why}),
        };
        json!({
            "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
            "shards": {
                "count": Shard::COUNT,
                "without_owner": shards.without_owner,
                "claims": shards.claims,
            },
            "store": {
                "epoch": store.epoch,
                "version": store.version,
                "timeline": store.timeline,
                "flushed": store.flushed,
                "waits_for_standbys": store.waits_for_standbys,
                "synchronous_standbys": store.synchronous_standbys,
            },
            "letters": {"waiting": letters.waiting, "oldest_s": letters.oldest_s.map(tenths)},
            "redis": redis,
        })
    }
}

fn node(node: &NodeStatus) -> Value {
    let (lowest, highest) = node.epochs.unzip();
    json!({
        "node": node.run.node.to_string(),
        "incarnation": node.run.incarnation.get(),
        "number": node.number,
        "there": node.is_there(),
        "leaving": node.is_there() && node.is_leaving,
        "fenced": !node.is_there() && node.is_buried,
        "lease_left_s": tenths(node.lease_left_s),
        "sessions": node.sessions,
        "shards": node.shards,
        "lowest_epoch": lowest,
        "highest_epoch": highest,
    })
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

fn standbys(store: &StoreStatus) -> String {
    match (store.waits_for_standbys, store.synchronous_standbys) {
        (false, _) => "commits wait for none".to_owned(),
        (true, None) => "commits wait for some; our role may not see which are there".to_owned(),
        (true, Some(0)) => "commits wait for one, and none is there".to_owned(),
        (true, Some(count)) => format!("commits wait for them, {count} there"),
    }
}

/// One line for each node.
fn table(nodes: &[NodeStatus]) -> String {
    let head = ["NODE", "START", "NUMBER", "STATE", "LEASE", "SESSIONS", "SHARDS", "EPOCHS"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(nodes.iter().map(row));
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for row in &rows {
        let line: String =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(node: &NodeStatus) -> [String; 8] {
    let left_s = node.lease_left_s;
    let (state, lease) = match (node.is_there(), node.is_buried) {
        (true, _) => {
            (if node.is_leaving { "leaving" } else { "there" }, format!("{left_s:.1} s left"))
        }
        (false, true) => ("gone, fenced", format!("over for {:.0} s", -left_s)),
        (false, false) => ("gone", format!("over for {:.0} s", -left_s)),
    };
    let epochs = match node.epochs {
        Some((lowest, highest)) if lowest == highest => lowest.to_string(),
        Some((lowest, highest)) => format!("{lowest} to {highest}"),
        None => "-".to_owned(),
    };
    [
        node.run.node.to_string(),
        node.run.incarnation.to_string(),
        node.number.map_or_else(|| "-".to_owned(), |number| number.to_string()),
        state.to_owned(),
        lease,
        node.sessions.to_string(),
        node.shards.to_string(),
        epochs,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Incarnation, NodeId, NodeRun};
    use crate::store::status::{LettersStatus, ShardsStatus};

    fn report() -> Report {
        let node = |node, lease_left_s, shards, epochs| NodeStatus {
            run: NodeRun {
                node: NodeId::from_store(node),
                incarnation: Incarnation::from_store(3),
            },
            number: Some(0),
            lease_left_s,
            is_buried: true,
            is_leaving: false,
            sessions: 12,
            shards,
            epochs,
        };
        let nodes = vec![
            node(7, 7.94, 1_000, Some((1, 4))),
            node(9_223_372_036_854_775_807, -35.2, 0, None),
        ];
        let store = StoreStatus {
            epoch: Some("0190".to_owned()),
            timeline: 1,
            flushed: "0/1A2B".to_owned(),
            version: "16.2".to_owned(),
            waits_for_standbys: true,
            synchronous_standbys: Some(0),
        };
        let shards = ShardsStatus { without_owner: 24, claims: 1_536 };
        let letters = LettersStatus { waiting: 3, oldest_s: Some(0.25) };
        let redis = RedisStatus::Away("no connection in time".to_owned());
        Report { cluster: ClusterStatus { store, nodes, shards, letters }, redis }
    }

    #[test]
    fn people_read_a_table_and_what_concerns_all_nodes_below() {
        let text = report().to_text();

        assert_eq!(
            text,
            "\
NODE                 START  NUMBER  STATE         LEASE          SESSIONS  SHARDS  EPOCHS
7                    3      0       there         7.9 s left     12        1000    1 to 4
9223372036854775807  3      0       gone, fenced  over for 35 s  12        0       -

nodes      1 of 2 are there
shards     1000 of 1024 are owned by nodes that are there, after 1536 claims
epoch      0190
database   PostgreSQL 16.2, timeline 1, on disk up to 0/1A2B
standbys   commits wait for one, and none is there
letters    3 in the database, the oldest for 0.2 s
redis      does not answer, PostgreSQL carries: no connection in time
"
        );
    }

    #[test]
    fn programs_read_ids_as_text_and_what_is_not_known_as_null() {
        let json = report().to_json();

        assert_eq!(json["nodes"][1]["node"], "9223372036854775807");
        assert_eq!(json["nodes"][1]["lowest_epoch"], Value::Null);
        assert_eq!(
            (&json["nodes"][0]["there"], &json["nodes"][0]["fenced"]),
            (&true.into(), &false.into())
        );
        assert_eq!(json["redis"]["answers"], false);
        assert_eq!(json["shards"]["without_owner"], 24);
    }
}
