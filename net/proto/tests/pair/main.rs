//! Two machines in virtual time: everything a network can do to them.

mod allocations;
mod batches;
mod clock;
mod handshake;
mod hostile;
mod kit;
mod network;
mod random;
mod recovery;
mod size;
mod trace;
mod transfer;
