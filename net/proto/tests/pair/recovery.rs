//! How fast a session is again after losses, bursts of them, and a cut.

use crate::kit::{Pair, content};
use crate::network::Network;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

fn has_come(lane: u64) -> impl Fn(&Pair) -> bool {
    move |pair| pair.server.came.get(&lane).is_some_and(|came| came.1)
}

#[test]
fn when_losses_end_the_window_grows_again_from_any_size() {
    for seed in 0..40 {
        let mut pair = Pair::connected(Network::perfect(DELAY).seeded(seed));
        pair.network.lost = 150;
        let lane = pair.client.send(3, &content(8_000_000));
        pair.run(Duration::from_secs(15), |_| false);
        pair.network.lost = 0;
        let began = pair.now;
        assert!(pair.run(Duration::from_secs(120), has_come(lane)));
        let took = pair.now.since(began);
        // Two packets a round trip would take more than two minutes.
        assert!(took < Duration::from_secs(40), "seed {seed}: {took:?}");
    }
}

#[test]
fn a_queue_that_overflows_does_not_pass_for_a_path_that_shrank() {
    let mut network = Network::perfect(DELAY);
    network.rate = Some((2_000_000, 60_000));
    let mut pair = Pair::connected(network);
    let lane = pair.client.send(3, &content(30_000_000));
    let is_found = |pair: &mut Pair| pair.client.session().stats().datagram_bytes == 1_452;
    assert!((0..100).any(|_| pair.run(Duration::from_millis(50), |_| false) || is_found(&mut pair)));
    while !pair.run(Duration::from_millis(100), has_come(lane)) {
        assert!(is_found(&mut pair), "after {:?}", pair.client.session().stats());
    }
    assert!(pair.client.session().stats().lost.0 > 50, "nothing was lost in a row");
}

#[test]
fn after_a_cut_the_window_doubles_until_half_of_what_it_was() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    let first = pair.client.send(3, &content(8_000_000));
    assert!(pair.run(Duration::from_secs(60), has_come(first)));
    let lane = pair.client.send(3, &content(40_000_000));
    pair.run(Duration::from_millis(400), |_| false);
    // No more of a lane can be on its way than the other side takes.
    let before = pair.client.session().stats().window.min(2 << 20);
    pair.network.is_cut = true;
    pair.run(Duration::from_secs(10), |_| false);
    pair.network.is_cut = false;
    pair.run(Duration::from_secs(5), |_| false);
    let after = pair.client.session().stats().window;
    assert!(after >= before / 2, "{before} before, {after} five seconds after it");
    assert!(pair.run(Duration::from_secs(60), has_come(lane)));
}
