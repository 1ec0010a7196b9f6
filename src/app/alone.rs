//! The engine without any way in, on a private database: what it costs by itself can be measured so.

use std::path::Path;
use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio_util::sync::CancellationToken;

use super::{Node, ServeError, choice, prepare_default_app, prepare_tables};
use crate::actors::Engine;
use crate::config::Settings;
use crate::http::inside::{Readiness, Trim};
use crate::ids::NodeId;
use crate::store::connect::{Connector, MessageLoss};
use crate::store::embedded::Progress;
use crate::store::source::{self, Database};

/// What there is to measure.
pub struct Alone<'a> {
    /// The actors.
    pub engine: &'a Engine,
    /// Connections to their database.
    pub connector: &'a Connector,
    /// A pool of such.
    pub pool: &'a Pool,
}

/// Runs something that may start the engine, on this thread, which has to be the main one.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    actix_web::rt::System::new().block_on(work)
}

/// Starts the engine in `data_dir`, does one thing with it, and stops it. Call it within [`block_on`].
pub async fn with_engine<T>(
    settings: Settings,
    data_dir: &Path,
    progress: Progress,
    work: impl AsyncFnOnce(Alone<'_>) -> T,
) -> Result<T, ServeError> {
    let folder = Arc::new(source::hold_for_serving(data_dir).await?);
    let no = folder.node()?;
    let choice = choice(&settings, MessageLoss::Refuse)?;
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let name = format!("rookery:{no}");
    let opening = Database::open(&choice, folder.clone(), &name, stop, hurry, progress.clone());
    let database = opening.await?;
    let node = Node {
        node: NodeId::from_store(i64::try_from(no).unwrap_or(i64::MAX)),
        folder,
        settings,
        readiness: Readiness::default(),
        trim: Trim::default(),
        progress,
    };
    let done = node.work(&database, work).await;
    database.close().await;
    done
}

impl Node {
    async fn work<T>(
        &self,
        database: &Database,
        work: impl AsyncFnOnce(Alone<'_>) -> T,
    ) -> Result<T, ServeError> {
        let (client, _) = database.first_contact().await?;
        prepare_tables(client).await?;
        let connector = database.connector();
        let pool = connector.pool(usize::from(self.settings.database.pool_size))?;
        prepare_default_app(&pool).await?;
        let (node, engine, _) =
            self.start_engine(database, &pool, &CancellationToken::new()).await?;
        let keep = CancellationToken::new();
        let keeping = tokio::spawn({
            let keep = keep.clone();
            async move { node.keep(keep).await }
        });
        let done = work(Alone { engine: &engine, connector, pool: &pool }).await;
        engine.drain().await;
        keep.cancel();
        // Another process that has taken the node's place would have been told by the work's outcome.
        let _ = keeping.await;
        pool.close();
        Ok(done)
    }
}
