//! Every cap of the node, with its reason.

use std::time::Duration;

/// Seconds the node's clock may differ from the server's before a capability is refused for it.
pub(crate) const CLOCK_SKEW_SECONDS: u64 = 120;

/// Vaults one link may show capabilities for; over it `TooManyVaults`.
pub(crate) const VAULTS_PER_LINK_MAX: usize = 64;

/// Capabilities whose bytes are counted at once. One lives at most a day and each takes about 40
/// bytes; over it new ones are refused with `OverBudget` until old ones expire.
pub(crate) const BUDGETS_MAX: usize = 1_000_000;

/// Vaults in which devices leave heads; each has at most 10 MiB of them, in practice a few hundred bytes.
pub(crate) const WITNESS_VAULTS_MAX: usize = 65_536;

/// Bytes that requests of no urgency hold in memory at once; more wait their turn.
pub(crate) const MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// Bytes that requests of programs waiting in `read(2)` hold in memory at once. Kept apart, so
/// that uploads never make a reader wait.
pub(crate) const URGENT_MEMORY_BYTES: usize = 48 * 1024 * 1024;

/// Admitted requests that work on the disk at once. Each blocks one thread.
pub(crate) const WORK_MAX: usize = 256;

/// Time in which a client must have shown a capability; then its link is closed, or strangers could
/// keep every place for ever.
pub(crate) const ADMISSION_TIMEOUT: Duration = Duration::from_secs(30);

/// Time in which the body of a request must have come; over it `TooSlow`.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(120);

/// Time in which a client must have taken its answer; then it is given up.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Between two heartbeats. The server calls a node silent after several missed ones.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(60);

/// Between attempts while the server is away.
pub(crate) const HEARTBEAT_RETRY: Duration = Duration::from_secs(5);

/// Time for one heartbeat or join to be answered.
pub(crate) const SERVER_TIMEOUT: Duration = Duration::from_secs(20);
