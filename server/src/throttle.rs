//! Token buckets against guessing, in memory.
//!
//! A bucket starts full, each attempt takes one token, and tokens come back one by one. Buckets
//! are keyed by a hash, so names and addresses are not kept; full buckets say nothing and are
//! dropped first when there are too many. No bucket is for a name alone: otherwise a stranger could
//! lock its owner out.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;

/// Attempts allowed at once, and the time after which one comes back.
#[derive(Debug)]
pub(crate) struct Throttle {
    burst: u32,
    refill_micros: i64,
    max_buckets: usize,
    /// The time at which each bucket will be full again.
    full_at: Mutex<BTreeMap<[u8; 32], i64>>,
}

impl Throttle {
    /// Buckets of `burst` tokens.
    pub(crate) const fn new(burst: u32, refill_micros: i64, max_buckets: usize) -> Self {
        Self { burst, refill_micros, max_buckets, full_at: Mutex::new(BTreeMap::new()) }
    }

    /// Takes a token, or says after how many seconds there is one.
    pub(crate) fn take(&self, key: [u8; 32], now: i64) -> Result<(), u64> {
        let mut buckets = self.full_at.lock().expect("no holder of this lock panics");
        if buckets.len() >= self.max_buckets {
            buckets.retain(|_, full_at| *full_at > now);
        }
        let full_at = buckets.get(&key).copied().unwrap_or(now).max(now);
        let after = full_at.saturating_add(self.refill_micros);
        let wait = after - now - self.refill_micros.saturating_mul(i64::from(self.burst));
        if wait > 0 {
            return Err(u64::try_from(wait).unwrap_or_default().div_ceil(1_000_000));
        }
        if buckets.len() < self.max_buckets || buckets.contains_key(&key) {
            buckets.insert(key, after);
        }
        Ok(())
    }

    /// Gives a token back.
    pub(crate) fn give_back(&self, key: &[u8; 32]) {
        let mut buckets = self.full_at.lock().expect("no holder of this lock panics");
        if let Some(full_at) = buckets.get_mut(key) {
            *full_at = full_at.saturating_sub(self.refill_micros);
        }
    }
}

/// The network an address belongs to: a household has one IPv4 address, or an IPv6 /64.
pub(crate) fn network(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).octets()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn the_burst_passes_then_one_comes_back_at_a_time() {
        let throttle = Throttle::new(3, 6 * SECOND, 10);
        for _ in 0..3 {
            assert_eq!(throttle.take([1; 32], 0), Ok(()));
        }
        assert_eq!(throttle.take([1; 32], 0), Err(6));
        assert_eq!(throttle.take([1; 32], 5 * SECOND), Err(1));
        assert_eq!(throttle.take([1; 32], 6 * SECOND), Ok(()));
        assert_eq!(throttle.take([1; 32], 6 * SECOND), Err(6));
    }

    #[test]
    fn another_bucket_is_not_touched() {
        let throttle = Throttle::new(1, SECOND, 10);
        assert_eq!(throttle.take([1; 32], 0), Ok(()));
        assert_eq!(throttle.take([2; 32], 0), Ok(()));
    }

    #[test]
    fn a_token_given_back_can_be_taken_again() {
        let throttle = Throttle::new(1, SECOND, 10);
        assert_eq!(throttle.take([1; 32], 0), Ok(()));
        throttle.give_back(&[1; 32]);
        assert_eq!(throttle.take([1; 32], 0), Ok(()));
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let throttle = Throttle::new(1, SECOND, 8);
        for key in 0..100 {
            let _ = throttle.take([key; 32], 0);
        }
        assert!(throttle.full_at.lock().expect("not poisoned").len() <= 8);
    }

    #[test]
    fn addresses_of_one_household_share_a_network() {
        let parse = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(parse("2001:db8:1:2:3::4"), parse("2001:db8:1:2:ffff::1"));
        assert_ne!(parse("2001:db8:1:2::1"), parse("2001:db8:1:3::1"));
        assert_eq!(parse("::ffff:192.0.2.7"), parse("192.0.2.7"));
        assert_ne!(parse("192.0.2.7"), parse("192.0.2.8"));
    }
}
