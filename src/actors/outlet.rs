//! Where what is meant for one session goes in: shared by its user, the relays of its groups, and whoever answers it.
//!
//! One for each session, so that its address is cloned once: each clone of an address would bring a slot of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::dev::ToEnvelope;
use actix::prelude::*;

use super::mailbox::{self, TellError};
use super::session::{NeedSync, Push, SessionActor};
use super::wire::{Encoded, EncodedRun};
use crate::domain::intake::SessionNo;
use crate::ids::{InboxSeq, UserNo};
use crate::protocol::framing::Dialect;

/// A session, for those who have something for it.
pub struct Outlet {
    /// The session.
    pub no: SessionNo,
    /// Whose it is.
    pub user: UserNo,
    dialect: Dialect,
    address: Addr<SessionActor>,
    behind: Arc<AtomicBool>,
    ended: AtomicBool,
}

impl Outlet {
    /// `behind` is set when something could not be told to the session, so that it syncs.
    pub fn new(
        no: SessionNo,
        user: UserNo,
        dialect: Dialect,
        address: Addr<SessionActor>,
        behind: Arc<AtomicBool>,
    ) -> Self {
        let ended = AtomicBool::new(false);
        Self { no, user, dialect, address, behind, ended }
    }

    /// The session was ended by a decision: from now on it hands nothing to its socket but that it was.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether the session was ended by a decision, which it may not have heard yet.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether the session is still there.
    pub fn is_there(&self) -> bool {
        self.address.connected()
    }

    /// Pushes an event; left out when there is no room, and the client then syncs. False when the session is gone.
    pub(super) fn push(&self, event: &mut Encoded, inbox: Option<InboxSeq>) -> bool {
        let Some(frame) = event.frame(self.dialect) else { return true };
        self.hand(Push { frames: frame, events: 1, inbox })
    }

    /// Pushes events that came together, in the same way.
    pub(super) fn push_run(&self, run: &mut EncodedRun) -> bool {
        run.together(self.dialect).iter().all(|part| {
            self.hand(Push { frames: part.frames.clone(), events: part.events, inbox: None })
        })
    }

    fn hand(&self, push: Push) -> bool {
        match mailbox::tell(&self.address, push) {
            Ok(()) => true,
            Err(TellError::Full) => {
                self.behind.store(true, Ordering::Release);
                true
            }
            Err(TellError::Gone) => false,
        }
    }

    /// Something could not be told: the client must sync.
    pub fn must_sync(&self) {
        if mailbox::tell(&self.address, NeedSync) == Err(TellError::Full) {
            self.behind.store(true, Ordering::Release);
        }
    }

    /// Tells the session something, if there is room.
    pub fn tell<M>(&self, message: M) -> Result<(), TellError>
    where
        SessionActor: Handler<M>,
        <SessionActor as Actor>::Context: ToEnvelope<SessionActor, M>,
        M: Message<Result = ()> + Send + 'static,
    {
        mailbox::tell(&self.address, message)
    }

    /// Tells the session something that is bounded in itself and must not be lost.
    pub fn insist<M>(&self, message: M)
    where
        SessionActor: Handler<M>,
        <SessionActor as Actor>::Context: ToEnvelope<SessionActor, M>,
        M: Message<Result = ()> + Send + 'static,
    {
        mailbox::insist(&self.address, message);
    }
}
