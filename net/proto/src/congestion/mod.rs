//! How much may be on its way at once.

mod cubic;
mod hystart;

pub(crate) use cubic::Cubic;

use crate::rtt::Rtt;
use crate::time::Time;

/// Decides the window. Another algorithm is another implementation of this.
pub(crate) trait Controller: Send + std::fmt::Debug {
    /// Packets were acknowledged; the newest of them was sent at `newest`. `is_limited` says that the window,
    /// and not a lack of data, held the sender back.
    fn acked(&mut self, bytes: u64, newest: Time, is_limited: bool, rtt: &Rtt, now: Time);

    /// Packets were lost; the newest of them was sent at `newest`.
    fn lost(&mut self, newest: Time, now: Time);

    /// Nothing has come back for several probe timeouts. What was sent until now and is found lost later counts no more.
    fn stalled(&mut self, now: Time);

    /// The size of a full packet has changed.
    fn set_packet_bytes(&mut self, bytes: u64);

    /// Bytes that may be on their way.
    fn window(&self) -> u64;

    /// Whether it is still looking for the path's capacity: then packets are sent faster than the window says.
    fn is_starting(&self) -> bool;
}
