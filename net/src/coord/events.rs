//! The server's events over a WebSocket.
//!
//! One stream is one connection; making it again after an error, and when, is the caller's. A quiet
//! stream is probed with a ping, so that a dead connection shows within twice the silence.

use freehold_api::{Event, PROBLEM_CONTENT_TYPE, path};
use futures_util::{SinkExt, StreamExt};
use reqwest::header::AUTHORIZATION;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::http::{check_protocol, has_type, refusal};
use super::{CoordConfig, CoordError, ServerClient};

/// Bytes of one event message; an event has a few ids and numbers.
const EVENT_BYTES_MAX: usize = 16 * 1024;

/// Events as they come. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    socket: WebSocketStream<TcpStream>,
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
        let tcp = timeout(config.connect_timeout, TcpStream::connect(self.0.url.addrs())).await;
        let tcp = tcp.map_err(|_| CoordError::Timeout)?.map_err(|_| CoordError::Unreachable)?;
        let url = format!("ws://{}{}", self.0.url.authority(), path::EVENTS);
        let request = url.into_client_request();
        let mut request = request.map_err(|_| CoordError::Protocol("the request cannot be built"))?;
        if let Some(token) = self.token() {
            request.headers_mut().insert(AUTHORIZATION, token);
        }
        let mut limits = WebSocketConfig::default();
        limits.max_message_size = Some(EVENT_BYTES_MAX);
        limits.max_frame_size = Some(EVENT_BYTES_MAX);
        let upgrade = client_async_with_config(request, tcp, Some(limits));
        let upgraded = timeout(config.request_timeout, upgrade).await.map_err(|_| CoordError::Timeout)?;
        let (socket, response) = upgraded.map_err(|error| stream_error(&error))?;
        check_protocol(response.headers())?;
        Ok(EventStream { socket, config, deadline: Instant::now() + config.event_silence, probed: false })
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
        Error::Http(response) => {
            if let Err(incompatible) = check_protocol(response.headers()) {
                return incompatible;
            }
            let is_problem = has_type(response.headers(), PROBLEM_CONTENT_TYPE);
            let body = response.body().as_deref().filter(|_| is_problem);
            refusal(response.status().as_u16(), body)
        }
        Error::Capacity(_) => CoordError::TooBig { limit_bytes: EVENT_BYTES_MAX },
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_)
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::HandshakeIncomplete) => {
            CoordError::Unreachable
        }
        _ => CoordError::Protocol("a broken WebSocket message"),
    }
}
