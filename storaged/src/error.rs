//! Why the node cannot start: one clear line each, saying what to do.

use freehold_net::BindError;
use freehold_store::StoreError;
use std::io;
use std::path::PathBuf;

/// Why the node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error("{0}")]
    Config(String),
    /// The data folder cannot be used.
    #[error("cannot write in {dir}: {source}; check its owner and the disk, or name another with --data-dir")]
    DataDir {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of ours is not what was written there.
    #[error("{0} is damaged; restore it from a backup, or move it away and join again")]
    Damaged(PathBuf),
    /// Another process has the data folder.
    #[error("another freehold-storaged is running on {0}")]
    InUse(PathBuf),
    /// The chunk store does not open.
    #[error("cannot open the chunk store: {0}")]
    Store(StoreError),
    /// The address cannot be served on.
    #[error("{0}; choose another address with --listen")]
    Bind(BindError),
    /// The node belongs to no server yet.
    #[error(
        "this node has not joined a server: start it once with --server URL --join TOKEN (make a token with `freehold-server admin join-token`)"
    )]
    NotJoined,
    /// It serves on all addresses and does not know the one clients should use.
    #[error("listening on every address: say where clients reach this node with --advertise ADDR")]
    NoAddress,
    /// The server did not answer the join.
    #[error("cannot join: the server does not answer ({0}); check --server and whether it is running")]
    ServerAway(String),
    /// The server said no.
    #[error("cannot join: {0}")]
    JoinRefused(String),
}
