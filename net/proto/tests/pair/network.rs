//! What lies between two machines: delay, rate, loss, reordering, repeats, damage, and sizes that do not pass.

use freehold_net_proto::Time;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The first byte of a packet that tries a size.
const PROBE: u8 = 0x87;

/// A network and everything on its way through it.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    /// One way.
    pub(crate) delay: Duration,
    /// Of a thousand datagrams so many are lost, repeated, damaged, or late.
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) damaged: u64,
    pub(crate) late: u64,
    /// After a lost one, so many of a thousand that follow are lost too.
    pub(crate) burst: u64,
    /// Larger ones never pass.
    pub(crate) carries: usize,
    /// Larger ones pass only when they are probes of a size.
    pub(crate) carries_data: usize,
    /// Bytes per second each way, and how many may wait.
    pub(crate) rate: Option<(u64, usize)>,
    /// Nothing passes.
    pub(crate) is_cut: bool,
    state: u64,
    in_burst: bool,
    number: u64,
    queue: BTreeMap<(Time, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    /// When the last datagram of each sender has left the bottleneck.
    busy: BTreeMap<SocketAddr, Time>,
    /// Every datagram that was sent, if wanted.
    pub(crate) seen: Option<Vec<(SocketAddr, Vec<u8>)>>,
    pub(crate) bytes: u64,
    pub(crate) datagrams: u64,
}

impl Network {
    pub(crate) fn perfect(delay: Duration) -> Self {
        Self {
            delay,
            lost: 0,
            repeated: 0,
            damaged: 0,
            late: 0,
            burst: 0,
            carries: 65_535,
            carries_data: 65_535,
            rate: None,
            is_cut: false,
            state: 99,
            in_burst: false,
            number: 0,
            queue: BTreeMap::new(),
            busy: BTreeMap::new(),
            seen: None,
            bytes: 0,
            datagrams: 0,
        }
    }

    pub(crate) fn seeded(mut self, seed: u64) -> Self {
        self.state = seed;
        self
    }

    /// True so many times in a thousand.
    fn dice(&mut self, of_thousand: u64) -> bool {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) % 1_000 < of_thousand
    }

    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, mut datagram: Vec<u8>, now: Time) {
        if let Some(seen) = &mut self.seen {
            seen.push((from, datagram.clone()));
        }
        (self.bytes, self.datagrams) = (self.bytes + datagram.len() as u64, self.datagrams + 1);
        let odds = if self.in_burst { self.burst } else { self.lost };
        self.in_burst = self.dice(odds);
        let is_too_large = datagram.len() > self.carries
            || (datagram.len() > self.carries_data && datagram.first() != Some(&PROBE));
        if self.is_cut || self.in_burst || is_too_large {
            return;
        }
        let Some(leaves) = self.leaves(from, datagram.len(), now) else { return };
        if self.dice(self.damaged) {
            let at = (self.state >> 40) as usize % datagram.len();
            datagram[at] ^= 1 << (self.state >> 20 & 7);
        }
        let late = if self.dice(self.late) { self.delay / 2 } else { Duration::ZERO };
        if self.dice(self.repeated) {
            self.put(leaves + self.delay * 2, (from, to, datagram.clone()));
        }
        self.put(leaves + self.delay + late, (from, to, datagram));
    }

    /// When a datagram has left the bottleneck; `None` when its queue is full.
    fn leaves(&mut self, from: SocketAddr, len: usize, now: Time) -> Option<Time> {
        let Some((rate, room)) = self.rate else { return Some(now) };
        let free = self.busy.get(&from).copied().unwrap_or_default().max(now);
        let waiting = free.since(now).as_secs_f64() * rate as f64;
        if waiting as usize + len > room {
            return None;
        }
        let leaves = free + Duration::from_secs_f64(len as f64 / rate as f64);
        self.busy.insert(from, leaves);
        Some(leaves)
    }

    fn put(&mut self, at: Time, what: (SocketAddr, SocketAddr, Vec<u8>)) {
        self.number += 1;
        self.queue.insert((at, self.number), what);
    }

    /// The next datagram that arrives by now.
    pub(crate) fn arrive(&mut self, now: Time) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let first = self.queue.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    pub(crate) fn next(&self) -> Option<Time> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }
}
