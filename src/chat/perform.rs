//! What a person's commands do.

use super::command::{Command, HELP};
use super::talk::{Mode, Talk};
use crate::client::CallError;
use crate::ids::{Conversation, GroupId, Seq};
use crate::protocol::{After, GroupChanged, GroupCreate, GroupInfo, History, Limit};

/// Messages that are shown when a conversation is opened.
const SHOWN_AT_FIRST: usize = 10;
/// Rows of a list; more are told of.
pub(super) const ROWS: usize = 200;

impl Talk {
    /// Does what a command says; what goes wrong is told.
    pub(super) async fn perform(&mut self, command: Command) {
        let done = match command {
            // It waits for nothing, so it never comes here.
            Command::Say(_) => Ok(()),
            Command::To(conversation) => self.open(conversation).await,
            Command::List => self.list().await,
            Command::Groups => self.groups().await,
            Command::History(count) => self.newest(count).await,
            Command::Older(count) => self.older(count).await,
            Command::Read => self.read_all().await,
            Command::Create { kind, group, name } => {
                let create = GroupCreate { group, kind, name, members: Vec::new() };
                self.create(create).await
            }
            Command::Info => self.info().await,
            Command::Members => self.members().await,
            Command::Invite(users) => match self.open_group() {
                Ok(group) => {
                    let answer = self.client.invite(&group, users).await;
                    self.changed(answer)
                }
                Err(what) => Err(what),
            },
            Command::Remove(users) => match self.open_group() {
                Ok(group) => {
                    let answer = self.client.remove(&group, users).await;
                    self.changed(answer)
                }
                Err(what) => Err(what),
            },
            Command::Join(group) => {
                let answer = self.client.join(&group).await;
                match self.changed(answer) {
                    Ok(()) => self.open(Conversation::Group(group)).await,
                    Err(what) => Err(what),
                }
            }
            Command::Leave(group) => match group.map_or_else(|| self.open_group(), Ok) {
                Ok(group) => {
                    let answer = self.client.leave(&group).await;
                    self.changed(answer)
                }
                Err(what) => Err(what),
            },
            Command::Rename(name) => match self.open_group() {
                Ok(group) => {
                    let answer = self.client.rename_group(&group, name).await;
                    self.changed(answer)
                }
                Err(what) => Err(what),
            },
            Command::Dissolve(group) => {
                let answer = self.client.dissolve(&group).await;
                self.changed(answer)
            }
            Command::Friends => self.friends().await,
            Command::Friend(user) => self.befriend(&user).await,
            Command::Unfriend(user) => self.unfriend(&user).await,
            Command::Who(users) => self.who(users).await,
            Command::Present { status, minutes, text } => self.present(status, minutes, text).await,
            Command::Devices => self.devices().await,
            Command::Kick(device) => self.kick(device).await,
            Command::Status => {
                self.status();
                Ok(())
            }
            Command::Help => {
                HELP.lines().for_each(|line| self.output.line(line));
                Ok(())
            }
            Command::Quit => {
                self.has_ended = true;
                Ok(())
            }
        };
        if let Err(what) = done {
            self.fail(&what);
        }
    }

    /// The first lines that a person sees.
    pub(super) async fn greet(&mut self) {
        if self.mode != Mode::ByHand {
            return;
        }
        let (user, address) = (&self.setup.user, &self.setup.address);
        self.note(&format!("{user} is online at {address}; /help says what may be typed"));
        let shown = match self.view.open.clone() {
            Some(open) => self.open(open).await,
            None => self.list().await,
        };
        if let Err(what) = shown {
            self.fail(&what);
        }
    }

    /// Finds out what a group is called, for a person.
    pub(super) async fn learn_name(&mut self, group: &GroupId) {
        // Without an answer its id does.
        if self.view.lacks_name(group)
            && let Ok(GroupInfo { name, kind, .. }) = self.client.group(group).await
        {
            self.view.knows(group.clone(), name, kind);
        }
    }

    async fn open(&mut self, conversation: Conversation) -> Result<(), String> {
        if let Conversation::Group(group) = &conversation {
            self.learn_name(group).await;
        }
        self.view.open(conversation);
        // A pipe opens a conversation to write into it.
        if self.mode == Mode::ByHand { self.newest(SHOWN_AT_FIRST).await } else { Ok(()) }
    }

    async fn newest(&mut self, count: usize) -> Result<(), String> {
        let conversation = self.open_conversation()?;
        let head = self.page(conversation.clone(), None, count).await?;
        if self.mode == Mode::ByHand && head > Seq::ZERO {
            self.read_up_to(conversation, head);
        }
        Ok(())
    }

    async fn older(&mut self, count: usize) -> Result<(), String> {
        let conversation = self.open_conversation()?;
        let Some(oldest) = self.view.oldest else { return self.newest(count).await };
        self.page(conversation, Some(oldest), count).await.map(drop)
    }

    /// Shows a page of the history; returns its head.
    async fn page(
        &mut self,
        conversation: Conversation,
        before: Option<Seq>,
        count: usize,
    ) -> Result<Seq, String> {
        let limit = Limit::new(count);
        let page = History { conversation, after: None, before, limit };
        let page = self.client.history(&page).await.map_err(said)?;
        for message in &page.messages {
            self.output.line(&self.view.past(message, page.peer.as_ref()));
        }
        match page.messages.first() {
            Some(first) => self.view.oldest = Some(first.seq),
            None => self.note("nothing"),
        }
        Ok(page.head)
    }

    async fn read_all(&mut self) -> Result<(), String> {
        let conversation = self.open_conversation()?;
        let page = self.client.newest(&conversation).await.map_err(said)?;
        self.client.read(&conversation, page.head).await.map_err(said)?;
        self.view.has_unread(&conversation, 0);
        Ok(())
    }

    async fn list(&mut self) -> Result<(), String> {
        let (mut after, mut rows) = (None, 0);
        loop {
            let page = self.client.conversations(after).await.map_err(said)?;
            for row in &page.conversations {
                if let (Conversation::Group(group), Some(own)) = (&row.conversation, &row.group) {
                    self.view.knows(group.clone(), own.name.clone(), own.kind);
                }
                self.view.has_unread(&row.conversation, row.unread);
                self.output.line(&self.view.row(row));
            }
            rows += page.conversations.len();
            match page.next {
                Some(next) if rows < ROWS => after = Some(After::new(next)),
                next => return self.told_all(rows, next.is_some()),
            }
        }
    }

    async fn groups(&mut self) -> Result<(), String> {
        let (mut after, mut rows) = (None, 0);
        loop {
            let page = self.client.groups(after).await.map_err(said)?;
            for group in &page.groups {
                self.view.knows(group.group.clone(), group.name.clone(), group.kind);
                self.output.line(&self.view.group(group));
            }
            rows += page.groups.len();
            match page.next {
                Some(next) if rows < ROWS => after = Some(next),
                next => return self.told_all(rows, next.is_some()),
            }
        }
    }

    async fn members(&mut self) -> Result<(), String> {
        let group = self.open_group()?;
        let (mut after, mut rows) = (None, 0);
        loop {
            let page = self.client.members(&group, after).await.map_err(said)?;
            for member in &page.members {
                self.output.line(&self.view.member(member));
            }
            rows += page.members.len();
            match page.next {
                Some(next) if rows < ROWS => after = Some(next),
                next => return self.told_all(rows, next.is_some()),
            }
        }
    }

    /// Says what a list leaves out.
    pub(super) fn told_all(&mut self, rows: usize, has_more: bool) -> Result<(), String> {
        match (rows, has_more) {
            (0, _) => self.note("none"),
            (_, true) => self.note("and more"),
            (_, false) => {}
        }
        Ok(())
    }

    async fn create(&mut self, create: GroupCreate) -> Result<(), String> {
        let made = self.client.create_group(&create).await.map_err(said)?;
        self.view.knows(made.group, create.name.as_str().to_owned(), create.kind);
        let name = self.view.name(&made.conversation);
        self.view.open(made.conversation);
        self.output.line(&self.view.dim(&format!("{name} is made and open")));
        Ok(())
    }

    /// Says what came of a change; a person sees the notice of it instead.
    fn changed(&mut self, answer: Result<GroupChanged, CallError>) -> Result<(), String> {
        let GroupChanged { group, seq, .. } = answer.map_err(said)?;
        match seq {
            None => self.note("it was so already"),
            Some(_) if self.mode == Mode::ByHand => {}
            Some(seq) => self.output.line(&self.view.stored(&Conversation::Group(group), seq)),
        }
        Ok(())
    }

    async fn info(&mut self) -> Result<(), String> {
        let group = self.open_group()?;
        let info = self.client.group(&group).await.map_err(said)?;
        self.output.line(&self.view.group(&info));
        self.view.knows(group, info.name, info.kind);
        Ok(())
    }

    fn status(&mut self) {
        let address = &self.setup.address;
        let what = match self.client.status().online {
            Some(login_no) => format!("online at {address}, login {login_no}"),
            None => format!("not connected to {address}, trying again"),
        };
        self.output.line(&self.view.dim(&what));
    }

    fn open_conversation(&self) -> Result<Conversation, String> {
        self.view
            .open
            .clone()
            .ok_or_else(|| "no conversation is open; /to bob opens one".to_owned())
    }

    fn open_group(&self) -> Result<GroupId, String> {
        match &self.view.open {
            Some(Conversation::Group(group)) => Ok(group.clone()),
            _ => Err("no group is open; /to group:eng opens one".to_owned()),
        }
    }
}

pub(super) fn said(error: CallError) -> String {
    error.to_string()
}
