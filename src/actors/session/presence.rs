//! What a session asks about friends, and about who is there.

use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;

use super::{Phase, SessionActor};
use crate::actors::mailbox;
use crate::actors::presence::Unwatch;
use crate::actors::reads::Identity;
use crate::actors::{errors, friends, presence_reads};
use crate::limits;
use crate::protocol::{Command, Empty, Reply};

impl SessionActor {
    /// The commands about friends and presence.
    pub(super) fn presence_command(
        &mut self,
        id: u64,
        command: Command,
        who: Arc<Identity>,
        ctx: &mut Context<Self>,
    ) {
        let writes = matches!(
            command,
            Command::FriendAdd(_) | Command::FriendRemove(_) | Command::PresenceSet(_)
        );
        if writes && let Err(error) = self.check_rate() {
            return self.reply(id, Err(error));
        }
        let session = self.no;
        match command {
            Command::FriendAdd(ask) => self.read(id, ctx, move |engine| async move {
                friends::add(&engine, &who, session, ask.user).await.map(Reply::Friend)
            }),
            Command::FriendRemove(ask) => self.read(id, ctx, move |engine| async move {
                friends::remove(&engine, &who, session, ask.user).await.map(Reply::Friend)
            }),
            Command::FriendList(ask) => self.read(id, ctx, move |engine| async move {
                friends::list(&engine, &who, ask).await.map(Reply::Friends)
            }),
            Command::PresenceSet(ask) => self.read(id, ctx, move |engine| async move {
                presence_reads::set(&engine, &who, ask).await.map(Reply::Presences)
            }),
            Command::PresenceGet(ask) => self.read(id, ctx, move |engine| async move {
                presence_reads::get(&engine, &who, ask.users).await.map(Reply::Presences)
            }),
            Command::PresenceWatch(ask) => {
                let Some(outlet) = self.outlet.clone() else {
                    return self.reply(id, Err(errors::unavailable()));
                };
                self.watches = true;
                self.read(id, ctx, move |engine| async move {
                    presence_reads::watch(&engine, &who, outlet, ask).await.map(Reply::Watching)
                });
            }
            Command::PresenceUnwatch(ask) => self.read(id, ctx, move |engine| async move {
                presence_reads::unwatch(&engine, session, ask).await?;
                Ok(Reply::Empty(Empty {}))
            }),
            // The session passes on no other command to this place.
            _ => self.reply(id, Err(errors::unavailable())),
        }
    }

    /// The peer was heard of, so its device is there for longer. Told at times, for it is good for much longer.
    pub(super) fn renew_presence(&mut self, now: Instant) {
        let Phase::Open { who, .. } = &self.phase else { return };
        let is_due = now.duration_since(self.shown) >= limits::PRESENCE_RENEWED_EVERY;
        if is_due && self.heard > self.shown {
            let shared = self.shared();
            shared.board.renew(who.no, who.login_no, self.heard, shared.present());
            self.shown = self.heard;
        }
    }

    /// Nobody is watched any more.
    pub(super) fn unwatch(&mut self) {
        if std::mem::take(&mut self.watches) {
            let unwatch = Unwatch { session: self.no, users: None, done: None };
            mailbox::insist(&self.shared().presence, unwatch);
        }
    }
}
