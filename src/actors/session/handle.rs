//! What a session and its adapter are to each other: neither knows what the other is made of.

use actix::prelude::*;
use bytes::Bytes;

use super::{Break, Frame, Heard, SessionActor, Speak, TransportGone, TransportReady};
use crate::actors::mailbox;
use crate::protocol::CloseCode;
use crate::protocol::codec::Codec;

/// What an adapter can do for a session. Nothing here waits. Dropped with the session, and the connection must end then.
pub trait Transport: 'static {
    /// Writes frames in one go, as they are: each has its head. The next only when these are taken care of.
    fn write(&self, frames: Vec<Bytes>) -> Handed;
    /// Closes the connection after what was written.
    fn close(&self, code: u16, reason: &'static str);
    /// Ends the connection at once, whether its peer reads or not.
    fn cut(&self);
}

/// What became of frames that an adapter was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// The system has all of them.
    Written,
    /// The peer must read first; the adapter calls [`SessionHandle::written`] then.
    Waiting,
}

/// A session, for its adapter.
pub struct SessionHandle {
    pub(super) address: Addr<SessionActor>,
}

impl SessionHandle {
    /// Hands over a frame. Resolves when the session can take another, or to false when it has ended.
    pub fn frame(&self, frame: Bytes) -> impl Future<Output = bool> + 'static {
        let taken = self.address.send(Frame(frame));
        async move { taken.await.is_ok() }
    }

    /// The adapter has taken care of frames that had to wait, and can take more.
    pub fn written(&self) {
        mailbox::insist(&self.address, TransportReady);
    }

    /// The peer has said which codec it speaks; to be told before its first frame.
    pub fn speaks(&self, codec: Codec) {
        mailbox::insist(&self.address, Speak(codec));
    }

    /// The peer has broken the transport's rules: the session tells it so and closes the connection.
    pub fn end(&self, code: CloseCode) {
        mailbox::insist(&self.address, Break(code));
    }

    /// Something was heard from the peer that is no frame.
    pub fn heard(&self) {
        // One lost sign of life among many costs nothing.
        let _ = mailbox::tell(&self.address, Heard);
    }

    /// The connection is over.
    pub fn gone(&self) {
        mailbox::insist(&self.address, TransportGone);
    }
}
