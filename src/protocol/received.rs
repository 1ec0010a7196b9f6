//! The content of an entry as a reader of a log takes it in: what somebody wrote, perhaps with a newer version.
//!
//! A command or a stored body with unknown content is refused; an entry of a log must not be, or it would leave a gap.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::content::{Content, TYPE, UnknownContent};

pub(super) fn serialize<S: Serializer>(
    content: &Content,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match content {
        Content::Unknown(UnknownContent(fields)) => fields.serialize(serializer),
        known => known.serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Content, D::Error> {
    deserializer.deserialize_map(AsReceived)
}

struct AsReceived;

impl<'de> Visitor<'de> for AsReceived {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a type")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut fields = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            // Our own server writes the type first: what is common needs no detour over a tree of values.
            if name == TYPE && fields.is_empty() {
                let kind = map.next_value::<String>()?;
                match kind.as_str() {
                    "text" => {
                        let Text { text } = Text::deserialize(MapAccessDeserializer::new(map))?;
                        return Ok(Content::Text { text });
                    }
                    "custom" => {
                        let Custom { data } = Custom::deserialize(MapAccessDeserializer::new(map))?;
                        return Ok(Content::Custom { data });
                    }
                    _ => fields.insert(name, Value::String(kind)),
                };
            } else {
                fields.insert(name, map.next_value()?);
            }
        }
        if !fields.get(TYPE).is_some_and(Value::is_string) {
            return Err(de::Error::missing_field(TYPE));
        }
        // A notice of an action that came later is as unknown as a type that did.
        let known = Content::deserialize(Value::Object(fields.clone()));
        Ok(known.unwrap_or(Content::Unknown(UnknownContent(fields))))
    }
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Custom {
    data: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Notice, NoticeAction};

    #[test]
    fn of_a_message_any_content_is_read_and_of_a_command_only_what_is_known() {
        let read = |json: &str| deserialize(&mut serde_json::Deserializer::from_str(json));
        let text = Content::Text { text: "hi".into() };
        let later = r#"{"type":"notice","action":"painted","users":["bob"]}"#;

        assert_eq!(read(r#"{"type":"text","text":"hi","x":[1]}"#).unwrap(), text);
        assert_eq!(read(r#"{"x":[1],"text":"hi","type":"text"}"#).unwrap(), text);
        assert!(matches!(
            read(r#"{"type":"notice","action":"joined"}"#),
            Ok(Content::Notice(Notice { action: NoticeAction::Joined, .. }))
        ));
        for unknown in [r#"{"type":"poll","options":[{"a":1},null]}"#, later] {
            let Ok(Content::Unknown(content)) = read(unknown) else { panic!("{unknown}") };
            assert!(["poll", "notice"].contains(&content.kind()));
            let mut back = Vec::new();
            let out = &mut serde_json::Serializer::new(&mut back);
            serialize(&Content::Unknown(content), out).unwrap();
            let back: Value = serde_json::from_slice(&back).unwrap();
            assert_eq!(back, serde_json::from_str::<Value>(unknown).unwrap());
            assert!(serde_json::from_str::<Content>(unknown).is_err());
        }
        for broken in ["{}", r#"{"type":7}"#, r#"{"type":"text"}"#, r#""text""#, "[]"] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
