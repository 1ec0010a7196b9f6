//! What a session asks about its own user: its token, its devices, ending sessions.

use std::sync::Arc;

use actix::prelude::*;

use super::SessionActor;
use crate::actors::errors;
use crate::actors::reads::Identity;
use crate::protocol::Command;

impl SessionActor {
    /// The commands about the user's own account.
    pub(super) fn account_command(
        &mut self,
        id: u64,
        _command: Command,
        _who: Arc<Identity>,
        _ctx: &mut Context<Self>,
    ) {
        self.reply(id, Err(errors::unavailable()));
    }
}
