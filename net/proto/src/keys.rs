//! The keys that seal frames, and the change from one to the next (RFC 9001 §6).

use crate::header::{AAD_LEN, HEADER_LEN, TAG_LEN};
use crate::limits::{FORGED_MAX, KEY_LIFETIME, KEY_PACKETS};
use crate::time::Time;
use rustls::quic::{Keys, PacketKey, PacketKeySet, Secrets};
use std::time::Duration;

/// Keys of both directions: the present ones, the next, and the last for packets that are late.
pub(crate) struct DataKeys {
    local: Box<dyn PacketKey>,
    remote: Box<dyn PacketKey>,
    previous: Option<Box<dyn PacketKey>>,
    /// When the previous one is forgotten: once packets under the present one have come for a while.
    previous_until: Option<Time>,
    next: PacketKeySet,
    secrets: Secrets,
    phase: bool,
    /// The smallest number that came under the present key.
    first: Option<u64>,
    /// The number of the first packet sealed under the present key.
    first_sealed: Option<u64>,
    /// The other side has acknowledged a packet under the present key: it has seen it.
    is_seen: bool,
    /// Packets sealed under the present key, and since when.
    sealed: u64,
    since: Time,
    /// Packets that did not open.
    forged: u64,
}

/// A packet did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forged;

impl DataKeys {
    pub(crate) fn new(keys: Keys, mut secrets: Secrets, now: Time) -> Self {
        let next = secrets.next_packet_keys();
        Self {
            local: keys.local.packet,
            remote: keys.remote.packet,
            previous: None,
            previous_until: None,
            next,
            secrets,
            phase: false,
            first: None,
            first_sealed: None,
            is_seen: false,
            sealed: 0,
            since: now,
            forged: 0,
        }
    }

    pub(crate) const fn phase(&self) -> bool {
        self.phase
    }

    /// Seals a packet in place: header, content, room for the tag.
    pub(crate) fn seal(&mut self, number: u64, packet: &mut [u8]) {
        self.sealed += 1;
        self.first_sealed.get_or_insert(number);
        seal(&*self.local, number, packet);
    }

    /// Opens a packet's content in place; a packet under the next key makes that the present one.
    pub(crate) fn open<'a>(
        &mut self,
        (number, phase): (u64, bool),
        aad: &[u8],
        content: &'a mut [u8],
        (now, keep): (Time, Duration),
    ) -> Result<&'a [u8], Forged> {
        if phase == self.phase {
            let opened = self.remote.decrypt_in_place(number, aad, content);
            let Ok(opened) = opened else { return Err(self.was_forged()) };
            if self.first.is_none() {
                self.previous_until = Some(now + keep);
            }
            self.first = Some(self.first.map_or(number, |first| first.min(number)));
            return Ok(opened);
        }
        let is_late = self.first.is_none_or(|first| number < first);
        if let Some(previous) = self.previous.as_ref().filter(|_| is_late) {
            let opened = previous.decrypt_in_place(number, aad, content);
            return opened.map_err(|_| self.was_forged());
        }
        let Ok(opened) = self.next.remote.decrypt_in_place(number, aad, content) else {
            return Err(self.was_forged());
        };
        let len = opened.len();
        self.change(now);
        (self.first, self.previous_until) = (Some(number), Some(now + keep));
        Ok(&content[..len])
    }

    /// The other side acknowledged a packet.
    pub(crate) fn acked(&mut self, number: u64) {
        self.is_seen |= self.first_sealed.is_some_and(|first| number >= first);
    }

    /// Whether the present key may be followed by the next: it was seen on both sides (RFC 9001 §6.1), else the
    /// other side would meet a key two ahead of its own; and nothing late can come under the one before.
    const fn may_change(&self) -> bool {
        self.first.is_some() && self.is_seen && self.previous.is_none()
    }

    const fn was_forged(&mut self) -> Forged {
        self.forged += 1;
        Forged
    }

    /// Whether so many packets did not open that the key must be given up.
    pub(crate) const fn is_worn_out(&self) -> bool {
        self.forged >= FORGED_MAX
    }

    /// Takes the next key when the present one has sealed enough, and both sides have seen it.
    pub(crate) fn change_if_due(&mut self, now: Time) {
        if self.previous_until.is_some_and(|until| now >= until) {
            (self.previous, self.previous_until) = (None, None);
        }
        let is_old = self.sealed >= KEY_PACKETS || now.since(self.since) >= KEY_LIFETIME;
        if is_old && self.may_change() {
            self.change(now);
        }
    }

    /// Changes the key although none is due.
    #[cfg(any(test, feature = "probe"))]
    pub(crate) fn change_now(&mut self, now: Time) -> bool {
        let may = self.may_change();
        if may {
            self.change(now);
        }
        may
    }

    fn change(&mut self, now: Time) {
        let after = self.secrets.next_packet_keys();
        let next = std::mem::replace(&mut self.next, after);
        self.local = next.local;
        self.previous = Some(std::mem::replace(&mut self.remote, next.remote));
        self.phase = !self.phase;
        (self.first, self.previous_until, self.sealed, self.since) = (None, None, 0, now);
        (self.first_sealed, self.is_seen) = (None, false);
    }
}

/// Seals a packet in place: its header is authenticated, its content encrypted, its tag written behind.
pub(crate) fn seal(key: &dyn PacketKey, number: u64, packet: &mut [u8]) {
    let (header, rest) = packet.split_at_mut(HEADER_LEN);
    let (content, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
    let sealed = key.encrypt_in_place(number, &header[..AAD_LEN], content);
    tag.copy_from_slice(sealed.expect("a datagram is shorter than any cipher's limit").as_ref());
}

impl std::fmt::Debug for DataKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataKeys").field("phase", &self.phase).finish_non_exhaustive()
    }
}
