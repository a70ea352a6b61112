//! Unlock boxes: an account root, sealed to one unlock path and signed by a device.
//!
//! ```text
//! "FHUB" | suite u8 | generation u32 | account[16] | path kind u8, id[16] | signer device[16]   58 B
//! X-Wing encapsulation[1120] | ciphertext[116] | tag[16]
//! Ed25519 signature[64], label "unlock-box", over everything before it
//! plaintext = account[16] | genesis hash[32] | log head[32] | generation u32 | root key[32]
//! info      = "freehold unlock v1" ‖ header            AAD = header
//! ```
//!
//! The plaintext ties the root to one account log: a server that shows another genesis, or a log
//! that does not contain this head, is caught by whoever opens the box. Anyone can seal to a public
//! key, so a box counts only with the signature of a device the log calls live.

use crate::account::AccountRoot;
use crate::error::OpenError;
use crate::limits::{SUITE, TAG_LEN, UNLOCK_BOX_LEN, XWING_CIPHERTEXT_LEN};
use crate::secret::Secret32;
use crate::xwing::{self, BadPublicKey, XWingPair};
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_model::{AccountId, DeviceId, Entropy, LogHash};
use freehold_trust::account_log::PathId;
use freehold_trust::{Label, PublicKey, SignKey, Signature, XWingPublic};
use zeroize::{Zeroize, Zeroizing};

const MAGIC: [u8; 4] = *b"FHUB";
const INFO: &[u8] = b"freehold unlock v1";
const HEADER_LEN: usize = 58;
const PLAIN_LEN: usize = 116;

/// What an unlock box carries.
#[derive(Debug, PartialEq, Eq)]
pub struct UnlockContent {
    /// The account.
    pub account: AccountId,
    /// Hash of the account log's first entry.
    pub genesis: LogHash,
    /// The newest log entry the sealing device had seen. The log must contain it.
    pub log_head: LogHash,
    /// The account root.
    pub root: AccountRoot,
}

/// A parsed unlock box. Its fields are not authenticated before [`UnlockBox::open`].
#[derive(Clone)]
pub struct UnlockBox {
    bytes: Vec<u8>,
    account: AccountId,
    path: PathId,
    generation: u32,
    signer: DeviceId,
}

impl UnlockBox {
    /// Seals an account root to a path and signs the box.
    ///
    /// # Errors
    /// [`BadPublicKey`] when the path's public key is malformed.
    pub fn seal(
        content: &UnlockContent,
        path: PathId,
        to: &XWingPublic,
        signer: (DeviceId, &SignKey),
        entropy: &mut dyn Entropy,
    ) -> Result<Self, BadPublicKey> {
        let header = header(&content.account, path, content.root.generation(), signer.0);
        let info = [INFO, &header].concat();
        let plain = encode_content(content);
        let (encapsulation, ciphertext) = xwing::seal(to, &info, &header, &plain, entropy)?;
        let mut bytes = Vec::with_capacity(UNLOCK_BOX_LEN);
        bytes.extend_from_slice(&header);
        bytes.extend_from_slice(&encapsulation);
        bytes.extend_from_slice(&ciphertext);
        let signature = signer.1.sign(Label::UnlockBox, &bytes);
        bytes.extend_from_slice(signature.as_bytes());
        Ok(Self {
            bytes,
            account: content.account,
            path,
            generation: content.root.generation(),
            signer: signer.0,
        })
    }

    /// Reads a box.
    ///
    /// # Errors
    /// `Refused` when the bytes are not an unlock box of this suite.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, OpenError> {
        Self::fields(bytes).map_err(|_| OpenError::Refused)
    }

    fn fields(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Reader::new(bytes);
        input.expect(&MAGIC, "unlock box magic")?;
        input.expect(&[SUITE], "unlock box suite")?;
        let (generation, account) = (input.u32()?, input.get()?);
        let (path, signer) = (input.get()?, input.get()?);
        input.bytes(UNLOCK_BOX_LEN - HEADER_LEN)?;
        input.finish()?;
        Ok(Self { bytes: bytes.to_vec(), account, path, generation, signer })
    }

    /// The canonical bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// BLAKE3 of the bytes: what a rotate entry of the account log names.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.bytes).as_bytes()
    }

    /// The account it says it is for.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The path it says it is for.
    #[must_use]
    pub const fn path(&self) -> PathId {
        self.path
    }

    /// The generation of the root it says it holds.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    /// The device that says it signed: look its key up in the account log.
    #[must_use]
    pub const fn signer(&self) -> DeviceId {
        self.signer
    }

    /// Checks the signer's signature, then opens with the path's pair.
    ///
    /// The caller then checks that the account log begins with `genesis` and contains `log_head`.
    ///
    /// # Errors
    /// `Refused` when the signature, the pair, or any bound field is another's.
    pub fn open(&self, pair: &XWingPair, signer: &PublicKey) -> Result<UnlockContent, OpenError> {
        let (signed, signature) = self.bytes.split_last_chunk::<64>().ok_or(OpenError::Refused)?;
        signer
            .verify(Label::UnlockBox, signed, &Signature::from_bytes(*signature))
            .map_err(|_| OpenError::Refused)?;
        let (header, rest) = signed.split_first_chunk::<HEADER_LEN>().ok_or(OpenError::Refused)?;
        let (encapsulation, ciphertext) =
            rest.split_first_chunk::<XWING_CIPHERTEXT_LEN>().ok_or(OpenError::Refused)?;
        let info = [INFO, header].concat();
        let plain = pair.open(&info, header, &xwing::Sealed { encapsulation, ciphertext })?;
        let content = decode_content(&Zeroizing::new(plain)).map_err(|_| OpenError::Refused)?;
        let bound = content.account == self.account && content.root.generation() == self.generation;
        if bound { Ok(content) } else { Err(OpenError::Refused) }
    }
}

impl std::fmt::Debug for UnlockBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnlockBox({:?}, {:?}, generation {})", self.account, self.path, self.generation)
    }
}

fn header(account: &AccountId, path: PathId, generation: u32, signer: DeviceId) -> Vec<u8> {
    let mut out = Writer::with_capacity(HEADER_LEN);
    out.raw(&MAGIC).u8(SUITE).u32(generation);
    out.put(account).put(&path).put(&signer);
    out.into_vec()
}

fn encode_content(content: &UnlockContent) -> Zeroizing<Vec<u8>> {
    let mut out = Writer::with_capacity(PLAIN_LEN);
    out.put(&content.account).put(&content.genesis).put(&content.log_head);
    out.u32(content.root.generation()).raw(content.root.expose());
    Zeroizing::new(out.into_vec())
}

fn decode_content(plain: &[u8]) -> Result<UnlockContent, DecodeError> {
    let mut input = Reader::new(plain);
    let (account, genesis, log_head) = (input.get()?, input.get()?, input.get()?);
    let generation = input.u32()?;
    let mut key: [u8; 32] = input.array()?;
    input.finish()?;
    let root = AccountRoot::from_parts(generation, Secret32::from_bytes(key));
    key.zeroize();
    Ok(UnlockContent { account, genesis, log_head, root })
}

/// Fails to compile when the named length and the drawn layout part ways.
const _: () = assert!(UNLOCK_BOX_LEN == HEADER_LEN + XWING_CIPHERTEXT_LEN + PLAIN_LEN + TAG_LEN + 64);

#[cfg(test)]
mod tests;
