//! The replay: what an account is after its log, or why the log is refused.
//!
//! [`AccountState::append`] is the one place that applies a rule; a replay is a fold over it, the
//! server's append check a dry run of it. A refused entry leaves the state as it was.

use super::{
    Action, Genesis, LogEntry, LogStatement, NameDevice, PathId, RevokeDevice, RevokeIntent, Rotate,
    SecondKey, UnlockPath,
};
use crate::device_cert::{DeviceCert, DeviceName, SignedDeviceCert, XWingPublic};
use crate::kdf_params::KdfParams;
use crate::limits;
use crate::sign::PublicKey;
use freehold_model::{AccountId, DeviceId, LogHash, VaultId};
use std::collections::{BTreeMap, BTreeSet};

/// Why a log, or an entry, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The log is empty or does not start with a genesis.
    #[error("the account log does not start with a genesis entry; do not trust this server")]
    NoGenesis,
    /// The entry does not extend this head: somebody else appended first, or the log was forked.
    #[error("account log entry {seq} does not extend the log; fetch the log and try again")]
    Unlinked {
        /// The entry's position.
        seq: u64,
    },
    /// The entry is of another account.
    #[error("account log entry {seq} belongs to another account")]
    WrongAccount {
        /// The entry's position.
        seq: u64,
    },
    /// The log lacks an entry this device has already seen: it was rolled back or forked.
    #[error("the server shows an account log without what this device has seen; do not use it")]
    Forked,
    /// The signing device is unknown or revoked.
    #[error("account log entry {seq} is signed by a device that may not sign")]
    SignerNotLive {
        /// The entry's position.
        seq: u64,
    },
    /// A signature does not verify.
    #[error("account log entry {seq} has a bad signature")]
    BadSignature {
        /// The entry's position.
        seq: u64,
    },
    /// The change needs the password's or the recovery key's signature and has none.
    #[error("account log entry {seq} needs the password or the recovery key as well")]
    SecondMissing {
        /// The entry's position.
        seq: u64,
    },
    /// The change has a second signature that its kind does not take.
    #[error("account log entry {seq} has a second signature where none belongs")]
    SecondUnexpected {
        /// The entry's position.
        seq: u64,
    },
    /// An unlock path is installed by somebody who does not hold it.
    #[error("account log entry {seq} installs an unlock path that has not signed it")]
    PathUnproven {
        /// The entry's position.
        seq: u64,
    },
    /// An unlock path comes back that was in force before: a replaced secret stays dead.
    #[error("account log entry {seq} installs an unlock path that was used before")]
    PathReused {
        /// The entry's position.
        seq: u64,
    },
    /// A device's id or one of its keys is already in the log.
    #[error("account log entry {seq} adds a device id or key that was used before")]
    DeviceReused {
        /// The entry's position.
        seq: u64,
    },
    /// The device to revoke or to rename is not live.
    #[error("account log entry {seq} revokes or renames a device that is not there")]
    DeviceNotLive {
        /// The entry's position.
        seq: u64,
    },
    /// A rotation skips or repeats a generation.
    #[error("account log entry {seq} does not rotate to the next generation")]
    WrongGeneration {
        /// The entry's position.
        seq: u64,
    },
    /// A rotation does not name exactly one box for every live path.
    #[error("account log entry {seq} does not seal the new root to exactly the live paths")]
    WrongBoxes {
        /// The entry's position.
        seq: u64,
    },
    /// The log or the account is over a limit.
    #[error("the account has reached its limit of log entries or devices; revoke some")]
    Full,
}

/// What a device remembers of a log, to refuse one that does not extend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPin {
    /// Hash of the genesis entry.
    pub genesis: LogHash,
    /// Hash of the newest entry seen.
    pub head: LogHash,
}

/// One device, live or revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its certificate.
    pub cert: DeviceCert,
    /// What it is called: as in its certificate until it is renamed.
    pub name: DeviceName,
    /// The log position that added it.
    pub added_seq: u64,
    /// How it ended, if it did.
    pub revoked: Option<Revocation>,
}

/// How a device ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The log position that revoked it; the next free one while the revocation is only obeyed.
    pub seq: u64,
    /// The device that did.
    pub by: DeviceId,
    /// The last commit the revoker saw, by vault and incarnation.
    pub cuts: BTreeMap<(VaultId, u32), u64>,
}

impl Device {
    const fn new(cert: DeviceCert, name: DeviceName, added_seq: u64) -> Self {
        Self { cert, name, added_seq, revoked: None }
    }
}

/// An account as its log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountState {
    account: AccountId,
    devices: BTreeMap<DeviceId, Device>,
    password: UnlockPath,
    recovery: UnlockPath,
    kdf: KdfParams,
    generation: u32,
    rotation_due: bool,
    /// The boxes of the newest rotation.
    rotation: BTreeMap<PathId, [u8; 32]>,
    /// Every password's and recovery key's path that was ever in force.
    used_paths: BTreeSet<PathId>,
    head_seq: u64,
    pin: LogPin,
    positions: BTreeMap<LogHash, u64>,
}

impl AccountState {
    /// Replays a whole log.
    ///
    /// # Errors
    /// The first rule that an entry breaks.
    pub fn replay(entries: &[LogEntry]) -> Result<Self, LogError> {
        let (first, rest) = entries.split_first().ok_or(LogError::NoGenesis)?;
        let mut state = Self::start(first)?;
        rest.iter().try_for_each(|entry| state.append(entry))?;
        Ok(state)
    }

    /// Replays a log that must extend what this device has seen.
    ///
    /// # Errors
    /// `Forked` when the pinned genesis or head is not in it; otherwise as [`Self::replay`].
    pub fn replay_pinned(entries: &[LogEntry], pin: &LogPin) -> Result<Self, LogError> {
        let state = Self::replay(entries)?;
        if state.pin.genesis == pin.genesis && state.positions.contains_key(&pin.head) {
            Ok(state)
        } else {
            Err(LogError::Forked)
        }
    }

    /// Checks one more entry without applying it: the server's append check.
    ///
    /// # Errors
    /// As [`Self::append`]; `Unlinked` is the lost compare-and-swap.
    pub fn append_check(&self, entry: &LogEntry) -> Result<(), LogError> {
        self.clone().append(entry)
    }

    /// Checks one more entry and applies it.
    ///
    /// # Errors
    /// The first rule it breaks; the state stays as it was.
    pub fn append(&mut self, entry: &LogEntry) -> Result<(), LogError> {
        let statement = entry.statement();
        let seq = statement.seq;
        if statement.account != self.account {
            return Err(LogError::WrongAccount { seq });
        }
        if Some(seq) != self.head_seq.checked_add(1) || statement.prev != self.pin.head {
            return Err(LogError::Unlinked { seq });
        }
        if self.positions.len() >= limits::LOG_ENTRIES_MAX {
            return Err(LogError::Full);
        }
        self.check_signatures(entry)?;
        self.apply(statement)?;
        self.head_seq = seq;
        self.pin.head = entry.hash();
        self.positions.insert(self.pin.head, seq);
        Ok(())
    }

    /// Checks a revocation that is not in the log yet.
    ///
    /// # Errors
    /// `WrongAccount`, `SignerNotLive`, `BadSignature`, and `DeviceNotLive` when it has done its work;
    /// `seq` is the position it would have.
    pub fn check_intent(&self, intent: &RevokeIntent) -> Result<(), LogError> {
        let seq = self.head_seq.saturating_add(1);
        let revoke = self.verified_intent(intent, seq)?;
        let live = self.live_device(&revoke.device()).map(|_| ());
        live.ok_or(LogError::DeviceNotLive { seq })
    }

    /// Obeys a revocation before it is in the log: the device ends here, the log's head stays. A state
    /// that obeys is for judging by; what extends the log starts from one that does not.
    ///
    /// # Errors
    /// As [`Self::check_intent`]; the state stays as it was.
    pub fn obey(&mut self, intent: &RevokeIntent) -> Result<(), LogError> {
        let seq = self.head_seq.saturating_add(1);
        self.verified_intent(intent, seq)?;
        self.revoke_device(intent.unverified(), seq)
    }

    /// The next statement of this log, ready to be signed.
    #[must_use]
    pub const fn next_statement(&self, signer: DeviceId, time: u64, action: Action) -> LogStatement {
        let seq = self.head_seq.saturating_add(1);
        LogStatement { account: self.account, seq, prev: self.pin.head, time, signer, action }
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// Genesis and head, for a device to remember and an unlock box to carry.
    #[must_use]
    pub const fn pin(&self) -> LogPin {
        self.pin
    }

    /// The head's position.
    #[must_use]
    pub const fn head_seq(&self) -> u64 {
        self.head_seq
    }

    /// The position of an entry of this log.
    #[must_use]
    pub fn position(&self, entry: &LogHash) -> Option<u64> {
        self.positions.get(entry).copied()
    }

    /// All devices ever, by id.
    #[must_use]
    pub const fn devices(&self) -> &BTreeMap<DeviceId, Device> {
        &self.devices
    }

    /// A device that may act now.
    #[must_use]
    pub fn live_device(&self, device: &DeviceId) -> Option<&DeviceCert> {
        self.devices.get(device).filter(|entry| entry.revoked.is_none()).map(|entry| &entry.cert)
    }

    /// The password's path.
    #[must_use]
    pub const fn password(&self) -> &UnlockPath {
        &self.password
    }

    /// The recovery key's path.
    #[must_use]
    pub const fn recovery(&self) -> &UnlockPath {
        &self.recovery
    }

    /// How the password is hashed.
    #[must_use]
    pub const fn kdf(&self) -> KdfParams {
        self.kdf
    }

    /// The current account root generation, from 1.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether somebody who may open the current root should no longer: a device was revoked or a
    /// secret replaced since the last rotation.
    #[must_use]
    pub const fn rotation_due(&self) -> bool {
        self.rotation_due
    }

    /// The hash of a path's box by the newest rotation; nothing for a path that came after it, or while
    /// there was none.
    #[must_use]
    pub fn rotation_box(&self, path: &PathId) -> Option<&[u8; 32]> {
        self.rotation.get(path)
    }

    /// Every path that must be able to open the current root, with the key to seal to, by id.
    #[must_use]
    pub fn live_paths(&self) -> BTreeMap<PathId, &XWingPublic> {
        let live = self.devices.values().filter(|device| device.revoked.is_none());
        let devices = live.map(|device| (PathId::Device(device.cert.device), &device.cert.xwing_pk));
        let password = (self.password.password_id(), &self.password.xwing_pk);
        let recovery = (self.recovery.recovery_id(), &self.recovery.xwing_pk);
        devices.chain([password, recovery]).collect()
    }

    fn start(entry: &LogEntry) -> Result<Self, LogError> {
        let statement = entry.statement();
        let Action::Genesis(genesis) = &statement.action else { return Err(LogError::NoGenesis) };
        if statement.seq != 0 || statement.prev != LogHash::default() {
            return Err(LogError::NoGenesis);
        }
        if entry.second_key().is_some() {
            return Err(LogError::SecondUnexpected { seq: 0 });
        }
        let Genesis { password, recovery, device, kdf } = genesis.as_ref();
        let cert = check_cert(device, &statement.account, 0)?;
        if statement.signer != cert.device {
            return Err(LogError::SignerNotLive { seq: 0 });
        }
        entry.verify_device(&cert.sign_pk).map_err(|_| LogError::BadSignature { seq: 0 })?;
        entry.verify_paths().map_err(|_| LogError::PathUnproven { seq: 0 })?;
        let hash = entry.hash();
        let first = Device::new(cert.clone(), cert.name.clone(), 0);
        Ok(Self {
            account: statement.account,
            devices: BTreeMap::from([(cert.device, first)]),
            password: password.clone(),
            recovery: recovery.clone(),
            kdf: *kdf,
            generation: 1,
            rotation_due: false,
            rotation: BTreeMap::new(),
            used_paths: BTreeSet::from([password.password_id(), recovery.recovery_id()]),
            head_seq: 0,
            pin: LogPin { genesis: hash, head: hash },
            positions: BTreeMap::from([(hash, 0)]),
        })
    }

    fn check_signatures(&self, entry: &LogEntry) -> Result<(), LogError> {
        let statement = entry.statement();
        let seq = statement.seq;
        let bad = |_| LogError::BadSignature { seq };
        entry.verify_device(&self.signer_key(statement)?).map_err(bad)?;
        match (entry.second_key(), statement.action.needs_second()) {
            (None, false) => Ok(()),
            (None, true) => Err(LogError::SecondMissing { seq }),
            (Some(_), false) => Err(LogError::SecondUnexpected { seq }),
            (Some(SecondKey::Password), true) => entry.verify_second(&self.password.sign_pk).map_err(bad),
            (Some(SecondKey::Recovery), true) => entry.verify_second(&self.recovery.sign_pk).map_err(bad),
        }?;
        if let Action::RevokeDevice(intent) = &statement.action {
            self.verified_intent(intent, seq)?;
        }
        entry.verify_paths().map_err(|_| LogError::PathUnproven { seq })
    }

    /// What a revocation says, once both of its signatures hold.
    fn verified_intent<'a>(&self, intent: &'a RevokeIntent, seq: u64) -> Result<&'a RevokeDevice, LogError> {
        let revoke = intent.unverified();
        if revoke.account() != self.account {
            return Err(LogError::WrongAccount { seq });
        }
        let revoker = self.live_device(&revoke.revoker()).ok_or(LogError::SignerNotLive { seq })?;
        let secret = match intent.second_key() {
            SecondKey::Password => &self.password,
            SecondKey::Recovery => &self.recovery,
        };
        intent.verify(&revoker.sign_pk, &secret.sign_pk).map_err(|_| LogError::BadSignature { seq })
    }

    /// The key the first signature must be by: a live device's, or that of the device being added,
    /// because a login with the password alone must work when no other device is at hand.
    fn signer_key(&self, statement: &LogStatement) -> Result<PublicKey, LogError> {
        if let Action::AddDevice(cert) = &statement.action
            && cert.unverified().device == statement.signer
        {
            return Ok(cert.unverified().sign_pk);
        }
        let signer = self.live_device(&statement.signer);
        signer.map(|cert| cert.sign_pk).ok_or(LogError::SignerNotLive { seq: statement.seq })
    }

    fn apply(&mut self, statement: &LogStatement) -> Result<(), LogError> {
        let seq = statement.seq;
        match &statement.action {
            Action::Genesis(_) => Err(LogError::Unlinked { seq }),
            Action::AddDevice(cert) => self.add_device(cert, seq),
            Action::RevokeDevice(intent) => self.revoke_device(intent.unverified(), seq),
            Action::SetRecovery(path) => {
                self.use_path(path.recovery_id(), seq)?;
                self.recovery = path.as_ref().clone();
                self.rotation_due = true;
                Ok(())
            }
            Action::SetKdf(set) => {
                self.use_path(set.password.password_id(), seq)?;
                self.kdf = set.kdf;
                self.password = set.password.clone();
                self.rotation_due = true;
                Ok(())
            }
            Action::Rotate(rotate) => self.rotate(rotate, seq),
            Action::NameDevice(name) => self.name_device(name, seq),
        }
    }

    fn use_path(&mut self, path: PathId, seq: u64) -> Result<(), LogError> {
        if self.used_paths.insert(path) { Ok(()) } else { Err(LogError::PathReused { seq }) }
    }

    fn name_device(&mut self, name: &NameDevice, seq: u64) -> Result<(), LogError> {
        let found = self.devices.get_mut(&name.device).filter(|device| device.revoked.is_none());
        found.ok_or(LogError::DeviceNotLive { seq })?.name = name.name.clone();
        Ok(())
    }

    fn add_device(&mut self, cert: &SignedDeviceCert, seq: u64) -> Result<(), LogError> {
        let cert = check_cert(cert, &self.account, seq)?;
        let reused = self.devices.values().any(|device| shares_identity(&device.cert, cert));
        if reused {
            return Err(LogError::DeviceReused { seq });
        }
        let live = self.devices.values().filter(|device| device.revoked.is_none()).count();
        if live >= limits::DEVICES_LIVE_MAX {
            return Err(LogError::Full);
        }
        let device = Device::new(cert.clone(), cert.name.clone(), seq);
        self.devices.insert(cert.device, device);
        Ok(())
    }

    fn revoke_device(&mut self, revoke: &RevokeDevice, seq: u64) -> Result<(), LogError> {
        let found = self.devices.get_mut(&revoke.device());
        let Some(device) = found.filter(|device| device.revoked.is_none()) else {
            return Err(LogError::DeviceNotLive { seq });
        };
        let cuts = revoke.cuts().iter().map(|cut| ((cut.vault, cut.incarnation), cut.seq));
        device.revoked = Some(Revocation { seq, by: revoke.revoker(), cuts: cuts.collect() });
        self.rotation_due = true;
        Ok(())
    }

    fn rotate(&mut self, rotate: &Rotate, seq: u64) -> Result<(), LogError> {
        if Some(rotate.generation()) != self.generation.checked_add(1) {
            return Err(LogError::WrongGeneration { seq });
        }
        let boxed = rotate.boxes().iter().map(|entry| &entry.path);
        if !boxed.eq(self.live_paths().keys()) {
            return Err(LogError::WrongBoxes { seq });
        }
        self.generation = rotate.generation();
        self.rotation = rotate.boxes().iter().map(|entry| (entry.path, entry.hash)).collect();
        self.rotation_due = false;
        Ok(())
    }
}

fn check_cert<'a>(
    cert: &'a SignedDeviceCert,
    account: &AccountId,
    seq: u64,
) -> Result<&'a DeviceCert, LogError> {
    let sign_pk = cert.unverified().sign_pk;
    let fields = cert.verify(&sign_pk).map_err(|_| LogError::BadSignature { seq })?;
    if fields.account == *account { Ok(fields) } else { Err(LogError::WrongAccount { seq }) }
}

fn shares_identity(a: &DeviceCert, b: &DeviceCert) -> bool {
    a.device == b.device || a.sign_pk == b.sign_pk || a.tls_pk == b.tls_pk || a.xwing_pk == b.xwing_pk
}
