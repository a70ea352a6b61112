//! What the server decides, endpoint by endpoint, on top of the store.

pub(crate) mod account;
pub(crate) mod addresses;
pub(crate) mod append;
mod boxes;
pub(crate) mod device;
pub(crate) mod login;
pub(crate) mod node;
pub(crate) mod password;
pub(crate) mod placement;
pub(crate) mod push;
pub(crate) mod receipts;
pub(crate) mod recovery;
pub(crate) mod registration;
mod session;
pub(crate) mod status;
pub(crate) mod vault;
