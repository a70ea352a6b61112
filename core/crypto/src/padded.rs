//! Padded plaintext: `body ‖ zeros ‖ body length u32`, as long as its size class says.
//!
//! The length stands last so that byte `x` of the body is byte `x` of the padded plaintext: a
//! 4 KiB page of a chunk then lies in one 16 KiB frame. There is one padded form per body: another
//! class, or a padding byte that is not zero, is refused.

use crate::error::OpenError;

/// Bytes of the length field.
pub(crate) const LENGTH_LEN: usize = 4;

/// A size class function: the whole padded length for a body and its length field.
pub(crate) type Class = fn(u64) -> u64;

/// The padded length of a body.
pub(crate) fn padded_len(class: Class, body_len: usize) -> usize {
    let padded = class(body_len as u64 + LENGTH_LEN as u64);
    usize::try_from(padded).expect("callers bound bodies far below the address space")
}

/// What follows the body: zeros and the length.
pub(crate) fn tail(class: Class, body_len: usize) -> Vec<u8> {
    let mut tail = vec![0; padded_len(class, body_len) - body_len - LENGTH_LEN];
    let body_len = u32::try_from(body_len).expect("callers bound bodies far below 4 GiB");
    tail.extend_from_slice(&body_len.to_be_bytes());
    tail
}

/// Cuts the padding off.
pub(crate) fn unpad(class: Class, mut padded: Vec<u8>) -> Result<Vec<u8>, OpenError> {
    let (zeros_end, field) = match padded.split_last_chunk::<LENGTH_LEN>() {
        Some((rest, field)) => (rest.len(), *field),
        None => return Err(OpenError::Refused),
    };
    let body_len = usize::try_from(u32::from_be_bytes(field)).map_err(|_| OpenError::Refused)?;
    let zeros = padded.get(body_len..zeros_end).ok_or(OpenError::Refused)?;
    if zeros.iter().any(|&byte| byte != 0) || padded_len(class, body_len) != padded.len() {
        return Err(OpenError::Refused);
    }
    padded.truncate(body_len);
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::padding::{padme, record_len};

    fn pad(class: Class, body: &[u8]) -> Vec<u8> {
        [body, &tail(class, body.len())].concat()
    }

    #[test]
    fn every_body_comes_back_from_its_class() {
        for class in [padme as Class, record_len as Class] {
            for len in (0..600).chain([4_091, 4_092, 4_093, 16_383, 16_384, 16_385, 70_000]) {
                let body = vec![7; len];
                let padded = pad(class, &body);
                assert_eq!(padded.len() as u64, class(len as u64 + 4), "{len}");
                assert_eq!(unpad(class, padded), Ok(body), "{len}");
            }
        }
    }

    #[test]
    fn any_other_padded_form_is_refused() {
        let good = pad(record_len, b"body");
        let mut dirty = good.clone();
        dirty[100] = 1;
        let mut longer = vec![0; 512];
        longer[511] = 4;
        let mut overlong = good.clone();
        overlong[252..].copy_from_slice(&253u32.to_be_bytes());
        let mut endless = good;
        endless[252..].copy_from_slice(&u32::MAX.to_be_bytes());
        for padded in [dirty, longer, overlong, endless, vec![], vec![0; 3], vec![0; 4]] {
            assert_eq!(unpad(record_len, padded), Err(OpenError::Refused));
        }
    }
}
