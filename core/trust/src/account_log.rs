//! The account log: who may act for an account, as a signed, hash-linked list.
//!
//! The server stores it and appends by compare-and-swap on the head; it is believed by nobody.
//! Every reader replays all entries into an [`AccountState`], which checks each rule of DESIGN §3:
//! the links, the signature of a live device, the second signature by the password- or
//! recovery-derived key where a stolen device must not suffice, the signature of every unlock path an
//! entry installs by that path's own key, so that nobody builds a log around a path they do not hold,
//! the bounds of the password hash, and that a rotation seals the new root to every live unlock path and to no other.
//!
//! `entry` is the byte format, `action` what an entry can say, `intent` the revocation that also
//! stands on its own, `state` the replay, `standing` how commits are judged by it.

mod action;
mod entry;
mod intent;
mod standing;
mod state;

pub use action::{Action, BoxRef, Genesis, NameDevice, PathId, Rotate, SetKdf, UnlockPath};
pub use entry::{LogEntry, LogStatement, SecondKey};
pub use intent::{Cut, RevokeDevice, RevokeIntent};
pub use standing::{JudgeError, Standing, Verdict};
pub use state::{AccountState, Device, LogError, LogPin, Revocation};

#[cfg(test)]
mod tests;
