//! Every cap of the link layer, with its reason and the error it raises.
//!
//! A peer is hostile until shown otherwise: whatever it can make us hold is bounded here, per
//! request, per link and per endpoint.

use std::time::Duration;

use freehold_model::limits::BATCH_BYTES_MAX;

/// Bytes of a request's or response's head. Holds 1,024 ids with ranges; over it: `TooBig` when we
/// send, `Protocol` when a peer sends.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one request body: a full batch and its item headers. Announced to the peer, so that an
/// honest one fails locally with `TooBig`; a request that declares more is refused.
pub const BODY_BYTES_MAX: u64 = (BATCH_BYTES_MAX + 256 * 1024) as u64;

/// Bytes handed to the transport at once. Small enough that an urgent writer gets its turn soon,
/// large enough that the hand-over does not show in a profile.
pub const PIECE_BYTES: usize = 64 * 1024;

/// Requests one side may have open at the other on one link. Over it, `call` waits.
pub const IN_FLIGHT_MAX: u16 = 256;

/// Of those, one in this many is kept for the classes that must never queue behind bulk work.
pub const IN_FLIGHT_URGENT_SHARE: u16 = 8;

/// Bytes a peer may send on one request before we read them. 2 MiB is one stream at 160 Mbit/s over
/// a 100 ms path; several in flight fill the link's window.
pub const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;

/// Bytes a peer may send on one link before we read them, and bytes we keep unacknowledged.
pub const LINK_WINDOW_BYTES: u32 = 16 * 1024 * 1024;

/// Of those, bytes a peer may send that anybody may be: one whose key nobody named and who was not
/// admitted yet. Two full heads; all links together stay at 128 MiB instead of 16 GiB.
pub const STRANGER_WINDOW_BYTES: u32 = 128 * 1024;

/// Links one endpoint serves at once. Over it a newcomer is refused.
pub const LINKS_MAX: usize = 1_024;

/// Handshakes under way before newcomers must first prove their address (RFC 9000 §8.1.2).
pub const HALF_OPEN_MAX: usize = 128;

/// Newcomers waiting to be looked at; later ones are dropped unanswered.
pub(crate) const WAITING_MAX: usize = 1_024;

/// Bytes buffered for one newcomer that is waiting, and for all of them.
pub(crate) const WAITING_BYTES: (u64, u64) = (16 * 1024, 4 * 1024 * 1024);

/// From the first datagram to a usable link, else `Timeout`.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Silence after which a link counts as lost.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// A quiet link says something this often: below the 30 s after which home routers forget a flow.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// How long a less urgent writer stands aside for a blocked, more urgent one before it may move one
/// piece anyway: the small floor that keeps bulk work alive.
pub(crate) const TURN_FLOOR: Duration = Duration::from_millis(20);

/// Pieces that wait between a body's producer and the link.
pub(crate) const BODY_CHANNEL_PIECES: usize = 4;

/// Largest datagram tried on this machine's own loopback, whose own limit is 64 KiB: ten of them, as many
/// as quinn hands to the kernel at once, stay below the 65,507 bytes of one segmented send. Elsewhere
/// datagrams grow to quinn's usual bound, for Ethernet.
pub(crate) const LOOPBACK_DATAGRAM_BYTES: u16 = 6_500;

/// Buffers of 64 KiB that one receive call fills.
pub(crate) const RECEIVE_BUFFERS: usize = 4;

/// Bytes asked for as the socket's own buffers: a few milliseconds at 10 Gbit/s.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of datagrams on their way to quinn on a shared socket; more are lost, as on any network.
pub(crate) const BESIDE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of the largest datagram that FHP tries: what one IPv4 datagram carries on a loopback.
pub(crate) const DATAGRAM_BYTES: u16 = 65_000;

/// How long FHP is tried before QUIC is tried beside it: two round trips of a bad path.
pub(crate) const FHP_HEAD_START: Duration = Duration::from_millis(750);

/// Bytes of one link's trace: some 100,000 events, seconds of a fast transfer or days of a quiet link.
pub const TRACE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Traces in one folder; the oldest is removed for a new one. Together 1 GiB at most.
pub const TRACE_FILES_MAX: usize = 64;

/// Events of all links that wait for the thread that writes them, some 16 MiB; more are missing in the trace.
pub(crate) const TRACE_WAITING_MAX: usize = 256 * 1024;
