//! The client: tables, journal, index, file bodies, transfer, sync.
//!
//! A [`Volume`] is the local state of one vault: the tree in memory ([`Tables`]), file bodies, the
//! sealed journal with its staging segments, and the index. Mount and sync both work on it; neither
//! waits for the other, and nothing here waits for the network while a lock is held.

mod account;
mod attr;
mod background;
mod body;
mod cut;
mod devices;
mod engine;
mod engine_error;
mod entropy;
mod error;
mod history;
mod hydrate;
mod index;
mod journal;
pub mod limits;
mod problems;
mod server;
#[cfg(test)]
mod sim;
mod status;
mod sync;
mod tables;
#[cfg(test)]
mod testing;
mod transfer;
mod vault;
mod volume;

pub use account::Identity;
pub use attr::{
    Attr, Ino, Kind, NewNode, NodeState, Notice, PinMode, ROOT, Residence, SetTimes, StatFs, Time,
};
pub use body::part::ChunkPart;
pub use cut::measure;
pub use engine::{Engine, EngineConfig, EngineDirs, Secret, SignUp};
pub use engine_error::EngineError;
pub use error::{FetchError, FsError, OpenError, Recovery};
pub use freehold_net::Transport;
pub use tables::attrs::XattrMode;
pub use tables::dir::FIRST_COOKIE;
pub use tables::remote::RemoteVersion;
pub use tables::sync::{Batch, BatchRecord, CutOutcome, CutToken, OutboxEntry, Pending, SignedCommit};
pub use tables::{Author, Tables, TablesGuard};
pub use volume::meta::MetaKey;
pub use volume::{
    ApplyOutcome, BodyReader, ChunkSource, Clock, CutJob, FetchDone, PartsDone, Preallocate, ReadDone,
    RunKind, SystemClock, Volume, VolumeOptions,
};
