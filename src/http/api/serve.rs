//! How a request goes through: let in, read, carried out within its time, answered, counted.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;
use actix_web::web::{self, Payload, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::answer::{Outcome, REQUEST_ID, Refused, respond};
use super::call::{Call, read_body};
use super::route::{Act, Handler, Repeats, Route, Verb};
use super::routes::ROUTES;
use super::{ROOT, gate, repeats};
use crate::actors::Engine;
use crate::ids::Scope;
use crate::limits;
use crate::protocol::{Code, ErrorBody};

/// What the interface works with; cheap to clone.
#[derive(Clone)]
pub struct Api {
    engine: Engine,
    places: Arc<Semaphore>,
}

impl Api {
    /// One a node.
    pub fn new(engine: Engine) -> Self {
        Self { engine, places: Arc::new(Semaphore::new(limits::REST_AT_ONCE)) }
    }
}

/// What a request asks for.
#[derive(Clone, Copy)]
enum Asked {
    /// An operation.
    Operation(&'static Route),
    /// A place of the table, by a method that it does not know.
    OtherMethod(&'static str),
    /// A place that is not in the table.
    OtherPlace,
}

/// Adds every route of the table, and the answers for what is not in it.
pub fn configure(config: &mut ServiceConfig, api: &Api) {
    let mut scope = web::scope(ROOT);
    let mut placed: Vec<&str> = Vec::new();
    for Route { path, .. } in ROUTES {
        if placed.contains(path) {
            continue;
        }
        placed.push(path);
        let mut resource = web::resource(*path);
        for route in ROUTES.iter().filter(|route| route.path == *path) {
            let attended = web::method(route.verb.method());
            resource = resource.route(attended.to(attend(api, Asked::Operation(route))));
        }
        let other = web::to(attend(api, Asked::OtherMethod(path)));
        scope = scope.service(resource.default_service(other));
    }
    config.service(scope.default_service(web::to(attend(api, Asked::OtherPlace))));
}

/// The handler of actix for what is asked.
fn attend(
    api: &Api,
    asked: Asked,
) -> impl actix_web::Handler<(HttpRequest, Payload), Output = HttpResponse> {
    let api = api.clone();
    move |request: HttpRequest, payload: Payload| {
        let api = api.clone();
        async move { serve(api, asked, request, payload).await }
    }
}

async fn serve(api: Api, asked: Asked, request: HttpRequest, payload: Payload) -> HttpResponse {
    let request_id = Uuid::now_v7().to_string();
    let outcome = match asked {
        Asked::Operation(Route { handler: Handler::Public(show), .. }) => {
            return named(show(&request), &request_id);
        }
        Asked::Operation(route @ Route { handler: Handler::Scoped(scope, act), .. }) => {
            let outcome = match admitted(&api, (route, *scope), &request, payload).await {
                Ok((call, place)) => carried_out(route, *act, call, place, &request_id).await,
                Err(refused) => Err(refused),
            };
            count(route, status_of(&outcome));
            outcome
        }
        Asked::OtherMethod(path) => Err(Refused::no_such_method(methods(path))),
        Asked::OtherPlace => Err(Refused::no_such_path()),
    };
    named(respond(outcome, &request_id), &request_id)
}

fn named(mut response: HttpResponse, request_id: &str) -> HttpResponse {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// The methods that a path of the table knows.
fn methods(path: &str) -> String {
    let known = ROUTES.iter().filter(|route| route.path == path);
    known.map(|route| route.verb.method().to_string()).collect::<Vec<_>>().join(", ")
}

/// Lets a request in, to one of the places that there are.
async fn admitted(
    api: &Api,
    (route, scope): (&'static Route, Scope),
    request: &HttpRequest,
    payload: Payload,
) -> Result<(Call, OwnedSemaphorePermit), Refused> {
    let Ok(place) = api.places.clone().try_acquire_owned() else {
        let busy = ErrorBody::new(Code::Busy, "too many requests at once");
        return Err(busy.retry_after(limits::RETRY_AFTER).into());
    };
    let caller = gate::admit(&api.engine, request.headers(), scope).await?;
    let body = match route.verb {
        // Whatever such a request brings along means nothing.
        Verb::Get | Verb::Delete => Bytes::new(),
        Verb::Post | Verb::Put | Verb::Patch => {
            read_body(request, payload, route.body.is_some()).await?
        }
    };
    Ok((Call::new(api.engine.clone(), caller, request, body)?, place))
}

/// Has a request carried out. In a task of its own: who hangs up, or is told that it takes too long, has asked all the
/// same, and what was begun is brought to its end.
async fn carried_out(
    route: &'static Route,
    act: Act,
    call: Call,
    place: OwnedSemaphorePermit,
    request_id: &str,
) -> Outcome {
    let (app, key, request) = (call.caller.app, call.caller.key, request_id.to_owned());
    let work = actix_web::rt::spawn(async move {
        let outcome = match (route.verb, route.repeats) {
            (Verb::Post, Repeats::ByAnswer) => repeats::once(route, act, call).await,
            _ => act(call).await,
        };
        let status = status_of(&outcome).as_u16();
        let operation = route.name;
        match route.verb {
            Verb::Get => tracing::debug!(operation, %app, %key, request, status, "read over REST"),
            _ => tracing::info!(operation, %app, %key, request, status, "asked over REST"),
        }
        drop(place);
        outcome
    });
    match tokio::time::timeout(limits::REST_WITHIN, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => {
            tracing::error!(%error, operation = route.name, "a request was not brought to its end");
            Err(unanswered(route))
        }
        Err(_) => Err(unanswered(route)),
    }
}

/// What is said where no answer came.
fn unanswered(route: &Route) -> Refused {
    let error = match route.verb {
        Verb::Get => ErrorBody::new(Code::Unavailable, "no answer in time"),
        _ => {
            ErrorBody::new(Code::OutcomeUnknown, "it may have been done or not; look, or ask again")
        }
    };
    error.retry_after(limits::RETRY_AFTER).into()
}

fn status_of(outcome: &Outcome) -> StatusCode {
    match outcome {
        Ok(answer) => answer.status,
        Err(refused) => refused.status,
    }
}

/// Counts by a few statuses, so that what clients do wrong makes no new series.
fn count(route: &Route, status: StatusCode) {
    let status = match status.as_u16() {
        200..=299 => "2xx",
        300..=499 => "4xx",
        _ => "5xx",
    };
    let operation = route.name;
    metrics::counter!("rookery_rest_requests_total", "operation" => operation, "status" => status)
        .increment(1);
}
