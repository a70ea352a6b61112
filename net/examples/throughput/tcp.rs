//! TCP, bare and under TLS 1.3 by rustls, with blocking reads and writes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::{Contender, PIECE_BYTES, kit, piece, ready};

pub(crate) fn serve(contender: Contender) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    ready(listener.local_addr().expect("bound"));
    let tls = kit::server(2, &[1]);
    for stream in listener.incoming() {
        let stream = stream.expect("a connection");
        stream.set_nodelay(true).expect("a TCP socket");
        let tls = tls.clone();
        thread::spawn(move || match contender {
            Contender::Tls => {
                let session = ServerConnection::new(tls).expect("a good configuration");
                give(StreamOwned::new(session, stream));
            }
            _ => give(stream),
        });
    }
}

fn give(mut stream: impl Read + Write) {
    let mut wanted = [0; 8];
    stream.read_exact(&mut wanted).expect("how much");
    let (mut left, piece) = (u64::from_be_bytes(wanted), piece());
    while left > 0 {
        let now = left.min(PIECE_BYTES as u64);
        stream.write_all(&piece[..now as usize]).expect("taken");
        left -= now;
    }
    stream.flush().expect("taken");
}

pub(crate) fn fetch(contender: Contender, addr: SocketAddr, bytes: u64) -> u64 {
    let stream = TcpStream::connect(addr).expect("it listens");
    stream.set_nodelay(true).expect("a TCP socket");
    if contender == Contender::Tls {
        let name = ServerName::try_from("freehold").expect("a name");
        let session = ClientConnection::new(kit::client(1, 2), name).expect("a good configuration");
        take(StreamOwned::new(session, stream), bytes)
    } else {
        take(stream, bytes)
    }
}

fn take(mut stream: impl Read + Write, bytes: u64) -> u64 {
    stream.write_all(&bytes.to_be_bytes()).expect("taken");
    stream.flush().expect("taken");
    let (mut got, mut room) = (0, vec![0; PIECE_BYTES]);
    while got < bytes {
        let count = stream.read(&mut room).expect("answered");
        assert!(count > 0, "it ends early");
        got += count as u64;
    }
    got
}
