//! The statements, written once for both databases.
//!
//! SQLite and PostgreSQL understand the same text as long as it uses `$n`, 64-bit numbers (flags
//! are 0 or 1), byte strings and text. What differs is behind [`Connection`]: how values are bound,
//! how a list of rows gets into a statement, and what must be locked. What a transaction is and
//! whether one is worth another try is behind [`Backend`]; whoever implements it is a
//! [`MetaStore`](super::MetaStore).

mod account;
mod addresses;
mod batch;
mod boxes;
mod commit;
mod convert;
mod log;
mod meta;
mod node;
mod placement;
mod query;
mod reach;
mod session;
mod store;
mod vault;
mod version;

pub(super) use batch::Column;
pub(super) use meta::init;
pub(super) use query::{Connection, Lock, Row, Value, add};
pub(super) use store::Backend;
