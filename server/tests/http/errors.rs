//! Every refusal is a problem with a request id, whoever refuses.

use crate::client::{Answer, Server, User};
use freehold_api::bulk::PushRequest;
use freehold_api::{ErrorCode, PROTOCOL_HEADER, REQUEST_ID_HEADER, path};

#[tokio::test]
async fn the_frameworks_refusals_are_problems_too() {
    let server = Server::start().await;
    let http = &server.http;
    let requests = [
        (http.get(server.url("/nowhere")), ErrorCode::NotFound),
        (http.delete(server.url(path::SERVER)), ErrorCode::MethodNotAllowed),
        (http.post(server.url(path::LOGIN_START)).body("{}"), ErrorCode::UnsupportedMediaType),
        (json(http.post(server.url(path::LOGIN_START)), "{\"user\":\"secret name\"}"), ErrorCode::BadRequest),
        (json(http.post(server.url(path::LOGIN_START)), &"x".repeat(2 << 20)), ErrorCode::TooLarge),
        (http.get(server.url(path::VAULTS)), ErrorCode::Unauthenticated),
        (http.get(server.url(path::VAULTS)).bearer_auth("made up"), ErrorCode::Unauthenticated),
        (http.get(server.url("/api/v1/vaults/zz/state")).bearer_auth("made up"), ErrorCode::Unauthenticated),
    ];
    for (request, code) in requests {
        let answer = Answer::of(request).await;
        let problem = answer.problem();
        assert_eq!(problem.error_code(), Some(code));
        assert_eq!(answer.headers[REQUEST_ID_HEADER], problem.request_id.as_str());
        assert_eq!(answer.headers[PROTOCOL_HEADER], "1");
        assert!(!problem.detail.contains("secret"), "{}", problem.detail);
    }
}

fn json(request: reqwest::RequestBuilder, body: &str) -> reqwest::RequestBuilder {
    request.header("content-type", "application/json").body(body.to_owned())
}

#[tokio::test]
async fn a_bulk_body_that_does_not_decode_is_refused() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let request = server.http.post(server.url(&path::commits(&user.vault))).bearer_auth(&user.token);
    let answer = Answer::of(request.header("content-type", "application/octet-stream").body("FHU1")).await;
    assert_eq!(answer.code(), ErrorCode::BadRequest);
    let bad_id = server.get("/api/v1/vaults/zz/state", &user.token).await;
    assert_eq!(bad_id.code(), ErrorCode::NotFound);
    let bad_query = server.get(&format!("{}?after=x", path::commits(&user.vault)), &user.token).await;
    assert_eq!(bad_query.code(), ErrorCode::BadRequest);
}

#[tokio::test]
async fn a_full_disk_is_507_and_reading_goes_on() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let file = server.file.as_ref().expect("a database file");
    file.execute_raw("PRAGMA max_page_count = 1").await.expect("the cap drops to the size it has");
    let request = PushRequest { commits: vec![user.commit(&[7; 256 * 1024], &[])] };
    let full = server.post_bulk(&path::commits(&user.vault), &user.token, &request).await;
    assert_eq!((full.status.as_u16(), full.code()), (507, ErrorCode::NoSpace));
    assert!(full.problem().retryable);
    assert_eq!(server.get(path::VAULTS, &user.token).await.status.as_u16(), 200);
    file.execute_raw("PRAGMA max_page_count = 1000000").await.expect("room again");
    let room = server.post_bulk(&path::commits(&user.vault), &user.token, &request).await;
    assert_eq!(room.status.as_u16(), 200);
    server.store.ping().await.expect("the database answers");
}

#[tokio::test]
async fn a_name_nobody_can_type_is_refused() {
    let server = Server::start().await;
    for user in ["", " padded", "tab\tbed", &"x".repeat(129)] {
        let start = freehold_api::RegisterStart {
            user: user.to_owned(),
            request: freehold_api::Blob(vec![1; 32]),
            invite: None,
        };
        assert_eq!(server.post(path::REGISTER_START, "", &start).await.code(), ErrorCode::BadUser);
    }
}
