//! The chain rule of a commit at the server, apart from any database.
//!
//! The server never arbitrates between writers: it only keeps each device's own chain whole. A
//! repeat is answered with its number, a gap and a fork are refused with the head it knows.

use super::rows::CommitOutcome;
use freehold_api::{ChainHead, ErrorCode};
use freehold_model::CommitHash;
use freehold_trust::commit::{self, ChainError, CommitHeader};

/// What the database knows around a commit's place.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChainFacts {
    /// The newest commit of the device.
    pub(crate) head: Option<ChainHead>,
    /// The commit stored at the very place, with its number.
    pub(crate) at_place: Option<(CommitHash, u64)>,
}

/// Judges a header: nothing when it is to be stored.
pub(crate) fn judge_chain(facts: ChainFacts, header: &CommitHeader) -> Option<CommitOutcome> {
    let refuse = |code| Some(CommitOutcome::Refused { code, head: facts.head });
    if let Some((hash, vault_seq)) = facts.at_place {
        if hash == header.hash() {
            return Some(CommitOutcome::Numbered { vault_seq, fresh: false });
        }
        return refuse(ErrorCode::CommitFork);
    }
    let head = facts.head.map(|head| commit::ChainHead {
        incarnation: head.incarnation,
        seq: head.seq,
        hash: head.hash,
    });
    match commit::ChainHead::follow(head.as_ref(), header) {
        Ok(_) => None,
        Err(ChainError::Gap { .. }) => refuse(ErrorCode::ChainGap),
        Err(ChainError::Past { .. } | ChainError::WrongPrev { .. }) => refuse(ErrorCode::CommitFork),
    }
}
