//! Messages that a backend sends over REST: each answered when it is stored, over connections that are kept.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use serde::Deserialize;
use uuid::Uuid;

use super::{Run, talking};
use crate::app::{ServeError, keys};
use crate::bench::errors::BenchError;
use crate::bench::figure::{Figure, Latency, Proof, WorkloadReport};
use crate::bench::load::http::{Http, Reply};
use crate::bench::load::people;
use crate::bench::load::stamp::Stamp;
use crate::bench::meter::Usage;
use crate::bench::raw::sockets::BareServer;
use crate::bench::raw::websocket;
use crate::bench::target::Store;
use crate::domain::api_key::ApiKey;
use crate::ids::Scope;
use crate::limits;

/// Entries that are asked for at once when a history is read.
const PAGE: u64 = 200;
/// Times that are longer count as this long, in µs.
const LONGEST_US: u64 = 60_000_000;

/// Its options.
#[derive(Debug, Clone, Args)]
pub struct Rest {
    /// Connections, each with one request at a time, for a user of its own.
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=limits::REST_AT_ONCE as i64))]
    pub connections: u16,
    /// Characters of each message.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    pub characters: u32,
    /// An API key of the server that is given; without one it is made in its store.
    #[arg(long, value_name = "KEY", env = "ROOKERY_BENCH_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
}

/// Measures it.
pub async fn run(run: &Run<'_>, options: &Rest) -> Result<WorkloadReport, BenchError> {
    if run.common.server.is_some() && run.target.tcp.is_some() {
        return Err(BenchError::Options("rest goes by HTTP, not by --transport tcp".to_owned()));
    }
    // A key of the environment is that of a server that is given.
    let given = options.api_key.clone().filter(|_| run.common.server.is_some());
    let made = match (&given, &run.target.store) {
        (Some(_), _) => None,
        (None, Some(store)) => Some(new_key(store.clone()).await?),
        (None, None) => {
            return Err(BenchError::Options(
                "rest needs --api-key, or the settings of the server to make one".to_owned(),
            ));
        }
    };
    let key = given.or_else(|| made.as_ref().map(ApiKey::reveal)).unwrap_or_default();
    let report = measure(run, options, &key).await;
    if let (Some(made), Some(store), true) =
        (made, run.target.store.clone(), run.common.server.is_some())
    {
        let id = made.id();
        by_store(move || keys::revoke(&store.settings, &store.data_dir, Arc::new(|_| {}), id))
            .await?;
    }
    report
}

async fn measure(run: &Run<'_>, options: &Rest, key: &str) -> Result<WorkloadReport, BenchError> {
    let mut report = WorkloadReport::new("rest");
    report.set("connections", options.connections);
    report.set("characters", options.characters);
    let text = talking::text(run.common, options.characters);
    let mut lanes = Vec::new();
    for number in 0..options.connections {
        let mut lane = Lane::open(run, &run.target.http, key, number).await?;
        lane.make_users().await?;
        lanes.push(lane);
    }
    let load = {
        let _step = run.progress.stretch("as fast as it goes", run.common.measured());
        Load::drive(run, &mut lanes, &text).await?
    };
    report.proof = prove(run, &mut lanes).await?;
    drop(lanes);

    let server = BareServer::start(&[]).await?;
    let mut lanes = Vec::new();
    for number in 0..options.connections {
        lanes.push(Lane::open(run, server.address(), key, number).await?);
    }
    let bare = {
        let _step = run.progress.stretch("a bare HTTP server", run.common.measured());
        Load::drive(run, &mut lanes, &text).await?
    };
    server.stop().await;

    let what = "messages sent by REST, stored and answered";
    report.figures.push(
        Figure::higher("rest.rate", what, load.rate(), "requests/s")
            .against("the same HTTP stack with a fixed answer", bare.rate()),
    );
    let usage = &load.usage;
    for (name, what, time) in [
        ("rest.server_cpu", "processor time of the server for a request", usage.server_cpu),
        ("rest.postgres_cpu", "processor time of PostgreSQL for a request", usage.postgres_cpu),
        ("rest.client_cpu", "processor time of the clients for a request", usage.own_cpu),
    ] {
        let each = time.as_secs_f64() * 1e6 / load.answered.max(1) as f64;
        report.figures.push(Figure::lower(name, what, each, "µs"));
    }
    let what = "from the request to its answer, one at a time on each connection";
    report
        .latencies
        .push(Latency::from("rest.latency", what, load.rate(), &load.times).since_begun());
    report.disturbance = usage.disturbance();
    Ok(report)
}

/// An API key in the store of a server.
async fn new_key(store: Store) -> Result<ApiKey, BenchError> {
    let scopes = vec![Scope::UsersWrite, Scope::MessagesSend, Scope::MessagesRead];
    let wanted = keys::Wanted { name: "bench".to_owned(), scopes, valid_days: 1 };
    by_store(move || keys::create(&store.settings, &store.data_dir, Arc::new(|_| {}), wanted)).await
}

/// Does what waits for the store, away from this thread.
async fn by_store<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, ServeError> + Send + 'static,
) -> Result<T, BenchError> {
    let done = tokio::task::spawn_blocking(act).await;
    Ok(done.map_err(|error| BenchError::Start(error.to_string()))??)
}

/// A connection, and the user for whom it sends to another one.
struct Lane {
    http: Http,
    number: u16,
    from: String,
    to: String,
    /// The seq that each message was answered with.
    sent: Vec<u64>,
}

#[derive(Deserialize)]
struct Stored {
    seq: u64,
}

#[derive(Deserialize)]
struct Page {
    messages: Vec<Entry>,
    has_more: bool,
}

#[derive(Deserialize)]
struct Entry {
    seq: u64,
    client_msg_id: Uuid,
}

impl Lane {
    async fn open(
        run: &Run<'_>,
        address: &str,
        key: &str,
        number: u16,
    ) -> Result<Self, BenchError> {
        let http = Http::open(address, key).await.map_err(BenchError::system("no connection"))?;
        let name = |role| Ok::<_, BenchError>(people::user(&run.prefix, role, number)?.to_string());
        Ok(Self { http, number, from: name("from")?, to: name("to")?, sent: Vec::new() })
    }

    async fn make_users(&mut self) -> Result<(), BenchError> {
        for user in [&self.from, &self.to] {
            let body = format!(r#"{{"user":"{user}"}}"#);
            let reply = self.http.ask("POST", "/api/v1/users", &body).await;
            done(reply, "a user", &self.from)?;
        }
        Ok(())
    }

    /// Sends one message and waits until it is stored.
    async fn send(&mut self, run: &Run<'_>, text: &str) -> Result<(), BenchError> {
        let Self { http, number, from, to, sent } = self;
        let since = run.began.elapsed();
        let due_us = u64::try_from(since.as_micros()).unwrap_or_default();
        let stamp = Stamp { lane: *number, number: sent.len() as u32, due_us };
        let id = stamp.id(run.began_ms + due_us / 1_000);
        let body = format!(
            r#"{{"from":"{from}","to":"user:{to}","client_msg_id":"{id}","content":{{"type":"text","text":"{text}"}}}}"#
        );
        let reply = http.ask("POST", websocket::REST_PATH, &body).await;
        sent.push(read::<Stored>(done(reply, "a message", from)?, from)?.seq);
        Ok(())
    }

    /// Reads the history back.
    async fn prove(&mut self) -> Result<Proof, BenchError> {
        let Self { http, number, from, to, sent } = self;
        let mut seen = vec![false; sent.len()];
        let mut proof = Proof { acked: sent.len() as u64, ..Proof::default() };
        let (mut after, mut next) = (0, 0);
        loop {
            let path = format!(
                "/api/v1/users/{from}/conversations/user:{to}/messages?after={after}&limit={PAGE}"
            );
            let reply = http.ask("GET", &path, "").await;
            let page: Page = read(done(reply, "a history", from)?, from)?;
            for entry in page.messages {
                let stamp = Stamp::of(entry.client_msg_id);
                let place = stamp.number as usize;
                let is_ours = stamp.lane == *number;
                proof.out_of_order += u64::from(entry.seq <= after || stamp.number < next);
                (after, next) = (entry.seq, stamp.number + 1);
                let (Some(seen), Some(seq), true) = (seen.get_mut(place), sent.get(place), is_ours)
                else {
                    continue;
                };
                proof.doubled += u64::from(*seen);
                proof.found += u64::from(!*seen && *seq == entry.seq);
                *seen = true;
            }
            if !page.has_more {
                break;
            }
        }
        proof.lost = proof.acked - proof.found;
        Ok(proof)
    }
}

/// What an answer says, if the request was carried out.
fn done<'a>(
    reply: std::io::Result<Reply<'a>>,
    what: &str,
    who: &str,
) -> Result<&'a [u8], BenchError> {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        #[serde(default)]
        detail: String,
    }
    let reply =
        reply.map_err(|error| BenchError::Session { who: who.into(), why: error.to_string() })?;
    if matches!(reply.status, 200 | 201) {
        return Ok(reply.body);
    }
    let problem = serde_json::from_slice::<Problem>(reply.body).ok();
    let (code, message) = problem.map_or_else(
        || (reply.status.to_string(), "without a code".to_owned()),
        |problem| (problem.code, problem.detail),
    );
    Err(BenchError::Refused { what: what.to_owned(), code, message })
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8], who: &str) -> Result<T, BenchError> {
    serde_json::from_slice(body)
        .map_err(|error| BenchError::Session { who: who.into(), why: error.to_string() })
}

/// Reads all histories back, each over its own connection.
async fn prove(run: &Run<'_>, lanes: &mut [Lane]) -> Result<Proof, BenchError> {
    let step = run.progress.step("reading histories", lanes.len() as u64);
    let step = &step;
    let proofs = lanes.iter_mut().map(async |lane| {
        let proof = lane.prove().await?;
        step.advance(1);
        Ok::<_, BenchError>(proof)
    });
    let mut all = Proof::default();
    for proof in try_join_all(proofs).await? {
        all += proof;
    }
    Ok(all)
}

/// What was measured.
struct Load {
    answered: u64,
    took: Duration,
    times: Histogram<u64>,
    usage: Usage,
}

impl Load {
    /// Every connection sends again when it was answered: through the warm-up and the stretch that is measured.
    async fn drive(run: &Run<'_>, lanes: &mut [Lane], text: &str) -> Result<Self, BenchError> {
        let times = Histogram::<u64>::new_with_bounds(1, LONGEST_US, 3)
            .map_err(|error| BenchError::Options(error.to_string()))?;
        let (times, is_over) = (RefCell::new(times), Cell::new(false));
        let sending = try_join_all(lanes.iter_mut().map(async |lane| {
            while !is_over.get() {
                let began = Instant::now();
                lane.send(run, text).await?;
                let time = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                times.borrow_mut().saturating_record(time);
            }
            Ok::<_, BenchError>(())
        }));
        let measuring = async {
            tokio::time::sleep(run.common.warm_up()).await;
            times.borrow_mut().reset();
            let (meter, since) = (run.meter(), Instant::now());
            tokio::time::sleep(run.common.stretch()).await;
            let answered = times.borrow().len();
            let (took, usage) = (since.elapsed(), meter.stop());
            is_over.set(true);
            Ok((answered, took, usage))
        };
        let (_, (answered, took, usage)) = tokio::try_join!(sending, measuring)?;
        Ok(Self { answered, took, usage, times: times.into_inner() })
    }

    fn rate(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64()
    }
}
