//! What a session notes of itself is what it did.

use crate::kit::{Pair, client, config, content};
use crate::network::Network;
use freehold_net_proto::header::Kind;
use freehold_net_proto::{Closed, Stats, TraceEvent};
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

/// Sends something over a bad network, changes the key and closes; what the client noted, and what it counted.
fn traced(is_on: bool) -> (Vec<TraceEvent>, Stats) {
    let mut network = Network::perfect(DELAY);
    (network.lost, network.carries) = (20, 1_400);
    let mut pair = Pair::new(network);
    if is_on {
        pair.client.endpoint.trace_sessions();
    }
    pair.connect(client(1, 2), config());
    assert!(pair.run(Duration::from_secs(10), |pair| pair.client.established.is_some()));
    let lane = pair.client.send(3, &content(400_000));
    let is_there = |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
    assert!(pair.run(Duration::from_secs(60), is_there));
    let now = pair.now;
    assert!(pair.client.session().change_key(now));
    pair.client.session().close(0, now);
    pair.exchange();
    let stats = pair.client.session().stats();
    let noted: Vec<_> = std::iter::from_fn(|| pair.client.session().poll_trace()).collect();
    assert!(noted.windows(2).all(|two| two[0].0 <= two[1].0), "in order");
    (noted.into_iter().map(|(_, event)| event).collect(), stats)
}

#[test]
fn every_packet_sent_received_and_lost_is_noted_once() {
    let (noted, stats) = traced(true);
    let count = |of: fn(&TraceEvent) -> bool| noted.iter().filter(|event| of(event)).count() as u64;
    let is_handshake = |kind: &Kind| matches!(kind, Kind::Init | Kind::Resp);
    assert_eq!(
        count(|event| matches!(event, TraceEvent::Sent { kind, .. } if !matches!(kind, Kind::Init))),
        stats.sent.0
    );
    assert_eq!(
        count(|event| matches!(event, TraceEvent::Received { kind, .. } if !matches!(kind, Kind::Resp))),
        stats.received.0
    );
    assert_eq!(count(|event| matches!(event, TraceEvent::Lost { .. })), stats.lost.0);
    assert!(stats.lost.0 > 0, "the network loses packets");
    assert_eq!(count(|event| matches!(event, TraceEvent::KeyChanged)), stats.key_changes);
    assert!(noted.iter().any(|event| matches!(event, TraceEvent::Sent { kind, .. } if is_handshake(kind))));
    let sizes: Vec<usize> = noted
        .iter()
        .filter_map(|event| if let TraceEvent::Size { bytes } = event { Some(*bytes) } else { None })
        .collect();
    assert_eq!(sizes.last(), Some(&stats.datagram_bytes));
    assert_eq!(noted.first(), Some(&TraceEvent::Started { is_client: true }));
    assert!(noted.contains(&TraceEvent::Established) && noted.contains(&TraceEvent::Closed(Closed::Here)));
}

#[test]
fn nothing_is_noted_unless_it_is_asked_for() {
    assert_eq!(traced(false).0, []);
}
