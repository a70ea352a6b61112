//! The server's events over a WebSocket.
//!
//! One stream is one connection; making it again after an error, and when, is the caller's. A quiet
//! stream is probed with a ping, so that a dead connection shows within twice the silence.

use freehold_api::{Event, path};
use futures_util::{SinkExt, StreamExt};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use reqwest::{Method, StatusCode, Upgraded};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::{CoordConfig, CoordError, ServerClient};

/// Bytes of one event message; an event has a few ids and numbers.
const EVENT_BYTES_MAX: usize = 16 * 1024;

/// Events as they come. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    socket: WebSocketStream<Upgraded>,
    config: CoordConfig,
    deadline: Instant,
    probed: bool,
}

impl ServerClient {
    /// Connects to the server's events, with the session if there is one.
    ///
    /// # Errors
    /// See [`CoordError`].
    pub async fn events(&self) -> Result<EventStream, CoordError> {
        let config = self.0.config;
        let socket =
            timeout(config.request_timeout, self.upgrade()).await.unwrap_or(Err(CoordError::Timeout))?;
        Ok(EventStream { socket, config, deadline: Instant::now() + config.event_silence, probed: false })
    }
}

impl ServerClient {
    /// Upgrades an ordinary request (RFC 6455 §4.1). The WebSocket library's own handshake would do,
    /// but it writes the whole request, token included, to the log at its finest level.
    async fn upgrade(&self) -> Result<WebSocketStream<Upgraded>, CoordError> {
        let key = generate_key();
        let request = self
            .request(Method::GET, path::EVENTS)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, &key);
        let response = self.answer(request).await?;
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes());
        let accept = derive_accept_key(key.as_bytes());
        if response.status() != StatusCode::SWITCHING_PROTOCOLS || accepted != Some(accept.as_bytes()) {
            return Err(CoordError::Protocol("no WebSocket where the events are"));
        }
        let upgraded = response.upgrade().await.map_err(|_| CoordError::Unreachable)?;
        let mut limits = WebSocketConfig::default();
        limits.max_message_size = Some(EVENT_BYTES_MAX);
        limits.max_frame_size = Some(EVENT_BYTES_MAX);
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await)
    }
}

impl EventStream {
    /// Waits for the next event.
    ///
    /// # Errors
    /// `Unreachable` when the server ended the stream or the connection broke, `Timeout` when it
    /// went silent, `Protocol` for a message that is no event. The stream is spent after any error.
    ///
    /// # Cancel safety
    /// Dropping the future loses no event.
    pub async fn next(&mut self) -> Result<Event, CoordError> {
        loop {
            let Ok(message) = timeout_at(self.deadline, self.socket.next()).await else {
                self.probe().await?;
                continue;
            };
            self.probed = false;
            self.deadline = Instant::now() + self.config.event_silence;
            match message {
                Some(Ok(Message::Text(text))) => {
                    let event = serde_json::from_str(&text);
                    return event.map_err(|_| CoordError::Protocol("an event of another shape"));
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => return Err(CoordError::Protocol("a binary event")),
                Some(Ok(Message::Close(_))) | None => return Err(CoordError::Unreachable),
                Some(Err(error)) => return Err(stream_error(&error)),
            }
        }
    }

    /// Asks a silent server whether it is there, once.
    async fn probe(&mut self) -> Result<(), CoordError> {
        if self.probed {
            return Err(CoordError::Timeout);
        }
        self.probed = true;
        self.deadline = Instant::now() + self.config.event_silence;
        let ping = timeout_at(self.deadline, self.socket.send(Message::Ping(Bytes::new()))).await;
        ping.map_err(|_| CoordError::Timeout)?.map_err(|error| stream_error(&error))
    }
}

fn stream_error(error: &Error) -> CoordError {
    match error {
        Error::Capacity(_) => CoordError::TooBig { limit_bytes: EVENT_BYTES_MAX },
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => CoordError::Unreachable,
        _ => CoordError::Protocol("a broken WebSocket message"),
    }
}
