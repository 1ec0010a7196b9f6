//! Requests of an app's backend that may come again under the same key: what they came to the first time.

use super::backend::mint_client_msg_id;
use super::engine::Engine;
use super::reads::admitted;
use crate::ids::ClientMsgId;
use crate::protocol::ErrorBody;
use crate::store::idempotency::{self, KeyedSend};

pub use crate::store::idempotency::{Begun, Claim, Keyed};

/// Begins a request, unless it was begun before.
pub async fn begin(engine: &Engine, request: &Keyed<'_>) -> Result<Begun, ErrorBody> {
    let shared = engine.shared();
    admitted(shared, idempotency::begin(&shared.pool, request)).await
}

/// Keeps the answer to a request, or lets it begin again where there is none.
pub async fn end(engine: &Engine, request: &Keyed<'_>, claim: Claim, answer: Option<(u16, &[u8])>) {
    let shared = engine.shared();
    let ended = match answer {
        Some(answer) => {
            admitted(shared, idempotency::finish(&shared.pool, request, claim, answer)).await
        }
        None => admitted(shared, idempotency::abandon(&shared.pool, request, claim)).await,
    };
    if let Err(error) = ended {
        // It counts as running until its time is over, and can then begin again.
        tracing::warn!(code = error.code.as_str(), "what came of a keyed request was not kept");
    }
}

/// The id of the message that a key stands for, the same each time; none where the key was used for another request.
pub async fn message_id(
    engine: &Engine,
    request: &Keyed<'_>,
) -> Result<Option<ClientMsgId>, ErrorBody> {
    let shared = engine.shared();
    let fresh = mint_client_msg_id(engine);
    let begun = admitted(shared, idempotency::begin_send(&shared.pool, request, fresh)).await?;
    Ok(match begun {
        KeyedSend::As(id) => Some(id),
        KeyedSend::OtherRequest => None,
    })
}
