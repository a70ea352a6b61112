//! How the holder of a recovery key gets a session: proof that they hold its signing key.
//!
//! The words derive the key and its path id; the server finds the account by the id. The proof is
//! `freehold-trust`'s `RecoveryProof`. The session is of scope [`crate::Scope::Account`]. Words that no
//! account has, words that were replaced and a wrong signature get one answer.

use crate::Blob;
use serde::{Deserialize, Serialize};

/// `POST /api/v1/recovery/challenge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryChallengeRequest {
    /// The recovery key's path id, 16 bytes.
    pub path_id: Blob,
}

/// Answer to [`RecoveryChallengeRequest`]; the same shape for an unknown path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryChallenge {
    /// 32 random bytes, good once and for one minute.
    pub nonce: Blob,
}

/// `POST /api/v1/recovery/session`; the answer is a [`crate::Session`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverySessionRequest {
    /// As in the challenge.
    pub path_id: Blob,
    /// From [`RecoveryChallenge`].
    pub nonce: Blob,
    /// The recovery key's signature, 64 bytes.
    pub signature: Blob,
}
