//! What is to be stored of a send, from whichever way in it came.

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::intake::SendHash;
use crate::limits;
use crate::protocol::{Body, Code, Content, ErrorBody};

/// What is to be stored of a send.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What the message says.
    pub body: Arc<Body>,
    /// The stored form of it.
    pub stored: Bytes,
    /// What that hashes to.
    pub hash: SendHash,
}

impl PartialEq for Draft {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Draft {
    /// Checks what somebody wants to say, and writes its stored form.
    pub fn of(body: Body) -> Result<Self, ErrorBody> {
        let refused = |code, message: String| Err(ErrorBody::new(code, message).field("content"));
        if let Content::Notice(_) = body.content {
            let message = "notices are written by the server alone";
            return refused(Code::BadRequest, message.to_owned());
        }
        if body.content.bytes() > limits::CONTENT_BYTES {
            let message = format!("expected at most {} bytes", limits::CONTENT_BYTES);
            return refused(Code::TooLarge, message);
        }
        let Ok(stored) = body.encode().map(Bytes::from) else {
            return refused(Code::BadRequest, "expected content of a known type".to_owned());
        };
        let hash = Body::hash(&stored);
        Ok(Self { body: Arc::new(body), stored, hash })
    }
}
