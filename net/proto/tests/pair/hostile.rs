//! Datagrams of somebody else: forged, repeated, changed, from elsewhere.

use crate::kit::{Draws, Machine, Pair, client, config, content, server};
use crate::network::Network;
use freehold_model::Entropy;
use freehold_net_proto::header::HEADER_LEN;
use freehold_net_proto::{Closed, Endpoint};
use std::net::SocketAddr;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

/// A pair in the middle of a transfer, and every datagram so far with its sender.
fn under_way() -> (Pair, u64, Vec<(SocketAddr, Vec<u8>)>) {
    let mut pair = Pair::new(Network::perfect(DELAY));
    pair.network.seen = Some(Vec::new());
    pair.connect(client(1, 2), config());
    pair.run(Duration::from_secs(1), |pair| pair.client.established.is_some());
    let lane = pair.client.send(3, &content(400_000));
    pair.run(Duration::from_millis(130), |_| false);
    let seen = pair.network.seen.take().expect("kept");
    assert!(seen.len() > 30);
    (pair, lane, seen)
}

fn hand_over(pair: &mut Pair, from: SocketAddr, mut datagram: Vec<u8>) {
    let now = pair.now;
    let to = if from == pair.client.addr { &mut pair.server } else { &mut pair.client };
    to.endpoint.handle(from, &mut datagram, now);
}

fn assert_unharmed(mut pair: Pair, lane: u64) {
    let is_there = |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
    assert!(pair.run(Duration::from_secs(60), is_there));
    assert!(pair.server.came[&lane].0 == content(400_000));
    assert_eq!((&pair.client.closed[..], &pair.server.closed[..]), (&[][..], &[][..]));
}

#[test]
fn repeated_datagrams_change_nothing() {
    let (mut pair, lane, seen) = under_way();
    let before = pair.server.session().stats().received;
    for _ in 0..3 {
        for (from, datagram) in &seen {
            hand_over(&mut pair, *from, datagram.clone());
        }
    }
    let after = pair.server.session().stats().received;
    // What was still on its way when they were repeated counts once, by whichever copy.
    assert!(after.0 - before.0 <= seen.len() as u64);
    assert_unharmed(pair, lane);
}

#[test]
fn changed_datagrams_are_dropped_whatever_bit_is_changed() {
    let (mut pair, lane, seen) = under_way();
    for (number, (from, datagram)) in seen.iter().enumerate() {
        for bit in (number % 7..datagram.len() * 8).step_by(if number < 8 { 1 } else { 211 }) {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            hand_over(&mut pair, *from, changed.clone());
            // Somebody who mends the checksum gets no further.
            mend(&mut changed);
            hand_over(&mut pair, *from, changed);
        }
    }
    assert_unharmed(pair, lane);
}

/// Writes the checksum that a datagram should have.
fn mend(datagram: &mut [u8]) {
    let is_sealed = matches!(datagram[0], 0x85..=0x88) || datagram[1] & 0x20 != 0;
    let covered = if is_sealed { datagram.len().saturating_sub(16).max(HEADER_LEN) } else { HEADER_LEN };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&datagram[..16]);
    crc.update(&datagram[covered..]);
    let crc = crc.finalize().to_be_bytes();
    datagram[16..HEADER_LEN].copy_from_slice(&crc);
}

#[test]
fn datagrams_from_another_address_are_dropped() {
    let (mut pair, lane, seen) = under_way();
    for (from, datagram) in &seen {
        let elsewhere = SocketAddr::from(([10, 9, 9, 9], 4_000));
        let to = if *from == pair.client.addr { &mut pair.server } else { &mut pair.client };
        to.endpoint.handle(elsewhere, &mut datagram.clone(), pair.now);
    }
    assert!(pair.server.endpoint.dropped().stray > 0);
    assert_unharmed(pair, lane);
}

/// Whoever sees a first INIT can answer it with anything.
#[test]
fn a_cookie_of_any_other_length_is_no_cookie() {
    for len in [0, 19, 21, 255, 256, 1_150, 1_400, 60_000] {
        let mut pair = Pair::new(Network::perfect(DELAY));
        pair.network.seen = Some(Vec::new());
        pair.connect(client(1, 2), config());
        pair.exchange();
        let hello = pair.network.seen.take().expect("kept").remove(0).1;
        let mut retry = vec![0x83, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        retry[2..4].copy_from_slice(&u16::try_from(len).expect("short").to_be_bytes());
        retry[4..8].copy_from_slice(&hello[HEADER_LEN..HEADER_LEN + 4]);
        retry.resize(HEADER_LEN + len, 7);
        let mut crc = crc32fast::Hasher::new();
        crc.update(&retry[..16]);
        crc.update(&retry[HEADER_LEN..]);
        let crc = crc.finalize().to_be_bytes();
        retry[16..HEADER_LEN].copy_from_slice(&crc);
        let server = pair.server.addr;
        hand_over(&mut pair, server, retry);
        assert!(pair.run(Duration::from_secs(5), |pair| pair.client.established.is_some()), "{len}");
    }
}

#[test]
fn noise_makes_no_session_and_no_answer_larger_than_itself() {
    let mut pair = Pair::new(Network::perfect(DELAY));
    pair.network.seen = Some(Vec::new());
    let mut draws = Draws(77);
    for number in 0..20_000_u32 {
        let mut noise = vec![0; number as usize % 1_300];
        draws.fill(&mut noise);
        if let Some(first) = noise.first_mut() {
            *first = 0x80 | (*first % 10);
        }
        if noise.len() >= HEADER_LEN {
            let len = u16::try_from(noise.len() - HEADER_LEN).expect("short").to_be_bytes();
            noise[2..4].copy_from_slice(&len);
            mend(&mut noise);
        }
        let sent = noise.len();
        pair.server.endpoint.handle(([10, 8, 8, 8], 8).into(), &mut noise, pair.now);
        pair.exchange();
        let answers: usize =
            pair.network.seen.as_mut().expect("kept").drain(..).map(|(_, bytes)| bytes.len()).sum();
        assert!(answers <= sent, "{answers} for {sent}");
    }
    assert_eq!(pair.server.endpoint.sessions().count(), 0);
    assert!(pair.server.endpoint.newcomers() <= 128);
}

/// A machine that restarts has lost its sessions, and says so with a token that nobody else can know.
#[test]
fn a_restart_is_noticed_by_the_other_side_at_once() {
    let (mut pair, _, _) = under_way();
    let addr = pair.server.addr;
    let restarted = Endpoint::new(&[2; 32], Box::new(Draws(5)), Some((server(2, &[1]), config())));
    pair.server = Machine { endpoint: restarted, ..Machine::at(addr) };
    assert!(pair.run(Duration::from_secs(2), |pair| !pair.client.closed.is_empty()));
    assert_eq!(pair.client.closed, [Closed::Reset]);

    let (mut pair, _, _) = under_way();
    let stranger = Endpoint::new(&[3; 32], Box::new(Draws(5)), Some((server(2, &[1]), config())));
    pair.server = Machine { endpoint: stranger, ..Machine::at(addr) };
    pair.run(Duration::from_secs(2), |_| false);
    assert_eq!(pair.client.closed, [], "the token of another machine says nothing");
}
