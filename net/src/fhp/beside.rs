//! quinn on the same socket: what is not FHP's is handed over to it, and it sends by the driver's socket.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::driver::Shared;
use crate::limits::BESIDE_BYTES_MAX;

/// Datagrams on their way to quinn, and who waits for them.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    arrived: Mutex<Arrived>,
    /// The kernel takes no more, and quinn waits for that to change.
    is_blocked: AtomicBool,
    writers: Mutex<Vec<Waker>>,
}

#[derive(Debug, Default)]
struct Arrived {
    datagrams: VecDeque<(RecvMeta, Vec<u8>)>,
    bytes: usize,
    reader: Option<Waker>,
}

impl Beside {
    /// A datagram came; beyond the cap it is lost, like any datagram.
    pub(super) fn arrived(&self, meta: &RecvMeta, datagram: &[u8]) {
        let mut arrived = self.arrived.lock();
        if arrived.bytes + datagram.len() <= BESIDE_BYTES_MAX {
            arrived.bytes += datagram.len();
            let meta = RecvMeta { len: datagram.len(), stride: datagram.len(), ..*meta };
            arrived.datagrams.push_back((meta, datagram.to_vec()));
        }
    }

    /// Wakes who waits for datagrams, if there are any.
    pub(super) fn deliver(&self) {
        let mut arrived = self.arrived.lock();
        let waker = if arrived.datagrams.is_empty() { None } else { arrived.reader.take() };
        drop(arrived);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Acquire)
    }

    /// The kernel takes datagrams again.
    pub(super) fn unblock(&self) {
        self.is_blocked.store(false, Ordering::Release);
        let writers = std::mem::take(&mut *self.writers.lock());
        writers.into_iter().for_each(Waker::wake);
    }
}

/// The driver's socket as quinn sees it.
pub(crate) struct SharedSocket(pub(crate) Arc<Shared>);

impl AsyncUdpSocket for SharedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Writer(Arc::clone(&self.0)))
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.0.socket.send_other(transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.0.beside.is_blocked.store(true, Ordering::Release);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut arrived = self.0.beside.arrived.lock();
        let mut count = 0;
        for (buffer, meta) in bufs.iter_mut().zip(meta) {
            let Some((of, datagram)) = arrived.datagrams.pop_front() else { break };
            arrived.bytes -= datagram.len();
            if let Some(room) = buffer.get_mut(..datagram.len()) {
                room.copy_from_slice(&datagram);
                *meta = of;
                count += 1;
            }
        }
        if count == 0 {
            arrived.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.0.socket.segments().0
    }

    fn max_receive_segments(&self) -> usize {
        1
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl fmt::Debug for SharedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSocket")
    }
}

/// Waits until the socket takes datagrams.
struct Writer(Arc<Shared>);

impl UdpPoller for Writer {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let beside = &self.0.beside;
        let mut writers = beside.writers.lock();
        if !beside.is_blocked() {
            return Poll::Ready(Ok(()));
        }
        writers.push(cx.waker().clone());
        drop(writers);
        self.0.wake();
        Poll::Pending
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Writer")
    }
}
