//! Decoding and edge cases against a tiny responder; the real server has its own suite.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use freehold_api::bulk::{
    CommitPage, NumberedCommit, PushCommit, PushRequest, VersionItem, VersionState, VersionsRequest,
    VersionsResponse,
};
use freehold_api::{
    Blob, ErrorCode, Event, PROBLEM_CONTENT_TYPE, PROTOCOL, PROTOCOL_HEADER, Problem, PushOutcome,
    PushResponse, Registration, Scope,
};
use freehold_model::codec::to_vec;
use freehold_model::{AccountId, VaultId, VersionHash};
use tokio::net::TcpListener;

use super::*;

const SECRET: &str = "a-token-nobody-may-see";

#[tokio::test]
async fn json_answers_are_decoded() {
    let info = ServerInfo {
        version: "1".to_owned(),
        protocol: PROTOCOL,
        server_id: Blob(vec![1; 32]),
        sign_pk: Blob(vec![2; 32]),
        registration: Registration::Open,
    };
    let answer = axum::Json(info.clone());
    let client = client(Router::new().route(path::SERVER, get(|| async { answer }))).await;
    assert_eq!(client.server_info().await, Ok(info));
}

#[tokio::test]
async fn problem_becomes_its_code() {
    let mut problem = Problem::new(ErrorCode::RateLimited);
    problem.retry_after_seconds = Some(7);
    let client =
        client(always(429, Some(PROBLEM_CONTENT_TYPE), serde_json::to_vec(&problem).expect("json"))).await;
    let error = client.server_info().await.expect_err("a problem");
    assert_eq!(error.code(), Some(ErrorCode::RateLimited));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.is_transient() && !error.wants_session());
}

#[tokio::test]
async fn problem_of_a_later_server_keeps_its_advice() {
    let body = r#"{"type":"urn:x","title":"t","status":418,"code":"teapot","retryable":true}"#;
    let client = client(always(418, Some("application/problem+json; charset=utf-8"), body)).await;
    let error = client.server_info().await.expect_err("a problem");
    assert_eq!((error.code(), error.is_transient()), (None, true));
}

#[tokio::test]
async fn expired_session_asks_for_a_new_one() {
    let problem = serde_json::to_vec(&Problem::new(ErrorCode::SessionExpired)).expect("json");
    let client = client(always(401, Some(PROBLEM_CONTENT_TYPE), problem)).await;
    assert!(client.vaults().await.expect_err("a problem").wants_session());
}

#[tokio::test]
async fn error_without_a_problem_is_its_status() {
    for (status, transient) in [(502, true), (404, false)] {
        let client = client(always(status, Some("text/html"), "<h1>no</h1>")).await;
        let error = client.server_info().await.expect_err("an error");
        assert_eq!(error, CoordError::Status(status));
        assert_eq!(error.is_transient(), transient);
    }
}

#[tokio::test]
async fn answer_of_another_shape_is_a_protocol_error() {
    let client = client(always(200, None, "[]")).await;
    let error = client.server_info().await.expect_err("no server info");
    assert!(matches!(error, CoordError::Protocol(_)) && !error.is_transient(), "{error:?}");
    let error = client.commits_after(&VaultId::default(), 0, 10).await.expect_err("no page");
    assert!(matches!(error, CoordError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn other_protocol_version_is_refused() {
    let app = Router::new().route(path::SERVER, get(|| async { ([(PROTOCOL_HEADER, "999")], "{}") }));
    let error = client(app).await.server_info().await.expect_err("another version");
    assert_eq!(error, CoordError::Incompatible { theirs: 999 });
}

#[tokio::test]
async fn announced_length_over_the_limit_is_refused_unread() {
    let client = client(always(200, None, vec![0; 20 << 20])).await;
    let error = client.commits_after(&VaultId::default(), 0, 10).await.expect_err("too big");
    assert!(matches!(error, CoordError::TooBig { .. }), "{error:?}");
}

#[tokio::test]
async fn endless_answer_is_cut_at_the_limit() {
    let app = Router::new().fallback(any(|| async {
        let parts =
            futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65_536])));
        Body::from_stream(parts)
    }));
    let error = client(app).await.commits_after(&VaultId::default(), 0, 10).await.expect_err("too big");
    assert!(matches!(error, CoordError::TooBig { .. }), "{error:?}");
}

#[tokio::test]
async fn session_token_is_sent_by_every_clone_until_it_is_cleared() {
    let echo = |headers: HeaderMap| async move {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("none");
        problem_titled(sent)
    };
    let client = client(Router::new().fallback(any(echo))).await;
    assert_eq!(title(client.vaults().await), "none");
    client.clone().set_session(&session()).expect("a usable token");
    assert_eq!(title(client.vaults().await), format!("Bearer {SECRET}"));
    client.clear_session();
    assert_eq!(title(client.vaults().await), "none");
}

#[tokio::test]
async fn logout_forgets_the_session() {
    let client = client(Router::new().route(path::LOGOUT, post(|| async { StatusCode::NO_CONTENT }))).await;
    client.set_session(&session()).expect("a usable token");
    client.logout().await.expect("answered");
    assert!(!client.has_session());
}

#[tokio::test]
async fn token_shows_in_no_debug_and_no_error() {
    let client = client(always(500, None, "")).await;
    client.set_session(&session()).expect("a usable token");
    let error = client.vaults().await.expect_err("500");
    let shown = format!("{client:?} {:?} {error:?} {error}", client.token());
    assert!(!shown.contains(SECRET), "{shown}");
    let unusable = Session { token: format!("{SECRET}\n"), ..session() };
    let error = client.set_session(&unusable).expect_err("a line break in a header");
    assert!(!format!("{error:?} {error}").contains(SECRET));
}

#[tokio::test]
async fn redirect_is_not_followed() {
    let app = Router::new()
        .route(path::VAULTS, get(|| async { (StatusCode::FOUND, [(header::LOCATION, path::SERVER)]) }))
        .route(path::SERVER, get(|| async { "followed" }));
    let error = client(app).await.vaults().await.expect_err("a redirect");
    assert_eq!(error, CoordError::Protocol("a redirect"));
}

#[tokio::test]
async fn silent_server_times_out_and_an_absent_one_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    let silent = ServerClient::new(format!("http://{addr}").parse().expect("loopback"), quick());
    assert_eq!(silent.server_info().await, Err(CoordError::Timeout));
    assert_eq!(silent.events().await.expect_err("no upgrade"), CoordError::Timeout);
    drop(listener);
    let absent = ServerClient::new(format!("http://{addr}").parse().expect("loopback"), quick());
    assert_eq!(absent.server_info().await, Err(CoordError::Unreachable));
    assert_eq!(absent.events().await.expect_err("nobody listens"), CoordError::Unreachable);
}

#[tokio::test]
async fn page_must_continue_its_cursor() {
    let page = |seqs: &[u64], next| {
        let items = seqs.iter().map(|seq| NumberedCommit { vault_seq: *seq, commit: vec![1] }).collect();
        CommitPage { server_incarnation: 1, next, head: 9, items }
    };
    for (page, good) in
        [(page(&[6, 7], 7), true), (page(&[], 5), true), (page(&[5], 5), false), (page(&[], 9), false)]
    {
        let client = client(always(200, None, to_vec(&page))).await;
        let answer = client.commits_after(&VaultId::default(), 5, 10).await;
        assert_eq!(answer.is_ok(), good, "{answer:?}");
    }
}

#[tokio::test]
async fn versions_must_be_a_prefix_of_the_request() {
    let hash = |byte| VersionHash::from_bytes([byte; 32]);
    let item = |byte| VersionItem { hash: hash(byte), state: VersionState::Placed, ciphertext: vec![byte] };
    let request = VersionsRequest { hashes: vec![hash(1), hash(2)] };
    let cases =
        [(vec![1, 2], true), (vec![1], true), (vec![], false), (vec![2], false), (vec![1, 2, 3], false)];
    for (bytes, good) in cases {
        let response = VersionsResponse { items: bytes.iter().copied().map(item).collect() };
        let client = client(always(200, None, to_vec(&response))).await;
        let answer = client.versions(&VaultId::default(), &request).await;
        assert_eq!(answer.is_ok(), good, "{bytes:?}: {answer:?}");
    }
}

#[tokio::test]
async fn push_sends_the_binary_form_and_wants_an_outcome_for_each_commit() {
    let commit = PushCommit { commit: vec![1, 2, 3], versions: Vec::new(), manifests: Vec::new() };
    let request = PushRequest { commits: vec![commit] };
    let sent = to_vec(&request);
    let app = |outcomes: usize| {
        let sent = sent.clone();
        Router::new().fallback(any(move |headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers[header::CONTENT_TYPE], freehold_api::BULK_CONTENT_TYPE);
            assert_eq!(body, sent);
            axum::Json(PushResponse { results: vec![PushOutcome::Numbered { vault_seq: 4 }; outcomes] })
        }))
    };
    let answer = client(app(1)).await.push(&VaultId::default(), &request).await.expect("one outcome");
    assert_eq!(answer.results, [PushOutcome::Numbered { vault_seq: 4 }]);
    let error = client(app(2)).await.push(&VaultId::default(), &request).await.expect_err("two outcomes");
    assert!(matches!(error, CoordError::Protocol(_)), "{error:?}");
}

#[tokio::test]
async fn events_arrive_in_order_and_the_end_is_an_error() {
    let app = events(|mut socket| async move {
        for text in
            [r#"{"type":"hello","server_incarnation":3}"#, r#"{"type":"later"}"#, r#"{"type":"resync"}"#]
        {
            socket.send(Message::Text(text.into())).await.expect("the client listens");
        }
    });
    let mut events = client(app).await.events().await.expect("upgraded");
    assert_eq!(events.next().await, Ok(Event::Hello { server_incarnation: 3 }));
    assert_eq!(events.next().await, Ok(Event::Unknown));
    assert_eq!(events.next().await, Ok(Event::Resync));
    assert_eq!(events.next().await, Err(CoordError::Unreachable));
}

#[tokio::test]
async fn events_carry_the_session_and_a_refusal_is_its_code() {
    let problem = serde_json::to_vec(&Problem::new(ErrorCode::Unauthenticated)).expect("json");
    let app = Router::new().route(
        path::EVENTS,
        any(move |headers: HeaderMap, upgrade: WebSocketUpgrade| async move {
            match headers.contains_key(header::AUTHORIZATION) {
                true => upgrade.on_upgrade(|mut socket| async move {
                    socket
                        .send(Message::Text(r#"{"type":"resync"}"#.into()))
                        .await
                        .expect("the client listens");
                }),
                false => respond(401, Some(PROBLEM_CONTENT_TYPE), problem),
            }
        }),
    );
    let client = client(app).await;
    let error = client.events().await.expect_err("no session");
    assert!(error.wants_session(), "{error:?}");
    client.set_session(&session()).expect("a usable token");
    assert_eq!(client.events().await.expect("upgraded").next().await, Ok(Event::Resync));
}

#[tokio::test]
async fn answer_without_an_upgrade_is_no_event_stream() {
    for status in [200, 204] {
        let error = client(always(status, None, "")).await.events().await.expect_err("no WebSocket");
        assert!(matches!(error, CoordError::Protocol(_)), "{error:?}");
    }
}

#[tokio::test]
async fn messages_that_are_no_events_are_protocol_errors() {
    for message in
        [Message::Text("{}".into()), Message::Text("nonsense".into()), Message::Binary(Bytes::new())]
    {
        let app = events(|mut socket| async move {
            socket.send(message).await.expect("the client listens");
        });
        let error = client(app).await.events().await.expect("upgraded").next().await.expect_err("no event");
        assert!(matches!(error, CoordError::Protocol(_)), "{error:?}");
    }
}

#[tokio::test]
async fn oversized_event_is_refused() {
    let app = events(|mut socket| async move {
        // The client may leave before it has taken it all.
        let _ = socket.send(Message::Text("x".repeat(1 << 20).into())).await;
    });
    let error = client(app).await.events().await.expect("upgraded").next().await.expect_err("too big");
    assert!(matches!(error, CoordError::TooBig { .. }), "{error:?}");
}

#[tokio::test]
async fn silent_event_stream_is_probed_and_then_lost() {
    // The responder never reads, so it never answers the probe.
    let app = events(|socket| async move {
        let _held = socket;
        std::future::pending::<()>().await;
    });
    let mut events = client(app).await.events().await.expect("upgraded");
    assert_eq!(events.next().await, Err(CoordError::Timeout));
}

/// A client of `app` on a fresh port.
async fn client(app: Router) -> ServerClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://localhost:{}", listener.local_addr().expect("bound").port());
    tokio::spawn(async move { axum::serve(listener, app).await });
    ServerClient::new(
        url.parse().expect("loopback"),
        CoordConfig { event_silence: quick().event_silence, ..CoordConfig::default() },
    )
}

fn quick() -> CoordConfig {
    let short = Duration::from_millis(200);
    CoordConfig { connect_timeout: short, request_timeout: short, bulk_timeout: short, event_silence: short }
}

fn session() -> Session {
    Session {
        token: SECRET.to_owned(),
        expires: 0,
        scope: Scope::Device,
        account_id: AccountId::default(),
        device_id: None,
    }
}

fn always(status: u16, content_type: Option<&'static str>, body: impl Into<Bytes>) -> Router {
    let body = body.into();
    Router::new().fallback(any(move || async move { respond(status, content_type, body) }))
}

fn respond(status: u16, content_type: Option<&'static str>, body: impl Into<Bytes>) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    let content_type = content_type.unwrap_or("application/octet-stream");
    (status, [(header::CONTENT_TYPE, content_type)], body.into()).into_response()
}

fn problem_titled(title: &str) -> Response {
    let problem = Problem { title: title.to_owned(), ..Problem::new(ErrorCode::Forbidden) };
    respond(403, Some(PROBLEM_CONTENT_TYPE), serde_json::to_vec(&problem).expect("json"))
}

fn title<T: fmt::Debug>(answer: Result<T, CoordError>) -> String {
    match answer {
        Err(CoordError::Refused(problem)) => problem.title,
        other => panic!("not a problem: {other:?}"),
    }
}

fn events<F, Fut>(talk: F) -> Router
where
    F: FnOnce(axum::extract::ws::WebSocket) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Router::new()
        .route(path::EVENTS, any(move |upgrade: WebSocketUpgrade| async move { upgrade.on_upgrade(talk) }))
}
