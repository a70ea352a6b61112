//! Storage nodes: join, layout, capabilities, heartbeats.

use crate::client::{Server, User, join_message};
use freehold_api::{
    Blob, Capabilities, CapabilityRequest, ChunkOp, ErrorCode, Health, Heartbeat, LayoutInfo, NodeJoined,
    path,
};
use freehold_trust::{
    NodeCert, Ops, SignKey, SignedCapability, SignedHeartbeat, SignedLayout, SignedNodeCert, Use,
};

#[tokio::test]
async fn a_node_joins_and_the_layout_names_it() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let empty: LayoutInfo = server.get(path::LAYOUT, &user.token).await.json();
    assert_eq!((empty.epoch, empty.nodes.len()), (0, 0));
    let node = server.join_node(7).await;
    let info: LayoutInfo = server.get(path::LAYOUT, &user.token).await.json();
    let layout = SignedLayout::from_bytes(info.layout.as_slice()).expect("a layout");
    let layout = layout.verify_all(&server.app.keys().public()).expect("the server signed it");
    assert_eq!((layout.epoch(), layout.copies(), layout.write_quorum()), (1, 1, 1));
    assert_eq!(layout.cert(&node.id).map(|cert| cert.sign_pk), Some(node.key.public()));
    assert_eq!((info.nodes[0].node_id, info.nodes[0].live), (node.id, true));
    let health: Health = server.get(path::READYZ, "").await.json();
    assert_eq!(health, Health { ready: true, database: true, nodes_live: 1 });
}

#[tokio::test]
async fn a_join_token_serves_one_node_and_may_be_repeated_by_it() {
    let server = Server::start().await;
    let node = server.join_node(7).await;
    let again: NodeJoined =
        server.post(path::NODE_JOIN, "", &join_message("token 7", &node.key)).await.json();
    assert_eq!(again.node_id, node.id);
    let cert = SignedNodeCert::from_bytes(again.cert.as_slice()).expect("a certificate");
    let cert: &NodeCert = cert.verify(&server.app.keys().public()).expect("the server signed it");
    assert_eq!((cert.node, cert.sign_pk), (node.id, node.key.public()));
    for token in ["token 7", "never made"] {
        let other = join_message(token, &SignKey::from_seed(&[8; 32]));
        let refused = server.post(path::NODE_JOIN, "", &other).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, ErrorCode::JoinTokenInvalid));
    }
}

#[tokio::test]
async fn a_capability_is_bound_to_node_vault_device_and_hour() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let request = CapabilityRequest { vault_id: user.vault, ops: vec![ChunkOp::Have, ChunkOp::Get] };
    let none = server.post(path::CAPABILITIES, &user.token, &request).await;
    assert_eq!((none.status.as_u16(), none.code()), (503, ErrorCode::NoNodes));
    let nodes = [server.join_node(7).await, server.join_node(8).await];
    let granted: Capabilities = server.post(path::CAPABILITIES, &user.token, &request).await.json();
    assert_eq!(granted.items.len(), 2);
    let now = server.app.clock().seconds();
    assert_eq!(granted.expires, now + 3_600);
    for node in nodes {
        let item = granted.items.iter().find(|item| item.node == node.id).expect("one for each node");
        assert!(item.capability.as_slice().len() <= 200);
        let capability = SignedCapability::from_bytes(item.capability.as_slice()).expect("a capability");
        let public = server.app.keys().public();
        let circumstances =
            Use { server: &public, node: &node.id, client_tls: &user.device.tls, now, skew_seconds: 0 };
        let terms = capability.check(&circumstances).expect("good here and now");
        assert_eq!(terms.vault_tag, server.app.keys().vault_tag(&user.vault, &node.id));
        assert_eq!(terms.ops, Ops::HAVE | Ops::GET);
        assert!(capability.check(&Use { now: now + 3_600, ..circumstances }).is_err());
        assert!(capability.check(&Use { client_tls: &node.key.public(), ..circumstances }).is_err());
    }
}

#[tokio::test]
async fn heartbeats_are_signed_and_rise() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let node = server.join_node(7).await;
    let beat = |time, key: &SignKey| {
        let addresses = vec!["127.0.0.1:4433".to_owned()];
        let fields = freehold_trust::Heartbeat::new(node.id, time, 1, 2, addresses).expect("a heartbeat");
        Heartbeat { statement: Blob(SignedHeartbeat::sign(fields, key).to_bytes()) }
    };
    let path = path::node_heartbeat(&node.id);
    server.app.clock().advance(1_000);
    let silent: LayoutInfo = server.get(path::LAYOUT, &user.token).await.json();
    assert!(!silent.nodes[0].live);
    assert_eq!(server.post(&path, "", &beat(5, &node.key)).await.status.as_u16(), 204);
    let heard: LayoutInfo = server.get(path::LAYOUT, &user.token).await.json();
    assert!(heard.nodes[0].live && heard.nodes[0].addresses == ["127.0.0.1:4433"]);
    assert_eq!(server.post(&path, "", &beat(5, &node.key)).await.code(), ErrorCode::StaleHeartbeat);
    let forged = beat(6, &SignKey::from_seed(&[8; 32]));
    assert_eq!(server.post(&path, "", &forged).await.code(), ErrorCode::BadSignature);
    let nobody = path::node_heartbeat(&freehold_model::NodeId::from_bytes([1; 16]));
    assert_eq!(server.post(&nobody, "", &beat(6, &node.key)).await.code(), ErrorCode::NodeUnknown);
}
