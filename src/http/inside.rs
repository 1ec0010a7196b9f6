//! The inside port: is it alive, is it ready, what does it count, and what of its memory can it spare.
//!
//! For operators, load balancers and collectors, never for the internet; it has no secrets and changes nothing that is kept.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use actix_web::http::header::ContentType;
use actix_web::web::{Data, ServiceConfig, get, head, post, resource};
use actix_web::{HttpResponse, Responder};
use deadpool_postgres::Pool;
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;

use crate::actors::Engine;
use crate::store::{child, connect};

/// How long the database may take to answer before it counts as away.
const PROBE_WITHIN: Duration = Duration::from_secs(1);
/// The database's name among the dependencies.
const POSTGRES: &str = "postgres";

/// What this node needs to serve, and how each stands. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    database: OnceLock<Pool>,
    told: RwLock<BTreeMap<&'static str, Standing>>,
}

/// How one thing that the node needs stands; a detail says what it waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there.
    Up,
    /// It is away, and the node serves without it, but worse.
    Degraded(String),
    /// It is away, and the node does not serve.
    Down(String),
}

/// One thing in the answer of `/readyz`. What is not so is left out.
#[derive(Debug, Serialize)]
struct Dependency {
    ready: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl From<Standing> for Dependency {
    fn from(standing: Standing) -> Self {
        let (ready, degraded, detail) = match standing {
            Standing::Up => (true, false, None),
            Standing::Degraded(detail) => (true, true, Some(detail)),
            Standing::Down(detail) => (false, false, Some(detail)),
        };
        Self { ready, degraded, detail }
    }
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    degraded: bool,
    dependencies: BTreeMap<&'static str, Dependency>,
}

impl Report {
    fn of(standings: BTreeMap<&'static str, Standing>) -> Self {
        let dependencies: BTreeMap<&'static str, Dependency> =
            standings.into_iter().map(|(name, standing)| (name, standing.into())).collect();
        let ready = dependencies.values().all(|dependency| dependency.ready);
        let degraded = dependencies.values().any(|dependency| dependency.degraded);
        Self { ready, degraded, dependencies }
    }
}

impl Readiness {
    /// The database is asked from now on, each time somebody wants to know.
    pub fn watch_database(&self, pool: Pool) {
        // Set once, by the one that starts the node; a second call would change nothing.
        let _ = self.0.database.set(pool);
    }

    /// Says how a named dependency stands.
    pub fn tell(&self, name: &'static str, standing: Standing) {
        let mut told = self.0.told.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        told.insert(name, standing);
    }

    async fn report(&self) -> Report {
        let mut standings =
            self.0.told.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        standings.insert(POSTGRES, self.database().await);
        Report::of(standings)
    }

    async fn database(&self) -> Standing {
        let Some(pool) = self.0.database.get() else {
            return Standing::Down("starting".to_owned());
        };
        match tokio::time::timeout(PROBE_WITHIN, connect::probe(pool)).await {
            Ok(Ok(())) => Standing::Up,
            Ok(Err(error)) => Standing::Down(error.to_string()),
            Err(_) => Standing::Down(format!("no answer within {PROBE_WITHIN:?}")),
        }
    }
}

/// Whose memory is given back when somebody asks for it: nobody's until there is an engine. Clones share it.
#[derive(Clone, Default)]
pub struct Trim(Arc<OnceLock<Engine>>);

impl Trim {
    /// The engine whose threads are asked from now on.
    pub fn set(&self, engine: Engine) {
        // Set once, by the one that starts the node; a second call would change nothing.
        let _ = self.0.set(engine);
    }
}

/// The routes of the inside port.
pub fn routes(
    config: &mut ServiceConfig,
    readiness: &Readiness,
    trim: &Trim,
    metrics: &PrometheusHandle,
) {
    config
        .app_data(Data::new(readiness.clone()))
        .app_data(Data::new(trim.clone()))
        .app_data(Data::new(metrics.clone()))
        // A probe may ask for the head alone.
        .service(resource("/healthz").route(get().to(healthz)).route(head().to(healthz)))
        .service(resource("/readyz").route(get().to(readyz)).route(head().to(readyz)))
        .service(resource("/metrics").route(get().to(render)))
        .service(resource("/trim").route(post().to(give_memory_back)));
}

/// Whoever answers is alive; this asks nobody, so that a database that is away gets no node restarted.
async fn healthz() -> impl Responder {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n")
}

async fn readyz(readiness: Data<Readiness>) -> impl Responder {
    let report = readiness.report().await;
    if report.ready {
        HttpResponse::Ok().json(report)
    } else {
        HttpResponse::ServiceUnavailable().json(report)
    }
}

async fn render(metrics: Data<PrometheusHandle>) -> impl Responder {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics.render())
}

/// For whoever measures, or has seen a storm pass: the allocator keeps what is free for whoever asks next.
async fn give_memory_back(trim: Data<Trim>) -> impl Responder {
    child::give_memory_back();
    if let Some(engine) = trim.0.get() {
        engine.on_each_thread(child::give_memory_back).await;
    }
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("ok\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(standings: [(&'static str, Standing); 2]) -> serde_json::Value {
        serde_json::to_value(Report::of(standings.into())).unwrap()
    }

    #[test]
    fn what_makes_it_worse_is_said_and_what_stops_it_makes_it_not_ready() {
        let away = || "it does not answer".to_owned();

        let whole = report([("postgres", Standing::Up), ("redis", Standing::Up)]);
        let worse = report([("postgres", Standing::Up), ("redis", Standing::Degraded(away()))]);
        let down =
            report([("postgres", Standing::Down(away())), ("redis", Standing::Degraded(away()))]);

        assert_eq!(
            whole.to_string(),
            r#"{"dependencies":{"postgres":{"ready":true},"redis":{"ready":true}},"ready":true}"#
        );
        assert_eq!((&worse["ready"], &worse["degraded"]), (&true.into(), &true.into()));
        assert_eq!(worse["dependencies"]["redis"]["degraded"], true);
        assert_eq!(worse["dependencies"]["redis"]["detail"], away());
        assert_eq!(down["ready"], false);
        assert_eq!(down["dependencies"]["postgres"]["ready"], false);
    }
}
