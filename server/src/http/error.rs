//! From a failure to a problem body, at one place.
//!
//! Handlers return [`ApiError`]. It rides to the outermost layer as a response extension, because
//! only there is the request id known; that layer also turns whatever the framework refuses by
//! itself (unknown path, wrong method, too large, panic) into a problem, sets the headers every
//! response has, and logs what is the server's own fault, once.

use crate::db::StoreError;
use crate::random;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use freehold_api::{
    ErrorCode, FieldError, PROBLEM_CONTENT_TYPE, PROTOCOL, PROTOCOL_HEADER, Problem, REQUEST_ID_HEADER,
};
use freehold_model::codec::DecodeError;
use std::borrow::Cow;
use std::sync::Arc;

/// A failed request.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: ErrorCode,
    detail: Cow<'static, str>,
    retry_after_seconds: Option<u64>,
    errors: Vec<FieldError>,
    /// Boxed, so that a result stays small on its way up.
    source: Option<Box<StoreError>>,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A failure whose code says it all.
    pub(crate) const fn new(code: ErrorCode) -> Self {
        Self::because(code, Cow::Borrowed(""))
    }

    /// A failure with its reason. The reason never holds a name, token or key.
    pub(crate) const fn because(code: ErrorCode, detail: Cow<'static, str>) -> Self {
        Self { code, detail, retry_after_seconds: None, errors: Vec::new(), source: None }
    }

    /// A failure with a fixed reason.
    pub(crate) const fn with(code: ErrorCode, detail: &'static str) -> Self {
        Self::because(code, Cow::Borrowed(detail))
    }

    /// A field that is not what it must be.
    pub(crate) fn field(code: ErrorCode, field: &str, detail: &str) -> Self {
        let errors = vec![FieldError { field: field.to_owned(), detail: detail.to_owned() }];
        Self { errors, ..Self::because(code, format!("{field}: {detail}").into()) }
    }

    /// Too many attempts.
    pub(crate) fn wait(seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..Self::new(ErrorCode::RateLimited) }
    }

    /// Whether the caller did nothing wrong.
    pub(crate) const fn is_servers_fault(&self) -> bool {
        self.code.status() >= 500
    }

    fn problem(&self, request_id: &str) -> Problem {
        Problem {
            detail: self.detail.clone().into_owned(),
            request_id: request_id.to_owned(),
            retry_after_seconds: self.retry_after_seconds,
            errors: self.errors.clone(),
            ..Problem::new(self.code)
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::NoSpace => ErrorCode::NoSpace,
            StoreError::Busy | StoreError::Unreachable(_) | StoreError::Raced => ErrorCode::Unavailable,
            StoreError::OverLimit(_) => ErrorCode::TooLarge,
            StoreError::Corrupt(_) | StoreError::Database(_) => ErrorCode::Internal,
        };
        Self { source: Some(Box::new(error)), ..Self::new(code) }
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        let code = match error {
            DecodeError::TooLong => ErrorCode::TooLarge,
            _ => ErrorCode::BadRequest,
        };
        Self::because(code, error.to_string().into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

/// The outermost layer: request id, common headers, problem bodies, one log line.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let request_id = freehold_model::VaultTag::from_bytes(random::bytes()).to_string();
    let method = request.method().clone();
    // The template, not the path: paths hold ids.
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        let error = response.extensions_mut().remove::<Arc<ApiError>>();
        let error = error.unwrap_or_else(|| Arc::new(ApiError::new(code_of(status))));
        log(&error, &request_id, route.as_deref());
        response = problem_response(&error, &request_id);
    }
    tracing::debug!(%method, route = route.as_deref().unwrap_or("-"), status = status.as_u16(), request_id, "answered");
    let headers = response.headers_mut();
    headers.insert(PROTOCOL_HEADER, HeaderValue::from(PROTOCOL));
    if let Ok(id) = HeaderValue::from_str(&request_id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    response
}

fn log(error: &ApiError, request_id: &str, route: Option<&str>) {
    let route = route.unwrap_or("-");
    match (&error.source, error.code) {
        (Some(source), _) => tracing::error!(request_id, route, "request failed: {source}"),
        (None, ErrorCode::Internal) => tracing::error!(request_id, route, "a handler panicked"),
        (None, code) => tracing::debug!(request_id, route, %code, "refused"),
    }
}

fn problem_response(error: &ApiError, request_id: &str) -> Response {
    let problem = error.problem(request_id);
    let body = serde_json::to_vec(&problem).expect("a problem always serialises");
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_CONTENT_TYPE)], body).into_response();
    if let Some(seconds) = error.retry_after_seconds {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The code of a refusal that the framework made by itself.
fn code_of(status: StatusCode) -> ErrorCode {
    match status {
        StatusCode::NOT_FOUND => ErrorCode::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => ErrorCode::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ErrorCode::UnsupportedMediaType,
        StatusCode::REQUEST_TIMEOUT => ErrorCode::Timeout,
        StatusCode::SERVICE_UNAVAILABLE => ErrorCode::Unavailable,
        status if status.is_client_error() => ErrorCode::BadRequest,
        _ => ErrorCode::Internal,
    }
}
