//! One link to each device of the account that can be reached.
//!
//! Every device listens and every device calls; a call is made only where there is no link, so in
//! the rare case that two meet there are two links for a while, and either serves. Calls that fail
//! are repeated at growing intervals, at once when something new is heard of the device.

use super::book::Book;
use super::serve::DeviceHandler;
use crate::history::History;
use crate::sync;
use crate::sync::members::Members;
use crate::sync::pace::Backoff;
use crate::transfer::serving::Serving;
use freehold_api::bulk::PushCommit;
use freehold_api::device_peer::{HeadItem, Heads};
use freehold_model::{DeviceId, VaultId};
use freehold_net::{Endpoint, Incoming, KeySet, Link, PeerKey};
use freehold_store::CacheStore;
use freehold_trust::account_log::RevokeIntent;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

/// How often devices without a link are called.
const LOOK: Duration = Duration::from_secs(1);

/// Time for one address to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// From one address of a device to the next, whether the first has answered or not (RFC 8305 §5).
const DIAL_STAGGER: Duration = Duration::from_millis(250);

/// Addresses of a device tried at once.
const DIALS_AT_ONCE: usize = 8;

/// Answers made, and bodies received, at once: 128 MiB at most.
const ANSWERS_MAX: usize = 8;

/// Events that wait for sync; a device that tells faster waits.
const EVENTS_WAITING: usize = 64;

/// What other devices do.
#[derive(Debug)]
pub(crate) enum DeviceEvent {
    /// There is a link to it.
    Came(DeviceId),
    /// There is none any more.
    Left(DeviceId),
    /// It says what it knows.
    Knows(DeviceId, Heads),
    /// It wants devices removed, by signed intents.
    Removes(Vec<RevokeIntent>),
    /// It sends new commits; the room they take is free again when they are taken in.
    Tells(DeviceId, Vec<PushCommit>, OwnedSemaphorePermit),
}

/// What links work with.
pub(crate) struct LinkParts {
    pub(crate) vault: VaultId,
    pub(crate) device: DeviceId,
    pub(crate) endpoint: Endpoint,
    /// Keys the endpoint admits.
    pub(crate) admitted: KeySet,
    pub(crate) members: Arc<Members>,
    pub(crate) cache: Arc<CacheStore>,
    pub(crate) history: Arc<History>,
    pub(crate) book: Arc<Book>,
    pub(crate) serving: Arc<Serving>,
}

/// The links.
pub(crate) struct DeviceLinks {
    pub(super) parts: LinkParts,
    links: Mutex<BTreeMap<DeviceId, Link>>,
    /// The newest commit of every device, as sync published it.
    heads: Mutex<Vec<HeadItem>>,
    events: mpsc::Sender<DeviceEvent>,
    calls: Mutex<BTreeMap<DeviceId, Calls>>,
    news: Notify,
    moved: Notify,
    /// Answers and told commits in memory at once, each of at most 16 MiB.
    pub(super) room: Arc<Semaphore>,
}

/// How calling a device goes.
#[derive(Default)]
struct Calls {
    is_calling: bool,
    not_before: Option<Instant>,
    backoff: Backoff,
}

impl DeviceLinks {
    /// No links yet; the receiver hears what devices do.
    pub(crate) fn new(parts: LinkParts) -> (Arc<Self>, mpsc::Receiver<DeviceEvent>) {
        let (events, heard) = mpsc::channel(EVENTS_WAITING);
        let links = Self {
            parts,
            links: Mutex::default(),
            heads: Mutex::default(),
            events,
            calls: Mutex::default(),
            news: Notify::new(),
            moved: Notify::new(),
            room: Arc::new(Semaphore::new(ANSWERS_MAX)),
        };
        links.members_changed();
        (Arc::new(links), heard)
    }

    pub(crate) const fn vault(&self) -> VaultId {
        self.parts.vault
    }

    /// Devices there is a link to.
    pub(crate) fn connected(&self) -> Vec<DeviceId> {
        self.links.lock().iter().filter(|(_, link)| !link.is_closed()).map(|(device, _)| *device).collect()
    }

    pub(super) fn link(&self, device: &DeviceId) -> Option<Link> {
        self.links.lock().get(device).filter(|link| !link.is_closed()).cloned()
    }

    /// The newest commit of another device that is followed here.
    pub(crate) fn followed(&self, device: &DeviceId) -> Option<HeadItem> {
        self.heads.lock().iter().find(|head| head.device == *device).copied()
    }

    /// What this device knows, for whoever asks.
    pub(crate) fn publish(&self, heads: Vec<HeadItem>) {
        *self.heads.lock() = heads;
    }

    pub(super) fn own_heads(&self) -> Heads {
        let state = self.parts.members.state();
        Heads {
            vault: self.parts.vault,
            log_len: state.head_seq() + 1,
            log_head: state.pin().head,
            heads: self.heads.lock().clone(),
        }
    }

    /// The account log may have grown: who is admitted, and who no longer.
    pub(crate) fn members_changed(&self) {
        let state = self.parts.members.state();
        let keys = state.devices().keys().filter_map(|device| {
            let cert = state.live_device(device).filter(|_| *device != self.parts.device)?;
            Some(PeerKey::from_bytes(cert.tls_pk.to_bytes()))
        });
        self.parts.admitted.replace(keys.collect());
        self.links.lock().retain(|device, link| {
            let stays = state.live_device(device).is_some();
            if !stays {
                link.close();
            }
            stays
        });
        self.something_new();
    }

    /// Something was heard of a device: those without a link are called at once.
    pub(crate) fn something_new(&self) {
        self.calls.lock().values_mut().for_each(|calls| calls.not_before = None);
        self.news.notify_one();
    }

    /// The server says that a device has moved, or is there again itself.
    pub(crate) fn somebody_moved(&self) {
        self.moved.notify_one();
    }

    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    pub(super) async fn tell_sync(&self, event: DeviceEvent) {
        // Nobody listens only when the vault is closing.
        drop(self.events.send(event).await);
    }

    /// Accepts and makes links, and serves them, until dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut tasks = JoinSet::new();
        loop {
            for device in self.to_call() {
                let links = Arc::clone(&self);
                tasks.spawn(async move { links.call(device).await });
            }
            tokio::select! {
                incoming = self.parts.endpoint.accept() => match incoming {
                    Some(incoming) => {
                        let links = Arc::clone(&self);
                        tasks.spawn(async move { links.accept(incoming).await });
                    }
                    None => return,
                },
                Some(done) = tasks.join_next() => {
                    if let Err(error) = done {
                        tracing::error!(%error, "serving another device failed");
                    }
                }
                () = self.news.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Devices to call now.
    fn to_call(&self) -> Vec<DeviceId> {
        let state = self.parts.members.state();
        let now = Instant::now();
        let mut calls = self.calls.lock();
        let links = self.links.lock();
        let is_free = |device: &DeviceId| links.get(device).is_none_or(Link::is_closed);
        let others = state.devices().keys().filter(|device| **device != self.parts.device);
        let mut due = Vec::new();
        for device in others.filter(|device| state.live_device(device).is_some() && is_free(device)) {
            let entry = calls.entry(*device).or_default();
            let may = !entry.is_calling && entry.not_before.is_none_or(|at| now >= at);
            if may && !self.parts.book.addresses(device, now).is_empty() {
                entry.is_calling = true;
                due.push(*device);
            }
        }
        due
    }

    /// Tries to get a link to a device.
    async fn call(self: Arc<Self>, device: DeviceId) {
        let made = self.dial(&device).await;
        {
            let mut calls = self.calls.lock();
            let entry = calls.entry(device).or_default();
            entry.is_calling = false;
            if made.is_some() {
                *entry = Calls::default();
            } else {
                entry.not_before = Some(Instant::now() + entry.backoff.next(sync::random()));
            }
        }
        if let Some(link) = made {
            self.serve(device, link).await;
        }
    }

    async fn dial(&self, device: &DeviceId) -> Option<Link> {
        let state = self.parts.members.state();
        let key = PeerKey::from_bytes(state.live_device(device)?.tls_pk.to_bytes());
        let mut addresses = self.parts.book.addresses(device, Instant::now()).into_iter().peekable();
        let mut calls = JoinSet::new();
        let mut stagger = tokio::time::interval(DIAL_STAGGER);
        while self.link(device).is_none() && (addresses.peek().is_some() || !calls.is_empty()) {
            let may_call = calls.len() < DIALS_AT_ONCE && addresses.peek().is_some();
            tokio::select! {
                _ = stagger.tick(), if may_call => {
                    let (endpoint, addr) = (self.parts.endpoint.clone(), addresses.next()?);
                    calls.spawn(async move { tokio::time::timeout(DIAL_TIMEOUT, endpoint.connect(addr, key)).await });
                }
                Some(call) = calls.join_next() => match call {
                    Ok(Ok(Ok(link))) => return Some(link),
                    Ok(Ok(Err(error))) => tracing::debug!(?device, %error, "a device was not reached"),
                    Ok(Err(_)) => tracing::debug!(?device, "a device did not answer"),
                    Err(error) => tracing::error!(%error, "calling another device failed"),
                },
            }
        }
        None
    }

    async fn accept(self: Arc<Self>, incoming: Incoming) {
        let link = match incoming.establish().await {
            Ok(link) => link,
            Err(error) => return tracing::debug!(%error, "an incoming link was not made"),
        };
        let state = self.parts.members.state();
        let key = link.peer().key;
        let mut live =
            state.devices().keys().filter_map(|device| Some((*device, state.live_device(device)?)));
        match live.find(|(_, cert)| cert.tls_pk.as_bytes() == key.as_bytes()) {
            Some((device, _)) => self.serve(device, link).await,
            // Removed between handshake and here.
            None => link.close(),
        }
    }

    /// Registers a link and answers on it until it ends.
    async fn serve(self: Arc<Self>, device: DeviceId, link: Link) {
        let is_first = self.links.lock().insert(device, link.clone()).is_none_or(|old| old.is_closed());
        if is_first {
            tracing::info!(?device, "a device is connected");
            self.tell_sync(DeviceEvent::Came(device)).await;
        }
        let why = link.serve(Arc::new(DeviceHandler::new(Arc::clone(&self), device))).await;
        tracing::debug!(?device, %why, "the link to a device ended");
        let is_gone = {
            let mut links = self.links.lock();
            let is_gone = links.get(&device).is_some_and(Link::is_closed);
            if is_gone {
                links.remove(&device);
            }
            is_gone
        };
        if is_gone {
            tracing::info!(?device, "a device is gone");
            self.tell_sync(DeviceEvent::Left(device)).await;
        }
    }
}

impl std::fmt::Debug for DeviceLinks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeviceLinks").field("connected", &self.connected()).finish_non_exhaustive()
    }
}
