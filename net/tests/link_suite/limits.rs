//! Memory stays bounded and credit is kept to.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use freehold_net::{Accept, Body, Class, Credit, LinkConfig, LinkError, RefusalCode, Transport};

use crate::kit::{
    AMPLE, Kind, assert_alive, breathe, connect, method, number, pair, pattern, request, serve, wanting,
};

const BIG: u64 = 16 << 20;
const STEP: u64 = 64 << 10;
const SMALL: LinkConfig = LinkConfig {
    handshake_timeout: freehold_net::limits::HANDSHAKE_TIMEOUT,
    idle_timeout: freehold_net::limits::IDLE_TIMEOUT,
    keep_alive: None,
    max_in_flight: 16,
    max_body_bytes: BIG,
    stream_window_bytes: 128 << 10,
    link_window_bytes: 256 << 10,
    datagram_bytes_max: 1_452,
    transport: Transport::Auto,
};
/// Unread at the receiver, unacknowledged at the sender, waiting in the body's channel, in hand.
const HELD_MAX: u64 = (128 << 10) + (256 << 10) + 8 * STEP;

pub(crate) async fn sixteen_mebibytes_go_up_with_bounded_memory<K: Kind>() {
    let (link, bell) = pair::<K>(SMALL).await;
    let (writer, body) = Body::channel(Some(BIG));
    let call = link.call(request(method::SINK, Class::Bulk, "", body), Credit::NONE).await.expect("sent");
    let mut most = 0;
    for offset in (0..BIG).step_by(STEP as usize) {
        writer.write(pattern(offset, STEP)).await.expect("the call is alive");
        most = most.max(offset + STEP - bell.moved.load(Ordering::Relaxed));
    }
    writer.finish().await.expect("the call is alive");
    assert_eq!(number(&call.collect(0).await.expect("answered").head), BIG);
    assert!(most <= HELD_MAX, "{most} bytes were held between producer and handler");
}

pub(crate) async fn sixteen_mebibytes_come_down_with_bounded_memory<K: Kind>() {
    let (link, bell) = pair::<K>(SMALL).await;
    let mut call =
        link.call(wanting(method::GIVE, Class::Bulk, BIG), Credit::bytes(BIG)).await.expect("sent");
    let (mut received, mut most) = (0, 0);
    while let Some(piece) = call.next_piece().await.expect("a piece") {
        assert_eq!(piece.bytes, pattern(piece.offset, piece.bytes.len() as u64));
        most = most.max(bell.moved.load(Ordering::Relaxed).saturating_sub(received));
        received += piece.bytes.len() as u64;
        breathe().await;
    }
    assert_eq!(received, BIG);
    assert!(most <= HELD_MAX, "{most} bytes were held between handler and reader");
}

pub(crate) async fn announced_response_over_credit_is_refused<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let mut call =
        link.call(wanting(method::GIVE, Class::Bulk, 1_001), Credit::bytes(1_000)).await.expect("sent");
    assert_eq!(call.head().await, Err(LinkError::TooBig { limit_bytes: 1_000 }));
    let call =
        link.call(wanting(method::GIVE, Class::Bulk, 1_000), Credit::bytes(1_000)).await.expect("sent");
    assert_eq!(call.collect(1_000).await.expect("within credit").body, pattern(0, 1_000));
}

pub(crate) async fn open_ended_response_over_credit_is_cut<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let call =
        link.call(wanting(method::POUR, Class::Bulk, 300_000), Credit::bytes(200_000)).await.expect("sent");
    assert_eq!(call.collect(1 << 20).await, Err(LinkError::TooBig { limit_bytes: 200_000 }));
    assert_alive(&link).await;
}

pub(crate) async fn request_over_the_other_sides_limit_is_refused_before_it_is_sent<K: Kind>() {
    let (addr, key, _bell) =
        serve::<K>(1, Accept::AnyKey, LinkConfig { max_body_bytes: 1_000, ..LinkConfig::default() });
    let link = connect::<K>(addr, key, LinkConfig::default()).await;
    let over = request(method::ECHO, Class::Bulk, "", pattern(0, 1_001));
    assert_eq!(link.call(over, AMPLE).await.expect_err("over"), LinkError::TooBig { limit_bytes: 1_000 });
    let head = request(method::ECHO, Class::Bulk, pattern(0, 65_537), Bytes::new());
    assert_eq!(link.call(head, AMPLE).await.expect_err("over"), LinkError::TooBig { limit_bytes: 65_536 });
    let (writer, body) = Body::channel(None);
    let mut open = link.call(request(method::ECHO, Class::Bulk, "", body), AMPLE).await.expect("sent");
    writer.write(pattern(0, 1_001)).await.expect("the call is alive");
    assert_eq!(open.head().await, Err(LinkError::TooBig { limit_bytes: 1_000 }));
    assert_alive(&link).await;
}

pub(crate) async fn produced_body_over_its_announcement_is_refused<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let (writer, body) = Body::channel(Some(10));
    let mut call = link.call(request(method::ECHO, Class::Bulk, "", body), AMPLE).await.expect("sent");
    writer.write(pattern(0, 11)).await.expect("the call is alive");
    assert_eq!(call.head().await, Err(LinkError::TooBig { limit_bytes: 10 }));
    assert_alive(&link).await;
}

pub(crate) async fn collect_stops_at_the_callers_limit<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    for method in [method::GIVE, method::POUR] {
        let call = link.call(wanting(method, Class::Bulk, 100_000), AMPLE).await.expect("sent");
        assert_eq!(call.collect(99_999).await, Err(LinkError::TooBig { limit_bytes: 99_999 }));
    }
    assert_alive(&link).await;
}

pub(crate) async fn endpoint_that_serves_nothing_refuses_requests<K: Kind>() {
    let config = LinkConfig::default();
    let (listener, caller) = (K::bind(1, Accept::AnyKey, config), K::bind(2, Accept::None, config));
    let addr = listener.local_addr().expect("bound");
    let accepted = async { listener.accept().await.expect("open").establish().await.expect("a link") };
    let (there, _here) = tokio::join!(accepted, caller.connect(addr, listener.public_key()));
    let call = there.call(wanting(method::ECHO, Class::Control, 0), Credit::NONE).await;
    assert_eq!(call.expect_err("nobody serves there"), LinkError::Refused(RefusalCode::NOT_SERVING));
}
