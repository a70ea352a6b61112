//! A node and its clients over real links on loopback, with a real store.

use super::*;
use freehold_api::peer::{
    GetItem, GetOutcome, GetRequest, GetResponse, HaveRequest, HaveResponse, PutItem, PutOutcome, PutRequest,
    PutResponse, WitnessRequest, WitnessResponse,
};
use freehold_model::codec::{from_slice, to_vec};
use freehold_model::{ChunkId, NodeId, VaultTag};
use freehold_net::{
    Accept, Body, Credit, Endpoint, Identity, Link, LinkConfig, LinkError, Request, Response,
};
use freehold_store::{NodeOptions, NodeStore};
use freehold_trust::{Capability, HolderHash, Ops, SignedCapability, SignedReceipt};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use tokio::task::JoinHandle;

const NOW: u64 = 1_800_000_000;
const NODE_SEED: [u8; 32] = [5; 32];
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A node serving a folder.
struct Running {
    addr: SocketAddr,
    endpoint: Endpoint,
    serving: JoinHandle<()>,
}

impl Running {
    fn start(dir: &Path) -> Self {
        let (store, _) = NodeStore::open(dir, NodeOptions::default()).unwrap();
        let witness = Witness::open(&dir.join("heads")).unwrap();
        let authority = Authority { node: node(), server: server().public() };
        let service = Arc::new(Service::new(
            authority,
            SignKey::from_seed(&NODE_SEED),
            Arc::new(store),
            witness,
            || NOW,
        ));
        let identity = Identity::from_seed(&NODE_SEED);
        let endpoint = Endpoint::bind(LOOPBACK, identity, Accept::AnyKey, LinkConfig::default()).unwrap();
        let addr = endpoint.local_addr().unwrap();
        let listening = endpoint.clone();
        let serving = tokio::spawn(async move { listening.serve(|peer| service.handler(peer)).await });
        Self { addr, endpoint, serving }
    }

    async fn stop(self) {
        self.endpoint.close().await;
        self.serving.await.unwrap();
    }

    /// A client of that seed, connected but not admitted.
    async fn link(&self, client: u8) -> Link {
        let identity = Identity::from_seed(&[client; 32]);
        let endpoint = Endpoint::bind(LOOPBACK, identity, Accept::None, LinkConfig::default()).unwrap();
        endpoint.connect(self.addr, Identity::from_seed(&NODE_SEED).public_key()).await.unwrap()
    }

    /// A client of that seed, admitted.
    async fn client(&self, client: u8) -> Link {
        let link = self.link(client).await;
        ask(&link, peer::AUTH, signed(terms(client)), Body::empty()).await.unwrap();
        link
    }
}

fn server() -> SignKey {
    SignKey::from_seed(&[1; 32])
}

fn node() -> NodeId {
    NodeId::from_bytes([3; 16])
}

fn tag() -> VaultTag {
    VaultTag::from_bytes([4; 16])
}

fn terms(client: u8) -> Capability {
    let key = PublicKey::from_bytes(*Identity::from_seed(&[client; 32]).public_key().as_bytes());
    Capability {
        serial: [client; 16],
        node: node(),
        vault_tag: tag(),
        ops: Ops::ALL,
        max_bytes: 1 << 30,
        not_before: NOW - 10,
        not_after: NOW + 3_600,
        holder: HolderHash::of(&key),
    }
}

fn signed(terms: Capability) -> Vec<u8> {
    SignedCapability::sign(terms, &server()).to_bytes()
}

/// Chunk bytes of that number: up to 300 KB.
fn chunk(n: u64) -> (ChunkId, Bytes) {
    let mut bytes = vec![0; 1 + (n as usize * 7_919) % 300_000];
    blake3::Hasher::new().update(&n.to_be_bytes()).finalize_xof().fill(&mut bytes);
    (ChunkId::from_bytes(*blake3::hash(&bytes).as_bytes()), Bytes::from(bytes))
}

async fn ask(link: &Link, method: u16, head: Vec<u8>, body: Body) -> Result<Response, LinkError> {
    let request = Request { method, class: Class::Bulk, head: head.into(), body };
    link.call(request, Credit::bytes(16 << 20)).await?.collect(16 << 20).await
}

async fn put(link: &Link, chunks: &[(ChunkId, Bytes)]) -> Result<PutResponse, LinkError> {
    let item = |(id, bytes): &(ChunkId, Bytes)| PutItem { id: *id, len_bytes: bytes.len() as u32 };
    let head = to_vec(&PutRequest { vault_tag: tag(), items: chunks.iter().map(item).collect() });
    let parts: Vec<Bytes> = chunks.iter().map(|(_, bytes)| bytes.clone()).collect();
    let answer = ask(link, peer::PUT, head, parts.into()).await?;
    Ok(from_slice(&answer.body).unwrap())
}

async fn have(link: &Link, ids: &[ChunkId]) -> Result<Vec<bool>, LinkError> {
    let head = to_vec(&HaveRequest { vault_tag: tag(), ids: ids.to_vec() });
    let answer = ask(link, peer::HAVE, head, Body::empty()).await?;
    Ok(from_slice::<HaveResponse>(&answer.head).unwrap().present)
}

async fn get(link: &Link, items: Vec<GetItem>) -> Result<(Vec<GetOutcome>, Bytes), LinkError> {
    let head = to_vec(&GetRequest { vault_tag: tag(), items });
    let answer = ask(link, peer::GET, head, Body::empty()).await?;
    Ok((from_slice::<GetResponse>(&answer.head).unwrap().outcomes, answer.body))
}

async fn assert_holds(link: &Link, numbers: impl Iterator<Item = u64>) {
    for n in numbers {
        let (id, bytes) = chunk(n);
        assert_eq!(get(link, vec![GetItem::whole(id)]).await.unwrap().1, bytes, "chunk {n}");
    }
}

fn refused(error: PeerError) -> LinkError {
    LinkError::Refused(RefusalCode(error.number()))
}

fn is_stored(outcome: &PutOutcome) -> bool {
    matches!(outcome, PutOutcome::Stored)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_put_over_a_link_is_held_receipted_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let link = running.client(10).await;
    let chunks: Vec<_> = (0..40).map(chunk).collect();
    let answer = put(&link, &chunks).await.unwrap();
    assert!(answer.outcomes.iter().all(is_stored), "{:?}", answer.outcomes);
    let receipt = SignedReceipt::from_bytes(&answer.receipt).unwrap();
    let terms = receipt.verify(&SignKey::from_seed(&NODE_SEED).public()).unwrap();
    assert_eq!((terms.chunks.len(), terms.node), (chunks.len(), node()));
    for ((id, bytes), received) in chunks.iter().zip(&terms.chunks) {
        assert_eq!((received.id, received.len_bytes as usize), (*id, bytes.len()));
    }
    assert_eq!(have(&link, &[chunks[0].0, chunk(999).0]).await.unwrap(), [true, false]);
    let items = chunks.iter().map(|(id, _)| GetItem::whole(*id)).collect();
    let (outcomes, body) = get(&link, items).await.unwrap();
    let spans: Vec<_> = GetResponse { outcomes }.spans().map(Option::unwrap).collect();
    for ((_, bytes), span) in chunks.iter().zip(spans) {
        assert_eq!(&body[span.start as usize..span.end as usize], bytes);
    }
    running.stop().await;
}

async fn witness(link: &Link, left: &[u8]) -> Result<Vec<Vec<u8>>, LinkError> {
    let head = to_vec(&WitnessRequest { vault_tag: tag(), left: left.to_vec() });
    let answer = ask(link, peer::WITNESS, head, Body::empty()).await?;
    let mut left = from_slice::<WitnessResponse>(&answer.body).unwrap().left;
    left.sort_unstable();
    Ok(left)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_leaves_is_there_for_others_after_a_restart_and_theirs_stays() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let (first, second) = (running.client(10).await, running.client(11).await);
    assert_eq!(witness(&first, b"").await.unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(witness(&first, b"a").await.unwrap(), [b"a".to_vec()]);
    assert_eq!(witness(&second, b"b").await.unwrap(), [b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(witness(&second, b"c").await.unwrap(), [b"a".to_vec(), b"c".to_vec()]);
    running.stop().await;
    let running = Running::start(dir.path());
    let link = running.client(12).await;
    assert_eq!(witness(&link, b"").await.unwrap(), [b"a".to_vec(), b"c".to_vec()]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_left_and_read_with_a_capability_that_allows_it_only() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let stranger = running.link(10).await;
    assert_eq!(witness(&stranger, b"a").await, Err(refused(PeerError::NoCapability)));
    for (client, ops, left, expected) in [
        (11, Ops::PUT, &b"a"[..], PeerError::NotAllowed),
        (12, Ops::GET, b"a", PeerError::NotAllowed),
        (13, Ops::HAVE, b"", PeerError::NotAllowed),
    ] {
        let link = running.link(client).await;
        ask(&link, peer::AUTH, signed(Capability { ops, ..terms(client) }), Body::empty()).await.unwrap();
        assert_eq!(witness(&link, left).await, Err(refused(expected)));
    }
    let link = running.link(14).await;
    let small = Capability { max_bytes: 3, ..terms(14) };
    ask(&link, peer::AUTH, signed(small), Body::empty()).await.unwrap();
    assert_eq!(witness(&link, b"four").await, Err(refused(PeerError::OverBudget)));
    assert_eq!(witness(&link, b"ab").await.unwrap(), [b"ab".to_vec()]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_read_alone() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let link = running.client(10).await;
    let (id, bytes) = chunk(30);
    put(&link, &[(id, bytes.clone())]).await.unwrap();
    let (outcomes, body) = get(&link, vec![GetItem { id, from: 1_000, len_bytes: 16_384 }]).await.unwrap();
    let total_bytes = bytes.len() as u32;
    assert_eq!(outcomes, [GetOutcome::Found { total_bytes, len_bytes: 16_384 }]);
    assert_eq!(body, bytes[1_000..1_000 + 16_384]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_expired_capabilities_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let link = running.link(10).await;
    let (id, bytes) = chunk(1);
    assert_eq!(have(&link, &[id]).await, Err(refused(PeerError::NoCapability)));
    assert_eq!(put(&link, &[(id, bytes)]).await, Err(refused(PeerError::NoCapability)));
    for (terms, expected) in [
        (terms(11), PeerError::WrongHolder),
        (Capability { node: NodeId::from_bytes([9; 16]), ..terms(10) }, PeerError::WrongNode),
        (Capability { not_before: NOW - 9_000, not_after: NOW - 5_000, ..terms(10) }, PeerError::Expired),
    ] {
        let answer = ask(&link, peer::AUTH, signed(terms), Body::empty()).await;
        assert_eq!(answer, Err(refused(expected)));
    }
    let forged = SignedCapability::sign(terms(10), &SignKey::from_seed(&[66; 32])).to_bytes();
    let answer = ask(&link, peer::AUTH, forged, Body::empty()).await;
    assert_eq!(answer, Err(refused(PeerError::BadCapability)));
    assert_eq!(have(&link, &[id]).await, Err(refused(PeerError::NoCapability)));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_id_and_an_unknown_method_harm_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let link = running.client(10).await;
    let (right, wrong) = (chunk(1), (chunk(2).0, chunk(3).1));
    let outcomes = put(&link, &[wrong.clone(), right.clone()]).await.unwrap().outcomes;
    assert_eq!(outcomes[0], PutOutcome::WrongId);
    assert!(is_stored(&outcomes[1]));
    assert_eq!(have(&link, &[wrong.0, right.0]).await.unwrap(), [false, true]);
    let unknown = ask(&link, 999, Vec::new(), Body::empty()).await;
    assert_eq!(unknown, Err(LinkError::Refused(RefusalCode::UNKNOWN_METHOD)));
    assert_eq!(have(&link, &[right.0]).await.unwrap(), [true]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_what_the_head_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let link = running.client(10).await;
    let (id, bytes) = chunk(1);
    for len_bytes in [bytes.len() as u32 - 1, bytes.len() as u32 + 1] {
        let head = to_vec(&PutRequest { vault_tag: tag(), items: vec![PutItem { id, len_bytes }] });
        let answer = ask(&link, peer::PUT, head, bytes.clone().into()).await;
        assert_eq!(answer, Err(refused(PeerError::Malformed)), "{len_bytes}");
    }
    assert_eq!(have(&link, &[id]).await.unwrap(), [false]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_even_behind_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let running = Running::start(dir.path());
        let link = running.client(10).await;
        assert_holds(&link, 0..round * 10).await;
        let fresh: Vec<_> = (round * 10..round * 10 + 10).map(chunk).collect();
        assert!(put(&link, &fresh).await.unwrap().outcomes.iter().all(is_stored));
        running.stop().await;
        // What a power cut leaves of a group nobody was told about.
        let segment = dir.path().join("00000000.seg");
        let mut bytes = std::fs::read(&segment).unwrap();
        bytes.extend_from_slice(&[0x5a; 3_333]);
        std::fs::write(&segment, bytes).unwrap();
    }
    let running = Running::start(dir.path());
    assert_holds(&running.client(10).await, 0..30).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_get_what_each_put() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    let mut clients = tokio::task::JoinSet::new();
    for client in 20..28_u8 {
        let link = running.client(client).await;
        clients.spawn(async move {
            let mine = |n: u64| u64::from(client) * 100 + n;
            for n in 0..12 {
                // One of their own and one that everybody puts.
                let outcomes = put(&link, &[chunk(mine(n)), chunk(n)]).await.unwrap().outcomes;
                assert!(is_stored(&outcomes[0]), "{:?}", outcomes[0]);
                assert!(matches!(outcomes[1], PutOutcome::Stored | PutOutcome::Present));
            }
            assert_holds(&link, (0..12).map(mine).chain(0..12)).await;
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_leave_their_refusals_unread_keep_nobody_from_the_node() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path());
    // A window of a few bytes: after the first refusals the node cannot send this client more.
    let config = LinkConfig { link_window_bytes: 64, ..LinkConfig::default() };
    let mut strangers = Vec::new();
    for seed in [40, 41] {
        let identity = Identity::from_seed(&[seed; 32]);
        let endpoint = Endpoint::bind(LOOPBACK, identity, Accept::None, config).unwrap();
        let node = Identity::from_seed(&NODE_SEED).public_key();
        let link = endpoint.connect(running.addr, node).await.unwrap();
        for _ in 0..200 {
            let head = Bytes::from_static(b"no capability");
            let request = Request { method: peer::AUTH, class: Class::Bulk, head, body: Body::empty() };
            strangers.push(link.call(request, Credit::NONE).await.unwrap());
        }
    }
    let honest = async {
        let link = running.client(10).await;
        put(&link, &[chunk(1)]).await.unwrap()
    };
    let served = timeout(std::time::Duration::from_secs(60), honest).await;
    assert!(is_stored(&served.expect("the node serves others meanwhile").outcomes[0]));
    drop(strangers);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_link_without_a_capability_ends_and_one_with_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = NodeStore::open(dir.path(), NodeOptions::default()).unwrap();
    let authority = Authority { node: node(), server: server().public() };
    let (witness, sign) = (Witness::open(&dir.path().join("heads")).unwrap(), SignKey::from_seed(&NODE_SEED));
    let service = Arc::new(Service::new(authority, sign, Arc::new(store), witness, || NOW));
    let peer = PeerInfo { key: Identity::from_seed(&[10; 32]).public_key(), addr: LOOPBACK };
    let (stranger, client) = (service.handler(peer), service.handler(peer));
    client.session.auth(&signed(terms(10)), NOW).unwrap();
    let day = std::time::Duration::from_secs(86_400);
    assert!(timeout(day, stranger.overstayed()).await.is_ok());
    assert!(timeout(day, client.overstayed()).await.is_err());
}
