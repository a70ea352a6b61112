//! Stands between a device and its server, and notes what the server acknowledged and when.
//!
//! Requests and answers pass unchanged. Each exchange of a path that is asked for is kept with both bodies and the
//! place in time at which the answer was complete, before its first byte goes on to the device: what it acknowledges
//! was true by then. It reads as much HTTP/1.1 (RFC 9112) as the two programs speak: bodies with a length, and
//! connections that become WebSockets, which pass through.

use crate::writer::Place;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Bodies longer than this are no message of ours.
const BODY_BYTES_MAX: u64 = 1 << 28;

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The path asked for, with its query.
    pub path: String,
    /// What was sent.
    pub request: Vec<u8>,
    /// The status answered.
    pub status: u16,
    /// What was answered.
    pub answer: Vec<u8>,
    /// When the answer was complete.
    pub place: u64,
}

/// The witness. It ends when it is dropped, and the connections through it then.
pub struct Witness {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    server: SocketAddr,
    wanted: Vec<&'static str>,
    place: Place,
    noted: Mutex<Vec<Exchange>>,
    has_ended: AtomicBool,
}

/// The head of a message.
struct Head {
    bytes: Vec<u8>,
    first_line: String,
    body_bytes: u64,
}

impl Witness {
    /// Starts to listen in front of `server`, and to note what is asked of paths that end in one of `wanted`.
    ///
    /// # Errors
    /// Without a free port.
    pub fn start(server: SocketAddr, wanted: &[&'static str], place: Place) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server,
            wanted: wanted.to_vec(),
            place,
            noted: Mutex::default(),
            has_ended: AtomicBool::new(false),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::spawn(move || own.listen(&listener));
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// What to give a device as its server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was noted so far, in the order of the answers.
    #[must_use]
    pub fn noted(&self) -> Vec<Exchange> {
        self.shared.noted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((device, _)) = listener.accept() {
            if self.has_ended.load(Ordering::SeqCst) {
                return;
            }
            let own = Arc::clone(self);
            std::thread::spawn(move || {
                // Whoever was cut off asks again: devices are made for that.
                drop(own.serve(&device));
                drop(device.shutdown(Shutdown::Both));
            });
        }
    }

    /// Serves one connection until either side ends it.
    fn serve(&self, device: &TcpStream) -> Result<()> {
        let server = TcpStream::connect(self.server)?;
        device.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (mut from_device, mut from_server) = (BufReader::new(device), BufReader::new(&server));
        loop {
            let request = Head::read(&mut from_device)?;
            let asked = read_body(&mut from_device, request.body_bytes)?;
            (&server).write_all(&[request.bytes, asked.clone()].concat())?;
            let answer = Head::read(&mut from_server)?;
            let status = answer.status()?;
            if status == 101 {
                (&mut &*device).write_all(&answer.bytes)?;
                return tunnel(from_device, from_server, device, &server);
            }
            let answered = read_body(&mut from_server, answer.body_bytes)?;
            let path = request.first_line.split(' ').nth(1).unwrap_or_default().to_owned();
            if self.wanted.iter().any(|wanted| path.ends_with(wanted)) {
                let exchange = Exchange {
                    path,
                    request: asked,
                    status,
                    answer: answered.clone(),
                    place: (self.place)(),
                };
                self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
            }
            (&mut &*device).write_all(&[answer.bytes, answered].concat())?;
        }
    }
}

impl Head {
    fn read(from: &mut impl BufRead) -> Result<Self> {
        let (mut bytes, mut first_line, mut body_bytes) = (Vec::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            ensure!(from.read_line(&mut line)? > 0, "the connection ended");
            bytes.extend_from_slice(line.as_bytes());
            match line.trim_end() {
                "" => return Ok(Self { bytes, first_line, body_bytes }),
                line if first_line.is_empty() => first_line = line.to_owned(),
                line => {
                    let (name, value) = line.split_once(':').context("a header without a colon")?;
                    if name.eq_ignore_ascii_case("content-length") {
                        body_bytes = value.trim().parse()?;
                    }
                    ensure!(!name.eq_ignore_ascii_case("transfer-encoding"), "a body without a length");
                }
            }
        }
    }

    fn status(&self) -> Result<u16> {
        Ok(self.first_line.split(' ').nth(1).context("no status line")?.parse()?)
    }
}

fn read_body(from: &mut impl Read, len_bytes: u64) -> Result<Vec<u8>> {
    ensure!(len_bytes <= BODY_BYTES_MAX, "a body of {len_bytes} bytes");
    let mut body = vec![0; usize::try_from(len_bytes)?];
    from.read_exact(&mut body)?;
    Ok(body)
}

/// Copies both ways until one side ends.
fn tunnel(
    mut from_device: BufReader<&TcpStream>,
    mut from_server: BufReader<&TcpStream>,
    device: &TcpStream,
    server: &TcpStream,
) -> Result<()> {
    std::thread::scope(|scope| {
        scope.spawn(move || {
            drop(std::io::copy(&mut from_server, &mut &*device));
            drop(device.shutdown(Shutdown::Both));
        });
        drop(std::io::copy(&mut from_device, &mut &*server));
        drop(server.shutdown(Shutdown::Both));
    });
    Ok(())
}
