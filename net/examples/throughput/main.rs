//! One side of a transfer over loopback, for `./x bench net`: `serve` hands out bytes, `fetch` takes them.
//!
//! Each contender is its best: FHP and QUIC by their links as the product uses them, quinn alone with large
//! windows and segmented sends, TLS 1.3 over TCP by rustls, TCP. All sealed ones use AES-256-GCM.

#![expect(clippy::print_stdout, reason = "a program for the benchmark: its output is its answer")]

#[path = "../../proto/tests/pair/kit.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod kit;
mod link;
#[path = "../../proto/tests/pair/network.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod network;
mod quic;
mod tcp;

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

/// Bytes handed over at once.
const PIECE_BYTES: usize = 64 * 1024;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Fhp,
    QuicLink,
    Quinn,
    Tls,
    Tcp,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("the system gives threads");
    match words[..] {
        ["serve", contender, datagram] => {
            let (contender, datagram) = (parse(contender), datagram.parse().expect("bytes"));
            match contender {
                Contender::Fhp | Contender::QuicLink => runtime.block_on(link::serve(contender, datagram)),
                Contender::Quinn => runtime.block_on(quic::serve(datagram)),
                Contender::Tls | Contender::Tcp => tcp::serve(contender),
            }
        }
        ["fetch", contender, datagram, addr, bytes] => {
            let (contender, datagram) = (parse(contender), datagram.parse().expect("bytes"));
            let addr: SocketAddr = addr.parse().expect("an address");
            let bytes: u64 = bytes.parse().expect("bytes");
            let (before, started) = (cpu_seconds(), Instant::now());
            let (got, calls) = match contender {
                Contender::Fhp | Contender::QuicLink => {
                    runtime.block_on(link::fetch(contender, datagram, addr, bytes))
                }
                Contender::Quinn => (runtime.block_on(quic::fetch(datagram, addr, bytes)), None),
                Contender::Tls | Contender::Tcp => (tcp::fetch(contender, addr, bytes), None),
            };
            assert_eq!(got, bytes, "all of it came");
            let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - before);
            let calls = calls.map(|calls| format!(",\"send_calls\":{calls}")).unwrap_or_default();
            println!("{{\"seconds\":{seconds},\"cpu_seconds\":{cpu}{calls}}}");
        }
        _ => panic!("serve CONTENDER DATAGRAM, or fetch CONTENDER DATAGRAM ADDR BYTES"),
    }
}

fn parse(word: &str) -> Contender {
    match word {
        "fhp" => Contender::Fhp,
        "quic_link" => Contender::QuicLink,
        "quinn" => Contender::Quinn,
        "tls" => Contender::Tls,
        "tcp" => Contender::Tcp,
        other => panic!("{other} is no contender"),
    }
}

/// Says where it listens, as the benchmark waits for it.
fn ready(addr: SocketAddr) {
    println!("ready {addr}");
}

/// The bytes that are handed out.
fn piece() -> Bytes {
    Bytes::from(vec![0x5a; PIECE_BYTES])
}

/// Processor time of this process, user and system.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    // utime and stime are fields 14 and 15 of proc(5), in hundredths of a second.
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum();
    ticks as f64 / 100.0
}
