//! Laws that hold for every statement: its bytes are its only form, and no change goes unnoticed.
//!
//! proptest prints the seed of a failing case and keeps it for replay.

use freehold_model::codec::{Decode, DecodeError, Encode, from_slice, to_vec};
use freehold_model::{
    AccountId, ChunkId, CommitHash, DeviceId, LogHash, NodeId, RecordId, VaultId, VaultTag, VersionHash,
};
use freehold_trust::account_log::{
    Action, BoxRef, Cut, Genesis, LogEntry, LogStatement, NameDevice, PathId, RevokeDevice, RevokeIntent,
    Rotate, SecondKey, SetKdf, UnlockPath,
};
use freehold_trust::commit::{Commit, CommitEntry, CommitPlace};
use freehold_trust::{
    Capability, CapabilityError, DeviceCert, DeviceName, Heartbeat, HolderHash, KdfParams, Layout,
    LayoutNode, NodeCert, Ops, PublicKey, Receipt, ReceivedChunk, RecoveryProof, SessionProof, SignKey,
    Signed, SignedCapability, Statement, Use, XWingPublic, limits,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fmt::Debug;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_device_certificate_has_one_form(cert in device_cert(), flip in any::<prop::sample::Index>()) {
        check(cert, flip)?;
    }

    #[test]
    fn a_capability_has_one_form_and_fits(terms in capability(), flip in any::<prop::sample::Index>()) {
        prop_assert!(Signed::sign(terms, &key()).to_bytes().len() <= limits::CAPABILITY_BYTES_MAX);
        check(terms, flip)?;
    }

    #[test]
    fn a_receipt_has_one_form(receipt in receipt(), flip in any::<prop::sample::Index>()) {
        check(receipt, flip)?;
    }

    #[test]
    fn a_node_certificate_has_one_form(cert in node_cert(), flip in any::<prop::sample::Index>()) {
        check(cert, flip)?;
    }

    #[test]
    fn a_layout_has_one_form(layout in layout(), flip in any::<prop::sample::Index>()) {
        prop_assert!(Signed::sign(layout.clone(), &key()).verify_all(&key().public()).is_ok());
        check(layout, flip)?;
    }

    #[test]
    fn a_heartbeat_has_one_form(beat in heartbeat(), flip in any::<prop::sample::Index>()) {
        check(beat, flip)?;
    }

    #[test]
    fn a_session_proof_has_one_form(server: [u8; 32], nonce: [u8; 32], device: [u8; 16], flip in any::<prop::sample::Index>()) {
        let device = DeviceId::from_bytes(device);
        check(SessionProof { server: PublicKey::from_bytes(server), nonce, device }, flip)?;
    }

    #[test]
    fn a_recovery_proof_has_one_form(server: [u8; 32], nonce: [u8; 32], path_id: [u8; 16], flip in any::<prop::sample::Index>()) {
        check(RecoveryProof { server: PublicKey::from_bytes(server), nonce, path_id }, flip)?;
    }

    #[test]
    fn a_log_entry_has_one_form(entry in log_entry()) {
        let bytes = entry.to_bytes();
        prop_assert_eq!(LogEntry::from_bytes(&bytes), Ok(entry));
        prop_assert!(bytes.len() <= limits::LOG_ENTRY_BYTES_MAX);
        truncations_and_trailers::<LogEntry>(&bytes)?;
    }

    #[test]
    fn a_commit_has_one_form_whatever_order_it_was_made_in(
        (place, entries, body) in commit(),
        flip in any::<prop::sample::Index>(),
    ) {
        let reversed = entries.iter().cloned().rev().collect();
        let commit = Commit::sign(place, entries, body.clone(), &key()).expect("within limits");
        prop_assert_eq!(&Commit::sign(place, reversed, body, &key()).expect("within limits"), &commit);
        let bytes = commit.to_bytes();
        prop_assert_eq!(&Commit::from_bytes(&bytes), &Ok(commit));
        truncations_and_trailers::<Commit>(&bytes)?;
        let flipped = flip_bit(&bytes, flip);
        let accepted = Commit::from_bytes(&flipped).is_ok_and(|read| read.verify(&key().public()).is_ok());
        prop_assert!(!accepted);
    }

    #[test]
    fn junk_never_panics_a_decoder(bytes in prop::collection::vec(any::<u8>(), 0..2_048), magic in 0usize..11) {
        const MAGICS: [&[u8; 4]; 11] = [
            b"FHAL", b"FHCM", b"FHDC", b"FHCP", b"FHRC", b"FHNC", b"FHLY", b"FHHB", b"FHSP", b"FHRP", b"FHRI",
        ];
        let bytes = [&MAGICS[magic][..], &[1, 1], &bytes].concat();
        canonical::<LogEntry>(&bytes)?;
        canonical::<Commit>(&bytes)?;
        canonical::<Signed<DeviceCert>>(&bytes)?;
        canonical::<SignedCapability>(&bytes)?;
        canonical::<Signed<Receipt>>(&bytes)?;
        canonical::<Signed<NodeCert>>(&bytes)?;
        canonical::<Signed<Layout>>(&bytes)?;
        canonical::<Signed<Heartbeat>>(&bytes)?;
        canonical::<Signed<SessionProof>>(&bytes)?;
        canonical::<Signed<RecoveryProof>>(&bytes)?;
        canonical::<RevokeIntent>(&bytes)?;
    }

    #[test]
    fn password_cost_is_read_within_its_bounds_only(m_kib: u32, t in 0u32..20, p in 0u32..40) {
        let bytes = [m_kib.to_be_bytes(), t.to_be_bytes(), p.to_be_bytes()].concat();
        let inside = (65_536..=1_048_576).contains(&m_kib) && (3..=10).contains(&t) && (1..=16).contains(&p);
        prop_assert_eq!(from_slice::<KdfParams>(&bytes).is_ok(), inside);
        prop_assert_eq!(KdfParams::new(m_kib, t, p).is_ok(), inside);
    }
}

#[test]
fn a_capability_serves_one_node_one_client_and_its_hour() {
    let (server, client) = (key().public(), SignKey::from_seed(&[4; 32]).public());
    let node = NodeId::from_bytes([1; 16]);
    let terms = Capability {
        serial: [0; 16],
        node,
        vault_tag: VaultTag::from_bytes([2; 16]),
        ops: Ops::HAVE | Ops::GET,
        max_bytes: 0,
        not_before: 1_000,
        not_after: 4_600,
        holder: HolderHash::of(&client),
    };
    let signed = Signed::sign(terms, &key());
    let good = Use { server: &server, node: &node, client_tls: &client, now: 2_000, skew_seconds: 60 };
    assert_eq!(signed.check(&good), Ok(&terms));
    assert_eq!(terms.allows(Ops::GET), Ok(()));
    assert_eq!(terms.allows(Ops::GET | Ops::PUT), Err(CapabilityError::Forbidden));
    let cases = [
        (Use { server: &client, ..good }, CapabilityError::BadSignature),
        (Use { node: &NodeId::from_bytes([9; 16]), ..good }, CapabilityError::WrongNode),
        (Use { client_tls: &server, ..good }, CapabilityError::WrongHolder),
        (Use { now: 939, ..good }, CapabilityError::NotYet),
        (Use { now: 4_660, ..good }, CapabilityError::Expired),
    ];
    for (circumstances, expected) in cases {
        assert_eq!(signed.check(&circumstances), Err(expected));
    }
    for now in [940, 4_659] {
        assert!(signed.check(&Use { now, ..good }).is_ok(), "the skew counts both ways");
    }
    let eternal =
        Signed::sign(Capability { not_after: 1_001 + limits::CAPABILITY_SECONDS_MAX, ..terms }, &key());
    assert_eq!(eternal.check(&good), Err(CapabilityError::TooLong));
}

#[test]
fn a_capability_that_grants_nothing_or_unknown_things_is_no_capability() {
    for bits in [0u8, 8, 0xff] {
        assert_eq!(Ops::from_bits(bits), None);
    }
}

#[test]
fn a_layout_with_a_foreign_certificate_is_refused_whole() {
    let foreign = SignKey::from_seed(&[5; 32]);
    let cert = NodeCert {
        node: NodeId::from_bytes([1; 16]),
        sign_pk: foreign.public(),
        tls_pk: foreign.public(),
        zone: 0,
        created: 0,
    };
    let node = LayoutNode { weight: 1, cert: Signed::sign(cert, &foreign) };
    let layout = Layout::new(1, 0, 1, 1, vec![node]).expect("canonical");
    assert!(Signed::sign(layout, &key()).verify_all(&key().public()).is_err());
}

#[test]
fn a_layout_that_asks_for_no_copy_or_names_a_node_twice_is_refused() {
    for (copies, quorum) in [(0, 0), (1, 0), (1, 2), (17, 1)] {
        assert_eq!(Layout::new(1, 0, copies, quorum, vec![]), Err(DecodeError::Invalid("layout copies")));
    }
    let cert = NodeCert {
        node: NodeId::from_bytes([1; 16]),
        sign_pk: key().public(),
        tls_pk: key().public(),
        zone: 0,
        created: 0,
    };
    let node = LayoutNode { weight: 1, cert: Signed::sign(cert, &key()) };
    assert_eq!(Layout::new(1, 0, 1, 1, vec![node; 2]), Err(DecodeError::Invalid("layout nodes")));
}

#[test]
fn a_device_name_is_short_and_printable() {
    for name in ["", "a\nb", "a\u{7f}", &"x".repeat(65)] {
        assert!(DeviceName::new(name).is_err(), "{name:?}");
    }
    for name in ["laptop", "Anas Gerät", &"x".repeat(64)] {
        assert!(DeviceName::new(name).is_ok(), "{name}");
    }
}

/// decode(encode) is the identity, and neither a flipped bit nor another key gets through.
fn check<T: Statement + Clone + PartialEq + Debug>(
    fields: T,
    flip: prop::sample::Index,
) -> Result<(), TestCaseError> {
    let signed = Signed::sign(fields, &key());
    let bytes = signed.to_bytes();
    let read = Signed::<T>::from_bytes(&bytes);
    prop_assert_eq!(read.as_ref(), Ok(&signed));
    prop_assert!(signed.verify(&key().public()).is_ok());
    prop_assert!(signed.verify(&SignKey::from_seed(&[8; 32]).public()).is_err());
    truncations_and_trailers::<Signed<T>>(&bytes)?;
    let flipped = flip_bit(&bytes, flip);
    let accepted = Signed::<T>::from_bytes(&flipped).is_ok_and(|read| read.verify(&key().public()).is_ok());
    prop_assert!(!accepted);
    Ok(())
}

fn truncations_and_trailers<T: Decode>(bytes: &[u8]) -> Result<(), TestCaseError> {
    for len in (0..bytes.len()).step_by(1 + bytes.len() / 64) {
        prop_assert!(from_slice::<T>(&bytes[..len]).is_err());
    }
    prop_assert!(from_slice::<T>(&[bytes, &[0]].concat()).is_err());
    Ok(())
}

/// Whatever a decoder accepts, it writes back byte for byte.
fn canonical<T: Decode + Encode>(bytes: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(value) = from_slice::<T>(bytes) {
        prop_assert_eq!(to_vec(&value), bytes);
    }
    Ok(())
}

fn flip_bit(bytes: &[u8], flip: prop::sample::Index) -> Vec<u8> {
    let bit = flip.index(bytes.len() * 8);
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

fn path(fill: [u8; 16]) -> UnlockPath {
    let xwing_pk = XWingPublic::from_bytes(&[fill[0]; limits::XWING_PUBLIC_BYTES]);
    UnlockPath { xwing_pk, sign_pk: key().public() }
}

fn key() -> SignKey {
    SignKey::from_seed(&[7; 32])
}

prop_compose! {
    fn device_cert()(
        account: [u8; 16], device: [u8; 16], keys: [[u8; 32]; 2], fill: u8, created: u64, name in "[a-zA-Zé ]{1,32}",
    ) -> DeviceCert {
        let [sign_pk, tls_pk] = keys.map(PublicKey::from_bytes);
        DeviceCert {
            account: AccountId::from_bytes(account),
            device: DeviceId::from_bytes(device),
            sign_pk,
            tls_pk,
            xwing_pk: XWingPublic::from_bytes(&[fill; limits::XWING_PUBLIC_BYTES]),
            created,
            name: DeviceName::new(&name).expect("short and printable"),
        }
    }
}

prop_compose! {
    fn capability()(
        serial: [u8; 16], node: [u8; 16], tag: [u8; 16], bits in 1u8..8, max_bytes: u64,
        not_before in 0..u64::MAX, life in 1u64..90_000, holder: [u8; 32],
    ) -> Capability {
        Capability {
            serial,
            node: NodeId::from_bytes(node),
            vault_tag: VaultTag::from_bytes(tag),
            ops: Ops::from_bits(bits).expect("known bits"),
            max_bytes,
            not_before,
            not_after: not_before.saturating_add(life),
            holder: HolderHash::of(&PublicKey::from_bytes(holder)),
        }
    }
}

prop_compose! {
    fn receipt()(
        node: [u8; 16], tag: [u8; 16], time: u64,
        chunks in prop::collection::vec((any::<[u8; 32]>(), any::<u32>()), 1..6),
    ) -> Receipt {
        let chunk = |(id, len_bytes)| ReceivedChunk { id: ChunkId::from_bytes(id), len_bytes };
        let chunks = chunks.into_iter().map(chunk).collect();
        Receipt { node: NodeId::from_bytes(node), vault_tag: VaultTag::from_bytes(tag), time, chunks }
    }
}

prop_compose! {
    fn node_cert()(node: [u8; 16], keys: [[u8; 32]; 2], zone: u16, created: u64) -> NodeCert {
        let [sign_pk, tls_pk] = keys.map(PublicKey::from_bytes);
        NodeCert { node: NodeId::from_bytes(node), sign_pk, tls_pk, zone, created }
    }
}

prop_compose! {
    fn layout()(
        epoch: u64, created: u64, copies in 1u8..=16, certs in prop::collection::vec((any::<u32>(), node_cert()), 0..6),
    ) -> Layout {
        let distinct: BTreeMap<NodeId, LayoutNode> = certs
            .into_iter()
            .map(|(weight, cert)| (cert.node, LayoutNode { weight, cert: Signed::sign(cert, &key()) }))
            .collect();
        Layout::new(epoch, created, copies, copies.div_ceil(2), distinct.into_values().collect()).expect("canonical")
    }
}

prop_compose! {
    fn heartbeat()(
        node: [u8; 16], time: u64, used: u64, free: u64, addresses in prop::collection::vec("[a-z0-9.:\\[\\]]{1,40}", 0..5),
    ) -> Heartbeat {
        Heartbeat::new(NodeId::from_bytes(node), time, used, free, addresses).expect("printable")
    }
}

prop_compose! {
    fn log_entry()(
        ids: [[u8; 16]; 3], prev: [u8; 32], seq: u64, time: u64, cert in device_cert(), which in 0..7,
        cuts in prop::collection::btree_map((any::<[u8; 16]>(), any::<u32>()), 1u64.., 0..8),
        boxes in prop::collection::btree_map(any::<[u8; 16]>(), any::<[u8; 32]>(), 0..8),
    ) -> LogEntry {
        let [account, signer, subject] = ids;
        let cuts = cuts.into_iter().map(|((vault, incarnation), seq)| {
            Cut { vault: VaultId::from_bytes(vault), incarnation, seq }
        });
        let boxes = boxes.into_iter().map(|(id, hash)| BoxRef { path: PathId::Recovery(id), hash });
        let action = match which {
            0 => Action::AddDevice(Box::new(Signed::sign(cert, &key()))),
            1 => {
                let [account, by, device] = [account, signer, subject];
                let (account, by) = (AccountId::from_bytes(account), DeviceId::from_bytes(by));
                let revoke =
                    RevokeDevice::new(account, DeviceId::from_bytes(device), by, time, cuts.collect());
                let revoke = revoke.expect("canonical");
                Action::RevokeDevice(Box::new(RevokeIntent::sign(revoke, &key(), SecondKey::Recovery, &key())))
            }
            2 => Action::Rotate(Rotate::new(3, boxes.collect()).expect("canonical")),
            3 => Action::SetRecovery(Box::new(path(subject))),
            4 => Action::SetKdf(Box::new(SetKdf { kdf: KdfParams::FLOOR, password: path(subject) })),
            5 => Action::NameDevice(NameDevice { device: DeviceId::from_bytes(subject), name: cert.name }),
            _ => Action::Genesis(Box::new(Genesis {
                password: path(subject),
                recovery: path(account),
                device: Signed::sign(cert, &key()),
                kdf: KdfParams::FLOOR,
            })),
        };
        let statement = LogStatement {
            account: AccountId::from_bytes(account),
            seq,
            prev: LogHash::from_bytes(prev),
            time,
            signer: DeviceId::from_bytes(signer),
            action,
        };
        match which {
            0 => LogEntry::sign_twice(statement, &key(), SecondKey::Recovery, &key()),
            1 | 2 | 5 => LogEntry::sign(statement, &key()),
            3 | 4 => LogEntry::sign_installing(statement, &key(), SecondKey::Password, &key(), &key()),
            _ => LogEntry::sign_genesis(statement, &key(), &key(), &key()),
        }
    }
}

prop_compose! {
    fn commit()(
        ids: [[u8; 16]; 2], hashes: [[u8; 32]; 2], numbers: [u32; 3], seq in 2u64..,
        entries in prop::collection::btree_map(
            any::<[u8; 16]>(), (any::<[u8; 32]>(), prop::collection::btree_set(any::<[u8; 32]>(), 0..4)), 0..12,
        ),
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) -> (CommitPlace, Vec<CommitEntry>, Vec<u8>) {
        let [vault, device] = ids;
        let [prev, log_head] = hashes;
        let [incarnation, member_epoch, generation] = numbers;
        let place = CommitPlace {
            vault: VaultId::from_bytes(vault),
            device: DeviceId::from_bytes(device),
            incarnation,
            seq,
            prev: CommitHash::from_bytes(prev),
            log_head: LogHash::from_bytes(log_head),
            member_epoch,
            generation,
        };
        let entries = entries.into_iter().map(|(record, (version, supersedes))| CommitEntry {
            record: RecordId::from_bytes(record),
            version: VersionHash::from_bytes(version),
            supersedes: supersedes.into_iter().map(VersionHash::from_bytes).collect(),
        });
        (place, entries.collect(), body)
    }
}
