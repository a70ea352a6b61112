//! The coordination server as the tasks see it: a session that renews itself, and one view of
//! whether the server answers.

use crate::account::Sessions;
use freehold_net::coord::{CoordError, ServerClient};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks the server as this device.
pub(crate) struct Server {
    client: ServerClient,
    sessions: Sessions,
    /// One renewal at a time.
    renewing: tokio::sync::Mutex<()>,
    reachable: AtomicBool,
}

impl Server {
    pub(crate) fn new(client: ServerClient, sessions: Sessions) -> Self {
        Self { client, sessions, renewing: tokio::sync::Mutex::default(), reachable: AtomicBool::new(false) }
    }

    /// Asks with a session, making one first where there is none or it has ended.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up; whether it was performed is not known.
    pub(crate) async fn ask<T, A>(&self, ask: impl Fn(ServerClient) -> A) -> Result<T, CoordError>
    where
        A: Future<Output = Result<T, CoordError>>,
    {
        let answer = self.ask_with_session(ask).await;
        let answered = !matches!(answer, Err(CoordError::Unreachable | CoordError::Timeout));
        let changed = self.reachable.swap(answered, Ordering::AcqRel) != answered;
        if changed && answered {
            tracing::info!("the server answers");
        } else if changed {
            tracing::warn!("the server cannot be reached; work goes on locally");
        }
        answer
    }

    async fn ask_with_session<T, A>(&self, ask: impl Fn(ServerClient) -> A) -> Result<T, CoordError>
    where
        A: Future<Output = Result<T, CoordError>>,
    {
        if !self.client.has_session() {
            self.renew().await?;
        }
        match ask(self.client.clone()).await {
            Err(error) if error.wants_session() => {
                self.client.clear_session();
                self.renew().await?;
                ask(self.client.clone()).await
            }
            answer => answer,
        }
    }

    async fn renew(&self) -> Result<(), CoordError> {
        let _one = self.renewing.lock().await;
        if self.client.has_session() {
            return Ok(());
        }
        let session = self.sessions.renew(&self.client).await?;
        self.client.set_session(&session)
    }

    /// Whether the last request was answered.
    pub(crate) fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Acquire)
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("client", &self.client)
            .field("reachable", &self.is_reachable())
            .finish()
    }
}
