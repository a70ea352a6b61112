//! Cookies: a newcomer shows that it receives at its address before anything is kept for it.
//!
//! ```text
//! 0 seconds 4 │ 4 tag 16     tag = BLAKE3_keyed(key, seconds ‖ address ‖ port ‖ newcomer's session)[..16]
//! ```

use crate::limits::COOKIE_LIFETIME;
use crate::time::Time;
use core::net::SocketAddr;
use std::time::Duration;
use zeroize::Zeroizing;

/// Bytes of a cookie.
pub(crate) const COOKIE_LEN: usize = 20;

/// Bytes of a reset token.
pub(crate) const TOKEN_LEN: usize = 16;

/// Makes and checks cookies and reset tokens. One key serves both, each under its own context.
pub(crate) struct Minter {
    cookie: Zeroizing<[u8; 32]>,
    token: Zeroizing<[u8; 32]>,
}

impl Minter {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self {
            cookie: Zeroizing::new(blake3::derive_key("freehold fhp/1 retry cookie", secret)),
            token: Zeroizing::new(blake3::derive_key("freehold fhp/1 reset token", secret)),
        }
    }

    pub(crate) fn cookie(&self, addr: SocketAddr, session: u32, now: Time) -> [u8; COOKIE_LEN] {
        let seconds = u32::try_from(now.since(Time::default()).as_secs()).unwrap_or(u32::MAX);
        let mut cookie = [0; COOKIE_LEN];
        cookie[..4].copy_from_slice(&seconds.to_be_bytes());
        cookie[4..].copy_from_slice(&self.tag(seconds, addr, session));
        cookie
    }

    /// Whether a cookie was made here, for this newcomer, a moment ago.
    pub(crate) fn is_good(&self, cookie: &[u8], addr: SocketAddr, session: u32, now: Time) -> bool {
        let Some((seconds, tag)) = cookie.split_first_chunk::<4>() else { return false };
        let seconds = u32::from_be_bytes(*seconds);
        let made = Time::after_start(Duration::from_secs(seconds.into()));
        let expected = self.tag(seconds, addr, session);
        // Compared as hashes, so that time says nothing of where they differ.
        let is_equal = tag.len() == expected.len() && blake3::hash(tag) == blake3::hash(&expected);
        is_equal && now >= made && now.since(made) <= COOKIE_LIFETIME
    }

    fn tag(&self, seconds: u32, addr: SocketAddr, session: u32) -> [u8; 16] {
        let mut hash = blake3::Hasher::new_keyed(&self.cookie);
        hash.update(&seconds.to_be_bytes());
        match addr.ip().to_canonical() {
            core::net::IpAddr::V4(ip) => hash.update(&ip.octets()),
            core::net::IpAddr::V6(ip) => hash.update(&ip.octets()),
        };
        hash.update(&addr.port().to_be_bytes()).update(&session.to_be_bytes());
        short(&hash.finalize())
    }

    /// The token by which a session's other side recognises that this one has lost it.
    pub(crate) fn token(&self, session: u32) -> [u8; TOKEN_LEN] {
        short(&blake3::keyed_hash(&self.token, &session.to_be_bytes()))
    }
}

fn short(hash: &blake3::Hash) -> [u8; 16] {
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

impl std::fmt::Debug for Minter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Minter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_counts_for_its_newcomer_and_for_a_moment() {
        let minter = Minter::new(&[7; 32]);
        let (addr, other) = (SocketAddr::from(([1, 2, 3, 4], 5)), SocketAddr::from(([1, 2, 3, 4], 6)));
        let now = Time::after_start(Duration::from_secs(1_000));
        let cookie = minter.cookie(addr, 9, now);
        assert!(minter.is_good(&cookie, addr, 9, now + COOKIE_LIFETIME));
        assert!(!minter.is_good(&cookie, addr, 9, now + COOKIE_LIFETIME + Duration::from_secs(1)));
        assert!(!minter.is_good(&cookie, other, 9, now) && !minter.is_good(&cookie, addr, 8, now));
        assert!(!Minter::new(&[8; 32]).is_good(&cookie, addr, 9, now));
        for len in 0..COOKIE_LEN {
            assert!(!minter.is_good(&cookie[..len], addr, 9, now));
        }
    }
}
