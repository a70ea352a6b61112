//! Anything in any order: what arrives is what was sent, nobody breaks a rule, and nothing waits for ever.

use crate::kit::{Machine, Pair, client, config, content};
use crate::network::Network;
use freehold_net_proto::limits::LANES_MAX;
use freehold_net_proto::{Closed, SessionConfig, Windows};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Send {
        by_client: bool,
        class: u8,
        len: usize,
    },
    GiveUp {
        by_client: bool,
        which: usize,
    },
    StopReading {
        by_client: bool,
        which: usize,
    },
    /// Leaves everything unread, so that what the other side may send comes down to nothing.
    Idle {
        by_client: bool,
    },
    /// Reads again.
    CatchUp {
        by_client: bool,
    },
    /// Lets the other side send so much unread from here on; 0 is no credit beyond what it has.
    Admit {
        by_client: bool,
        bytes: u64,
    },
    ChangeKey {
        by_client: bool,
    },
    Wait {
        ms: u64,
    },
    /// One machine's clock jumps forward.
    Jump {
        by_client: bool,
        ms: u64,
    },
    /// One machine is suspended, the other goes on.
    Sleep {
        by_client: bool,
        ms: u64,
    },
    /// Nothing at all is called for a while; then all timers are late.
    Stall {
        ms: u64,
    },
    Network {
        lost: u64,
        late: u64,
        repeated: u64,
        damaged: u64,
        burst: u64,
    },
    Carries {
        bytes: usize,
    },
    Cut {
        ms: u64,
    },
}

/// Seconds to minutes, in milliseconds; more often those that a session survives.
fn pause() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1_u64..2_000, 3 => 2_000_u64..30_000, 1 => 30_000_u64..200_000]
}

fn step() -> impl Strategy<Value = Step> {
    let side = any::<bool>;
    prop_oneof![
        8 => (side(), 0_u8..5, 0_usize..200_000).prop_map(|(by_client, class, len)| Step::Send { by_client, class, len }),
        1 => (side(), any::<usize>()).prop_map(|(by_client, which)| Step::GiveUp { by_client, which }),
        1 => (side(), any::<usize>()).prop_map(|(by_client, which)| Step::StopReading { by_client, which }),
        2 => side().prop_map(|by_client| Step::Idle { by_client }),
        2 => side().prop_map(|by_client| Step::CatchUp { by_client }),
        2 => (side(), prop_oneof![Just(0), Just(SESSION_BYTES / 4), Just(SESSION_BYTES)]).prop_map(|(by_client, bytes)| Step::Admit { by_client, bytes }),
        2 => side().prop_map(|by_client| Step::ChangeKey { by_client }),
        6 => (0_u64..400).prop_map(|ms| Step::Wait { ms }),
        1 => (side(), pause()).prop_map(|(by_client, ms)| Step::Jump { by_client, ms }),
        1 => (side(), pause()).prop_map(|(by_client, ms)| Step::Sleep { by_client, ms }),
        1 => pause().prop_map(|ms| Step::Stall { ms }),
        2 => (0_u64..100, 0_u64..200, 0_u64..50, 0_u64..30, 0_u64..500).prop_map(
            |(lost, late, repeated, damaged, burst)| Step::Network { lost, late, repeated, damaged, burst }
        ),
        1 => prop_oneof![Just(1_200_usize), Just(1_300), Just(65_535)].prop_map(|bytes| Step::Carries { bytes }),
        1 => (100_u64..5_000).prop_map(|ms| Step::Cut { ms }),
    ]
}

/// The most that either side ever lets the other send unread.
const SESSION_BYTES: u64 = 240_000;

/// Windows small enough that a few sends fill them, or none at all to begin with.
fn windows() -> impl Strategy<Value = Windows> {
    let lane = prop_oneof![Just(30_000_u64), Just(120_000), Just(2 << 20)];
    let session = prop_oneof![1 => Just(0), 3 => Just(SESSION_BYTES)];
    (lane, session).prop_map(|(lane_bytes, session_bytes)| Windows {
        lane_bytes,
        session_bytes,
        kept_bytes: KEPT_BYTES,
    })
}

const KEPT_BYTES: u64 = 500_000;

/// Lanes by who opened them and their number: what was sent, unless somebody gave up.
type Sent = BTreeMap<(bool, u64), Option<Vec<u8>>>;

const fn side(pair: &mut Pair, is_client: bool) -> &mut Machine {
    if is_client { &mut pair.client } else { &mut pair.server }
}

fn take(pair: &mut Pair, sent: &mut Sent, step: Step) {
    let now = pair.now;
    match step {
        Step::Send { by_client, class, len } => {
            let machine = side(pair, by_client);
            if machine.is_open() && sent.keys().filter(|key| key.0 == by_client).count() < 200 {
                let lane = machine.send(class, &content(len));
                sent.insert((by_client, lane), Some(content(len)));
            }
        }
        Step::GiveUp { by_client, which } => give_up(pair, sent, by_client, which, true),
        Step::StopReading { by_client, which } => give_up(pair, sent, by_client, which, false),
        Step::Idle { by_client } => side(pair, by_client).is_slow = true,
        Step::CatchUp { by_client } => side(pair, by_client).catch_up(),
        Step::Admit { by_client, bytes } => admit(side(pair, by_client), bytes),
        Step::ChangeKey { by_client } => {
            let machine = side(pair, by_client);
            let its_now = now + machine.ahead;
            if machine.is_open() {
                machine.session().change_key(its_now);
            }
        }
        Step::Wait { ms } => {
            pair.run(Duration::from_millis(ms), |_| false);
        }
        Step::Jump { by_client, ms } => side(pair, by_client).ahead += Duration::from_millis(ms),
        Step::Sleep { by_client, ms } => {
            side(pair, by_client).is_asleep = true;
            pair.run(Duration::from_millis(ms), |_| false);
            let now = pair.now;
            side(pair, by_client).wake(now);
        }
        Step::Stall { ms } => pair.now = now + Duration::from_millis(ms),
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

fn admit(machine: &mut Machine, bytes: u64) {
    if machine.is_open() {
        machine.session().admit(bytes);
    }
}

/// The writer resets a lane, or the reader stops it.
fn give_up(pair: &mut Pair, sent: &mut Sent, by_client: bool, which: usize, is_writer: bool) {
    let lanes: Vec<u64> = sent.keys().filter(|key| key.0 == by_client).map(|key| key.1).collect();
    let Some(lane) = lanes.get(which % lanes.len().max(1)).copied() else { return };
    let machine = side(pair, by_client == is_writer);
    machine.to_write.remove(&lane);
    if !machine.is_open() {
        return;
    }
    if is_writer {
        machine.session().reset_lane(lane, 70);
    } else {
        machine.session().stop_lane(lane, 71);
    }
    sent.insert((by_client, lane), None);
}

/// What either side holds stays within what it was told to hold.
fn assert_bounded(pair: &mut Pair) {
    for is_client in [true, false] {
        let machine = side(pair, is_client);
        if machine.is_open() {
            let held = machine.session().held();
            assert!(held.lanes as u64 <= 2 * LANES_MAX && held.control as u64 <= 8 * LANES_MAX, "{held:?}");
            assert!(held.unread <= SESSION_BYTES && held.kept <= KEPT_BYTES, "{held:?}");
        }
    }
}

/// Everything that held things up is taken away.
fn calm(pair: &mut Pair) {
    pair.network.is_cut = false;
    (pair.network.lost, pair.network.burst, pair.network.carries) = (5, 0, 65_535);
    for is_client in [true, false] {
        admit(side(pair, is_client), SESSION_BYTES);
        side(pair, is_client).catch_up();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_what_arrives_is_what_was_sent_and_nothing_waits_for_ever(
        seed in any::<u64>(),
        windows in windows(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let config = SessionConfig { windows, ..config() };
        let mut pair = Pair::with(Network::perfect(Duration::from_millis(15)).seeded(seed), config.clone());
        pair.connect(client(1, 2), config);
        prop_assert!(pair.run(Duration::from_secs(5), |pair| pair.client.established.is_some() && pair.server.established.is_some()));
        let is_strange = |step: &Step| matches!(step, Step::Jump { .. } | Step::Sleep { .. } | Step::Stall { .. });
        let may_end = steps.iter().any(is_strange);
        let mut sent = Sent::new();
        for step in steps {
            take(&mut pair, &mut sent, step);
            assert_bounded(&mut pair);
        }
        calm(&mut pair);
        let wanted: Vec<(bool, u64)> = sent.iter().filter(|(_, bytes)| bytes.is_some()).map(|(key, _)| *key).collect();
        let has_come = |pair: &Pair| wanted.iter().all(|(by_client, lane)| {
            let reader = if *by_client { &pair.server } else { &pair.client };
            reader.came.get(lane).is_some_and(|came| came.1)
        });
        let is_over = |pair: &Pair| !pair.client.closed.is_empty() && !pair.server.closed.is_empty();
        prop_assert!(
            pair.run(Duration::from_secs(400), |pair| has_come(pair) || is_over(pair)),
            "neither everything nor the end has come: {:?} {:?}", pair.client.closed, pair.server.closed
        );
        for ((by_client, lane), bytes) in &sent {
            let reader = if *by_client { &pair.server } else { &pair.client };
            if let (Some(bytes), Some((came, is_whole))) = (bytes, reader.came.get(lane)) {
                let is_right = if *is_whole { bytes == came } else { bytes.starts_with(came) };
                prop_assert!(is_right, "lane {lane} has other bytes");
            }
        }
        // Only who was away too long loses a session, and it is said as that.
        let is_expected = |closed: &Closed| may_end && matches!(closed, Closed::TimedOut | Closed::Reset);
        prop_assert!(pair.client.closed.iter().chain(&pair.server.closed).all(is_expected), "{:?} {:?}", pair.client.closed, pair.server.closed);
    }
}
