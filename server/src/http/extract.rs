//! What handlers take off a request: caller, JSON, binary body, ids in the path.

use super::error::{ApiError, ApiResult};
use crate::App;
use crate::db::{SessionRow, TokenHash};
use crate::random;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use freehold_api::{BULK_CONTENT_TYPE, ErrorCode};
use freehold_model::codec::{self, Decode, Encode};
use freehold_model::{AccountId, DeviceId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

/// Somebody with a session, of either scope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// Whose session.
    pub(crate) account: AccountId,
    /// The session's name in the database.
    pub(crate) token: TokenHash,
    /// The device, unless it is a password session.
    pub(crate) device: Option<DeviceId>,
}

/// A device with a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceCaller {
    /// Its account.
    pub(crate) account: AccountId,
    /// The session's name in the database.
    pub(crate) token: TokenHash,
    /// The device.
    pub(crate) device: DeviceId,
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let token = bearer(&parts.headers).ok_or(ApiError::new(ErrorCode::Unauthenticated))?;
        let token = random::token_hash(token);
        let session = live_session(app, token).await?;
        Ok(Self { account: session.account, token, device: session.device })
    }
}

impl FromRequestParts<Arc<App>> for DeviceCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let device = caller.device.ok_or(ApiError::new(ErrorCode::Forbidden))?;
        Ok(Self { account: caller.account, token: caller.token, device })
    }
}

/// The session of a token while it lasts.
pub(crate) async fn live_session(app: &App, token: TokenHash) -> ApiResult<SessionRow> {
    let session = app.store.session(token).await?;
    let session = session.ok_or(ApiError::new(ErrorCode::Unauthenticated))?;
    if session.expires <= app.clock.micros() {
        return Err(ApiError::new(ErrorCode::SessionExpired));
    }
    Ok(session)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where a request comes from.
pub(crate) struct Peer(pub(crate) IpAddr);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.ok_or(ApiError::with(ErrorCode::Internal, "the listener gave no peer address"))?;
        Ok(Self(peer.0.ip()))
    }
}

/// A JSON message, either way.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        expect_type(request.headers(), "application/json")?;
        let body = read_body(request, state).await?;
        // The parser's own text could quote a value, so only the place is passed on.
        let value = serde_json::from_slice(&body).map_err(|error| {
            let place =
                format!("the message does not fit at line {}, column {}", error.line(), error.column());
            ApiError::because(ErrorCode::BadRequest, place.into())
        })?;
        Ok(Self(value))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A binary message, either way.
pub(crate) struct Bulk<T>(pub(crate) T);

impl<S: Send + Sync, T: Decode> FromRequest<S> for Bulk<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        expect_type(request.headers(), BULK_CONTENT_TYPE)?;
        let body = read_body(request, state).await?;
        Ok(Self(codec::from_slice(&body)?))
    }
}

impl<T: Encode> IntoResponse for Bulk<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, BULK_CONTENT_TYPE)], codec::to_vec(&self.0)).into_response()
    }
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> ApiResult<Bytes> {
    Bytes::from_request(request, state).await.map_err(|rejection| {
        let too_large = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        ApiError::new(if too_large { ErrorCode::TooLarge } else { ErrorCode::BadRequest })
    })
}

fn expect_type(headers: &HeaderMap, wanted: &str) -> ApiResult<()> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let fits = essence.eq_ignore_ascii_case(wanted);
    if fits { Ok(()) } else { Err(ApiError::new(ErrorCode::UnsupportedMediaType)) }
}

/// One id in the path. Text that is no id names nothing.
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr + Send> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Path(text) = path::<String, S>(parts, state).await?;
        Ok(Self(parse(&text)?))
    }
}

/// Two ids in the path.
pub(crate) struct Ids<A, B>(pub(crate) A, pub(crate) B);

impl<S: Send + Sync, A: FromStr + Send, B: FromStr + Send> FromRequestParts<S> for Ids<A, B> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Path((first, second)) = path::<(String, String), S>(parts, state).await?;
        Ok(Self(parse(&first)?, parse(&second)?))
    }
}

async fn path<T: DeserializeOwned + Send, S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> ApiResult<Path<T>> {
    Path::from_request_parts(parts, state).await.map_err(|_| ApiError::new(ErrorCode::NotFound))
}

fn parse<T: FromStr>(text: &str) -> ApiResult<T> {
    text.parse().map_err(|_| ApiError::new(ErrorCode::NotFound))
}
