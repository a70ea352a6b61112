//! One storage node: its certificate, its addresses, a link with a capability shown, and whether
//! it answers.

use crate::sync::pace::Backoff;
use bytes::Bytes;
use freehold_api::peer::{self, PeerError};
use freehold_model::VaultTag;
use freehold_net::{Body, Class, Credit, Endpoint, Link, LinkError, PeerKey, Request, Response};
use freehold_trust::NodeCert;
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::time::Instant;

/// What a request asks; its head is made once the vault's pseudonym at the node is known.
pub(crate) struct Ask<'a> {
    /// The peer method.
    pub(crate) method: u16,
    /// Its urgency.
    pub(crate) class: Class,
    /// The head for a pseudonym.
    pub(crate) head: &'a (dyn Fn(VaultTag) -> Vec<u8> + Sync),
    /// The body's parts.
    pub(crate) body: Vec<Bytes>,
    /// Bytes of body the answer may have.
    pub(crate) answer_bytes_max: usize,
}

/// Why a node did not answer as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PeerFailure {
    /// It is away, or not to be asked again so soon.
    #[error("the storage node cannot be reached")]
    Away,
    /// It wants a capability, or a newer one.
    #[error("the storage node wants a fresh capability")]
    NoCapability,
    /// It refused for a reason of its own.
    #[error("the storage node refused: {0}")]
    Refused(PeerError),
    /// The link failed in a way that trying again does not mend.
    #[error(transparent)]
    Link(LinkError),
    /// It said something that is not the protocol.
    #[error("the storage node's answer is malformed")]
    Malformed,
}

/// What the server granted at this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The signed capability.
    pub(crate) capability: Bytes,
    /// The vault's pseudonym in it.
    pub(crate) vault_tag: VaultTag,
}

/// One storage node.
pub(crate) struct Peer {
    cert: NodeCert,
    addresses: Mutex<Vec<SocketAddr>>,
    grant: Mutex<Option<Grant>>,
    /// One connection attempt at a time; the link with the grant that was shown on it.
    link: tokio::sync::Mutex<Option<(Link, Grant)>>,
    health: Mutex<Health>,
}

#[derive(Debug, Default)]
struct Health {
    answers: bool,
    not_before: Option<Instant>,
    backoff: Backoff,
}

impl Peer {
    pub(crate) fn new(cert: NodeCert) -> Self {
        Self {
            cert,
            addresses: Mutex::default(),
            grant: Mutex::default(),
            link: tokio::sync::Mutex::default(),
            health: Mutex::default(),
        }
    }

    pub(crate) const fn cert(&self) -> &NodeCert {
        &self.cert
    }

    pub(crate) fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        let mut current = self.addresses.lock();
        if *current != addresses {
            *current = addresses;
            *self.health.lock() = Health { answers: self.answers(), ..Health::default() };
        }
    }

    pub(crate) fn set_grant(&self, grant: Grant) {
        *self.grant.lock() = Some(grant);
    }

    /// The vault's pseudonym at this node, once a capability was granted.
    pub(crate) fn vault_tag(&self) -> Option<VaultTag> {
        self.grant.lock().as_ref().map(|grant| grant.vault_tag)
    }

    /// Whether the last request was answered.
    pub(crate) fn answers(&self) -> bool {
        self.health.lock().answers
    }

    /// Whether it may be asked now: it answers, or was left alone long enough.
    pub(crate) fn is_usable(&self, now: Instant) -> bool {
        self.health.lock().not_before.is_none_or(|at| now >= at)
    }

    /// Asks, over the link there is or a new one.
    ///
    /// # Errors
    /// `Away` and `NoCapability` may pass; the others need another node.
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up.
    pub(crate) async fn ask(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Response, PeerFailure> {
        let Ask { method, class, head, body, answer_bytes_max } = ask;
        // A link that died unnoticed shows only when it is used: then once more over a new one.
        for is_last in [false, true] {
            let (link, grant) = self.ready_link(endpoint).await?;
            let head = Bytes::from(head(grant.vault_tag));
            let request = Request { method: *method, class: *class, head, body: Body::from(body.clone()) };
            match exchange(&link, request, *answer_bytes_max).await {
                Ok(response) => {
                    self.note_answer();
                    return Ok(response);
                }
                Err(LinkError::Refused(code)) => return Err(self.refused(&link, code.0).await),
                Err(error) if error.is_transient() => {
                    self.note_loss();
                    self.forget(&link).await;
                    if is_last {
                        self.note_failure();
                        return Err(PeerFailure::Away);
                    }
                }
                Err(error) => return Err(PeerFailure::Link(error)),
            }
        }
        Err(PeerFailure::Away)
    }

    /// Makes sure that there is a link, so that the status tells the truth. Says whether the node's
    /// health changed.
    pub(crate) async fn probe(&self, endpoint: &Endpoint) -> bool {
        let before = self.answers();
        if self.is_usable(Instant::now()) {
            // Whether it worked is noted on the way.
            drop(self.ready_link(endpoint).await);
        }
        self.answers() != before
    }

    async fn refused(&self, link: &Link, code: u16) -> PeerFailure {
        match PeerError::from_number(code) {
            Some(error) if error.wants_capability() => {
                self.forget(link).await;
                PeerFailure::NoCapability
            }
            Some(error) => PeerFailure::Refused(error),
            // Busy, or a code of the link itself.
            None => {
                self.note_failure();
                PeerFailure::Away
            }
        }
    }

    /// A link on which the newest grant was shown.
    async fn ready_link(&self, endpoint: &Endpoint) -> Result<(Link, Grant), PeerFailure> {
        let mut slot = self.link.lock().await;
        let grant = self.grant.lock().clone().ok_or(PeerFailure::NoCapability)?;
        let before = slot.take();
        let current = before.clone().filter(|(link, _)| !link.is_closed());
        if before.is_some() && current.is_none() {
            self.note_loss();
        }
        let link = match current {
            Some((link, shown)) if shown == grant => {
                *slot = Some((link.clone(), shown));
                return Ok((link, grant));
            }
            Some((link, _)) => link,
            None => self.connect(endpoint).await?,
        };
        let request = Request {
            method: peer::AUTH,
            class: Class::Control,
            head: grant.capability.clone(),
            body: Body::empty(),
        };
        match exchange(&link, request, 0).await {
            Ok(_) => {
                self.note_answer();
                *slot = Some((link.clone(), grant.clone()));
                Ok((link, grant))
            }
            Err(LinkError::Refused(code)) => match PeerError::from_number(code.0) {
                Some(error) if error.wants_capability() => Err(PeerFailure::NoCapability),
                Some(error) => Err(PeerFailure::Refused(error)),
                None => Err(self.note_failure()),
            },
            Err(error) if error.is_transient() => Err(self.note_failure()),
            Err(error) => Err(PeerFailure::Link(error)),
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Link, PeerFailure> {
        if !self.is_usable(Instant::now()) {
            return Err(PeerFailure::Away);
        }
        let addresses = self.addresses.lock().clone();
        let key = PeerKey::from_bytes(self.cert.tls_pk.to_bytes());
        let mut failure = None;
        for address in addresses {
            match endpoint.connect(address, key).await {
                Ok(link) => return Ok(link),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure.filter(|error| !error.is_transient()) {
            tracing::warn!(node = ?self.cert.node, %error, "a storage node is not who it should be");
        }
        Err(self.note_failure())
    }

    /// Drops the link, unless it has been replaced meanwhile.
    async fn forget(&self, link: &Link) {
        let mut slot = self.link.lock().await;
        slot.take_if(|(current, _)| current.is_closed() || same(current, link));
    }

    fn note_answer(&self) {
        let mut health = self.health.lock();
        if !health.answers {
            tracing::info!(node = ?self.cert.node, "the storage node answers");
        }
        *health = Health { answers: true, ..Health::default() };
    }

    /// The link is gone; whether the node is, the next attempt will tell.
    fn note_loss(&self) {
        self.health.lock().answers = false;
    }

    fn note_failure(&self) -> PeerFailure {
        let mut health = self.health.lock();
        if health.not_before.is_none() {
            tracing::warn!(node = ?self.cert.node, "the storage node cannot be reached; trying again now and then");
        }
        health.answers = false;
        let wait = health.backoff.next(crate::sync::random());
        health.not_before = Some(Instant::now() + wait);
        PeerFailure::Away
    }
}

async fn exchange(link: &Link, request: Request, answer_bytes_max: usize) -> Result<Response, LinkError> {
    let call = link.call(request, Credit::bytes(answer_bytes_max as u64)).await?;
    call.collect(answer_bytes_max).await
}

/// Two handles of one link.
fn same(a: &Link, b: &Link) -> bool {
    a.peer() == b.peer()
}
