//! Proof that a device, or the holder of a recovery key, has its signing key, for a session at a
//! server.
//!
//! The server gives a nonce, the prover signs it together with the server's signing key. Naming
//! the key and not an id means that a server which passes another server's nonce on gets a proof
//! that is worth nothing there.

use crate::sign::{Label, PublicKey};
use crate::statement::{Signed, Statement};
use freehold_model::DeviceId;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};

/// A session proof with the device's signature.
pub type SignedSessionProof = Signed<SessionProof>;

/// What a device signs to start a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionProof {
    /// The server's signing key, as the device has pinned it.
    pub server: PublicKey,
    /// The server's fresh random bytes.
    pub nonce: [u8; 32],
    /// The device.
    pub device: DeviceId,
}

impl Statement for SessionProof {
    const MAGIC: [u8; 4] = *b"FHSP";
    const LABEL: Label = Label::Session;
}

impl Encode for SessionProof {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.server).raw(&self.nonce).put(&self.device);
    }
}

impl Decode for SessionProof {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { server: input.get()?, nonce: input.array()?, device: input.get()? })
    }
}

/// A recovery proof with the recovery key's signature.
pub type SignedRecoveryProof = Signed<RecoveryProof>;

/// What the holder of a recovery key signs to start a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryProof {
    /// The server's signing key, as it shows it.
    pub server: PublicKey,
    /// The server's fresh random bytes.
    pub nonce: [u8; 32],
    /// The recovery key's path id, without its kind.
    pub path_id: [u8; 16],
}

impl Statement for RecoveryProof {
    const MAGIC: [u8; 4] = *b"FHRP";
    const LABEL: Label = Label::Recovery;
}

impl Encode for RecoveryProof {
    fn encode(&self, out: &mut Writer) {
        out.put(&self.server).raw(&self.nonce).raw(&self.path_id);
    }
}

impl Decode for RecoveryProof {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { server: input.get()?, nonce: input.array()?, path_id: input.array()? })
    }
}
