//! The control API on its Unix socket: who may connect, and which handler serves what.
//!
//! The socket lies in a folder only its owner can enter, has mode 0600, and every connection's peer
//! credentials are checked as well, so that a mistake in one of the three is not enough.

mod error;
mod handlers;

use crate::mounts::Mounts;
use anyhow::{Context, Result};
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Router, http::StatusCode};
use error::Failure;
use freehold_api::control::{CONTROL_BODY_BYTES_MAX, CONTROL_VERSION, path};
use freehold_engine::Engine;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use tokio::net::UnixListener;

/// What every handler works with.
#[derive(Clone)]
struct Shared {
    engine: Engine,
    mounts: Arc<Mounts>,
}

/// The user at the other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug)]
struct PeerUser(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for PeerUser {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

/// Makes the socket; the lock of this data folder is held, so a socket that is there is a leftover.
pub(crate) fn listen(socket: &Path) -> Result<UnixListener> {
    if socket.exists() {
        std::fs::remove_file(socket)
            .with_context(|| format!("could not remove the old socket {}", socket.display()))?;
    }
    let listener = UnixListener::bind(socket).with_context(|| {
        format!("could not listen on {}; a shorter FREEHOLD_HOME may help", socket.display())
    })?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600))
        .with_context(|| format!("could not close {} to others", socket.display()))?;
    Ok(listener)
}

/// Serves until the listener fails.
pub(crate) async fn serve(listener: UnixListener, engine: Engine, mounts: Arc<Mounts>) -> Result<()> {
    let router = Router::new()
        .route(path::VERSION, get(handlers::version))
        .route(path::STATUS, get(handlers::status))
        .route(path::WHOAMI, get(handlers::whoami))
        .route(path::SIGNUP, post(handlers::signup))
        .route(path::LOGIN, post(handlers::login))
        .route(path::LOGOUT, post(handlers::logout))
        .route(path::RECOVER, post(handlers::recover))
        .route(path::RECOVERY_CREATE, post(handlers::recovery_create))
        .route(path::RECOVERY_TEST, post(handlers::recovery_test))
        .route(path::PASSWD, post(handlers::passwd))
        .route(path::DEVICES, get(handlers::devices))
        .route(path::DEVICE_REVOKE, post(handlers::device_revoke))
        .route(path::DEVICE_RENAME, post(handlers::device_rename))
        .route(path::MOUNT, post(handlers::mount))
        .route(path::UNMOUNT, post(handlers::unmount))
        .route(path::WAIT, post(handlers::wait))
        .route(path::CONFLICTS, get(handlers::conflicts))
        .route(path::CONFLICTS_KEEP, post(handlers::keep_conflict))
        .route(path::DELETIONS, get(handlers::deletions))
        .route(path::DELETIONS_DECIDE, post(handlers::decide_deletions))
        .route(path::PIN, post(handlers::pin))
        .route(path::EVICT, post(handlers::evict))
        .fallback(|| async { Failure::unknown_request() })
        .method_not_allowed_fallback(|| async { Failure::unknown_request() })
        .layer(DefaultBodyLimit::max(CONTROL_BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(rustix::process::geteuid().as_raw(), admit))
        .with_state(Shared { engine, mounts });
    let service = router.into_make_service_with_connect_info::<PeerUser>();
    axum::serve(listener, service).await.context("the control socket failed")
}

/// Lets the owner in, and puts the control version on every answer.
async fn admit(
    State(owner): State<u32>,
    ConnectInfo(PeerUser(peer)): ConnectInfo<PeerUser>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = if peer == Some(owner) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, Failure::not_owner()).into_response()
    };
    response
        .headers_mut()
        .insert(HeaderName::from_static("freehold-control"), HeaderValue::from(CONTROL_VERSION));
    response
}
