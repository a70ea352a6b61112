//! The storage nodes of this server: layout, capabilities, and a link to each.
//!
//! The layout must be signed by the server key this device has pinned, and so must every node's
//! certificate in it. Capabilities are renewed before they end and when a node asks for one. What the
//! server said last is kept sealed, so that nodes are reached by a device that starts while the server
//! is away; it is verified again then.

use super::limits::CAPABILITY_MARGIN;
use super::nodes_file::{NodesFile, Remembered};
use super::peer::{Ask, Grant, Peer, PeerFailure};
use crate::server::Server;
use bytes::Bytes;
use freehold_api::{Capabilities, CapabilityRequest, ChunkOp, LayoutInfo};
use freehold_model::placement::{group_of, rank};
use freehold_model::{ChunkId, NodeId, VaultId, VaultTag};
use freehold_net::coord::CoordError;
use freehold_net::{Endpoint, Response};
use freehold_trust::{Layout, NodeCert, PublicKey, SignedCapability, SignedLayout};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Why the nodes are not known.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NodesError {
    /// The server did not answer as asked.
    #[error(transparent)]
    Server(#[from] CoordError),
    /// The layout, a certificate in it or a capability is not what the pinned server key signed.
    #[error("the server's list of storage nodes is not signed by the server this device knows")]
    Forged,
    /// No node has joined.
    #[error("no storage node has joined the server yet")]
    NoNodes,
}

/// All nodes of the layout.
pub(crate) struct Nodes {
    server: Arc<Server>,
    server_key: PublicKey,
    vault: VaultId,
    endpoint: Endpoint,
    map: Mutex<Map>,
    refreshing: tokio::sync::Mutex<()>,
    changed: Notify,
    remembered: NodesFile,
}

#[derive(Default)]
struct Map {
    layout: Option<Arc<Layout>>,
    peers: BTreeMap<NodeId, Arc<Peer>>,
    renew_at: Option<Instant>,
    /// Counts refreshes, so that a request that waited for one does not start another.
    round: u64,
}

impl Nodes {
    pub(crate) fn new(
        server: Arc<Server>,
        server_key: PublicKey,
        vault: VaultId,
        endpoint: Endpoint,
        remembered: NodesFile,
    ) -> Self {
        let nodes = Self {
            server,
            server_key,
            vault,
            endpoint,
            map: Mutex::default(),
            refreshing: tokio::sync::Mutex::default(),
            changed: Notify::new(),
            remembered,
        };
        if let Some(said) = nodes.remembered.load() {
            // What does not verify any more is asked for again.
            let taken = nodes.take_layout(&said.layout).and_then(|()| nodes.take_grants(&said.granted));
            if taken.is_err() {
                tracing::debug!("what was remembered of the storage nodes counts no longer");
            }
        }
        nodes
    }

    /// The layout, once known.
    pub(crate) fn layout(&self) -> Option<Arc<Layout>> {
        self.map.lock().layout.clone()
    }

    /// Nodes that answer, and nodes known.
    pub(crate) fn counts(&self) -> (u32, u32) {
        let map = self.map.lock();
        let answering = map.peers.values().filter(|peer| peer.answers()).count();
        (u32::try_from(answering).unwrap_or(u32::MAX), u32::try_from(map.peers.len()).unwrap_or(u32::MAX))
    }

    /// Nodes that may be asked now.
    pub(crate) fn usable(&self) -> BTreeSet<NodeId> {
        let now = Instant::now();
        let map = self.map.lock();
        map.peers.iter().filter(|(_, peer)| peer.is_usable(now)).map(|(node, _)| *node).collect()
    }

    /// All nodes in the order in which they should have a chunk; those that answer first.
    pub(crate) fn ranked(&self, chunk: &ChunkId) -> Vec<NodeId> {
        let map = self.map.lock();
        let Some(layout) = &map.layout else { return Vec::new() };
        let mut order = rank(group_of(chunk), &layout.weights());
        // Nodes of weight 0 take nothing new but still have what they had.
        let idle = layout.nodes().iter().map(|entry| entry.node()).filter(|node| !order.contains(node));
        let idle: Vec<NodeId> = idle.collect();
        order.extend(idle);
        order.sort_by_key(|node| !map.peers.get(node).is_some_and(|peer| peer.answers()));
        order
    }

    /// A node's certificate and the vault's pseudonym there: what its receipts are checked against.
    pub(crate) fn receipt_terms(&self, node: &NodeId) -> Option<(NodeCert, VaultTag)> {
        let peer = self.peer(node)?;
        Some((*peer.cert(), peer.vault_tag()?))
    }

    /// Waits until the layout or the answering nodes may have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn peer(&self, node: &NodeId) -> Option<Arc<Peer>> {
        self.map.lock().peers.get(node).cloned()
    }

    /// Asks a node. A missing or ended capability is renewed once.
    ///
    /// # Errors
    /// [`PeerFailure`]; `Away` also when the server cannot be asked for a capability.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up.
    pub(crate) async fn ask(&self, node: &NodeId, ask: &Ask<'_>) -> Result<Response, PeerFailure> {
        let round = self.map.lock().round;
        let peer = self.peer(node).ok_or(PeerFailure::Away)?;
        match peer.ask(&self.endpoint, ask).await {
            Err(PeerFailure::NoCapability) => {
                self.refresh_after(round).await.map_err(|_| PeerFailure::Away)?;
                let peer = self.peer(node).ok_or(PeerFailure::Away)?;
                peer.ask(&self.endpoint, ask).await
            }
            answer => answer,
        }
    }

    /// Asks the server for layout, addresses and capabilities.
    ///
    /// # Errors
    /// [`NodesError`].
    pub(crate) async fn refresh(&self) -> Result<(), NodesError> {
        let round = self.map.lock().round;
        self.refresh_after(round).await
    }

    async fn refresh_after(&self, round: u64) -> Result<(), NodesError> {
        let _one = self.refreshing.lock().await;
        if self.map.lock().round > round {
            return Ok(());
        }
        let info = self.server.ask(|client| async move { client.layout().await }).await?;
        self.take_layout(&info)?;
        let request =
            CapabilityRequest { vault_id: self.vault, ops: vec![ChunkOp::Have, ChunkOp::Get, ChunkOp::Put] };
        let request = &request;
        let granted = self.server.ask(|client| async move { client.capabilities(request).await }).await?;
        let ends = self.take_grants(&granted)?;
        self.remembered.save(&Remembered { layout: info, granted });
        let mut map = self.map.lock();
        map.renew_at = Some(renewal(ends));
        map.round += 1;
        drop(map);
        self.changed.notify_waiters();
        Ok(())
    }

    /// Takes in capabilities; when the first of them ends.
    fn take_grants(&self, granted: &Capabilities) -> Result<u64, NodesError> {
        let mut ends = u64::MAX;
        for item in &granted.items {
            let Some(peer) = self.peer(&item.node) else { continue };
            let signed = SignedCapability::from_bytes(item.capability.as_slice());
            let signed = signed.map_err(|_| NodesError::Forged)?;
            let terms = signed.verify(&self.server_key).map_err(|_| NodesError::Forged)?;
            ends = ends.min(terms.not_after);
            peer.set_grant(Grant {
                capability: Bytes::from(item.capability.0.clone()),
                vault_tag: terms.vault_tag,
            });
        }
        Ok(ends)
    }

    fn take_layout(&self, info: &LayoutInfo) -> Result<(), NodesError> {
        if info.layout.as_slice().is_empty() {
            return Err(NodesError::NoNodes);
        }
        let signed = SignedLayout::from_bytes(info.layout.as_slice()).map_err(|_| NodesError::Forged)?;
        let layout = signed.verify_all(&self.server_key).map_err(|_| NodesError::Forged)?;
        let mut map = self.map.lock();
        if map.layout.as_ref().is_some_and(|known| known.epoch() > layout.epoch()) {
            // A replayed older layout: signed once, but no longer true.
            return Err(NodesError::Forged);
        }
        map.peers.retain(|node, peer| layout.cert(node) == Some(peer.cert()));
        for entry in layout.nodes() {
            let cert = *entry.cert.unverified();
            let peer = map.peers.entry(cert.node).or_insert_with(|| Arc::new(Peer::new(cert)));
            let said = info.nodes.iter().find(|said| said.node_id == cert.node);
            let addresses: Vec<SocketAddr> = said
                .map(|said| said.addresses.iter().filter_map(|text| text.parse().ok()).collect())
                .unwrap_or_default();
            peer.set_addresses(addresses);
        }
        map.layout = Some(Arc::new(layout.clone()));
        Ok(())
    }

    /// Keeps layout and capabilities fresh and a link to every node. Runs until dropped.
    pub(crate) async fn tend(&self, report: impl Fn(Option<&NodesError>)) {
        let mut backoff = crate::sync::pace::Backoff::default();
        let mut due = Instant::now();
        loop {
            if Instant::now() >= due {
                let refreshed = self.refresh().await;
                report(refreshed.as_ref().err());
                due = match refreshed {
                    Ok(()) => {
                        backoff.reset();
                        self.map.lock().renew_at.unwrap_or_else(|| Instant::now() + CAPABILITY_MARGIN)
                    }
                    Err(_) => Instant::now() + backoff.next(crate::sync::random()),
                };
            }
            let peers: Vec<Arc<Peer>> = self.map.lock().peers.values().cloned().collect();
            for peer in &peers {
                if peer.probe(&self.endpoint).await {
                    self.changed.notify_waiters();
                }
            }
            let everyone = peers.iter().all(|peer| peer.answers());
            let pause = if everyone { Duration::from_secs(5) } else { Duration::from_secs(1) };
            let wake = tokio::time::Instant::from_std(due.min(Instant::now() + pause));
            tokio::time::sleep_until(wake).await;
        }
    }
}

/// When to renew capabilities that end at `ends`, seconds since 1970.
fn renewal(ends: u64) -> Instant {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = Duration::from_secs(ends).saturating_sub(now);
    // With clocks apart the difference is nonsense; then the node asks when the time has come.
    let wait =
        left.saturating_sub(CAPABILITY_MARGIN).clamp(Duration::from_secs(60), Duration::from_secs(3_000));
    Instant::now() + wait
}
