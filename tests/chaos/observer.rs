//! A look into the store while a run goes on, and what goes wrong there: it sees what no client does, under which
//! claims entries of groups are appended.

use std::time::{Duration, Instant};

use rookery::ids::Shard;
use rookery::limits;
use tokio_postgres::{Client, NoTls, Row};

use super::chaos::history::{Claims, Log, What};
use super::chaos::recorder::Recorder;
use super::common::GIVE_UP_AFTER;

const OBSERVER: &str = include_str!("observer.sql");
const TRIED_EVERY: Duration = Duration::from_millis(50);
const ANSWERS_WITHIN: Duration = Duration::from_millis(500);

/// How the store takes commits of messages.
#[derive(Debug, Clone, Copy)]
pub enum Mood {
    Calm,
    /// All take so long, and some of them it refuses then.
    Refuses(Duration),
    /// All take so long.
    Waits(Duration),
}

/// The look into the store.
pub struct Observer {
    url: String,
    /// It goes with the server, and is opened anew then.
    client: Client,
}

impl Observer {
    /// Begins to look. From then on all is seen.
    pub async fn begin(client: Client, url: String) -> Self {
        let observer = OBSERVER.replace("$JOURNALS", &limits::JOURNALS.to_string());
        client.batch_execute(&observer).await.unwrap();
        Self { url, client }
    }

    /// Changes how commits are taken; waits for a server that is away.
    pub async fn set(&mut self, mood: Mood) {
        let (refuses, waits_ms) = match mood {
            Mood::Calm => (false, 0),
            Mood::Refuses(time) => (true, time.as_millis() as i64),
            Mood::Waits(time) => (false, time.as_millis() as i64),
        };
        let since = Instant::now();
        loop {
            let set = format!("update chaos.mood set refuses = {refuses}, waits_ms = {waits_ms}");
            let set = self.client.batch_execute(&set);
            if let Ok(Ok(())) = tokio::time::timeout(ANSWERS_WITHIN, set).await {
                return;
            }
            assert!(since.elapsed() < GIVE_UP_AFTER, "the store's mood cannot be changed");
            tokio::time::sleep(TRIED_EVERY).await;
            self.connect().await;
        }
    }

    /// How many groups a node owns, if the server says so.
    pub async fn groups_of(&mut self, node: i64) -> Option<i64> {
        let count = "select count(*) from groups g
            join shard_owner o on o.shard = g.conversation_no % $2::bigint where o.node = $1";
        let shards = i64::from(Shard::COUNT);
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&node, &shards];
        let count = self.client.query_one(count, &params);
        match tokio::time::timeout(ANSWERS_WITHIN, count).await {
            Ok(Ok(row)) => Some(row.get(0)),
            _ => {
                self.connect().await;
                None
            }
        }
    }

    async fn connect(&mut self) {
        let connecting = tokio_postgres::connect(&self.url, NoTls);
        if let Ok(Ok((client, connection))) = tokio::time::timeout(ANSWERS_WITHIN, connecting).await
        {
            tokio::spawn(connection);
            self.client = client;
        }
    }

    /// Takes down what was seen; `name` is what the history calls a node.
    pub async fn tell(&self, recorder: &Recorder, name: impl Fn(i64) -> String) {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(connection);
        let claimed = "select c.shard, c.epoch, c.node from chaos.claimed c
            where c.shard in (select shard from chaos.appended) order by c.shard, c.epoch";
        for row in client.query(claimed, &[]).await.unwrap() {
            let (shard, shard_epoch) = (row.get::<_, i32>(0) as u16, number(&row, 1));
            recorder.see(What::Claimed { shard, shard_epoch, node: name(row.get(2)) });
        }
        let appended =
            "select g.id, a.seq, a.shard, a.node, a.epoch, a.fence, a.epoch_then, a.fence_then
            from chaos.appended a join groups g on g.conversation_no = a.conversation_no
            order by a.conversation_no, a.seq";
        for row in client.query(appended, &[]).await.unwrap() {
            recorder.see(What::Owned {
                log: Log::group(row.get(0)),
                seq: number(&row, 1),
                shard: row.get::<_, i32>(2) as u16,
                node: Some(name(row.get(3))),
                under: Claims { shard_epoch: number(&row, 4), fence: number(&row, 5) },
                until: Claims { shard_epoch: number(&row, 6), fence: number(&row, 7) },
            });
        }
    }
}

fn number(row: &Row, column: usize) -> u64 {
    row.get::<_, i64>(column) as u64
}
