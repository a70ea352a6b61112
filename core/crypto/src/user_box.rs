//! The user name, sealed to the recovery key.
//!
//! ```text
//! "FHUN" | suite u8 | account[16] | recovery path id[16]      header, 37 B, and the AAD
//! nonce[24] | ciphertext[129] | tag[16]                       206 B in all
//! plaintext = length u8 ‖ name ‖ zeros up to 129 B            key: UnlockKeys' user key
//! ```
//!
//! The server keeps a keyed hash of the name only, and the password login is bound to the name. So
//! that the 24 words alone suffice to set a new password, the name lies beside the account, readable
//! with the words and with nothing else. Every name takes the same room.

use crate::aead;
use crate::error::OpenError;
use crate::limits::{SUITE, TAG_LEN, USER_BOX_LEN, USER_NAME_BYTES_MAX};
use crate::unlock::UnlockKeys;
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_model::{AccountId, Entropy};
use zeroize::Zeroizing;

const MAGIC: [u8; 4] = *b"FHUN";
const PLAIN_LEN: usize = 1 + USER_NAME_BYTES_MAX;

/// Seals a user name for the holder of a recovery key; nothing when the name is empty or too long.
#[must_use]
pub fn seal_user(
    keys: &UnlockKeys,
    account: &AccountId,
    user: &str,
    entropy: &mut dyn Entropy,
) -> Option<Vec<u8>> {
    let len = u8::try_from(user.len()).ok().filter(|len| (1..PLAIN_LEN).contains(&usize::from(*len)))?;
    let mut plain = Zeroizing::new(vec![len]);
    plain.extend_from_slice(user.as_bytes());
    plain.resize(PLAIN_LEN, 0);
    let mut nonce = [0; 24];
    entropy.fill(&mut nonce);
    let header = header(keys, account);
    let tag = aead::seal(keys.user_key(), &nonce, &header, &mut plain);
    Some([&header[..], &nonce, &plain, &tag].concat())
}

/// Opens what [`seal_user`] made for these keys and this account.
///
/// # Errors
/// `Refused` for everything else.
pub fn open_user(keys: &UnlockKeys, account: &AccountId, sealed: &[u8]) -> Result<String, OpenError> {
    let header = header(keys, account);
    let (nonce, mut data, tag) = parts(&header, sealed).map_err(|_| OpenError::Refused)?;
    aead::open(keys.user_key(), &nonce, &header, &mut data, &tag)?;
    name(&data).map_err(|_| OpenError::Refused)
}

fn header(keys: &UnlockKeys, account: &AccountId) -> Vec<u8> {
    let mut out = Writer::with_capacity(USER_BOX_LEN);
    out.raw(&MAGIC).u8(SUITE).put(account).raw(&keys.path_id().id());
    out.into_vec()
}

type Parts = ([u8; 24], Zeroizing<Vec<u8>>, [u8; TAG_LEN]);

fn parts(header: &[u8], sealed: &[u8]) -> Result<Parts, DecodeError> {
    let mut input = Reader::new(sealed);
    input.expect(header, "user name box")?;
    let nonce = input.array()?;
    let data = Zeroizing::new(input.bytes(PLAIN_LEN)?.to_vec());
    let tag = input.array()?;
    input.finish()?;
    Ok((nonce, data, tag))
}

fn name(plain: &[u8]) -> Result<String, DecodeError> {
    let invalid = DecodeError::Invalid("user name");
    let mut input = Reader::new(plain);
    let len = usize::from(input.u8()?);
    let name = input.bytes(len)?.to_vec();
    let padding = input.bytes(PLAIN_LEN.saturating_sub(1).saturating_sub(len))?;
    input.finish()?;
    if name.is_empty() || padding.iter().any(|byte| *byte != 0) {
        return Err(invalid);
    }
    String::from_utf8(name).map_err(|_| invalid)
}

/// Fails to compile when the named length and the drawn layout part ways.
const _: () = assert!(USER_BOX_LEN == 37 + 24 + PLAIN_LEN + TAG_LEN);

#[cfg(test)]
mod tests;
