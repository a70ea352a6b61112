//! Requests, order and the life of a link.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freehold_net::{Accept, Body, Class, Credit, LinkConfig, LinkError};
use tokio::task::JoinSet;

use crate::kit::{
    AMPLE, Desk, Event, Kind, assert_alive, connect, method, number, pair, pattern, request, serve, wanting,
};

pub(crate) async fn many_requests_in_flight_each_get_their_own_answer<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let mut calls = JoinSet::new();
    for i in 0..600_u64 {
        let link = link.clone();
        calls.spawn(async move {
            let class = Class::ALL[(i % 5) as usize];
            let body = pattern(i, i * 37);
            let call =
                link.call(request(method::ECHO, class, i.to_be_bytes().to_vec(), body.clone()), AMPLE).await;
            let response = call.expect("sent").collect(1 << 20).await.expect("answered");
            assert_eq!(number(&response.head), i);
            assert_eq!(response.body, body);
        });
    }
    calls.join_all().await;
}

pub(crate) async fn head_and_body_arrive_as_sent_at_every_size<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    for (head, body) in [(0, 0), (1, 0), (0, 1), (65_536, 65_535), (8, 65_536), (8, 65_537), (3, 1_000_003)] {
        let (head, body) = (pattern(5, head), pattern(9, body));
        let call = link.call(request(method::ECHO, Class::Bulk, head.clone(), body.clone()), AMPLE).await;
        let response = call.expect("sent").collect(2 << 20).await.expect("answered");
        assert_eq!((response.head, response.body), (head, body));
    }
}

pub(crate) async fn pieces_name_their_offsets<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let mut call = link.call(wanting(method::POUR, Class::Bulk, 700_000), AMPLE).await.expect("sent");
    let mut received = vec![0; 700_000];
    while let Some(piece) = call.next_piece().await.expect("a piece") {
        let start = piece.offset as usize;
        received[start..start + piece.bytes.len()].copy_from_slice(&piece.bytes);
    }
    assert_eq!(received, pattern(0, 700_000));
}

pub(crate) async fn both_sides_ask_and_serve_on_one_link<K: Kind>() {
    let config = LinkConfig::default();
    let (listener, caller) = (K::bind(1, Accept::AnyKey, config), K::bind(2, Accept::AnyKey, config));
    let addr = listener.local_addr().expect("bound");
    let accepted = async { listener.accept().await.expect("open").establish().await.expect("a link") };
    let (there, here) = tokio::join!(accepted, caller.connect(addr, listener.public_key()));
    let here = here.expect("a link");
    for link in [&there, &here] {
        let (desk, _bell) = Desk::new();
        let link = link.clone();
        tokio::spawn(async move { link.serve(desk).await });
    }
    assert_alive(&here).await;
    assert_alive(&there).await;
}

pub(crate) async fn each_link_has_its_own_handler<K: Kind>() {
    let config = LinkConfig::default();
    let endpoint = K::bind(1, Accept::AnyKey, config);
    let (addr, key) = (endpoint.local_addr().expect("bound"), endpoint.public_key());
    tokio::spawn(async move { endpoint.serve(|_| Desk::new().0).await });
    for _ in 0..2 {
        let link = connect::<K>(addr, key, config).await;
        for expected in 1..=2 {
            let call =
                link.call(request(method::COUNT, Class::Metadata, "", Body::empty()), Credit::NONE).await;
            let response = call.expect("sent").collect(0).await.expect("answered");
            assert_eq!(number(&response.head), expected, "the count starts anew on each link");
        }
    }
}

pub(crate) async fn urgent_responses_overtake_in_class_order<K: Kind>() {
    // The link's window is what all of them wait for, however fast the machine is.
    let config = LinkConfig { link_window_bytes: 64 << 10, ..LinkConfig::default() };
    let (link, mut bell) = pair::<K>(config).await;
    let mut calls = JoinSet::new();
    for class in Class::ALL.into_iter().rev() {
        let call = link.call(wanting(method::GATED, class, 1 << 20), AMPLE).await.expect("sent");
        assert_eq!(bell.events.recv().await, Some(Event::Started));
        calls.spawn(async move {
            call.collect(1 << 20).await.expect("answered");
            class
        });
    }
    bell.gate.add_permits(Class::ALL.len());
    let mut order = Vec::new();
    while let Some(class) = calls.join_next().await {
        order.push(class.expect("no panic"));
    }
    assert_eq!(order, Class::ALL);
}

pub(crate) async fn unread_bulk_response_does_not_hold_up_an_urgent_request<K: Kind>() {
    let (link, _bell) = pair::<K>(LinkConfig::default()).await;
    let mut bulk = link.call(wanting(method::GIVE, Class::Bulk, 16 << 20), AMPLE).await.expect("sent");
    bulk.head().await.expect("answered");
    // Nobody reads the bulk body from here on; its window fills.
    let read = link.call(wanting(method::GIVE, Class::MountRead, 1 << 20), AMPLE).await.expect("sent");
    assert_eq!(read.collect(1 << 20).await.expect("answered").body.len(), 1 << 20);
    assert_eq!(bulk.collect(16 << 20).await.expect("answered").body.len(), 16 << 20);
}

pub(crate) async fn bulk_requests_leave_slots_for_urgent_ones<K: Kind>() {
    let (link, mut bell) = pair::<K>(LinkConfig { max_in_flight: 8, ..LinkConfig::default() }).await;
    let mut held = Vec::new();
    for _ in 0..7 {
        held.push(link.call(wanting(method::HANG, Class::Bulk, 0), AMPLE).await.expect("sent"));
        assert_eq!(bell.events.recv().await, Some(Event::Started));
    }
    let eighth = link.call(wanting(method::HANG, Class::Bulk, 0), AMPLE);
    tokio::pin!(eighth);
    tokio::select! {
        biased;
        _ = &mut eighth => panic!("an eighth bulk request got the last slot"),
        () = assert_alive(&link) => {}
    }
    held.pop();
    eighth.await.expect("a slot is free again");
}

pub(crate) async fn clean_close_is_closed_on_both_sides<K: Kind>() {
    let config = LinkConfig::default();
    let (listener, caller) = (K::bind(1, Accept::AnyKey, config), K::bind(2, Accept::None, config));
    let addr = listener.local_addr().expect("bound");
    let accepted = async { listener.accept().await.expect("open").establish().await.expect("a link") };
    let (there, here) = tokio::join!(accepted, caller.connect(addr, listener.public_key()));
    let here = here.expect("a link");
    assert!(!here.is_closed() && !there.is_closed());
    here.close();
    assert_eq!(here.closed().await, LinkError::Closed);
    assert_eq!(there.closed().await, LinkError::Closed);
    caller.close().await;
    listener.close().await;
    assert!(listener.accept().await.is_none(), "a closed endpoint accepts nobody");
}

pub(crate) async fn requests_in_flight_end_when_the_link_closes<K: Kind>() {
    let (link, mut bell) = pair::<K>(LinkConfig::default()).await;
    let mut call = link.call(wanting(method::HANG, Class::Bulk, 0), AMPLE).await.expect("sent");
    assert_eq!(bell.events.recv().await, Some(Event::Started));
    link.close();
    assert_eq!(call.head().await, Err(LinkError::Closed));
    assert_eq!(bell.events.recv().await, Some(Event::Dropped));
    let late = link.call(wanting(method::HANG, Class::Bulk, 0), AMPLE).await;
    assert_eq!(late.expect_err("the link is gone"), LinkError::Closed);
}

pub(crate) async fn restarted_peer_gives_closed<K: Kind>() {
    let config = LinkConfig { keep_alive: Some(Duration::from_millis(50)), ..LinkConfig::default() };
    // The first run has its own runtime, so that it can end like a killed process: without a word.
    let first = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (addr, key, _bell) = {
        let _inside = first.enter();
        serve::<K>(1, Accept::AnyKey, config)
    };
    let link = connect::<K>(addr, key, config).await;
    assert_alive(&link).await;
    let ended = tokio::task::spawn_blocking(move || first.shutdown_timeout(Duration::from_secs(30)));
    ended.await.expect("the first run ends");
    let second = K::bind_at(addr, 1, Accept::AnyKey, config);
    let (desk, _bell) = Desk::new();
    tokio::spawn(async move { second.serve(move |_| Arc::clone(&desk)).await });
    assert_eq!(link.closed().await, LinkError::Closed);
    assert_alive(&connect::<K>(addr, key, config).await).await;
}

pub(crate) async fn silence_gives_closed<K: Kind>() {
    let config =
        LinkConfig { idle_timeout: Duration::from_millis(300), keep_alive: None, ..LinkConfig::default() };
    let (link, _bell) = pair::<K>(config).await;
    assert_eq!(link.closed().await, LinkError::Closed);
    let call =
        link.call(request(method::ECHO, Class::Control, Bytes::new(), Body::empty()), Credit::NONE).await;
    assert_eq!(call.expect_err("the link is gone"), LinkError::Closed);
}
