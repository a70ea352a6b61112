//! The event connection: a WebSocket that only speaks.
//!
//! It starts with `hello`, forwards what concerns the caller's account, says `resync` when the
//! caller fell behind, and ends when the session does, when the device is revoked or when the
//! server stops. Pings keep middleboxes from forgetting it.

use super::error::ApiResult;
use super::extract::{DeviceCaller, live_session};
use crate::App;
use crate::app::Pushed;
use crate::limits::EVENT_PING;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use freehold_api::Event;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

/// Bytes of a message from a client. Clients have nothing to say here.
const CLIENT_MESSAGE_BYTES_MAX: usize = 1024;

pub(super) async fn events(
    State(app): State<Arc<App>>,
    caller: DeviceCaller,
    upgrade: WebSocketUpgrade,
) -> ApiResult<Response> {
    let server_incarnation = app.store.server_incarnation().await?;
    let upgrade = upgrade.max_message_size(CLIENT_MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        // Whatever ends the connection, the client connects again and polls.
        let _ = speak(&app, &caller, socket, Event::Hello { server_incarnation }).await;
    }))
}

async fn speak(
    app: &App,
    caller: &DeviceCaller,
    mut socket: WebSocket,
    hello: Event,
) -> Result<(), axum::Error> {
    let mut pushed = app.listen();
    let mut stopping = app.stopping();
    let mut ping = tokio::time::interval(EVENT_PING);
    send(&mut socket, hello).await?;
    loop {
        tokio::select! {
            () = stop_of(&mut stopping) => break,
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            },
            event = pushed.recv() => match event {
                Ok(pushed) if concerns(&pushed, caller) => {
                    send(&mut socket, pushed.event).await?;
                    if matches!(pushed.event, Event::AccountLog { .. }) && !may_stay(app, caller).await {
                        break;
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => send(&mut socket, Event::Resync).await?,
                Err(RecvError::Closed) => break,
            },
            _ = ping.tick() => {
                if !may_stay(app, caller).await {
                    break;
                }
                socket.send(Message::Ping(Bytes::new())).await?;
            }
        }
    }
    socket.send(Message::Close(None)).await
}

/// Done when the server stops.
async fn stop_of(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn concerns(pushed: &Pushed, caller: &DeviceCaller) -> bool {
    pushed.account.is_none_or(|account| account == caller.account)
}

/// Whether the session still stands; a database that does not answer is no reason to hang up.
async fn may_stay(app: &App, caller: &DeviceCaller) -> bool {
    match live_session(app, caller.token).await {
        Ok(_) => true,
        Err(error) => error.is_servers_fault(),
    }
}

async fn send(socket: &mut WebSocket, event: Event) -> Result<(), axum::Error> {
    let text = serde_json::to_string(&event).expect("an event always serialises");
    socket.send(Message::text(text)).await
}
