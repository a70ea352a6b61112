//! Peers that hold a good key and break every other rule. Frames are written out byte by byte here,
//! so that a change of the format cannot hide behind its own encoder.

use std::sync::Arc;
use std::time::Duration;

use freehold_net::limits::STRANGER_WINDOW_BYTES;
use freehold_net::{Accept, Class, Credit, Handler, Inbound, LinkConfig, LinkError, Responder};

use crate::kit::{
    CLOSE_PROTOCOL, Event, Kind, RawLane, RawLink, RawServer, RawTls, assert_alive, connect, key_of, method,
    serve, wanting,
};

pub(crate) const HELLO: [u8; 20] = *b"FHLK\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00";
const OPEN: u64 = u64::MAX;

pub(crate) async fn malformed_requests_close_the_link_as_protocol_errors<K: Kind>() {
    let (addr, key, _bell) = serve::<K>(1, Accept::AnyKey, LinkConfig::default());
    let good = request_head(3, method::ECHO, 0, 0, 0);
    let cases: [(&str, Vec<u8>); 8] = [
        ("nothing at all", Vec::new()),
        ("one byte", good[..1].to_vec()),
        ("all but one byte", good[..23].to_vec()),
        ("an unknown version", with(&good, 0, 9)),
        ("an unknown class", with(&good, 1, 5)),
        ("a head of 4 GiB", request_head(3, method::ECHO, 0, 0, u32::MAX)),
        ("a head one over the limit", request_head(3, method::ECHO, 0, 0, 65_537)),
        ("a head cut short", [&request_head(3, method::ECHO, 0, 0, 10)[..], b"123456789"].concat()),
    ];
    for (what, bytes) in cases {
        let raw = K::raw_connect_saying(addr, key, RawTls::Good(5), &HELLO).await.expect("a good key");
        let mut lane = raw.open_lane().await;
        lane.write(&bytes).await;
        lane.end();
        assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL), "{what}");
    }
    assert_alive(&connect::<K>(addr, key, LinkConfig::default()).await).await;
}

pub(crate) async fn malformed_responses_close_the_link_as_protocol_errors<K: Kind>() {
    let good = response_head(0, 0, 0, 0);
    let cases: [(&str, Vec<u8>); 9] = [
        ("nothing at all", Vec::new()),
        ("all but one byte", good[..15].to_vec()),
        ("an unknown version", with(&good, 0, 2)),
        ("an unknown verdict", with(&good, 1, 2)),
        ("a grant with a reason", with(&good, 3, 1)),
        ("a refusal without one", response_head(1, 0, 0, 0)),
        ("a refusal with a body", response_head(1, 7, 1, 0)),
        ("a head of 4 GiB", response_head(0, 0, 0, u32::MAX)),
        ("a head cut short", [&response_head(0, 0, 0, 3)[..], b"12"].concat()),
    ];
    let server = K::raw_listen(1, RawTls::Good(1));
    for (what, bytes) in cases {
        let client = K::bind(2, Accept::None, LinkConfig::default());
        let (link, raw) = raw_pair::<K>(&server, &client).await;
        let link = link.expect("a good hello");
        let mut call =
            link.call(wanting(method::GIVE, Class::Bulk, 9), Credit::bytes(9)).await.expect("sent");
        let mut lane = raw.next_lane().await.expect("the request");
        lane.write(&bytes).await;
        lane.end();
        assert!(matches!(call.head().await, Err(LinkError::Protocol(_))), "{what}");
        assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL), "{what}");
        assert_eq!(link.closed().await, LinkError::Closed, "{what}");
    }
}

pub(crate) async fn malformed_hellos_are_refused<K: Kind>() {
    let server = K::bind(1, Accept::AnyKey, LinkConfig::default());
    let addr = server.local_addr().expect("bound");
    let cases: [(&str, Vec<u8>); 5] = [
        ("nothing at all", Vec::new()),
        ("another protocol", with(&HELLO, 0, b'X')),
        ("another version", with(&HELLO, 5, 2)),
        ("cut short", HELLO[..19].to_vec()),
        ("too long", [&HELLO[..], b"!"].concat()),
    ];
    for (what, bytes) in cases {
        let accepted = async { server.accept().await.expect("open").establish().await };
        let raw = async {
            let raw =
                K::raw_connect_saying(addr, key_of(1), RawTls::Good(5), &bytes).await.expect("a good key");
            assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL), "{what}");
        };
        let (link, ()) = tokio::join!(accepted, raw);
        assert!(matches!(link, Err(LinkError::Protocol(_))), "{what}");
    }
}

pub(crate) async fn missing_hello_times_out<K: Kind>() {
    let config = LinkConfig { handshake_timeout: Duration::from_millis(300), ..LinkConfig::default() };
    let server = K::bind(1, Accept::AnyKey, config);
    let addr = server.local_addr().expect("bound");
    let accepted = async { server.accept().await.expect("open").establish().await };
    let (link, raw) = tokio::join!(accepted, K::raw_connect(addr, key_of(1), RawTls::Good(5)));
    assert_eq!(link.expect_err("no hello came"), LinkError::Timeout);
    drop(raw);
}

pub(crate) async fn oversized_request_announcement_is_refused<K: Kind>() {
    let (addr, key, _bell) =
        serve::<K>(1, Accept::AnyKey, LinkConfig { max_body_bytes: 1_000, ..LinkConfig::default() });
    let raw = K::raw_connect_saying(addr, key, RawTls::Good(5), &HELLO).await.expect("a good key");
    let mut lane = raw.open_lane().await;
    lane.write(&request_head(3, method::ECHO, 0, 1_001, 0)).await;
    assert_eq!(lane.read_all().await.expect("a refusal"), response_head(1, 0xff03, 0, 0));
}

pub(crate) async fn request_longer_than_announced_is_a_protocol_error<K: Kind>() {
    let (addr, key, mut bell) =
        serve::<K>(1, Accept::AnyKey, LinkConfig { max_body_bytes: 1_000, ..LinkConfig::default() });
    for (announced, sent) in [(10, 11), (OPEN, 1_001)] {
        let raw = K::raw_connect_saying(addr, key, RawTls::Good(5), &HELLO).await.expect("a good key");
        let mut lane = raw.open_lane().await;
        lane.write(&request_head(3, method::REPORT, 0, announced, 0)).await;
        lane.write(&vec![1; sent]).await;
        lane.end();
        assert_eq!(bell.events.recv().await, Some(Event::Started));
        assert!(matches!(bell.events.recv().await, Some(Event::Body(Err(LinkError::Protocol(_))))));
        assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL));
    }
}

pub(crate) async fn request_shorter_than_announced_is_a_protocol_error<K: Kind>() {
    let (addr, key, mut bell) = serve::<K>(1, Accept::AnyKey, LinkConfig::default());
    let raw = K::raw_connect_saying(addr, key, RawTls::Good(5), &HELLO).await.expect("a good key");
    let mut lane = raw.open_lane().await;
    lane.write(&request_head(3, method::REPORT, 0, 10, 0)).await;
    lane.write(b"123456789").await;
    lane.end();
    assert_eq!(bell.events.recv().await, Some(Event::Started));
    assert!(matches!(bell.events.recv().await, Some(Event::Body(Err(LinkError::Protocol(_))))));
    assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL));
}

pub(crate) async fn response_over_credit_is_a_protocol_error<K: Kind>() {
    let server = K::raw_listen(1, RawTls::Good(1));
    for (announced, sent) in [(1 << 40, 0), (101, 101), (OPEN, 101), (50, 51)] {
        let client = K::bind(2, Accept::None, LinkConfig::default());
        let (link, raw) = raw_pair::<K>(&server, &client).await;
        let link = link.expect("a good hello");
        let call = link.call(wanting(method::GIVE, Class::Bulk, 9), Credit::bytes(100)).await.expect("sent");
        let mut lane = raw.next_lane().await.expect("the request");
        lane.write(&response_head(0, 0, announced, 0)).await;
        lane.write(&vec![1; sent]).await;
        let outcome = call.collect(1 << 20).await;
        assert!(
            matches!(outcome, Err(LinkError::Protocol(_))),
            "announced {announced}, sent {sent}: {outcome:?}"
        );
        assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL));
    }
}

pub(crate) async fn hostile_link_does_not_disturb_another<K: Kind>() {
    let (addr, key, mut bell) = serve::<K>(1, Accept::AnyKey, LinkConfig::default());
    let link = connect::<K>(addr, key, LinkConfig::default()).await;
    let raw = K::raw_connect_saying(addr, key, RawTls::Good(5), &HELLO).await.expect("a good key");
    // As many requests as are allowed, none of them whole, none of them ever answered.
    let mut lanes = Vec::new();
    for _ in 0..200 {
        let mut lane = raw.open_lane().await;
        lane.write(&request_head(4, method::HANG, 0, OPEN, 0)).await;
        assert_eq!(bell.events.recv().await, Some(Event::Started));
        lanes.push(lane);
    }
    assert_alive(&link).await;
    drop(lanes);
    drop(raw);
    for _ in 0..200 {
        assert_eq!(bell.events.recv().await, Some(Event::Dropped));
    }
    assert_alive(&link).await;
}

/// A client and the raw server's end of its link.
async fn raw_pair<K: Kind>(
    server: &K::RawServer,
    client: &freehold_net::Endpoint,
) -> (Result<freehold_net::Link, LinkError>, K::Raw) {
    let raw = async {
        let raw = server.accept().await.expect("a good key");
        raw.say_hello(&HELLO).await;
        raw
    };
    tokio::join!(client.connect(server.addr(), key_of(1)), raw)
}

pub(crate) fn request_head(class: u8, method: u16, credit: u64, body: u64, head: u32) -> Vec<u8> {
    let mut bytes = vec![1, class];
    bytes.extend_from_slice(&method.to_be_bytes());
    bytes.extend_from_slice(&credit.to_be_bytes());
    bytes.extend_from_slice(&body.to_be_bytes());
    bytes.extend_from_slice(&head.to_be_bytes());
    bytes
}

fn response_head(verdict: u8, code: u16, body: u64, head: u32) -> Vec<u8> {
    let mut bytes = vec![1, verdict];
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(&body.to_be_bytes());
    bytes.extend_from_slice(&head.to_be_bytes());
    bytes
}

fn with(bytes: &[u8], index: usize, value: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[index] = value;
    changed
}

pub(crate) async fn a_stranger_may_leave_little_unread_until_it_is_admitted<K: Kind>() {
    let (addr, key, _bell) = serve::<K>(1, Accept::AnyKey, LinkConfig::default());
    let raw = K::raw_connect_saying(addr, key, RawTls::Good(5), &HELLO).await.expect("a good key");
    let much = vec![0x55; 8 << 20];
    let mut admit = raw.open_lane().await;
    admit.write(&request_head(3, method::ADMIT, 0, 0, 0)).await;
    admit.end();
    let mut unread = raw.open_lane().await;
    unread.write(&request_head(3, method::HANG, 0, 8 << 20, 0)).await;
    let first = unread.offer(&much).await;
    assert!(first <= STRANGER_WINDOW_BYTES as usize, "{first} bytes before anybody knew who it is");
    admit.read_all().await.expect("an answer");
    let mut body = raw.open_lane().await;
    body.write(&request_head(3, method::HANG, 0, 8 << 20, 0)).await;
    let second = body.offer(&much).await;
    assert!(second > STRANGER_WINDOW_BYTES as usize, "{second} bytes once it is admitted");
}

/// Has no patience at all.
struct Impatient;

impl Handler for Impatient {
    async fn handle(&self, _: Inbound, _: Responder) {}

    async fn overstayed(&self) {}
}

pub(crate) async fn who_overstays_is_told_that_the_link_is_closed<K: Kind>() {
    let endpoint = K::bind(1, Accept::AnyKey, LinkConfig::default());
    let (addr, key) = (endpoint.local_addr().expect("a bound socket has an address"), endpoint.public_key());
    tokio::spawn(async move { endpoint.serve(|_| Arc::new(Impatient)).await });
    let link = connect::<K>(addr, key, LinkConfig::default()).await;
    assert_eq!(link.closed().await, LinkError::Closed);
}
