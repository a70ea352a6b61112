//! Answers to other devices, from what is kept here.
//!
//! Whoever asks is a live device of the account: its key was judged in the handshake and is judged
//! again with every request, because it may have been removed since. Disk work runs beside the
//! runtime; memory is bounded by what one answer may hold and by the requests a link may have open.

use super::ask::encoded;
use super::links::{DeviceEvent, DeviceLinks};
use crate::sync::limits::ANSWER_COMMIT_BYTES;
use bytes::Bytes;
use freehold_api::bulk::{PushRequest, VersionItem, VersionState, VersionsResponse};
use freehold_api::device_peer::{
    CHUNKS, COMMITS, CommitsRequest, CommitsResponse, DeviceVersionsRequest, HEADS, Heads, LOG, LogResponse,
    REMOVALS, RemovalsTold, TELL, VERSIONS,
};
use freehold_api::limits::{PAGE_COMMITS_MAX, VERSIONS_BYTES_MAX};
use freehold_api::peer::{GetItem, GetOutcome, GetRequest, GetResponse, PeerError};
use freehold_model::codec::{Decode, Reader, from_slice};
use freehold_model::limits::BATCH_BYTES_MAX;
use freehold_model::{DeviceId, VaultId, VaultTag};
use freehold_net::limits::BODY_BYTES_MAX;
use freehold_net::{BodyReader, Handler, Inbound, RefusalCode, Responder};
use freehold_store::CacheStore;
use freehold_trust::account_log::RevokeIntent;
use std::sync::Arc;
use std::time::Duration;

/// Time for the body of a request to arrive, and for an answer to be taken.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of log entries in one answer.
const LOG_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// Answers one device.
pub(super) struct DeviceHandler {
    links: Arc<DeviceLinks>,
    device: DeviceId,
}

/// Head and body of an answer.
type Answer = Result<(Bytes, Vec<Bytes>), PeerError>;

impl DeviceHandler {
    pub(super) const fn new(links: Arc<DeviceLinks>, device: DeviceId) -> Self {
        Self { links, device }
    }

    async fn answer(&self, request: Inbound, credit_bytes: u64) -> Answer {
        let Inbound { method, head, mut body, .. } = request;
        if self.links.parts.members.state().live_device(&self.device).is_none() {
            return Err(PeerError::NotAllowed);
        }
        if method == HEADS {
            let theirs: Heads = from_slice(&head).map_err(|_| PeerError::Malformed)?;
            self.check(theirs.vault)?;
            self.links.tell_sync(DeviceEvent::Knows(self.device, theirs)).await;
            return Ok((encoded(&self.links.own_heads()), Vec::new()));
        }
        // Held until the answer is made, or until sync has taken in what was told; the link bounds how
        // many answers then wait to leave.
        let room = Arc::clone(&self.links.room).acquire_owned().await.map_err(|_| PeerError::Failed)?;
        match method {
            TELL => {
                let told: PushRequest = self.told(&head, &mut body).await?;
                self.links.tell_sync(DeviceEvent::Tells(self.device, told.commits, room)).await;
                Ok((Bytes::new(), Vec::new()))
            }
            REMOVALS => {
                let told: RemovalsTold = self.told(&head, &mut body).await?;
                let intents: Result<Vec<RevokeIntent>, _> =
                    told.intents.iter().map(|intent| RevokeIntent::from_bytes(intent)).collect();
                let intents = intents.map_err(|_| PeerError::Malformed)?;
                self.links.tell_sync(DeviceEvent::Removes(intents)).await;
                Ok((Bytes::new(), Vec::new()))
            }
            COMMITS | VERSIONS | LOG | CHUNKS => {
                let links = Arc::clone(&self.links);
                let work = tokio::task::spawn_blocking(move || links.look_up(method, &head, credit_bytes));
                work.await.map_err(|_| PeerError::Failed)?
            }
            _ => Err(PeerError::Malformed),
        }
    }

    /// Receives a message whose head names the vault.
    async fn told<T: Decode>(&self, head: &[u8], body: &mut BodyReader) -> Result<T, PeerError> {
        self.check(from_slice(head).map_err(|_| PeerError::Malformed)?)?;
        let limit = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
        let body = tokio::time::timeout(BODY_TIMEOUT, body.collect(limit)).await;
        let body = body.map_err(|_| PeerError::TooSlow)?.map_err(|_| PeerError::TooLarge)?;
        from_slice(&body).map_err(|_| PeerError::Malformed)
    }

    fn check(&self, vault: VaultId) -> Result<(), PeerError> {
        self.links.check(vault)
    }
}

impl Handler for DeviceHandler {
    async fn handle(&self, request: Inbound, responder: Responder) {
        responder.admit();
        let credit_bytes = responder.credit().max_body_bytes;
        let sent = match self.answer(request, credit_bytes).await {
            Ok((head, body)) => tokio::time::timeout(BODY_TIMEOUT, responder.reply(head, body)).await,
            Err(error) => {
                tracing::debug!(code = error.number(), "a device's request was refused");
                tokio::time::timeout(BODY_TIMEOUT, responder.refuse(RefusalCode(error.number()))).await
            }
        };
        if !matches!(sent, Ok(Ok(()))) {
            tracing::debug!(device = ?self.device, "a device did not take its answer");
        }
    }
}

impl DeviceLinks {
    fn check(&self, vault: VaultId) -> Result<(), PeerError> {
        if vault == self.vault() { Ok(()) } else { Err(PeerError::NotAllowed) }
    }

    /// Answers what needs the disk. Blocks.
    fn look_up(&self, method: u16, head: &[u8], credit_bytes: u64) -> Answer {
        let malformed = |_| PeerError::Malformed;
        match method {
            COMMITS => self.commits_for(&from_slice(head).map_err(malformed)?),
            VERSIONS => self.versions_for(&from_slice(head).map_err(malformed)?),
            LOG => {
                let mut input = Reader::new(head);
                let from = input.u64().map_err(malformed)?;
                input.finish().map_err(malformed)?;
                Ok(self.log_for(from))
            }
            _ => {
                let request: GetRequest = from_slice(head).map_err(malformed)?;
                if request.vault_tag != VaultTag::from_bytes(self.vault().to_bytes()) {
                    return Err(PeerError::NotAllowed);
                }
                self.parts.serving.served();
                Ok(chunks_for(&self.parts.cache, &request, credit_bytes.min(BATCH_BYTES_MAX as u64)))
            }
        }
    }

    fn commits_for(&self, request: &CommitsRequest) -> Answer {
        self.check(request.vault)?;
        let found = self.parts.history.commits_after(&request.after, PAGE_COMMITS_MAX, ANSWER_COMMIT_BYTES);
        let (commits, more) = found.map_err(failed)?;
        Ok((Bytes::new(), vec![encoded(&CommitsResponse { more, commits })]))
    }

    fn versions_for(&self, request: &DeviceVersionsRequest) -> Answer {
        self.check(request.vault)?;
        let (mut items, mut bytes) = (Vec::new(), 0_usize);
        for hash in &request.versions.hashes {
            let found = self.parts.history.version(hash).map_err(failed)?;
            let item = match found {
                None => VersionItem { hash: *hash, state: VersionState::Unknown, ciphertext: Vec::new() },
                Some(version) => {
                    // Only the server counts receipts; a version without chunks needs none.
                    let state =
                        if version.refs.is_empty() { VersionState::Placed } else { VersionState::Unplaced };
                    VersionItem { hash: *hash, state, ciphertext: version.ciphertext }
                }
            };
            bytes = bytes.saturating_add(item.ciphertext.len());
            if bytes > VERSIONS_BYTES_MAX && !items.is_empty() {
                break;
            }
            items.push(item);
        }
        Ok((Bytes::new(), vec![encoded(&VersionsResponse { items })]))
    }

    fn log_for(&self, from: u64) -> (Bytes, Vec<Bytes>) {
        let mut bytes = 0_usize;
        let entries = self.parts.members.entries_after(from).into_iter();
        let entries = entries.take_while(|entry| {
            bytes = bytes.saturating_add(entry.len());
            bytes <= LOG_ANSWER_BYTES
        });
        (Bytes::new(), vec![encoded(&LogResponse { entries: entries.collect() })])
    }
}

fn failed(error: crate::history::HistoryError) -> PeerError {
    tracing::warn!(%error, "another device's question could not be answered");
    PeerError::Failed
}

/// Chunks that are in the cache, whole, within the credit.
fn chunks_for(cache: &CacheStore, request: &GetRequest, credit_bytes: u64) -> (Bytes, Vec<Bytes>) {
    let (mut outcomes, mut body, mut left_bytes) = (Vec::new(), Vec::new(), credit_bytes);
    for item in &request.items {
        let is_full = outcomes.last() == Some(&GetOutcome::Later);
        let outcome = if is_full {
            GetOutcome::Later
        } else {
            match found(cache, item) {
                None => GetOutcome::Missing,
                Some((_, bytes)) if bytes.len() as u64 > left_bytes => GetOutcome::Later,
                Some((total_bytes, bytes)) => {
                    left_bytes -= bytes.len() as u64;
                    let len_bytes = u32::try_from(bytes.len()).expect("chunks are far below 4 GiB");
                    body.push(bytes);
                    GetOutcome::Found { total_bytes, len_bytes }
                }
            }
        };
        outcomes.push(outcome);
    }
    (encoded(&GetResponse { outcomes }), body)
}

/// The part of a chunk that is asked for, cut at its end.
fn found(cache: &CacheStore, item: &GetItem) -> Option<(u32, Bytes)> {
    let total_bytes = cache.len_bytes(&item.id)?;
    // Not verified here: whoever gets a whole chunk compares it with its id, and a part with its frames.
    let end = item.from.saturating_add(item.len_bytes).min(total_bytes);
    Some((total_bytes, Bytes::from(cache.get_range(&item.id, item.from.min(end)..end)?)))
}
