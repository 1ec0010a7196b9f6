//! What a session does with its client's sends: it gives them their order, relays them to whoever owns the conversation,
//! and answers them. The rules are [`crate::domain::order`]'s.

use std::time::Instant;

use actix::prelude::*;

use super::{Phase, SessionActor};
use crate::actors::asker::{SendVerdict, Submitter};
use crate::actors::draft::Draft;
use crate::actors::group::{Caller, GroupRequest};
use crate::actors::mailbox::{self, TellError};
use crate::actors::relay::GroupKey;
use crate::actors::user::{self, Submit};
use crate::actors::{errors, wire};
use crate::domain::group::Authority;
use crate::domain::intake::{Ack, Refusal, Waiter};
use crate::domain::order::{self, Effect, Order, Place, Taken};
use crate::ids::{ClientMsgId, Conversation};
use crate::limits;
use crate::protocol::{CloseCode, Code, ErrorBody, Reply, Send};

/// What became of a send.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Verdict {
    /// Where it went.
    pub conversation: Conversation,
    /// The place from which it was passed on.
    pub place: Place,
    /// Its key.
    pub key: ClientMsgId,
    /// What became of it.
    pub verdict: SendVerdict,
}

impl Handler<Verdict> for SessionActor {
    type Result = ();

    fn handle(&mut self, verdict: Verdict, _: &mut Self::Context) {
        if !matches!(self.phase, Phase::Open { .. }) {
            return;
        }
        let Verdict { conversation, place, key, verdict } = verdict;
        if matches!(verdict, order::Verdict::Stored(_)) && !self.shared().node.holds_lease() {
            // Others may have taken this node for gone and let somebody else in. It is asked for again, and answered when the
            // lease is held.
            return;
        }
        let refused = |why| errors::of_send(why, &conversation);
        let verdict = match verdict {
            order::Verdict::Stored(ack) => order::Verdict::Stored(ack),
            order::Verdict::Final(why) => order::Verdict::Final(refused(why)),
            order::Verdict::Curable(why) => order::Verdict::Curable(refused(why)),
            order::Verdict::Resubmit => order::Verdict::Resubmit,
        };
        self.order(|order, now, effects| {
            order.verdict(now, &conversation, place, key, verdict, effects);
        });
        self.look_awaited(Taken::Yes);
    }
}

impl SessionActor {
    pub(super) fn send(&mut self, command: u64, send: Send) {
        let (conversation, key) = (send.to.clone(), send.client_msg_id);
        let draft = match Draft::of(send.into_body()) {
            Ok(draft) => draft,
            Err(error) => return self.reply(command, Err(error)),
        };
        tracing::debug!(client_msg_id = %key, session = self.no.0, "received");
        if let Err(error) = self.check_rate() {
            self.order(|order, now, effects| {
                order.refuse(now, conversation, key, command, error, effects);
            });
            return self.look_awaited(Taken::Yes);
        }
        let mut taken = Taken::Yes;
        self.order(|order, now, effects| {
            taken = order.send(now, conversation, key, draft, command, effects);
        });
        self.look_awaited(taken);
    }

    /// What writes to a log counts: messages, and changes of groups.
    pub(super) fn check_rate(&self) -> Result<(), ErrorBody> {
        if self.send_rate.check().is_ok() {
            return Ok(());
        }
        let per_second = self.shared().settings.sends_per_s;
        let message = format!("expected at most {per_second} messages and changes a second");
        Err(ErrorBody::new(Code::RateLimited, message).retry_after(limits::RETRY_AFTER))
    }

    pub(super) fn look_awaited(&mut self, taken: Taken) {
        if taken == Taken::TooManyAwaited || self.order.awaits_too_many() {
            self.close(CloseCode::TooFast);
        }
    }

    /// Runs the order rules and performs what they say.
    pub(super) fn order(
        &mut self,
        rule: impl FnOnce(
            &mut Order<Conversation, Draft>,
            Instant,
            &mut Vec<Effect<Conversation, Draft, Ack, ErrorBody>>,
        ),
    ) {
        let now = Instant::now();
        let mut effects = std::mem::take(&mut self.effects);
        rule(&mut self.order, now, &mut effects);
        // What could not be passed on is refused, which may break the order of others in turn.
        while !effects.is_empty() {
            let mut refused = Vec::new();
            for effect in effects.drain(..) {
                refused.extend(self.perform(effect));
            }
            for (conversation, place, key, error) in refused {
                let verdict = order::Verdict::Curable(error);
                self.order.verdict(now, &conversation, place, key, verdict, &mut effects);
            }
        }
        self.effects = effects;
    }

    /// Performs one effect; returns a send that could not be passed on.
    fn perform(
        &mut self,
        effect: Effect<Conversation, Draft, Ack, ErrorBody>,
    ) -> Option<(Conversation, Place, ClientMsgId, ErrorBody)> {
        match effect {
            Effect::Forward { conversation, place, key, payload } => {
                let passed_on = self.forward(&conversation, place, key, payload);
                return passed_on.err().map(|error| (conversation, place, key, error));
            }
            Effect::Acked { conversation, commands, answer } => {
                self.acked(&conversation, commands, answer);
            }
            Effect::Refused { commands, reason } => {
                for command in commands {
                    self.reply(command, Err(reason.clone()));
                }
            }
            Effect::InDoubt { commands } => {
                for command in commands {
                    self.reply(command, Err(errors::of_refusal(Refusal::OutcomeUnknown)));
                }
            }
            Effect::OrderBroken { commands, awaited } => {
                for command in commands {
                    let message = "an earlier message must come first, then this one again";
                    let mut error = ErrorBody::new(Code::OrderBroken, message);
                    error.client_msg_id = Some(awaited);
                    self.reply(command, Err(error));
                }
            }
        }
        None
    }

    fn forward(
        &self,
        conversation: &Conversation,
        place: Place,
        key: ClientMsgId,
        draft: Draft,
    ) -> Result<(), ErrorBody> {
        let Phase::Open { who, user } = &self.phase else { return Ok(()) };
        let to = match conversation {
            Conversation::User(to) => to,
            Conversation::Group(id) => {
                let Some(outlet) = self.outlet.clone() else { return Ok(()) };
                let group = GroupKey { app: who.app, id: id.clone() };
                let by = Caller { no: who.no, id: who.user.clone(), authority: Authority::Member };
                let waiter = Waiter { session: self.no, place };
                let submitter = Submitter::Session(outlet);
                let submit = GroupRequest::Submit { submitter, waiter, by, key, draft };
                self.shared().directory.ask_group(&self.engine, group, submit);
                return Ok(());
            }
        };
        let waiter = Waiter { session: self.no, place };
        match mailbox::tell(user, Submit { waiter, to: to.clone(), key, draft, request: None }) {
            Ok(()) => Ok(()),
            Err(TellError::Full) => Err(user::busy()),
            Err(TellError::Gone) => Err(errors::unavailable()),
        }
    }

    fn acked(&mut self, conversation: &Conversation, commands: Vec<u64>, ack: Ack) {
        self.known_inbox = self.known_inbox.max(ack.inbox.unwrap_or_default());
        self.has_acks = true;
        for (nth, command) in commands.into_iter().enumerate() {
            // Only the first command stored it; copies that were answered with it are repeats.
            let ack = Ack { duplicate: ack.duplicate || nth > 0, ..ack };
            self.reply(command, Ok(Reply::Sent(wire::sent(conversation.clone(), ack))));
        }
    }
}
