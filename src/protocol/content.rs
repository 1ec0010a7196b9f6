//! What a message says, and the form in which it is stored and compared.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::ids::{Seq, UserId};

/// The content of an entry; what kind of entry it is stands in `type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum Content {
    /// What a person wrote.
    Text {
        /// Any Unicode text, NUL included.
        text: String,
    },
    /// What only the app understands: the engine carries it and does not look inside.
    Custom {
        /// The app's own text, often JSON.
        data: String,
    },
    /// What happened to a group. Written by the server alone; `from` is who did it.
    Notice(Notice),
    /// What a newer server wrote and this version does not know. Never sent or stored.
    #[serde(skip)]
    Unknown(UnknownContent),
}

/// What happened to a group, for its log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct Notice {
    /// What happened.
    pub action: NoticeAction,
    /// To whom: who became or ceased to be a member; empty where no member moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub users: Vec<UserId>,
    /// The group's name from then on, where it was given one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub name: Option<String>,
    /// The group's owner from then on, where it has another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub owner: Option<UserId>,
}

/// What can happen to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum NoticeAction {
    /// `from` made the group; `users` are its first members, `from` among them.
    Created,
    /// `from` made `users` members.
    Added,
    /// `from` became a member by itself.
    Joined,
    /// `from` went; `owner` is who follows, where it was the owner.
    Left,
    /// `from` ended the membership of `users`.
    Removed,
    /// `from` gave the group another `name`.
    Renamed,
    /// `from` ended the group; nothing follows.
    Dissolved,
}

impl Content {
    /// Bytes of what the sender wrote, in UTF-8; bounded by [`crate::limits::CONTENT_BYTES`].
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text { text } => text.len(),
            Self::Custom { data } => data.len(),
            Self::Notice(notice) => notice.users.iter().map(|user| user.as_str().len()).sum(),
            Self::Unknown(content) => content.to_string().len(),
        }
    }
}

/// Content of a type that this version does not know, as it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnknownContent(pub(super) Map<String, Value>);

/// The field that says what kind of content it is.
pub(super) const TYPE: &str = "type";

impl UnknownContent {
    /// What the sender calls the type.
    pub fn kind(&self) -> &str {
        self.0.get(TYPE).and_then(Value::as_str).unwrap_or_default()
    }

    /// All fields, the type among them.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl fmt::Display for UnknownContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A map of JSON values always has a form in JSON.
        f.write_str(&serde_json::to_string(&self.0).unwrap_or_default())
    }
}

/// What a sender says about one message: stored as MessagePack by name, in this order, without absent fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// What the message says.
    pub content: Content,
    /// Users that the message calls by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentions: Option<Vec<UserId>>,
    /// The seq of the message that this one answers, in the same conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<Seq>,
}

impl Body {
    /// The stored form: MessagePack with maps by name.
    pub fn encode(&self) -> Result<Vec<u8>, rmp_serde::encode::Error> {
        rmp_serde::to_vec_named(self)
    }

    /// Reads the stored form.
    pub fn decode(stored: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(stored)
    }

    /// The first 16 bytes of SHA-256 over the stored form: two sends under one id are the same when these are equal.
    pub fn hash(stored: &[u8]) -> [u8; 16] {
        let digest = Sha256::digest(stored);
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Body {
        Body { content: Content::Text { text: text.into() }, mentions: None, reply_to: None }
    }

    #[test]
    fn a_body_comes_back_from_its_stored_form_unchanged() {
        let body = Body { reply_to: Some(Seq::new(7)), ..text("a\0b \u{1F426}") };

        assert_eq!(Body::decode(&body.encode().unwrap()).unwrap(), body);
    }

    #[test]
    fn the_hash_tells_contents_apart_and_forgets_unknown_fields_and_their_order() {
        let one: Body =
            serde_json::from_str(r#"{"content":{"type":"text","text":"hi","x":1},"y":2}"#).unwrap();
        let two: Body = serde_json::from_str(r#"{"content":{"text":"hi","type":"text"}}"#).unwrap();

        assert_eq!(Body::hash(&one.encode().unwrap()), Body::hash(&two.encode().unwrap()));
        assert_ne!(Body::hash(&one.encode().unwrap()), Body::hash(&text("ho").encode().unwrap()));
    }
}
