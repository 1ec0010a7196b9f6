//! Requests that come again under the same `Idempotency-Key`: not carried out again, and answered as the first.

use actix_web::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::answer::{Answer, Outcome, Refused};
use super::call::{Call, IDEMPOTENCY_KEY};
use super::route::{Act, Route};
use crate::actors::repeats::{self, Begun, Keyed};
use crate::ids::ClientMsgId;
use crate::limits;
use crate::protocol::{Code, ErrorBody};

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<String>,
    body: Box<RawValue>,
}

/// Carries a request out, unless it has been under the same key. What was refused is not kept, and may be asked again.
pub async fn once(route: &Route, act: Act, call: Call) -> Outcome {
    let Some(key) = call.key.clone() else { return act(call).await };
    let (engine, app) = (call.engine.clone(), call.caller.app);
    let request = Keyed { app, key: &key, hash: hash(route.name, &call) };
    match repeats::begin(&engine, &request).await? {
        Begun::New(claim) => {
            let outcome = act(call).await;
            let kept = outcome.as_ref().ok().and_then(|done| Some((done.status, keep(done)?)));
            let kept = kept.as_ref().map(|(status, kept)| (status.as_u16(), &kept[..]));
            repeats::end(&engine, &request, claim, kept).await;
            outcome
        }
        Begun::Done { status, body } => again(status, &body),
        Begun::Running => {
            let message = "a request with this key is still running";
            let error = ErrorBody::new(Code::Conflict, message).field(IDEMPOTENCY_KEY);
            Err(error.retry_after(limits::RETRY_AFTER).into())
        }
        Begun::OtherRequest => Err(other_request()),
    }
}

/// The id of the message that a key stands for: always the same for the same request.
pub async fn message_id(call: &Call, key: &str) -> Result<ClientMsgId, Refused> {
    let request = Keyed { app: call.caller.app, key, hash: hash("message", call) };
    repeats::message_id(&call.engine, &request).await?.ok_or_else(other_request)
}

fn keep(answer: &Answer) -> Option<Vec<u8>> {
    let body = serde_json::from_slice(&answer.body).ok()?;
    serde_json::to_vec(&Kept { location: answer.location.clone(), body }).ok()
}

fn again(status: u16, kept: &[u8]) -> Outcome {
    let kept = serde_json::from_slice::<Kept>(kept).ok();
    let Some((kept, status)) = kept.zip(StatusCode::from_u16(status).ok()) else {
        tracing::error!("a kept answer cannot be read");
        return Err(ErrorBody::new(Code::Unavailable, "the kept answer cannot be read").into());
    };
    let body = kept.body.get().to_owned().into();
    Ok(Answer { status, location: kept.location, body, is_replayed: true })
}

/// What of a request must be the same when it comes again.
fn hash(operation: &str, call: &Call) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [operation.as_bytes(), call.place().as_bytes()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(call.raw_body());
    hash.finalize().into()
}

fn other_request() -> Refused {
    let message = "this key was used for another request";
    ErrorBody::new(Code::KeyReused, message).field(IDEMPOTENCY_KEY).into()
}
