//! Groups as they travel: their kinds and roles, what they are called, and how they are shown.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::command::After;
use crate::ids::{Conversation, GroupId, Seq, UnixMs, UserId};
use crate::limits;

/// The kind of a group: which rules hold in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum GroupKind {
    /// Colleagues and friends: by invitation of any member.
    Work,
    /// A meeting: free to join, with what was said before shown.
    Meeting,
}

/// What a member may do in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub enum Role {
    /// There is always exactly one.
    Owner,
    /// Everyone else.
    Member,
}

/// What people call a group: 1 to 30 characters, at least one of them visible, no control characters or line breaks,
/// no white space at either end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct GroupName(String);

/// What a group's name must be; for people.
const EXPECTED_NAME: &str = "expected 1 to 30 characters that can be seen, without control characters, line breaks, or white space at either end";

impl GroupName {
    /// Takes text that fits.
    pub fn parse(raw: &str) -> Result<Self, &'static str> {
        let fits = raw.len() <= 4 * limits::GROUP_NAME_CHARS
            && raw.chars().count() <= limits::GROUP_NAME_CHARS
            && raw.trim().len() == raw.len()
            && raw.chars().any(is_visible)
            && !raw.chars().any(breaks_line);
        if fits { Ok(Self(raw.to_owned())) } else { Err(EXPECTED_NAME) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for GroupName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&raw).map_err(de::Error::custom)
    }
}

/// Control characters, and the two separators that break lines without being one.
fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a character leaves a mark: neither white space nor one of Unicode's default ignorable or blank ones.
fn is_visible(c: char) -> bool {
    let invisible = matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}');
    !invisible && !c.is_whitespace() && !c.is_control()
}

/// A group as one who may see it sees it: the reply to `group.get`, and a row of `group.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct GroupInfo {
    /// Its id.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
    /// The conversation to send to.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
    /// Its kind.
    pub kind: GroupKind,
    /// What people call it.
    pub name: String,
    /// Its owner; none once it was dissolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub owner: Option<UserId>,
    /// How many members it has.
    pub members: u32,
    /// When it was made.
    #[cfg_attr(test, ts(type = "number"))]
    pub created_at_ms: UnixMs,
    /// The reader's own role; absent for one who is not a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional))]
    pub role: Option<Role>,
    /// Whether it was dissolved; absent means no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub dissolved: bool,
}

/// The reply to `group.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct GroupCreated {
    /// Its id.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
    /// The conversation to send to.
    #[cfg_attr(test, ts(type = "string"))]
    pub conversation: Conversation,
}

/// The reply to the commands that change a group: what it led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct GroupChanged {
    /// The group.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
    /// The seq of the notice; absent when everything was so already and nothing was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub seq: Option<Seq>,
    /// Who became or ceased to be a member.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<Vec<String>>"))]
    pub users: Vec<UserId>,
}

/// The reply to `group.list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupsPage {
    /// The rows.
    pub groups: Vec<GroupInfo>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub next: Option<After>,
}

/// One member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct Member {
    /// Who.
    #[cfg_attr(test, ts(type = "string"))]
    pub user: UserId,
    /// As what.
    pub role: Role,
    /// Since when.
    #[cfg_attr(test, ts(type = "number"))]
    pub joined_at_ms: UnixMs,
    /// Up to where the member has read; absent in groups of more than 500, and where `receipts.read` is `off`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "number"))]
    pub read: Option<Seq>,
}

/// The reply to `group.members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS, schemars::JsonSchema))]
pub struct MembersPage {
    /// The rows, in an order that stays.
    pub members: Vec<Member>,
    /// Where the next page begins, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(optional, type = "string"))]
    pub next: Option<After>,
}

/// A group in the reply to `sync`: it moved, or the client did not name it, or the client named it and has left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupHead {
    /// The group.
    #[cfg_attr(test, ts(type = "string"))]
    pub group: GroupId,
    /// Its head; for a former member the last entry that one may see.
    #[cfg_attr(test, ts(type = "number"))]
    pub head: Seq,
    /// The first entry that the reader may see.
    #[cfg_attr(test, ts(type = "number"))]
    pub min_seq: Seq,
    /// Whether the reader is a former member; absent means no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub left: bool,
}

/// A group beside its row in the list of conversations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct GroupSummary {
    /// Its kind.
    pub kind: GroupKind,
    /// What people call it.
    pub name: String,
    /// How many members it has.
    pub members: u32,
    /// The first entry that the reader may see.
    #[cfg_attr(test, ts(type = "number"))]
    pub min_seq: Seq,
    /// Whether the reader is a former member; absent means no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
    pub left: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_to_thirty_characters_of_which_one_can_be_seen() {
        for good in
            ["a", "Team \u{1F426}", "設計 チーム", &"x".repeat(30), "e\u{301}", "a\u{200D}b"]
        {
            assert_eq!(GroupName::parse(good).map(|name| name.0), Ok(good.to_owned()));
        }
        let blank = [
            "",
            " ",
            "\t",
            "\n",
            "\u{A0}",
            "\u{1680}",
            "\u{2003}",
            "\u{200B}",
            "\u{2028}",
            "\u{202F}",
            "\u{205F}",
            "\u{2060}",
            "\u{2800}",
            "\u{3000}",
            "\u{3164}",
            "\u{FEFF}",
            "\u{AD}",
            "\u{180E}",
            "\u{200B}\u{200D}",
        ];
        let other =
            ["a\nb", "a\0", " a", "a ", "\u{3000}a", "a\u{85}b", "a\u{2029}b", &"x".repeat(31)];
        for bad in blank.iter().chain(&other) {
            assert!(GroupName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
