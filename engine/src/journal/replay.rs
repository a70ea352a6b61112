//! Reading the journal back after a start.
//!
//! Segments are read oldest first. What a later segment's header disowns was never acknowledged and
//! is skipped. Zeroes behind the last batch of the newest segment are prepared room and a clean end,
//! a torn tail of it is cut; anything else that does not fit the chain is damage: the segment is
//! copied to quarantine, the report names it, and reading goes on with the next frame that opens,
//! because each node's last state stands for itself.

use crate::journal::frame::{self, Chain, Found, Scan};
use crate::journal::item::{self, Item};
use crate::journal::space::is_full;
use crate::journal::{Sealer, Segment, SegmentKind, Segments};
use std::io;
use std::sync::Arc;

/// Where an item was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) batch: u64,
    pub(crate) segment: u64,
}

/// What reading found besides the items.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// The first batch any segment holds; `None` for an empty journal.
    pub(crate) first_batch: Option<u64>,
    pub(crate) last_batch: u64,
    pub(crate) chain: Chain,
    pub(crate) torn_bytes: u64,
    pub(crate) damaged_segments: Vec<u64>,
    /// State frames that opened; with none in a journal that has bytes, the key is another's.
    pub(crate) frames: usize,
}

/// Hands every item of every acknowledged batch to `each`, in order.
pub(crate) fn replay(
    segments: &mut Segments,
    sealer: &Sealer,
    mut each: impl FnMut(Origin, Item),
) -> io::Result<Report> {
    let journal: Vec<Arc<Segment>> = segments.of(SegmentKind::Journal).cloned().collect();
    let disowned = disowned_from(&journal);
    let mut report = Report::default();
    for (index, segment) in journal.iter().enumerate() {
        let bytes = read_all(segment)?;
        let limit = disowned.get(index).copied().flatten();
        let is_newest = index + 1 == journal.len();
        let Some(scan) = frame::scan(segment, &bytes, sealer) else {
            // A crash while the newest segment was created leaves no header; anywhere else its
            // header was durable once. It goes, lest it be anywhere else at the next start.
            if is_newest && bytes.len() <= frame::HEADER_LEN {
                segments.remove(segment.number)?;
            } else {
                set_aside(segments, segment.number, &bytes)?;
                report.damaged_segments.push(segment.number);
            }
            continue;
        };
        let end = acknowledged_end(&scan, is_newest);
        let damaged = apply(&scan, end, segment, limit, &mut report, &mut each);
        let rest = usize::try_from(end).ok().and_then(|end| bytes.get(end..)).unwrap_or_default();
        if damaged {
            set_aside(segments, segment.number, &bytes)?;
            report.damaged_segments.push(segment.number);
        } else if is_newest && !rest.is_empty() {
            // Prepared room is given back: the next batch opens a segment of its own.
            segment.file.set_len(end)?;
            segment.file.sync_data()?;
            report.torn_bytes += torn_bytes(rest);
        }
    }
    Ok(report)
}

/// Keeps a copy of a damaged segment. Without room for one the start goes on: what opens is worth more than a copy,
/// and the next start tries again.
fn set_aside(segments: &Segments, number: u64, bytes: &[u8]) -> io::Result<()> {
    match segments.quarantine(number, bytes) {
        Err(error) if is_full(&error) => {
            tracing::warn!(number, "no room for a copy of a damaged segment of the journal");
            Ok(())
        }
        done => done,
    }
}

/// For each segment, the first batch number a later one takes over.
fn disowned_from(journal: &[Arc<Segment>]) -> Vec<Option<u64>> {
    let mut limit = None;
    let mut limits = Vec::with_capacity(journal.len());
    for segment in journal.iter().rev() {
        limits.push(limit);
        let mut head = [0; frame::HEADER_LEN];
        if segment.file.read_exact_at(0, &mut head).is_ok()
            && let Ok(header) = frame::SegmentHeader::decode(&head)
        {
            limit = Some(limit.map_or(header.first_batch, |later: u64| later.min(header.first_batch)));
        }
    }
    limits.reverse();
    limits
}

fn read_all(segment: &Segment) -> io::Result<Vec<u8>> {
    let len = usize::try_from(segment.file.len_bytes()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    segment.file.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Bytes of a batch that was never acknowledged. Zeroes at the end were there before it.
fn torn_bytes(rest: &[u8]) -> u64 {
    rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// Offset past the last batch that is complete.
///
/// The disk may have kept any pages of a batch it never acknowledged: when the very last batch of
/// the newest segment follows unreadable bytes, those are its own, and it is part of the torn tail.
fn acknowledged_end(scan: &Scan, is_newest: bool) -> u64 {
    let newest = scan.found.last().map(|found| found.batch);
    let before = scan.found.iter().rev().map(|found| found.batch).find(|batch| Some(*batch) != newest);
    // A number missing between the two means that an acknowledged batch is unreadable.
    let follows = newest == Some(before.map_or(scan.header.first_batch, |before| before + 1));
    let is_torn = is_newest
        && follows
        && !scan.header_is_damaged
        && scan.found.iter().any(|found| found.after_damage && Some(found.batch) == newest);
    let complete =
        scan.found.iter().rev().find(|found| found.last && !(is_torn && Some(found.batch) == newest));
    complete.map_or(frame::HEADER_LEN as u64, |found| found.end)
}

/// Applies one segment; whether it is damaged.
fn apply(
    scan: &Scan,
    end: u64,
    segment: &Segment,
    limit: Option<u64>,
    report: &mut Report,
    each: &mut impl FnMut(Origin, Item),
) -> bool {
    let is_first = report.first_batch.is_none();
    report.first_batch.get_or_insert(scan.header.first_batch);
    let follows = scan.header.first_batch == report.last_batch + 1 && scan.header.chain == report.chain;
    let mut damaged = scan.header_is_damaged || (!is_first && !follows);
    if is_first {
        report.last_batch = scan.header.first_batch.saturating_sub(1);
        report.chain = scan.header.chain;
    }
    for found in scan.found.iter().filter(|found| found.end <= end) {
        if limit.is_some_and(|limit| found.batch >= limit) {
            break;
        }
        damaged |= found.after_damage || found.batch > report.last_batch + 1;
        damaged |= !hand_over(found, segment.number, each);
        report.frames += 1;
        if found.last {
            report.last_batch = report.last_batch.max(found.batch);
            report.chain = found.chain;
        }
    }
    damaged
}

fn hand_over(found: &Found, segment: u64, each: &mut impl FnMut(Origin, Item)) -> bool {
    let Ok(items) = item::decode_all(&found.items) else { return false };
    items.into_iter().for_each(|item| each(Origin { batch: found.batch, segment }, item));
    true
}
