//! What goes to the kernel in one call, and how far the window grows.

use crate::kit::{Pair, content};
use crate::network::Network;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::Duration;

/// A round trip as between two machines on one wire.
const NEAR: Duration = Duration::from_micros(200);

/// Pieces as links write bodies: each is some datagrams more than one call to the kernel takes.
fn pieces(content: &[u8]) -> VecDeque<Option<Bytes>> {
    content.chunks(65_536).map(|piece| Some(Bytes::copy_from_slice(piece))).chain([None]).collect()
}

/// A pair, and what it sent of so many bytes that were written piece by piece.
fn transfer(len: usize) -> Pair {
    let mut pair = Pair::connected(Network::perfect(NEAR / 2));
    let lane = pair.client.session().open_lane(3).expect("the first");
    let sent = content(len);
    pair.client.batches.clear();
    for piece in pieces(&sent) {
        pair.client.to_write.entry(lane).or_default().push_back(piece);
        pair.client.write();
        pair.exchange();
        // The program has the next piece a little later.
        pair.run(Duration::from_micros(10), |_| false);
    }
    assert!(pair.run(Duration::from_secs(60), |pair| pair.server.came.get(&lane).is_some_and(|came| came.1)));
    assert!(pair.server.came[&lane].0 == sent);
    pair
}

#[test]
fn bulk_goes_to_the_kernel_in_whole_batches_whatever_pieces_it_is_written_in() {
    let pair = transfer(40 << 20);
    let bulk: Vec<usize> = pair.client.batches.iter().copied().filter(|batch| *batch > 1).collect();
    let (datagrams, calls) = (bulk.iter().sum::<usize>(), bulk.len());
    assert!(datagrams > 28_000 && datagrams / calls >= 40, "{datagrams} datagrams in {calls} calls");
}

#[test]
fn a_part_of_a_batch_goes_with_the_next_acknowledgement_when_nothing_follows() {
    let mut pair = Pair::connected(Network::perfect(NEAR / 2));
    let lane = pair.client.session().open_lane(3).expect("the first");
    // Long enough to have a window of many batches.
    for len in [8 << 20, 100_000, 65_536, 63_000, 1] {
        let before = pair.server.came.get(&lane).map_or(0, |came| came.0.len());
        pair.client.to_write.insert(lane, VecDeque::from([Some(Bytes::from(vec![7; len]))]));
        pair.client.write();
        let is_there =
            |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.0.len() == before + len);
        assert!(pair.run(Duration::from_secs(10), is_there), "{len} bytes");
        let began = pair.now;
        pair.client.to_write.insert(lane, VecDeque::from([Some(Bytes::from(vec![8; 65_536 + 9]))]));
        pair.client.write();
        let is_all = |pair: &Pair| {
            pair.server.came.get(&lane).is_some_and(|came| came.0.len() == before + len + 65_536 + 9)
        };
        assert!(pair.run(Duration::from_secs(10), is_all));
        let took = pair.now.since(began);
        assert!(took <= Duration::from_millis(2), "the end of it took {took:?}");
    }
}

#[test]
fn a_part_of_a_batch_waits_for_a_moment_and_no_round_trip() {
    let far = Duration::from_millis(100);
    let mut pair = Pair::connected(Network::perfect(far));
    let lane = pair.client.session().open_lane(3).expect("the first");
    let came = |pair: &Pair| pair.server.came.get(&lane).map_or(0, |came| came.0.len());
    let mut written = 0;
    // The window is many batches by then; the last piece is one and a part of another.
    for len in [4 << 20, 64_000 + 10_000] {
        pair.client.to_write.insert(lane, VecDeque::from([Some(Bytes::from(vec![7; len]))]));
        pair.client.write();
        let began = pair.now;
        written += len;
        assert!(pair.run(Duration::from_secs(60), |pair| came(pair) == written));
        if len < 1 << 20 {
            assert!(pair.now.since(began) <= far + Duration::from_millis(10), "{:?}", pair.now.since(began));
        }
    }
}

#[test]
fn the_window_grows_no_further_than_it_is_used() {
    let mut pair = transfer(64 << 20);
    let window = pair.client.session().stats().window;
    // No more than the other side lets one lane send can be on its way.
    assert!(window <= 8 << 20, "a window of {window} bytes");
}
