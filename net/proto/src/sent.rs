//! Packets on their way: what they carried, and which of them are lost (RFC 9002 §6).
//!
//! What is sent again is what a packet carried, in a new packet with a new number; never the packet. The
//! packets stand in one ring by number, so nothing is searched for; its span is capped, because one withheld
//! acknowledgement would else keep everything after it.

use crate::limits::{REORDER_PACKETS, SENT_MAX};
use crate::ranges::Ranges;
use crate::rtt::Rtt;
use crate::time::Time;
use std::collections::VecDeque;

/// A piece of a lane that travelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) lane: u64,
    pub(crate) offset: u64,
    pub(crate) len: u32,
    pub(crate) fin: bool,
}

/// A small frame that travelled, to be made anew when it is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Control {
    Ping,
    Reset { lane: u64 },
    Stop { lane: u64 },
    Credit,
    LaneCredit { lane: u64 },
    Lanes,
}

/// What a packet carried. The first piece stands in place: most packets have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    pub(crate) piece: Option<Piece>,
    pub(crate) more: Vec<Piece>,
    pub(crate) control: Vec<Control>,
}

/// A packet on its way.
#[derive(Clone, Debug)]
pub(crate) struct SentPacket {
    pub(crate) at: Time,
    /// Bytes of the datagram.
    pub(crate) len: u16,
    /// It wants an acknowledgement and counts against the window.
    pub(crate) is_eliciting: bool,
    /// It tries a size: its loss says nothing of congestion.
    pub(crate) is_probe: bool,
    pub(crate) content: Content,
}

/// Every packet that has neither been acknowledged nor lost.
#[derive(Debug, Default)]
pub(crate) struct SentPackets {
    ring: VecDeque<Option<SentPacket>>,
    /// The number of the ring's first.
    base: u64,
    /// The largest number acknowledged.
    largest_acked: Option<u64>,
    /// Bytes of eliciting packets on their way.
    in_flight: u64,
    eliciting: usize,
    /// When the newest eliciting packet was sent.
    last_eliciting: Option<Time>,
}

/// What an acknowledgement brought.
#[derive(Debug, Default)]
pub(crate) struct Newly {
    /// With their numbers.
    pub(crate) acked: Vec<(u64, SentPacket)>,
    pub(crate) acked_bytes: u64,
    /// When the largest was sent, if it is among them and wanted an answer.
    pub(crate) largest_sent: Option<Time>,
    /// When the newest of them was sent.
    pub(crate) newest: Option<Time>,
}

/// Acknowledged was what was never sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsent;

impl SentPackets {
    /// The number of the next packet.
    pub(crate) fn next_number(&self) -> u64 {
        self.base + self.ring.len() as u64
    }

    pub(crate) const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    pub(crate) const fn has_eliciting(&self) -> bool {
        self.eliciting > 0
    }

    pub(crate) const fn last_eliciting(&self) -> Option<Time> {
        self.last_eliciting
    }

    /// Notes a packet; its number is [`Self::next_number`].
    pub(crate) fn sent(&mut self, packet: SentPacket) {
        if packet.is_eliciting {
            self.in_flight += u64::from(packet.len);
            self.eliciting += 1;
            self.last_eliciting = Some(packet.at);
        }
        // Packets that want no answer leave no trace but their number.
        self.ring.push_back(packet.is_eliciting.then_some(packet));
        if self.in_flight == 0 {
            self.trim();
        }
    }

    /// Takes in an acknowledgement of these numbers, the largest of them last.
    pub(crate) fn acknowledged(&mut self, arrived: &Ranges) -> Result<Newly, Unsent> {
        let mut newly = Newly::default();
        let Some((_, end)) = arrived.iter().next_back() else { return Ok(newly) };
        if end > self.next_number() {
            return Err(Unsent);
        }
        let largest = end - 1;
        self.largest_acked = Some(self.largest_acked.map_or(largest, |before| before.max(largest)));
        for (start, end) in arrived.iter() {
            for number in start.max(self.base)..end {
                if let Some(packet) = self.take(number) {
                    newly.acked_bytes += u64::from(packet.len);
                    if number == largest {
                        newly.largest_sent = Some(packet.at);
                    }
                    newly.newest = newly.newest.max(Some(packet.at));
                    newly.acked.push((number, packet));
                }
            }
        }
        self.trim();
        Ok(newly)
    }

    /// Takes out what counts as lost, with its numbers: too far behind one that arrived, or too long ago.
    pub(crate) fn lost(&mut self, rtt: &Rtt, now: Time) -> Vec<(u64, SentPacket)> {
        let mut lost = Vec::new();
        let Some(largest) = self.largest_acked else { return lost };
        for number in self.base..largest {
            let Some(packet) = self.peek(number) else { continue };
            let is_behind = largest - number >= REORDER_PACKETS;
            if is_behind || now.since(packet.at) >= rtt.loss_delay() {
                lost.extend(self.take(number).map(|packet| (number, packet)));
            } else {
                // Those after it were sent later and are nearer.
                break;
            }
        }
        while self.ring.len() > SENT_MAX {
            let number = self.base;
            lost.extend(self.take(number).map(|packet| (number, packet)));
            self.trim_one();
        }
        self.trim();
        lost
    }

    /// When the next packet will count as lost for the time alone.
    pub(crate) fn loss_at(&self, rtt: &Rtt) -> Option<Time> {
        let largest = self.largest_acked?;
        let span = usize::try_from(largest.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let first = self.ring.iter().take(span).flatten().next()?;
        Some(first.at + rtt.loss_delay())
    }

    /// What the oldest packets on their way carried, to be sent once more as a probe.
    pub(crate) fn oldest(&self, count: usize) -> impl Iterator<Item = &Content> {
        self.ring.iter().flatten().filter(|packet| !packet.is_probe).take(count).map(|packet| &packet.content)
    }

    fn peek(&self, number: u64) -> Option<&SentPacket> {
        let at = usize::try_from(number.checked_sub(self.base)?).ok()?;
        self.ring.get(at)?.as_ref()
    }

    fn take(&mut self, number: u64) -> Option<SentPacket> {
        let at = usize::try_from(number.checked_sub(self.base)?).ok()?;
        let packet = self.ring.get_mut(at)?.take()?;
        self.in_flight -= u64::from(packet.len);
        self.eliciting -= 1;
        Some(packet)
    }

    fn trim(&mut self) {
        while self.ring.front().is_some_and(Option::is_none) {
            self.trim_one();
        }
    }

    fn trim_one(&mut self) {
        self.ring.pop_front();
        self.base += 1;
    }
}

impl Content {
    pub(crate) fn add_piece(&mut self, piece: Piece) {
        if self.piece.is_none() {
            self.piece = Some(piece);
        } else {
            self.more.push(piece);
        }
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        self.piece.iter().chain(&self.more).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(ms: u64) -> Time {
        Time::after_start(Duration::from_millis(ms))
    }

    fn packet(ms: u64) -> SentPacket {
        let content = Content::default();
        SentPacket { at: at(ms), len: 100, is_eliciting: true, is_probe: false, content }
    }

    fn ack(numbers: &[(u64, u64)]) -> Ranges {
        let mut ranges = Ranges::default();
        numbers.iter().for_each(|(start, end)| ranges.insert(*start, *end));
        ranges
    }

    #[test]
    fn what_is_three_behind_one_that_arrived_is_lost() {
        let (mut sent, mut rtt) = (SentPackets::default(), Rtt::default());
        rtt.sample(Duration::from_millis(40), Duration::ZERO);
        (0..6).for_each(|ms| sent.sent(packet(ms)));
        let newly = sent.acknowledged(&ack(&[(4, 5)])).expect("sent");
        assert_eq!((newly.acked.len(), newly.acked_bytes, newly.largest_sent), (1, 100, Some(at(4))));
        assert_eq!(sent.lost(&rtt, at(10)).len(), 2, "0 and 1");
        assert_eq!(sent.loss_at(&rtt), Some(at(2) + Duration::from_millis(45)));
        assert_eq!(sent.lost(&rtt, at(48)).len(), 2, "2 and 3 for the time");
        assert_eq!(sent.in_flight(), 100, "5 is younger than what arrived");
        assert!(sent.loss_at(&rtt).is_none());
    }

    #[test]
    fn what_was_not_sent_cannot_have_arrived() {
        let mut sent = SentPackets::default();
        sent.sent(packet(0));
        assert_eq!(sent.acknowledged(&ack(&[(0, 2)])).map(|_| ()), Err(Unsent));
    }

    #[test]
    fn a_withheld_acknowledgement_keeps_no_more_than_the_cap() {
        let (mut sent, rtt) = (SentPackets::default(), Rtt::default());
        for number in 0..SENT_MAX as u64 + 500 {
            sent.sent(packet(number / 1_000));
            if number % 2 == 1 {
                sent.acknowledged(&ack(&[(number, number + 1)])).expect("sent");
            }
        }
        sent.lost(&rtt, at(0));
        assert!(sent.ring.len() <= SENT_MAX);
    }

    #[test]
    fn acknowledgements_alone_leave_nothing_behind() {
        let mut sent = SentPackets::default();
        for _ in 0..100 {
            sent.sent(SentPacket { is_eliciting: false, ..packet(0) });
        }
        assert_eq!((sent.ring.len(), sent.next_number(), sent.in_flight()), (0, 100, 0));
    }
}
