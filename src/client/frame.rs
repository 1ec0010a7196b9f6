//! Frames as a client writes and reads them, in the JSON codec.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::protocol::{ErrorBody, Event};

/// What came from the server.
#[derive(Debug)]
pub enum Incoming {
    /// A command was carried out.
    Ok {
        /// Its id.
        re: u64,
        /// What came of it; its type follows from the command.
        ok: Box<RawValue>,
    },
    /// A command was not carried out.
    Error {
        /// Its id, when the server could read it.
        re: Option<u64>,
        /// Why.
        error: ErrorBody,
    },
    /// Something that nobody asked for.
    Event(Event),
    /// Something that this client is too old for; it is passed over.
    Unknown,
}

#[derive(Deserialize)]
struct RawFrame {
    #[serde(default)]
    re: Option<u64>,
    #[serde(default)]
    ok: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<ErrorBody>,
}

#[derive(Serialize)]
struct CommandFrame<'a, B> {
    id: u64,
    cmd: &'a str,
    body: &'a B,
}

/// Reads a frame of the server.
pub fn read(text: &str) -> Incoming {
    if let Ok(event) = serde_json::from_str(text) {
        return Incoming::Event(event);
    }
    match serde_json::from_str(text) {
        Ok(RawFrame { re: Some(re), ok: Some(ok), .. }) => Incoming::Ok { re, ok },
        Ok(RawFrame { re, error: Some(error), .. }) => Incoming::Error { re, error },
        _ => Incoming::Unknown,
    }
}

/// Writes a command. Fails only for a body without a form in JSON, which none of the protocol's is.
pub fn write<B: Serialize>(id: u64, cmd: &str, body: &B) -> Result<String, serde_json::Error> {
    serde_json::to_string(&CommandFrame { id, cmd, body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;

    #[test]
    fn replies_errors_and_events_are_told_apart_and_the_unknown_is_passed_over() {
        assert!(matches!(read(r#"{"re":7,"ok":{"seq":1}}"#), Incoming::Ok { re: 7, .. }));
        assert!(matches!(
            read(r#"{"re":null,"error":{"code":"bad_request","message":""}}"#),
            Incoming::Error { re: None, .. }
        ));
        let newer = r#"{"re":1,"error":{"code":"too_sunny","message":"","shade":true}}"#;
        let Incoming::Error { re: Some(1), error } = read(newer) else { panic!("an error") };
        assert_eq!(error.code, Code::Unknown);
        assert!(matches!(
            read(r#"{"event":"sync.needed","body":{}}"#),
            Incoming::Event(Event::SyncNeeded {})
        ));
        for unknown in [r#"{"event":"call.ringing","body":{}}"#, r#"{"re":1}"#, "[]", "x"] {
            assert!(matches!(read(unknown), Incoming::Unknown), "{unknown}");
        }
    }
}
