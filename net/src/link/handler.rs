//! The answering side: what a handler gets and how it answers.

use std::future::Future;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use freehold_model::codec;

use super::body::{Body, BodyReader};
use super::call::{Credit, send};
use super::carrier::{Tx, TxError};
use super::{LinkError, PeerInfo, Shared};
use crate::limits::HEAD_BYTES_MAX;
use crate::wire::{BodyMeter, Class, RefusalCode, ResponseHead, Verdict};

/// Answers requests of one link.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Runs as its own task; the future is dropped when the other side gives
    /// the request up or the link closes, so everything it holds must be free to go at any await.
    /// A handler that ends without answering gives the request up: the caller sees `Cancelled`.
    fn handle(&self, request: Inbound, responder: Responder) -> impl Future<Output = ()> + Send;

    /// Completes when the link is to be closed although no rule of it was broken, as for one who did
    /// not show in time what it may do here. Never, unless a handler says otherwise.
    fn overstayed(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// A request from the other side.
#[derive(Debug)]
pub struct Inbound {
    /// Who asks; its key is proven, what it may do is the handler's decision.
    pub peer: PeerInfo,
    /// Number of the method in the peer protocol.
    pub method: u16,
    /// Urgency.
    pub class: Class,
    /// Small part.
    pub head: Bytes,
    /// Large part, not received yet.
    pub body: BodyReader,
}

/// Answers one request, once.
#[derive(Debug)]
pub struct Responder {
    tx: Tx,
    class: Class,
    credit: Credit,
    link: Arc<Shared>,
}

/// The body of a response under way. Dropping it before [`BodySink::finish`] gives it up: the other
/// side never takes the part it saw for the whole.
#[derive(Debug)]
pub struct BodySink {
    responder: Responder,
    meter: BodyMeter,
    offset: u64,
}

impl Responder {
    pub(super) const fn new(tx: Tx, class: Class, credit: Credit, link: Arc<Shared>) -> Self {
        Self { tx, class, credit, link }
    }

    /// What the asking side is willing to receive.
    #[must_use]
    pub const fn credit(&self) -> Credit {
        self.credit
    }

    /// The other side has shown that it may be here: it gets the link's whole window. Until then a
    /// peer that an endpoint took by [`crate::Accept::AnyKey`] may leave only a little unread.
    pub fn admit(&self) {
        self.link.carrier.admit(self.link.window_bytes);
    }

    /// Answers with a head and a whole body.
    ///
    /// # Errors
    /// `TooBig` when the body is over the credit (the other side is told), `Cancelled` when it gave
    /// up, `Closed` when the link is gone.
    pub async fn reply(self, head: Bytes, body: impl Into<Body> + Send) -> Result<(), LinkError> {
        let mut body = body.into();
        // Of what is in memory already, head, body and end travel together where they fit.
        let more = body.is_ready();
        let mut sink = self.begin(head, body.len_bytes(), more).await?;
        while let Some(bytes) = body.next().await? {
            sink.send(bytes, more).await?;
        }
        sink.finish()
    }

    /// Answers with a head, and a body that is then written piece by piece; `body_bytes` when its
    /// length is known.
    ///
    /// # Errors
    /// As [`Self::reply`]; also `TooBig` for a head over 64 KiB.
    pub async fn start(self, head: Bytes, body_bytes: Option<u64>) -> Result<BodySink, LinkError> {
        self.begin(head, body_bytes, false).await
    }

    async fn begin(
        mut self,
        head: Bytes,
        body_bytes: Option<u64>,
        more: bool,
    ) -> Result<BodySink, LinkError> {
        if head.len() > HEAD_BYTES_MAX {
            self.tx.reset(RefusalCode::INTERNAL);
            return Err(LinkError::TooBig { limit_bytes: HEAD_BYTES_MAX as u64 });
        }
        let Ok(meter) = BodyMeter::new(body_bytes, self.credit.max_body_bytes) else {
            let limit_bytes = self.credit.max_body_bytes;
            self.refuse(RefusalCode::OVER_CREDIT).await?;
            return Err(LinkError::TooBig { limit_bytes });
        };
        let head_bytes = u32::try_from(head.len()).expect("the head was checked against its limit");
        let fixed = ResponseHead { verdict: Verdict::Granted, body_bytes, head_bytes };
        self.send_head(fixed, &head, more).await?;
        Ok(BodySink { responder: self, meter, offset: 0 })
    }

    /// Says no. The rest of the request's body is not wanted any more.
    ///
    /// # Errors
    /// `Cancelled` when the other side gave up, `Closed` when the link is gone.
    pub async fn refuse(mut self, code: RefusalCode) -> Result<(), LinkError> {
        self.send_head(ResponseHead::refusal(code), &[], true).await?;
        self.tx.finish();
        Ok(())
    }

    async fn send_head(&mut self, fixed: ResponseHead, head: &[u8], more: bool) -> Result<(), LinkError> {
        let mut bytes = BytesMut::with_capacity(ResponseHead::LEN + head.len());
        bytes.extend_from_slice(&codec::to_vec(&fixed));
        bytes.extend_from_slice(head);
        self.send(bytes.freeze(), more).await
    }

    async fn send(&mut self, bytes: Bytes, more: bool) -> Result<(), LinkError> {
        send(&self.link, &mut self.tx, self.class, bytes, more).await.map_err(|error| match error {
            TxError::Unwanted => LinkError::Cancelled,
            TxError::Link(error) => error,
        })
    }
}

impl BodySink {
    /// Sends the next bytes, waiting while the other side reads slower.
    ///
    /// # Errors
    /// `TooBig` past the announced length or the credit (the other side is told), `Cancelled` when
    /// it gave up, `Closed` when the link is gone.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), LinkError> {
        self.send(bytes, false).await
    }

    async fn send(&mut self, mut bytes: Bytes, more: bool) -> Result<(), LinkError> {
        if self.meter.piece(self.offset, bytes.len()).is_err() {
            let limit_bytes = self.meter.announced().unwrap_or(self.responder.credit.max_body_bytes);
            self.responder.tx.reset(RefusalCode::OVER_CREDIT);
            return Err(LinkError::TooBig { limit_bytes });
        }
        self.offset += bytes.len() as u64;
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(crate::limits::PIECE_BYTES));
            self.responder.send(piece, more).await?;
        }
        Ok(())
    }

    /// Marks the body complete.
    ///
    /// # Errors
    /// `Cancelled` when fewer bytes were written than announced: the response is given up.
    pub fn finish(mut self) -> Result<(), LinkError> {
        self.meter.finish().map_err(|_| LinkError::Cancelled)?;
        self.responder.tx.finish();
        Ok(())
    }
}
