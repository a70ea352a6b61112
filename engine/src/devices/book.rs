//! Where the other devices were last: signed statements of their own, and what the local network says.
//!
//! A statement counts only when the device's own key signed it, and the latest by its own clock wins.
//! The book is kept sealed, so that devices find each other again while the server is away.
//!
//! ```text
//! plaintext  version u8 = 1 | count u32, (signed device addresses var)*
//! file       LocalKey, purpose state file, AAD "device book"
//! ```

use crate::entropy::OsEntropy;
use freehold_crypto::{LocalKey, LocalPurpose};
use freehold_model::codec::{DecodeError, Reader, Writer};
use freehold_model::{AccountId, DeviceId};
use freehold_trust::SignedDeviceAddresses;
use freehold_trust::account_log::AccountState;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const VERSION: u8 = 1;
const AAD: &[u8] = b"device book";
/// Statements in the file: one a device that may be alive.
const STATEMENTS_MAX: usize = freehold_trust::limits::DEVICES_LIVE_MAX;
/// Bytes of one statement.
const STATEMENT_BYTES_MAX: usize = 8 * 1024;
/// Addresses tried that the local network named; it is not authenticated, so it may name any.
const NEARBY_MAX: usize = 64;
/// How long one of them is tried that was not heard of again: as long as a tag is announced.
const NEARBY_FOR: Duration = Duration::from_secs(3_600);

/// The addresses.
pub(crate) struct Book {
    path: PathBuf,
    key: Arc<LocalKey>,
    account: AccountId,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    signed: BTreeMap<DeviceId, SignedDeviceAddresses>,
    /// Heard on the local network: somebody of this account, whoever it is.
    nearby: BTreeMap<SocketAddr, Instant>,
}

impl Book {
    /// The book as it was left; a damaged one is an empty one.
    pub(crate) fn open(dir: &Path, key: Arc<LocalKey>, account: AccountId) -> Self {
        let path = dir.join("devices.sealed");
        let signed = std::fs::read(&path).ok().and_then(|sealed| {
            let plain = key.open(LocalPurpose::StateFile, AAD, &sealed).ok()?;
            decode(&plain).ok()
        });
        let pages = Pages { signed: signed.unwrap_or_default(), nearby: BTreeMap::new() };
        Self { path, key, account, pages: Mutex::new(pages) }
    }

    /// Takes in statements; whether one was news. Those nobody alive signed are left out.
    pub(crate) fn learn(&self, statements: &[Vec<u8>], account: &AccountState) -> bool {
        let mut pages = self.pages.lock();
        let mut is_news = false;
        for bytes in statements.iter().take(STATEMENTS_MAX) {
            let Ok(signed) = SignedDeviceAddresses::from_bytes(bytes) else { continue };
            let device = signed.unverified().device();
            let Some(cert) = account.live_device(&device) else { continue };
            let Ok(said) = signed.verify(&cert.sign_pk) else { continue };
            let is_later =
                pages.signed.get(&device).is_none_or(|known| known.unverified().time() < said.time());
            if said.account() == self.account && is_later {
                pages.signed.insert(device, signed);
                is_news = true;
            }
        }
        pages.signed.retain(|device, _| account.live_device(device).is_some());
        if is_news {
            self.save(&pages.signed);
        }
        is_news
    }

    /// Somebody of this account may be there; whether that is news. Over the cap the one that was not
    /// heard of for longest is forgotten.
    pub(crate) fn hear(&self, addr: SocketAddr, now: Instant) -> bool {
        let mut pages = self.pages.lock();
        let is_news = pages.nearby.insert(addr, now).is_none();
        if pages.nearby.len() > NEARBY_MAX
            && let Some(oldest) = pages.nearby.iter().min_by_key(|(_, heard)| **heard).map(|(addr, _)| *addr)
        {
            pages.nearby.remove(&oldest);
        }
        is_news
    }

    /// Where a device may be: what it signed itself, then what the local network says, the latest first.
    pub(crate) fn addresses(&self, device: &DeviceId, now: Instant) -> Vec<SocketAddr> {
        let mut pages = self.pages.lock();
        pages.nearby.retain(|_, heard| now.saturating_duration_since(*heard) < NEARBY_FOR);
        let said = pages.signed.get(device).map(|signed| signed.unverified().addresses().to_vec());
        let mut all = said.unwrap_or_default();
        let nearby = pages.nearby.iter().filter(|(addr, _)| !all.contains(addr));
        let mut nearby: Vec<_> = nearby.map(|(addr, heard)| (*heard, *addr)).collect();
        nearby.sort_unstable_by(|a, b| b.cmp(a));
        all.extend(nearby.into_iter().map(|(_, addr)| addr));
        all
    }

    fn save(&self, signed: &BTreeMap<DeviceId, SignedDeviceAddresses>) {
        let sealed = self.key.seal(LocalPurpose::StateFile, AAD, &encode(signed), &mut OsEntropy);
        let new = self.path.with_extension("sealed.new");
        let write = || {
            let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&sealed)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "the addresses of other devices could not be written down");
        }
    }
}

impl std::fmt::Debug for Book {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Book").field("devices", &self.pages.lock().signed.len()).finish_non_exhaustive()
    }
}

fn encode(signed: &BTreeMap<DeviceId, SignedDeviceAddresses>) -> Vec<u8> {
    let mut out = Writer::new();
    out.u8(VERSION).u32(u32::try_from(signed.len()).expect("an account has few devices"));
    for statement in signed.values() {
        out.var_bytes(&statement.to_bytes());
    }
    out.into_vec()
}

fn decode(plain: &[u8]) -> Result<BTreeMap<DeviceId, SignedDeviceAddresses>, DecodeError> {
    let mut input = Reader::new(plain);
    input.expect(&[VERSION], "device book version")?;
    let mut signed = BTreeMap::new();
    for _ in 0..input.count(STATEMENTS_MAX, 4)? {
        let statement = SignedDeviceAddresses::from_bytes(input.var_bytes(STATEMENT_BYTES_MAX)?)?;
        signed.insert(statement.unverified().device(), statement);
    }
    input.finish()?;
    Ok(signed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_crypto::DeviceSecret;

    fn book() -> (tempfile::TempDir, Book) {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let key = Arc::new(DeviceSecret::from_bytes([1; 32]).local_key());
        let book = Book::open(dir.path(), key, AccountId::from_bytes([2; 16]));
        (dir, book)
    }

    fn addr(number: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], number))
    }

    #[test]
    fn what_the_network_says_is_bounded_and_forgotten_and_the_latest_comes_first() {
        let (_dir, book) = book();
        let (device, begin) = (DeviceId::from_bytes([3; 16]), Instant::now());
        let limit = u16::try_from(NEARBY_MAX).expect("small");
        for number in 1..=limit + 5 {
            assert!(book.hear(addr(number), begin + Duration::from_secs(number.into())));
        }
        let now = begin + Duration::from_secs(100);
        let known = book.addresses(&device, now);
        assert_eq!(known.len(), NEARBY_MAX);
        assert_eq!((known[0], known[NEARBY_MAX - 1]), (addr(limit + 5), addr(6)));
        assert!(!book.hear(addr(6), now), "heard of before");
        assert_eq!(book.addresses(&device, now)[0], addr(6));
        assert_eq!(book.addresses(&device, begin + NEARBY_FOR + Duration::from_secs(80)), [addr(6)]);
    }
}
