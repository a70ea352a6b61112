//! The event connection.

use crate::client::{Server, User};
use crate::socket::{connect, next};
use freehold_api::Event;
use freehold_model::ChunkId;
use tokio_tungstenite::tungstenite;

#[tokio::test]
async fn commits_placements_and_layouts_are_pushed_to_their_account() {
    let server = Server::start().await;
    let mut user = User::register(&server, 1).await;
    let other = User::register(&server, 2).await;
    let mut socket = connect(&server, &user.token).await.expect("a connection");
    assert!(matches!(next(&mut socket).await, Some(Event::Hello { .. })));
    let node = server.join_node(7).await;
    assert_eq!(next(&mut socket).await, Some(Event::Layout { epoch: 1 }));
    // What happens to another account is not heard.
    other.push(&server, &[other.commit(b"x", &[])]).await;
    let chunk = ChunkId::from_bytes([3; 32]);
    let commit = user.commit(b"a", &[chunk]);
    user.push(&server, std::slice::from_ref(&commit)).await;
    user.advance(&commit);
    assert_eq!(next(&mut socket).await, Some(Event::Commit { vault: user.vault, vault_seq: 1 }));
    let tag = server.app.keys().vault_tag(&user.vault, &node.id);
    user.send_receipts(&server, vec![node.receipt(tag, chunk)]).await;
    assert_eq!(next(&mut socket).await, Some(Event::Placed { vault: user.vault }));
}

#[tokio::test]
async fn a_push_repeated_after_a_lost_answer_is_told_again() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let commit = [user.commit(b"a", &[])];
    user.push(&server, &commit).await;
    let mut socket = connect(&server, &user.token).await.expect("a connection");
    assert!(matches!(next(&mut socket).await, Some(Event::Hello { .. })));
    user.push(&server, &commit).await;
    // Says that the server still speaks, should the first thing it says not be the commit.
    server.join_node(7).await;
    assert_eq!(next(&mut socket).await, Some(Event::Commit { vault: user.vault, vault_seq: 1 }));
}

#[tokio::test]
async fn a_stranger_hears_nothing() {
    let server = Server::start().await;
    let refused = connect(&server, "made up").await;
    let Err(tungstenite::Error::Http(response)) = refused else { panic!("it was let in") };
    assert_eq!(response.status().as_u16(), 401);
}

#[tokio::test]
async fn stopping_the_server_ends_the_connection() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let mut socket = connect(&server, &user.token).await.expect("a connection");
    assert!(matches!(next(&mut socket).await, Some(Event::Hello { .. })));
    server.app.stop();
    assert_eq!(next(&mut socket).await, None);
}
