//! What may have been lost between nodes is found by comparing with the store: the heads of groups with members here, and
//! of the inboxes of users here.
//!
//! Nothing else would find the loss of the last message in a quiet chat. Heads are read first and compared a moment later,
//! when what was on its way by then has come.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Exchange;
use super::letter::Letter;
use crate::actors::reads;
use crate::actors::relay::HeadsRead;
use crate::cluster::peers::Known;
use crate::ids::{ConversationNo, NodeRun, Seq, UserNo};
use crate::limits;
use crate::store::{StoreError, groups, inbox};

/// How long after heads were read what was committed until then has come, unless it was lost.
pub(super) const SETTLED_AFTER: Duration = Duration::from_millis(1_500);

impl Exchange {
    /// Follows who is there and who owns what, for as long as it is polled.
    pub(super) async fn follow_peers(self: &Arc<Self>) {
        let mut peers: watch::Receiver<Arc<Known>> = self.node.peers().changes();
        let mut before: Vec<NodeRun> = Vec::new();
        loop {
            let known = peers.borrow_and_update().clone();
            self.bus.set_peers(known.nodes());
            self.board.set_listeners(!known.nodes().is_empty());
            for node in known.nodes().iter().filter(|node| !before.contains(node)) {
                tracing::info!(node = %node, "a node is there");
                self.tell_everyone(*node);
                // It may have told who is there already, which was not taken from a node that was not known yet.
                self.write(*node, &Letter::TellEveryone);
                // It knows of everyone here by then, and may have known of nobody before.
                self.write(*node, &Letter::RegisterAgain);
            }
            for node in before.iter().filter(|node| !known.has(**node)) {
                tracing::info!(node = %node, "a node is gone");
            }
            self.tidy_wanted(&known);
            before = known.nodes().to_vec();
            // Behind new owners of groups with members here something may have been committed already.
            self.doubt.notify_one();
            if peers.changed().await.is_err() {
                return;
            }
        }
    }

    /// Compares at times, and when there is doubt, for as long as it is polled.
    pub(super) async fn audit(&self) {
        loop {
            // A permit that was left behind while it compared begins the next turn at once.
            let _ = tokio::time::timeout(limits::AUDIT_EVERY, self.doubt.notified()).await;
            if !self.has_peers() {
                continue;
            }
            self.register_all().await;
            if let Err(error) = self.compare().await {
                tracing::debug!(%error, "heads could not be compared");
                tokio::time::sleep(limits::RETRY_AFTER).await;
                self.doubt.notify_one();
            }
        }
    }

    async fn compare(&self) -> Result<(), StoreError> {
        let groups: Vec<ConversationNo> = self.registered.iter().map(|it| *it.key()).collect();
        let mut group_heads = Vec::with_capacity(groups.len());
        for part in groups.chunks(limits::AUDIT_HEADS) {
            group_heads.extend(reads::bounded(groups::heads(&self.pool, part)).await?);
        }
        let users: Vec<UserNo> = self.directory.online();
        let mut inbox_heads = Vec::with_capacity(users.len());
        for part in users.chunks(limits::AUDIT_HEADS) {
            inbox_heads.extend(reads::bounded(inbox::heads(&self.pool, part)).await?);
        }
        tokio::time::sleep(SETTLED_AFTER).await;
        self.group_heads_read(group_heads);
        for (user, head) in inbox_heads {
            self.directory.inbox_head_read(user, head);
        }
        Ok(())
    }

    /// Heads of groups with members here were read a moment ago.
    pub(super) fn group_heads_read(&self, heads: Vec<(ConversationNo, Seq)>) {
        let keyed = heads.into_iter().filter_map(|(no, head)| {
            self.registered.get(&no).map(|registered| (registered.key.clone(), head))
        });
        for heads in keyed.collect::<Vec<_>>().chunks(limits::AUDIT_HEADS) {
            self.directory.group_heads_read(HeadsRead(heads.to_vec()));
        }
    }
}
