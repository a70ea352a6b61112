//! How large datagrams are, on paths that change.

use crate::kit::{Pair, client, config, content};
use crate::network::Network;
use freehold_net_proto::SessionConfig;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

/// A pair that tries datagrams of up to 9,000 bytes, and has found that they pass.
fn jumbo() -> Pair {
    let config = SessionConfig { datagram_bytes: 9_000, ..config() };
    let mut pair = Pair::with(Network::perfect(DELAY), config.clone());
    pair.connect(client(1, 2), config);
    assert!(pair.run(Duration::from_secs(5), |pair| pair.client.established.is_some()));
    let sizes = sizes_under_load(&mut pair, Duration::from_secs(5));
    assert_eq!(sizes.last().map(|(_, size)| *size), Some(9_000), "{sizes:?}");
    pair
}

/// Keeps the client sending for a while: since when its datagrams had which size.
fn sizes_under_load(pair: &mut Pair, time: Duration) -> Vec<(Duration, usize)> {
    let (began, mut sizes) = (pair.now, Vec::new());
    let mut lane = pair.client.send(3, &content(300_000));
    while pair.now.since(began) < time {
        if pair.run(Duration::from_millis(20), |pair| pair.server.came.get(&lane).is_some_and(|came| came.1))
        {
            // Nobody answers on a lane, so that it is over and makes room for the next.
            pair.server.session().reset_lane(lane, 0);
            pair.run(DELAY * 4, |_| false);
            pair.client.read(lane);
            lane = pair.client.send(3, &content(300_000));
        }
        let size = pair.client.session().stats().datagram_bytes;
        if sizes.last().is_none_or(|(_, before)| *before != size) {
            sizes.push((pair.now.since(began), size));
        }
    }
    assert_eq!((&pair.client.closed[..], &pair.server.closed[..]), (&[][..], &[][..]));
    sizes
}

#[test]
fn a_path_that_shrinks_from_jumbo_to_less_than_ethernet_is_at_its_size_within_thirty_seconds() {
    let mut pair = jumbo();
    pair.network.carries = 1_400;
    let sizes = sizes_under_load(&mut pair, Duration::from_secs(300));
    let found: Vec<usize> = sizes.iter().map(|(_, size)| *size).collect();
    assert_eq!(found, [9_000, 1_200, 1_280, 1_392], "it goes down once and up once: {sizes:?}");
    assert!(sizes[3].0 <= Duration::from_secs(30) && sizes[3].1 >= 1_350, "{sizes:?}");
}

#[test]
fn a_path_that_lets_only_probes_through_is_not_believed_again_and_again() {
    let mut pair = jumbo();
    pair.network.carries_data = 1_200;
    let sizes = sizes_under_load(&mut pair, Duration::from_secs(600));
    let falls = sizes.windows(2).filter(|two| two[1].1 < two[0].1).count();
    assert!((2..=12).contains(&falls), "{falls}: {sizes:?}");
}

#[test]
fn a_cut_costs_the_size_for_seconds_and_not_for_minutes() {
    let mut pair = jumbo();
    let lane = pair.client.send(3, &content(300_000));
    pair.network.is_cut = true;
    pair.run(Duration::from_secs(12), |_| false);
    assert_eq!(pair.client.session().stats().datagram_bytes, 1_200);
    pair.network.is_cut = false;
    assert!(pair.run(Duration::from_secs(60), |pair| pair.server.came.get(&lane).is_some_and(|came| came.1)));
    let sizes = sizes_under_load(&mut pair, Duration::from_secs(30));
    assert_eq!(sizes.last().map(|(_, size)| *size), Some(9_000), "{sizes:?}");
}
