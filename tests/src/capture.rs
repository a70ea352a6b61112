//! Every datagram and segment on the loopback device, while a scenario runs.
//!
//! A packet socket (packet(7)) on `lo` copies whole frames into one file. It needs root, as the mounts do.

use anyhow::{Context, Result};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{AddressFamily, RecvFlags, SocketType, recv, socket};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A running capture.
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64>>,
}

impl Capture {
    /// Starts to copy everything on `lo` into `file`.
    ///
    /// # Errors
    /// Without the right to open a packet socket.
    pub fn start(file: &Path) -> Result<Self> {
        let socket = packet_socket().context("a packet socket on lo")?;
        let out = BufWriter::new(File::create(file)?);
        let stop = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&stop);
        let thread = std::thread::spawn(move || copy(&socket, out, &ended));
        Ok(Self { stop, thread })
    }

    /// Ends the capture and returns the bytes it copied.
    ///
    /// # Errors
    /// When the file could not be written.
    ///
    /// # Panics
    /// When the copying thread did.
    pub fn finish(self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the capture thread does not panic")
    }
}

fn packet_socket() -> Result<OwnedFd> {
    // ETH_P_ALL in network order, as packet(7) wants it.
    let protocol = rustix::net::Protocol::from_raw(0x0003_u32.swap_bytes().wrapping_shr(16).try_into()?);
    let socket = socket(AddressFamily::PACKET, SocketType::RAW, Some(protocol))?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20)?;
    let timeout = Some(std::time::Duration::from_millis(100));
    rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, timeout)?;
    Ok(socket)
}

fn copy(socket: &OwnedFd, mut out: BufWriter<File>, ended: &AtomicBool) -> Result<u64> {
    let mut frame = vec![0; 1 << 17];
    let mut total = 0;
    while !ended.load(Ordering::SeqCst) {
        match recv(socket.as_fd(), &mut frame[..], RecvFlags::empty()) {
            Ok((len, _)) => {
                let len = len.min(frame.len());
                out.write_all(&frame[..len])?;
                total += len as u64;
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("reading the packet socket"),
        }
    }
    out.flush()?;
    Ok(total)
}
