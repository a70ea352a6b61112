//! Two machines in virtual time: everything a network can do to them.

mod handshake;
mod kit;
mod network;
mod transfer;
