//! Every frame has one encoding; anything else is refused without reading past the slice.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may panic on its own numbers"
)]

use freehold_model::codec::{from_slice, to_vec};
use proptest::prelude::*;

use super::*;

#[test]
fn hello_bytes_are_fixed() {
    let hello = Hello { version: 1, max_in_flight: 256, max_head_bytes: 65_536, max_body_bytes: 0x0102 };
    let bytes = to_vec(&hello);
    assert_eq!(bytes, *b"FHLK\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x02");
    assert_eq!(bytes.len(), Hello::LEN);
}

#[test]
fn request_head_bytes_are_fixed() {
    let head =
        RequestHead { class: Class::Bulk, method: 0x0203, credit_bytes: 4, body_bytes: None, head_bytes: 5 };
    let bytes = to_vec(&head);
    assert_eq!(bytes.len(), RequestHead::LEN);
    assert_eq!(bytes, *b"\x01\x03\x02\x03\0\0\0\0\0\0\0\x04\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\x05");
}

#[test]
fn response_head_bytes_are_fixed() {
    let bytes = to_vec(&ResponseHead::refusal(RefusalCode::BUSY));
    assert_eq!(bytes.len(), ResponseHead::LEN);
    assert_eq!(bytes, *b"\x01\x01\xff\x05\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn refusal_with_a_body_or_without_a_reason_is_refused() {
    let mut with_body = to_vec(&ResponseHead::refusal(RefusalCode::BUSY));
    with_body[11] = 1;
    assert_eq!(from_slice::<ResponseHead>(&with_body), Err(DecodeError::Invalid("refusal with a body")));
    let without_reason = to_vec(&ResponseHead::refusal(RefusalCode(0)));
    assert_eq!(from_slice::<ResponseHead>(&without_reason), Err(DecodeError::Invalid("response verdict")));
}

#[test]
fn head_length_over_the_limit_is_refused_before_anything_is_read() {
    let head = RequestHead {
        class: Class::Control,
        method: 1,
        credit_bytes: 0,
        body_bytes: Some(0),
        head_bytes: u32::MAX,
    };
    assert_eq!(from_slice::<RequestHead>(&to_vec(&head)), Err(DecodeError::TooLong));
}

#[test]
fn meter_refuses_a_piece_that_wraps_around() {
    let mut meter = BodyMeter::new(None, u64::MAX).expect("within credit");
    assert_eq!(meter.piece(u64::MAX, 2), Err(MeterError::OverCredit));
}

proptest! {
    #[test]
    fn heads_come_back(class in 0_usize..5, method: u16, credit: u64, body in proptest::option::of(0..u64::MAX),
                       head in 0..=65_536_u32, code in 1..=u16::MAX) {
        let request = RequestHead {
            class: Class::ALL[class], method, credit_bytes: credit, body_bytes: body, head_bytes: head,
        };
        prop_assert_eq!(from_slice::<RequestHead>(&to_vec(&request)), Ok(request));
        let granted = ResponseHead { verdict: Verdict::Granted, body_bytes: body, head_bytes: head };
        prop_assert_eq!(from_slice::<ResponseHead>(&to_vec(&granted)), Ok(granted));
        let refused = ResponseHead::refusal(RefusalCode(code));
        prop_assert_eq!(from_slice::<ResponseHead>(&to_vec(&refused)), Ok(refused));
    }

    #[test]
    fn arbitrary_bytes_decode_to_themselves_or_not_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(head) = from_slice::<RequestHead>(&bytes) { prop_assert_eq!(to_vec(&head), bytes.clone()); }
        if let Ok(head) = from_slice::<ResponseHead>(&bytes) { prop_assert_eq!(to_vec(&head), bytes.clone()); }
        if let Ok(hello) = from_slice::<Hello>(&bytes) { prop_assert_eq!(to_vec(&hello), bytes); }
    }

    #[test]
    fn meter_never_counts_past_its_limit(announced in proptest::option::of(0_u64..1_000), credit in 0_u64..1_000,
                                         pieces in proptest::collection::vec((0_u64..1_200, 0_usize..400), 0..12)) {
        let Ok(mut meter) = BodyMeter::new(announced, credit) else {
            prop_assert!(announced.is_some_and(|len| len > credit));
            return Ok(());
        };
        let mut counted = 0;
        for (offset, len) in pieces {
            if meter.piece(offset, len).is_ok() {
                counted += len as u64;
                prop_assert!(offset + len as u64 <= credit);
            }
        }
        prop_assert!(counted <= credit);
        prop_assert_eq!(meter.finish().is_ok(), announced.is_none_or(|len| len == counted));
    }
}
