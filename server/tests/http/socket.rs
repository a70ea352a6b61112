//! The client's end of the event connection.

use crate::client::Server;
use freehold_api::{Event, path};
use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// An event connection.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens the event connection of a session.
pub(crate) async fn connect(server: &Server, token: &str) -> Result<Socket, tungstenite::Error> {
    let url = format!("ws://{}{}", server.address, path::EVENTS);
    let mut request = url.into_client_request().expect("a request");
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    tokio_tungstenite::connect_async(request).await.map(|(socket, _)| socket)
}

/// The next event; nothing when the server closed.
pub(crate) async fn next(socket: &mut Socket) -> Option<Event> {
    loop {
        match socket.next().await? {
            Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).expect("an event")),
            Ok(Message::Close(_)) => return None,
            Ok(_) => {}
            Err(error) => panic!("the connection broke: {error}"),
        }
    }
}
