//! Password login: OPAQUE (RFC 9807) over ristretto255 and SHA-512, as byte strings.
//!
//! The server keeps a 192-byte record that is no password equivalent; the client gets a 64-byte
//! export key that never leaves it, from which the password's unlock path is derived. Both
//! identities are bound: the user's name, and the server's *signing* key, so the key a device pins
//! and the key that answers a login are one. Argon2id stretches the password on the client with
//! parameters whose bounds are compiled in (`KdfParams`).
//!
//! Types of the library stay inside: every message has one length, and a message of another
//! length is refused before it is parsed.

mod client;
mod server;
mod suite;

pub use client::{Login, LoginResult, Registration, RegistrationResult};
pub use server::{LoginStart, ServerSetup, login_finish};

use crate::limits;
use crate::sign::PublicKey;

/// Bytes of a registration request.
pub const REQUEST_BYTES: usize = 32;
/// Bytes of a registration response.
pub const RESPONSE_BYTES: usize = 64;
/// Bytes of a registration upload, and of the record kept from it.
pub const RECORD_BYTES: usize = 192;
/// Bytes of the first login message, by the client.
pub const KE1_BYTES: usize = 96;
/// Bytes of the second login message, by the server.
pub const KE2_BYTES: usize = 320;
/// Bytes of the third login message, by the client.
pub const KE3_BYTES: usize = 64;
/// Bytes of the server's OPAQUE keys.
pub const SETUP_BYTES: usize = 128;

/// Why a registration or login stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// Wrong password, unknown user, or another server: no more can or should be told.
    #[error("the user name or the password is wrong, or this is not the server you know")]
    WrongLogin,
    /// A message, record or state is not one of this protocol.
    #[error("the other side sent no valid login message; update the older program")]
    BadMessage,
    /// The user name or the password is empty or too long.
    #[error("a user name has 1 to 255 bytes and a password 1 to 4096; choose another")]
    BadInput,
    /// The password could not be stretched.
    #[error("hashing the password failed; free some memory and try again")]
    Hashing,
}

/// The two sides of a login, bound into it.
#[derive(Clone, Copy, Debug)]
pub struct Parties<'a> {
    /// The user's name, exactly as registered.
    pub user: &'a [u8],
    /// The server's signing key, as pinned or shown.
    pub server: &'a PublicKey,
}

impl Parties<'_> {
    fn check(&self) -> Result<(), OpaqueError> {
        let fits = (1..=limits::USER_BYTES_MAX).contains(&self.user.len());
        if fits { Ok(()) } else { Err(OpaqueError::BadInput) }
    }

    fn identifiers(&self) -> opaque_ke::Identifiers<'_> {
        opaque_ke::Identifiers { client: Some(self.user), server: Some(self.server.as_bytes()) }
    }
}

#[cfg(test)]
mod tests;
