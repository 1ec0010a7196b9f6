//! What a session asks about its own user: its token, its devices, ending sessions.

use std::sync::Arc;

use actix::prelude::*;

use super::{Phase, SessionActor};
use crate::actors::reads::Identity;
use crate::actors::{accounts, errors, reads};
use crate::domain::order::Taken;
use crate::domain::usersig::{TokenError, Verified};
use crate::ids::UnixMs;
use crate::limits;
use crate::protocol::{CloseCode, Command, ErrorBody, Event, Reply, TokenRenew, TokenRenewed};

/// The token that a session goes on with.
pub(super) struct Token {
    expires_at: UnixMs,
    /// Whether the client was told that it runs out.
    warned: bool,
}

impl Token {
    pub(super) fn new(verified: &Verified) -> Self {
        Self { expires_at: verified.expires_at, warned: false }
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Renewed {
    command: u64,
    outcome: Result<Verified, ErrorBody>,
}

impl Handler<Renewed> for SessionActor {
    type Result = ();

    fn handle(&mut self, Renewed { command, outcome }: Renewed, _: &mut Self::Context) {
        if !matches!(self.phase, Phase::Open { .. }) {
            return;
        }
        let outcome = outcome.map(|verified| {
            let token = Token::new(&verified);
            let expires_at_ms = token.expires_at;
            self.token = Some(token);
            Reply::TokenRenewed(TokenRenewed { expires_at_ms })
        });
        self.reply(command, outcome);
        self.pump();
    }
}

impl SessionActor {
    /// The commands about the user's own account.
    pub(super) fn account_command(
        &mut self,
        id: u64,
        command: Command,
        who: Arc<Identity>,
        ctx: &mut Context<Self>,
    ) {
        match command {
            Command::TokenRenew(renew) => self.renew(id, renew, who, ctx),
            Command::DeviceList(page) => self.read(id, ctx, move |engine| async move {
                let devices = accounts::devices(&engine, who.no, Some(who.login_no), &page).await;
                devices.map(Reply::Devices)
            }),
            Command::DeviceKick(kick) => {
                if let Err(error) = self.check_rate() {
                    return self.reply(id, Err(error));
                }
                self.read(id, ctx, move |engine| async move {
                    let ended = accounts::kick_own(&engine, &who, &kick).await;
                    ended.map(Reply::DevicesEnded)
                });
            }
            // The session passes on no other command to this place.
            _ => self.reply(id, Err(errors::unavailable())),
        }
    }

    fn renew(
        &mut self,
        command: u64,
        TokenRenew { token }: TokenRenew,
        who: Arc<Identity>,
        ctx: &mut Context<Self>,
    ) {
        if let Err(error) = self.check_rate() {
            return self.reply(command, Err(error));
        }
        let engine = self.engine.clone();
        let renew =
            async move { Renewed { command, outcome: reads::renew(&engine, &who, &token).await } };
        ctx.spawn(renew.into_actor(self).map(|renewed, _, ctx| ctx.notify(renewed)));
    }

    /// Why a command is not carried out: the session's token has run out.
    pub(super) fn token_refuses(&self, command: &Command) -> Option<ErrorBody> {
        let token = self.token.as_ref()?;
        let goes_on = matches!(command, Command::TokenRenew(_) | Command::Logout(_));
        let is_over = self.shared().node.now() > token.expires_at;
        (is_over && !goes_on).then(|| errors::of_token(&TokenError::Expired))
    }

    /// Refuses a command that can come again. A send keeps its place: what was sent after it waits for it.
    pub(super) fn refuse(&mut self, id: u64, command: Command, error: ErrorBody) {
        if let Command::Send(send) = command {
            let (conversation, key) = (send.to, send.client_msg_id);
            // What the order would answer is said in the words of the reason.
            let mut said = Vec::new();
            let (now, reason) = (std::time::Instant::now(), error.clone());
            self.order.refuse::<crate::domain::intake::Ack, _>(
                now,
                conversation,
                key,
                id,
                reason,
                &mut said,
            );
            self.look_awaited(Taken::Yes);
        }
        self.reply(id, Err(error));
    }

    /// Tells the client that its token runs out, and ends the session when it let that happen.
    pub(super) fn look_at_token(&mut self) {
        let now = self.shared().node.now();
        let Some(token) = &mut self.token else { return };
        let left_ms = token.expires_at.since(now);
        if left_ms < -millis(limits::TOKEN_GRACE) {
            self.close(CloseCode::BadToken);
        } else if !token.warned && left_ms <= millis(limits::TOKEN_WARNING) {
            token.warned = true;
            let expires_at_ms = token.expires_at;
            self.notice(Event::TokenExpiring { expires_at_ms });
        }
    }
}

fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
