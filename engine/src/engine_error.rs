//! Why the engine did not do what a person asked: one clear line each.
//!
//! Whoever shows these adds nothing: the text says what was attempted and why it failed, [`EngineError::hint`] what
//! to do, [`EngineError::exit`] how a script should take it.

use crate::OpenError;
use freehold_api::ErrorCode;
use freehold_api::control::ExitCode;
use freehold_crypto::{KeyringError, RecoveryWordsError};
use freehold_net::coord::CoordError;
use freehold_trust::account_log::LogError;
use freehold_trust::opaque::OpaqueError;
use std::sync::Arc;

/// Why an operation on the account was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    /// There is an account on this device.
    #[error("this device is already signed in")]
    AlreadySignedIn,
    /// There is none.
    #[error("this device is not signed in")]
    SignedOut,
    /// Wrong password or unknown user: on purpose one answer.
    #[error("the user name or the password is wrong")]
    WrongPassword,
    /// The typed words are no recovery key: a slip of the pen.
    #[error("these are not 24 recovery words: {0}")]
    BadWords(#[from] RecoveryWordsError),
    /// No account on the server has the words, or they are not this account's.
    #[error("the recovery words are not in force; words that were used or replaced no longer work")]
    WrongWords,
    /// The account has ended this device.
    #[error("this device was removed from the account")]
    Removed,
    /// No device, or several, are called that.
    #[error("{0}")]
    NoSuchDevice(&'static str),
    /// Somebody has the name.
    #[error("the user name is taken on this server")]
    UserTaken,
    /// The server takes no new accounts.
    #[error("this server takes new accounts by invitation only")]
    RegistrationClosed,
    /// The user name, password or device name cannot be used.
    #[error("{0}")]
    BadName(&'static str),
    /// The address is not one we may talk to.
    #[error("the server address is not usable: {0}")]
    BadServerUrl(String),
    /// No answer.
    #[error("no answer from the server: {0}")]
    ServerUnreachable(String),
    /// An answer that says no.
    #[error("the server refused: {0}")]
    ServerRefused(String),
    /// The server shows something its keys or the account's do not vouch for.
    #[error("the server cannot be trusted: {0}")]
    ServerUntrusted(&'static str),
    /// Changes are not synced yet.
    #[error("there are changes on this device that are not synced yet")]
    Pending,
    /// The path names no conflict.
    #[error("there is no conflict at this path")]
    NoConflict,
    /// Nothing in the vault has the path.
    #[error("there is nothing at this path of the vault")]
    NoSuchFile,
    /// The word for what to keep fits none of the contents, or several.
    #[error("{0}")]
    Choice(&'static str),
    /// A file of the conflict is being written.
    #[error("one of the files is being written")]
    FileBusy,
    /// A local file or folder.
    #[error("could not {what}: {source}")]
    Disk {
        /// What was attempted.
        what: &'static str,
        /// The operating system's answer.
        source: Arc<std::io::Error>,
    },
    /// The account file does not open.
    #[error("the account file was not sealed with the key in device.key, or is damaged")]
    WrongDeviceKey,
    /// The local state of the vault.
    #[error(transparent)]
    Local(#[from] OpenError),
    /// A bug of ours.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl EngineError {
    pub(crate) fn disk(what: &'static str, source: std::io::Error) -> Self {
        Self::Disk { what, source: Arc::new(source) }
    }

    /// A log the server showed breaks a rule.
    pub(crate) fn log(error: LogError) -> Self {
        match error {
            LogError::Full => {
                Self::ServerRefused("the account has as many devices or log entries as it can".to_owned())
            }
            LogError::Forked => {
                Self::ServerUntrusted("its account log lacks what this device has already seen")
            }
            _ => Self::ServerUntrusted("its account log breaks a rule"),
        }
    }

    /// A log we made ourselves breaks a rule.
    pub(crate) fn own_log(_: LogError) -> Self {
        Self::Internal("the account log we made breaks a rule")
    }

    /// What the server, or nobody, answered.
    pub(crate) fn coord(error: CoordError) -> Self {
        match error.code() {
            Some(ErrorCode::UserTaken) => Self::UserTaken,
            Some(ErrorCode::RegistrationClosed) => Self::RegistrationClosed,
            Some(ErrorCode::BadCredentials) => Self::WrongPassword,
            Some(ErrorCode::BadRecovery) => Self::WrongWords,
            Some(ErrorCode::DeviceRevoked) => Self::Removed,
            Some(ErrorCode::BadUser) => {
                Self::BadName("the server does not take this user name; choose another")
            }
            _ => match error {
                CoordError::Unreachable | CoordError::Timeout => Self::ServerUnreachable(error.to_string()),
                other => Self::ServerRefused(other.to_string()),
            },
        }
    }

    /// The words do not read; which one is said, none is repeated.
    pub(crate) const fn words(error: RecoveryWordsError) -> Self {
        Self::BadWords(error)
    }

    pub(crate) fn keyring(error: KeyringError) -> Self {
        match error {
            KeyringError::Incomplete => {
                Self::ServerUntrusted("a key box of this account or vault is missing")
            }
            _ => Self::ServerUntrusted("a key box of this account or vault does not open"),
        }
    }

    pub(crate) fn opaque(error: OpaqueError) -> Self {
        match error {
            OpaqueError::WrongLogin => Self::WrongPassword,
            OpaqueError::BadMessage => Self::ServerUntrusted("it sent no valid login message"),
            OpaqueError::BadInput => {
                Self::BadName("a user name has 1 to 255 bytes and a password 1 to 4096; choose another")
            }
            OpaqueError::Hashing => Self::Internal("hashing the password failed: too little memory"),
        }
    }

    /// How a script should take it.
    #[must_use]
    pub const fn exit(&self) -> ExitCode {
        match self {
            Self::AlreadySignedIn | Self::UserTaken | Self::Pending | Self::Choice(_) | Self::FileBusy => {
                ExitCode::Conflict
            }
            Self::SignedOut | Self::WrongPassword | Self::WrongWords => ExitCode::Locked,
            Self::NoSuchDevice(_) | Self::NoConflict | Self::NoSuchFile => ExitCode::NotFound,
            Self::RegistrationClosed | Self::Removed => ExitCode::NotPermitted,
            Self::BadName(_) | Self::BadServerUrl(_) | Self::BadWords(_) => ExitCode::Usage,
            Self::ServerUnreachable(_) => ExitCode::Unreachable,
            Self::ServerUntrusted(_) | Self::WrongDeviceKey => ExitCode::Integrity,
            Self::ServerRefused(_) | Self::Disk { .. } | Self::Local(_) | Self::Internal(_) => {
                ExitCode::Failed
            }
        }
    }

    /// What to do about it; empty when the text says it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::AlreadySignedIn => "`freehold logout` first",
            Self::SignedOut => "`freehold signup` or `freehold login` does it",
            Self::WrongPassword => "check both and try again",
            Self::BadWords(_) => "nothing was asked of the server and nothing has changed",
            Self::WrongWords => "check the words and the server's address; nothing has changed",
            Self::Removed => "what is on this disk stays readable; sign out and in again to use the account",
            Self::NoSuchDevice(_) => "`freehold device list` shows names and ids",
            Self::UserTaken => "choose another name, or `freehold login`",
            Self::RegistrationClosed => "ask its owner, or run your own server",
            Self::BadName(_) => "",
            Self::BadServerUrl(_) => "it looks like http://127.0.0.1:8440",
            Self::ServerUnreachable(_) => "check the address and that the server runs, then try again",
            Self::ServerRefused(_) => "see the server's log",
            Self::ServerUntrusted(_) => "do not use this server; nothing was changed here",
            Self::Pending => "`freehold wait`, then try again",
            Self::NoConflict => "`freehold conflicts list` names them",
            Self::NoSuchFile => "name it as it stands below the mount point, or from the vault's top folder",
            Self::Choice(_) => "say `newest`, `oldest` or `both`, or name one copy",
            Self::FileBusy => "close the program that writes it and try again",
            Self::Disk { .. } => "check the disk and the folder's owner",
            Self::WrongDeviceKey => "restore device.key, or move the client folder away and sign in again",
            Self::Local(_) => "",
            Self::Internal(_) => "please report it",
        }
    }

    /// A stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadySignedIn => "already_signed_in",
            Self::SignedOut => "signed_out",
            Self::WrongPassword => "wrong_password",
            Self::BadWords(_) => "bad_words",
            Self::WrongWords => "wrong_words",
            Self::Removed => "device_removed",
            Self::NoSuchDevice(_) => "no_such_device",
            Self::UserTaken => "user_taken",
            Self::RegistrationClosed => "registration_closed",
            Self::BadName(_) => "bad_name",
            Self::BadServerUrl(_) => "bad_server_url",
            Self::ServerUnreachable(_) => "server_unreachable",
            Self::ServerRefused(_) => "server_refused",
            Self::ServerUntrusted(_) => "server_untrusted",
            Self::Pending => "pending",
            Self::NoConflict => "no_conflict",
            Self::NoSuchFile => "no_such_file",
            Self::Choice(_) => "conflict_choice",
            Self::FileBusy => "file_busy",
            Self::Disk { .. } => "disk",
            Self::WrongDeviceKey => "wrong_device_key",
            Self::Local(_) => "local_state",
            Self::Internal(_) => "internal",
        }
    }
}
