//! Finding machines on the local network, without any server: multicast DNS (RFC 6762, 6763).
//!
//! A machine announces one instance of `_freehold._udp.local.` under a tag that its owner chooses and
//! changes; who knows the tag knows whom it found, to everybody else it is noise. Host and instance
//! names are random at every start and there is no text record, so nothing announced is a stable
//! name of the machine. What is heard is not authenticated: the link that follows is.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use mdns_sd::{Receiver, ServiceDaemon, ServiceEvent, ServiceInfo};
use parking_lot::Mutex;

const SERVICE: &str = "_freehold._udp.local.";

/// Bytes of the tag in an instance name, in hexadecimal twice as many; a label holds 63.
pub const LAN_TAG_BYTES: usize = 16;

/// Addresses taken of one announcement.
const ADDRESSES_MAX: usize = 16;

/// The local network could not be used for finding machines.
#[derive(Clone, Debug, thiserror::Error)]
#[error("finding machines on the local network: {0}")]
pub struct LanError(String);

impl From<mdns_sd::Error> for LanError {
    fn from(error: mdns_sd::Error) -> Self {
        Self(error.to_string())
    }
}

/// Somebody on the local network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What they announce themselves by.
    pub tag: [u8; LAN_TAG_BYTES],
    /// Where they may be.
    pub addresses: Vec<SocketAddr>,
}

/// Announces and listens until dropped.
pub struct Lan {
    daemon: ServiceDaemon,
    heard: Receiver<ServiceEvent>,
    /// Random for this start: instance and host names end in it.
    name: String,
    announced: Mutex<Option<String>>,
}

impl Lan {
    /// Starts listening on every interface but the loopback. `name` is random text for this start.
    ///
    /// # Errors
    /// When the system gives no thread or socket.
    pub fn start(name: [u8; 8]) -> Result<Self, LanError> {
        let daemon = ServiceDaemon::new()?;
        let heard = daemon.browse(SERVICE)?;
        Ok(Self { daemon, heard, name: hex(&name), announced: Mutex::new(None) })
    }

    /// Announces a port under a tag, in the place of what was announced before.
    ///
    /// # Errors
    /// When the daemon thread takes no more commands.
    pub fn announce(&self, tag: &[u8; LAN_TAG_BYTES], port: u16) -> Result<(), LanError> {
        let instance = format!("{}-{}", hex(tag), self.name);
        let host = format!("{}.local.", self.name);
        let info = ServiceInfo::new(SERVICE, &instance, &host, "", port, None)?.enable_addr_auto();
        let fullname = info.get_fullname().to_owned();
        let before = self.announced.lock().replace(fullname.clone());
        if let Some(before) = before.filter(|before| *before != fullname) {
            self.daemon.unregister(&before)?;
        }
        self.daemon.register(info)?;
        Ok(())
    }

    /// Waits for the next announcement of somebody else; `None` when the network is given up.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next(&self) -> Option<Found> {
        loop {
            let event = self.heard.recv_async().await.ok()?;
            let ServiceEvent::ServiceResolved(service) = event else { continue };
            let own = format!("-{}.{SERVICE}", self.name);
            let Some(tag) = tag_of(&service.fullname).filter(|_| !service.fullname.ends_with(&own)) else {
                continue;
            };
            let addresses: BTreeSet<IpAddr> =
                service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).collect();
            let usable = addresses.into_iter().filter(is_usable).take(ADDRESSES_MAX);
            let addresses: Vec<SocketAddr> = usable.map(|ip| SocketAddr::new(ip, service.port)).collect();
            if service.port != 0 && !addresses.is_empty() {
                return Some(Found { tag, addresses });
            }
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // A daemon that is gone already needs no telling.
        if let Err(error) = self.daemon.shutdown() {
            tracing::debug!(%error, "the local network was not told that this machine leaves");
        }
    }
}

impl std::fmt::Debug for Lan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lan").finish_non_exhaustive()
    }
}

/// The tag at the beginning of an instance name.
fn tag_of(fullname: &str) -> Option<[u8; LAN_TAG_BYTES]> {
    let digits = fullname.get(..2 * LAN_TAG_BYTES)?;
    let mut tag = [0; LAN_TAG_BYTES];
    for (at, byte) in tag.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(tag)
}

/// A link-local IPv6 address needs an interface's name to be of use.
fn is_usable(ip: &IpAddr) -> bool {
    let is_link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !ip.is_unspecified() && !ip.is_multicast() && !is_link_local
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_from_an_instance_name_and_nothing_else_is_one() {
        let tag = [0xab; LAN_TAG_BYTES];
        let name = format!("{}-0011223344556677.{SERVICE}", hex(&tag));
        assert_eq!(tag_of(&name), Some(tag));
        assert_eq!(tag_of("short._freehold._udp.local."), None);
        assert_eq!(tag_of(&format!("{}é-x.{SERVICE}", &hex(&tag)[..31])), None);
    }
}
