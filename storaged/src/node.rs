//! The node as a whole: opened in the order that makes each failure one clear line, then served.
//!
//! Data folder, chunk store (whose lock keeps a second process out), key, socket, join. The socket
//! comes before the join because the server is told where it is.

use crate::admit::Authority;
use crate::config::Config;
use crate::coordinate::{self, Heart, Offer};
use crate::error::StartError;
use crate::serve::Service;
use crate::state::{DataDir, Joined, Secret};
use crate::witness::Witness;
use freehold_model::NodeId;
use freehold_net::coord::ServerClient;
use freehold_net::{Accept, Endpoint, LinkConfig};
use freehold_store::{NodeOptions, NodeStore, StoreError};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long links may take to hear that the node stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A node that is ready to serve.
pub struct Node {
    id: NodeId,
    addr: SocketAddr,
    endpoint: Endpoint,
    service: Arc<Service>,
    heart: Heart,
}

impl Node {
    /// Opens everything, and joins the server if the node has not joined one yet.
    ///
    /// # Errors
    /// Says in one line what is in the way.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let dir = DataDir::open(&config.data_dir)?;
        let store = Arc::new(open_store(&dir)?);
        let secret = dir.secret()?;
        let joined = dir.joined()?;
        let link = LinkConfig { transport: config.transport, ..LinkConfig::default() };
        let endpoint = Endpoint::bind(config.listen, secret.identity(), Accept::AnyKey, link)
            .map_err(StartError::Bind)?;
        if let Some(dir) = &config.trace_links {
            let why =
                |error| format!("cannot write link traces in {}: {error}; see --trace-links", dir.display());
            endpoint.trace_links(dir).map_err(|error| StartError::Config(why(error)))?;
        }
        let addr = endpoint.local_addr().map_err(|error| dir.unusable(error))?;
        let addresses = addresses(config, addr)?;
        let (joined, client) = match joined {
            Some(joined) => {
                let client = coordinate::client(config.server.as_ref().unwrap_or(&joined.server))?;
                (joined, client)
            }
            None => join(config, &dir, &secret, &store, addresses.clone()).await?,
        };
        let authority = Authority { node: joined.node, server: joined.server_key };
        let chunks = Arc::clone(&store);
        let witness = Witness::open(&dir.heads()).map_err(|error| dir.unusable(error))?;
        let service = Arc::new(Service::new(authority, secret.sign_key(), chunks, witness, unix_now));
        let sign = secret.sign_key();
        let heart = Heart { client, node: joined.node, sign, addresses, store, clock: unix_now };
        Ok(Self { id: joined.node, addr, endpoint, service, heart })
    }

    /// The node's id at its server.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Where it serves.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `stop` completes, then tells every client and ends. What was acknowledged is on
    /// stable storage already.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { endpoint, service, heart, .. } = self;
        tokio::select! {
            () = endpoint.serve(|peer| service.handler(peer)) => {}
            () = heart.run() => {}
            () = stop => {}
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, endpoint.close()).await.is_err() {
            tracing::debug!("some clients did not hear that the node stops");
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.id).field("addr", &self.addr).finish_non_exhaustive()
    }
}

fn open_store(dir: &DataDir) -> Result<NodeStore, StartError> {
    let (store, found) =
        NodeStore::open(&dir.chunks(), NodeOptions::default()).map_err(|error| match error {
            StoreError::InUse => StartError::InUse(dir.path().to_owned()),
            other => StartError::Store(other),
        })?;
    let stats = store.stats();
    tracing::info!(chunks = stats.chunks, used_bytes = stats.used_bytes, "chunk store opened");
    if found.torn_bytes > 0 {
        tracing::info!(bytes = found.torn_bytes, "cut a write that was never acknowledged");
    }
    let damaged = found.damaged_stretches + found.damaged_segments + stats.damaged;
    if damaged > 0 {
        tracing::warn!(damaged, "parts of the chunk store are damaged and set aside: check the disk");
    }
    Ok(store)
}

async fn join(
    config: &Config,
    dir: &DataDir,
    secret: &Secret,
    store: &NodeStore,
    addresses: Vec<String>,
) -> Result<(Joined, ServerClient), StartError> {
    let (Some(server), Some(token)) = (&config.server, &config.join) else {
        return Err(StartError::NotJoined);
    };
    let client = coordinate::client(server)?;
    let stats = store.stats();
    let capacity_bytes = stats.used_bytes.saturating_add(stats.free_bytes);
    let offer = Offer { token: token.clone(), addresses, zone: config.zone, capacity_bytes };
    let joined = coordinate::join(&client, offer, secret).await?;
    dir.save_joined(&joined)?;
    tracing::info!(node = ?joined.node, "joined the server");
    Ok((joined, client))
}

/// Where clients reach the node: as told, else where it listens.
fn addresses(config: &Config, addr: SocketAddr) -> Result<Vec<String>, StartError> {
    if !config.advertise.is_empty() {
        return Ok(config.advertise.iter().map(ToString::to_string).collect());
    }
    if addr.ip().is_unspecified() {
        return Err(StartError::NoAddress);
    }
    Ok(vec![addr.to_string()])
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
