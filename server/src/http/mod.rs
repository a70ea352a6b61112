//! The HTTP face: routes, limits, one thin handler for each endpoint.

pub(crate) mod error;
mod events;
pub(crate) mod extract;
mod routes;

use crate::App;
use crate::limits::REQUEST_TIMEOUT;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use freehold_api::limits::{JSON_BODY_BYTES_MAX, PUSH_BYTES_MAX};
use freehold_api::path;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

/// Every route of the server.
///
/// Serve it with connect info (`into_make_service_with_connect_info::<SocketAddr>`), because the
/// login throttle counts by network.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .merge(public_routes())
        .merge(account_routes())
        .merge(vault_routes())
        .merge(node_routes())
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIMEOUT))
        .layer(axum::middleware::from_fn(error::finish))
        .with_state(app)
}

fn public_routes() -> Router<Arc<App>> {
    Router::new()
        .route(path::LIVEZ, get(routes::livez))
        .route(path::READYZ, get(routes::readyz))
        .route(path::VERSION, get(routes::version))
        .route(path::SERVER, get(routes::server))
        .route(path::REGISTER_START, post(routes::register_start))
        .route(path::REGISTER_FINISH, post(routes::register_finish))
        .route(path::LOGIN_START, post(routes::login_start))
        .route(path::LOGIN_FINISH, post(routes::login_finish))
        .route(path::DEVICE_CHALLENGE, post(routes::device_challenge))
        .route(path::DEVICE_SESSION, post(routes::device_session))
        .route(path::RECOVERY_CHALLENGE, post(routes::recovery_challenge))
        .route(path::RECOVERY_SESSION, post(routes::recovery_session))
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
}

fn account_routes() -> Router<Arc<App>> {
    Router::new()
        .route(path::LOGOUT, post(routes::logout))
        .route(path::ACCOUNT_LOG, get(routes::account_log).post(routes::append_entries))
        .route(path::PASSWORD_START, post(routes::password_start))
        .route(path::ACCOUNT_BOXES, get(routes::account_boxes))
        .route(path::VAULTS, get(routes::vaults))
        .route(path::DEVICE_ADDRESSES, get(routes::addresses).post(routes::put_addresses))
        .route(path::LAYOUT, get(routes::layout))
        .route(path::CAPABILITIES, post(routes::capabilities))
        .route(path::EVENTS, get(events::events))
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
}

fn vault_routes() -> Router<Arc<App>> {
    Router::new()
        .route(path::COMMITS, get(routes::commit_page).post(routes::push))
        .route(path::VERSIONS, post(routes::versions))
        .route(path::RECEIPTS, post(routes::receipts))
        .route(path::STATE, get(routes::vault_state))
        .route(path::CHAIN, get(routes::chain))
        .layer(DefaultBodyLimit::max(PUSH_BYTES_MAX))
}

fn node_routes() -> Router<Arc<App>> {
    Router::new()
        .route(path::NODE_JOIN, post(routes::node_join))
        .route(path::NODE_HEARTBEAT, post(routes::node_heartbeat))
        .layer(DefaultBodyLimit::max(JSON_BODY_BYTES_MAX))
}
