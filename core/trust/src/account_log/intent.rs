//! The wish to end a device, signed whole: it counts wherever it is seen.
//!
//! ```text
//! "FHRI" 01 01 | account 16 | device 16 | revoker 16 | time u64
//! cuts: count u32, {vault 16 | incarnation u32 | last commit seen u64}
//! second u8 (1 password, 2 recovery key) | revoker's signature 64 | second signature 64
//! ```
//!
//! A revocation is often wanted when the server cannot be reached, and the account log grows only
//! there. So the wish stands on its own: it carries the revoking device's signature and that of the
//! password- or recovery-derived key, any device that sees it obeys it at once, and any live device
//! enters it into the log later, whatever the log's head is by then. Device ids are never used again,
//! so an intent that is shown twice changes nothing.

use super::SecondKey;
use super::entry::{read_second, second_kind};
use crate::limits;
use crate::sign::{BadSignature, Label, PublicKey, SignKey, Signature};
use crate::statement::{ascending, read_preamble, write_preamble};
use freehold_model::codec::{self, Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{AccountId, DeviceId, VaultId};

const MAGIC: [u8; 4] = *b"FHRI";

/// The last commit of a revoked device that the revoker saw, in one vault and one of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    /// The vault.
    pub vault: VaultId,
    /// The device's incarnation.
    pub incarnation: u32,
    /// The position of the last commit seen.
    pub seq: u64,
}

/// What a revocation says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeDevice {
    account: AccountId,
    device: DeviceId,
    revoker: DeviceId,
    time: u64,
    cuts: Vec<Cut>,
}

impl RevokeDevice {
    /// Ends `device` in the name of `revoker`. In a vault without a cut nothing of it counts.
    ///
    /// # Errors
    /// `TooLong` over 1,024 cuts, `Invalid` for two cuts of one life or a position 0.
    pub fn new(
        account: AccountId,
        device: DeviceId,
        revoker: DeviceId,
        time: u64,
        mut cuts: Vec<Cut>,
    ) -> Result<Self, DecodeError> {
        cuts.sort();
        Self { account, device, revoker, time, cuts }.checked()
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The device that ends.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The device that wants it.
    #[must_use]
    pub const fn revoker(&self) -> DeviceId {
        self.revoker
    }

    /// When, in Unix seconds by the revoker's clock. Advisory.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// The cuts, by vault and incarnation.
    #[must_use]
    pub fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    fn checked(self) -> Result<Self, DecodeError> {
        if self.cuts.len() > limits::REVOKE_CUTS_MAX {
            return Err(DecodeError::TooLong);
        }
        let chains: Vec<_> = self.cuts.iter().map(|cut| (cut.vault, cut.incarnation)).collect();
        ascending(&chains, "revocation cuts")?;
        if self.cuts.iter().any(|cut| cut.seq == 0) {
            return Err(DecodeError::Invalid("revocation cuts"));
        }
        Ok(self)
    }
}

impl Encode for RevokeDevice {
    fn encode(&self, out: &mut Writer) {
        let count = u32::try_from(self.cuts.len()).expect("the constructor bounds the list");
        out.put(&self.account).put(&self.device).put(&self.revoker).u64(self.time).u32(count);
        for cut in &self.cuts {
            out.put(&cut.vault).u32(cut.incarnation).u64(cut.seq);
        }
    }
}

impl Decode for RevokeDevice {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (account, device, revoker, time) = (input.get()?, input.get()?, input.get()?, input.u64()?);
        let count = input.count(limits::REVOKE_CUTS_MAX, 16 + 4 + 8)?;
        let cuts = (0..count)
            .map(|_| Ok(Cut { vault: input.get()?, incarnation: input.u32()?, seq: input.u64()? }))
            .collect::<Result<_, DecodeError>>()?;
        Self { account, device, revoker, time, cuts }.checked()
    }
}

/// A revocation with both of its signatures. [`super::AccountState`] decides whether they count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeIntent {
    revoke: RevokeDevice,
    second_key: SecondKey,
    signature: Signature,
    second: Signature,
}

impl RevokeIntent {
    /// Signs as the revoking device and as the holder of the password or the recovery key.
    #[must_use]
    pub fn sign(revoke: RevokeDevice, device: &SignKey, second_key: SecondKey, secret: &SignKey) -> Self {
        let bytes = signed_bytes(&revoke, second_key);
        let signature = device.sign(Label::RevokeIntent, &bytes);
        let second = secret.sign(Label::RevokeIntentSecond, &bytes);
        Self { revoke, second_key, signature, second }
    }

    /// Checks both signatures and gives what is said.
    ///
    /// # Errors
    /// [`BadSignature`] when either key did not sign exactly this.
    pub fn verify(&self, revoker: &PublicKey, secret: &PublicKey) -> Result<&RevokeDevice, BadSignature> {
        let bytes = signed_bytes(&self.revoke, self.second_key);
        revoker.verify(Label::RevokeIntent, &bytes, &self.signature)?;
        secret.verify(Label::RevokeIntentSecond, &bytes, &self.second)?;
        Ok(&self.revoke)
    }

    /// What it says, before any check: only to find the keys that must have signed it.
    #[must_use]
    pub const fn unverified(&self) -> &RevokeDevice {
        &self.revoke
    }

    /// Which secret stands behind the second signature.
    #[must_use]
    pub const fn second_key(&self) -> SecondKey {
        self.second_key
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::to_vec(self)
    }

    /// Reads an intent that fills the slice exactly. Signatures are not checked.
    ///
    /// # Errors
    /// Anything but the canonical form is refused.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::from_slice(bytes)
    }
}

fn write_signed(out: &mut Writer, revoke: &RevokeDevice, second_key: SecondKey) {
    write_preamble(out, MAGIC);
    out.put(revoke).u8(second_kind(Some(second_key)));
}

fn signed_bytes(revoke: &RevokeDevice, second_key: SecondKey) -> Vec<u8> {
    let mut out = Writer::new();
    write_signed(&mut out, revoke, second_key);
    out.into_vec()
}

impl Encode for RevokeIntent {
    fn encode(&self, out: &mut Writer) {
        write_signed(out, &self.revoke, self.second_key);
        out.put(&self.signature).put(&self.second);
    }
}

impl Decode for RevokeIntent {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_preamble(input, MAGIC, "revocation")?;
        let revoke = input.get()?;
        let second_key = read_second(input)?.ok_or(DecodeError::Unknown("second signature"))?;
        Ok(Self { revoke, second_key, signature: input.get()?, second: input.get()? })
    }
}
