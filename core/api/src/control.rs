//! The control API: what the command line and the desktop ask of the daemon on this machine.
//!
//! HTTP/1.1 with JSON on a Unix socket that only its owner can open. Each request is one operation;
//! errors are [`ControlError`] bodies whose [`ExitCode`] the command line passes on, so that scripts see
//! one fixed table whichever program found the fault. Paths live in [`path`].

mod hydration;

pub use hydration::{Evict, Evicted, Hydrated, Pin, PinMode, Pinned};

use serde::{Deserialize, Serialize};

/// Version of the control API; the daemon and the command line must agree on it.
pub const CONTROL_VERSION: u32 = 1;

/// Largest request or answer body, in bytes.
pub const CONTROL_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Name of the socket inside the run directory.
pub const SOCKET_NAME: &str = "clientd.sock";

/// Paths of the control API.
pub mod path {
    /// `GET`: [`super::Version`].
    pub const VERSION: &str = "/v1/version";
    /// `GET`: [`super::Status`].
    pub const STATUS: &str = "/v1/status";
    /// `GET`: [`super::WhoAmI`].
    pub const WHOAMI: &str = "/v1/whoami";
    /// `POST` [`super::Credentials`]: [`super::SignedUp`].
    pub const SIGNUP: &str = "/v1/signup";
    /// `POST` [`super::Credentials`]: [`super::WhoAmI`].
    pub const LOGIN: &str = "/v1/login";
    /// `POST` nothing: nothing.
    pub const LOGOUT: &str = "/v1/logout";
    /// `POST` [`super::Recover`]: [`super::SignedUp`].
    pub const RECOVER: &str = "/v1/recover";
    /// `POST` [`super::Confirm`]: [`super::NewWords`].
    pub const RECOVERY_CREATE: &str = "/v1/recovery/create";
    /// `POST` [`super::Words`]: [`super::WordsTested`].
    pub const RECOVERY_TEST: &str = "/v1/recovery/test";
    /// `POST` [`super::ChangePassword`]: [`super::WhoAmI`].
    pub const PASSWD: &str = "/v1/passwd";
    /// `GET`: [`super::DeviceList`].
    pub const DEVICES: &str = "/v1/devices";
    /// `POST` [`super::RevokeDevice`]: [`super::DeviceRevoked`].
    pub const DEVICE_REVOKE: &str = "/v1/devices/revoke";
    /// `POST` [`super::RenameDevice`]: [`super::DeviceEntry`].
    pub const DEVICE_RENAME: &str = "/v1/devices/rename";
    /// `POST` [`super::Mount`]: [`super::Mount`].
    pub const MOUNT: &str = "/v1/mount";
    /// `POST` nothing: nothing.
    pub const UNMOUNT: &str = "/v1/unmount";
    /// `POST` [`super::Wait`]: [`super::Status`], once synced.
    pub const WAIT: &str = "/v1/wait";
    /// `GET`: [`super::Conflicts`].
    pub const CONFLICTS: &str = "/v1/conflicts";
    /// `POST` [`super::KeepConflict`]: [`super::KeptConflict`].
    pub const CONFLICTS_KEEP: &str = "/v1/conflicts/keep";
    /// `GET`: [`super::Deletions`].
    pub const DELETIONS: &str = "/v1/deletions";
    /// `POST` [`super::DecideDeletions`]: [`super::Deletions`] as they were before.
    pub const DELETIONS_DECIDE: &str = "/v1/deletions/decide";
    /// `POST` [`super::Pin`]: [`super::Hydrated`].
    pub const PIN: &str = "/v1/pin";
    /// `POST` [`super::Evict`]: [`super::Evicted`].
    pub const EVICT: &str = "/v1/evict";
}

/// What the daemon is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Its release.
    pub version: String,
    /// [`CONTROL_VERSION`] it speaks.
    pub control: u32,
}

/// A user name and password for one server.
#[derive(Clone, Serialize, Deserialize)]
pub struct Credentials {
    /// `http://HOST:PORT`.
    pub server: String,
    /// User name.
    pub user: String,
    /// Password, UTF-8.
    pub password: String,
    /// Name this device is shown under; the host name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Who this device is signed in as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// User name; absent when signed out.
    pub user: Option<String>,
    /// Server address.
    pub server: Option<String>,
    /// Account id, hexadecimal.
    pub account: Option<String>,
    /// Device id, hexadecimal.
    pub device: Option<String>,
    /// Name of the device.
    pub device_name: Option<String>,
}

/// A new account.
#[derive(Clone, Serialize, Deserialize)]
pub struct SignedUp {
    /// Who this device is.
    #[serde(flatten)]
    pub who: WhoAmI,
    /// The 24 words of the recovery key: shown once, kept nowhere.
    pub recovery_words: String,
}

impl std::fmt::Debug for SignedUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedUp").field("who", &self.who).finish_non_exhaustive()
    }
}

/// The 24 words and the password from now on.
#[derive(Clone, Serialize, Deserialize)]
pub struct Recover {
    /// `http://HOST:PORT`.
    pub server: String,
    /// The recovery words, as typed.
    pub words: String,
    /// The new password, UTF-8.
    pub password: String,
    /// Name this device is shown under; the host name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// The password, asked again for what a stolen device must not do.
#[derive(Clone, Serialize, Deserialize)]
pub struct Confirm {
    /// The password.
    pub password: String,
}

/// Recovery words, as typed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Words {
    /// The words.
    pub words: String,
}

/// A new recovery key.
#[derive(Clone, Serialize, Deserialize)]
pub struct NewWords {
    /// Its 24 words: shown once, kept nowhere.
    pub recovery_words: String,
}

/// Words that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordsTested {
    /// Whether the server was asked; otherwise they were in force when it was last heard.
    pub fresh: bool,
}

/// Another password.
#[derive(Clone, Serialize, Deserialize)]
pub struct ChangePassword {
    /// The password so far.
    pub old: String,
    /// The password from now on.
    pub new: String,
}

/// Which device ends, and the secret that stands behind it: the password, or the recovery words, which
/// also work while the server is away.
#[derive(Clone, Serialize, Deserialize)]
pub struct RevokeDevice {
    /// Name or id of the device; the beginning of an id where it is the only one.
    pub device: String,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// The recovery words, as typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

macro_rules! mute_debug {
    ($($secret:ident),+) => {$(
        /// Without the secrets.
        impl std::fmt::Debug for $secret {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($secret)).finish_non_exhaustive()
            }
        }
    )+};
}

mute_debug!(Recover, Confirm, Words, NewWords, ChangePassword, RevokeDevice);

/// A revocation that is obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRevoked {
    /// The device that ended.
    pub device: DeviceEntry,
    /// Whether the server still has to hear of it: this device obeys already.
    pub pending: bool,
}

/// Another name for a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameDevice {
    /// As in [`RevokeDevice::device`].
    pub device: String,
    /// The new name.
    pub name: String,
}

/// The devices of the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceList {
    /// All there ever were, by the time they came.
    pub devices: Vec<DeviceEntry>,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Its id, hexadecimal.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// When it was made, seconds since 1970 by its own clock.
    pub created: u64,
    /// Whether it is this one.
    pub this: bool,
    /// Where it stands.
    pub state: DeviceState,
}

/// Where a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It reads and writes.
    Live,
    /// Its end is obeyed here and not in the account's log yet.
    Revoking,
    /// It has ended.
    Revoked,
}

/// Where the vault is, or shall be, mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// An absolute path.
    pub path: String,
}

/// How long to wait until everything is synced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Seconds; without end when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

/// What the daemon is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// No account on this device.
    SignedOut,
    /// Something is on its way.
    Syncing,
    /// Everything local is placed and numbered, everything remote known is applied.
    Synced,
    /// The server cannot be reached; work goes on locally.
    Offline,
    /// A person has to do something; see `problems`.
    Attention,
}

/// Something a person should know, with what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Stable name.
    pub code: String,
    /// One line: what was attempted, on what, and why it failed.
    pub message: String,
    /// One line: what to do.
    pub hint: String,
}

/// What is still on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Files whose content is not cut into chunks yet.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Changed records not yet in a commit.
    pub records: u64,
    /// Commits the server has not numbered.
    pub commits: u64,
    /// Chunks no storage node has acknowledged.
    pub chunks: u64,
    /// Bytes of those chunks.
    pub chunk_bytes: u64,
    /// Remote commits known and not applied.
    pub remote_commits: u64,
}

impl Pending {
    /// Whether nothing is on its way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The whole picture, for people and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The one word.
    pub state: State,
    /// Who this device is.
    #[serde(flatten)]
    pub who: WhoAmI,
    /// Where the vault is mounted.
    pub mount: Option<String>,
    /// Whether the server answers.
    pub server_reachable: bool,
    /// Storage nodes that answer, and all that are known.
    pub nodes_reachable: u32,
    /// Storage nodes known.
    pub nodes: u32,
    /// Other devices of the account there is a direct link to.
    #[serde(default)]
    pub devices_connected: u32,
    /// What is on its way.
    pub pending: Pending,
    /// Files, folders and other nodes in the vault.
    pub entries: u64,
    /// Bytes of ciphertext kept on this device.
    pub cache_bytes: u64,
    /// Files that are to stay on this device, and which of them still come.
    #[serde(default)]
    pub pinned: Pinned,
    /// The highest commit number applied.
    pub applied_seq: u64,
    /// What a person should know.
    pub problems: Vec<Problem>,
}

/// One of two files that stand beside each other because two devices wrote at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictSide {
    /// Path in the vault, without a leading slash. Bytes that are no UTF-8 are shown as U+FFFD.
    pub path: String,
    /// Name of the device that wrote the content.
    pub device: String,
    /// Whether that is this device.
    pub is_mine: bool,
    /// When it was written, by that device's clock: milliseconds since 1970.
    pub written_ms: u64,
    /// Modification time, seconds since 1970.
    pub modified_s: i64,
    /// Length in bytes.
    pub size: u64,
}

/// A file and one conflict copy of it. A file with several copies is in several of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// What stands under the plain name.
    pub file: ConflictSide,
    /// What stands beside it.
    pub copy: ConflictSide,
}

/// The conflicts of the vault, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicts {
    /// The first of them.
    pub conflicts: Vec<Conflict>,
    /// How many there are.
    pub total: u64,
}

/// Which content of a conflict stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// What this device wrote.
    Mine,
    /// What another device wrote.
    Theirs,
    /// What was written last.
    Newest,
    /// What was written first.
    Oldest,
    /// Each, as a file of its own with a plain name.
    Both,
}

/// Ends a conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepConflict {
    /// What stays.
    pub keep: Keep,
    /// The file or its copy: a path in the vault, or anywhere below the mount point.
    pub path: String,
    /// The same from the root of the file system, when the caller knows where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute: Option<String>,
}

/// A conflict that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptConflict {
    /// The file that stays, as a path in the vault.
    pub path: String,
    /// Copies that got a plain name.
    pub renamed: Vec<String>,
    /// How many copies went to the trash.
    pub trashed: u64,
}

/// Deletions of one device that are not shown here yet, because they are so many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldDeletions {
    /// Name of the device.
    pub device: String,
    /// Files it would take away here.
    pub files: u64,
}

/// Everything that is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deletions {
    /// By device.
    pub held: Vec<HeldDeletions>,
}

/// What becomes of the held deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The files go here too.
    Accept,
    /// The files come back on every device.
    Undo,
}

/// Decides about all held deletions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecideDeletions {
    /// What becomes of them.
    pub decision: Decision,
}

/// The fixed exit codes of the command line; scripts rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum ExitCode {
    /// Failed, not otherwise classed.
    Failed = 1,
    /// Used wrongly.
    Usage = 2,
    /// Partly done, some items failed.
    Partial = 3,
    /// Locked or not signed in.
    Locked = 4,
    /// Not found.
    NotFound = 5,
    /// Conflict or precondition failed.
    Conflict = 6,
    /// Quota or no space.
    NoSpace = 7,
    /// Network or server down; retrying may help.
    Unreachable = 8,
    /// The daemon is not running.
    NoDaemon = 9,
    /// An integrity check failed; never retried.
    Integrity = 10,
    /// Timed out while waiting.
    TimedOut = 11,
    /// Not permitted.
    NotPermitted = 12,
    /// Command line and daemon are of different versions.
    VersionMismatch = 13,
}

impl From<ExitCode> for u8 {
    fn from(code: ExitCode) -> Self {
        code as Self
    }
}

impl TryFrom<u8> for ExitCode {
    type Error = &'static str;

    fn try_from(code: u8) -> Result<Self, Self::Error> {
        const ALL: [ExitCode; 13] = [
            ExitCode::Failed,
            ExitCode::Usage,
            ExitCode::Partial,
            ExitCode::Locked,
            ExitCode::NotFound,
            ExitCode::Conflict,
            ExitCode::NoSpace,
            ExitCode::Unreachable,
            ExitCode::NoDaemon,
            ExitCode::Integrity,
            ExitCode::TimedOut,
            ExitCode::NotPermitted,
            ExitCode::VersionMismatch,
        ];
        ALL.into_iter().find(|known| u8::from(*known) == code).ok_or("not an exit code")
    }
}

/// Why the daemon did not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlError {
    /// Stable name, snake_case.
    pub code: String,
    /// One line: what was attempted, on what, and why it failed.
    pub message: String,
    /// One line: what to do.
    pub hint: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// What the command line exits with.
    pub exit: ExitCode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_numbers_on_the_wire_and_unknown_ones_are_refused() {
        for code in 1..=13u8 {
            let exit: ExitCode = serde_json::from_str(&code.to_string()).expect("a code of the table");
            assert_eq!(serde_json::to_string(&exit).ok(), Some(code.to_string()));
        }
        assert!(serde_json::from_str::<ExitCode>("99").is_err());
    }

    #[test]
    fn debug_output_holds_no_password() {
        let credentials = Credentials {
            server: "http://127.0.0.1:1".into(),
            user: "eva".into(),
            password: "correct horse".into(),
            device: None,
        };
        assert!(!format!("{credentials:?}").contains("horse"));
        let change = ChangePassword { old: "correct horse".into(), new: "another horse".into() };
        assert!(!format!("{change:?}").contains("horse"));
    }
}
