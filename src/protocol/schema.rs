//! The forms of what is not plain serde in JSON Schema, for the document of the REST interface.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{After, GroupName, Limit, StatusText};
use crate::ids::Platform;
use crate::limits;

macro_rules! form {
    ($name:ident, $schema:expr) => {
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

form!(After, json_schema!({ "type": "string", "maxLength": limits::CURSOR_BYTES }));
form!(Limit, json_schema!({ "type": "integer", "minimum": 1, "default": limits::PAGE_DEFAULT }));
form!(
    GroupName,
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": limits::GROUP_NAME_CHARS,
        // What the rule takes is more; this much is said here so that a form can be filled in by a program.
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    })
);
form!(StatusText, json_schema!({ "type": "string", "maxLength": limits::STATUS_TEXT_BYTES }));

/// What a backend may send: everything but the notices, which the server writes.
pub struct Sendable;

form!(
    Sendable,
    json_schema!({
        "type": "object",
        "description": "what a person wrote, or what only the app understands; at most 32 KiB of UTF-8",
        "oneOf": [
            {
                "type": "object",
                "properties": {
                    "type": { "const": "text" },
                    "text": { "type": "string", "maxLength": limits::CONTENT_BYTES },
                },
                "required": ["type", "text"],
            },
            {
                "type": "object",
                "properties": {
                    "type": { "const": "custom" },
                    "data": { "type": "string", "maxLength": limits::CONTENT_BYTES },
                },
                "required": ["type", "data"],
            },
        ],
    })
);

/// How many sessions on each platform.
pub fn caps(_: &mut SchemaGenerator) -> Schema {
    let cap =
        json_schema!({ "type": "integer", "minimum": 1, "maximum": limits::SESSIONS_PER_USER });
    let caps = Platform::ALL.map(|platform| (platform.as_str(), cap.clone()));
    let caps: std::collections::BTreeMap<_, _> = caps.into_iter().collect();
    json_schema!({ "type": "object", "properties": caps, "additionalProperties": false })
}

/// One device, or all of them.
pub fn kicks() -> serde_json::Value {
    serde_json::json!([
        {
            "required": ["device"],
            "properties": { "device": { "type": "string" }, "all": { "const": false } },
        },
        {
            "required": ["all"],
            "properties": {
                "device": { "type": "null" },
                "platform": { "type": "null" },
                "all": { "const": true },
            },
        },
    ])
}
