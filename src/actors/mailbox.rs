//! How one actor tells another something: bounded, with an answer to "full".
//!
//! `do_send` is never used (it ignores the bound), nor is an address cloned to send (each clone brings a slot of its own).

use std::pin::Pin;
use std::task;

use actix::dev::ToEnvelope;
use actix::dev::channel::channel;
use actix::prelude::*;

/// Why something could not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TellError {
    /// The mailbox is full: whoever tells decides what that costs.
    #[error("mailbox full")]
    Full,
    /// The actor has ended.
    #[error("actor gone")]
    Gone,
}

/// Starts an actor on a thread, with a mailbox of this size from the first message on.
///
/// What comes before the thread has made the actor finds a mailbox of 16 otherwise, whatever the actor sets later.
pub fn start_on<A>(
    arbiter: &ArbiterHandle,
    capacity: usize,
    make: impl FnOnce() -> A + Send + 'static,
) -> Addr<A>
where
    A: Actor<Context = Context<A>>,
{
    let (sender, receiver) = channel(capacity);
    // A thread that has ended drops the receiver: the actor is gone then, and senders are told so.
    let _ = arbiter.spawn_fn(move || {
        actix::spawn(Context::with_receiver(receiver).into_future(make()));
    });
    Addr::new(sender)
}

/// What an actor spawns to have something done whenever its mailbox was emptied: once for all that came together.
pub fn behind_mailbox<A: Actor>(
    act: impl FnMut(&mut A, &mut A::Context) + Unpin,
) -> impl ActorFuture<A, Output = ()> {
    BehindMailbox(act)
}

struct BehindMailbox<F>(F);

impl<A: Actor, F: FnMut(&mut A, &mut A::Context) + Unpin> ActorFuture<A> for BehindMailbox<F> {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut A,
        ctx: &mut A::Context,
        _: &mut task::Context<'_>,
    ) -> task::Poll<()> {
        (self.0)(actor, ctx);
        task::Poll::Pending
    }
}

/// Puts a message into an actor's mailbox, if there is room.
pub fn tell<A, M>(to: &Addr<A>, message: M) -> Result<(), TellError>
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    to.try_send(message).map_err(|error| match error {
        SendError::Full(_) => TellError::Full,
        SendError::Closed(_) => TellError::Gone,
    })
}

/// Puts a message into an actor's mailbox, waiting for room beside the caller if there is none.
///
/// Only for what is bounded in itself, such as the outcomes of sends in flight, and what must not be lost. Messages that
/// waited may be overtaken. To be called within an actor.
pub fn insist<A, M>(to: &Addr<A>, message: M)
where
    A: Actor + Handler<M>,
    A::Context: ToEnvelope<A, M>,
    M: Message + Send + 'static,
    M::Result: Send,
{
    if let Err(SendError::Full(message)) = to.try_send(message) {
        let waiting = to.send(message);
        actix::spawn(async move {
            // An actor that has ended needs no answer any more.
            let _ = waiting.await;
        });
    }
}
