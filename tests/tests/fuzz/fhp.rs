//! FHP's decoders, its endpoint before strangers and beside a live session, and a session whose other side
//! holds good keys and keeps no rule.

use crate::kit::{Draws, Pair, client, config, content, server};
use crate::network::Network;
use crate::{Edit, drive, edited};
use bolero::check;
use freehold_net_proto::header::{AAD_LEN, HEADER_LEN, Header, Kind, TAG_LEN, flag};
use freehold_net_proto::limits::{
    ACK_RUNS_MAX, AMPLIFICATION_MAX, HALF_OPEN_RETRY, HANDSHAKE_BYTES_MAX, LANES_MAX,
};
use freehold_net_proto::probe::{
    cookie, gather, is_cookie, read_crypto, read_frames, read_init, read_params,
};
use freehold_net_proto::{Closed, Endpoint, SessionConfig, Time, Windows};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(5);

/// Every datagram of a handshake and the beginning of a transfer, with who sent it: the client or not.
static SEEN: LazyLock<Vec<(bool, Vec<u8>)>> = LazyLock::new(|| {
    let (mut pair, _) = under_way(config());
    let addr = pair.client.addr;
    let seen = pair.network.seen.take().expect("kept");
    seen.into_iter().map(|(from, datagram)| (from == addr, datagram)).collect()
});

/// A pair in the middle of a transfer, and the transfer's lane. Each run is the same but for TLS's randomness.
fn under_way(config: SessionConfig) -> (Pair, u64) {
    let mut pair = Pair::with(Network::perfect(DELAY), config.clone());
    pair.network.seen = Some(Vec::new());
    pair.connect(client(1, 2), config);
    let is_there = |pair: &Pair| pair.client.established.is_some() && pair.server.established.is_some();
    assert!(pair.run(Duration::from_secs(5), is_there), "{:?}", pair.client.closed);
    let lane = pair.client.send(3, &content(60_000));
    pair.run(DELAY * 2, |_| false);
    (pair, lane)
}

/// Writes the length and the checksum that a datagram should have, so that it gets past the header.
fn mended(mut datagram: Vec<u8>) -> Vec<u8> {
    let Some(payload_len) = datagram.len().checked_sub(HEADER_LEN).and_then(|len| u16::try_from(len).ok())
    else {
        return datagram;
    };
    datagram[2..4].copy_from_slice(&payload_len.to_be_bytes());
    let is_sealed = matches!(datagram[0], 0x85..=0x88)
        || (matches!(datagram[0], 0x80 | 0x81) && datagram[1] & flag::SEALED != 0);
    let covered = if is_sealed { datagram.len().saturating_sub(TAG_LEN).max(HEADER_LEN) } else { HEADER_LEN };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&datagram[..AAD_LEN]);
    crc.update(&datagram[covered..]);
    datagram[AAD_LEN..HEADER_LEN].copy_from_slice(&crc.finalize().to_be_bytes());
    datagram
}

#[test]
fn fhp_headers() {
    drive(|bytes| {
        for datagram in [bytes.to_vec(), mended(bytes.to_vec())] {
            let Ok(header) = Header::read(&datagram) else { continue };
            let mut again = datagram.clone();
            again[..HEADER_LEN].copy_from_slice(&header.open_bytes(datagram.len() - HEADER_LEN));
            header.write_crc(&mut again);
            assert_eq!(again, datagram, "two headers for one value");
        }
    });
}

#[test]
fn fhp_frames() {
    drive(|bytes| {
        let (largest, content) = bytes.split_at(bytes.len().min(4));
        let largest = largest.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        let Some(reading) = read_frames(content, largest) else { return };
        let again = read_frames(&reading.bytes, largest);
        assert_eq!(again.as_ref(), Some(&reading), "what was written is not what was read");
    });
}

#[test]
fn fhp_acknowledged_runs() {
    check!().with_type::<(u32, Vec<(u16, u16)>)>().for_each(|(largest, runs)| {
        let mut bytes = vec![2, 0];
        varint(runs.len().saturating_sub(1) as u64, &mut bytes);
        for (number, (missing, run)) in runs.iter().enumerate() {
            if number > 0 {
                varint((*missing).into(), &mut bytes);
            }
            varint((*run).into(), &mut bytes);
        }
        let Some(reading) = read_frames(&bytes, (*largest).into()) else { return };
        assert!(reading.acked.len() <= ACK_RUNS_MAX + 1);
        assert_eq!(reading.acked.last().map(|(_, end)| *end), Some(u64::from(*largest) + 1));
        assert!(reading.acked.iter().all(|(start, end)| start < end), "an empty run");
        assert!(reading.acked.windows(2).all(|two| two[0].1 < two[1].0), "runs that touch, or out of order");
        assert_eq!(
            read_frames(&reading.bytes, (*largest).into()).expect("written here").acked,
            reading.acked
        );
    });
}

fn varint(value: u64, out: &mut Vec<u8>) {
    let shift = match value {
        0..0x40 => 0,
        0x40..0x4000 => 1,
        0x4000..0x4000_0000 => 2,
        _ => 3,
    };
    let at = out.len();
    out.extend_from_slice(&value.to_be_bytes()[8 - (1 << shift)..]);
    out[at] |= shift << 6;
}

#[test]
fn fhp_inits_and_handshake_pieces() {
    drive(|bytes| {
        for payload in [Some(bytes), bytes.get(HEADER_LEN..)].into_iter().flatten() {
            if let Some(again) = read_init(payload) {
                assert!(payload.starts_with(&again), "two byte strings for one INIT");
            }
            if let Some(again) = read_crypto(payload) {
                assert!(payload.starts_with(&again), "two byte strings for one piece");
            }
        }
    });
}

#[test]
fn fhp_pieces_in_any_order_are_the_text_or_a_beginning_of_it() {
    let text = content(2 * HANDSHAKE_BYTES_MAX);
    check!().with_type::<Vec<(u16, u16)>>().for_each(|cuts| {
        let pieces: Vec<(usize, &[u8])> = cuts
            .iter()
            .map(|(offset, len)| {
                let offset = usize::from(*offset) % (HANDSHAKE_BYTES_MAX + 100);
                (offset, &text[offset..offset + usize::from(*len) % 2_000])
            })
            .collect();
        let (gathered, held) = gather(&pieces);
        assert!(text.starts_with(&gathered));
        assert!(held <= 2 * HANDSHAKE_BYTES_MAX, "{held}");
    });
}

#[test]
fn fhp_parameters() {
    let good = [
        &b"FHP1"[..],
        &[0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0],
        &[0x05, 0xac, 0, 0, 0xea, 0x60],
        &[9; 16],
        &[0, 5],
        b"hello",
    ];
    let good = good.concat();
    assert_eq!(read_params(&good).as_ref(), Some(&good), "the seed is whole");
    check!().with_type::<(Vec<Edit>, Vec<u8>)>().for_each(|(edits, raw)| {
        for bytes in [&edited(&good, edits), raw] {
            if let Some(again) = read_params(bytes) {
                assert_eq!(&again, bytes, "two byte strings for one value");
            }
        }
    });
}

#[test]
fn fhp_cookies() {
    let who = (SocketAddr::from(([192, 0, 2, 1], 4_433)), 7);
    let now = Time::after_start(Duration::from_secs(1_000));
    let good = cookie(&[3; 32], who, now);
    assert!(is_cookie(&[3; 32], &good, who, now));
    check!().with_type::<(Vec<Edit>, Vec<u8>)>().for_each(|(edits, raw)| {
        for bytes in [&edited(&good, edits), raw] {
            assert_eq!(is_cookie(&[3; 32], bytes, who, now), *bytes == good);
        }
    });
}

/// What strangers send: which seen datagram, from where, how it is edited, and whether the header is mended.
type Sent = (u16, u8, Vec<Edit>, bool);

#[test]
fn fhp_strangers_leave_no_more_than_their_limit_and_get_little_back() {
    // Both datagrams of a hello from 15 hosts, 16 ports each: more than may be half open.
    let flood: Vec<Sent> =
        (0..15_u8).flat_map(|host| [0, 2].map(|which| (which, host * 16 + 15, Vec::new(), false))).collect();
    strangers(&flood, &[]);
    check!().with_type::<(Vec<Sent>, Vec<u8>)>().for_each(|(all, raw)| strangers(all, raw));
}

fn strangers(all: &[Sent], raw: &[u8]) {
    let mut endpoint = Endpoint::new(&[2; 32], Box::new(Draws(9)), Some((server(2, &[1]), config())));
    let (mut now, mut room) = (Time::default(), vec![0; 65_535]);
    let mut went: BTreeMap<SocketAddr, [u64; 2]> = BTreeMap::new();
    let mut different = BTreeSet::new();
    for (number, (which, host, edits, is_mended)) in all.iter().take(60).enumerate() {
        // Hellos are the only thing a stranger gets far with, so half of what comes is one.
        let which =
            if which % 2 == 0 { usize::from(*which) / 2 % 2 } else { usize::from(*which) % SEEN.len() };
        let datagram = edited(&SEEN[which].1, edits);
        let datagram = if *is_mended { mended(datagram) } else { datagram };
        let datagram = if number % 17 == 16 { mended(raw.to_vec()) } else { datagram };
        // The same from several addresses: together they are more than may be half open.
        for port in 0..u16::from(host % 16) + 1 {
            let from = SocketAddr::from(([10, 1, 0, *host], 999 + port));
            went.entry(from).or_default()[0] += datagram.len() as u64;
            endpoint.handle(from, &mut datagram.clone(), now);
            different.insert((from, datagram.clone()));
            now = now + Duration::from_millis(1);
            while let Some(transmit) = endpoint.transmit(now, &mut room) {
                went.entry(transmit.to).or_default()[1] += transmit.len as u64;
            }
            let open = endpoint.newcomers() + endpoint.sessions().count();
            // One address may begin several, as behind it may be many hosts: each with a datagram of its own.
            let strangers = different.len();
            assert!(open <= strangers.min(HALF_OPEN_RETRY), "{open} of {strangers} strangers");
        }
    }
    for (addr, [came, sent]) in &went {
        assert!(*sent <= came * AMPLIFICATION_MAX, "{addr} sent {came} and got {sent}");
    }
    endpoint.expire(now + Duration::from_secs(20));
    assert_eq!(endpoint.newcomers(), 0, "a newcomer stays");
}

#[test]
fn fhp_edited_datagrams_beside_a_live_session_change_nothing() {
    check!().with_type::<(Vec<Sent>, Vec<u8>)>().for_each(|(all, raw)| {
        let (mut pair, lane) = under_way(config());
        let (client, server) = (pair.client.addr, pair.server.addr);
        let seen = pair.network.seen.take().expect("kept");
        for (which, host, edits, is_mended) in all.iter().take(60) {
            let (from, datagram) = &seen[usize::from(*which) % seen.len()];
            let datagram = edited(datagram, edits);
            let datagram = if *is_mended { mended(datagram) } else { datagram };
            // From whom it was, from the other side, or from a stranger.
            let source = [*from, client, server, ([10, 9, 9, *host], 4_000).into()][usize::from(*host) % 4];
            for mut datagram in [datagram, mended(raw.clone())] {
                let to = if *from == client { &mut pair.server } else { &mut pair.client };
                to.endpoint.handle(source, &mut datagram, pair.now);
            }
            pair.exchange();
        }
        let is_there = |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
        assert!(pair.run(Duration::from_secs(30), is_there), "the transfer ended early");
        assert!(pair.server.came[&lane].0 == content(60_000), "the bytes are others");
        // Strangers' handshakes fail; the session does not.
        assert!(pair.client.closed.is_empty() && pair.server.is_open(), "{:?}", pair.server.closed);
    });
}

/// A frame of a peer that keeps no rule: its kind, three numbers, and what follows.
type Rude = (u8, u8, u8, u8, Vec<u8>);

/// Kinds of frames, those of lanes more often: an acknowledgement of what was not sent ends everything.
const KINDS: [u8; 24] =
    [1, 2, 4, 4, 5, 5, 8, 9, 10, 10, 10, 10, 10, 10, 11, 11, 16, 17, 17, 18, 0, 0, 0x1c, 0x3f];

fn rude(frames: &[Rude]) -> Vec<u8> {
    let mut out = Vec::new();
    for (kind, a, b, c, bytes) in frames {
        let kind = KINDS[usize::from(*kind) % KINDS.len()];
        out.push(kind);
        // Numbers around what is there; now and then one as large as can be.
        let number = |byte: u8| if byte == 255 { VARINT_MAX } else { u64::from(byte) * u64::from(byte) / 24 };
        // Lanes that may exist, more often than others.
        let lane = if a % 16 == 15 { number(*a) } else { u64::from(a % 8) * 2 };
        match kind {
            2 => [number(*a), u64::from(b % 4), number(*c)].into_iter().for_each(|it| varint(it, &mut out)),
            4 => [lane, number(*b), number(*c)].into_iter().for_each(|it| varint(it, &mut out)),
            5 | 8..=11 | 17 => [lane, number(*b)].into_iter().for_each(|it| varint(it, &mut out)),
            16 | 18 | 0x1c => varint(number(*a), &mut out),
            _ => {}
        }
        if matches!(kind, 10 | 11) {
            varint(bytes.len() as u64, &mut out);
        }
        if matches!(kind, 8..=11) {
            out.extend_from_slice(bytes);
        }
    }
    out.truncate(1_150);
    out
}

const VARINT_MAX: u64 = (1 << 62) - 1;

/// A packet of such a peer: kind, flags, what its header acknowledges, frames.
type RudePacket = (u8, u8, u8, Vec<Rude>);

#[test]
fn fhp_a_peer_with_good_keys_and_no_manners_is_held_to_the_limits() {
    // A byte far into each of seven lanes: within the credit of every one, and not of all together.
    let far: Vec<Rude> = (1..8).map(|lane| (10, lane, 200, 0, vec![7])).collect();
    rude_peer(true, &[(0, 8, 0, far)]);
    check!()
        .with_type::<(bool, Vec<RudePacket>)>()
        .for_each(|(is_slow, packets)| rude_peer(*is_slow, packets));
}

fn rude_peer(is_slow: bool, packets: &[RudePacket]) {
    let kinds = [Kind::Data, Kind::Data, Kind::Data, Kind::Ack, Kind::Probe, Kind::Close];
    // Windows so small that the numbers above reach beyond them.
    let windows = Windows { lane_bytes: 2_500, session_bytes: 6_000, kept_bytes: 6_000 };
    let (mut pair, _) = under_way(SessionConfig { windows, ..config() });
    pair.server.is_slow = is_slow;
    let mut room = vec![0; 65_535];
    for (kind, flags, ack, frames) in packets.iter().take(40) {
        if !pair.client.is_open() {
            break;
        }
        let (from, now) = (pair.client.addr, pair.now);
        let flags = flags & !(flag::KEY_PHASE | flag::SEALED);
        let what = (kinds[usize::from(*kind) % kinds.len()], flags, u32::from(*ack));
        let len =
            pair.client.session().forge(what, &rude(frames), now, &mut room).expect("a session has keys");
        pair.server.endpoint.handle(from, &mut room[..len], now);
        pair.exchange();
        if !pair.server.is_open() {
            break;
        }
        let held = pair.server.session().held();
        assert!(held.lanes as u64 <= 2 * LANES_MAX, "{held:?}");
        assert!(held.unread <= windows.session_bytes, "{held:?}");
        assert!(held.kept <= windows.kept_bytes && held.control as u64 <= 8 * LANES_MAX, "{held:?}");
    }
    pair.run(Duration::from_secs(200), |_| false);
    let is_named = |closed: &Closed| {
        matches!(closed, Closed::Violation(_) | Closed::There(_) | Closed::Reset | Closed::TimedOut)
    };
    assert!(pair.server.closed.iter().all(is_named), "{:?}", pair.server.closed);
}
