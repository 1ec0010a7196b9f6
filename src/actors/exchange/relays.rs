//! Which groups have members here, as their owners elsewhere have to know; and which other nodes want what comes in groups
//! that are owned here.
//!
//! A registration counts for one claim of the group's shard. When that changes hands it is made anew, and what came between
//! is found by comparing heads.

use std::collections::HashMap;
use std::sync::Arc;

use super::Exchange;
use super::audit::SETTLED_AFTER;
use super::letter::{Letter, Ticket};
use crate::actors::reads;
use crate::actors::relay::{GroupKey, Moved};
use crate::cluster::peers::Known;
use crate::ids::{ConversationNo, NodeRun, Shard};
use crate::limits;
use crate::store::groups;
use crate::store::shards::Owned;

/// A group with members here.
pub(super) struct Registered {
    /// The group.
    pub(super) key: GroupKey,
    /// The claim whose owner has confirmed it; none yet.
    with: Option<Owned>,
}

impl Exchange {
    /// The first member of a group has come to this node.
    pub(in crate::actors) fn relay_began(&self, key: GroupKey, no: ConversationNo) {
        self.registered.insert(no, Registered { key, with: None });
    }

    /// The last member of a group has left this node.
    pub(in crate::actors) fn relay_ended(&self, no: ConversationNo) {
        let Some((_, Registered { with: Some(claim), .. })) = self.registered.remove(&no) else {
            return;
        };
        self.write(claim.owner, &Letter::Unregister { groups: vec![no] });
    }

    /// Registers groups with those who own them elsewhere, where that is not so yet. When it is done, what is committed in
    /// these groups from then on comes here; where an owner did not answer in time it is tried again later, and what came
    /// between is found then. Whether all have answered.
    pub(in crate::actors) async fn register(&self, groups: &[ConversationNo]) -> bool {
        if !self.has_peers() {
            return true;
        }
        let known = self.node.peers().known();
        let mut parts: HashMap<NodeRun, Vec<(ConversationNo, Owned)>> = HashMap::new();
        for no in groups {
            if let Some(claim) = self.claim_elsewhere(&known, *no)
                && self.registered.get(no).is_some_and(|it| it.with != Some(claim))
            {
                parts.entry(claim.owner).or_default().push((*no, claim));
            }
        }
        let registering = parts.into_iter().map(|(owner, groups)| async move {
            for part in groups.chunks(limits::LETTER_GROUPS) {
                let groups = part.iter().map(|(no, _)| *no).collect();
                let register = |ticket| Letter::Register { ticket, groups };
                if !self.done(owner, limits::REGISTERED_WITHIN, register).await {
                    return false;
                }
                for (no, claim) in part {
                    if let Some(mut registered) = self.registered.get_mut(no) {
                        registered.with = Some(*claim);
                    }
                }
            }
            true
        });
        let all = futures_util::future::join_all(registering).await;
        all.into_iter().all(|is_done| is_done)
    }

    /// A user who became a member brought a group here: its owner is told, and what came before it knew is found.
    pub(in crate::actors) fn register_soon(self: &Arc<Self>, no: ConversationNo) {
        let exchange = self.clone();
        actix::spawn(async move {
            if !exchange.register(&[no]).await {
                exchange.doubt.notify_one();
                return;
            }
            if let Ok(heads) = reads::bounded(groups::heads(&exchange.pool, &[no])).await {
                tokio::time::sleep(SETTLED_AFTER).await;
                exchange.group_heads_read(heads);
            }
        });
    }

    /// The claim of another node that a group is owned by.
    fn claim_elsewhere(&self, known: &Known, no: ConversationNo) -> Option<Owned> {
        let shard = Shard::of(no);
        if self.node.ownership().epoch_of(shard).is_some() {
            return None;
        }
        known.claim_of(shard).filter(|claim| known.has(claim.owner))
    }

    /// Registers what is not registered with whoever owns it now; whether there was any.
    pub(super) async fn register_all(&self) -> bool {
        let known = self.node.peers().known();
        let open = self.registered.iter().filter(|it| {
            self.claim_elsewhere(&known, *it.key()).is_some_and(|claim| it.with != Some(claim))
        });
        let open: Vec<ConversationNo> = open.map(|it| *it.key()).collect();
        if !open.is_empty() {
            self.register(&open).await;
        }
        !open.is_empty()
    }

    /// A node may have lost what was registered with it.
    pub(super) fn forget_registrations(&self, with: NodeRun) {
        for mut registered in self.registered.iter_mut() {
            if registered.with.is_some_and(|claim| claim.owner == with) {
                registered.with = None;
            }
        }
        self.doubt.notify_one();
    }

    /// Another node has members of groups that are owned here.
    pub(super) fn register_for(&self, from: NodeRun, ticket: Ticket, groups: &[ConversationNo]) {
        if groups.iter().any(|no| self.node.ownership().epoch_of(Shard::of(*no)).is_none()) {
            // Unless they were given to us a moment ago.
            self.node.look_at_owners();
            // Not answered: it registers with whoever owns them, as soon as it knows who that is.
            self.write(from, &Letter::OwnersMoved);
            return;
        }
        for no in groups {
            let mut nodes = self.wanted_by.entry(*no).or_default();
            if !nodes.contains(&from) {
                nodes.push(from);
            }
        }
        self.write(from, &Letter::Done { ticket });
    }

    /// Users became members of a group that is owned here: the nodes where they are will register, and want what comes until
    /// then, too.
    pub(super) fn want_for(&self, no: ConversationNo, moved: &Moved) {
        for node in moved.added.iter().flat_map(|user| self.board.elsewhere(*user)) {
            let mut nodes = self.wanted_by.entry(no).or_default();
            if !nodes.contains(&node) {
                nodes.push(node);
            }
        }
    }

    /// It has none of them any more.
    pub(super) fn unregister(&self, from: NodeRun, groups: &[ConversationNo]) {
        for no in groups {
            if let Some(mut nodes) = self.wanted_by.get_mut(no) {
                nodes.retain(|node| *node != from);
            }
            self.wanted_by.remove_if(no, |_, nodes| nodes.is_empty());
        }
    }

    /// Nodes that are gone want nothing any more, and groups that others own are not ours to tell of.
    pub(super) fn tidy_wanted(&self, known: &Known) {
        self.wanted_by.retain(|no, nodes| {
            nodes.retain(|node| known.has(*node));
            !nodes.is_empty() && self.node.ownership().epoch_of(Shard::of(*no)).is_some()
        });
    }
}
