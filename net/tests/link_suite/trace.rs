//! Traces of links: whole, in order, and with nothing in them that is anybody's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use freehold_net::{Accept, Class, LinkConfig, LinkError};
use serde_json::Value;

use crate::fhp::Fhp;
use crate::kit::{AMPLE, Desk, Kind, assert_alive, breathe, key_of, method, pattern, request};

/// What the folder's only trace says, once the link's end stands in it.
async fn whole_trace(dir: &Path) -> String {
    loop {
        let paths: Vec<_> =
            fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("one").path()).collect();
        assert!(paths.len() <= 1, "one link, one file: {paths:?}");
        let text = paths.first().map(|path| fs::read_to_string(path).expect("text")).unwrap_or_default();
        if text.contains("fhp:connection_closed") && text.ends_with('\n') {
            return text;
        }
        breathe().await;
    }
}

fn assert_whole(text: &str, side: &str) {
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"));
    let head = lines.next().expect("a first line");
    assert_eq!(head["vantage_point"]["type"], side);
    let (mut names, mut before, mut sent) = (BTreeSet::new(), 0.0, BTreeSet::new());
    for event in lines {
        let time = event["time"].as_f64().expect("each event has a time");
        assert!(time >= before, "in order: {event}");
        before = time;
        let name = event["name"].as_str().expect("each event has a name").to_owned();
        assert!(event["data"].is_object(), "{event}");
        if name == "fhp:packet_sent" && event["data"]["header"]["packet_type"] == "data" {
            let number = event["data"]["header"]["packet_number"].as_u64().expect("a number");
            assert!(sent.insert(number), "no number is sent twice: {event}");
        }
        names.insert(name);
    }
    for name in ["connection_started", "connection_state_updated", "packet_sent", "packet_received"] {
        assert!(names.contains(&format!("fhp:{name}")), "{name} in {names:?}");
    }
    for name in ["packets_acked", "recovery_metrics_updated", "mtu_updated", "connection_closed"] {
        assert!(names.contains(&format!("fhp:{name}")), "{name} in {names:?}");
    }
    assert!(!names.contains("fhp:events_missed"), "{names:?}");
}

pub(crate) async fn a_traced_link_leaves_a_line_of_json_for_everything_it_did_and_says_nothing_private() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let (here, there) = (dirs[0].path().join("here"), dirs[1].path().join("there"));
    let server = Fhp::bind(1, Accept::AnyKey, LinkConfig::default());
    let client = Fhp::bind(2, Accept::None, LinkConfig::default());
    server.trace_links(&there).expect("a folder can be made");
    client.trace_links(&here).expect("a folder can be made");
    let (addr, key) = (server.local_addr().expect("bound"), server.public_key());
    let (desk, _bell) = Desk::new();
    let serving = server.clone();
    tokio::spawn(async move { serving.serve(move |_| desk.clone()).await });
    let link = client.connect(addr, key).await.expect("anybody is admitted");
    assert_alive(&link).await;
    let call = link.call(request(method::ECHO, Class::Bulk, "secret head", pattern(0, 400_000)), AMPLE).await;
    call.expect("sent").collect(400_000).await.expect("answered");
    link.close();
    for (dir, side) in [(&here, "client"), (&there, "server")] {
        let text = whole_trace(dir).await;
        assert_whole(&text, side);
        let key = key_of(1).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        for private in ["127.0.0.1", "secret", "ping", &key] {
            assert!(!text.contains(private), "{private} stands in the {side}'s trace");
        }
    }
}

pub(crate) async fn who_is_not_let_in_leaves_no_trace() {
    let dir = tempfile::tempdir().expect("a folder");
    let server = Fhp::bind(1, Accept::Pinned([key_of(5)].into_iter().collect()), LinkConfig::default());
    server.trace_links(dir.path()).expect("a folder");
    let (addr, key) = (server.local_addr().expect("bound"), server.public_key());
    tokio::spawn(async move { server.serve(|_| Desk::new().0).await });
    for _ in 0..3 {
        let stranger = Fhp::bind(6, Accept::None, LinkConfig::default());
        assert_eq!(stranger.connect(addr, key).await.expect_err("not pinned"), LinkError::NotAdmitted);
    }
    let admitted = Fhp::bind(5, Accept::None, LinkConfig::default());
    let link = admitted.connect(addr, key).await.expect("pinned");
    assert_alive(&link).await;
    link.close();
    // One file, although four have come.
    let text = whole_trace(dir.path()).await;
    assert!(text.contains("fhp:connection_state_updated"));
}
