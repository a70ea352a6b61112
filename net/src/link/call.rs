//! The asking side: sends one request, reads its response, cancels by being dropped.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use freehold_model::codec;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::body::{Body, BodyReader, Piece};
use super::carrier::{Rx, Tx, TxError};
use super::{LinkError, Shared};
use crate::wire::{BodyMeter, Class, RefusalCode, RequestHead, ResponseHead, Verdict};

/// What is asked.
#[derive(Debug)]
pub struct Request {
    /// Number of the method in the peer protocol.
    pub method: u16,
    /// Urgency of the request and of its response.
    pub class: Class,
    /// Small part, delivered whole; at most 64 KiB.
    pub head: Bytes,
    /// Large part, delivered as a stream.
    pub body: Body,
}

/// What the asking side is willing to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// Bytes of response body.
    pub max_body_bytes: u64,
}

impl Credit {
    /// Nothing but a head.
    pub const NONE: Self = Self { max_body_bytes: 0 };

    /// At most `max_body_bytes` of response body.
    #[must_use]
    pub const fn bytes(max_body_bytes: u64) -> Self {
        Self { max_body_bytes }
    }
}

/// A whole response.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    /// Small part.
    pub head: Bytes,
    /// Large part.
    pub body: Bytes,
}

/// Shows lengths, never content.
impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Response(head {} bytes, body {} bytes)", self.head.len(), self.body.len())
    }
}

/// A request in flight. Dropping it tells the other side to stop working on it.
#[derive(Debug)]
pub struct Call {
    state: State,
    credit: Credit,
    sender: Option<Sender>,
    link: Arc<Shared>,
    _slot: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum State {
    /// Nothing of the response has been read whole.
    Asked(Rx),
    /// The fixed part has.
    Answered(Rx, ResponseHead),
    /// The head has.
    Body(Bytes, BodyReader),
    /// The request failed for good.
    Failed(LinkError),
}

/// The task that sends the body; it ends with the call.
#[derive(Debug)]
struct Sender(JoinHandle<Result<(), LinkError>>);

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Call {
    /// Sends the heads and starts the body on its way.
    pub(super) async fn start(
        link: Arc<Shared>,
        request: Request,
        credit: Credit,
    ) -> Result<Self, LinkError> {
        let Request { method, class, head, body } = request;
        let body_bytes = body.len_bytes();
        check_sizes(&link, &head, body_bytes)?;
        let slot = if class.is_urgent() {
            None
        } else {
            Some(Arc::clone(&link.ordinary).acquire_owned().await.map_err(|_| LinkError::Closed)?)
        };
        let (mut tx, rx) = link.carrier.open().await?;
        tx.set_class(class);
        let head_bytes = u32::try_from(head.len()).expect("the head was checked against its limit");
        let fixed =
            RequestHead { class, method, credit_bytes: credit.max_body_bytes, body_bytes, head_bytes };
        let mut first = BytesMut::with_capacity(RequestHead::LEN + head.len());
        first.extend_from_slice(&codec::to_vec(&fixed));
        first.extend_from_slice(&head);
        let is_whole = body_bytes == Some(0);
        let sender = match send(&link, &mut tx, class, first.freeze(), is_whole).await {
            Ok(()) if is_whole => {
                tx.finish();
                None
            }
            Ok(()) => Some(Sender(tokio::spawn(send_body(Arc::clone(&link), tx, class, body)))),
            // Refused before it was heard out: the response says why.
            Err(TxError::Unwanted) => None,
            Err(TxError::Link(error)) => return Err(error),
        };
        Ok(Self { state: State::Asked(rx), credit, sender, link, _slot: slot })
    }

    /// Waits for the response's head.
    ///
    /// # Errors
    /// `Refused` when the other side said no, `TooBig` when the response would exceed the credit,
    /// `Closed` when the link is gone, `Protocol` when the response is malformed.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing; it can be called again.
    pub async fn head(&mut self) -> Result<Bytes, LinkError> {
        match self.advance().await {
            Ok(()) => {}
            Err(error) => {
                let error = self.first_cause(error).await;
                self.state = State::Failed(error);
            }
        }
        match &self.state {
            State::Body(head, _) => Ok(head.clone()),
            State::Failed(error) => Err(error.clone()),
            State::Asked(_) | State::Answered(..) => Err(LinkError::Closed),
        }
    }

    /// Waits for the next piece of the response's body; `None` once it is complete.
    ///
    /// # Errors
    /// As [`Self::head`].
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_piece(&mut self) -> Result<Option<Piece>, LinkError> {
        self.head().await?;
        match &mut self.state {
            State::Body(_, body) => body.next_piece().await,
            _ => Err(LinkError::Closed),
        }
    }

    /// Receives the whole response, with at most `max_bytes` of body.
    ///
    /// # Errors
    /// `TooBig` over `max_bytes`, else as [`Self::head`].
    pub async fn collect(mut self, max_bytes: usize) -> Result<Response, LinkError> {
        let head = self.head().await?;
        let State::Body(_, body) = &mut self.state else { return Err(LinkError::Closed) };
        Ok(Response { head, body: body.collect(max_bytes).await? })
    }

    async fn advance(&mut self) -> Result<(), LinkError> {
        if let State::Asked(rx) = &mut self.state {
            let bytes = rx.ordered(ResponseHead::LEN).await;
            let bytes = bytes.map_err(|error| self.link.judge(error))?;
            let fixed =
                codec::from_slice(&bytes).map_err(|_| self.link.violated("a malformed response head"))?;
            self.step(|rx| State::Answered(rx, fixed));
        }
        if let State::Answered(rx, fixed) = &mut self.state {
            let fixed = *fixed;
            if let Verdict::Refused(code) = fixed.verdict {
                return Err(LinkError::Refused(code));
            }
            let meter = BodyMeter::new(fixed.body_bytes, self.credit.max_body_bytes);
            let meter = meter.map_err(|_| self.link.violated("a response over the granted credit"))?;
            let head = rx.ordered(fixed.head_bytes as usize).await;
            let head = head.map_err(|error| self.link.judge(error))?;
            let link = Arc::clone(&self.link);
            self.step(|rx| State::Body(head, BodyReader::new(rx, meter, link)));
        }
        Ok(())
    }

    /// Moves on to the next state with the same receiving half.
    fn step(&mut self, next: impl FnOnce(Rx) -> State) {
        self.state = match std::mem::replace(&mut self.state, State::Failed(LinkError::Closed)) {
            State::Asked(rx) | State::Answered(rx, _) => next(rx),
            done => done,
        };
    }

    /// When our own sending failed first, that is the cause; the other side only saw us give up.
    async fn first_cause(&mut self, error: LinkError) -> LinkError {
        if let LinkError::Refused(RefusalCode::OVER_CREDIT) = error {
            return LinkError::TooBig { limit_bytes: self.credit.max_body_bytes };
        }
        match &mut self.sender {
            Some(sender) if sender.0.is_finished() => match (&mut sender.0).await {
                Ok(Err(cause)) => cause,
                _ => error,
            },
            _ => error,
        }
    }
}

fn check_sizes(link: &Shared, head: &Bytes, body_bytes: Option<u64>) -> Result<(), LinkError> {
    if link.theirs.max_in_flight == 0 {
        return Err(LinkError::Refused(RefusalCode::NOT_SERVING));
    }
    let head_max = u64::from(link.theirs.max_head_bytes).min(crate::limits::HEAD_BYTES_MAX as u64);
    if head.len() as u64 > head_max {
        return Err(LinkError::TooBig { limit_bytes: head_max });
    }
    let body_max = link.theirs.max_body_bytes;
    if body_bytes.is_some_and(|len| len > body_max) {
        return Err(LinkError::TooBig { limit_bytes: body_max });
    }
    Ok(())
}

/// Hands `bytes` over in turns; with `more`, something else of the same lane follows at once.
pub(super) async fn send(
    link: &Shared,
    tx: &mut Tx,
    class: Class,
    mut bytes: Bytes,
    more: bool,
) -> Result<(), TxError> {
    while !bytes.is_empty() {
        let _turn = link.turns.take(class).await;
        tx.write_some(&mut bytes, more).await?;
    }
    Ok(())
}

async fn send_body(link: Arc<Shared>, mut tx: Tx, class: Class, mut body: Body) -> Result<(), LinkError> {
    let limit_bytes = link.theirs.max_body_bytes;
    let mut meter =
        BodyMeter::new(body.len_bytes(), limit_bytes).map_err(|_| LinkError::TooBig { limit_bytes })?;
    let mut offset = 0;
    while let Some(bytes) = body.next().await? {
        if meter.piece(offset, bytes.len()).is_err() {
            tx.reset(RefusalCode::BODY_TOO_BIG);
            return Err(LinkError::TooBig { limit_bytes: meter.announced().unwrap_or(limit_bytes) });
        }
        offset += bytes.len() as u64;
        match send(&link, &mut tx, class, bytes, false).await {
            Ok(()) => {}
            // The response says why, and may well be a good one.
            Err(TxError::Unwanted) => return Ok(()),
            Err(TxError::Link(error)) => return Err(error),
        }
    }
    // A producer that stopped short of its own announcement gave up.
    meter.finish().map_err(|_| LinkError::Cancelled)?;
    tx.finish();
    Ok(())
}
