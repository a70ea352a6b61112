//! Clocks that jump, and machines that were away.

use crate::kit::{Pair, content};
use crate::network::Network;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(15);

/// The first packet's answer finds a clock that has jumped: its round trip seems to be more than a minute.
#[test]
fn a_round_trip_over_a_clock_that_jumps_puts_nothing_off_for_minutes() {
    let mut pair = Pair::connected(Network::perfect(DELAY));
    // What arrives is looked at before the timers, as after a suspension.
    pair.server.is_asleep = true;
    pair.run(Duration::from_secs(1), |_| false);
    pair.server.ahead += Duration::from_secs(70);
    let now = pair.now;
    pair.server.wake(now);
    pair.run(DELAY * 4, |_| false);
    let lane = pair.server.send(0, &content(160_000));
    pair.network.is_cut = true;
    pair.run(Duration::from_secs(2), |_| false);
    pair.network.is_cut = false;
    let is_there = |pair: &Pair| pair.client.came.get(&lane).is_some_and(|came| came.1);
    assert!(pair.run(Duration::from_secs(60), is_there), "{:?}", pair.server.session().stats());
    assert_eq!((&pair.client.closed[..], &pair.server.closed[..]), (&[][..], &[][..]));
}

#[test]
fn a_machine_that_sleeps_for_less_than_the_idle_time_goes_on_where_it_was() {
    for by_client in [true, false] {
        let mut pair = Pair::connected(Network::perfect(DELAY));
        let lane = pair.client.send(3, &content(4_000_000));
        pair.run(DELAY * 3, |_| false);
        let sleeper = if by_client { &mut pair.client } else { &mut pair.server };
        sleeper.is_asleep = true;
        pair.run(Duration::from_secs(40), |_| false);
        let now = pair.now;
        let sleeper = if by_client { &mut pair.client } else { &mut pair.server };
        sleeper.wake(now);
        let is_there = |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
        assert!(pair.run(Duration::from_secs(60), is_there), "the client slept: {by_client}");
        assert!(pair.server.came[&lane].0 == content(4_000_000));
    }
}
