//! Who gets a session, and who does not.

use crate::kit::{Pair, client, client_speaking, config, spki};
use crate::network::Network;
use freehold_net_proto::{Closed, HandshakeError};
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

fn is_over(pair: &Pair) -> bool {
    !pair.client.closed.is_empty()
}

#[test]
fn both_sides_learn_the_other_s_key_and_hello_in_two_round_trips() {
    let mut pair = Pair::new(Network::perfect(DELAY));
    pair.connect(client(1, 2), config());
    assert!(pair.run(Duration::from_secs(1), |pair| pair.client.established.is_some()));
    // The hello, its answer, our finish, and the first word under the new keys.
    assert_eq!(pair.now.since(freehold_net_proto::Time::default()), DELAY * 4);
    let (_, key, hello) = pair.client.established.clone().expect("established");
    assert_eq!((key, &hello[..]), (spki(2), &b"hello"[..]));
    let (_, key, _) = pair.server.established.clone().expect("established");
    assert_eq!(key, spki(1));
}

#[test]
fn a_key_that_is_not_the_one_expected_or_not_admitted_ends_the_attempt() {
    let ends = |tls| {
        let mut pair = Pair::new(Network::perfect(DELAY));
        pair.connect(tls, config());
        assert!(pair.run(Duration::from_secs(5), |pair| is_over(pair) && !pair.server.closed.is_empty()));
        assert!(pair.server.established.is_none());
        (pair.client.closed[0], pair.server.closed[0])
    };
    let (found, told) = (Closed::Handshake, Closed::Refused);
    let key = HandshakeError::Key;
    assert_eq!(ends(client(1, 3)), (found(key), told(key)), "it expects another");
    assert_eq!(ends(client(9, 2)), (told(key), found(key)), "it is not admitted");
    let other = client_speaking(1, 2, b"freehold-quic/1");
    let speech = HandshakeError::Incompatible;
    assert_eq!(ends(other), (told(speech), found(speech)), "another protocol");
}

#[test]
fn a_handshake_survives_what_the_network_does() {
    for seed in 0..200 {
        let mut network = Network::perfect(DELAY).seeded(seed);
        (network.lost, network.repeated, network.damaged, network.late) = (200, 100, 50, 300);
        let mut pair = Pair::new(network);
        pair.connect(client(1, 2), config());
        let is_done = |pair: &Pair| pair.client.established.is_some() && pair.server.established.is_some();
        assert!(pair.run(Duration::from_secs(10), is_done), "seed {seed}: {:?}", pair.client.closed);
    }
}

#[test]
fn nobody_there_is_a_timeout() {
    let mut pair = Pair::new(Network::perfect(DELAY));
    pair.network.is_cut = true;
    pair.connect(client(1, 2), config());
    assert!(pair.run(Duration::from_secs(11), is_over));
    assert_eq!(pair.client.closed, [Closed::TimedOut]);
}

#[test]
fn an_address_that_is_not_proven_gets_no_more_than_three_times_what_came() {
    let mut pair = Pair::new(Network::perfect(DELAY));
    pair.connect(client(1, 2), config());
    pair.network.seen = Some(Vec::new());
    // The hello arrives, and from then on nothing reaches the client.
    let addr = pair.client.addr;
    pair.run(DELAY + Duration::from_millis(1), |_| false);
    pair.network.is_cut = true;
    pair.run(Duration::from_secs(9), |_| false);
    let seen = pair.network.seen.take().expect("kept");
    let bytes = |from_client: bool| -> usize {
        let of = seen.iter().filter(|(from, _)| (*from == addr) == from_client);
        of.map(|(_, datagram)| datagram.len()).sum()
    };
    // Only the first flight got through; the client repeats it into nowhere.
    let came = 2 * 1_200;
    assert!(bytes(false) > 1_000 && bytes(false) <= 3 * came, "{} for {came}", bytes(false));
}

#[test]
fn with_many_newcomers_at_once_a_cookie_is_asked_for_and_honest_ones_get_in() {
    let mut pair = Pair::new(Network::perfect(DELAY));
    // Hellos from addresses that never answer.
    pair.connect(client(1, 2), config());
    pair.network.seen = Some(Vec::new());
    pair.exchange();
    let seen = pair.network.seen.take().expect("kept");
    let hello = seen[0].1.clone();
    for number in 0..5_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        let mut forged = hello.clone();
        pair.server.endpoint.handle(([10, a, b, c], 999).into(), &mut forged, pair.now);
    }
    assert!(pair.server.endpoint.newcomers() <= 128, "{}", pair.server.endpoint.newcomers());
    let is_done = |pair: &Pair| pair.client.established.is_some();
    assert!(pair.run(Duration::from_secs(10), is_done), "{:?}", pair.client.closed);
}
