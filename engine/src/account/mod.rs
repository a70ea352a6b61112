//! The account on this device: signing up, logging in, and what is remembered between starts.
//!
//! `new_account` and `new_device` build the signed statements and sealed boxes, purely. `stored` is the
//! sealed file, `secret` the one plain file, `session` the device's session at the server. `signup` and `login`
//! put them together against a server. All of it verifies before it believes: the account log is replayed
//! and pinned, a box counts only with the signature of a live device, and the root inside only if the log
//! contains the head it names.

mod login;
mod new_account;
mod new_device;
mod paths;
mod secret;
mod server_key;
mod session;
mod signup;
mod stored;

pub(crate) use login::login;
pub(crate) use secret::{load_secret, remove_secret};
pub(crate) use session::Sessions;
pub(crate) use signup::{NewUser, signup};
pub(crate) use stored::StoredAccount;

use freehold_model::{AccountId, DeviceId};

/// Who this device is signed in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User name.
    pub user: String,
    /// Address of the server.
    pub server: String,
    /// The account.
    pub account: AccountId,
    /// This device.
    pub device: DeviceId,
    /// The name it is shown under.
    pub device_name: String,
}
