//! Sessions with a store in memory and a clock that is a number.

use super::*;
use crate::limits;
use freehold_api::peer::PutItem;
use freehold_trust::{Capability, HolderHash, SignedCapability};
use std::collections::BTreeMap;

const NOW: u64 = 1_800_000_000;
const CREDIT: u64 = 1 << 20;

#[derive(Default)]
struct Memory(Mutex<BTreeMap<(VaultTag, ChunkId), Bytes>>);

impl Chunks for Memory {
    fn put(&self, items: Vec<(VaultTag, ChunkId, Bytes)>) -> Vec<PutStatus> {
        let mut chunks = self.0.lock().unwrap();
        let mut put = |(tag, id, bytes): (VaultTag, ChunkId, Bytes)| {
            if id_of(&bytes) != id {
                return PutStatus::WrongId;
            }
            let earlier = chunks.insert((tag, id), bytes);
            if earlier.is_some() { PutStatus::Present } else { PutStatus::Stored }
        };
        items.into_iter().map(&mut put).collect()
    }

    fn has(&self, tag: VaultTag, ids: &[ChunkId]) -> Vec<bool> {
        let chunks = self.0.lock().unwrap();
        ids.iter().map(|id| chunks.contains_key(&(tag, *id))).collect()
    }

    fn get(
        &self,
        tag: VaultTag,
        id: ChunkId,
        range: Option<Range<u32>>,
    ) -> Result<Option<Slice>, StoreError> {
        let chunks = self.0.lock().unwrap();
        Ok(chunks.get(&(tag, id)).map(|bytes| {
            let total_bytes = bytes.len() as u32;
            let range = range.unwrap_or(0..total_bytes);
            let (start, end) = (range.start.min(total_bytes), range.end.min(total_bytes));
            Slice { total_bytes, bytes: bytes.slice(start as usize..end as usize) }
        }))
    }
}

fn id_of(bytes: &[u8]) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(bytes).as_bytes())
}

fn server() -> SignKey {
    SignKey::from_seed(&[1; 32])
}

fn client() -> PublicKey {
    SignKey::from_seed(&[2; 32]).public()
}

fn node() -> NodeId {
    NodeId::from_bytes([3; 16])
}

fn tag() -> VaultTag {
    VaultTag::from_bytes([4; 16])
}

fn shared() -> Shared {
    Shared::new(node(), SignKey::from_seed(&[5; 32]))
}

fn session() -> Session {
    Session::new(Authority { node: node(), server: server().public() }, client())
}

fn terms() -> Capability {
    Capability {
        serial: [6; 16],
        node: node(),
        vault_tag: tag(),
        ops: Ops::ALL,
        max_bytes: 1_000,
        not_before: NOW - 10,
        not_after: NOW + 3_600,
        holder: HolderHash::of(&client()),
    }
}

fn signed(terms: Capability) -> Vec<u8> {
    SignedCapability::sign(terms, &server()).to_bytes()
}

fn admitted() -> Session {
    let session = session();
    session.auth(&signed(terms()), NOW).unwrap();
    session
}

fn put_head(items: &[(ChunkId, usize)]) -> Vec<u8> {
    let items = items.iter().map(|(id, len)| PutItem { id: *id, len_bytes: *len as u32 }).collect();
    to_vec(&PutRequest { vault_tag: tag(), items })
}

fn have_head() -> Vec<u8> {
    to_vec(&HaveRequest { vault_tag: tag(), ids: vec![id_of(b"a")] })
}

fn put(session: &Session, shared: &Shared, store: &Memory, bytes: &'static [u8]) -> PutResponse {
    let put = session.begin_put(&put_head(&[(id_of(bytes), bytes.len())]), NOW, shared).unwrap();
    let answer = put.finish(Bytes::from_static(bytes), NOW, shared, store).unwrap();
    from_slice(&answer).unwrap()
}

fn get(session: &Session, store: &Memory, items: Vec<GetItem>, credit: u64) -> (Vec<GetOutcome>, Vec<Bytes>) {
    let head = to_vec(&GetRequest { vault_tag: tag(), items });
    let found = session.begin_get(&head, credit, NOW).unwrap().finish(store).unwrap();
    (from_slice::<GetResponse>(&found.head).unwrap().outcomes, found.body)
}

#[test]
fn a_capability_is_refused_for_each_reason_by_name() {
    let foreign_server = SignedCapability::sign(terms(), &SignKey::from_seed(&[9; 32])).to_bytes();
    let other_client = HolderHash::of(&SignKey::from_seed(&[9; 32]).public());
    let cases = [
        (foreign_server, PeerError::BadCapability),
        (signed(Capability { node: NodeId::from_bytes([9; 16]), ..terms() }), PeerError::WrongNode),
        (signed(Capability { holder: other_client, ..terms() }), PeerError::WrongHolder),
        (signed(Capability { not_before: NOW + 600, ..terms() }), PeerError::NotYetValid),
        (signed(Capability { not_before: NOW - 900, not_after: NOW - 600, ..terms() }), PeerError::Expired),
        (signed(Capability { not_after: NOW + 400 * 86_400, ..terms() }), PeerError::BadCapability),
        (vec![0; 20], PeerError::Malformed),
        (vec![0; 2_000], PeerError::TooLarge),
    ];
    for (bytes, expected) in cases {
        let session = session();
        assert_eq!(session.auth(&bytes, NOW), Err(expected));
        assert_eq!(session.have(&have_head(), NOW, &Memory::default()), Err(PeerError::NoCapability));
    }
}

#[test]
fn a_capability_is_checked_again_with_every_request() {
    let session = admitted();
    let store = Memory::default();
    assert!(session.have(&have_head(), NOW, &store).is_ok());
    let late = NOW + 3_600 + limits::CLOCK_SKEW_SECONDS;
    assert_eq!(session.have(&have_head(), late, &store), Err(PeerError::Expired));
    session.auth(&signed(Capability { not_before: late, not_after: late + 60, ..terms() }), late).unwrap();
    assert!(session.have(&have_head(), late, &store).is_ok());
}

#[test]
fn each_operation_needs_its_own_grant() {
    let session = session();
    session.auth(&signed(Capability { ops: Ops::HAVE, ..terms() }), NOW).unwrap();
    assert!(session.have(&have_head(), NOW, &Memory::default()).is_ok());
    let put = session.begin_put(&put_head(&[(id_of(b"a"), 1)]), NOW, &shared());
    assert_eq!(put.err(), Some(PeerError::NotAllowed));
    let get = to_vec(&GetRequest { vault_tag: tag(), items: vec![GetItem::whole(id_of(b"a"))] });
    assert_eq!(session.begin_get(&get, CREDIT, NOW).err(), Some(PeerError::NotAllowed));
}

#[test]
fn another_vault_needs_another_capability() {
    let session = admitted();
    let other = to_vec(&HaveRequest { vault_tag: VaultTag::from_bytes([8; 16]), ids: vec![] });
    assert_eq!(session.have(&other, NOW, &Memory::default()), Err(PeerError::NoCapability));
}

#[test]
fn a_link_shows_only_so_many_vaults() {
    let session = session();
    let show = |n: u8| {
        session.auth(&signed(Capability { vault_tag: VaultTag::from_bytes([n; 16]), ..terms() }), NOW)
    };
    assert!((0..limits::VAULTS_PER_LINK_MAX as u8).all(|n| show(n).is_ok()));
    assert_eq!(show(200), Err(PeerError::TooManyVaults));
    assert_eq!(show(0), Ok(()), "a known vault's capability may be renewed");
}

#[test]
fn a_stored_chunk_yields_a_receipt_that_verifies() {
    let (session, shared, store) = (admitted(), shared(), Memory::default());
    let answer = put(&session, &shared, &store, b"chunk");
    assert_eq!(answer.outcomes, [PutOutcome::Stored]);
    let receipt = SignedReceipt::from_bytes(&answer.receipt).unwrap();
    let key = SignKey::from_seed(&[5; 32]).public();
    let chunks = vec![ReceivedChunk { id: id_of(b"chunk"), len_bytes: 5 }];
    let expected = Receipt { node: node(), vault_tag: tag(), time: NOW, chunks };
    assert_eq!(receipt.verify(&key), Ok(&expected));
    let again = put(&session, &shared, &store, b"chunk");
    assert_eq!(
        (again.outcomes.as_slice(), again.receipt),
        ([PutOutcome::Present].as_slice(), answer.receipt)
    );
}

#[test]
fn one_wrong_chunk_fails_alone_and_is_not_in_the_receipt() {
    let (session, shared, store) = (admitted(), shared(), Memory::default());
    let head = put_head(&[(id_of(b"one"), 3), (id_of(b"other"), 3), (id_of(b"two"), 3)]);
    let put = session.begin_put(&head, NOW, &shared).unwrap();
    let answer = put.finish(Bytes::from_static(b"onexxxtwo"), NOW, &shared, &store).unwrap();
    let PutResponse { outcomes, receipt } = from_slice(&answer).unwrap();
    assert_eq!(outcomes, [PutOutcome::Stored, PutOutcome::WrongId, PutOutcome::Stored]);
    let receipt = SignedReceipt::from_bytes(&receipt).unwrap();
    let received: Vec<_> = receipt.unverified().chunks.iter().map(|chunk| chunk.id).collect();
    assert_eq!(received, [id_of(b"one"), id_of(b"two")]);
}

#[test]
fn a_body_of_another_length_is_malformed() {
    let (session, shared, store) = (admitted(), shared(), Memory::default());
    for body in ["", "ab", "abcd"] {
        let put = session.begin_put(&put_head(&[(id_of(b"abc"), 3)]), NOW, &shared).unwrap();
        let answer = put.finish(Bytes::from_static(body.as_bytes()), NOW, &shared, &store);
        assert_eq!(answer, Err(PeerError::Malformed));
    }
    assert!(store.0.lock().unwrap().is_empty());
}

#[test]
fn the_budget_counts_over_all_links_and_only_what_was_stored() {
    let (shared, store) = (shared(), Memory::default());
    let (first, second) = (admitted(), admitted());
    let head = put_head(&[(id_of(&[7; 600]), 600)]);
    let abandoned = first.begin_put(&head, NOW, &shared).unwrap();
    assert_eq!(second.begin_put(&head, NOW, &shared).err(), Some(PeerError::OverBudget));
    abandoned.abandon(&shared);
    let put = second.begin_put(&head, NOW, &shared).unwrap();
    put.finish(Bytes::from(vec![7; 600]), NOW, &shared, &store).unwrap();
    assert_eq!(first.begin_put(&head, NOW, &shared).err(), Some(PeerError::OverBudget));
    first.auth(&signed(Capability { serial: [66; 16], ..terms() }), NOW).unwrap();
    // Present already: costs nothing, however often.
    for _ in 0..5 {
        let put = first.begin_put(&head, NOW, &shared).unwrap();
        put.finish(Bytes::from(vec![7; 600]), NOW, &shared, &store).unwrap();
    }
}

#[test]
fn ranges_and_missing_chunks_are_told_apart() {
    let (session, shared, store) = (admitted(), shared(), Memory::default());
    put(&session, &shared, &store, b"0123456789");
    let id = id_of(b"0123456789");
    let items = vec![
        GetItem { id, from: 2, len_bytes: 3 },
        GetItem::whole(id_of(b"elsewhere")),
        GetItem { id, from: 8, len_bytes: 100 },
        GetItem::whole(id),
    ];
    let (outcomes, body) = get(&session, &store, items, CREDIT);
    let found = |len_bytes| GetOutcome::Found { total_bytes: 10, len_bytes };
    assert_eq!(outcomes, [found(3), GetOutcome::Missing, found(2), found(10)]);
    assert_eq!(body.concat(), b"234890123456789");
}

#[test]
fn an_answer_stops_at_the_credit_and_the_rest_is_for_later() {
    let (session, shared, store) = (admitted(), shared(), Memory::default());
    put(&session, &shared, &store, b"aaaa");
    put(&session, &shared, &store, b"bb");
    let items =
        vec![GetItem::whole(id_of(b"aaaa")), GetItem::whole(id_of(b"aaaa")), GetItem::whole(id_of(b"bb"))];
    let (outcomes, body) = get(&session, &store, items, 5);
    assert!(matches!(outcomes[..], [GetOutcome::Found { .. }, GetOutcome::Later, GetOutcome::Later]));
    assert_eq!(body.concat(), b"aaaa");
}

#[test]
fn nonsense_and_oversized_requests_are_refused() {
    let (session, shared) = (admitted(), shared());
    let store = Memory::default();
    assert_eq!(session.have(b"nonsense", NOW, &store), Err(PeerError::Malformed));
    let ids = vec![id_of(b"a"); freehold_model::limits::BATCH_ITEMS_MAX + 1];
    let many = to_vec(&HaveRequest { vault_tag: tag(), ids });
    assert_eq!(session.have(&many, NOW, &store), Err(PeerError::TooLarge));
    let big = put_head(&[(id_of(b"a"), BATCH_BYTES_MAX), (id_of(b"b"), 1)]);
    assert_eq!(session.begin_put(&big, NOW, &shared).err(), Some(PeerError::TooLarge));
}
