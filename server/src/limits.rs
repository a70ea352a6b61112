//! Caps and times of the server, with their reasons.

use std::time::Duration;

/// Life of a device session. Renewed by proof of possession, so short costs nothing.
pub(crate) const DEVICE_SESSION_SECONDS: u64 = 24 * 3_600;

/// Life of a password session: long enough to read the log and add a device.
pub(crate) const ACCOUNT_SESSION_SECONDS: u64 = 15 * 60;

/// Time from the first to the second message of a login or a device challenge.
pub(crate) const HANDSHAKE_SECONDS: u64 = 60;

/// Time for which a used login or challenge is remembered beyond its end, so that the server whose
/// clock is behind does not take it again after the one whose clock is ahead has forgotten it.
pub(crate) const SPENT_MARGIN_SECONDS: u64 = 600;

/// Time over which events for other servers are gathered into one statement.
pub(crate) const RELAY_GATHER: Duration = Duration::from_millis(20);

/// Different events that one statement to other servers carries; beyond it they are told to poll.
pub(crate) const RELAY_EVENTS_MAX: usize = 1_024;

/// Time in which a repeated registration is taken for a lost answer.
pub(crate) const REGISTER_REPEAT_SECONDS: u64 = 600;

/// Life of a capability: clients renew hourly, a revoked device loses its nodes within that.
pub(crate) const CAPABILITY_SECONDS: u64 = 3_600;

/// Seconds a capability is valid before now, for nodes whose clock is behind.
pub(crate) const CAPABILITY_BACKDATE_SECONDS: u64 = 300;

/// Bytes one capability allows to put. A device that needs more asks again.
pub(crate) const CAPABILITY_PUT_BYTES: u64 = 1 << 40;

/// Life of a join token and of an invite.
pub(crate) const TOKEN_SECONDS: u64 = 24 * 3_600;

/// A node counts as live this long after its last heartbeat: three missed ones.
pub(crate) const NODE_LIVE_SECONDS: u64 = 200;

/// Login attempts of one name from one network at once, and how long one takes to come back.
/// A correct password gives its attempt back.
pub(crate) const LOGIN_BURST: u32 = 10;
/// See [`LOGIN_BURST`].
pub(crate) const LOGIN_REFILL_SECONDS: u64 = 6;

/// Unauthenticated attempts of one network at once, all names together.
pub(crate) const NETWORK_BURST: u32 = 120;
/// See [`NETWORK_BURST`].
pub(crate) const NETWORK_REFILL_SECONDS: u64 = 1;

/// Buckets kept in memory; full ones are dropped first.
pub(crate) const BUCKETS_MAX: usize = 65_536;

/// Events a slow listener may fall behind before it is told to poll everything.
pub(crate) const EVENTS_BEHIND_MAX: usize = 1_024;

/// Silence on an event connection after which the server pings.
pub(crate) const EVENT_PING: Duration = Duration::from_secs(30);

/// Longest request. A push of 40 MiB over a slow uplink is the longest honest one.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);

/// Time requests under way get to finish after a stop signal.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(5);

/// Chunks one version may refer to, all levels together: 1 TiB in chunks of 256 KiB. Bounds the
/// work of one commit.
pub(crate) const VERSION_CHUNKS_MAX: usize = 4 * 1024 * 1024;

/// Chunks whose reference lists are in memory for several versions of a commit at once; one
/// version alone may reach up to [`VERSION_CHUNKS_MAX`].
pub(crate) const GROUP_CHUNKS_MAX: usize = 128 * 1024;

/// Copies wanted of each chunk while there are enough nodes.
pub(crate) const COPIES: u8 = 3;

/// Receipts that make a chunk placed, by number of nodes: one node one, else two.
pub(crate) const WRITE_QUORUM: u8 = 2;
