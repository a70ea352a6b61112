//! Giving up, on either side, at any point.

use std::time::Duration;

use bytes::Bytes;
use freehold_net::{Body, Class, LinkConfig, LinkError, RefusalCode};

use crate::kit::{AMPLE, Event, Kind, assert_alive, method, pair, pattern, request, wanting};

pub(crate) async fn dropped_call_frees_its_handler<K: Kind>() {
    let (link, mut bell) = pair::<K>(LinkConfig::default()).await;
    let call = link.call(wanting(method::HANG, Class::Bulk, 0), AMPLE).await.expect("sent");
    assert_eq!(bell.events.recv().await, Some(Event::Started));
    drop(call);
    assert_eq!(bell.events.recv().await, Some(Event::Dropped));
    assert_alive(&link).await;
}

pub(crate) async fn dropped_upload_frees_its_handler<K: Kind>() {
    let (link, mut bell) = pair::<K>(LinkConfig::default()).await;
    let (writer, body) = Body::channel(Some(8 << 20));
    let call = link.call(request(method::HANG, Class::Bulk, "", body), AMPLE).await.expect("sent");
    writer.write(pattern(0, 1 << 20)).await.expect("the call is alive");
    assert_eq!(bell.events.recv().await, Some(Event::Started));
    drop(call);
    assert_eq!(bell.events.recv().await, Some(Event::Dropped));
    while writer.write(pattern(0, 1 << 20)).await.is_ok() {}
    assert_alive(&link).await;
}

pub(crate) async fn dropped_server_side_gives_cancelled<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let mut call = link.call(wanting(method::SHRUG, Class::Bulk, 0), AMPLE).await.expect("sent");
    assert_eq!(call.head().await, Err(LinkError::Cancelled));
    assert_alive(&link).await;
}

pub(crate) async fn half_written_response_is_never_taken_for_whole<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let call = link.call(wanting(method::HALF, Class::Bulk, 0), AMPLE).await.expect("sent");
    assert_eq!(call.collect(100).await, Err(LinkError::Cancelled));
    assert_alive(&link).await;
}

pub(crate) async fn abandoned_upload_is_never_taken_for_whole<K: Kind>() {
    let (link, mut bell) = pair::<K>(LinkConfig::default()).await;
    for announced in [None, Some(100_000)] {
        let (writer, body) = Body::channel(announced);
        let mut call = link.call(request(method::REPORT, Class::Bulk, "", body), AMPLE).await.expect("sent");
        assert_eq!(bell.events.recv().await, Some(Event::Started));
        writer.write(pattern(0, 50_000)).await.expect("the call is alive");
        drop(writer);
        assert_eq!(bell.events.recv().await, Some(Event::Body(Err(LinkError::Cancelled))));
        assert_eq!(call.head().await, Err(LinkError::Cancelled));
    }
    let (writer, body) = Body::channel(Some(100_000));
    let mut call = link.call(request(method::REPORT, Class::Bulk, "", body), AMPLE).await.expect("sent");
    assert_eq!(bell.events.recv().await, Some(Event::Started));
    writer.write(pattern(0, 50_000)).await.expect("the call is alive");
    writer.finish().await.expect("the call is alive");
    assert_eq!(bell.events.recv().await, Some(Event::Body(Err(LinkError::Cancelled))), "finished too early");
    assert_eq!(call.head().await, Err(LinkError::Cancelled));
    assert_alive(&link).await;
}

pub(crate) async fn panicking_handler_harms_only_its_request<K: Kind>() {
    let (link, mut bell) = pair::<K>(LinkConfig::default()).await;
    let _other = link.call(wanting(method::HANG, Class::Bulk, 0), AMPLE).await.expect("sent");
    assert_eq!(bell.events.recv().await, Some(Event::Started));
    let mut call = link.call(wanting(method::PANIC, Class::Bulk, 0), AMPLE).await.expect("sent");
    assert_eq!(call.head().await, Err(LinkError::Cancelled));
    assert_alive(&link).await;
    assert!(bell.events.try_recv().is_err(), "the other request still runs");
}

pub(crate) async fn head_can_be_awaited_again_after_a_timeout<K: Kind>() {
    let (link, mut bell) = pair::<K>(LinkConfig::default()).await;
    let mut call = link.call(wanting(method::GATED, Class::Bulk, 100_000), AMPLE).await.expect("sent");
    assert_eq!(bell.events.recv().await, Some(Event::Started));
    let early = tokio::time::timeout(Duration::from_millis(1), call.head()).await;
    assert!(early.is_err(), "the gate is shut");
    bell.gate.add_permits(1);
    assert_eq!(call.collect(100_000).await.expect("answered").body, pattern(0, 100_000));
}

pub(crate) async fn refusal_arrives_before_the_body_was_heard_out<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let body = Bytes::from(vec![7; 16 << 20]);
    let mut call = link.call(request(method::REFUSE, Class::Bulk, "", body), AMPLE).await.expect("sent");
    assert_eq!(call.head().await, Err(LinkError::Refused(RefusalCode(7))));
    assert_alive(&link).await;
}
