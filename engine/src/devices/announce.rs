//! Saying where this device can be reached, and hearing where the others can.
//!
//! Every change of the machine's addresses is signed anew and left at the server; what the others
//! left there is read at every contact and whenever the server says that one has moved.

use crate::sync::Parts;
use crate::sync::pace::Backoff;
use freehold_api::DeviceAddressesPut;
use freehold_net::Endpoint;
use freehold_net::coord::CoordError;
use freehold_trust::limits::DEVICE_ADDRESSES_MAX;
use freehold_trust::{DeviceAddresses, SignedDeviceAddresses};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// How often the machine's addresses are looked at and the others' read.
const LOOK: Duration = Duration::from_secs(60);

/// Announces until dropped.
pub(crate) async fn announce(parts: Arc<Parts>, endpoint: Endpoint) {
    let mut said: Option<Vec<SocketAddr>> = None;
    let mut backoff = Backoff::default();
    loop {
        let here = addresses(&endpoint);
        let wait = match parts.exchange_addresses((said.as_ref() != Some(&here)).then_some(&here)).await {
            Ok(()) => {
                said = Some(here);
                backoff.reset();
                LOOK
            }
            Err(error) => {
                tracing::debug!(%error, "addresses were not exchanged");
                backoff.next(crate::sync::random())
            }
        };
        tokio::select! {
            () = parts.devices.moved() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Parts {
    async fn exchange_addresses(&self, news: Option<&Vec<SocketAddr>>) -> Result<(), CoordError> {
        if let Some(here) = news {
            let request = &DeviceAddressesPut { statement: self.statement(here).into() };
            self.server.ask(|client| async move { client.put_device_addresses(request).await }).await?;
        }
        let list = self.server.ask(|client| async move { client.device_addresses().await }).await?;
        let statements: Vec<Vec<u8>> = list.statements.into_iter().map(|blob| blob.0).collect();
        if self.book.learn(&statements, &self.members.state()) {
            self.devices.something_new();
        }
        Ok(())
    }

    fn statement(&self, here: &[SocketAddr]) -> Vec<u8> {
        let now = self.volume.now();
        let seconds = u64::try_from(now.secs).unwrap_or_default();
        let time = seconds.saturating_mul(1_000).saturating_add(u64::from(now.nanos / 1_000_000));
        let account = self.members.state().account();
        let said = DeviceAddresses::new(account, self.device, time, here.to_vec());
        let said = said.expect("the list is bounded and its addresses are specified");
        SignedDeviceAddresses::sign(said, &self.sign_key).to_bytes()
    }
}

/// Where the endpoint can be reached: its own address, or every interface's, the loopback last.
fn addresses(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let Ok(bound) = endpoint.local_addr() else { return Vec::new() };
    if !bound.ip().is_unspecified() {
        return vec![bound];
    }
    let mut found: Vec<IpAddr> = match if_addrs::get_if_addrs() {
        Ok(interfaces) => interfaces.iter().map(if_addrs::Interface::ip).collect(),
        Err(error) => {
            tracing::debug!(%error, "the machine's addresses could not be read");
            Vec::new()
        }
    };
    found.retain(|ip| (bound.is_ipv6() || ip.is_ipv4()) && !is_link_local(ip));
    found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6(), *ip));
    found.dedup();
    found.truncate(DEVICE_ADDRESSES_MAX);
    found.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// Such an address needs the interface's name to be of use.
const fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
