//! What servers over one database tell each other: `NOTIFY` on one channel, heard over one
//! connection that does nothing else.
//!
//! A notice is a hint and may get lost: with the connection, or with a server that stops. Whoever
//! hears [`Notice::Missed`] must look for itself.

use super::{BUSY_TIMEOUT, PgPool, StoreError};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;

const CHANNEL: &str = "freehold_events";

/// Silence after which the connection is tried: a network that fails quietly ends no connection.
const QUIET: Duration = Duration::from_secs(30);

/// Pause before the next try to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A server said this.
    Said(String),
    /// The connection was lost for a while: anything may have been said.
    Missed,
}

/// The listening connection.
#[derive(Debug)]
pub struct Notices {
    listener: Listener,
    /// Of one connection, apart from those that requests wait for.
    pool: PgPool,
}

/// A listener that prints.
struct Listener(PgListener);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener(..)")
    }
}

impl Notices {
    /// Listens to the database of a pool.
    pub(super) async fn connect(of: &PgPool) -> Result<Self, StoreError> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(BUSY_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(of.connect_options().as_ref().clone());
        Ok(Self { listener: listen(&pool).await?, pool })
    }

    /// Waits for the next notice, connecting again as long as it takes.
    ///
    /// # Cancel safety
    /// Not safe: a notice may be lost. Run it in a task of its own.
    pub async fn next(&mut self) -> Notice {
        loop {
            match tokio::time::timeout(QUIET, self.listener.0.try_recv()).await {
                Ok(Ok(Some(said))) => return Notice::Said(said.payload().to_owned()),
                Ok(Ok(None) | Err(_)) => break,
                Err(_) if self.answers().await => {}
                Err(_) => break,
            }
        }
        self.connect_again().await;
        Notice::Missed
    }

    async fn answers(&mut self) -> bool {
        let asked = sqlx::query("SELECT 1").execute(&mut self.listener.0);
        matches!(tokio::time::timeout(BUSY_TIMEOUT, asked).await, Ok(Ok(_)))
    }

    async fn connect_again(&mut self) {
        tracing::warn!("the connection for events of other servers was lost; connecting again");
        loop {
            match listen(&self.pool).await {
                Ok(listener) => {
                    self.listener = listener;
                    tracing::info!("events of other servers are heard again");
                    return;
                }
                Err(error) => tracing::debug!("not yet: {error}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn listen(pool: &PgPool) -> Result<Listener, StoreError> {
    let mut listener = PgListener::connect_with(pool).await?;
    // A loss is to be seen, not mended behind our back.
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    Ok(Listener(listener))
}

/// Says each of the texts to every listening server, in one statement of its own: a `NOTIFY` in
/// a transaction that writes would make all commits of the instance wait for each other.
pub(super) async fn say(pool: &PgPool, texts: &[String]) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, said) FROM unnest($2::text[]) AS said")
        .bind(CHANNEL)
        .bind(texts)
        .execute(pool)
        .await?;
    Ok(())
}
