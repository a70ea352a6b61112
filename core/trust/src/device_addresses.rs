//! Where a device can be reached, in its own words.
//!
//! Signed, so that servers and other devices can hand it on and keep it, and nobody can send a
//! device's peers elsewhere. It lists addresses as numbers only: a name would have to be looked up,
//! and whoever answers would learn who asks.

use crate::limits;
use crate::sign::Label;
use crate::statement::{Signed, Statement};
use core::net::{IpAddr, SocketAddr};
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{AccountId, DeviceId};

/// A device's addresses with its signature.
pub type SignedDeviceAddresses = Signed<DeviceAddresses>;

/// The addresses of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAddresses {
    account: AccountId,
    device: DeviceId,
    time: u64,
    addresses: Vec<SocketAddr>,
}

impl DeviceAddresses {
    /// Addresses in order of preference, at `time` in Unix milliseconds by the device's clock.
    ///
    /// # Errors
    /// `TooLong` for more than 16, `Invalid` for an unspecified address or port 0.
    pub fn new(
        account: AccountId,
        device: DeviceId,
        time: u64,
        addresses: Vec<SocketAddr>,
    ) -> Result<Self, DecodeError> {
        if addresses.len() > limits::DEVICE_ADDRESSES_MAX {
            return Err(DecodeError::TooLong);
        }
        if addresses.iter().any(|addr| addr.ip().is_unspecified() || addr.port() == 0) {
            return Err(DecodeError::Invalid("address"));
        }
        Ok(Self { account, device, time, addresses })
    }

    /// The account.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// When, in Unix milliseconds by the device's clock; only a later one replaces an earlier one.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Statement for DeviceAddresses {
    const MAGIC: [u8; 4] = *b"FHDA";
    const LABEL: Label = Label::DeviceAddresses;
}

impl Encode for DeviceAddresses {
    fn encode(&self, out: &mut Writer) {
        let count = u32::try_from(self.addresses.len()).expect("the constructor bounds the list");
        out.put(&self.account).put(&self.device).u64(self.time).u32(count);
        for addr in &self.addresses {
            match addr.ip() {
                IpAddr::V4(ip) => out.u8(4).raw(&ip.octets()),
                IpAddr::V6(ip) => out.u8(6).raw(&ip.octets()),
            };
            out.u16(addr.port());
        }
    }
}

impl Decode for DeviceAddresses {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (account, device, time) = (input.get()?, input.get()?, input.u64()?);
        let count = input.count(limits::DEVICE_ADDRESSES_MAX, 7)?;
        let addresses = (0..count)
            .map(|_| {
                let ip = match input.u8()? {
                    4 => IpAddr::from(input.array::<4>()?),
                    6 => IpAddr::from(input.array::<16>()?),
                    _ => return Err(DecodeError::Unknown("address family")),
                };
                Ok(SocketAddr::new(ip, input.u16()?))
            })
            .collect::<Result<_, DecodeError>>()?;
        Self::new(account, device, time, addresses)
    }
}
