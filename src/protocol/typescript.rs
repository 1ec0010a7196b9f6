//! Writes the wire's types for the TypeScript client, from the types that the server itself reads and writes.

use std::path::Path;

use ts_rs::{Config, TS};

use super::*;

/// The generated file, from the root of the package.
const FILE: &str = "sdk/typescript/src/protocol.ts";

const HEADER: &str = "\
// Generated from src/protocol/ by a test of the server; do not edit.
// To write it anew: UPDATE=1 cargo test protocol::typescript
";

fn declare<T: TS>(out: &mut String, cfg: &Config) {
    let docs = T::docs().unwrap_or_default();
    out.push_str(&format!("\n{}\nexport {}\n", docs.trim_end(), T::decl(cfg).trim_end()));
}

fn generate() -> String {
    let cfg = Config::new().with_large_int("number");
    let mut out = HEADER.to_owned();
    out.push_str(&format!(
        "\n/** The WebSocket subprotocol of the JSON codec. */\n\
         export const SUBPROTOCOL = {SUBPROTOCOL_JSON:?};\n\
         \n/** The path at which the WebSocket is opened. */\n\
         export const WEBSOCKET_PATH = {WEBSOCKET_PATH:?};\n"
    ));

    macro_rules! declare {
        ($($name:ident),* $(,)?) => { $(declare::<$name>(&mut out, &cfg);)* };
    }
    declare!(Platform, Device, Content, Notice, NoticeAction, DeliveredBy, Message, Peer);
    declare!(GroupKind, Role, GroupInfo, GroupSummary, GroupHead, Member);
    declare!(Login, Resume, LoggedIn, Limits);
    declare!(Sync, Synced, Ping, Behind, Pong);
    declare!(Send, Sent, CursorCommand, CursorReply);
    declare!(Inbox, InboxPage, History, HistoryPage);
    declare!(ConversationList, ConversationRow, ConversationsPage);
    declare!(GroupCreate, GroupCreated, GroupRef, GroupList, GroupsPage, GroupUpdate);
    declare!(GroupMembers, MembersPage, GroupUsers, GroupChanged);
    declare!(TokenRenew, TokenRenewed, Page, DeviceRow, DevicesPage, DeviceKick, DevicesEnded);
    declare!(FriendRef, FriendState, FriendReply, Friend, FriendsPage);
    declare!(PresenceState, DeviceState, Status, LastSeen, PlatformPresence, Presence, Presences);
    declare!(PresenceSet, PresenceGet, PresenceWatch, PresenceUnwatch, Watching);
    declare!(Code, ErrorBody, KickReason, ReadEvent, ReadCount, Event);

    out.push_str("\n/** Each command with its body and the `ok` of its reply. */\nexport interface Commands {\n");
    macro_rules! commands {
        ($($command:literal: $body:ty => $reply:ty,)*) => {
            $(out.push_str(&format!(
                "  {:?}: {{ body: {}; reply: {} }};\n",
                $command,
                <$body as Shape>::name(&cfg),
                <$reply as Shape>::name(&cfg),
            ));)*
        };
    }
    commands! {
        "login": Login => LoggedIn,
        "logout": Logout => Empty,
        "ping": Ping => Pong,
        "sync": Sync => Synced,
        "message.send": Send => Sent,
        "message.received": CursorCommand => CursorReply,
        "message.read": CursorCommand => CursorReply,
        "message.inbox": Inbox => InboxPage,
        "message.history": History => HistoryPage,
        "conversation.list": ConversationList => ConversationsPage,
        "group.create": GroupCreate => GroupCreated,
        "group.get": GroupRef => GroupInfo,
        "group.list": GroupList => GroupsPage,
        "group.update": GroupUpdate => GroupChanged,
        "group.members": GroupMembers => MembersPage,
        "group.invite": GroupUsers => GroupChanged,
        "group.join": GroupRef => GroupChanged,
        "group.leave": GroupRef => GroupChanged,
        "group.remove": GroupUsers => GroupChanged,
        "group.dissolve": GroupRef => GroupChanged,
        "token.renew": TokenRenew => TokenRenewed,
        "device.list": Page => DevicesPage,
        "device.kick": DeviceKick => DevicesEnded,
        "friend.add": FriendRef => FriendReply,
        "friend.remove": FriendRef => FriendReply,
        "friend.list": Page => FriendsPage,
        "presence.set": PresenceSet => Presences,
        "presence.get": PresenceGet => Presences,
        "presence.watch": PresenceWatch => Watching,
        "presence.unwatch": PresenceUnwatch => Empty,
    }
    out.push_str("}\n");
    tidied(&out)
}

/// The generator's lines as a person would lay them out: comments of one line, fields indented.
fn tidied(raw: &str) -> String {
    let raw = raw.replace("/**\n * ", "/** ").replace("\n */", " */").replace(", }", ",\n}");
    let mut out = String::with_capacity(raw.len());
    let mut depth = 0usize;
    for line in raw.lines().map(str::trim_end) {
        let line = line.strip_suffix(',').map_or(line.to_owned(), |line| format!("{line};"));
        let text = line.trim_start();
        let in_comment = text.starts_with("/**") || text.starts_with("//");
        let closes = text.bytes().take_while(|byte| *byte == b'}').count();
        if !text.is_empty() {
            out.push_str(&"  ".repeat(depth.saturating_sub(closes)));
            out.push_str(text);
        }
        out.push('\n');
        if !in_comment {
            depth += text.matches('{').count();
            depth = depth.saturating_sub(text.matches('}').count());
        }
    }
    out
}

/// What a body is called in TypeScript. An object without fields has no declaration of its own.
trait Shape {
    fn name(cfg: &Config) -> String;
}

macro_rules! declared {
    ($($name:ident),*) => { $(impl Shape for $name {
        fn name(cfg: &Config) -> String { <$name as TS>::name(cfg) }
    })* };
}
declared!(Login, LoggedIn, Ping, Pong, Sync, Synced, Send, Sent, CursorCommand, CursorReply);
declared!(Inbox, InboxPage, History, HistoryPage, ConversationList, ConversationsPage);
declared!(GroupCreate, GroupCreated, GroupRef, GroupInfo, GroupList, GroupsPage, GroupUpdate);
declared!(GroupMembers, MembersPage, GroupUsers, GroupChanged);
declared!(TokenRenew, TokenRenewed, Page, DevicesPage, DeviceKick, DevicesEnded);
declared!(FriendRef, FriendReply, FriendsPage);
declared!(PresenceSet, PresenceGet, PresenceWatch, PresenceUnwatch, Presences, Watching);

macro_rules! without_fields {
    ($($name:ident),*) => { $(impl Shape for $name {
        fn name(_: &Config) -> String { "Record<string, never>".to_owned() }
    })* };
}
without_fields!(Logout, Empty);

#[test]
fn the_types_of_the_typescript_client_are_those_of_the_server() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let generated = generate();

    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }

    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{FILE} is stale: src/protocol/ has changed since it was written.\n\
         Write it anew with: UPDATE=1 cargo test protocol::typescript"
    );
}

#[test]
fn every_command_that_the_codec_reads_is_in_the_map_of_commands() {
    let generated = generate();
    let codec = include_str!("codec.rs");

    let read = codec
        .lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => Command::"));
    let names: Vec<&str> = read.map(|(name, _)| name).collect();

    assert!(!names.is_empty(), "codec.rs no longer lists the commands as this test expects");
    for name in names {
        assert!(generated.contains(&format!("  {name:?}: {{ body:")), "{name} is missing");
    }
}
