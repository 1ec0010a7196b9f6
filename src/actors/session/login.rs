//! How a session gets in: the token is checked, the store decides the login, the user lets the session in, the heads
//! are read, and only then the login is answered. Events that come meanwhile wait for that answer.

use std::sync::Arc;

use actix::prelude::*;

use super::account::Token;
use super::groups::first_sync;
use super::{Attached, EnterRefused, Membership, Phase, SessionActor};
use crate::actors::logins::Admitted;
use crate::actors::outlet::Outlet;
use crate::actors::reads::{self, Identity};
use crate::actors::registry::{Arrival, Enter};
use crate::actors::user::{self, Attach};
use crate::actors::{errors, mailbox, wire};
use crate::domain::usersig::Verified;
use crate::limits;
use crate::protocol::codec::Outbound;
use crate::protocol::{CloseCode, Code, ErrorBody, Limits, LoggedIn, Login, Reply, Sync, Synced};

#[derive(Message)]
#[rtype(result = "()")]
struct LoginChecked {
    outcome: Result<(Identity, Admitted, Verified), ErrorBody>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct FirstSync {
    outcome: Result<Synced, ErrorBody>,
}

impl Handler<LoginChecked> for SessionActor {
    type Result = ();

    fn handle(&mut self, LoginChecked { outcome }: LoginChecked, ctx: &mut Self::Context) {
        let Phase::Checking { command, ask } = &self.phase else { return };
        let (command, ask) = (*command, ask.clone());
        match outcome {
            Ok((who, admitted, verified)) => {
                self.token = Some(Token::new(&verified));
                self.enter(command, ask, who, admitted, ctx);
            }
            Err(error) => self.login_failed(command, error),
        }
        self.pump();
    }
}

impl Handler<Attached> for SessionActor {
    type Result = ();

    fn handle(&mut self, Attached { user }: Attached, ctx: &mut Self::Context) {
        let Some(membership) = &mut self.membership else { return };
        membership.user = Some(user);
        let Phase::Entering { who, ask, .. } = &self.phase else {
            // It ended meanwhile, before it knew whom to tell.
            self.leave(None);
            return;
        };
        let Some(outlet) = self.outlet.clone() else { return };
        let (engine, who, ask) = (self.engine.clone(), who.clone(), ask.clone());
        let sync =
            async move { FirstSync { outcome: first_sync(&engine, &who, &outlet, &ask).await } };
        ctx.spawn(sync.into_actor(self).map(|done, _, ctx| ctx.notify(done)));
    }
}

impl Handler<EnterRefused> for SessionActor {
    type Result = ();

    fn handle(&mut self, _: EnterRefused, _: &mut Self::Context) {
        if let Phase::Entering { command, .. } = self.phase {
            self.membership = None;
            self.login_failed(command, user::busy());
            self.pump();
        }
    }
}

impl Handler<FirstSync> for SessionActor {
    type Result = ();

    fn handle(&mut self, FirstSync { outcome }: FirstSync, _: &mut Self::Context) {
        let Phase::Entering { command, who, .. } = &self.phase else { return };
        let (command, who) = (*command, who.clone());
        let user = self.membership.as_ref().and_then(|membership| membership.user.clone());
        match outcome.and_then(|sync| user.map(|user| (sync, user)).ok_or_else(errors::unavailable))
        {
            Ok((sync, user)) => {
                let reply = self.logged_in(&who, sync);
                tracing::info!(
                    session = self.no.0, user = %who.no, login_no = %who.login_no, "logged in"
                );
                self.known_inbox = self.known_inbox.max(reply.sync.inbox);
                self.phase = Phase::Open { who, user };
                let ok = Reply::LoggedIn(Box::new(reply));
                if let Some(frame) = wire::encode(self.dialect, &Outbound::Ok { re: command, ok }) {
                    self.outbound.first(frame);
                }
            }
            Err(error) => {
                self.leave(None);
                self.login_failed(command, error);
            }
        }
        self.pump();
    }
}

impl SessionActor {
    pub(super) fn log_in(&mut self, command: u64, login: Login, ctx: &mut Context<Self>) {
        let ask = Arc::new(login.sync.clone().unwrap_or_default());
        self.phase = Phase::Checking { command, ask };
        let engine = self.engine.clone();
        let check = async move { LoginChecked { outcome: reads::log_in(&engine, &login).await } };
        ctx.spawn(check.into_actor(self).map(|checked, _, ctx| ctx.notify(checked)));
    }

    fn enter(
        &mut self,
        command: u64,
        ask: Arc<Sync>,
        who: Identity,
        admitted: Admitted,
        ctx: &mut Context<Self>,
    ) {
        let (address, behind) = (ctx.address(), self.behind.clone());
        let outlet = Arc::new(Outlet::new(self.no, who.no, self.dialect, address, behind));
        self.outlet = Some(outlet.clone());
        let Admitted { held, standing } = admitted;
        let attach = Attach { outlet, held, standing, shut: false };
        let enter = Enter {
            engine: self.engine.clone(),
            user: who.no,
            id: who.user.clone(),
            app: who.app,
            near: Arbiter::try_current(),
            arrival: Arrival::Session(attach),
        };
        if mailbox::tell(&self.shared().registry, enter).is_err() {
            return self.login_failed(command, user::busy());
        }
        self.membership = Some(Membership { user: None });
        self.phase = Phase::Entering { command, who: Arc::new(who), ask };
    }

    fn logged_in(&self, who: &Identity, sync: Synced) -> LoggedIn {
        let number = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        LoggedIn {
            session: format!("{}-{}-{}", self.shared().node.id(), who.no, self.no.0),
            login_no: who.login_no,
            epoch: sync.epoch.clone(),
            server_time_ms: self.shared().node.now(),
            heartbeat_s: number(limits::HEARTBEAT_EVERY.as_secs() as usize),
            limits: Limits {
                frame_bytes: number(limits::FRAME_BYTES),
                content_bytes: number(limits::CONTENT_BYTES),
                in_flight: number(limits::IN_FLIGHT),
                page: number(limits::PAGE_MAX),
            },
            sync,
        }
    }

    fn login_failed(&mut self, command: u64, error: ErrorBody) {
        metrics::counter!("rookery_logins_failed_total").increment(1);
        let close = match error.code {
            Code::BadToken | Code::TokenExpired => Some(CloseCode::BadToken),
            Code::Forbidden => Some(CloseCode::Banned),
            Code::Conflict => Some(CloseCode::Kicked),
            _ => None,
        };
        self.reply(command, Err(error));
        self.phase = Phase::Fresh;
        if let Some(code) = close {
            // It was acked nothing, so a decision that ended it meanwhile takes back nothing that it is told here.
            self.unsubscribe();
            self.close(code);
        }
        self.make_room();
    }
}
