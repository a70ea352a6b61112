//! Rows as the server's logic sees them: typed ids, verified facts, no SQL.

use freehold_api::bulk::{ManifestRefs, PushVersion};
use freehold_api::{ChainHead, ErrorCode, Kdf, KeyBoxEntry, UnlockBoxEntry, VaultBoxes};
use freehold_model::{AccountId, ChunkId, DeviceId, LogHash, NodeId};
use freehold_trust::PublicKey;
use freehold_trust::commit::Commit;

/// BLAKE3 of a token, or a keyed hash of a login name. The database never holds the thing itself.
pub type TokenHash = [u8; 32];

/// What a recovery key is found by: its path id without the kind.
pub type RecoveryId = [u8; 16];

/// Everything a registration creates.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The account.
    pub account: AccountId,
    /// Keyed hash of the login name.
    pub login_hash: TokenHash,
    /// OPAQUE registration record.
    pub opaque_record: Vec<u8>,
    /// Parameters of the password hash.
    pub kdf: Kdf,
    /// Path id of the recovery key.
    pub recovery_id: RecoveryId,
    /// The user name sealed to the recovery key.
    pub user_box: Vec<u8>,
    /// Hash of the genesis entry.
    pub genesis_hash: LogHash,
    /// The genesis entry.
    pub genesis: Vec<u8>,
    /// The first device.
    pub device: DeviceRow,
    /// Boxes of the account.
    pub boxes: Boxes,
    /// The first vault, named in `boxes.vault_keys` too.
    pub vault: VaultBoxes,
    /// Hash of the invite code.
    pub invite: Option<TokenHash>,
    /// The session it ends in.
    pub session: (TokenHash, SessionRow),
    /// Now.
    pub now: i64,
}

/// Boxes stored along with a log entry.
#[derive(Clone, Debug, Default)]
pub struct Boxes {
    /// Account roots sealed to unlock paths.
    pub unlock: Vec<UnlockBoxEntry>,
    /// Earlier account roots under later ones.
    pub account_keys: Vec<KeyBoxEntry>,
    /// Vault keys.
    pub vault_keys: Vec<VaultBoxes>,
}

/// What became of a registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateOutcome {
    /// All created.
    Created,
    /// The name is taken; by an account with this genesis, made at this time.
    UserTaken {
        /// The account of that name.
        account: AccountId,
        /// Hash of its genesis entry.
        genesis: LogHash,
        /// When it was created.
        created: i64,
    },
    /// The account, device or vault id is already in use.
    IdTaken,
    /// Not the first account, and no good invite.
    Closed,
}

/// What a login needs.
#[derive(Clone, Debug)]
pub struct LoginRow {
    /// The account.
    pub account: AccountId,
    /// OPAQUE registration record.
    pub opaque_record: Vec<u8>,
    /// Parameters of the password hash.
    pub kdf: Kdf,
}

/// A device as sessions and capabilities need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRow {
    /// The device.
    pub device: DeviceId,
    /// Its account.
    pub account: AccountId,
    /// Signs session proofs.
    pub sign_pk: PublicKey,
    /// Holds capabilities.
    pub tls_pk: PublicKey,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// An account's log as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLog {
    /// Encoded entries from genesis on.
    pub entries: Vec<Vec<u8>>,
}

/// Entries to append together, already judged against the entries before them.
#[derive(Clone, Debug)]
pub struct AppendRow {
    /// The account.
    pub account: AccountId,
    /// Place of the first: the length of the log they were judged against.
    pub seq: u64,
    /// The entries, in order.
    pub entries: Vec<EntryRow>,
    /// Boxes that belong to them. None of them is there yet.
    pub boxes: Boxes,
    /// The user name sealed to a new recovery key.
    pub user_box: Option<Vec<u8>>,
    /// Now.
    pub now: i64,
}

/// One entry to append.
#[derive(Clone, Debug)]
pub struct EntryRow {
    /// Its hash.
    pub hash: LogHash,
    /// The entry.
    pub bytes: Vec<u8>,
    /// What it changes in other tables.
    pub effect: EntryEffect,
}

/// What an entry changes beside the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryEffect {
    /// Nothing.
    None,
    /// A device comes.
    AddDevice(DeviceRow),
    /// A device goes, with its sessions and boxes.
    RevokeDevice(DeviceId),
    /// Another recovery key: the boxes of the one before go.
    SetRecovery {
        /// Path id of the new key.
        recovery_id: RecoveryId,
        /// Path id of the one before.
        replaced: [u8; 16],
    },
    /// Another password: the boxes of the one before go, and all sessions that no device holds.
    SetLogin {
        /// OPAQUE registration record.
        opaque_record: Vec<u8>,
        /// Parameters of the password hash.
        kdf: Kdf,
        /// Path id of the password before.
        replaced: [u8; 16],
    },
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// They stand at their places, now or from an earlier time.
    Appended,
    /// Another entry has the first one's place.
    Conflict,
    /// They bring a device id or recovery key that another account has, or keys of a vault that is not
    /// the account's own.
    Foreign,
}

/// What opened a session without a device.
#[derive(Clone, Debug)]
pub enum Secret {
    /// The password behind this OPAQUE registration record.
    Password {
        /// The record.
        opaque_record: Vec<u8>,
    },
    /// The recovery key with this path id.
    Recovery(RecoveryId),
}

/// One session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// Whose.
    pub account: AccountId,
    /// The device, unless it is a password session.
    pub device: Option<DeviceId>,
    /// When it ends.
    pub expires: i64,
}

/// One commit to number: decoded, its signature and versions verified.
#[derive(Clone, Debug)]
pub struct CommitRow {
    /// The commit.
    pub commit: Commit,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Versions that came with it; each names an entry's record and hash.
    pub versions: Vec<PushVersion>,
    /// Manifest nodes that came with it.
    pub manifests: Vec<ManifestRefs>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It has this number.
    Numbered {
        /// The number.
        vault_seq: u64,
        /// Whether this call gave it.
        fresh: bool,
    },
    /// It was not taken.
    Refused {
        /// Why.
        code: ErrorCode,
        /// The newest commit of its device.
        head: Option<ChainHead>,
    },
}

/// A chunk on a node, by a verified receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacedChunk {
    /// The chunk.
    pub chunk: ChunkId,
    /// The node.
    pub node: NodeId,
    /// The chunk's length.
    pub len_bytes: u32,
}

/// One storage node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: NodeId,
    /// Signs receipts and heartbeats.
    pub sign_pk: PublicKey,
    /// Encoded certificate, signed by this server.
    pub cert: Vec<u8>,
    /// Share of the data.
    pub weight: u32,
    /// Where clients reach it.
    pub addresses: Vec<String>,
    /// Bytes it offers.
    pub capacity_bytes: u64,
    /// Bytes stored, as last heard.
    pub used_bytes: u64,
    /// Bytes free, as last heard.
    pub free_bytes: u64,
    /// Time of its last heartbeat, seconds by its own clock.
    pub heartbeat_time: u64,
    /// When this server last heard it.
    pub last_seen: i64,
}

/// What became of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinOutcome {
    /// It is a node, under this id and certificate; `epoch` is the layout it is in.
    Joined {
        /// Its row.
        node: NodeRow,
        /// The newest layout's epoch.
        epoch: u64,
    },
    /// The token is unknown, used by another, or has ended.
    BadToken,
    /// There are as many nodes as one layout holds.
    Full,
}

/// A verified heartbeat.
#[derive(Clone, Debug)]
pub struct HeartbeatRow {
    /// Seconds by the node's clock.
    pub time: u64,
    /// Where clients reach it.
    pub addresses: Vec<String>,
    /// Bytes stored.
    pub used_bytes: u64,
    /// Bytes free.
    pub free_bytes: u64,
    /// Now.
    pub now: i64,
}

/// What a heartbeat changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Only its figures.
    Same,
    /// Where it is reached.
    Moved,
    /// It is not newer than the last.
    Stale,
    /// There is no such node.
    Unknown,
}

/// One layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutRow {
    /// Its epoch.
    pub epoch: u64,
    /// Receipts that make a chunk placed.
    pub write_quorum: u8,
    /// The encoded layout, signed by this server.
    pub bytes: Vec<u8>,
    /// When it was made.
    pub created: i64,
}
