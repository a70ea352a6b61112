//! Golden packets: what `tests/vectors/fhp-packets.json` says, byte by byte, is what is written and read.
//!
//! After a deliberate change of the format the failing test prints what the file is to say.

use crate::cookie::Minter;
use crate::frame::{Frame, FrameWriter, Frames};
use crate::handshake::{InitPayload, aad};
use crate::header::{HEADER_LEN, Header, Kind, TAG_LEN, flag};
use crate::keys::seal;
use crate::ranges::Ranges;
use crate::session::connect::write_refusal;
use crate::time::Time;
use rustls::Side;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::{Keys, Suite, Version};
use serde_json::{Value, json};
use std::time::Duration;

const FILE: &str = include_str!("../../../tests/vectors/fhp-packets.json");

/// A packet of a kind with this payload.
fn packet(kind: Kind, session: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header { kind, flags: 0, session, seq: 1, ack: 0 };
    let mut packet = [&header.open_bytes(payload.len())[..], payload].concat();
    header.write_crc(&mut packet);
    packet
}

/// Keys that everybody can derive: QUIC's for first packets (RFC 9001 §5.2), from these bytes.
fn keys(side: Side) -> Keys {
    let suite: Suite = TLS13_AES_128_GCM_SHA256
        .tls13()
        .and_then(|suite| suite.quic_suite())
        .expect("the library has the suite of QUIC's first packets");
    suite.keys(b"fhp/1 vectors", side, Version::V1)
}

fn init() -> Vec<u8> {
    let mut payload = vec![0x0a, 0x0b, 0x0c, 0x0d, 4, 0xc0, 0xc1, 0xc2, 0xc3];
    payload.extend([0x00, 0x02, 0x00, 0x05]);
    payload.extend(b"hello");
    payload.resize(1_200 - HEADER_LEN, 0);
    packet(Kind::Init, 0, &payload)
}

fn refusal() -> Vec<u8> {
    let mut room = [0; 64];
    let len = write_refusal(0, 0x0a0b_0c0d, 3, &mut room).expect("it fits");
    room[..len].to_vec()
}

fn retry() -> Vec<u8> {
    let now = Time::after_start(Duration::from_secs(1_000));
    let addr = ([192, 0, 2, 1], 4_433).into();
    packet(Kind::Retry, 5, &Minter::new(&[7; 32]).cookie(addr, 5, now))
}

fn reset() -> Vec<u8> {
    packet(Kind::Reset, 0x0102_0304, &Minter::new(&[7; 32]).token(0x0102_0304))
}

const NUMBER: u64 = (1 << 32) + 7;

/// Acknowledges 90 to 99 and 80, ends lane 4 with three bytes at 1,000, gives credit.
fn data() -> Vec<u8> {
    let mut arrived = Ranges::default();
    arrived.insert(80, 81);
    arrived.insert(90, 100);
    let mut content = [0; 100];
    let mut frames = FrameWriter::new(&mut content);
    frames.ack(250, &arrived);
    frames.small(&Frame::Credit { bytes: 1 << 24 });
    frames.lane(4, 1_000, 3, true).expect("it fits").copy_from_slice(b"end");
    let len = frames.len();
    let flags = flag::ACKS | flag::ELICITING | flag::IMMEDIATE;
    let header = Header { kind: Kind::Data, flags, session: 0x0102_0304, seq: 7, ack: 99 };
    let mut packet = header.open_bytes(len + TAG_LEN).to_vec();
    packet.extend_from_slice(&content[..len]);
    packet.extend_from_slice(&[0; TAG_LEN]);
    seal(&*keys(Side::Client).local.packet, NUMBER, &mut packet);
    header.write_crc(&mut packet);
    packet
}

fn vectors() -> Value {
    let case = |name: &str, packet: Vec<u8>| json!({ "name": name, "hex": hex::encode(packet) });
    json!({
        "keys": "RFC 9001 5.2 from the connection id \"fhp/1 vectors\", client to server",
        "number": NUMBER,
        "packets": [
            case("init", init()),
            case("refusal", refusal()),
            case("retry", retry()),
            case("reset", reset()),
            case("data", data()),
        ],
    })
}

fn stored(name: &str) -> Vec<u8> {
    let value: Value = serde_json::from_str(FILE).expect("JSON");
    let packets = value["packets"].as_array().expect("a list").iter();
    let found = packets.filter(|case| case["name"] == name).filter_map(|case| case["hex"].as_str()).next();
    hex::decode(found.expect("the case")).expect("hex")
}

#[test]
fn the_golden_packets_are_what_is_written() {
    let text = serde_json::to_string_pretty(&vectors()).expect("plain values") + "\n";
    assert!(text == FILE, "the wire format has changed; the file is to say:\n{text}");
}

#[test]
fn the_golden_packets_are_read() {
    let init = stored("init");
    assert_eq!(Header::read(&init).map(|header| header.kind), Ok(Kind::Init));
    let read = InitPayload::read(&init[HEADER_LEN..]).expect("an INIT");
    assert_eq!((read.session, read.cookie), (0x0a0b_0c0d, &[0xc0, 0xc1, 0xc2, 0xc3][..]));
    assert_eq!((read.piece.offset, read.piece.bytes), (2, &b"hello"[..]));

    for (name, kind) in [("refusal", Kind::Resp), ("retry", Kind::Retry), ("reset", Kind::Reset)] {
        assert_eq!(Header::read(&stored(name)).map(|header| header.kind), Ok(kind));
    }

    let mut data = stored("data");
    let header = Header::read(&data).expect("a packet");
    let aad = aad(&data);
    let keys = keys(Side::Server);
    let content =
        keys.remote.packet.decrypt_in_place(NUMBER, &aad, &mut data[HEADER_LEN..]).expect("its key");
    let frames: Vec<_> =
        Frames::new(content, header.ack.into()).map(|frame| frame.expect("frames")).collect();
    assert_eq!(frames.len(), 3);
    assert!(matches!(&frames[0], Frame::Ack(acked) if acked.delay_us == 250 && acked.arrived.contains(80)));
    assert_eq!(frames[2], Frame::Lane { lane: 4, offset: 1_000, fin: true, bytes: b"end" });
}
