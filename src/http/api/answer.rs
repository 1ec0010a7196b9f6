//! What a request is answered: what was asked for, or a problem of RFC 9457. Never both, never a 200 with an error inside.

use actix_web::http::StatusCode;
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::{HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use serde::Serialize;

use super::ROOT;
use crate::protocol::rest::Problem;
use crate::protocol::{Code, ErrorBody};

/// Names an answer in the logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Says that an answer was given before, to the same request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// The type of a problem's body.
const PROBLEM_JSON: &str = "application/problem+json";

/// What came of a request.
pub type Outcome = Result<Answer, Refused>;

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 or 201.
    pub status: StatusCode,
    /// Where what was made is found.
    pub location: Option<String>,
    /// JSON.
    pub body: Bytes,
    /// Whether it was given before.
    pub is_replayed: bool,
}

impl Answer {
    /// What was asked for.
    pub fn ok(body: &impl Serialize) -> Outcome {
        Self::of(StatusCode::OK, None, body)
    }

    /// What was made, and where it is found below the root of the interface.
    pub fn created(path: &str, body: &impl Serialize) -> Outcome {
        Self::of(StatusCode::CREATED, Some(format!("{ROOT}{path}")), body)
    }

    fn of(status: StatusCode, location: Option<String>, body: &impl Serialize) -> Outcome {
        let body = serde_json::to_vec(body).map_err(|error| {
            tracing::error!(%error, "an answer of ours has no form");
            Refused::from(ErrorBody::new(Code::Unavailable, "the answer cannot be written"))
        })?;
        Ok(Self { status, location, body: body.into(), is_replayed: false })
    }
}

/// A request that was not carried out, or of which it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status.
    pub status: StatusCode,
    /// Why.
    pub error: ErrorBody,
    /// The methods that there are, where it was another.
    allow: Option<String>,
}

impl From<ErrorBody> for Refused {
    fn from(error: ErrorBody) -> Self {
        Self { status: status_of(error.code), error, allow: None }
    }
}

impl Refused {
    /// A refusal whose status the code does not tell.
    pub fn with(status: StatusCode, error: ErrorBody) -> Self {
        Self { status, error, allow: None }
    }

    /// There is no such place.
    pub fn no_such_path() -> Self {
        ErrorBody::new(
            Code::NotFound,
            format!("there is nothing here; {ROOT}/docs lists what there is"),
        )
        .into()
    }

    /// There is such a place, and it knows other methods.
    pub fn no_such_method(allow: String) -> Self {
        let error = ErrorBody::new(Code::UnknownCommand, format!("expected one of {allow}"));
        Self { status: StatusCode::METHOD_NOT_ALLOWED, error, allow: Some(allow) }
    }

    /// The body is of no type that is read here.
    pub fn no_such_type() -> Self {
        let error = ErrorBody::new(Code::BadRequest, "expected a body of type application/json");
        Self::with(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.field("Content-Type"))
    }

    /// The body did not come in time.
    pub fn too_slow() -> Self {
        let error = ErrorBody::new(Code::BadRequest, "the body did not come in time");
        Self::with(StatusCode::REQUEST_TIMEOUT, error.field("body"))
    }
}

/// The status that a code has over HTTP.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::BadRequest => StatusCode::BAD_REQUEST,
        Code::NotLoggedIn | Code::BadToken | Code::TokenExpired => StatusCode::UNAUTHORIZED,
        Code::Forbidden | Code::NotAMember => StatusCode::FORBIDDEN,
        Code::UnknownCommand | Code::NotFound => StatusCode::NOT_FOUND,
        // The clocks of both sides are part of what a message id clashes with.
        Code::Full | Code::Conflict | Code::StaleKey | Code::ClockAhead | Code::OrderBroken => {
            StatusCode::CONFLICT
        }
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Busy | Code::Unavailable | Code::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        // No part of this server says so.
        Code::Unknown => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Writes an outcome, under the name that it has in the logs.
pub fn respond(outcome: Outcome, request_id: &str) -> HttpResponse {
    let mut response = match &outcome {
        Ok(answer) => HttpResponse::build(answer.status),
        Err(refused) => HttpResponse::build(refused.status),
    };
    // What a key may see is nobody else's, and not tomorrow's.
    response.insert_header((CACHE_CONTROL, "no-store"));
    match outcome {
        Ok(answer) => {
            if let Some(location) = answer.location {
                response.insert_header((LOCATION, location));
            }
            if answer.is_replayed {
                response.insert_header((REPLAYED, "true"));
            }
            response.content_type("application/json").body(answer.body)
        }
        Err(refused) => problem(response, refused, request_id),
    }
}

fn problem(mut response: HttpResponseBuilder, refused: Refused, request_id: &str) -> HttpResponse {
    let Refused { status, error, allow } = refused;
    if let Some(allow) = allow {
        response.insert_header((ALLOW, allow));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
    }
    if let Some(after_ms) = error.retry_after_ms {
        response.insert_header((RETRY_AFTER, after_ms.div_ceil(1000)));
    }
    let problem = Problem {
        kind: format!("{ROOT}/docs#{}", error.code.as_str()),
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: error.message,
        code: error.code,
        request_id: request_id.to_owned(),
        field: error.field,
    };
    // A problem's fields all have a form, so that there is no other answer to think of.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    response.content_type(PROBLEM_JSON).body(body)
}
