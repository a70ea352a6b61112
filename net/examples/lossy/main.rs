//! FHP and quinn over one lossy link in virtual time, for `./x bench net`: what arrives a second, and what share
//! of what was sent was sent again. Both with CUBIC, both bounded at 1,452-byte datagrams.
//!
//! `lossy SEED LOST_OF_THOUSAND MEBIBYTES` prints one JSON object. The bytes that come are compared with those sent.

#![expect(clippy::print_stdout, reason = "a program for the benchmark: its output is its answer")]

#[path = "../../proto/tests/pair/kit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod kit;
#[path = "../../proto/tests/pair/network.rs"]
mod network;
mod quinn_pair;

use network::Network;
use std::time::Duration;

/// One way: a round trip of 50 ms.
const DELAY: Duration = Duration::from_millis(25);

/// A link of 100 Mbit/s whose queue holds 100 ms of it.
const RATE: (u64, usize) = (12_500_000, 1_250_000);

/// How long a transfer may take in virtual time.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// What one transfer came to.
struct Outcome {
    seconds: f64,
    resent_share: f64,
}

fn main() {
    let words: Vec<u64> = std::env::args().skip(1).map(|word| word.parse().expect("a number")).collect();
    let [seed, lost, mebibytes] = words[..] else { panic!("SEED LOST_OF_THOUSAND MEBIBYTES") };
    let content = kit::content(usize::try_from(mebibytes << 20).expect("it fits into memory"));
    let network = || {
        let mut network = Network::perfect(DELAY).seeded(seed);
        (network.lost, network.rate) = (lost, Some(RATE));
        network
    };
    let (fhp, quinn) = (fhp(network(), &content), quinn_pair::transfer(network(), &content));
    let figures = |outcome: &Outcome| {
        let mbit = content.len() as f64 * 8.0 / outcome.seconds / 1e6;
        format!("{{\"mbit_per_sec\":{mbit:.3},\"resent_share\":{:.5}}}", outcome.resent_share)
    };
    println!("{{\"fhp\":{},\"quinn\":{}}}", figures(&fhp), figures(&quinn));
}

fn fhp(network: Network, content: &[u8]) -> Outcome {
    let mut pair = kit::Pair::connected(network);
    let started = pair.now;
    let lane = pair.client.send(3, content);
    let has_come = |pair: &kit::Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
    assert!(pair.run(PATIENCE, has_come), "it came in time");
    assert!(pair.server.came[&lane].0 == content, "the bytes are the same");
    let stats = pair.client.session().stats();
    let seconds = pair.now.since(started).as_secs_f64();
    Outcome { seconds, resent_share: stats.resent_bytes as f64 / stats.sent.1 as f64 }
}
