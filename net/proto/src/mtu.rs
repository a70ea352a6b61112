//! Finding how large a datagram the path carries (RFC 8899).
//!
//! Sizes are tried one after the other with padded packets whose loss counts for nothing else. What was
//! found holds until full-size packets are lost in a row while smaller ones arrive. Then what every path
//! carries is sent, at once, and the search begins anew a moment later, from below (§4.4): it ends at the next
//! smaller size that works.

use crate::limits::{
    BLACK_HOLE_LOSSES, DATAGRAM_BYTES_MIN, PROBE_AGAIN, PROBE_SIZES, PROBES_MAX, SEARCH_AGAIN,
};
use crate::time::Time;

/// What is known of the path's size.
#[derive(Debug)]
pub(crate) struct PathSize {
    current: usize,
    /// The largest size that may be tried.
    most: usize,
    /// A probe on its way.
    probing: Option<usize>,
    /// Probes of the next size that were lost.
    lost: u32,
    /// Nothing larger is tried before.
    not_before: Option<Time>,
    /// Full-size packets lost since one arrived.
    full_lost: u32,
    /// The newest full-size packet that arrived.
    arrived: Option<u64>,
    /// Until when nothing was tried after the last black hole, and how many were before it, each less than
    /// [`PROBE_AGAIN`] after the search that followed another.
    hole: Option<(Time, u32)>,
}

impl PathSize {
    /// A path of which nothing is known. `most` is the largest size both sides take.
    pub(crate) fn new(most: usize) -> Self {
        let most = most.max(DATAGRAM_BYTES_MIN);
        let (current, probing, not_before, hole) = (DATAGRAM_BYTES_MIN, None, None, None);
        Self { current, most, probing, lost: 0, not_before, full_lost: 0, arrived: None, hole }
    }

    /// Bytes of a full datagram.
    pub(crate) const fn bytes(&self) -> usize {
        self.current
    }

    /// The size to try now, once.
    pub(crate) fn probe(&mut self, now: Time) -> Option<usize> {
        if self.probing.is_some() || self.not_before.is_some_and(|at| now < at) {
            return None;
        }
        if self.not_before.take().is_some() {
            self.lost = 0;
        }
        let next = PROBE_SIZES.into_iter().chain([self.most]).find(|size| *size > self.current)?;
        let size = next.min(self.most);
        if size <= self.current {
            return None;
        }
        self.probing = Some(size);
        self.probing
    }

    /// A probe arrived: larger datagrams may be sent.
    pub(crate) fn probe_acked(&mut self, size: usize) {
        if self.probing == Some(size) {
            (self.probing, self.lost, self.full_lost) = (None, 0, 0);
            self.current = self.current.max(size);
        }
    }

    /// A probe was lost, or refused by this machine.
    pub(crate) fn probe_lost(&mut self, size: usize, now: Time) {
        if self.probing != Some(size) {
            return;
        }
        self.probing = None;
        self.lost += 1;
        if self.lost >= PROBES_MAX {
            self.not_before = Some(now + PROBE_AGAIN);
        }
    }

    /// A packet of a size arrived.
    pub(crate) fn acked(&mut self, number: u64, size: usize) {
        if size >= self.current {
            self.full_lost = 0;
            self.arrived = self.arrived.max(Some(number));
        }
    }

    /// Whether the loss of a packet tells of the path's size: it is larger than what every path carries, and no
    /// full one that was sent later has arrived. A queue that overflows loses many in a row as well.
    pub(crate) fn is_telling(&self, number: u64, size: usize) -> bool {
        size > DATAGRAM_BYTES_MIN && Some(number) > self.arrived
    }

    /// Packets were lost, of which this many tell of the path's size; whether that makes the path a black hole: then
    /// its size starts over.
    pub(crate) fn is_black_hole(&mut self, larger_lost: u32, now: Time) -> bool {
        if self.current == DATAGRAM_BYTES_MIN {
            return false;
        }
        self.full_lost += larger_lost;
        if self.full_lost < BLACK_HOLE_LOSSES {
            return false;
        }
        (self.current, self.probing, self.lost, self.full_lost) = (DATAGRAM_BYTES_MIN, None, 0, 0);
        let recent = self.hole.filter(|(until, _)| now.since(*until) < PROBE_AGAIN);
        let before = recent.map_or(0, |(_, before)| before + 1);
        let until = now + (SEARCH_AGAIN * 2_u32.pow(before.min(16))).min(PROBE_AGAIN);
        (self.hole, self.not_before) = (Some((until, before)), Some(until));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(carries: usize, most: usize) -> usize {
        let mut size = PathSize::new(most);
        for _ in 0..100 {
            let Some(probe) = size.probe(Time::default()) else { break };
            assert_eq!(size.probe(Time::default()), None, "one at a time");
            if probe <= carries {
                size.probe_acked(probe);
            } else {
                size.probe_lost(probe, Time::default());
            }
        }
        size.bytes()
    }

    #[test]
    fn the_largest_tried_size_that_arrives_is_found() {
        assert_eq!(find(1_200, 65_507), 1_200);
        assert_eq!(find(1_400, 65_507), 1_392);
        assert_eq!(find(1_472, 1_452), 1_452);
        assert_eq!(find(9_000, 65_507), 8_952);
        assert_eq!(find(65_507, 65_507), 65_507);
        assert_eq!(find(65_507, 1_300), 1_300);
    }

    /// Lets every size through up to one, and the path's size afterwards.
    fn search(size: &mut PathSize, carries: usize, now: Time) -> usize {
        while let Some(probe) = size.probe(now) {
            if probe <= carries {
                size.probe_acked(probe);
            } else {
                size.probe_lost(probe, now);
            }
        }
        size.bytes()
    }

    #[test]
    fn a_path_that_shrinks_is_noticed_and_the_next_smaller_size_is_found_soon() {
        let now = Time::default();
        let mut size = PathSize::new(9_000);
        assert_eq!(search(&mut size, 9_000, now), 9_000);
        assert!(!size.is_black_hole(2, now));
        size.acked(7, 1_452);
        assert!(size.is_black_hole(1, now), "a smaller one arrived, which tells nothing");
        let mut size = PathSize::new(9_000);
        assert_eq!(search(&mut size, 9_000, now), 9_000);
        assert!(!size.is_black_hole(2, now));
        size.acked(7, 9_000);
        assert!(!size.is_telling(6, 9_000) && size.is_telling(8, 9_000) && !size.is_telling(8, 1_200));
        assert!(!size.is_black_hole(2, now));
        assert!(size.is_black_hole(1, now));
        assert_eq!((size.bytes(), size.probe(now)), (1_200, None));
        let soon = now + SEARCH_AGAIN;
        assert_eq!(search(&mut size, 1_400, soon), 1_392);
        assert_eq!(size.probe(soon + PROBE_AGAIN / 2), None, "what is too large is left alone");
        assert_eq!(size.probe(soon + PROBE_AGAIN), Some(1_452));
    }

    #[test]
    fn black_holes_that_come_again_are_searched_ever_later() {
        let (mut now, mut size) = (Time::default(), PathSize::new(1_452));
        let mut waits = Vec::new();
        for _ in 0..14 {
            assert_eq!(search(&mut size, 1_452, now), 1_452);
            assert!(size.is_black_hole(BLACK_HOLE_LOSSES, now));
            let began = now;
            while size.probe(now).is_none() {
                now = now + SEARCH_AGAIN;
            }
            size.probe_acked(1_280);
            waits.push(now.since(began));
        }
        assert!(waits[..10].windows(2).all(|two| two[1] == two[0] * 2), "{waits:?}");
        assert_eq!((waits[0], waits[13]), (SEARCH_AGAIN, PROBE_AGAIN));
        size.acked(9, 1_452);
        now = now + PROBE_AGAIN;
        search(&mut size, 1_452, now);
        size.is_black_hole(BLACK_HOLE_LOSSES, now);
        assert_eq!(size.probe(now + SEARCH_AGAIN), Some(1_280), "a quiet time makes up for it");
    }
}
