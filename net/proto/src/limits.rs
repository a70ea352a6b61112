//! Every cap and time of FHP/1, with its reason.
//!
//! A peer is hostile until shown otherwise: whatever it can make us hold is bounded here.

use std::time::Duration;

/// Bytes of a UDP payload that every path is taken to carry (RFC 9000 §14.1). INIT is padded to it.
pub const DATAGRAM_BYTES_MIN: usize = 1_200;

/// Bytes of the largest UDP payload tried: what `Len` and one IPv4 datagram can carry.
pub const DATAGRAM_BYTES_MAX: usize = 65_507;

/// Sizes tried one after the other: IPv6's minimum, tunnels, Ethernet with IPv6, jumbo frames; then what only
/// a machine's own loopback carries.
pub const PROBE_SIZES: [usize; 7] = [1_280, 1_392, 1_452, 8_952, 16_384, 32_768, 65_000];

/// Lost probes of one size after which it counts as too large (RFC 8899 §5.1.2, `MAX_PROBES`).
pub const PROBES_MAX: u32 = 3;

/// Full-size packets lost in a row, while smaller ones arrive, after which the path counts as a black hole.
pub const BLACK_HOLE_LOSSES: u32 = 3;

/// A path's size is tried again after so long (RFC 8899 §5.1.1, `PMTU_RAISE_TIMER`).
pub const PROBE_AGAIN: Duration = Duration::from_mins(10);

/// After a black hole sizes are tried again so soon (RFC 8899 §4.4, §5.3.3), from the smallest up: a burst of other
/// losses is over by then. Twice as long after each that follows within [`PROBE_AGAIN`], up to that, so that a path
/// that lets probes through and nothing else of their size does not make the size go up and down.
pub const SEARCH_AGAIN: Duration = Duration::from_secs(1);

/// Bytes of one side's handshake at one level: a hybrid ClientHello has 1,349, a server's flight 1,178 + 228.
pub const HANDSHAKE_BYTES_MAX: usize = 4_096;

/// Pieces of a ClientHello held for one newcomer: as many as it has.
pub const HELLO_PIECES_MAX: usize = 2;

/// Handshakes under way before newcomers must first prove their address.
pub const HALF_OPEN_RETRY: usize = 128;

/// Handshakes under way at most; above it the oldest that has not proven its address goes.
pub const HALF_OPEN_MAX: usize = 1_024;

/// Sessions of one endpoint at most, handshakes included.
pub const SESSIONS_MAX: usize = 4_096;

/// How long a retry cookie counts: a round trip over a bad path, and little for who collects them.
pub const COOKIE_LIFETIME: Duration = Duration::from_secs(15);

/// Bytes sent for each byte received before an address is proven (RFC 9000 §8.1).
pub const AMPLIFICATION_MAX: u64 = 3;

/// Resend of an unanswered handshake flight, doubled each time.
pub const HANDSHAKE_RESEND: Duration = Duration::from_millis(250);

/// From the first datagram to a session, else it is given up.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Packets back to which a late one is still taken. At 100 Gbit/s it is 2 ms of 1,452-byte packets.
pub const REPLAY_WINDOW: u64 = 16_384;

/// Runs of missing packets told in one acknowledgement; older ones were told before.
pub const ACK_RUNS_MAX: usize = 64;

/// Eliciting packets after which an acknowledgement goes out: one for each 16, because the receiver's
/// acknowledgements are what costs user-space transports most (arXiv 2310.09423).
pub const ACK_EVERY: u32 = 16;

/// An acknowledgement waits at most so long.
pub const ACK_DELAY_MAX: Duration = Duration::from_millis(25);

/// Packets without an answer that are kept; older ones count as lost.
pub const SENT_MAX: usize = 65_536;

/// A packet counts as lost once one sent so many later has arrived (RFC 9002 §6.1.1).
pub const REORDER_PACKETS: u64 = 3;

/// Shortest time by which a packet may be late (RFC 9002 §6.1.2).
pub const GRANULARITY: Duration = Duration::from_millis(1);

/// Round trip before one was measured (RFC 9002 §6.2.2).
pub const INITIAL_RTT: Duration = Duration::from_millis(333);

/// Longest round trip that is believed: what took longer was asleep, or its clock jumped. One such sample would else
/// put off the search for losses by minutes, and what was lost would be missing as long.
pub const RTT_MAX: Duration = Duration::from_secs(4);

/// An answer is asked for at least so often while one is wanted: a network that comes back after half a minute is in
/// use again seconds later, and two small packets in that time are no load.
pub const PROBE_WAIT_MAX: Duration = Duration::from_secs(3);

/// Probe timeouts in a row after which the window starts from its minimum (RFC 9002 §7.6).
pub const PERSISTENT_PROBES: u32 = 3;

/// Packets in the first window (RFC 9002 §7.2: ten).
pub const INITIAL_WINDOW_PACKETS: u64 = 10;

/// Packets in the smallest window (RFC 9002 §7.2).
pub const MINIMUM_WINDOW_PACKETS: u64 = 2;

/// Packets sealed under one key before the next is taken; RFC 9001 §6.6 allows 2^23 with AES-GCM.
pub const KEY_PACKETS: u64 = 1 << 22;

/// A key is changed after so long whatever was sent.
pub const KEY_LIFETIME: Duration = Duration::from_mins(10);

/// Packets that do not open before the session is given up, below RFC 9001 §6.6's 2^36 for ChaCha20.
pub const FORGED_MAX: u64 = 1 << 36;

/// Lanes that one side may have open.
pub const LANES_MAX: u64 = 256;

/// How long a class of lanes waits for more urgent ones before it sends a packet anyway.
pub const CLASS_FLOOR: Duration = Duration::from_millis(20);

/// Runs of one lane that wait for what is before them. Beyond it the session ends: random losses make at most a
/// quarter as many as the window has packets, and a run of one byte holds a hundred times as much.
pub const GAPS_MAX: usize = 1_024;

/// Bytes of small frames waiting to be sent; a peer that makes us queue more breaks the protocol.
pub const CONTROL_FRAMES_MAX: usize = 4_096;

/// Events noted of a handshake before the other side is let in.
pub const TRACE_STRANGER_MAX: usize = 64;

/// Events of a traced session that wait to be taken: those of one full window, and its acknowledgements.
pub const TRACE_EVENTS_MAX: usize = 16_384;

/// Packets in one send to the kernel: 44 of 1,452 bytes fill 64 KiB.
pub const SEGMENTS_MAX: usize = 44;

/// A part of a batch waits so long for the rest while others are on their way.
pub const GATHER: Duration = Duration::from_millis(1);

/// Bytes of one send to the kernel.
pub const BATCH_BYTES_MAX: usize = 65_000;
