//! What comes from other nodes.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::Exchange;
use super::letter::Letter;
use super::whereabouts::Told;
use crate::actors::engine::Engine;
use crate::actors::relay::GroupEntry;
use crate::actors::user::Written;
use crate::cluster::bus::Arrived;
use crate::ids::NodeRun;
use crate::limits;

impl Exchange {
    /// Hears what comes, in its order, for as long as it is polled.
    pub(super) async fn hear(
        self: &Arc<Self>,
        engine: Engine,
        mut arrived: mpsc::Receiver<Arrived>,
    ) {
        let mut told = Told::default();
        let mut peers = self.node.peers().changes();
        loop {
            tokio::select! {
                biased;
                changed = peers.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.forget_gone(&mut told);
                }
                came = arrived.recv() => match came {
                    // The node stops, or its bus has failed: deaf it would answer nobody and end no session that lost.
                    None => return engine.shared().failed(),
                    Some(Arrived::Gap { from }) => self.gap(from),
                    Some(Arrived::Letter { from, payload }) => match Letter::decode(&payload) {
                        Ok(letter) => self.hear_one(&engine, &mut told, from, letter),
                        // A newer program may say what is not known here; what it is about is found by comparing.
                        Err(error) => {
                            tracing::warn!(%error, node = %from, "a letter cannot be read");
                            self.gap(from);
                        }
                    },
                },
            }
        }
    }

    /// Something that a node sent was lost: entries, registrations, or who came and left.
    fn gap(&self, from: NodeRun) {
        tracing::info!(node = %from, "letters of a node were lost, what they were about is compared");
        self.write(from, &Letter::TellEveryone);
        self.write(from, &Letter::RegisterAgain);
        self.doubt.notify_one();
    }

    fn hear_one(self: &Arc<Self>, engine: &Engine, told: &mut Told, from: NodeRun, letter: Letter) {
        match letter {
            Letter::Ask { ticket, key, no, asked } => {
                self.asked(engine, from, ticket, (key, no), asked);
            }
            Letter::Verdict { ticket, verdict } => {
                if let Some(waiting) = self.tickets.take(ticket, from) {
                    waiting.judged(verdict);
                }
            }
            Letter::Changed { ticket, outcome } => {
                if let Some(waiting) = self.tickets.take(ticket, from) {
                    waiting.changed(outcome);
                }
            }
            Letter::NotOwner { ticket } => self.not_owner(from, ticket),
            Letter::Done { ticket } => {
                // One that answers within the time for which all are waited for is not given up the next time.
                let asked = self.tickets.asked_at(ticket);
                if asked.is_some_and(|asked| asked.elapsed() < limits::HEARD_WITHIN) {
                    self.silent.remove(&from);
                }
                if let Some(waiting) = self.tickets.take(ticket, from) {
                    waiting.done();
                }
            }
            Letter::Register { ticket, groups } => self.register_for(from, ticket, &groups),
            Letter::Unregister { groups } => self.unregister(from, &groups),
            Letter::RegisterAgain => self.forget_registrations(from),
            Letter::Entries { entries } => self.hear_entries(from, entries),
            Letter::Inboxes { entries } => {
                for (user, entry) in entries {
                    let written = Written { entries: vec![entry], ..Written::default() };
                    self.directory.written_here(user, written);
                }
            }
            Letter::OwnCursors { user, moved } => self.directory.own_cursors_here(user, moved),
            Letter::PeerCursors { user, moved } => self.directory.peer_cursors_here(user, moved),
            Letter::MemberRead { read } => {
                self.pass_on_read(&read, Some(from));
                self.directory.member_read_here(read);
            }
            Letter::MemberReadAt { read } => self.directory.member_read_here(read),
            Letter::Decided { ticket, user, decided } => {
                self.hear_decided(from, ticket, user, decided);
            }
            Letter::Here { ticket, users } => self.hear_here(told, from, ticket, users),
            Letter::Everyone { is_first, users, is_last } => {
                self.hear_everyone(told, from, (is_first, is_last), users);
            }
            Letter::TellEveryone => self.tell_everyone(from),
            Letter::Friends { users, events } => {
                crate::actors::friends::moved_elsewhere(engine, users, *events);
            }
            Letter::OwnersMoved => self.node.look_at_owners(),
            Letter::Farewell => {
                self.silent.insert(from);
            }
        }
    }

    fn hear_entries(&self, from: NodeRun, entries: Vec<GroupEntry>) {
        let is_news =
            |entry: &GroupEntry| entry.moved.as_ref().is_some_and(|it| !it.added.is_empty());
        let mut unknown: Vec<_> = entries
            .iter()
            .filter(|entry| !is_news(entry) && !self.registered.contains_key(&entry.no))
            .map(|entry| entry.no)
            .collect();
        unknown.dedup();
        if !unknown.is_empty() {
            self.write(from, &Letter::Unregister { groups: unknown });
        }
        self.directory.publish_here(entries);
    }
}
