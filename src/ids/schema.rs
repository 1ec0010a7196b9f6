//! The forms of ids, numbers and times in JSON Schema, for the document of the REST interface.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    ClientMsgId, Conversation, DeviceId, GroupId, InboxSeq, LoginNo, MessageId, NAME_BYTES, Seq,
    UnixMs, UserId,
};

macro_rules! form {
    ($name:ident, $schema:expr) => {
        impl JsonSchema for $name {
            // Written out wherever it stands: a reader of the document sees at once what to send.
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

fn name() -> Schema {
    let pattern = format!("^[A-Za-z0-9_.@#+=-]{{1,{NAME_BYTES}}}$");
    json_schema!({ "type": "string", "pattern": pattern })
}

fn place() -> Schema {
    json_schema!({ "type": "integer", "minimum": 0 })
}

fn text_number() -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9]{1,19}$" })
}

form!(UserId, name());
form!(DeviceId, name());
form!(GroupId, name());
form!(Seq, place());
form!(InboxSeq, place());
form!(MessageId, text_number());
form!(LoginNo, text_number());
form!(UnixMs, json_schema!({ "type": "integer", "description": "milliseconds since 1970, UTC" }));
form!(
    ClientMsgId,
    json_schema!({
        "type": "string",
        "description": "a UUID of version 7",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    })
);
form!(Conversation, {
    let pattern = format!("^(user|group):[A-Za-z0-9_.@#+=-]{{1,{NAME_BYTES}}}$");
    json_schema!({ "type": "string", "pattern": pattern })
});
