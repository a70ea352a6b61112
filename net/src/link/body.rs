//! Bodies: what is sent (in memory or produced piece by piece) and what is received.
//!
//! A sent body knows its length when it can; a received one yields [`Piece`]s that name their
//! offset. Neither is ever held whole by the link.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use crate::limits::{BODY_CHANNEL_PIECES, PIECE_BYTES};
use crate::link::carrier::Rx;
use crate::link::{LinkError, Shared};
use crate::wire::{BodyMeter, RefusalCode};

/// A part of a body and where it belongs.
#[derive(Clone, PartialEq, Eq)]
pub struct Piece {
    /// Offset of the first byte in the body.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// Shows position and length, never content.
impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Piece({} + {} bytes)", self.offset, self.bytes.len())
    }
}

/// A body to send.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    Parts(VecDeque<Bytes>),
    Produced { len_bytes: Option<u64>, pieces: mpsc::Receiver<Produced> },
}

enum Produced {
    Piece(Bytes),
    End,
}

/// The producing end of [`Body::channel`]. Dropping it before [`BodyWriter::finish`] gives the
/// message up: the other side never takes the part it saw for the whole.
#[derive(Debug)]
pub struct BodyWriter(mpsc::Sender<Produced>);

impl Body {
    /// No bytes.
    #[must_use]
    pub const fn empty() -> Self {
        Self(Source::Parts(VecDeque::new()))
    }

    /// A body that a task writes while it is sent; `len_bytes` when it is known beforehand.
    /// At most a handful of pieces wait in between.
    #[must_use]
    pub fn channel(len_bytes: Option<u64>) -> (BodyWriter, Self) {
        let (sender, pieces) = mpsc::channel(BODY_CHANNEL_PIECES);
        (BodyWriter(sender), Self(Source::Produced { len_bytes, pieces }))
    }

    /// Length in bytes, when known.
    pub(crate) fn len_bytes(&self) -> Option<u64> {
        match &self.0 {
            Source::Parts(parts) => Some(parts.iter().map(|part| part.len() as u64).sum()),
            Source::Produced { len_bytes, .. } => *len_bytes,
        }
    }

    /// Whether all of it is in memory, so that nobody waits for a part.
    pub(crate) const fn is_ready(&self) -> bool {
        matches!(self.0, Source::Parts(_))
    }

    /// Takes the next part, of at most [`PIECE_BYTES`]; `None` at the end.
    ///
    /// # Errors
    /// `Cancelled` when the producer went away before the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, LinkError> {
        match &mut self.0 {
            Source::Parts(parts) => {
                while parts.front().is_some_and(Bytes::is_empty) {
                    parts.pop_front();
                }
                Ok(parts.front_mut().map(|part| part.split_to(part.len().min(PIECE_BYTES))))
            }
            Source::Produced { pieces, .. } => match pieces.recv().await {
                Some(Produced::Piece(bytes)) => Ok(Some(bytes)),
                Some(Produced::End) => Ok(None),
                None => Err(LinkError::Cancelled),
            },
        }
    }
}

impl BodyWriter {
    /// Hands over the next bytes, waiting while the link is behind.
    ///
    /// # Errors
    /// `Cancelled` when nobody sends the body any more.
    pub async fn write(&self, bytes: Bytes) -> Result<(), LinkError> {
        self.0.send(Produced::Piece(bytes)).await.map_err(|_| LinkError::Cancelled)
    }

    /// Marks the body complete.
    ///
    /// # Errors
    /// `Cancelled` when nobody sends the body any more.
    pub async fn finish(self) -> Result<(), LinkError> {
        self.0.send(Produced::End).await.map_err(|_| LinkError::Cancelled)
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Source::Parts(VecDeque::from([bytes])))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

/// Sends the parts one after the other, without copying them together.
impl From<Vec<Bytes>> for Body {
    fn from(parts: Vec<Bytes>) -> Self {
        Self(Source::Parts(parts.into()))
    }
}

/// A body being received. Dropping it tells the other side to stop sending.
#[derive(Debug)]
pub struct BodyReader {
    rx: Rx,
    meter: BodyMeter,
    link: Arc<Shared>,
}

impl BodyReader {
    pub(crate) const fn new(rx: Rx, meter: BodyMeter, link: Arc<Shared>) -> Self {
        Self { rx, meter, link }
    }

    /// Length the sender announced; `None` when it said "until I end it".
    #[must_use]
    pub const fn announced_bytes(&self) -> Option<u64> {
        self.meter.announced()
    }

    /// Waits for the next piece; `None` once the whole body has come.
    ///
    /// # Errors
    /// `Cancelled` when the other side gave up, `Closed` when the link is gone, `Protocol` when the
    /// body does not keep to its announced length or its credit.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_piece(&mut self) -> Result<Option<Piece>, LinkError> {
        let Some(piece) = self.rx.piece().await.map_err(|error| self.reset_cause(error))? else {
            self.meter.finish().map_err(|_| self.link.violated("a body ends before its announced length"))?;
            return Ok(None);
        };
        let counted = self.meter.piece(piece.offset, piece.bytes.len());
        counted.map_err(|_| self.link.violated("a body exceeds its announced length or its credit"))?;
        Ok(Some(piece))
    }

    /// A sender that stops at a limit says so with the reset.
    fn reset_cause(&self, error: LinkError) -> LinkError {
        match error {
            LinkError::Refused(RefusalCode::OVER_CREDIT | RefusalCode::BODY_TOO_BIG) => {
                LinkError::TooBig { limit_bytes: self.meter.limit_bytes() }
            }
            other => other,
        }
    }

    /// Receives the whole body, at most `max_bytes`, and puts the pieces in their places.
    ///
    /// # Errors
    /// `TooBig` over `max_bytes`, else as [`Self::next_piece`].
    pub async fn collect(&mut self, max_bytes: usize) -> Result<Bytes, LinkError> {
        let too_big = LinkError::TooBig { limit_bytes: max_bytes as u64 };
        if self.announced_bytes().is_some_and(|len| len > max_bytes as u64) {
            return Err(too_big);
        }
        // Announced and within the bound: growing piece by piece would copy everything several times.
        let announced = self.announced_bytes().and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
        let mut whole = BytesMut::with_capacity(announced.min(max_bytes));
        while let Some(piece) = self.next_piece().await? {
            let start = usize::try_from(piece.offset).map_err(|_| too_big.clone())?;
            let end = start
                .checked_add(piece.bytes.len())
                .filter(|end| *end <= max_bytes)
                .ok_or(too_big.clone())?;
            if start == whole.len() {
                whole.extend_from_slice(&piece.bytes);
                continue;
            }
            whole.resize(whole.len().max(end), 0);
            whole
                .get_mut(start..end)
                .expect("the buffer reaches to the piece's end")
                .copy_from_slice(&piece.bytes);
        }
        Ok(whole.freeze())
    }
}
