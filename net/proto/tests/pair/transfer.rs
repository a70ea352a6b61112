//! Bytes that arrive whole, in order, once, whatever happens on the way.

use crate::kit::{Pair, content};
use crate::network::Network;
use freehold_net_proto::Closed;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

/// Sends bytes over a network and back again; the pair afterwards.
fn echo(network: Network, len: usize, at_most: Duration) -> Pair {
    let mut pair = Pair::connected(network);
    pair.server.echoes = true;
    let sent = content(len);
    let lane = pair.client.send(3, &sent);
    let is_back = move |pair: &Pair| pair.client.came.get(&lane).is_some_and(|(_, ended)| *ended);
    let is_done = pair.run(at_most, is_back);
    let (client, server) = (&pair.client.closed, &pair.server.closed);
    assert!(is_done, "{client:?} {server:?} came {:?}", pair.client.came.get(&lane).map(|came| came.0.len()));
    assert!(pair.client.came[&lane].0 == sent, "the bytes that came back are others");
    assert!(pair.server.came[&lane].0 == sent, "the bytes that came are others");
    pair
}

#[test]
fn bytes_go_there_and_back() {
    for len in [0, 1, 1_000, 1_400, 70_000, 5_000_000] {
        echo(Network::perfect(DELAY), len, Duration::from_secs(60));
    }
}

#[test]
fn loss_bursts_reordering_repeats_and_damage_change_no_byte() {
    for seed in 0..12 {
        for lost in [1, 10, 50, 100] {
            let mut network = Network::perfect(DELAY).seeded(seed * 7 + lost);
            network.lost = lost;
            (network.repeated, network.damaged, network.late, network.burst) = (20, 10, 50, 400);
            echo(network, 300_000, Duration::from_secs(300));
        }
    }
}

#[test]
fn a_path_that_carries_less_is_found_and_one_that_shrinks_recovers() {
    let mut pair = echo(Network::perfect(DELAY), 400_000, Duration::from_secs(60));
    assert_eq!(pair.client.session().stats().datagram_bytes, 1_452);
    pair.network.carries = 1_300;
    let lane = pair.client.send(3, &content(200_000));
    assert!(pair.run(Duration::from_secs(60), |pair| pair.client.came.get(&lane).is_some_and(|came| came.1)));
    let is_found = |pair: &mut Pair| pair.client.session().stats().datagram_bytes == 1_280;
    assert!((0..30).any(|_| pair.run(Duration::from_secs(1), |_| false) || is_found(&mut pair)));
    let mut narrow = Network::perfect(DELAY);
    narrow.carries = 1_400;
    let mut pair = echo(narrow, 400_000, Duration::from_secs(60));
    assert_eq!(pair.client.session().stats().datagram_bytes, 1_392);
}

#[test]
fn many_lanes_at_once_all_arrive_and_the_urgent_ones_first() {
    let mut network = Network::perfect(DELAY);
    network.rate = Some((2_000_000, 60_000));
    let mut pair = Pair::connected(network);
    let bulk: Vec<_> = (0..40).map(|number| pair.client.send(3, &content(50_000 + number))).collect();
    pair.run(Duration::from_millis(200), |_| false);
    let urgent = pair.client.send(1, &content(20_000));
    let is_there = |lane: u64| move |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
    assert!(pair.run(Duration::from_secs(30), is_there(urgent)));
    let finished = bulk.iter().filter(|lane| is_there(**lane)(&pair)).count();
    assert!(finished < 30, "{finished} of 40 came before it");
    for (number, lane) in bulk.iter().enumerate() {
        assert!(pair.run(Duration::from_secs(30), is_there(*lane)));
        assert!(pair.server.came[lane].0 == content(50_000 + number));
    }
}

#[test]
fn who_does_not_read_is_sent_no_more_than_the_window() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    pair.server.is_slow = true;
    let lanes: Vec<_> = (0..12).map(|_| pair.client.send(3, &content(3 << 20))).collect();
    pair.run(Duration::from_secs(30), |_| false);
    let (_, bytes) = pair.server.session().stats().received;
    assert!(bytes < 18 << 20, "{bytes}");
    pair.server.is_slow = false;
    lanes.iter().for_each(|lane| pair.server.read(*lane));
    for lane in lanes {
        let is_there = |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
        assert!(pair.run(Duration::from_secs(60), is_there));
    }
}

#[test]
fn a_lane_given_up_by_its_reader_or_its_writer_ends_and_leaves_room() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    for round in 0..600_u64 {
        let lane = pair.client.send(3, &content(40_000));
        if round % 2 == 0 {
            pair.client.session().reset_lane(lane, 7);
            pair.client.to_write.clear();
        }
        pair.client.session().stop_lane(lane, 8);
        pair.run(Duration::from_millis(60), |_| false);
        pair.server.session().stop_lane(lane, 9);
        pair.server.session().reset_lane(lane, 9);
        pair.run(Duration::from_millis(120), |_| false);
    }
    assert_eq!((&pair.client.closed[..], &pair.server.closed[..]), (&[][..], &[][..]));
    let lane = pair.client.send(3, b"still");
    assert!(pair.run(Duration::from_secs(5), |pair| pair.server.came.get(&lane).is_some_and(|came| came.1)));
}

#[test]
fn keys_change_under_loss_and_no_byte_is_lost() {
    let mut network = Network::perfect(DELAY);
    (network.lost, network.late) = (50, 100);
    let mut pair = Pair::connected(network);
    pair.server.echoes = true;
    let sent = content(2_000_000);
    let lane = pair.client.send(3, &sent);
    let mut changes = 0;
    for _ in 0..4_000 {
        let now = pair.now;
        changes += u32::from(pair.client.session().change_key(now));
        changes += u32::from(pair.server.session().change_key(now));
        if pair.run(Duration::from_millis(40), |pair| pair.client.came.get(&lane).is_some_and(|came| came.1))
        {
            break;
        }
    }
    assert!(changes > 10, "{changes}");
    assert!(pair.client.came[&lane].0 == sent);
}

/// The client's new key arrives and nothing of the server's: what the server changes to would be two ahead of
/// what the client has seen.
#[test]
fn a_key_is_not_changed_again_before_the_other_side_has_seen_it() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    pair.client.send(3, b"seen");
    pair.server.send(3, b"seen");
    pair.run(Duration::from_millis(200), |_| false);
    let now = pair.now;
    assert!(pair.client.session().change_key(now));
    let lane = pair.client.send(3, &content(12_000));
    pair.exchange();
    pair.network.is_cut = true;
    // What it asks an answer for keeps its clock going, so that it forgets the key before.
    pair.server.send(3, b"lost");
    pair.run(Duration::from_secs(2), |_| false);
    pair.network.is_cut = false;
    let now = pair.now;
    assert!(!pair.server.session().change_key(now), "the client has seen nothing under the last one");
    assert!(pair.run(Duration::from_secs(30), |pair| pair.server.came.get(&lane).is_some_and(|came| came.1)));
    let lane = pair.server.send(3, &content(12_000));
    assert!(pair.run(Duration::from_secs(30), |pair| pair.client.came.get(&lane).is_some_and(|came| came.1)));
    pair.run(Duration::from_secs(2), |_| false);
    let now = pair.now;
    assert!(pair.server.session().change_key(now), "now it has");
    let lane = pair.server.send(3, &content(12_000));
    assert!(pair.run(Duration::from_secs(30), |pair| pair.client.came.get(&lane).is_some_and(|came| came.1)));
    assert_eq!((&pair.client.closed[..], &pair.server.closed[..]), (&[][..], &[][..]));
}

#[test]
fn a_cut_that_heals_goes_on_and_one_that_stays_is_a_timeout() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    let sent = content(3_000_000);
    let lane = pair.client.send(3, &sent);
    pair.run(Duration::from_millis(300), |_| false);
    pair.network.is_cut = true;
    pair.run(Duration::from_secs(12), |_| false);
    pair.network.is_cut = false;
    assert!(pair.run(Duration::from_secs(60), |pair| pair.server.came.get(&lane).is_some_and(|came| came.1)));
    assert!(pair.server.came[&lane].0 == sent);
    pair.network.is_cut = true;
    pair.run(Duration::from_secs(70), |_| false);
    assert_eq!(
        (&pair.client.closed[..], &pair.server.closed[..]),
        (&[Closed::TimedOut][..], &[Closed::TimedOut][..])
    );
}

#[test]
fn after_a_long_cut_bytes_flow_again_within_seconds() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    let lane = pair.client.send(3, &content(3_000_000));
    pair.run(Duration::from_millis(300), |_| false);
    pair.network.is_cut = true;
    pair.run(Duration::from_secs(45), |_| false);
    pair.network.is_cut = false;
    let is_there = |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
    assert!(pair.run(Duration::from_secs(6), is_there), "nothing came for six seconds");
}

#[test]
fn a_quiet_session_stays_and_a_closed_one_ends_on_both_sides() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    pair.run(Duration::from_secs(600), |_| false);
    assert!(pair.client.closed.is_empty());
    let now = pair.now;
    pair.client.session().close(5, now);
    pair.run(Duration::from_secs(5), |_| false);
    assert_eq!(
        (&pair.client.closed[..], &pair.server.closed[..]),
        (&[Closed::Here][..], &[Closed::There(5)][..])
    );
    assert_eq!(pair.client.endpoint.sessions().count() + pair.server.endpoint.sessions().count(), 0);
}
