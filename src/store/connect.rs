//! How a connection to PostgreSQL is made, and when a server is refused.
//!
//! Each new connection, pooled or not, reads the settings on which the promise of durability stands: a server that was
//! started again without them is noticed before anything is acked on it.

use std::future::poll_fn;
use std::str::FromStr;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, SimpleQueryMessage};

use crate::limits;
use crate::store::StoreError;
use crate::store::binaries::OLDEST;

const SESSION_OPENED: &str = include_str!("../../sql/queries/session_opened.sql");

/// What to do with a server that may lose messages that it said were committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageLoss {
    /// Refuse it.
    Refuse,
    /// Use it all the same; the operator said so by a flag.
    Accept,
}

/// Makes connections to one database.
#[derive(Debug, Clone)]
pub struct Connector {
    config: Config,
    loss: MessageLoss,
}

/// What a server says about itself when a connection is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// As `150014` for 15.14.
    pub version_num: u32,
    /// The settings that are off although durability needs them.
    pub off: Vec<&'static str>,
    /// Whether pages carry checksums.
    pub checksums: bool,
}

impl ServerFacts {
    /// The version as people write it, as `15.14`.
    pub fn version(&self) -> String {
        format!("{}.{}", self.version_num / 10_000, self.version_num % 10_000)
    }
}

impl Connector {
    /// A connector to what `config` names. `application_name` shows in `pg_stat_activity`, as `rookery:node:incarnation`.
    pub fn new(mut config: Config, application_name: &str, loss: MessageLoss) -> Self {
        config.application_name(application_name).connect_timeout(limits::CONNECT_WITHIN);
        Self { config, loss }
    }

    /// A connector to the database at `url`.
    pub fn from_url(
        url: &str,
        application_name: &str,
        loss: MessageLoss,
    ) -> Result<Self, StoreError> {
        let config = Config::from_str(url).map_err(|error| StoreError::Unfit {
            reason: format!("database.url cannot be read: {error}"),
        })?;
        Ok(Self::new(config, application_name, loss))
    }

    /// The same under another name in `pg_stat_activity`.
    pub fn named(&self, application_name: &str) -> Self {
        Self::new(self.config.clone(), application_name, self.loss)
    }

    /// Opens a connection of its own, which ends when the client is dropped.
    pub async fn open(&self) -> Result<Client, StoreError> {
        self.open_with_facts().await.map(|(client, _)| client)
    }

    /// Opens a connection of its own, and tells about the server.
    pub async fn open_with_facts(&self) -> Result<(Client, ServerFacts), StoreError> {
        let opening = async {
            let (client, connection) = self.config.connect(NoTls).await.map_err(of_connecting)?;
            // Ends by itself when the client is dropped or the server goes; whoever waits on the client is told there.
            tokio::spawn(connection);
            let facts = self.check(&client).await?;
            Ok((client, facts))
        };
        match tokio::time::timeout(limits::CONNECT_WITHIN, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(not_in_time()),
        }
    }

    /// Opens a connection of its own that is told what it listens for: `heard` is called for each notice until it ends.
    pub async fn open_listening(
        &self,
        heard: impl Fn() + Send + 'static,
    ) -> Result<Client, StoreError> {
        let opening = async {
            let (client, mut connection) =
                self.config.connect(NoTls).await.map_err(of_connecting)?;
            tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                    if let AsyncMessage::Notification(_) = message {
                        heard();
                    }
                }
            });
            self.check(&client).await?;
            Ok(client)
        };
        match tokio::time::timeout(limits::CONNECT_WITHIN, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(not_in_time()),
        }
    }

    /// A pool of at most `size` connections, opened when they are needed.
    pub fn pool(&self, size: usize) -> Result<Pool, StoreError> {
        // `Fast` asks the server nothing: a statement that finds its connection dead is retried by its caller, and a check
        // would cost a round trip each time.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.config.clone(), NoTls, recycling);
        let connector = self.clone();
        let opened = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
            let connector = connector.clone();
            Box::pin(async move {
                match connector.check(client).await {
                    Ok(_) => Ok(()),
                    Err(error) => Err(HookError::message(error.to_string())),
                }
            })
        });
        Pool::builder(manager)
            .max_size(size)
            .wait_timeout(Some(limits::POOL_WAIT))
            .create_timeout(Some(limits::CONNECT_WITHIN))
            .recycle_timeout(Some(limits::CONNECT_WITHIN))
            .runtime(Runtime::Tokio1)
            .post_create(opened)
            .build()
            .map_err(|error| StoreError::Unavailable { reason: error.to_string() })
    }

    async fn check(&self, client: &Client) -> Result<ServerFacts, StoreError> {
        let facts = read_facts(client).await?;
        if facts.version_num < OLDEST * 10_000 {
            return Err(StoreError::Unfit {
                reason: format!(
                    "PostgreSQL {} is too old, {OLDEST} or newer is needed; upgrade the server that database.url names",
                    facts.version()
                ),
            });
        }
        if facts.off.is_empty() || self.loss == MessageLoss::Accept {
            return Ok(facts);
        }
        Err(StoreError::Unfit {
            reason: format!(
                "PostgreSQL runs with {} off and could lose messages that were acknowledged; turn that on, or start \
                 with --accept-message-loss",
                facts.off.join(", ")
            ),
        })
    }
}

fn not_in_time() -> StoreError {
    StoreError::Unavailable {
        reason: format!("no connection to PostgreSQL within {:?}", limits::CONNECT_WITHIN),
    }
}

/// What it means that the pool has no connection to give.
pub fn of_pool(error: &PoolError) -> StoreError {
    StoreError::Unavailable { reason: error.to_string() }
}

async fn read_facts(client: &Client) -> Result<ServerFacts, StoreError> {
    let answers = client.simple_query(SESSION_OPENED).await.map_err(of_connecting)?;
    let row = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |column| row.and_then(|row| row.try_get(column).ok().flatten());
    let version_num = text(0).and_then(|number| number.parse().ok());
    let Some(version_num) = version_num else {
        return Err(StoreError::Unavailable { reason: "PostgreSQL told no version".to_owned() });
    };
    let off = [(1, "fsync"), (2, "full_page_writes"), (3, "synchronous_commit")]
        .into_iter()
        .filter(|(column, _)| text(*column) == Some("off"))
        .map(|(_, name)| name)
        .collect();
    Ok(ServerFacts { version_num, off, checksums: text(4) == Some("on") })
}

/// A server that turns us away by name or password has to be fixed; one that is not there may come back.
fn of_connecting(error: tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        let reason = std::error::Error::source(&error)
            .map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
        return StoreError::Unavailable { reason };
    };
    // Class 28 is the password or the right to connect, 3D the name of the database.
    match db.code().code().get(..2) {
        Some("28" | "3D") => StoreError::Unfit {
            reason: format!(
                "PostgreSQL refuses the connection: {}; check database.url",
                db.message()
            ),
        },
        _ => StoreError::Unavailable { reason: db.message().to_owned() },
    }
}

/// Whether the pool reaches its database now.
pub async fn probe(pool: &Pool) -> Result<(), StoreError> {
    let client = pool.get().await.map_err(|error| of_pool(&error))?;
    client.simple_query("").await.map_err(|error| StoreError::of_read(&error))?;
    Ok(())
}
