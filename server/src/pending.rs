//! Half-done exchanges kept in memory: each is taken once, ends by itself, and their number is
//! capped, so a stranger who only ever starts them costs a bounded amount of memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Exchanges by a random key.
#[derive(Debug)]
pub(crate) struct Pending<T> {
    inner: Mutex<Inner<T>>,
    lifetime_micros: i64,
    max: usize,
}

#[derive(Debug)]
struct Inner<T> {
    items: BTreeMap<[u8; 32], (i64, T)>,
    /// Keys by age, those taken already included.
    order: VecDeque<[u8; 32]>,
}

impl<T> Pending<T> {
    /// At most `max` exchanges of `lifetime_micros` each.
    pub(crate) const fn new(max: usize, lifetime_micros: i64) -> Self {
        let inner = Inner { items: BTreeMap::new(), order: VecDeque::new() };
        Self { inner: Mutex::new(inner), lifetime_micros, max }
    }

    /// Keeps an exchange; the oldest gives way when there are too many.
    pub(crate) fn put(&self, key: [u8; 32], value: T, now: i64) {
        let mut inner = self.inner.lock().expect("no holder of this lock panics");
        while let Some(oldest) = inner.order.front().copied() {
            let ended = inner.items.get(&oldest).is_none_or(|(expires, _)| *expires <= now);
            if !ended && inner.order.len() < self.max {
                break;
            }
            inner.order.pop_front();
            inner.items.remove(&oldest);
        }
        inner.order.push_back(key);
        inner.items.insert(key, (now.saturating_add(self.lifetime_micros), value));
    }

    /// Takes an exchange that has not ended.
    pub(crate) fn take(&self, key: &[u8; 32], now: i64) -> Option<T> {
        let mut inner = self.inner.lock().expect("no holder of this lock panics");
        let (expires, value) = inner.items.remove(key)?;
        (expires > now).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_is_taken_once_and_in_time() {
        let pending = Pending::new(4, 10);
        pending.put([1; 32], "a", 0);
        pending.put([2; 32], "b", 0);
        assert_eq!(pending.take(&[1; 32], 9), Some("a"));
        assert_eq!(pending.take(&[1; 32], 9), None);
        assert_eq!(pending.take(&[2; 32], 10), None);
    }

    #[test]
    fn the_oldest_gives_way_at_the_cap() {
        let pending = Pending::new(2, 10);
        for key in 1..=3 {
            pending.put([key; 32], key, 0);
        }
        assert_eq!(pending.take(&[1; 32], 1), None);
        assert_eq!((pending.take(&[2; 32], 1), pending.take(&[3; 32], 1)), (Some(2), Some(3)));
    }
}
