//! How things look to a person: one line for each, harmless, with colours where there are any.

mod people;

use std::collections::{BTreeMap, HashMap};

use super::text::{Colours, Look, minute, safe, safe_line};
use crate::ids::{Conversation, GroupId, Seq, UserId};
use crate::protocol::{
    Content, ConversationRow, DeliveredBy, GroupInfo, GroupKind, Member, Message, Notice,
    NoticeAction, Peer, ReadCount, Role,
};

/// Users of a notice that are named; the others are counted.
const NAMED: usize = 10;

/// What a person has before them.
pub struct View {
    me: UserId,
    colours: Colours,
    /// The conversation that is open.
    pub open: Option<Conversation>,
    /// Whether lines of the open conversation leave out its name.
    is_by_hand: bool,
    unread: BTreeMap<Conversation, u64>,
    groups: HashMap<GroupId, (String, GroupKind)>,
    /// The oldest message of the open conversation that was shown.
    pub oldest: Option<Seq>,
}

impl View {
    /// Nothing was seen yet.
    pub fn new(me: UserId, colours: Colours, open: Option<Conversation>, is_by_hand: bool) -> Self {
        let (unread, groups) = (BTreeMap::new(), HashMap::new());
        Self { me, colours, open, is_by_hand, unread, groups, oldest: None }
    }

    /// Whether this conversation is open before a person.
    pub fn is_open(&self, conversation: &Conversation) -> bool {
        self.is_by_hand && self.open.as_ref() == Some(conversation)
    }

    /// Opens a conversation, of which nothing was shown yet.
    pub fn open(&mut self, conversation: Conversation) {
        self.open = Some(conversation);
        self.oldest = None;
    }

    /// Whether the name of this group is to be found out.
    pub fn lacks_name(&self, group: &GroupId) -> bool {
        self.is_by_hand && !self.groups.contains_key(group)
    }

    /// Takes note of what a group is.
    pub fn knows(&mut self, group: GroupId, name: String, kind: GroupKind) {
        self.groups.insert(group, (name, kind));
    }

    /// Forgets what a group is, since it may have changed.
    pub fn forgets(&mut self, group: &GroupId) {
        self.groups.remove(group);
    }

    /// Counts a message as unread, where such are counted.
    pub fn missed(&mut self, message: &Message) {
        let counts = match &message.conversation {
            Conversation::User(_) => true,
            // Nobody is asked to have read all of a meeting.
            Conversation::Group(group) => {
                !matches!(self.groups.get(group), Some((_, GroupKind::Meeting)))
            }
        };
        let is_notice = matches!(message.content, Content::Notice(_));
        if counts && !is_notice && message.from != self.me {
            *self.unread.entry(message.conversation.clone()).or_default() += 1;
        }
    }

    /// Takes note of how many are unread.
    pub fn has_unread(&mut self, conversation: &Conversation, count: u64) {
        if count == 0 {
            self.unread.remove(conversation);
        } else {
            self.unread.insert(conversation.clone(), count);
        }
    }

    /// What a person types behind.
    pub fn prompt(&self) -> String {
        let others = self.unread.iter().filter(|(conversation, _)| !self.is_open(conversation));
        let unread: u64 = others.map(|(_, count)| count).sum();
        let unread = if unread > 0 { format!("({unread} unread) ") } else { String::new() };
        let open = self.open.as_ref().map(|open| self.name(open)).unwrap_or_default();
        format!("{unread}{open}> ")
    }

    /// A conversation, as people call it; for a pipe it has one name for ever.
    pub fn name(&self, conversation: &Conversation) -> String {
        let known = match conversation {
            Conversation::Group(group) => self.groups.get(group).filter(|_| self.is_by_hand),
            Conversation::User(_) => None,
        };
        match known {
            Some((name, _)) => format!("{} ({conversation})", safe_line(name)),
            None => conversation.to_string(),
        }
    }

    /// What a line about a conversation begins with: nothing where it is clear.
    fn place(&self, conversation: &Conversation) -> String {
        if self.is_open(conversation) {
            return String::new();
        }
        format!("{} ", self.colours.paint(Look::Place, &self.name(conversation)))
    }

    /// An entry that came.
    pub fn message(&self, message: &Message) -> String {
        let line = format!("{}{}", self.place(&message.conversation), self.entry(message));
        match self.unread.get(&message.conversation) {
            Some(unread) if self.is_by_hand && !self.is_open(&message.conversation) => {
                format!("{line} {}", self.dim(&format!("({unread} unread)")))
            }
            _ => line,
        }
    }

    /// An entry of the history, with its time and how far its receiver is.
    pub fn past(&self, message: &Message, peer: Option<&Peer>) -> String {
        let line = format!("{} {}", self.dim(&minute(message.sent_at_ms)), self.entry(message));
        match peer.filter(|_| message.from == self.me) {
            Some(peer) if peer.read.is_some_and(|read| message.seq <= read) => {
                format!("{line} {}", self.dim("✓✓ read"))
            }
            Some(peer) if message.seq <= peer.delivered => format!("{line} {}", self.dim("✓✓")),
            Some(_) => format!("{line} {}", self.dim("✓")),
            None => line,
        }
    }

    fn entry(&self, message: &Message) -> String {
        let seq = self.dim(&format!("#{}", message.seq));
        let look = if message.from == self.me { Look::Own } else { Look::Name };
        let from = self.colours.paint(look, message.from.as_str());
        let re = message.reply_to.map(|seq| format!("(re #{seq}) ")).unwrap_or_default();
        match &message.content {
            Content::Text { text } => format!("{seq} {from}: {re}{}", safe(text)),
            Content::Custom { data } => format!("{seq} {from}: {re}(custom) {}", safe(data)),
            Content::Notice(notice) => {
                let what = happened(&message.from, notice);
                format!("{seq} {}", self.dim(&format!("* {what}")))
            }
            Content::Unknown(content) => {
                let kind = safe_line(content.kind()).into_owned();
                format!("{seq} {from}: {re}({kind}, which a newer version shows)")
            }
        }
    }

    /// A message of one's own was stored.
    pub fn stored(&self, conversation: &Conversation, seq: Seq) -> String {
        format!("{}{}", self.place(conversation), self.dim(&format!("#{seq} ✓")))
    }

    /// One's own messages came to a device of their receiver, or wait for one.
    pub fn delivered(&self, of: &Conversation, seq: Seq, user: &UserId, by: DeliveredBy) -> String {
        let what = match by {
            DeliveredBy::Device => format!("#{seq} ✓✓ {user} has it"),
            DeliveredBy::Server => format!("#{seq} ✓ kept for {user}, who is not online"),
        };
        format!("{}{}", self.place(of), self.dim(&what))
    }

    /// One's own messages were read.
    pub fn read(&self, of: &Conversation, seq: Seq, user: &UserId) -> String {
        format!("{}{}", self.place(of), self.dim(&format!("#{seq} ✓✓ read by {user}")))
    }

    /// One's own messages in a group were read by so many.
    pub fn counts(&self, of: &Conversation, counts: &[ReadCount]) -> String {
        let each: Vec<String> = counts
            .iter()
            .map(|count| format!("#{} read by {}", count.seq, count.readers))
            .collect();
        format!("{}{}", self.place(of), self.dim(&each.join(", ")))
    }

    /// A row of the list of conversations.
    pub fn row(&self, row: &ConversationRow) -> String {
        let name = self.colours.paint(Look::Place, &self.name(&row.conversation));
        let left = row.group.as_ref().is_some_and(|group| group.left);
        let left = if left { " (left)" } else { "" };
        let unread =
            if row.unread > 0 { format!(" ({} unread)", row.unread) } else { String::new() };
        let last: String = self.entry(&row.last_message).chars().take(200).collect();
        // A text of several lines, or one that was cut, would leave its colours on.
        let last = last.split('\n').next().unwrap_or_default();
        format!("{name}{left}{unread}  {}", plain(last))
    }

    /// A group.
    pub fn group(&self, group: &GroupInfo) -> String {
        let name = format!("{} ({})", safe_line(&group.name), group.conversation);
        let kind = match group.kind {
            GroupKind::Work => "work",
            GroupKind::Meeting => "meeting",
        };
        let owner =
            group.owner.as_ref().map(|owner| format!(", owned by {owner}")).unwrap_or_default();
        let role = match group.role {
            Some(Role::Owner) => "",
            Some(Role::Member) => ", you are a member",
            None => ", you are not a member",
        };
        let dissolved = if group.dissolved { ", dissolved" } else { "" };
        let members = group.members;
        let name = self.colours.paint(Look::Place, &name);
        let members =
            if members == 1 { "1 member".to_owned() } else { format!("{members} members") };
        format!("{name}  {kind}, {members}{owner}{role}{dissolved}")
    }

    /// A member of a group.
    pub fn member(&self, member: &Member) -> String {
        let name = self.colours.paint(Look::Name, member.user.as_str());
        let role = if member.role == Role::Owner { ", owner" } else { "" };
        let read = member.read.filter(|seq| *seq > Seq::ZERO);
        let read = read.map(|seq| format!(", read up to #{seq}")).unwrap_or_default();
        format!("{name}{role}, since {}{read}", minute(member.joined_at_ms))
    }

    /// A line beside the matter.
    pub fn dim(&self, text: &str) -> String {
        self.colours.paint(Look::Dim, text)
    }
}

/// What a notice says.
fn happened(from: &UserId, notice: &Notice) -> String {
    let others: Vec<&UserId> = notice.users.iter().filter(|user| *user != from).collect();
    let users = list(&others);
    let name = safe_line(notice.name.as_deref().unwrap_or_default());
    match notice.action {
        NoticeAction::Created if others.is_empty() => format!("{from} made the group {name}"),
        NoticeAction::Created => format!("{from} made the group {name} with {users}"),
        NoticeAction::Added => format!("{from} added {users}"),
        NoticeAction::Joined => format!("{from} joined"),
        NoticeAction::Left => match &notice.owner {
            Some(owner) => format!("{from} left; {owner} is the owner now"),
            None => format!("{from} left"),
        },
        NoticeAction::Removed => format!("{from} removed {users}"),
        NoticeAction::Renamed => format!("{from} named the group {name}"),
        NoticeAction::Dissolved => format!("{from} dissolved the group"),
    }
}

fn list(users: &[&UserId]) -> String {
    let named: Vec<&str> = users.iter().take(NAMED).map(|user| user.as_str()).collect();
    let named = named.join(", ");
    match users.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// A line without its colours.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            chars.by_ref().find(|c| *c == 'm');
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{ClientMsgId, MessageId, UnixMs};

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn view(open: Option<&str>) -> View {
        let open = open.map(|open| Conversation::parse(open).unwrap());
        View::new(user("alice"), Colours::Off, open, true)
    }

    fn message(conversation: &str, content: Content) -> Message {
        Message {
            conversation: Conversation::parse(conversation).unwrap(),
            seq: Seq::new(7),
            inbox: None,
            message_id: MessageId::from_store(1),
            client_msg_id: ClientMsgId::mint(UnixMs::new(0), [0; 10]),
            from: user("bob"),
            sent_at_ms: UnixMs::new(0),
            content,
            mentions: None,
            reply_to: None,
        }
    }

    fn text(conversation: &str, text: &str) -> Message {
        message(conversation, Content::Text { text: text.to_owned() })
    }

    #[test]
    fn what_comes_in_another_conversation_says_where_and_counts() {
        let mut view = view(Some("user:bob"));
        let hi = text("group:eng", "hi");
        view.knows(GroupId::parse("eng").unwrap(), "Build\u{1b}ers".to_owned(), GroupKind::Work);

        assert_eq!(view.message(&text("user:bob", "hi")), "#7 bob: hi");
        view.missed(&hi);
        assert_eq!(view.message(&hi), "Build\\u{1b}ers (group:eng) #7 bob: hi (1 unread)");
        assert_eq!(view.prompt(), "(1 unread) user:bob> ");
        view.has_unread(&hi.conversation, 0);
        assert_eq!(view.prompt(), "user:bob> ");
    }

    #[test]
    fn notices_own_messages_and_meetings_leave_nothing_unread() {
        let mut view = view(None);
        view.knows(GroupId::parse("m").unwrap(), "M".to_owned(), GroupKind::Meeting);
        let own = Message { from: user("alice"), ..text("user:bob", "hi") };
        let users = vec![user("carol")];
        let notice = Notice { action: NoticeAction::Added, users, name: None, owner: None };
        let notice = message("group:eng", Content::Notice(notice));

        for message in [&own, &notice, &text("group:m", "hi")] {
            view.missed(message);
        }

        assert_eq!(view.prompt(), "> ");
        assert_eq!(view.message(&notice), "group:eng #7 * bob added carol");
    }

    #[test]
    fn a_long_list_of_users_is_cut() {
        let users: Vec<UserId> = (0..12).map(|n| user(&format!("u{n}"))).collect();

        let list = list(&users.iter().collect::<Vec<_>>());

        assert_eq!(list, "u0, u1, u2, u3, u4, u5, u6, u7, u8, u9 and 2 more");
    }

    #[test]
    fn colours_are_taken_out_again_whole() {
        let painted = Colours::On.paint(Look::Name, "bob");

        assert_eq!(plain(&format!("{painted}: hi")), "bob: hi");
    }
}
