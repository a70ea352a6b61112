//! The product's own links: one request, one long response.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use freehold_net::{
    Accept, Body, Class, Credit, Endpoint, Handler, Identity, Inbound, LinkConfig, Request, Responder,
    Transport,
};

use crate::{Contender, PIECE_BYTES, piece, ready};

/// Asks for bytes, and for what the giving side's socket has done so far.
mod method {
    pub(super) const GIVE: u16 = 1;
    pub(super) const SENDS: u16 = 2;
}

struct Giver(Endpoint);

impl Giver {
    /// Send calls of FHP so far; 0 where another carries the link.
    async fn tell_sends(&self, responder: Responder) {
        let calls = self.0.fhp_counts().map_or(0, |counts| counts.sends.calls);
        let told = responder.reply(Bytes::copy_from_slice(&calls.to_be_bytes()), Bytes::new()).await;
        told.expect("the other side waits for it");
    }
}

impl Handler for Giver {
    async fn handle(&self, request: Inbound, responder: Responder) {
        if request.method == method::SENDS {
            return self.tell_sends(responder).await;
        }
        let bytes = u64::from_be_bytes(request.head[..].try_into().expect("a number"));
        responder.admit();
        let mut sink = responder.start(Bytes::new(), Some(bytes)).await.expect("within its credit");
        let mut left = bytes;
        let piece = piece();
        while left > 0 {
            let now = left.min(PIECE_BYTES as u64);
            if sink.write(piece.slice(..now as usize)).await.is_err() {
                return;
            }
            left -= now;
        }
        // The other side may have left; then nobody is told.
        let _ = sink.finish();
    }
}

fn config(contender: Contender, datagram: u16) -> LinkConfig {
    let transport = if contender == Contender::Fhp { Transport::Fhp } else { Transport::Quic };
    LinkConfig { transport, datagram_bytes_max: datagram, ..LinkConfig::default() }
}

pub(crate) async fn serve(contender: Contender, datagram: u16) {
    let addr = (Ipv4Addr::LOCALHOST, 0).into();
    let identity = Identity::from_seed(&[1; 32]);
    let endpoint = Endpoint::bind(addr, identity, Accept::AnyKey, config(contender, datagram));
    let endpoint = endpoint.expect("a free port");
    ready(endpoint.local_addr().expect("bound"));
    endpoint.serve(|_| Arc::new(Giver(endpoint.clone()))).await;
}

/// Fetches; the bytes that came, and the giving side's send calls for them.
pub(crate) async fn fetch(
    contender: Contender,
    datagram: u16,
    addr: SocketAddr,
    bytes: u64,
) -> (u64, Option<u64>) {
    let (server, own) = (Identity::from_seed(&[1; 32]).public_key(), Identity::from_seed(&[2; 32]));
    let from = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = Endpoint::bind(from, own, Accept::None, config(contender, datagram)).expect("a free port");
    let link = endpoint.connect(addr, server).await.expect("it listens");
    let request = |method, head: &[u8]| Request {
        method,
        class: Class::Bulk,
        head: Bytes::copy_from_slice(head),
        body: Body::empty(),
    };
    let sends = async || {
        let call = link.call(request(method::SENDS, b""), Credit::NONE).await.expect("sent");
        let head = call.collect(0).await.expect("answered").head;
        u64::from_be_bytes(head[..].try_into().expect("a number"))
    };
    let before = sends().await;
    let head = bytes.to_be_bytes();
    let mut call = link.call(request(method::GIVE, &head), Credit::bytes(bytes)).await.expect("sent");
    let mut got = 0;
    while let Some(piece) = call.next_piece().await.expect("answered") {
        got += piece.bytes.len() as u64;
    }
    let calls = sends().await - before;
    (got, (contender == Contender::Fhp).then_some(calls))
}
