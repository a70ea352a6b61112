//! Takes the other side's requests off a link and runs a handler for each.

use std::sync::Arc;

use freehold_model::codec;
use tokio::task::JoinSet;

use super::body::BodyReader;
use super::call::Credit;
use super::carrier::{CloseCode, Rx, Tx};
use super::handler::{Handler, Inbound, Responder};
use super::{LinkError, Shared};
use crate::wire::{BodyMeter, RefusalCode, RequestHead};

/// Serves until the link closes; every request's task ends with this future.
pub(super) async fn run<H: Handler>(link: Arc<Shared>, handler: Arc<H>) -> LinkError {
    let mut tasks = JoinSet::new();
    let by = Arc::clone(&handler);
    let overstayed = by.overstayed();
    tokio::pin!(overstayed);
    loop {
        tokio::select! {
            lane = link.carrier.accept() => match lane {
                Ok((tx, rx)) => {
                    tasks.spawn(answer(Arc::clone(&link), Arc::clone(&handler), tx, rx));
                }
                Err(error) => return error,
            },
            () = &mut overstayed => {
                link.carrier.close(CloseCode::Done);
                return LinkError::Closed;
            }
            Some(done) = tasks.join_next() => {
                if done.is_err_and(|error| error.is_panic()) {
                    tracing::error!("a request handler panicked; its request was refused");
                }
            }
        }
    }
}

/// One request, from its first byte to the end of its response.
async fn answer<H: Handler>(link: Arc<Shared>, handler: Arc<H>, tx: Tx, rx: Rx) {
    let given_up = tx.unwanted();
    let work = async {
        if let Some((request, responder)) = receive(link, tx, rx).await {
            handler.handle(request, responder).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = given_up => {}
    }
}

/// Reads the heads; refuses what cannot be served, closes the link on what is no request.
async fn receive(link: Arc<Shared>, tx: Tx, mut rx: Rx) -> Option<(Inbound, Responder)> {
    let fixed = rx.ordered(RequestHead::LEN).await.map_err(|error| link.judge(error)).ok()?;
    let Ok(fixed) = codec::from_slice::<RequestHead>(&fixed) else {
        link.violated("a malformed request head");
        return None;
    };
    tx.set_class(fixed.class);
    let credit = Credit::bytes(fixed.credit_bytes);
    let responder = Responder::new(tx, fixed.class, credit, Arc::clone(&link));
    let Ok(meter) = BodyMeter::new(fixed.body_bytes, link.max_body_bytes) else {
        // Whether the asking side still listens changes nothing here.
        let _ = responder.refuse(RefusalCode::BODY_TOO_BIG).await;
        return None;
    };
    let head = rx.ordered(fixed.head_bytes as usize).await.map_err(|error| link.judge(error)).ok()?;
    let peer = link.peer;
    let body = BodyReader::new(rx, meter, link);
    Some((Inbound { peer, method: fixed.method, class: fixed.class, head, body }, responder))
}

impl Shared {
    /// Closes the link when reading a head showed that the other side broke the protocol.
    pub(super) fn judge(&self, error: LinkError) -> LinkError {
        match error {
            LinkError::Protocol(what) => self.violated(what),
            other => other,
        }
    }
}
