//! FHP/1, the Freehold protocol over UDP, without I/O.
//!
//! An [`Endpoint`] is all sessions of one socket: datagrams and the time go in, datagrams and events come
//! out. A [`Session`] is an authenticated, sealed connection to one other machine that carries lanes; a lane
//! is one request and its response. Nothing here reads a clock, a socket or the system's randomness, so a
//! pair of endpoints runs in virtual time under any network.
//!
//! The way of a byte out: [`lane`] keeps it until it arrives, [`session`] puts it into a packet when
//! congestion control and pace allow, [`frame`] says how, [`keys`] seals, [`header`] stands in front. The
//! way in is the same backwards. [`sent`] finds what was lost, [`mtu`] how large a packet may be,
//! [`handshake`] is TLS 1.3 inside INIT and RESP, [`trace`] what somebody who asks is told of it all. Every byte is drawn in `docs/protocol.md`.

mod congestion;
mod cookie;
mod endpoint;
mod frame;
mod handshake;
pub mod header;
mod keys;
mod lane;
pub mod limits;
mod mtu;
mod pacer;
mod params;
#[cfg(feature = "probe")]
pub mod probe;
mod ranges;
mod received;
mod rtt;
mod sent;
mod session;
mod time;
mod trace;
#[cfg(test)]
mod vectors;

pub use endpoint::{Dropped, Endpoint, SessionId};
pub use handshake::HandshakeError;
pub use lane::{CLASSES, LaneEvent, LaneId, Read, Violation, Windows};
pub use session::{Closed, Event, Session, SessionConfig, Stats, Transmit};
pub use time::Time;
pub use trace::TraceEvent;
