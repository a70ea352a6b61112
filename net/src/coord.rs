//! The client of the coordination server: one typed method for each endpoint of `freehold-api`.
//!
//! Plain HTTP to this machine only. Nothing is retried here: each error says whether trying again
//! can help, and the caller owns time. Answers are bounded before they are read. The session token
//! is marked sensitive in its header and shown by no `Debug`, no error and no log.

mod account;
mod error;
mod events;
mod http;
mod node;
mod url;
mod vault;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freehold_api::{Health, ServerInfo, Session, VersionInfo, path};
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;

pub use error::{CoordError, ServerUrlError};
pub use events::EventStream;
pub use url::ServerUrl;

/// Times of a server client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordConfig {
    /// To make a connection.
    pub connect_timeout: Duration,
    /// From request to the end of the answer, for small messages.
    pub request_timeout: Duration,
    /// The same for pushes, pages and records.
    pub bulk_timeout: Duration,
    /// Silence on the event stream before it is probed; after twice that it counts as lost.
    pub event_silence: Duration,
}

impl Default for CoordConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            bulk_timeout: Duration::from_secs(120),
            event_silence: Duration::from_secs(30),
        }
    }
}

/// Talks to one server, as nobody or with a session. Clones share connections and session.
#[derive(Clone)]
pub struct ServerClient(Arc<Inner>);

struct Inner {
    url: ServerUrl,
    config: CoordConfig,
    http: reqwest::Client,
    /// The `authorization` header of the session.
    token: Mutex<Option<HeaderValue>>,
}

impl ServerClient {
    /// A client of the server at `url`, without a session. Makes no connection yet.
    ///
    /// # Panics
    /// When the system gives no randomness or threads to the HTTP library.
    #[must_use]
    pub fn new(url: ServerUrl, config: CoordConfig) -> Self {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("freehold/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(config.connect_timeout)
            // A redirect could carry the token elsewhere; a proxy setting is meant for other machines.
            .redirect(Policy::none())
            .referer(false)
            .no_proxy();
        let builder = match url.name() {
            Some(name) => builder.resolve_to_addrs(name, url.addrs()),
            None => builder,
        };
        let http = builder.build().expect("without TLS the HTTP library has nothing that can fail to load");
        Self(Arc::new(Inner { url, config, http, token: Mutex::new(None) }))
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> &ServerUrl {
        &self.0.url
    }

    /// Uses `session` from here on, in every clone.
    ///
    /// # Errors
    /// `Protocol` when the token cannot stand in a header.
    pub fn set_session(&self, session: &Session) -> Result<(), CoordError> {
        let header = HeaderValue::try_from(format!("Bearer {}", session.token));
        let mut header = header.map_err(|_| CoordError::Protocol("a session token that fits no header"))?;
        header.set_sensitive(true);
        *self.0.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(header);
        Ok(())
    }

    /// Forgets the session, in every clone; the server is not told.
    pub fn clear_session(&self) {
        *self.0.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether there is a session to send.
    #[must_use]
    pub fn has_session(&self) -> bool {
        self.token().is_some()
    }

    fn token(&self) -> Option<HeaderValue> {
        self.0.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the server is and who may register.
    ///
    /// # Errors
    /// As every method here: see [`CoordError`].
    pub async fn server_info(&self) -> Result<ServerInfo, CoordError> {
        self.get(path::SERVER).await
    }

    /// Name and version of the server program.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn version(&self) -> Result<VersionInfo, CoordError> {
        self.get(path::VERSION).await
    }

    /// Whether the server can do its work; a server that cannot answers with `Status(503)`.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn ready(&self) -> Result<Health, CoordError> {
        self.get(path::READYZ).await
    }
}

/// Shows where and whether, never the token.
impl fmt::Debug for ServerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerClient")
            .field("url", &self.0.url)
            .field("session", &self.has_session())
            .finish()
    }
}

#[cfg(test)]
mod tests;
