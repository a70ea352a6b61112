//! Bringing chunks here, for a reader that waits or for one that soon will.
//!
//! Every chunk is fetched once, however many want it; it counts only when its bytes hash to its id,
//! and then stands in the cache. Other devices with a link are asked first, then nodes by rank: who
//! lacks it or delivers other bytes is followed by the next. Who is away may come back, so a round
//! without success is repeated until the last deadline; a chunk that everybody has answered for, and
//! somebody answered wrongly, is damaged, and one that everybody has denied a few times is not to be had.

use super::limits::{
    ABSENT_ROUNDS, DEVICE_ANSWER_BYTES_MAX, DEVICE_HEAD_TIMEOUT, DOWNLOAD_BYTES_MAX, DOWNLOAD_RETRY,
    DOWNLOAD_TIMEOUT, DOWNLOADS_MAX,
};
use super::nodes::Nodes;
use super::peer::{Ask, PeerFailure};
use crate::devices::DeviceLinks;
use crate::{ChunkPart, FetchError, PartsDone};
use bytes::Bytes;
use freehold_api::device_peer::CHUNKS;
use freehold_api::peer::{GET, GetItem, GetOutcome, GetRequest, GetResponse};
use freehold_model::codec::{from_slice, to_vec};
use freehold_model::limits::BATCH_ITEMS_MAX;
use freehold_model::{ChunkId, DeviceId, NodeId, VaultTag};
use freehold_net::{Class, Response};
use freehold_store::{CacheStore, Pin};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

/// Hears how a fetch ended; called exactly once.
pub(crate) type FetchDone = Box<dyn FnOnce(Result<(), FetchError>) + Send>;

/// Chunks on their way here.
pub(crate) struct Downloads {
    nodes: Arc<Nodes>,
    devices: Arc<DeviceLinks>,
    cache: Arc<CacheStore>,
    runtime: Handle,
    flights: Mutex<BTreeMap<ChunkId, Flight>>,
    slots: Arc<Semaphore>,
}

/// One chunk on its way, and until when somebody wants it.
struct Flight {
    result: watch::Sender<Option<Result<(), FetchError>>>,
    deadline: Instant,
}

/// Who may have a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Device(DeviceId),
    Node(NodeId),
}

/// What a holder made of one wanted chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetched {
    Here,
    Missing,
    Wrong,
    /// Not answered: the holder is away, or the answer was full.
    Open,
}

impl Downloads {
    pub(crate) fn new(
        nodes: Arc<Nodes>,
        devices: Arc<DeviceLinks>,
        cache: Arc<CacheStore>,
        runtime: Handle,
    ) -> Arc<Self> {
        let slots = Arc::new(Semaphore::new(DOWNLOADS_MAX));
        Arc::new(Self { nodes, devices, cache, runtime, flights: Mutex::default(), slots })
    }

    /// Brings chunks into the cache and says so, at the latest at the deadline.
    ///
    /// `done` runs on a thread of the runtime, or at once when all chunks are here.
    pub(crate) fn want(self: &Arc<Self>, ids: &[ChunkId], deadline: Instant, class: Class, done: FetchDone) {
        let missing: Vec<ChunkId> = ids.iter().filter(|id| !self.cache.contains(id)).copied().collect();
        if missing.is_empty() {
            return done(Ok(()));
        }
        let mut results = Vec::with_capacity(missing.len());
        let mut fresh = Vec::new();
        {
            let mut flights = self.flights.lock();
            for id in missing {
                let flight = flights.entry(id).or_insert_with(|| {
                    fresh.push(id);
                    Flight { result: watch::Sender::new(None), deadline }
                });
                flight.deadline = flight.deadline.max(deadline);
                results.push(flight.result.subscribe());
            }
        }
        for batch in fresh.chunks(BATCH_ITEMS_MAX) {
            let (downloads, batch) = (Arc::clone(self), batch.to_vec());
            self.runtime.spawn(async move { downloads.fetch(batch, class).await });
        }
        self.runtime.spawn(async move { done(all(results, deadline).await) });
    }

    /// Brings parts of one chunk, in order, from the first holder that has it; nothing is kept.
    ///
    /// `done` runs on a thread of the runtime, at the latest at the deadline.
    pub(crate) fn want_parts(self: &Arc<Self>, parts: Vec<ChunkPart>, deadline: Instant, done: PartsDone) {
        let downloads = Arc::clone(self);
        self.runtime.spawn(async move {
            let brought = tokio::time::timeout_at(deadline.into(), downloads.parts(&parts)).await;
            done(brought.unwrap_or(None).ok_or(FetchError::Unreachable));
        });
    }

    /// Asks one holder after the other for all parts at once.
    async fn parts(&self, parts: &[ChunkPart]) -> Option<Vec<Bytes>> {
        let chunk = parts.first()?.chunk;
        let items: Vec<GetItem> = parts
            .iter()
            .map(|ChunkPart { chunk, range }| GetItem {
                id: *chunk,
                from: range.start,
                len_bytes: range.end.saturating_sub(range.start),
            })
            .collect();
        let devices = self.devices.connected().into_iter().map(Holder::Device);
        for holder in devices.chain(self.nodes.ranked(&chunk).into_iter().map(Holder::Node)) {
            let Ok(response) = self.ask(holder, &items, Class::MountRead).await else { continue };
            let Ok(answer) = from_slice::<GetResponse>(&response.head) else { continue };
            let spans: Option<Vec<_>> = answer.spans().collect();
            let body = response.body;
            let part = |span: std::ops::Range<u64>| {
                let end = usize::try_from(span.end).ok().filter(|end| *end <= body.len())?;
                Some(body.slice(usize::try_from(span.start).ok()?..end))
            };
            let brought: Option<Vec<Bytes>> = spans.into_iter().flatten().map(part).collect();
            if let Some(brought) = brought.filter(|brought| brought.len() == parts.len()) {
                return Some(brought);
            }
        }
        None
    }

    async fn fetch(self: Arc<Self>, mut wanted: Vec<ChunkId>, class: Class) {
        let want = u32::try_from(wanted.len().min(DOWNLOADS_MAX)).unwrap_or(1);
        let Ok(_slots) = Arc::clone(&self.slots).acquire_many_owned(want).await else { return };
        let mut absent: BTreeMap<ChunkId, u32> = BTreeMap::new();
        loop {
            let mut judged = self.round(&mut wanted, class).await;
            for (id, verdict) in &mut judged {
                let rounds = absent.entry(*id).or_default();
                *rounds = if *verdict == Verdict::Absent { *rounds + 1 } else { 0 };
                if *verdict == Verdict::Absent && *rounds < ABSENT_ROUNDS {
                    *verdict = Verdict::Open;
                }
            }
            self.settle(&mut wanted, &judged);
            if wanted.is_empty() {
                return;
            }
            tokio::time::sleep(DOWNLOAD_RETRY).await;
        }
    }

    /// Ends the flights that a round decided and those nobody waits for any more.
    fn settle(&self, wanted: &mut Vec<ChunkId>, judged: &BTreeMap<ChunkId, Verdict>) {
        let now = Instant::now();
        let mut flights = self.flights.lock();
        wanted.retain(|id| {
            let Some(flight) = flights.get(id) else { return false };
            let result = match judged.get(id) {
                Some(Verdict::Damaged) => FetchError::Damaged,
                Some(Verdict::Absent) => FetchError::Unreachable,
                _ if now >= flight.deadline => FetchError::Unreachable,
                _ => return true,
            };
            if let Some(flight) = flights.remove(id) {
                flight.result.send_replace(Some(Err(result)));
            }
            false
        });
    }

    /// Asks every holder once for what is still wanted, the nearest first.
    async fn round(&self, wanted: &mut Vec<ChunkId>, class: Class) -> BTreeMap<ChunkId, Verdict> {
        let mut tried: BTreeMap<ChunkId, Answers> =
            wanted.iter().map(|id| (*id, Answers::default())).collect();
        while let Some((holder, batch)) = self.next(wanted, &tried) {
            let answers = self.get(holder, &batch, class).await;
            for (id, fetched) in batch.iter().zip(answers) {
                if fetched == Fetched::Here {
                    wanted.retain(|other| other != id);
                    if let Some(flight) = self.flights.lock().remove(id) {
                        flight.result.send_replace(Some(Ok(())));
                    }
                } else if let Some(answers) = tried.get_mut(id) {
                    answers.note(holder, fetched);
                }
            }
        }
        tried.into_iter().map(|(id, answers)| (id, answers.verdict())).collect()
    }

    /// The first holder that should be asked for some of them, and for which.
    fn next(&self, wanted: &[ChunkId], tried: &BTreeMap<ChunkId, Answers>) -> Option<(Holder, Vec<ChunkId>)> {
        let connected = self.devices.connected();
        let mut target = None;
        let mut batch = Vec::new();
        for id in wanted {
            let answers = tried.get(id)?;
            let devices = connected.iter().copied().map(Holder::Device);
            let nodes = self.nodes.ranked(id).into_iter().map(Holder::Node);
            let holder = devices.chain(nodes).find(|holder| !answers.asked(holder));
            match (holder, target) {
                (Some(holder), None) => {
                    target = Some(holder);
                    batch.push(*id);
                }
                (Some(holder), Some(same)) if holder == same => batch.push(*id),
                _ => {}
            }
        }
        target.map(|holder| (holder, batch))
    }

    /// Asks one holder; an answer for each chunk, in order.
    async fn get(&self, holder: Holder, ids: &[ChunkId], class: Class) -> Vec<Fetched> {
        let mut fetched = Vec::with_capacity(ids.len());
        // An answer holds 16 MiB at most: what did not fit is asked for again.
        while fetched.len() < ids.len() {
            let rest = ids.get(fetched.len()..).unwrap_or_default();
            let answer = match self.get_once(holder, rest, class).await {
                Ok(answer) => answer,
                Err(failure) => {
                    tracing::debug!(?holder, %failure, "chunks were not delivered");
                    break;
                }
            };
            let answered = answer.iter().position(|item| *item == Fetched::Open).unwrap_or(answer.len());
            if answered == 0 {
                break;
            }
            fetched.extend(answer.into_iter().take(answered));
        }
        fetched.resize(ids.len(), Fetched::Open);
        fetched
    }

    async fn ask(&self, holder: Holder, items: &[GetItem], class: Class) -> Result<Response, PeerFailure> {
        match holder {
            Holder::Node(node) => {
                let head = |vault_tag| to_vec(&GetRequest { vault_tag, items: items.to_vec() });
                let ask = Ask {
                    method: GET,
                    class,
                    head: &head,
                    body: Vec::new(),
                    answer_bytes_max: DOWNLOAD_BYTES_MAX,
                };
                let asked = tokio::time::timeout(DOWNLOAD_TIMEOUT, self.nodes.ask(&node, &ask)).await;
                asked.map_err(|_| PeerFailure::Away)?
            }
            Holder::Device(device) => {
                let vault_tag = VaultTag::from_bytes(self.devices.vault().to_bytes());
                let head = to_vec(&GetRequest { vault_tag, items: items.to_vec() });
                self.devices
                    .ask_quickly(&device, CHUNKS, class, head, DEVICE_ANSWER_BYTES_MAX, DEVICE_HEAD_TIMEOUT)
                    .await
            }
        }
    }

    async fn get_once(
        &self,
        holder: Holder,
        ids: &[ChunkId],
        class: Class,
    ) -> Result<Vec<Fetched>, PeerFailure> {
        let items: Vec<GetItem> = ids.iter().copied().map(GetItem::whole).collect();
        let response = self.ask(holder, &items, class).await?;
        let answer: GetResponse = from_slice(&response.head).map_err(|_| PeerFailure::Malformed)?;
        if answer.outcomes.len() != ids.len() || answer.body_bytes() != response.body.len() as u64 {
            return Err(PeerFailure::Malformed);
        }
        let parts: Vec<_> = answer.spans().collect();
        let (cache, ids) = (Arc::clone(&self.cache), ids.to_vec());
        let body = response.body;
        let stored = tokio::task::spawn_blocking(move || {
            let items = ids.iter().zip(answer.outcomes).zip(parts);
            let judge =
                |((id, outcome), span): ((&ChunkId, GetOutcome), Option<std::ops::Range<u64>>)| match outcome
                {
                    GetOutcome::Found { total_bytes, len_bytes } => {
                        let span = span.unwrap_or_default();
                        let bytes = body.get(span.start as usize..span.end as usize).unwrap_or_default();
                        if total_bytes == len_bytes {
                            keep(&cache, holder, *id, bytes)
                        } else {
                            Fetched::Wrong
                        }
                    }
                    GetOutcome::Missing => Fetched::Missing,
                    GetOutcome::Damaged => Fetched::Wrong,
                    GetOutcome::Later => Fetched::Open,
                };
            items.map(judge).collect::<Vec<_>>()
        });
        stored.await.map_err(|_| PeerFailure::Malformed)
    }
}

impl std::fmt::Debug for Downloads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Downloads").field("flights", &self.flights.lock().len()).finish_non_exhaustive()
    }
}

/// Puts a delivered chunk into the cache, which checks its hash.
fn keep(cache: &CacheStore, holder: Holder, id: ChunkId, bytes: &[u8]) -> Fetched {
    match cache.put(id, bytes, Pin::Evictable) {
        Ok(()) => Fetched::Here,
        Err(freehold_store::StoreError::Damaged) => {
            tracing::warn!(?holder, chunk = ?id, "bytes were delivered that are not the chunk");
            Fetched::Wrong
        }
        Err(error) => {
            tracing::warn!(chunk = ?id, %error, "a chunk could not be kept in the cache");
            Fetched::Open
        }
    }
}

/// Waits for every result; the first failure counts.
async fn all(
    results: Vec<watch::Receiver<Option<Result<(), FetchError>>>>,
    deadline: Instant,
) -> Result<(), FetchError> {
    let everything = async {
        for mut result in results {
            match result.wait_for(Option::is_some).await.map(|found| *found) {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(error))) => return Err(error),
                Ok(None) | Err(_) => return Err(FetchError::Unreachable),
            }
        }
        Ok(())
    };
    tokio::time::timeout_at(deadline.into(), everything).await.unwrap_or(Err(FetchError::Unreachable))
}

/// What holders said about one chunk in one round.
#[derive(Debug, Default)]
struct Answers(Vec<(Holder, Fetched)>);

/// What a round means for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Somebody may still have it.
    Open,
    /// Everybody answered, at least one of them with wrong bytes, none with the chunk.
    Damaged,
    /// Everybody answered, and nobody has it.
    Absent,
}

impl Answers {
    fn note(&mut self, holder: Holder, fetched: Fetched) {
        self.0.push((holder, fetched));
    }

    fn asked(&self, holder: &Holder) -> bool {
        self.0.iter().any(|(asked, _)| asked == holder)
    }

    fn verdict(&self) -> Verdict {
        let wrong = self.0.iter().any(|(_, fetched)| *fetched == Fetched::Wrong);
        let open = self.0.iter().any(|(_, fetched)| *fetched == Fetched::Open);
        match (open || self.0.is_empty(), wrong) {
            (true, _) => Verdict::Open,
            (false, true) => Verdict::Damaged,
            (false, false) => Verdict::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(fetched: &[Fetched]) -> Answers {
        let mut answers = Answers::default();
        for (number, fetched) in (0..).zip(fetched) {
            answers.note(Holder::Node(NodeId::from_bytes([number; 16])), *fetched);
        }
        answers
    }

    #[test]
    fn a_chunk_is_damaged_only_when_all_answered_and_one_answered_wrongly() {
        use Fetched::{Missing, Open, Wrong};
        assert_eq!(answers(&[Wrong]).verdict(), Verdict::Damaged);
        assert_eq!(answers(&[Missing, Wrong]).verdict(), Verdict::Damaged);
        assert_eq!(answers(&[Wrong, Open]).verdict(), Verdict::Open);
        assert_eq!(answers(&[Missing, Missing]).verdict(), Verdict::Absent);
        assert_eq!(answers(&[Missing, Open]).verdict(), Verdict::Open);
        assert_eq!(answers(&[]).verdict(), Verdict::Open);
    }

    #[tokio::test]
    async fn a_wait_ends_with_the_first_failure_or_at_its_deadline() {
        let (here, away) = (watch::Sender::new(Some(Ok(()))), watch::Sender::new(None));
        let later = Instant::now() + std::time::Duration::from_secs(60);
        assert_eq!(all(vec![here.subscribe()], later).await, Ok(()));
        away.send_replace(Some(Err(FetchError::Damaged)));
        assert_eq!(all(vec![here.subscribe(), away.subscribe()], later).await, Err(FetchError::Damaged));
        let never = watch::Sender::new(None);
        assert_eq!(all(vec![never.subscribe()], Instant::now()).await, Err(FetchError::Unreachable));
    }
}
