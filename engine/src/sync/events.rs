//! The server's events, which only hurry sync along: polling finds the same facts later.

use super::Parts;
use super::pace::Backoff;
use super::task::Signals;
use freehold_api::Event;
use std::sync::Arc;

/// Listens until dropped, connecting again after every end.
pub(super) async fn listen(parts: Arc<Parts>, signals: Arc<Signals>) {
    let mut backoff = Backoff::default();
    loop {
        if let Ok(mut events) = parts.server.ask(|client| async move { client.events().await }).await {
            backoff.reset();
            // What happened while nobody listened is found by asking once.
            signals.pull();
            signals.look_again();
            while let Ok(event) = events.next().await {
                react(&parts, &signals, event).await;
            }
        }
        tokio::time::sleep(backoff.next(super::random())).await;
    }
}

async fn react(parts: &Parts, signals: &Signals, event: Event) {
    match event {
        Event::Commit { vault, .. } if vault == parts.vault => signals.pull(),
        Event::Placed { vault } if vault == parts.vault => signals.look_again(),
        Event::AccountLog { .. } => signals.meet(),
        Event::Addresses => parts.devices.somebody_moved(),
        Event::Layout { .. } => {
            if let Err(error) = parts.nodes.refresh().await {
                tracing::debug!(%error, "the new layout could not be read yet");
            }
        }
        Event::Resync | Event::Hello { .. } => {
            signals.meet();
            signals.pull();
            signals.look_again();
            parts.devices.somebody_moved();
        }
        Event::Commit { .. } | Event::Placed { .. } | Event::Unknown => {}
    }
}
