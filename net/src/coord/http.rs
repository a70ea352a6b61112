//! One HTTP exchange: send, bound the answer, read problems, decode.

use bytes::{Bytes, BytesMut};
use freehold_api::{BULK_CONTENT_TYPE, PROBLEM_CONTENT_TYPE, PROTOCOL, PROTOCOL_HEADER, Problem};
use freehold_model::codec::{self, Decode, Encode};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CoordError, ServerClient};

/// Bytes of a JSON answer; the largest is an account log of 10,000 entries.
const JSON_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of a problem.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;

impl ServerClient {
    /// `GET` with a JSON answer.
    pub(super) async fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, CoordError> {
        let request = self.request(Method::GET, path).timeout(self.0.config.request_timeout);
        json(&self.exchange(request, JSON_BYTES_MAX).await?)
    }

    /// `POST` of JSON with a JSON answer.
    pub(super) async fn post<Q: Serialize + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        message: &Q,
    ) -> Result<A, CoordError> {
        json(&self.post_for_bytes(path, message).await?)
    }

    /// `POST` of JSON, answered with nothing.
    pub(super) async fn post_only<Q: Serialize + Sync>(
        &self,
        path: &str,
        message: &Q,
    ) -> Result<(), CoordError> {
        self.post_for_bytes(path, message).await.map(drop)
    }

    /// `POST` without a body, answered with nothing.
    pub(super) async fn post_empty(&self, path: &str) -> Result<(), CoordError> {
        let request = self.request(Method::POST, path).timeout(self.0.config.request_timeout);
        self.exchange(request, JSON_BYTES_MAX).await.map(drop)
    }

    /// `GET` with a binary answer of at most `limit_bytes`.
    pub(super) async fn get_bulk<A: Decode>(&self, path: &str, limit_bytes: usize) -> Result<A, CoordError> {
        let request = self.request(Method::GET, path).timeout(self.0.config.bulk_timeout);
        binary(&self.exchange(request, limit_bytes).await?)
    }

    /// `POST` of a binary message with a binary answer of at most `limit_bytes`.
    pub(super) async fn bulk_for_bulk<Q: Encode + Sync, A: Decode>(
        &self,
        path: &str,
        message: &Q,
        limit_bytes: usize,
    ) -> Result<A, CoordError> {
        binary(&self.post_bulk(path, message, limit_bytes).await?)
    }

    /// `POST` of a binary message with a JSON answer.
    pub(super) async fn bulk_for_json<Q: Encode + Sync, A: DeserializeOwned>(
        &self,
        path: &str,
        message: &Q,
    ) -> Result<A, CoordError> {
        json(&self.post_bulk(path, message, JSON_BYTES_MAX).await?)
    }

    async fn post_for_bytes<Q: Serialize + Sync>(
        &self,
        path: &str,
        message: &Q,
    ) -> Result<Bytes, CoordError> {
        let request = self.request(Method::POST, path).timeout(self.0.config.request_timeout);
        self.exchange(request.json(message), JSON_BYTES_MAX).await
    }

    async fn post_bulk<Q: Encode + Sync>(
        &self,
        path: &str,
        message: &Q,
        limit: usize,
    ) -> Result<Bytes, CoordError> {
        let request = self.request(Method::POST, path).timeout(self.0.config.bulk_timeout);
        self.exchange(request.header(CONTENT_TYPE, BULK_CONTENT_TYPE).body(codec::to_vec(message)), limit)
            .await
    }

    /// A request with the session, if there is one, and without a timeout.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.0.http.request(method, self.0.url.join(path));
        match self.token() {
            Some(token) => request.header(AUTHORIZATION, token),
            None => request,
        }
    }

    /// Sends, and reads a good answer of at most `limit_bytes`.
    async fn exchange(&self, request: RequestBuilder, limit_bytes: usize) -> Result<Bytes, CoordError> {
        let response = self.answer(request).await?;
        if !response.status().is_success() {
            return Err(CoordError::Protocol("an informational status"));
        }
        read(response, limit_bytes).await
    }

    /// Sends, and turns an answer that is an error into one.
    pub(super) async fn answer(&self, request: RequestBuilder) -> Result<Response, CoordError> {
        let response = request.send().await.map_err(|error| transport_error(&error))?;
        check_protocol(response.headers())?;
        let status = response.status();
        if status.is_redirection() {
            return Err(CoordError::Protocol("a redirect"));
        }
        if !status.is_client_error() && !status.is_server_error() {
            return Ok(response);
        }
        let is_problem = has_type(response.headers(), PROBLEM_CONTENT_TYPE);
        let body = read(response, PROBLEM_BYTES_MAX).await?;
        let problem = is_problem.then(|| serde_json::from_slice::<Problem>(&body).ok()).flatten();
        Err(problem
            .map_or(CoordError::Status(status.as_u16()), |problem| CoordError::Refused(Box::new(problem))))
    }
}

/// Refuses a server of another protocol version; says nothing about one that names none.
fn check_protocol(headers: &HeaderMap) -> Result<(), CoordError> {
    let Some(named) = headers.get(PROTOCOL_HEADER) else { return Ok(()) };
    let theirs = named.to_str().ok().and_then(|text| text.parse().ok());
    match theirs.ok_or(CoordError::Protocol("an unreadable protocol version"))? {
        PROTOCOL => Ok(()),
        theirs => Err(CoordError::Incompatible { theirs }),
    }
}

fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    named.and_then(|text| text.split(';').next()).is_some_and(|text| text.trim().eq_ignore_ascii_case(wanted))
}

/// Reads a body without trusting its announced length.
async fn read(mut response: Response, limit_bytes: usize) -> Result<Bytes, CoordError> {
    let too_big = CoordError::TooBig { limit_bytes };
    if response.content_length().is_some_and(|len| len > limit_bytes as u64) {
        return Err(too_big);
    }
    let mut body = BytesMut::new();
    while let Some(part) = response.chunk().await.map_err(|error| transport_error(&error))? {
        if part.len() > limit_bytes - body.len() {
            return Err(too_big);
        }
        body.extend_from_slice(&part);
    }
    Ok(body.freeze())
}

/// The library's error holds the URL, ids and all; none of it goes on from here.
fn transport_error(error: &reqwest::Error) -> CoordError {
    if error.is_timeout() {
        CoordError::Timeout
    } else if error.is_builder() {
        CoordError::Protocol("the request cannot be built")
    } else {
        CoordError::Unreachable
    }
}

fn json<A: DeserializeOwned>(body: &[u8]) -> Result<A, CoordError> {
    serde_json::from_slice(body).map_err(|_| CoordError::Protocol("a JSON answer of another shape"))
}

fn binary<A: Decode>(body: &[u8]) -> Result<A, CoordError> {
    codec::from_slice(body).map_err(|_| CoordError::Protocol("a malformed binary answer"))
}
