//! Packets that an honest side never seals, and what a session holds of its lanes: for tests.
//!
//! With it a test is a peer that holds good keys and breaks every other rule.

use super::Session;
use crate::header::{HEADER_LEN, Header, Kind, TAG_LEN, flag};
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::sent::{Content, SentPacket};
use crate::time::Time;

/// What a session holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Lanes that are not over.
    pub lanes: usize,
    /// Bytes that came and were not read.
    pub unread: u64,
    /// Bytes that were written and have not arrived.
    pub kept: u64,
    /// Small frames that wait to be sent.
    pub control: usize,
    /// Bytes that the other side still takes, of all lanes.
    pub credit: u64,
}

impl Session {
    /// Writes a packet with any content under the session's keys into `out`; its length, `None` while there
    /// are no keys. `flags` are added to the key's phase.
    ///
    /// # Panics
    /// When it does not fit into a datagram.
    pub fn forge(
        &mut self,
        (kind, flags, ack): (Kind, u8, u32),
        content: &[u8],
        now: Time,
        out: &mut [u8],
    ) -> Option<usize> {
        let len = HEADER_LEN + content.len() + TAG_LEN;
        assert!(len <= DATAGRAM_BYTES_MAX, "a datagram carries {DATAGRAM_BYTES_MAX} bytes, not {len}");
        let (keys, number) = (self.keys.as_mut()?, self.sent.next_number());
        let flags = flags | if keys.phase() { flag::KEY_PHASE } else { 0 };
        let low = u32::try_from(number & u64::from(u32::MAX)).expect("masked");
        let header = Header { kind, flags, session: self.remote, seq: low, ack };
        let packet = out.get_mut(..len)?;
        packet[..HEADER_LEN].copy_from_slice(&header.open_bytes(len - HEADER_LEN));
        packet[HEADER_LEN..len - TAG_LEN].copy_from_slice(content);
        keys.seal(number, packet);
        header.write_crc(packet);
        let (len16, content) = (u16::try_from(len).expect("checked"), Content::default());
        self.sent.sent(SentPacket { at: now, len: len16, is_eliciting: false, is_probe: false, content });
        Some(len)
    }

    /// What it holds of its lanes: how many there are, bytes that came and were not read, bytes that were
    /// written and have not arrived, and small frames that wait.
    #[must_use]
    pub fn held(&self) -> Held {
        self.lanes.held()
    }
}
