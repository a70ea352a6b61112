//! Every message survives a round trip; nothing longer, shorter or over its limit is taken.

use super::*;
use freehold_model::codec::{from_slice, to_vec};

fn id(n: u8) -> ChunkId {
    ChunkId::from_bytes([n; 32])
}

fn survives<T: Encode + Decode + PartialEq + fmt::Debug>(message: &T) {
    let bytes = to_vec(message);
    assert_eq!(from_slice::<T>(&bytes).as_ref(), Ok(message));
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(from_slice::<T>(&longer).is_err(), "trailing bytes must be refused");
    for end in 0..bytes.len() {
        let cut = bytes.get(..end).unwrap_or_default();
        assert!(from_slice::<T>(cut).is_err(), "cut at {end} must be refused");
    }
}

#[test]
fn every_message_survives_a_round_trip_and_no_cut() {
    let vault_tag = VaultTag::from_bytes([9; 16]);
    survives(&WitnessRequest { vault_tag, left: vec![7; 9] });
    survives(&WitnessResponse { left: vec![vec![1; 3], Vec::new()] });
    survives(&HaveRequest { vault_tag, ids: vec![id(1), id(2)] });
    survives(&HaveResponse { present: vec![true, false, true] });
    survives(&PutRequest { vault_tag, items: vec![PutItem { id: id(1), len_bytes: 77 }] });
    survives(&PutResponse {
        outcomes: vec![
            PutOutcome::Stored,
            PutOutcome::Present,
            PutOutcome::WrongId,
            PutOutcome::TooLarge,
            PutOutcome::NoSpace,
            PutOutcome::ReadOnly,
        ],
        receipt: vec![5; 182],
    });
    survives(&GetRequest { vault_tag, items: vec![GetItem::whole(id(3))] });
    survives(&GetResponse {
        outcomes: vec![
            GetOutcome::Found { total_bytes: 100, len_bytes: 60 },
            GetOutcome::Missing,
            GetOutcome::Damaged,
            GetOutcome::Later,
        ],
    });
}

#[test]
fn batches_over_their_limits_are_refused() {
    let vault_tag = VaultTag::default();
    let ids = vec![id(0); BATCH_ITEMS_MAX.saturating_add(1)];
    let many = to_vec(&HaveRequest { vault_tag, ids });
    assert_eq!(from_slice::<HaveRequest>(&many), Err(DecodeError::TooLong));
    let len_bytes = 9 * 1024 * 1024;
    let big = PutRequest { vault_tag, items: vec![PutItem { id: id(0), len_bytes }; 2] };
    assert_eq!(from_slice::<PutRequest>(&to_vec(&big)), Err(DecodeError::TooLong));
}

#[test]
fn spans_skip_items_without_bytes() {
    let found = |len_bytes| GetOutcome::Found { total_bytes: 50, len_bytes };
    let response = GetResponse { outcomes: vec![found(10), GetOutcome::Missing, found(5)] };
    assert_eq!(response.spans().collect::<Vec<_>>(), [Some(0..10), None, Some(10..15)]);
    assert_eq!(response.body_bytes(), 15);
}

#[test]
fn numbers_name_their_errors_and_stay_in_the_600s() {
    for error in PeerError::ALL {
        assert_eq!(PeerError::from_number(error.number()), Some(*error));
        assert!((600..700).contains(&error.number()));
    }
}

#[test]
fn what_is_left_at_a_node_is_bounded_in_bytes_and_number() {
    use crate::limits::{WITNESS_BYTES_MAX, WITNESSES_MAX};
    let vault_tag = VaultTag::from_bytes([9; 16]);
    let long = WitnessRequest { vault_tag, left: vec![0; WITNESS_BYTES_MAX + 1] };
    assert_eq!(from_slice::<WitnessRequest>(&to_vec(&long)), Err(DecodeError::TooLong));
    let full = WitnessResponse { left: vec![vec![0; WITNESS_BYTES_MAX]; WITNESSES_MAX] };
    assert_eq!(to_vec(&full).len(), WITNESS_RESPONSE_BYTES_MAX);
    let many = WitnessResponse { left: vec![Vec::new(); WITNESSES_MAX + 1] };
    assert_eq!(from_slice::<WitnessResponse>(&to_vec(&many)), Err(DecodeError::TooLong));
}
