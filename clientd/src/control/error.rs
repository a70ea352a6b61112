//! Errors of the control API: mapped once, from what failed to what the user reads.

use crate::mounts::MountFailure;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use freehold_api::control::{ControlError, ExitCode, Status};
use freehold_engine::{EngineError, Secret};
use freehold_vfs::MountError;
use std::path::Path;

/// A request that was not done.
pub(super) struct Failure(ControlError);

impl Failure {
    fn new(code: &str, exit: ExitCode, message: impl Into<String>, hint: &str) -> Self {
        let (message, hint) = (message.into(), hint.to_owned());
        let retryable = matches!(exit, ExitCode::Unreachable | ExitCode::TimedOut | ExitCode::NoSpace);
        Self(ControlError { code: code.to_owned(), message, hint, retryable, exit })
    }

    pub(super) fn unknown_request() -> Self {
        let message = "the daemon does not know this request";
        Self::new(
            "unknown_request",
            ExitCode::VersionMismatch,
            message,
            "install command and daemon from one release",
        )
    }

    pub(super) fn not_owner() -> Self {
        let message = "this daemon belongs to another user";
        Self::new("not_owner", ExitCode::NotPermitted, message, "run the command as the user who started it")
    }

    pub(super) fn signed_out() -> Self {
        let message = "this device is not signed in";
        Self::new("signed_out", ExitCode::Locked, message, "`freehold signup` or `freehold login` does it")
    }

    pub(super) fn one_secret() -> Self {
        let message = "a device is revoked with the password or with the recovery words";
        Self::new("one_secret", ExitCode::Usage, message, "give one of them")
    }

    /// Without the server a password proves nothing; the words do.
    pub(super) fn revoke(error: EngineError, secret: Secret<'_>) -> Self {
        match (&error, secret) {
            (EngineError::ServerUnreachable(_), Secret::Password(_)) => Self::new(
                error.code(),
                error.exit(),
                format!("the password cannot be checked while the server is away: {error}"),
                "revoke with the recovery words: `freehold device revoke --words NAME` works without the server",
            ),
            _ => error.into(),
        }
    }

    pub(super) fn interrupted() -> Self {
        Self::new("internal", ExitCode::Failed, "the daemon is stopping", "start it and try again")
    }

    pub(super) fn relative_path() -> Self {
        let message = "the vault cannot be mounted at a relative path";
        Self::new("relative_path", ExitCode::Usage, message, "name an absolute path")
    }

    pub(super) fn still_mounted(path: &Path) -> Self {
        let message = format!("the vault is mounted at {}", path.display());
        Self::new("mounted", ExitCode::Conflict, message, "`freehold unmount` first")
    }

    pub(super) fn not_synced_yet(status: &Status) -> Self {
        let pending = &status.pending;
        let changes = pending.files + pending.records + pending.commits;
        let server = if status.server_reachable { "" } else { "; the server cannot be reached" };
        let message = format!(
            "not everything is synced yet: {changes} changes and {} chunks to send, {} to receive{server}",
            pending.chunks, pending.remote_commits
        );
        Self::new("timed_out", ExitCode::TimedOut, message, "wait longer; nothing is lost meanwhile")
    }

    pub(super) fn mount(path: &Path, failure: MountFailure) -> Self {
        match failure {
            MountFailure::SignedOut => Self::signed_out(),
            MountFailure::AlreadyMounted(at) => {
                let message = format!("the vault is already mounted at {}", at.display());
                Self::new(
                    "already_mounted",
                    ExitCode::Conflict,
                    message,
                    "`freehold unmount` first to move it",
                )
            }
            MountFailure::NotMounted => Self::new(
                "not_mounted",
                ExitCode::Conflict,
                "the vault is not mounted",
                "`freehold mount PATH` mounts it",
            ),
            MountFailure::Refused(error) => Self::refused(path, &error),
            MountFailure::Memory(error) => {
                let message = format!("the mount point could not be noted for the next start: {error}");
                Self::new("memory", ExitCode::Failed, message, "check the disk")
            }
        }
    }

    fn refused(path: &Path, error: &MountError) -> Self {
        let exit = match error {
            MountError::Missing => ExitCode::NotFound,
            MountError::NotDirectory
            | MountError::NotEmpty
            | MountError::AlreadyMounted
            | MountError::Busy
            | MountError::NotOurs => ExitCode::Conflict,
            _ => ExitCode::Failed,
        };
        Self::new("mount", exit, format!("{}: {error}", path.display()), "")
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Self::new(error.code(), error.exit(), error.to_string(), error.hint())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.exit {
            ExitCode::Usage => StatusCode::BAD_REQUEST,
            ExitCode::Locked => StatusCode::UNAUTHORIZED,
            ExitCode::NotPermitted => StatusCode::FORBIDDEN,
            ExitCode::NotFound | ExitCode::VersionMismatch => StatusCode::NOT_FOUND,
            ExitCode::Conflict => StatusCode::CONFLICT,
            ExitCode::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
            ExitCode::Unreachable => StatusCode::BAD_GATEWAY,
            ExitCode::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, Json(self.0)).into_response()
    }
}
