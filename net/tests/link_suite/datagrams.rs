//! Datagrams that nobody honest sends, at a socket that serves an honest link.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freehold_net::{Accept, Class, Credit, Endpoint, FhpCounts, Link, LinkConfig, LinkError, PeerKey};
use freehold_net_proto::header::{AAD_LEN, HEADER_LEN, TAG_LEN, flag};
use freehold_net_proto::limits::{AMPLIFICATION_MAX, HALF_OPEN_RETRY};

use crate::fhp::Fhp;
use crate::hostile::request_head;
use crate::kit::{
    AMPLE, Bell, CLOSE_PROTOCOL, Desk, Event, Kind, RawLane, RawLink, RawTls, assert_alive, connect, method,
    pattern, request, wanting,
};

/// An endpoint that serves the desk, and can be asked what it holds.
struct Served {
    endpoint: Endpoint,
    addr: SocketAddr,
    key: PeerKey,
    bell: Bell,
}

fn serve(config: LinkConfig) -> Served {
    let endpoint = Fhp::bind(1, Accept::AnyKey, config);
    let (addr, key) = (endpoint.local_addr().expect("bound"), endpoint.public_key());
    let (desk, bell) = Desk::new();
    let serving = endpoint.clone();
    tokio::spawn(async move { serving.serve(move |_| Arc::clone(&desk)).await });
    Served { endpoint, addr, key, bell }
}

impl Served {
    fn counts(&self) -> FhpCounts {
        self.endpoint.fhp_counts().expect("it speaks FHP")
    }

    /// Waits until there are so many sessions and no more. Hellos that are not whole stay as long as a cookie
    /// counts.
    async fn settles_at(&self, sessions: usize) {
        while self.counts().sessions != sessions {
            // Each look takes the driver's lock: looking without a pause keeps the driver from its work.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(self.counts().newcomers <= HALF_OPEN_RETRY, "{:?}", self.counts());
    }
}

/// Stands between a client and a server, and keeps what the client says.
struct Tap {
    addr: SocketAddr,
    /// The socket that the server takes for the client's.
    upstream: Arc<UdpSocket>,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Tap {
    fn start(server: SocketAddr) -> Self {
        let bind = || {
            let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            udp.set_nonblocking(true).expect("a UDP socket");
            udp
        };
        let (front, upstream) = (bind(), Arc::new(bind()));
        upstream.connect(server).expect("a good address");
        let (addr, heard) = (front.local_addr().expect("bound"), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let back = tokio::net::UdpSocket::from_std(upstream.try_clone().expect("a UDP socket"));
        let (front, back) =
            (tokio::net::UdpSocket::from_std(front).expect("a runtime"), back.expect("a runtime"));
        let keeps = Arc::clone(&heard);
        // It ends with the test's runtime.
        tokio::spawn(async move {
            let (mut there, mut here, mut client) = (vec![0; 65_535], vec![0; 65_535], None);
            loop {
                tokio::select! {
                    came = front.recv_from(&mut there) => {
                        let (len, from) = came.expect("the client's side is open");
                        client = Some(from);
                        keeps.lock().unwrap_or_else(PoisonError::into_inner).push(there[..len].to_vec());
                        back.send(&there[..len]).await.expect("the server listens");
                    }
                    came = back.recv(&mut here) => {
                        let len = came.expect("the server listens");
                        front.send_to(&here[..len], client.expect("it spoke first")).await.expect("it listens");
                    }
                }
            }
        });
        Self { addr, upstream, heard }
    }

    fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A served endpoint and an honest link to it through a tap, over which something has gone both ways.
async fn tapped(config: LinkConfig) -> (Served, Link, Tap) {
    let served = serve(config);
    let tap = Tap::start(served.addr);
    let link = connect::<Fhp>(tap.addr, served.key, LinkConfig::default()).await;
    let call = link.call(request(method::ECHO, Class::Bulk, "", pattern(0, 60_000)), AMPLE).await;
    call.expect("sent").collect(60_000).await.expect("answered");
    (served, link, tap)
}

/// A stranger's socket, on a loopback address of its own.
fn stranger(number: usize) -> UdpSocket {
    let host = u8::try_from(2 + number % 250).expect("a small number");
    let udp = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, host), 0)).expect("a loopback address");
    udp.set_nonblocking(true).expect("a UDP socket");
    udp
}

/// Sends all of them, with room for the receiver to keep up, and for the honest link to be heard.
async fn send_all(from: &UdpSocket, to: SocketAddr, datagrams: &[Vec<u8>], link: &Link) {
    for some in datagrams.chunks(64) {
        for datagram in some {
            // What the kernel does not take is lost, like any datagram.
            let _ = from.send_to(datagram, to).or_else(|_| from.send(datagram));
        }
        assert_alive(link).await;
    }
}

/// Writes the checksum that a changed datagram should have.
fn mended(mut datagram: Vec<u8>) -> Vec<u8> {
    let is_sealed = matches!(datagram[0], 0x85..=0x88) || datagram[1] & flag::SEALED != 0;
    let covered = if is_sealed { datagram.len().saturating_sub(TAG_LEN).max(HEADER_LEN) } else { HEADER_LEN };
    let mut crc = crc32fast::Hasher::new();
    crc.update(&datagram[..AAD_LEN]);
    crc.update(&datagram[covered..]);
    datagram[AAD_LEN..HEADER_LEN].copy_from_slice(&crc.finalize().to_be_bytes());
    datagram
}

/// Each datagram with single bits flipped, as it is and with a checksum that is right again.
fn flipped(datagrams: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for (number, datagram) in datagrams.iter().enumerate() {
        for bit in (number % 13..datagram.len() * 8).step_by(datagram.len() / 2 + 37) {
            let mut changed = datagram.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            all.push(changed.clone());
            all.push(mended(changed));
        }
    }
    all
}

pub(crate) async fn repeated_and_flipped_datagrams_of_a_link_change_nothing() {
    let (served, link, tap) = tapped(LinkConfig::default()).await;
    let heard = tap.heard();
    assert!(heard.len() > 10, "{}", heard.len());
    // From where the link's own come: the server cannot tell them by their source.
    send_all(&tap.upstream, served.addr, &heard, &link).await;
    send_all(&tap.upstream, served.addr, &flipped(&heard), &link).await;
    assert_alive(&link).await;
    let counts = served.counts();
    assert!(counts.dropped.noise > 0, "flipped bits are noise until the checksum is mended");
    assert!(counts.sessions + counts.newcomers <= 1 + HALF_OPEN_RETRY, "{counts:?}");
    let call = link.call(request(method::ECHO, Class::Bulk, "", pattern(7, 60_000)), AMPLE).await;
    assert_eq!(call.expect("sent").collect(60_000).await.expect("answered").body, pattern(7, 60_000));
}

pub(crate) async fn datagrams_of_a_link_from_elsewhere_cost_a_moment_and_no_link() {
    let config = LinkConfig { handshake_timeout: Duration::from_millis(400), ..LinkConfig::default() };
    let (served, link, tap) = tapped(config).await;
    let (heard, udp) = (tap.heard(), stranger(0));
    send_all(&udp, served.addr, &heard, &link).await;
    send_all(&udp, served.addr, &flipped(&heard), &link).await;
    assert!(served.counts().dropped.stray > 0, "they are no session's");
    let (mut room, mut answered) = (vec![0; 65_535], 0);
    while let Ok(len) = udp.recv(&mut room) {
        answered += len as u64;
    }
    let sent: usize = heard.iter().chain(&flipped(&heard)).map(Vec::len).sum();
    assert!(answered <= sent as u64 * AMPLIFICATION_MAX, "{answered} for {sent}");
    served.settles_at(1).await;
    assert_alive(&link).await;
}

pub(crate) async fn a_flood_of_hellos_is_held_to_its_limit_and_honest_machines_get_in() {
    let config = LinkConfig { handshake_timeout: Duration::from_millis(400), ..LinkConfig::default() };
    let (served, link, tap) = tapped(config).await;
    // The two datagrams of a real hello, from many addresses, none of which goes on.
    let hello: Vec<Vec<u8>> = tap.heard().into_iter().take(2).collect();
    for number in 0..400 {
        let udp = stranger(number);
        for datagram in &hello {
            udp.send_to(datagram, served.addr).expect("a socket that takes one datagram");
        }
        // An answer shows that the server's socket is empty again: what it has no room for tests nothing.
        if number % 10 == 9 {
            assert_alive(&link).await;
            let counts = served.counts();
            assert!(counts.sessions + counts.newcomers <= 2 + HALF_OPEN_RETRY, "{counts:?}");
        }
    }
    let another = connect::<Fhp>(served.addr, served.key, LinkConfig::default()).await;
    assert_alive(&another).await;
    assert_alive(&link).await;
    // Both stay: the end of one would be a single datagram, which may be lost.
    served.settles_at(2).await;
    assert_alive(&another).await;
}

pub(crate) async fn frames_that_break_a_rule_end_their_link_and_no_other() {
    let served = serve(LinkConfig::default());
    let link = connect::<Fhp>(served.addr, served.key, LinkConfig::default()).await;
    // Varints: one byte below 64, two from 0x40, four from 0x80, eight from 0xc0.
    let far = [0xc0, 0, 0, 1, 0, 0, 0, 0];
    let cases: [(&str, u32, Vec<u8>); 9] = [
        ("no frame at all", 0, vec![0x3f]),
        ("a number cut short", 0, vec![0x10, 0xc0, 0]),
        ("bytes beyond the credit", 0, [&[0x0a, 0][..], &far, &[1, 7]].concat()),
        ("a lane that may not be opened", 0, vec![0x0a, 0x80, 0, 0x40, 0, 0, 1, 7]),
        ("a lane that the other side has not opened", 0, vec![0x0a, 1, 0, 1, 7]),
        ("an acknowledgement of what was not sent", 1 << 20, vec![0x02, 0, 0, 0]),
        ("an acknowledgement below zero", 0, vec![0x02, 0, 0, 5]),
        ("a reset beyond the credit", 0, [&[0x04, 0, 1][..], &far].concat()),
        ("an end that moves", 0, vec![0x0b, 0, 3, 1, 7, 0x0b, 0, 2, 1, 7]),
    ];
    for (what, ack, frames) in cases {
        let raw = Fhp::raw_connect(served.addr, served.key, RawTls::Good(5)).await.expect("a good key");
        raw.forge(ack, &frames);
        assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL), "{what}");
        assert_alive(&link).await;
    }
    served.settles_at(1).await;
}

pub(crate) async fn who_falls_silent_in_the_middle_is_forgotten_with_its_requests() {
    let config =
        LinkConfig { idle_timeout: Duration::from_millis(500), keep_alive: None, ..LinkConfig::default() };
    let mut served = serve(config);
    let raw = Fhp::raw_connect(served.addr, served.key, RawTls::Good(5)).await.expect("a good key");
    let mut hanging = raw.open_lane().await;
    hanging.write(&request_head(4, method::HANG, 0, u64::MAX, 0)).await;
    assert_eq!(served.bell.events.recv().await, Some(Event::Started));
    // And an answer that is never read nor acknowledged.
    let mut unread = raw.open_lane().await;
    let mut ask = request_head(3, method::GIVE, 64 << 20, 0, 8);
    ask.extend_from_slice(&(32_u64 << 20).to_be_bytes());
    unread.write(&ask).await;
    unread.end();
    raw.fall_silent();
    assert_eq!(served.bell.events.recv().await, Some(Event::Dropped));
    served.settles_at(0).await;
}

pub(crate) async fn who_opens_all_lanes_and_says_nothing_waits_and_others_do_not() {
    let served = serve(LinkConfig::default());
    let link = connect::<Fhp>(served.addr, served.key, LinkConfig::default()).await;
    let raw = Fhp::raw_connect(served.addr, served.key, RawTls::Good(5)).await.expect("a good key");
    // The last of 256 lanes opens all before it (the number of the last is 2 × 255).
    raw.forge(0, &[0x0a, 0x41, 0xfe, 0, 0]);
    assert_alive(&link).await;
    raw.forge(0, &[0x0a, 0x42, 0x00, 0, 0]);
    assert_eq!(raw.close_code().await, Some(CLOSE_PROTOCOL), "the 257th");
    let call = link.call(wanting(method::GIVE, Class::Bulk, 1 << 20), Credit::bytes(1 << 20)).await;
    assert_eq!(call.expect("sent").collect(1 << 20).await.map(|whole| whole.body.len()), Ok(1 << 20));
    served.settles_at(1).await;
    link.close();
    assert_eq!(link.closed().await, LinkError::Closed);
}
