//! Anything in any order: what arrives is what was sent, and nobody breaks a rule.

use crate::kit::{Pair, content};
use crate::network::Network;
use freehold_net_proto::Closed;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Send { by_client: bool, class: u8, len: usize },
    GiveUp { by_client: bool, which: usize },
    StopReading { by_client: bool, which: usize },
    ChangeKey { by_client: bool },
    Wait { ms: u64 },
    Network { lost: u64, late: u64, repeated: u64, damaged: u64, burst: u64 },
    Carries { bytes: usize },
    Cut { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let side = any::<bool>;
    prop_oneof![
        6 => (side(), 0_u8..5, 0_usize..200_000).prop_map(|(by_client, class, len)| Step::Send { by_client, class, len }),
        1 => (side(), any::<usize>()).prop_map(|(by_client, which)| Step::GiveUp { by_client, which }),
        1 => (side(), any::<usize>()).prop_map(|(by_client, which)| Step::StopReading { by_client, which }),
        2 => side().prop_map(|by_client| Step::ChangeKey { by_client }),
        6 => (0_u64..400).prop_map(|ms| Step::Wait { ms }),
        2 => (0_u64..100, 0_u64..200, 0_u64..50, 0_u64..30, 0_u64..500).prop_map(
            |(lost, late, repeated, damaged, burst)| Step::Network { lost, late, repeated, damaged, burst }
        ),
        1 => prop_oneof![Just(1_200_usize), Just(1_300), Just(65_535)].prop_map(|bytes| Step::Carries { bytes }),
        1 => (100_u64..5_000).prop_map(|ms| Step::Cut { ms }),
    ]
}

/// Lanes by who opened them and their number: what was sent, unless somebody gave up.
type Sent = BTreeMap<(bool, u64), Option<Vec<u8>>>;

fn take(pair: &mut Pair, sent: &mut Sent, step: Step) {
    let now = pair.now;
    match step {
        Step::Send { by_client, class, len } => {
            let machine = if by_client { &mut pair.client } else { &mut pair.server };
            if machine.session().is_open() && sent.keys().filter(|key| key.0 == by_client).count() < 200 {
                let lane = machine.send(class, &content(len));
                sent.insert((by_client, lane), Some(content(len)));
            }
        }
        Step::GiveUp { by_client, which } => give_up(pair, sent, by_client, which, true),
        Step::StopReading { by_client, which } => give_up(pair, sent, by_client, which, false),
        Step::ChangeKey { by_client } => {
            let machine = if by_client { &mut pair.client } else { &mut pair.server };
            machine.session().change_key(now);
        }
        Step::Wait { ms } => {
            pair.run(Duration::from_millis(ms), |_| false);
        }
        Step::Network { lost, late, repeated, damaged, burst } => {
            let network = &mut pair.network;
            (network.lost, network.late, network.repeated) = (lost, late, repeated);
            (network.damaged, network.burst) = (damaged, burst);
        }
        Step::Carries { bytes } => pair.network.carries = bytes,
        Step::Cut { ms } => {
            pair.network.is_cut = true;
            pair.run(Duration::from_millis(ms), |_| false);
            pair.network.is_cut = false;
        }
    }
}

/// The writer resets a lane, or the reader stops it.
fn give_up(pair: &mut Pair, sent: &mut Sent, by_client: bool, which: usize, is_writer: bool) {
    let lanes: Vec<u64> = sent.keys().filter(|key| key.0 == by_client).map(|key| key.1).collect();
    let Some(lane) = lanes.get(which % lanes.len().max(1)).copied() else { return };
    let machine = if by_client == is_writer { &mut pair.client } else { &mut pair.server };
    machine.to_write.remove(&lane);
    if is_writer {
        machine.session().reset_lane(lane, 70);
    } else {
        machine.session().stop_lane(lane, 71);
    }
    sent.insert((by_client, lane), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_arrives_is_what_was_sent(seed in any::<u64>(), steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::connected(Network::perfect(Duration::from_millis(15)).seeded(seed));
        let mut sent = Sent::new();
        for step in steps {
            take(&mut pair, &mut sent, step);
        }
        pair.network.is_cut = false;
        (pair.network.lost, pair.network.burst, pair.network.carries) = (5, 0, 65_535);
        let wanted: Vec<(bool, u64)> = sent.iter().filter(|(_, bytes)| bytes.is_some()).map(|(key, _)| *key).collect();
        let has_come = |pair: &Pair| wanted.iter().all(|(by_client, lane)| {
            let reader = if *by_client { &pair.server } else { &pair.client };
            reader.came.get(lane).is_some_and(|came| came.1)
        });
        prop_assert!(pair.run(Duration::from_secs(400), has_come), "not everything came");
        for ((by_client, lane), bytes) in &sent {
            let reader = if *by_client { &pair.server } else { &pair.client };
            if let (Some(bytes), Some((came, _))) = (bytes, reader.came.get(lane)) {
                prop_assert!(bytes == came, "lane {lane} has other bytes");
            }
        }
        let bad = |closed: &Closed| !matches!(closed, Closed::Here);
        prop_assert!(!pair.client.closed.iter().chain(&pair.server.closed).any(bad), "{:?} {:?}", pair.client.closed, pair.server.closed);
    }
}
