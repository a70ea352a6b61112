//! One encoding per body; the seen vector covers exactly what it says.

use super::*;
use proptest::prelude::*;

fn seen(device: u8, incarnation: u32, covers: u64) -> Seen {
    let device = DeviceId::from_bytes([device; 16]);
    Seen { device, incarnation, seq: 3, hash: CommitHash::from_bytes([9; 32]), covers }
}

#[test]
fn seen_writes_cover_what_the_commits_cover() {
    let body = CommitBody { seen: vec![seen(1, 1, 5), seen(1, 2, 0), seen(2, 1, 7)], ..Default::default() };
    let writes = body.seen_writes();
    let dot = |device, incarnation, seq| Dot { device: DeviceId::from_bytes([device; 16]), incarnation, seq };
    assert!(writes.covers(&dot(1, 1, 5)) && writes.covers(&dot(2, 1, 7)));
    assert!(!writes.covers(&dot(1, 1, 6)) && !writes.covers(&dot(1, 2, 1)));
}

#[test]
fn a_device_life_named_twice_is_refused() {
    let body = CommitBody { seen: vec![seen(1, 1, 5), seen(1, 1, 6)], ..Default::default() };
    assert_eq!(CommitBody::from_bytes(&body.to_bytes()), Err(DecodeError::Invalid("order of seen commits")));
}

proptest! {
    #[test]
    fn bodies_survive_a_round_trip(
        lives in prop::collection::btree_map((any::<u8>(), 0..3_u32), any::<u64>(), 0..20),
        hlc in any::<u64>(), covers in any::<u64>(), root in any::<Option<[u8; 32]>>(),
    ) {
        let seen: Vec<Seen> =
            lives.iter().map(|((device, incarnation), covers)| seen(*device, *incarnation, *covers)).collect();
        let mut shuffled = seen.clone();
        shuffled.reverse();
        let heads_root = root.map(RootHash::from_bytes);
        let body = CommitBody { hlc: Hlc(hlc), covers, seen, heads_root };
        prop_assert_eq!(CommitBody::from_bytes(&body.to_bytes()), Ok(body.clone()));
        prop_assert_eq!(body.to_bytes(), CommitBody { seen: shuffled, ..body }.to_bytes());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = CommitBody::from_bytes(&bytes);
        if let Ok(body) = CommitBody::from_bytes(&[vec![1], bytes.clone()].concat()) {
            prop_assert_eq!(body.to_bytes(), [vec![1], bytes].concat());
        }
    }
}
