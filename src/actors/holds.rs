//! The sessions that this node holds in the store: whoever holds one tells the store that it is over by letting go of it.
//!
//! So no way out of a login leaves a session behind that nobody has. What is left all the same (a statement of which no
//! answer came) is found by a sweep.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use deadpool_postgres::Pool;
use tokio::runtime::Handle;

use super::reads;
use super::registry::Directory;
use super::user::Lost;
use crate::cluster::node::Node;
use crate::ids::{DeviceId, LoginNo, Platform, UserNo};
use crate::limits;
use crate::store::{StoreError, sessions};

/// Names a session in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    /// Whose.
    pub user: UserNo,
    /// Its device's platform.
    pub platform: Platform,
    /// Its device.
    pub device: DeviceId,
    /// Its login.
    pub login_no: LoginNo,
}

/// The sessions that are held.
pub(super) struct Holds {
    pool: Pool,
    held: DashMap<(UserNo, LoginNo), ()>,
}

/// A session that the store has as one of this node, until this is dropped.
pub struct Held {
    key: SessionKey,
    holds: Arc<Holds>,
    /// Whether the store is still to be told.
    is_held: bool,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.key.fmt(f)
    }
}

impl Held {
    /// The session.
    pub fn key(&self) -> &SessionKey {
        &self.key
    }

    /// Lets go of it. Resolves when the store knows, or cannot be told.
    pub async fn let_go(mut self) {
        self.is_held = false;
        self.holds.end(&self.key).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holds.held.remove(&(self.key.user, self.key.login_no));
        if !self.is_held {
            return;
        }
        // Without a runtime the process is about to end, and its next start says it for all.
        let Ok(runtime) = Handle::try_current() else { return };
        let (holds, key) = (self.holds.clone(), self.key.clone());
        runtime.spawn(async move { holds.end(&key).await });
    }
}

impl Holds {
    /// None yet.
    pub(super) fn new(pool: Pool) -> Arc<Self> {
        Arc::new(Self { pool, held: DashMap::new() })
    }

    /// A session was written.
    pub(super) fn hold(self: &Arc<Self>, key: SessionKey) -> Held {
        self.held.insert((key.user, key.login_no), ());
        Held { key, holds: self.clone(), is_held: true }
    }

    async fn end(&self, key: &SessionKey) {
        let SessionKey { user, platform, device, login_no } = key;
        let over = sessions::over(&self.pool, *user, *platform, device, *login_no);
        if let Err(error) = reads::bounded(over).await {
            // The sweep finds it.
            tracing::debug!(%error, %user, "the end of a session could not be noted");
        }
    }

    /// Ends sessions again and again that the store has as ours and that nobody holds, for as long as it is polled.
    pub(super) async fn sweep(&self, node: &Node) {
        let mut due = tokio::time::interval(limits::SESSION_SWEEP_EVERY);
        loop {
            due.tick().await;
            if let Err(error) = self.sweep_once(node).await {
                tracing::debug!(%error, "sessions that nobody holds could not be looked for");
            }
        }
    }

    /// Looks again and again, whenever the node's lease had run out, which of the sessions that are held others have ended
    /// meanwhile, for as long as it is polled. Until that is done the lease does not count.
    pub(super) async fn look_after_lapses(&self, node: &Node, directory: &Directory) {
        let mut lapses = node.lapses();
        loop {
            let lapse = *lapses.borrow_and_update();
            while let Err(error) = self.find_lost(node, directory).await {
                tracing::warn!(%error, "sessions that others ended could not be looked for");
                tokio::time::sleep(limits::RETRY_AFTER).await;
            }
            node.lapse_was_seen(lapse);
            if lapses.changed().await.is_err() {
                return;
            }
        }
    }

    async fn find_lost(&self, node: &Node, directory: &Directory) -> Result<(), StoreError> {
        // First who is held: whoever comes later came in by what the store had then.
        let mut lost: HashMap<UserNo, Vec<LoginNo>> = HashMap::new();
        for held in &self.held {
            let (user, login_no) = *held.key();
            lost.entry(user).or_default().push(login_no);
        }
        let mut after = UserNo::from_store(0);
        while !lost.is_empty() {
            let most = limits::SESSION_SWEEP_PAGE;
            let standing = sessions::standing_at(&self.pool, node.run(), after, most);
            let page = reads::bounded(standing).await?;
            for (user, login_no) in &page {
                if let Some(of_user) = lost.get_mut(user) {
                    of_user.retain(|held| held != login_no);
                }
            }
            match page.last() {
                Some((user, _)) if page.len() >= most => after = *user,
                Some(_) | None => break,
            }
        }
        let lost = lost
            .into_iter()
            .flat_map(|(user, of_user)| of_user.into_iter().map(move |it| (user, it)));
        let lost: Vec<(UserNo, LoginNo)> = lost.collect();
        let mut ending = Vec::new();
        for part in lost.chunks(limits::SESSION_SWEEP_PAGE) {
            let why = reads::bounded(sessions::why_ended(&self.pool, part)).await?;
            let lost = part.iter().zip(why);
            ending.extend(lost.filter_map(|((user, login_no), why)| {
                directory.lost(*user, Lost { login_no: *login_no, why })
            }));
        }
        if !ending.is_empty() {
            tracing::warn!(sessions = ending.len(), "others ended sessions that were held here");
        }
        for is_done in ending {
            // Dropped when it is so.
            let _ = is_done.await;
        }
        Ok(())
    }

    async fn sweep_once(&self, node: &Node) -> Result<(), StoreError> {
        let mut after = UserNo::from_store(0);
        loop {
            // Only those that are older than a login takes: a younger one may be on its way to whoever holds it.
            let (pool, id, incarnation) = (&self.pool, node.id(), node.incarnation());
            let most = limits::SESSION_SWEEP_PAGE;
            let page = sessions::of_node(pool, id, incarnation, after, most).await?;
            for (user, platform, device, login_no) in &page {
                if !self.held.contains_key(&(*user, *login_no)) {
                    tracing::info!(%user, %login_no, "a session that nobody holds is ended");
                    sessions::over(pool, *user, *platform, device, *login_no).await?;
                }
            }
            match page.last() {
                Some((user, ..)) if page.len() >= most => after = *user,
                Some(_) | None => return Ok(()),
            }
        }
    }
}
