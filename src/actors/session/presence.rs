//! What a session asks about friends, and about who is there.

use std::sync::Arc;

use actix::prelude::*;

use super::SessionActor;
use crate::actors::errors;
use crate::actors::reads::Identity;
use crate::protocol::Command;

impl SessionActor {
    /// The commands about friends and presence.
    pub(super) fn presence_command(
        &mut self,
        id: u64,
        _command: Command,
        _who: Arc<Identity>,
        _ctx: &mut Context<Self>,
    ) {
        self.reply(id, Err(errors::unavailable()));
    }
}
