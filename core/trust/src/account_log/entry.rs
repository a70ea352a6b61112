//! One entry of the account log: statement, a device's signature, perhaps a second one, and one by
//! each unlock path the entry installs.
//!
//! All signatures cover the same bytes, the kind of the second included, under different labels.
//! How many path signatures follow is said by the action. They keep a path's public half, which
//! anybody may know, from being put into an entry by somebody who does not hold it. The entry's hash
//! covers the signatures too, so it names exactly one byte string.

use super::Action;
use crate::limits;
use crate::sign::{BadSignature, Label, PublicKey, SignKey, Signature};
use crate::statement::{read_preamble, write_preamble};
use freehold_model::codec::{self, Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{AccountId, DeviceId, LogHash};

const MAGIC: [u8; 4] = *b"FHAL";

/// The secret that stands behind a second signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecondKey {
    /// The password.
    Password,
    /// The recovery key.
    Recovery,
}

/// What an entry says, and where in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatement {
    /// The account.
    pub account: AccountId,
    /// Position, from 0 for genesis.
    pub seq: u64,
    /// The entry before; zero for genesis.
    pub prev: LogHash,
    /// When, in Unix seconds by the signer's clock. Advisory.
    pub time: u64,
    /// The device that signs.
    pub signer: DeviceId,
    /// The change.
    pub action: Action,
}

impl LogStatement {
    /// The first statement of an account.
    #[must_use]
    pub const fn genesis(
        account: AccountId,
        time: u64,
        signer: DeviceId,
        genesis: Box<super::Genesis>,
    ) -> Self {
        let prev = LogHash::from_bytes([0; 32]);
        Self { account, seq: 0, prev, time, signer, action: Action::Genesis(genesis) }
    }
}

/// A signed entry. Only [`super::AccountState`] decides whether its signatures count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    statement: LogStatement,
    signature: Signature,
    second: Option<(SecondKey, Signature)>,
    /// In the order of [`Action::installs`]. Any other number is refused by the replay, and has bytes
    /// that cannot be read.
    paths: Vec<Signature>,
}

impl LogEntry {
    /// Signs a statement that needs no second signature and installs no path.
    #[must_use]
    pub fn sign(statement: LogStatement, device: &SignKey) -> Self {
        let signature = device.sign(Label::AccountLog, &signed_bytes(&statement, None));
        Self { statement, signature, second: None, paths: Vec::new() }
    }

    /// Signs a genesis as its first device and by both of the paths it installs.
    #[must_use]
    pub fn sign_genesis(
        statement: LogStatement,
        device: &SignKey,
        password: &SignKey,
        recovery: &SignKey,
    ) -> Self {
        let unproven = Self::sign(statement, device);
        let bytes = unproven.signed_bytes();
        let paths = [password, recovery].map(|path| path.sign(Label::AccountLogPath, &bytes)).to_vec();
        Self { paths, ..unproven }
    }

    /// Signs a statement as a device and as the holder of the password or the recovery key. It
    /// installs no path.
    #[must_use]
    pub fn sign_twice(statement: LogStatement, device: &SignKey, which: SecondKey, secret: &SignKey) -> Self {
        let bytes = signed_bytes(&statement, Some(which));
        let signature = device.sign(Label::AccountLog, &bytes);
        let second = secret.sign(Label::AccountLogSecond, &bytes);
        Self { statement, signature, second: Some((which, second)), paths: Vec::new() }
    }

    /// Signs a statement that installs a path: as a device, by a secret in force before it, and by
    /// the new path's own key.
    #[must_use]
    pub fn sign_installing(
        statement: LogStatement,
        device: &SignKey,
        which: SecondKey,
        secret: &SignKey,
        new_path: &SignKey,
    ) -> Self {
        let unproven = Self::sign_twice(statement, device, which, secret);
        let path = new_path.sign(Label::AccountLogPath, &unproven.signed_bytes());
        Self { paths: vec![path], ..unproven }
    }

    /// What the entry says, before any check.
    #[must_use]
    pub const fn statement(&self) -> &LogStatement {
        &self.statement
    }

    /// Which secret stands behind the second signature, if there is one.
    #[must_use]
    pub fn second_key(&self) -> Option<SecondKey> {
        self.second.as_ref().map(|(which, _)| *which)
    }

    /// The entry's name: BLAKE3 of all its bytes.
    #[must_use]
    pub fn hash(&self) -> LogHash {
        LogHash::from_bytes(*blake3::hash(&self.to_bytes()).as_bytes())
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::to_vec(self)
    }

    /// Reads an entry that fills the slice exactly. Signatures are not checked.
    ///
    /// # Errors
    /// Anything but the canonical form is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > limits::LOG_ENTRY_BYTES_MAX {
            return Err(DecodeError::TooLong);
        }
        codec::from_slice(bytes)
    }

    pub(super) fn verify_device(&self, key: &PublicKey) -> Result<(), BadSignature> {
        key.verify(Label::AccountLog, &self.signed_bytes(), &self.signature)
    }

    pub(super) fn verify_second(&self, key: &PublicKey) -> Result<(), BadSignature> {
        let (_, signature) = self.second.as_ref().ok_or(BadSignature)?;
        key.verify(Label::AccountLogSecond, &self.signed_bytes(), signature)
    }

    /// Checks that each path the entry installs has signed it, and that nothing else has.
    pub(super) fn verify_paths(&self) -> Result<(), BadSignature> {
        let bytes = self.signed_bytes();
        let mut signatures = self.paths.iter();
        for path in self.statement.action.installs() {
            let signature = signatures.next().ok_or(BadSignature)?;
            path.sign_pk.verify(Label::AccountLogPath, &bytes, signature)?;
        }
        if signatures.next().is_none() { Ok(()) } else { Err(BadSignature) }
    }

    fn signed_bytes(&self) -> Vec<u8> {
        signed_bytes(&self.statement, self.second_key())
    }
}

pub(super) const fn second_kind(which: Option<SecondKey>) -> u8 {
    match which {
        None => 0,
        Some(SecondKey::Password) => 1,
        Some(SecondKey::Recovery) => 2,
    }
}

pub(super) fn read_second(input: &mut Reader<'_>) -> Result<Option<SecondKey>, DecodeError> {
    match input.u8()? {
        0 => Ok(None),
        1 => Ok(Some(SecondKey::Password)),
        2 => Ok(Some(SecondKey::Recovery)),
        _ => Err(DecodeError::Unknown("second signature")),
    }
}

fn write_signed(out: &mut Writer, statement: &LogStatement, which: Option<SecondKey>) {
    write_preamble(out, MAGIC);
    out.put(&statement.account).u64(statement.seq).put(&statement.prev).u64(statement.time);
    out.put(&statement.signer).put(&statement.action).u8(second_kind(which));
}

fn signed_bytes(statement: &LogStatement, which: Option<SecondKey>) -> Vec<u8> {
    let mut out = Writer::new();
    write_signed(&mut out, statement, which);
    out.into_vec()
}

impl Encode for LogEntry {
    fn encode(&self, out: &mut Writer) {
        write_signed(out, &self.statement, self.second_key());
        out.put(&self.signature);
        if let Some((_, second)) = &self.second {
            out.put(second);
        }
        for path in &self.paths {
            out.put(path);
        }
    }
}

impl Decode for LogEntry {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_preamble(input, MAGIC, "account log entry")?;
        let statement = LogStatement {
            account: input.get()?,
            seq: input.u64()?,
            prev: input.get()?,
            time: input.u64()?,
            signer: input.get()?,
            action: input.get()?,
        };
        let which = read_second(input)?;
        let signature = input.get()?;
        let second = which.map(|which| Ok((which, input.get()?))).transpose()?;
        let paths = statement.action.installs().map(|_| input.get()).collect::<Result<_, _>>()?;
        Ok(Self { statement, signature, second, paths })
    }
}
