//! Finding the account's other devices on the local network, the server away or not.
//!
//! The tag a device announces is a keyed hash of the hour under a key of the vault's newest
//! generation: the account's devices know each other's, a removed device does not know the next, and
//! nobody can tell from it that two announcements an hour apart are one account's. Clocks may differ
//! by an hour either way.

use crate::sync::Parts;
use freehold_net::{Endpoint, Found, Lan};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it is looked whether the hour, or the key, is another.
const LOOK: Duration = Duration::from_secs(30);

/// Announces and listens until dropped. Without multicast the server still tells where devices are.
pub(crate) async fn discover(parts: Arc<Parts>, endpoint: Endpoint) {
    let mut name = [0; 8];
    getrandom::fill(&mut name).expect("the kernel's generator does not fail after boot");
    let lan = match Lan::start(name) {
        Ok(lan) => lan,
        Err(error) => return tracing::info!(%error, "devices nearby are found through the server only"),
    };
    let Ok(port) = endpoint.local_addr().map(|addr| addr.port()) else { return };
    let mut announced = None;
    loop {
        let tag = parts.keyring.lan_tag(parts.hour());
        if announced != Some(tag) {
            match lan.announce(&tag, port) {
                Ok(()) => announced = Some(tag),
                Err(error) => tracing::debug!(%error, "this device was not announced"),
            }
        }
        tokio::select! {
            found = lan.next() => match found {
                Some(found) => parts.found(&found),
                None => return tracing::info!("devices nearby are no longer looked for"),
            },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Parts {
    fn hour(&self) -> u64 {
        u64::try_from(self.volume.now().secs).unwrap_or_default() / 3_600
    }

    /// Somebody announces themselves: one of this account's devices, if the tag is right.
    fn found(&self, found: &Found) {
        let hour = self.hour();
        let near = hour.saturating_sub(1)..=hour.saturating_add(1);
        if !near.into_iter().any(|hour| self.keyring.lan_tag(hour) == found.tag) {
            return;
        }
        let mut is_news = false;
        for addr in &found.addresses {
            is_news |= self.book.hear(*addr, Instant::now());
        }
        if is_news {
            tracing::debug!("a device of the account is nearby");
            self.devices.something_new();
        }
    }
}
