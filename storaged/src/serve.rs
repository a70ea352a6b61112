//! The shell around sessions: receives bodies, bounds memory, moves disk work off the event loop.
//!
//! Two pools of memory are kept apart, one for clients that wait in `read(2)` and one for the rest,
//! so that uploads never make a reader wait. A request holds its share from before its body arrives
//! until its answer is sent; both have a deadline, or a silent client could keep the share for ever.

use crate::admit::Authority;
use crate::limits;
use crate::session::{Chunks, Put, Session, Shared, Witnessed};
use crate::witness::{Witness, WitnessError};
use bytes::Bytes;
use freehold_api::peer::{self, PeerError, WitnessResponse};
use freehold_model::codec::to_vec;
use freehold_net::{Class, Handler, Inbound, PeerInfo, RefusalCode, Responder};
use freehold_trust::{PublicKey, SignKey};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Reads the wall clock: Unix seconds.
pub(crate) type Clock = fn() -> u64;

/// What all links of a node share.
pub(crate) struct Service {
    authority: Authority,
    shared: Shared,
    store: Arc<dyn Chunks>,
    witness: Witness,
    clock: Clock,
    memory: Arc<Semaphore>,
    urgent_memory: Arc<Semaphore>,
    work_slots: Arc<Semaphore>,
}

/// Answers the requests of one link.
pub(crate) struct LinkHandler {
    service: Arc<Service>,
    session: Arc<Session>,
}

/// Head and body of an answer.
type Answer = (Vec<u8>, Vec<Bytes>);

/// One memory permit stands for this many bytes.
const PERMIT_BYTES: usize = 1024;

impl Service {
    pub(crate) fn new(
        authority: Authority,
        sign: SignKey,
        store: Arc<dyn Chunks>,
        witness: Witness,
        clock: Clock,
    ) -> Self {
        let pool = |bytes: usize| Arc::new(Semaphore::new(bytes / PERMIT_BYTES));
        Self {
            authority,
            shared: Shared::new(authority.node, sign),
            store,
            witness,
            clock,
            memory: pool(limits::MEMORY_BYTES),
            urgent_memory: pool(limits::URGENT_MEMORY_BYTES),
            work_slots: Arc::new(Semaphore::new(limits::WORK_MAX)),
        }
    }

    /// The handler of a new link.
    pub(crate) fn handler(self: &Arc<Self>, peer: PeerInfo) -> Arc<LinkHandler> {
        let client = PublicKey::from_bytes(*peer.key.as_bytes());
        let session = Arc::new(Session::new(self.authority, client));
        Arc::new(LinkHandler { service: Arc::clone(self), session })
    }

    /// Waits for a share of memory; requests larger than the pool take all of it.
    async fn reserve(&self, class: Class, bytes: u64) -> OwnedSemaphorePermit {
        let (pool, pool_bytes) = if class.is_urgent() {
            (&self.urgent_memory, limits::URGENT_MEMORY_BYTES)
        } else {
            (&self.memory, limits::MEMORY_BYTES)
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(pool_bytes);
        let permits = u32::try_from(bytes / PERMIT_BYTES).expect("a pool has far fewer permits");
        Arc::clone(pool).acquire_many_owned(permits.max(1)).await.expect("the pool is never closed")
    }

    /// Runs blocking work on a thread of its own; it ends even if the client goes away meanwhile.
    /// Only the work holds one of the slots: who is refused, or slow to send or to take an answer,
    /// keeps nobody from the disk.
    async fn off_the_loop<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PeerError> + Send + 'static,
    ) -> Result<T, PeerError> {
        let slot = Arc::clone(&self.work_slots).acquire_owned().await.expect("the slots are never closed");
        let done = tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!(%error, "a request failed inside the node");
            Err(PeerError::Failed)
        })
    }
}

impl Handler for LinkHandler {
    async fn handle(&self, request: Inbound, responder: Responder) {
        let now = (self.service.clock)();
        let head = &request.head;
        match request.method {
            peer::AUTH => {
                let shown = self.session.auth(head, now);
                if shown.is_ok() {
                    responder.admit();
                }
                reply(responder, shown.map(|()| (Vec::new(), Vec::new()))).await;
            }
            peer::HAVE => {
                let answer = self.session.have(head, now, &*self.service.store);
                reply(responder, answer.map(|head| (head, Vec::new()))).await;
            }
            peer::PUT => self.put(request, responder, now).await,
            peer::GET => self.get(request, responder, now).await,
            peer::WITNESS => self.witness(request, responder, now).await,
            _ => told(responder.refuse(RefusalCode::UNKNOWN_METHOD).await),
        }
    }

    async fn overstayed(&self) {
        tokio::time::sleep(limits::ADMISSION_TIMEOUT).await;
        if self.session.is_admitted() {
            std::future::pending::<()>().await;
        }
    }
}

impl LinkHandler {
    async fn put(&self, mut request: Inbound, responder: Responder, now: u64) {
        let put = match self.session.begin_put(&request.head, now, &self.service.shared) {
            Ok(put) => Admitted { service: Arc::clone(&self.service), put: Some(put) },
            Err(error) => return reply(responder, Err(error)).await,
        };
        let body_bytes = put.body_bytes();
        let _memory = self.service.reserve(request.class, body_bytes).await;
        let max_bytes = usize::try_from(body_bytes).unwrap_or(usize::MAX);
        let body = match timeout(limits::BODY_TIMEOUT, request.body.collect(max_bytes)).await {
            Ok(Ok(body)) => body,
            Ok(Err(freehold_net::LinkError::TooBig { .. })) => {
                return reply(responder, Err(PeerError::Malformed)).await;
            }
            // The client went away; nobody hears an answer.
            Ok(Err(error)) => return tracing::debug!(%error, "a body did not come"),
            Err(_) => return reply(responder, Err(PeerError::TooSlow)).await,
        };
        let stored = self.service.off_the_loop(move || put.finish(body, now)).await;
        reply(responder, stored.map(|outcomes| (Vec::new(), vec![Bytes::from(outcomes)]))).await;
    }

    async fn witness(&self, request: Inbound, responder: Responder, now: u64) {
        let asked = match self.session.begin_witness(&request.head, now, &self.service.shared) {
            Ok(asked) => asked,
            Err(error) => return reply(responder, Err(error)).await,
        };
        let _memory = self.service.reserve(request.class, peer::WITNESS_RESPONSE_BYTES_MAX as u64).await;
        let service = Arc::clone(&self.service);
        let left = self.service.off_the_loop(move || witnessed(&service, &asked)).await;
        reply(responder, left.map(|left| (Vec::new(), vec![Bytes::from(left)]))).await;
    }

    async fn get(&self, request: Inbound, responder: Responder, now: u64) {
        let credit_bytes = responder.credit().max_body_bytes;
        let get = match self.session.begin_get(&request.head, credit_bytes, now) {
            Ok(get) => get,
            Err(error) => return reply(responder, Err(error)).await,
        };
        let _memory = self.service.reserve(request.class, get.memory_bytes()).await;
        let store = Arc::clone(&self.service.store);
        let found = self.service.off_the_loop(move || get.finish(&*store)).await;
        reply(responder, found.map(|found| (found.head, found.body))).await;
    }
}

/// What was left, or why it was not, told once in the log.
fn witnessed(service: &Service, asked: &Witnessed) -> Result<Vec<u8>, PeerError> {
    let Witnessed { request, holder } = asked;
    match service.witness.exchange(&request.vault_tag, *holder, &request.left) {
        Ok(left) => Ok(to_vec(&WitnessResponse { left })),
        Err(WitnessError::Full) => Err(PeerError::OverBudget),
        Err(error) => {
            tracing::warn!(%error, "a client's heads were not kept");
            Err(PeerError::Failed)
        }
    }
}

/// A put whose counted bytes are given back if it ends before it is finished.
struct Admitted {
    service: Arc<Service>,
    put: Option<Put>,
}

impl Admitted {
    fn body_bytes(&self) -> u64 {
        self.put.as_ref().map_or(0, Put::body_bytes)
    }

    fn finish(mut self, body: Bytes, now: u64) -> Result<Vec<u8>, PeerError> {
        let put = self.put.take().ok_or(PeerError::Failed)?;
        put.finish(body, now, &self.service.shared, &*self.service.store)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(put) = self.put.take() {
            put.abandon(&self.service.shared);
        }
    }
}

async fn reply(responder: Responder, answer: Result<Answer, PeerError>) {
    let sent = match answer {
        Ok((head, body)) => timeout(limits::ANSWER_TIMEOUT, responder.reply(Bytes::from(head), body)).await,
        Err(error) => {
            tracing::debug!(code = error.number(), "a request was refused");
            timeout(limits::ANSWER_TIMEOUT, responder.refuse(RefusalCode(error.number()))).await
        }
    };
    match sent {
        Ok(sent) => told(sent),
        Err(_) => tracing::debug!("a client did not take its answer"),
    }
}

fn told(sent: Result<(), freehold_net::LinkError>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "an answer was not sent");
    }
}

#[cfg(test)]
mod tests;
