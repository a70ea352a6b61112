//! Error codes and the problem body (RFC 9457) every failed request answers with.
//!
//! One table gives each code its number, its text, its HTTP status and whether trying the same
//! request again later can help. Numbers and texts are frozen once released; docs/errors.md says
//! for each what it means and what to do, and a test holds that page to this table.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Content type of [`Problem`].
pub const PROBLEM_CONTENT_TYPE: &str = "application/problem+json";

/// The text names no code of this build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code")]
pub struct UnknownErrorCode;

macro_rules! codes {
    ($($name:ident = $number:literal, $text:literal, $status:literal, $retryable:literal, $title:literal;)+) => {
        /// Why a request failed. The documentation of each variant is its problem title.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum ErrorCode {
            $(#[doc = $title] $name = $number,)+
        }

        impl ErrorCode {
            /// Every code, by rising number.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The stable number, used where bytes count.
            #[must_use]
            pub const fn number(self) -> u16 {
                self as u16
            }

            /// The code of a number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            /// The stable text, snake_case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The HTTP status it travels with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)+
                }
            }

            /// Whether the same request can succeed later without anybody changing it.
            #[must_use]
            pub const fn is_transient(self) -> bool {
                match self {
                    $(Self::$name => $retryable,)+
                }
            }

            /// One short sentence for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }
        }

        impl FromStr for ErrorCode {
            type Err = UnknownErrorCode;

            fn from_str(text: &str) -> Result<Self, UnknownErrorCode> {
                match text {
                    $($text => Ok(Self::$name),)+
                    _ => Err(UnknownErrorCode),
                }
            }
        }
    };
}

codes! {
    // 1xx: the request or the server as a whole.
    BadRequest = 100, "bad_request", 400, false, "The request is not what this endpoint takes.";
    NotFound = 101, "not_found", 404, false, "There is nothing at this path.";
    MethodNotAllowed = 102, "method_not_allowed", 405, false, "This path does not take that method.";
    TooLarge = 103, "too_large", 413, false, "The request is over a size limit.";
    UnsupportedMediaType = 104, "unsupported_media_type", 415, false, "The content type is not the one this endpoint takes.";
    RateLimited = 105, "rate_limited", 429, true, "Too many attempts; wait before the next.";
    Timeout = 106, "timeout", 408, true, "The request took too long.";
    Internal = 107, "internal", 500, true, "The server failed; its log has the reason under the request id.";
    Unavailable = 108, "unavailable", 503, true, "The server cannot do this now.";
    NoSpace = 109, "no_space", 507, true, "The server's disk is full.";
    // 2xx: who is asking.
    Unauthenticated = 200, "unauthenticated", 401, false, "This needs a session.";
    SessionExpired = 201, "session_expired", 401, false, "The session has ended; make a new one.";
    BadCredentials = 202, "bad_credentials", 401, false, "Wrong name or password.";
    LoginExpired = 203, "login_expired", 401, false, "The login attempt is unknown or too old; start again.";
    BadProof = 204, "bad_proof", 401, false, "The proof of possession does not match the device.";
    Forbidden = 205, "forbidden", 403, false, "This session may not do that.";
    DeviceRevoked = 206, "device_revoked", 403, false, "The device has been revoked.";
    RegistrationClosed = 207, "registration_closed", 403, false, "Registration needs a valid invite.";
    UserTaken = 208, "user_taken", 409, false, "The name is taken.";
    BadUser = 209, "bad_user", 422, false, "The name is empty, too long or holds control characters.";
    BadRecovery = 210, "bad_recovery", 401, false, "No account here has this recovery key.";
    // 3xx: the account log and its boxes.
    LogConflict = 300, "log_conflict", 409, false, "The entry does not extend the newest one; read the log and try again.";
    LogInvalid = 301, "log_invalid", 422, false, "The entry breaks a rule of the account log.";
    BoxesInvalid = 302, "boxes_invalid", 422, false, "A box does not belong to this entry or is over its limit.";
    // 4xx: vaults and commits.
    VaultNotFound = 400, "vault_not_found", 404, false, "There is no such vault for this account.";
    CommitInvalid = 401, "commit_invalid", 422, false, "The commit is malformed or does not match what came with it.";
    BadSignature = 402, "bad_signature", 422, false, "The signature does not match.";
    UnknownDevice = 403, "unknown_device", 422, false, "The commit's device is not live in the account log it cites.";
    ChainGap = 404, "chain_gap", 409, true, "An earlier commit of that device is missing.";
    CommitFork = 405, "commit_fork", 409, false, "Another commit of that device has this place.";
    BeyondRevocation = 406, "beyond_revocation", 403, false, "The commit lies beyond the device's revocation.";
    UnknownLogHead = 407, "unknown_log_head", 409, true, "The commit cites an account log entry that is not here yet.";
    ReceiptInvalid = 408, "receipt_invalid", 422, false, "A receipt is malformed, foreign or wrongly signed.";
    // 5xx: storage nodes.
    JoinTokenInvalid = 500, "join_token_invalid", 403, false, "The join token is unknown, used or expired.";
    NodeUnknown = 501, "node_unknown", 404, false, "There is no such storage node.";
    NodeInvalid = 502, "node_invalid", 422, false, "The node's keys, addresses or capacity are not acceptable.";
    NoNodes = 503, "no_nodes", 503, true, "No storage node has joined yet.";
    StaleHeartbeat = 504, "stale_heartbeat", 409, false, "The heartbeat is not newer than the last one.";
    // 6xx is kept for the peer protocol.
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Body of a failed request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:freehold:error:CODE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's sentence.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// The code. Text, so that a client can still read a problem of a later server.
    pub code: String,
    /// What failed in this request and what to do about it. Never holds names, tokens or keys.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Whether the same request can succeed later.
    pub retryable: bool,
    /// The id under which the server logged the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// Seconds to wait before trying again, when the server knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One field at fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field's name in the message.
    pub field: String,
    /// What it must be.
    pub detail: String,
}

impl Problem {
    /// A problem of this code without further detail.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self {
            kind: format!("urn:freehold:error:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            code: code.as_str().to_owned(),
            detail: String::new(),
            retryable: code.is_transient(),
            request_id: String::new(),
            retry_after_seconds: None,
            errors: Vec::new(),
        }
    }

    /// The code, or nothing when a later server sent one this build does not know.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        self.code.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_and_texts_are_unique() {
        let numbers: Vec<u16> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert_eq!(ErrorCode::from_number(code.number()), Some(*code));
            assert!((400..600).contains(&code.status()), "{code}");
        }
    }

    #[test]
    fn a_problem_of_a_later_server_is_still_readable() {
        let text = r#"{"type":"urn:x","title":"t","status":418,"code":"teapot","retryable":true}"#;
        let problem: Problem = serde_json::from_str(text).expect("the fields present are enough");
        assert_eq!((problem.error_code(), problem.retryable), (None, true));
    }

    #[test]
    fn the_error_page_lists_every_code_as_it_is() {
        let page = include_str!("../../../docs/errors.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), ErrorCode::ALL.len(), "one row for each code");
        for (row, code) in rows.iter().zip(ErrorCode::ALL) {
            let [text, number, status, retryable, meaning, action] = row.as_slice() else {
                panic!("six columns in the row of {code}: {row:?}");
            };
            let expected = (format!("`{code}`"), code.number().to_string(), code.status().to_string());
            assert_eq!(((*text).to_owned(), (*number).to_owned(), (*status).to_owned()), expected);
            assert_eq!(*retryable, if code.is_transient() { "yes" } else { "no" }, "{code}");
            assert_eq!(*meaning, code.title(), "{code}");
            assert!(!action.is_empty(), "{code} says what to do");
        }
    }
}
