//! What a person may type, and what it means.

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

use crate::ids::{Conversation, DeviceId, GroupId, UserId};
use crate::protocol::{GroupKind, GroupName, Status, StatusText};

/// A line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Send a text to the conversation that is open.
    Say(String),
    /// Open a conversation.
    To(Conversation),
    /// List the conversations.
    List,
    /// List the groups.
    Groups,
    /// Show the newest messages, so many of them.
    History(usize),
    /// Show those before the oldest that was shown.
    Older(usize),
    /// Take everything in the open conversation for read.
    Read,
    /// Make a group.
    Create {
        /// Its kind.
        kind: GroupKind,
        /// Its id; the server makes one when it is left out.
        group: Option<GroupId>,
        /// Its name.
        name: GroupName,
    },
    /// Show what the open group is.
    Info,
    /// List the members of the open group.
    Members,
    /// Add members to the open group.
    Invite(Vec<UserId>),
    /// End the membership of members of the open group.
    Remove(Vec<UserId>),
    /// Become a member of a group.
    Join(GroupId),
    /// Go from a group; the open one when none is named.
    Leave(Option<GroupId>),
    /// Give the open group another name.
    Rename(GroupName),
    /// End a group, which must be named.
    Dissolve(GroupId),
    /// List the friends.
    Friends,
    /// Make a user a friend.
    Friend(UserId),
    /// End a friendship.
    Unfriend(UserId),
    /// Say who of these is there; of the friends when none is named.
    Who(Vec<UserId>),
    /// Say how the connection stands.
    Status,
    /// Tell others how one is.
    Present {
        /// How.
        status: Status,
        /// For how many minutes; until it is set again when left out.
        minutes: Option<u32>,
        /// The words beside it.
        text: Option<StatusText>,
    },
    /// List the devices that the user has logged in from.
    Devices,
    /// End the session of a device; of all others when none is named.
    Kick(Option<DeviceId>),
    /// Say what may be typed.
    Help,
    /// Leave.
    Quit,
}

/// What `/help` shows.
pub const HELP: &str = "\
  text                       send it to the open conversation (// begins a text with one /)
  /to bob, /to group:eng     open a conversation; what is shown in it counts as read
  /list                      conversations, with what is unread in them
  /history [N], /older [N]   the newest messages of the open conversation; those before
  /read                      take everything in it for read
  /groups                    the groups that you are a member of
  /create KIND[:ID] NAME     make a group and open it; KIND is work or meeting
  /join ID, /leave [ID]      become a member of a meeting; go from a group
  /info, /members            what the open group is; who is in it
  /invite USER...            add members to it
  /remove USER...            end their membership
  /rename NAME               give it another name
  /dissolve ID               end a group for ever, with its id to be sure
  /friends                   your friends
  /friend USER, /unfriend USER  make somebody a friend; end that, for both
  /who [USER...]             who is there, of your friends if none is named
  /status                    the connection
  /status HOW[:MINUTES] [TEXT]  say how you are: available, away, busy, dnd or invisible
  /devices                   what you have logged in from
  /kick ID, /kick *          end the session of a device; of all others
  /quit, Ctrl-D              leave";

/// Messages that are shown when no number is given.
const SHOWN: usize = 20;

/// What a line means, or what is wrong with it. Nothing for an empty one.
pub fn parse(line: &str) -> Result<Option<Command>, String> {
    let Some(rest) = line.strip_prefix('/') else {
        let is_empty = line.trim().is_empty();
        return Ok((!is_empty).then(|| Command::Say(line.to_owned())));
    };
    if rest.starts_with('/') {
        return Ok(Some(Command::Say(rest.to_owned())));
    }
    let (name, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let rest = rest.trim();
    Ok(Some(match name {
        "to" => Command::To(conversation(rest)?),
        "list" => none(rest, Command::List)?,
        "groups" => none(rest, Command::Groups)?,
        "history" => Command::History(number(rest)?),
        "older" => Command::Older(number(rest)?),
        "read" => none(rest, Command::Read)?,
        "create" => create(rest)?,
        "info" => none(rest, Command::Info)?,
        "members" => none(rest, Command::Members)?,
        "invite" => Command::Invite(users(rest)?),
        "remove" => Command::Remove(users(rest)?),
        "join" => Command::Join(group(rest)?),
        "leave" if rest.is_empty() => Command::Leave(None),
        "leave" => Command::Leave(Some(group(rest)?)),
        "rename" => Command::Rename(GroupName::parse(rest)?),
        "dissolve" => Command::Dissolve(group(rest)?),
        "friends" => none(rest, Command::Friends)?,
        "friend" => Command::Friend(user(rest)?),
        "unfriend" => Command::Unfriend(user(rest)?),
        "who" if rest.is_empty() => Command::Who(Vec::new()),
        "who" => Command::Who(users(rest)?),
        "status" if rest.is_empty() => Command::Status,
        "status" => present(rest)?,
        "devices" => none(rest, Command::Devices)?,
        "kick" if rest == "*" => Command::Kick(None),
        "kick" => Command::Kick(Some(device(rest)?)),
        "help" => none(rest, Command::Help)?,
        "quit" | "exit" => none(rest, Command::Quit)?,
        _ => {
            return Err(format!(
                "there is no command /{name}; /help lists them, // begins a text with one /"
            ));
        }
    }))
}

fn none(rest: &str, command: Command) -> Result<Command, String> {
    if rest.is_empty() {
        Ok(command)
    } else {
        Err(format!("nothing was expected after it: {rest}"))
    }
}

/// A conversation by its full name, or a user by theirs.
fn conversation(text: &str) -> Result<Conversation, String> {
    if text.contains(':') {
        return Conversation::parse(text);
    }
    let user = UserId::parse(text.trim_start_matches('@'));
    user.map(Conversation::User).map_err(|error| format!("a user, or group: and an id: {error}"))
}

fn user(text: &str) -> Result<UserId, String> {
    let id = text.strip_prefix("user:").unwrap_or(text);
    UserId::parse(id).map_err(|error| format!("a user: {error}"))
}

fn device(text: &str) -> Result<DeviceId, String> {
    DeviceId::parse(text).map_err(|error| format!("the id of a device, or *: {error}"))
}

fn present(text: &str) -> Result<Command, String> {
    let (how, words) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (how, minutes) = match how.split_once(':') {
        Some((how, minutes)) => (how, Some(self::minutes(minutes)?)),
        None => (how, None),
    };
    let raw: StrDeserializer<'_, serde::de::value::Error> = how.into_deserializer();
    let status = Status::deserialize(raw)
        .map_err(|_| "expected available, away, busy, dnd or invisible".to_owned())?;
    let words = words.trim();
    let text = if words.is_empty() { None } else { Some(StatusText::parse(words)?) };
    Ok(Command::Present { status, minutes, text })
}

fn minutes(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|minutes| *minutes > 0).ok_or("expected minutes: busy:30".to_owned())
}

fn group(text: &str) -> Result<GroupId, String> {
    let id = text.strip_prefix("group:").unwrap_or(text);
    GroupId::parse(id).map_err(|error| format!("the id of a group: {error}"))
}

fn users(text: &str) -> Result<Vec<UserId>, String> {
    let words = text.split([' ', ',', '\t']).filter(|word| !word.is_empty());
    let users: Result<Vec<UserId>, _> =
        words.map(|word| UserId::parse(word.strip_prefix("user:").unwrap_or(word))).collect();
    match users {
        Ok(users) if users.is_empty() => Err("expected users".to_owned()),
        Ok(users) => Ok(users),
        Err(error) => Err(format!("users: {error}")),
    }
}

fn number(text: &str) -> Result<usize, String> {
    match text {
        "" => Ok(SHOWN),
        text => {
            text.parse().ok().filter(|number| *number > 0).ok_or("expected a number".to_owned())
        }
    }
}

fn create(text: &str) -> Result<Command, String> {
    let (kind, name) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (kind, id) = kind.split_once(':').map_or((kind, None), |(kind, id)| (kind, Some(id)));
    let kind = match kind {
        "work" => GroupKind::Work,
        "meeting" => GroupKind::Meeting,
        _ => return Err("expected work or meeting, then a name: /create work Team".to_owned()),
    };
    let group = id.map(group).transpose()?;
    Ok(Command::Create { kind, group, name: GroupName::parse(name.trim())? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Command {
        parse(line).unwrap().unwrap()
    }

    #[test]
    fn a_text_is_sent_as_it_was_typed_and_two_slashes_begin_one() {
        assert_eq!(parsed("  hi / there "), Command::Say("  hi / there ".to_owned()));
        assert_eq!(parsed("//etc"), Command::Say("/etc".to_owned()));
        assert_eq!(parse("  "), Ok(None));
    }

    #[test]
    fn commands_are_read_with_what_they_need() {
        let eng = GroupId::parse("eng").unwrap();
        let user = |name: &str| UserId::parse(name).unwrap();
        assert_eq!(parsed("/to bob"), Command::To(Conversation::User(user("bob"))));
        assert_eq!(parsed("/to group:eng"), Command::To(Conversation::Group(eng.clone())));
        assert_eq!(parsed("/history 7"), Command::History(7));
        assert_eq!(parsed("/older"), Command::Older(SHOWN));
        assert_eq!(
            parsed("/invite bob, user:carol"),
            Command::Invite(vec![user("bob"), user("carol")])
        );
        assert_eq!(parsed("/leave"), Command::Leave(None));
        assert_eq!(parsed("/dissolve group:eng"), Command::Dissolve(eng.clone()));
        assert_eq!(parsed("/kick *"), Command::Kick(None));
        let phone = DeviceId::parse("phone-1").unwrap();
        assert_eq!(parsed("/kick phone-1"), Command::Kick(Some(phone)));
        assert_eq!(parsed("/status"), Command::Status);
        let text = StatusText::parse("In a meeting").ok();
        let busy = Command::Present { status: Status::Busy, minutes: Some(30), text };
        assert_eq!(parsed("/status busy:30  In a meeting"), busy);
        let away = Command::Present { status: Status::Away, minutes: None, text: None };
        assert_eq!(parsed("/status away"), away);
        let name = GroupName::parse("The team").unwrap();
        let create = Command::Create { kind: GroupKind::Work, group: Some(eng), name };
        assert_eq!(parsed("/create work:eng  The team"), create);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "/",
            "/nope",
            "/to",
            "/to x y",
            "/history 0",
            "/history x",
            "/invite",
            "/dissolve",
            "/create room A",
            "/create work",
            "/rename",
            "/list x",
            "/join a b",
            "/usr/bin/env",
            "/kick",
            "/kick a b",
            "/friend",
            "/friend a b",
            "/status busy:0",
            "/status sleepy",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn every_command_is_in_the_help() {
        let source = include_str!("command.rs");
        let names = source.lines().filter_map(|line| {
            let (name, rest) = line.trim().strip_prefix('"')?.split_once('"')?;
            (rest.contains("=>") && !matches!(name, "work" | "meeting" | "help" | ""))
                .then_some(name)
        });
        let names: Vec<&str> = names.collect();

        assert!(names.len() > 15, "{names:?}");
        for name in names {
            assert!(HELP.contains(&format!("/{name}")), "{name}");
        }
    }
}
