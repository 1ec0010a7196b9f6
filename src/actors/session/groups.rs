//! What a session asks of groups: changes go to the group's owner, pages to the store, and what a ping names to the relays.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::{ChangeDone, HeadsKnown, SessionActor};
use crate::actors::asker::ChangeAsker;
use crate::actors::engine::Engine;
use crate::actors::group::{Caller, GroupRequest};
use crate::actors::outlet::Outlet;
use crate::actors::reads::Identity;
use crate::actors::relay::{
    AskHeads, GroupKey, SessionEnded, Subscribe, Subscription, Unsubscribe,
};
use crate::actors::{changes, errors, group_reads, reads};
use crate::domain::group::{Authority, Change, ChangeRefused};
use crate::domain::intake::Refusal;
use crate::ids::{AppId, GroupId, UserId};
use crate::limits;
use crate::protocol::{
    Behind, Command, ErrorBody, GroupSeqs, GroupUsers, Ping, Pong, Reply, Synced,
};
use crate::store::groups::OwnGroup;

/// A change whose answer comes from the group's owner.
pub(super) struct WaitingChange {
    command: u64,
    /// Whether it makes the group, which is answered in another way.
    creates: bool,
    since: Instant,
}

/// A ping whose answer waits for the relays.
pub(super) struct WaitingPing {
    command: u64,
    behind: Behind,
    /// Relays that have not yet said what they know.
    waits: usize,
}

impl Handler<ChangeDone> for SessionActor {
    type Result = ();

    fn handle(&mut self, done: ChangeDone, _: &mut Self::Context) {
        let ChangeDone { command, group, outcome } = done;
        if outcome.is_ok() && !self.shared().node.holds_lease() {
            // As with acks of sends; whoever asked is told in time that nobody knows.
            return;
        }
        let waiting = self.changes.iter().position(|waiting| waiting.command == command);
        let Some(index) = waiting else { return };
        let creates = self.changes.remove(index).creates;
        let reply = outcome.map_err(errors::of_change).map(|changed| {
            if creates {
                Reply::GroupCreated(changes::created(group))
            } else {
                Reply::GroupChanged(changes::changed(group, changed))
            }
        });
        self.reply(command, reply);
        self.pump();
    }
}

impl Handler<HeadsKnown> for SessionActor {
    type Result = ();

    fn handle(&mut self, known: HeadsKnown, _: &mut Self::Context) {
        let HeadsKnown { command, behind } = known;
        let Some(index) = self.pings.iter().position(|ping| ping.command == command) else {
            return;
        };
        let ping = &mut self.pings[index];
        ping.behind.groups.extend(behind);
        ping.waits -= 1;
        if ping.waits == 0 {
            let WaitingPing { command, behind, .. } = self.pings.remove(index);
            self.pong(command, behind);
            self.pump();
        }
    }
}

impl SessionActor {
    /// The commands about groups.
    pub(super) fn group_command(
        &mut self,
        id: u64,
        command: Command,
        who: Arc<Identity>,
        ctx: &mut Context<Self>,
    ) {
        match command {
            Command::GroupGet(ask) => self.read(id, ctx, move |engine| async move {
                group_reads::get(&engine, who.reader(), &ask.group).await.map(Reply::Group)
            }),
            Command::GroupList(ask) => self.read(id, ctx, move |engine| async move {
                group_reads::list(&engine, &who, ask).await.map(Reply::Groups)
            }),
            Command::GroupMembers(ask) => self.read(id, ctx, move |engine| async move {
                group_reads::members(&engine, who.reader(), ask).await.map(Reply::Members)
            }),
            Command::GroupCreate(ask) => match changes::creation(ask) {
                Ok((group, change)) => self.change(id, group, change, &who),
                Err(error) => self.reply(id, Err(error)),
            },
            Command::GroupUpdate(ask) => {
                let change = Change::Rename(ask.name.as_str().to_owned());
                self.change(id, ask.group, change, &who);
            }
            Command::GroupInvite(ask) => self.change_users(id, ask, Change::Invite, &who),
            Command::GroupRemove(ask) => self.change_users(id, ask, Change::Remove, &who),
            Command::GroupJoin(ask) => self.change(id, ask.group, Change::Join, &who),
            Command::GroupLeave(ask) => self.change(id, ask.group, Change::Leave, &who),
            Command::GroupDissolve(ask) => self.change(id, ask.group, Change::Dissolve, &who),
            Command::Login(_)
            | Command::Logout(_)
            | Command::Ping(_)
            | Command::Sync(_)
            | Command::Send(_)
            | Command::Received(_)
            | Command::Read(_)
            | Command::Inbox(_)
            | Command::History(_)
            | Command::ConversationList(_)
            | Command::TokenRenew(_)
            | Command::DeviceList(_)
            | Command::DeviceKick(_)
            | Command::FriendAdd(_)
            | Command::FriendRemove(_)
            | Command::FriendList(_)
            | Command::PresenceSet(_)
            | Command::PresenceGet(_)
            | Command::PresenceWatch(_)
            | Command::PresenceUnwatch(_) => {}
        }
    }

    fn change_users(
        &mut self,
        id: u64,
        ask: GroupUsers,
        change: impl FnOnce(Vec<UserId>) -> Change,
        who: &Identity,
    ) {
        match changes::users(ask) {
            Ok((group, users)) => self.change(id, group, change(users), who),
            Err(error) => self.reply(id, Err(error)),
        }
    }

    fn change(&mut self, id: u64, group: GroupId, change: Change, who: &Identity) {
        let Some(outlet) = self.outlet.clone() else {
            return self.reply(id, Err(errors::unavailable()));
        };
        if let Err(error) = self.check_rate() {
            return self.reply(id, Err(error));
        }
        let creates = matches!(change, Change::Create { .. });
        self.changes.push(WaitingChange { command: id, creates, since: Instant::now() });
        let key = GroupKey { app: who.app, id: group };
        let by = Caller { no: who.no, id: who.user.clone(), authority: Authority::Member };
        let asker = ChangeAsker::Session { outlet, command: id };
        let request = GroupRequest::Change { asker, by, change };
        self.shared().directory.ask_group(&self.engine, key, request);
    }

    /// The owner of a group may have gone with a change that it was asked for.
    pub(super) fn give_up_changes(&mut self, now: Instant) {
        let late =
            |change: &WaitingChange| now.duration_since(change.since) >= limits::CHANGE_WITHIN;
        let (late, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.changes).into_iter().partition(late);
        self.changes = waiting;
        for WaitingChange { command, .. } in late {
            let refused = ChangeRefused::NotNow(Refusal::OutcomeUnknown);
            self.reply(command, Err(errors::of_change(refused)));
        }
    }

    pub(super) fn ping(&mut self, command: u64, ping: Ping, app: AppId) {
        let inbox = ping.inbox.filter(|inbox| *inbox < self.known_inbox).map(|_| self.known_inbox);
        let behind = Behind { inbox, groups: GroupSeqs::new() };
        let Some(outlet) = self.outlet.clone().filter(|_| !ping.groups.is_empty()) else {
            return self.pong(command, behind);
        };
        let directory = &self.shared().directory;
        let mut asked: Vec<Vec<_>> = directory.relays().iter().map(|_| Vec::new()).collect();
        for (id, seq) in ping.groups {
            let key = GroupKey { app, id };
            if let Some(part) = asked.get_mut(directory.relay_index(&key)) {
                part.push((key, seq));
            }
        }
        let mut waits = 0;
        for (relay, groups) in directory.relays().iter().zip(asked) {
            let ask = AskHeads { outlet: outlet.clone(), command, groups };
            // Relays that have no time to answer have told their groups to sync.
            if !ask.groups.is_empty() && relay.tell(ask).is_ok() {
                waits += 1;
            }
        }
        if waits == 0 {
            return self.pong(command, behind);
        }
        self.pings.push(WaitingPing { command, behind, waits });
    }

    fn pong(&mut self, command: u64, behind: Behind) {
        let is_news = behind.inbox.is_some() || !behind.groups.is_empty();
        let server_time_ms = self.shared().node.now();
        let pong = Pong { server_time_ms, behind: is_news.then_some(behind) };
        self.reply(command, Ok(Reply::Pong(pong)));
    }

    /// The relays forget the session.
    pub(super) fn unsubscribe(&mut self) {
        let Some(outlet) = self.outlet.take() else { return };
        for relay in self.shared().directory.relays() {
            relay.insist(SessionEnded(outlet.clone()));
        }
    }
}

/// The first sync of a session: it subscribes to its groups, and reads their heads only after that.
pub(super) async fn first_sync(
    engine: &Engine,
    who: &Identity,
    outlet: &Arc<Outlet>,
    ask: &crate::protocol::Sync,
) -> Result<Synced, ErrorBody> {
    // Its user knows it by now, so that whatever ends it from here on reaches it; what did before shows in the store.
    reads::stands(engine, who).await?;
    let before = group_reads::own_groups(engine, who).await?;
    let early = if sabotaged!(SyncBeforeRegistration) {
        Some(reads::sync(engine, who, ask).await?)
    } else {
        None
    };
    subscribe(engine, who, outlet, &before).await?;
    if let Some(exchange) = engine.shared().directory.exchange() {
        // Whoever commits something for this session from here on tells it, wherever that is.
        let groups: Vec<_> = before.iter().map(|group| group.no).collect();
        let (_, ()) = tokio::join!(exchange.register(&groups), exchange.all_know_who_is_here());
    }
    let synced = match early {
        Some(synced) => synced,
        None => reads::sync(engine, who, ask).await?,
    };
    engine.shared().directory.saw_inbox(who.no, synced.inbox);
    if before.is_empty() {
        return Ok(synced);
    }
    // Whoever ceased to be a member between the two may have been forgotten by the relay before it was known there.
    let now = group_reads::own_groups(engine, who).await?;
    let is_left = |group: &OwnGroup| now.iter().all(|other| other.no != group.no);
    let gone = before.into_iter().filter(is_left);
    let gone: Vec<GroupKey> = gone.map(|it| GroupKey { app: who.app, id: it.id }).collect();
    if !gone.is_empty() {
        for relay in engine.shared().directory.relays() {
            relay.insist(Unsubscribe { outlet: outlet.clone(), groups: gone.clone() });
        }
    }
    Ok(synced)
}

async fn subscribe(
    engine: &Engine,
    who: &Identity,
    outlet: &Arc<Outlet>,
    groups: &[OwnGroup],
) -> Result<(), ErrorBody> {
    let directory = &engine.shared().directory;
    let mut parts: Vec<Vec<Subscription>> = directory.relays().iter().map(|_| Vec::new()).collect();
    for OwnGroup { id, no, head } in groups {
        let key = GroupKey { app: who.app, id: id.clone() };
        if let Some(part) = parts.get_mut(directory.relay_index(&key)) {
            part.push(Subscription { key, no: *no, head: *head });
        }
    }
    let mut waiting = Vec::new();
    for (relay, groups) in directory.relays().iter().zip(parts) {
        if groups.is_empty() {
            continue;
        }
        let (done, is_done) = oneshot::channel();
        if relay.tell(Subscribe { outlet: outlet.clone(), groups, done }).is_err() {
            return Err(errors::of_refusal(Refusal::Busy));
        }
        waiting.push(is_done);
    }
    for is_done in waiting {
        // Dropped when it is so.
        let _ = is_done.await;
    }
    Ok(())
}
