//! Half-done exchanges that ride with the client, so that whichever server the next request
//! reaches can finish them.
//!
//! A ticket is what the server needs again, under a keyed hash that only holders of the key file
//! can make; nothing is kept until it is used. Then [`spend`] notes it in the database, so that it
//! counts once on all servers together. A server's secret state of a login is not in the ticket: it
//! comes out of the same inputs again, with randomness derived from the ticket's nonce and the
//! key file.
//!
//! ```text
//! login      mac 32 | nonce 32 | ends u64 | bucket 32 | KE1 96 | user name
//! challenge  random 12 | ends u32 | mac 16
//! ```
//!
//! Times are seconds since 1970 by the clock of the server that made it.

use crate::App;
use crate::db::StoreError;
use crate::keys::ServerKeys;
use crate::limits::{HANDSHAKE_SECONDS, SPENT_MARGIN_SECONDS};
use crate::random;
use freehold_model::Entropy;
use freehold_model::codec::Reader;
use freehold_trust::opaque::KE1_BYTES;

/// A login between its first and last message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoginTicket {
    nonce: [u8; 32],
    /// The last second in which it counts.
    ends: u64,
    /// The bucket to give the attempt back to.
    pub(crate) bucket: [u8; 32],
    /// The client's first message.
    pub(crate) ke1: [u8; KE1_BYTES],
    /// The name, bound into the exchange.
    pub(crate) user: String,
}

impl LoginTicket {
    /// A fresh ticket.
    pub(crate) fn new(now_seconds: u64, bucket: [u8; 32], ke1: [u8; KE1_BYTES], user: String) -> Self {
        let ends = now_seconds.saturating_add(HANDSHAKE_SECONDS);
        Self { nonce: random::bytes(), ends, bucket, ke1, user }
    }

    /// The ticket for the client. It holds against `record` only: a login does not survive a
    /// change of the password.
    pub(crate) fn seal(&self, keys: &ServerKeys, record: Option<&[u8]>) -> Vec<u8> {
        let body = self.body();
        let mac = mac(keys, &body, record);
        [mac.as_bytes().as_slice(), &body].concat()
    }

    /// Reads a ticket without believing it: whom it is for must be looked up first.
    pub(crate) fn read(bytes: &[u8]) -> Option<Unverified> {
        let mut input = Reader::new(bytes);
        let mac = blake3::Hash::from_bytes(input.array().ok()?);
        let (nonce, ends) = (input.array().ok()?, input.u64().ok()?);
        let (bucket, ke1) = (input.array().ok()?, input.array().ok()?);
        let user = String::from_utf8(input.rest().to_vec()).ok()?;
        Some(Unverified { ticket: Self { nonce, ends, bucket, ke1, user }, mac })
    }

    fn body(&self) -> Vec<u8> {
        let ends = self.ends.to_be_bytes();
        [&self.nonce, ends.as_slice(), &self.bucket, &self.ke1, self.user.as_bytes()].concat()
    }

    /// The randomness of the server's half of this login, the same each time it is asked for.
    pub(crate) fn entropy(&self, keys: &ServerKeys) -> Derived {
        Derived(keys.hasher("freehold v1 login entropy").update(&self.body()).finalize_xof())
    }

    /// Uses it up; whether it could be.
    pub(crate) async fn spend(&self, app: &App) -> Result<bool, StoreError> {
        spend(app, &self.nonce, self.ends).await
    }
}

/// A login ticket as it came.
pub(crate) struct Unverified {
    ticket: LoginTicket,
    mac: blake3::Hash,
}

impl Unverified {
    /// The name it claims to be for.
    pub(crate) fn user(&self) -> &str {
        &self.ticket.user
    }

    /// The ticket, when it was made by a holder of the key file, against this record, and has not
    /// ended.
    pub(crate) fn verify(
        self,
        keys: &ServerKeys,
        record: Option<&[u8]>,
        now_seconds: u64,
    ) -> Option<LoginTicket> {
        // `Hash` compares in constant time.
        let made_here = mac(keys, &self.ticket.body(), record) == self.mac;
        (made_here && now_seconds < self.ticket.ends).then_some(self.ticket)
    }
}

fn mac(keys: &ServerKeys, body: &[u8], record: Option<&[u8]>) -> blake3::Hash {
    let mut hasher = keys.hasher("freehold v1 login ticket");
    let record = record.map_or([0; 32], |record| *blake3::hash(record).as_bytes());
    hasher.update(&record).update(body).finalize()
}

/// Entropy out of a keyed hash.
pub(crate) struct Derived(blake3::OutputReader);

impl Entropy for Derived {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}

/// What a challenge is made for, so that one kind never serves as another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Purpose(&'static str);

/// A device proves that it holds its signing key; the subject is its id.
pub(crate) const DEVICE: Purpose = Purpose("freehold v1 device challenge");

/// Somebody proves that they hold a recovery key; the subject is the id of its path.
pub(crate) const RECOVERY: Purpose = Purpose("freehold v1 recovery challenge");

/// A nonce for a subject's key to sign, which is its own ticket.
pub(crate) fn challenge(
    keys: &ServerKeys,
    purpose: Purpose,
    subject: &[u8; 16],
    now_seconds: u64,
) -> [u8; 32] {
    // Seconds fit until 2106; beyond, no challenge holds.
    let ends = u32::try_from(now_seconds.saturating_add(HANDSHAKE_SECONDS)).unwrap_or_default();
    challenge_of(keys, purpose, subject, random::bytes(), ends)
}

/// When this nonce ends, if it was made for this purpose and subject and has not ended yet.
pub(crate) fn challenge_ends(
    keys: &ServerKeys,
    purpose: Purpose,
    subject: &[u8; 16],
    nonce: &[u8; 32],
    now_seconds: u64,
) -> Option<u64> {
    let mut input = Reader::new(nonce);
    let (random, ends) = (input.array().ok()?, input.u32().ok()?);
    let made_here = blake3::Hash::from_bytes(challenge_of(keys, purpose, subject, random, ends));
    let ends = u64::from(ends);
    // `Hash` compares in constant time.
    (made_here == blake3::Hash::from_bytes(*nonce) && now_seconds < ends).then_some(ends)
}

fn challenge_of(
    keys: &ServerKeys,
    purpose: Purpose,
    subject: &[u8; 16],
    random: [u8; 12],
    ends: u32,
) -> [u8; 32] {
    let head = [random.as_slice(), &ends.to_be_bytes()].concat();
    let mut hasher = keys.hasher(purpose.0);
    hasher.update(subject).update(&head);
    let mut nonce = [0; 32];
    let (start, mac) = nonce.split_at_mut(16);
    start.copy_from_slice(&head);
    hasher.finalize_xof().fill(mac);
    nonce
}

/// Uses a nonce up for all servers; whether it was not used before.
pub(crate) async fn spend(app: &App, nonce: &[u8; 32], ends_seconds: u64) -> Result<bool, StoreError> {
    let token = blake3::derive_key("freehold v1 spent ticket", nonce);
    let forget = crate::clock::micros(ends_seconds.saturating_add(SPENT_MARGIN_SECONDS));
    app.store.spend(token, forget).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn keys() -> ServerKeys {
        let dir = tempfile::tempdir().expect("a temporary directory");
        ServerKeys::load_or_create(dir.path()).expect("fresh keys")
    }

    fn open(keys: &ServerKeys, bytes: &[u8], record: Option<&[u8]>, now: u64) -> Option<LoginTicket> {
        LoginTicket::read(bytes)?.verify(keys, record, now)
    }

    #[test]
    fn a_ticket_comes_back_within_its_minute_and_with_the_same_entropy() {
        let keys = keys();
        let ticket = LoginTicket::new(NOW, [1; 32], [2; KE1_BYTES], "ada".to_owned());
        let bytes = ticket.seal(&keys, Some(b"record"));
        let back = open(&keys, &bytes, Some(b"record"), NOW + 59).expect("the ticket");
        assert_eq!(back, ticket);
        let drawn = [&ticket, &back].map(|ticket| {
            let mut bytes = [0; 64];
            ticket.entropy(&keys).fill(&mut bytes);
            bytes
        });
        assert_eq!(drawn[0], drawn[1]);
        assert_eq!(open(&keys, &bytes, Some(b"record"), NOW + 60), None);
    }

    #[test]
    fn a_changed_ticket_foreign_keys_and_another_record_are_refused() {
        let keys = keys();
        let ticket = LoginTicket::new(NOW, [1; 32], [2; KE1_BYTES], "ada".to_owned());
        let bytes = ticket.seal(&keys, Some(b"record"));
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_eq!(open(&keys, &changed, Some(b"record"), NOW), None, "byte {place}");
        }
        assert_eq!(open(&self::keys(), &bytes, Some(b"record"), NOW), None);
        for record in [None, Some(b"another".as_slice())] {
            assert_eq!(open(&keys, &bytes, record, NOW), None);
        }
        assert_eq!(open(&keys, &bytes[..40], Some(b"record"), NOW), None);
    }

    #[test]
    fn a_challenge_holds_for_its_subject_purpose_and_minute() {
        let (keys, device) = (keys(), [1; 16]);
        let nonce = challenge(&keys, DEVICE, &device, NOW);
        let ends = |purpose, subject, now| challenge_ends(&keys, purpose, subject, &nonce, now);
        assert_eq!(ends(DEVICE, &device, NOW + 59), Some(NOW + 60));
        assert_eq!(ends(DEVICE, &device, NOW + 60), None);
        assert_eq!(ends(DEVICE, &[2; 16], NOW), None);
        assert_eq!(ends(Purpose("another"), &device, NOW), None);
        assert_eq!(challenge_ends(&self::keys(), DEVICE, &device, &nonce, NOW), None);
        assert_ne!(nonce, challenge(&keys, DEVICE, &device, NOW));
    }
}
