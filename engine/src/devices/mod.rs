//! The other devices of the account: where they are, links to them, what they ask and tell.
//!
//! [`book`] remembers addresses, [`mod@announce`] exchanges them through the server, [`lan`] finds them nearby, [`links`] keeps one link to each device that can be reached,
//! [`serve`] answers what they ask from what is kept here, [`ask`] asks them. A device is admitted by
//! the TLS key its certificate in the account log names, during the handshake; a removed device is
//! refused there, and its links are closed. What a device says is believed no more than what a
//! server says: sync verifies it.

mod announce;
mod ask;
pub(crate) mod book;
mod lan;
mod links;
mod serve;

pub(crate) use announce::announce;
pub(crate) use lan::discover;
pub(crate) use links::{DeviceEvent, DeviceLinks, LinkParts};
