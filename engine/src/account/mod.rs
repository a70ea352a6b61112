//! The account on this device: signing up, logging in, and what is remembered between starts.
//!
//! `new_account` and `change` build the signed statements and sealed boxes, purely; `open` judges what is
//! shown. `stored` is the sealed file, `secret` the one plain file, `session` and `password` prove who asks.
//! `signup`, `login` and `recover` put them together against a server. All of it verifies before it
//! believes: the account log is replayed and pinned, a box counts only as the rotation named it or with the
//! signature of a device of the log, and the root inside only if the log contains the head it names.

mod change;
mod login;
mod new_account;
mod open;
mod password;
mod paths;
mod recover;
mod secret;
mod server_key;
mod session;
mod shown;
mod signup;
mod stored;

pub(crate) use change::{Change, Made};
pub(crate) use login::login;
#[cfg(test)]
pub(crate) use new_account::{Choice, NewAccount, new_account};
pub(crate) use open::{is_in_force, open_root, second_key};
pub(crate) use password::{NewPassword, password_keys};
pub(crate) use recover::{Lost, recover};
pub(crate) use secret::{load_secret, remove_secret};
pub(crate) use session::Sessions;
pub(crate) use shown::read_log;
pub(crate) use signup::{NewUser, device_name, signup};
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
