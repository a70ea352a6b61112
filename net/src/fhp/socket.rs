//! The UDP socket of a driver: many datagrams a call, both ways.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use freehold_net_proto::Transmit;
use quinn::udp::{self, RecvMeta, UdpSockRef, UdpSocketState};

use crate::limits::{RECEIVE_BUFFERS, SOCKET_BUFFER_BYTES};

/// Bytes of one receive buffer: what one call may gather of one sender.
const BUFFER_BYTES: usize = 64 * 1024;

/// A socket that segments what it sends and gathers what it receives.
#[derive(Debug)]
pub(crate) struct Socket {
    udp: UdpSocket,
    state: UdpSocketState,
    calls: AtomicU64,
    datagrams: AtomicU64,
    bytes: AtomicU64,
}

/// What a socket has sent of FHP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sends {
    /// Calls to the kernel, also those it refused.
    pub calls: u64,
    /// Datagrams that it took.
    pub datagrams: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way, or lost like any datagram.
    Done,
    /// The kernel takes no more now.
    Full,
    /// A datagram was larger than this machine's network carries.
    TooLarge,
}

/// Buffers for one receive call.
pub(crate) struct Buffers {
    bytes: Vec<u8>,
    meta: [RecvMeta; RECEIVE_BUFFERS],
}

impl Socket {
    /// Takes a bound socket over.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn new(udp: UdpSocket) -> io::Result<Self> {
        udp.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&udp))?;
        // The system may give less; then bursts are shorter before something is lost.
        for set in [UdpSocketState::set_send_buffer_size, UdpSocketState::set_recv_buffer_size] {
            if let Err(error) = set(&state, UdpSockRef::from(&udp), SOCKET_BUFFER_BYTES) {
                tracing::debug!(%error, "the socket keeps its small buffers");
            }
        }
        let (calls, datagrams, bytes) = Default::default();
        Ok(Self { udp, state, calls, datagrams, bytes })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.local_addr()
    }

    pub(crate) const fn udp(&self) -> &UdpSocket {
        &self.udp
    }

    /// Sends what stands in `out`; where the system does not segment, one datagram at a time.
    pub(crate) fn send(&self, transmit: &Transmit, out: &[u8]) -> Sent {
        let Some(contents) = out.get(..transmit.len) else { return Sent::Done };
        let segments = self.state.max_gso_segments().max(1);
        for part in contents.chunks(transmit.segment.max(1) * segments) {
            let segment_size = (part.len() > transmit.segment).then_some(transmit.segment);
            let datagrams = udp::Transmit {
                destination: transmit.to,
                ecn: None,
                contents: part,
                segment_size,
                src_ip: None,
            };
            self.calls.fetch_add(1, Ordering::Relaxed);
            match self.state.try_send(UdpSockRef::from(&self.udp), &datagrams) {
                Ok(()) => {
                    let count = part.len().div_ceil(transmit.segment.max(1));
                    self.datagrams.fetch_add(count as u64, Ordering::Relaxed);
                    self.bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Sent::Full,
                Err(error) if is_too_large(&error) => return Sent::TooLarge,
                // Unreachable networks and the like: the datagrams are lost, and found to be.
                Err(error) => tracing::debug!(%error, "datagrams could not be sent"),
            }
        }
        Sent::Done
    }

    /// What was sent by [`Self::send`].
    pub(crate) fn sends(&self) -> Sends {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Sends { calls: read(&self.calls), datagrams: read(&self.datagrams), bytes: read(&self.bytes) }
    }

    /// Sends for somebody else on the same socket.
    pub(crate) fn send_other(&self, transmit: &udp::Transmit<'_>) -> io::Result<()> {
        self.state.send(UdpSockRef::from(&self.udp), transmit)
    }

    pub(crate) fn segments(&self) -> (usize, usize) {
        (self.state.max_gso_segments(), self.state.gro_segments())
    }

    /// Receives what is there; how many buffers were filled, 0 when nothing is there.
    pub(crate) fn receive(&self, buffers: &mut Buffers) -> usize {
        let mut slices = buffers.bytes.chunks_exact_mut(BUFFER_BYTES).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; RECEIVE_BUFFERS] =
            std::array::from_fn(|_| slices.next().expect("as many parts as buffers"));
        match self.state.recv(UdpSockRef::from(&self.udp), &mut slices, &mut buffers.meta) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => {
                tracing::debug!(%error, "nothing could be received");
                0
            }
        }
    }
}

fn is_too_large(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; BUFFER_BYTES * RECEIVE_BUFFERS], meta: [RecvMeta::default(); RECEIVE_BUFFERS] }
    }

    /// The filled buffers: from whom, bytes of each datagram, and the datagrams behind one another.
    pub(crate) fn filled(&mut self, count: usize) -> impl Iterator<Item = (&RecvMeta, &mut [u8])> {
        let filled = self.bytes.chunks_exact_mut(BUFFER_BYTES).zip(&self.meta).take(count);
        filled.map(|(bytes, meta)| (meta, bytes.get_mut(..meta.len).unwrap_or_default()))
    }
}
