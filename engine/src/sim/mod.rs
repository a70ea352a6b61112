//! The simulation: devices, a server and the wires between them under one seeded scheduler.
//!
//! Every device is the real thing without its sockets: the volume on a disk that forgets what was not
//! synced, the kept history, the [`Intake`](crate::sync::intake::Intake) machine, and
//! [`Local`](crate::sync::local::Local), which writes commits and books their numbers. The scheduler
//! picks what happens next from one seed: a program's change, an answer that arrives, comes twice, is lost
//! or comes after others, a device that loses power, whose disk fails or is full, or that is removed, a
//! server that is away or set back to an older copy. What `fsync` promised is held against the device after
//! each power cut. At the end the wires are mended and everything must be the same everywhere. Each seed runs twice and both
//! runs must take the same steps.
//!
//! The server is a model of it by its rules; `real` holds the server's own store against the model.
//! `chunks` adds a storage node with the real store of one.
//! `hostile` uses the same devices against a server that lies.

mod answers;
mod brake;
mod chunks;
mod disk;
mod faults;
mod fleet;
mod hostile;
mod random;
mod real;
mod removal;
mod replica;
mod server;
mod world;
