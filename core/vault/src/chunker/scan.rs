//! The search for a cut in bytes that lie in memory: 8 lanes side by side, 512 blocks of AES a call.
//!
//! A fingerprint depends on 64 bytes only, so eight stretches of 1 KiB are rolled at once: one alone waits for its
//! own table looks (500 MB/s measured, eight reach 1,700). Their fingerprints are encrypted in one call, since each
//! call pays for the change into vector code (456 M blocks a second at 32 blocks a call, 826 M at 512). Where the
//! processor has AES over 512 bits, [`super::vaes`] keeps the blocks in registers.

use super::roll::{Roll, WINDOW};
use super::vaes::Vaes;
use aes::cipher::BlockCipherEncrypt;
use aes::{Aes128, Block};
use std::ops::Range;

/// Stretches rolled side by side.
pub(super) const LANES: usize = 8;

/// Positions of one stretch.
pub(super) const LANE_BYTES: usize = 1024;

/// Positions of each lane that are encrypted in one call.
const ROWS: usize = 64;

/// Blocks of one call.
const BLOCKS: usize = LANES * ROWS;

/// Positions searched in one go.
pub(super) const SPAN: usize = LANES * LANE_BYTES;

/// Which outputs cut: the masked bits must all be zero.
#[derive(Clone, Copy)]
pub(super) struct Masks {
    /// From this position on `easy` counts, before it `hard`.
    pub(super) normal: usize,
    /// Has all bits of `easy`.
    pub(super) hard: u64,
    pub(super) easy: u64,
}

impl Masks {
    const fn cut(&self, position: usize, output: u64) -> bool {
        output & if position < self.normal { self.hard } else { self.easy } == 0
    }
}

/// A search. One is used for many chunks: its blocks are on the stack.
pub(super) struct Scan<'a> {
    roll: &'a Roll,
    aes: &'a Aes128,
    vaes: Option<&'a Vaes>,
    /// Fingerprints and zeros, row by row.
    prints: [Block; BLOCKS],
    outputs: [Block; BLOCKS],
}

impl<'a> Scan<'a> {
    pub(super) fn new(roll: &'a Roll, aes: &'a Aes128, vaes: Option<&'a Vaes>) -> Self {
        Self { roll, aes, vaes, prints: [Block::default(); BLOCKS], outputs: [Block::default(); BLOCKS] }
    }

    /// The first position of a range that cuts. Position p stands before byte p and looks at the 64 bytes before
    /// it, so the range begins at 64 or later and ends at the length of `data`, that included, or before.
    pub(super) fn first(&mut self, data: &[u8], range: Range<usize>, masks: Masks) -> Option<usize> {
        let Range { start: begin, end } = range;
        let mut start = begin;
        while let Some(span) = spans(data, start, end) {
            if let Some(found) = self.span(span, start, masks) {
                return Some(found);
            }
            start += SPAN;
        }
        // Looking at some positions again takes less time than looking at the others one by one.
        let stop = end.min(data.len());
        if start < stop
            && let Some(again) = stop.checked_sub(SPAN).filter(|again| *again >= begin)
            && let Some(span) = spans(data, again, stop)
        {
            if let Some(found) = self.span(span, again, masks) {
                return Some(found);
            }
            start = stop;
        }
        while start < end {
            let stop = end.min(start + BLOCKS);
            if let Some(found) = self.line(data, start..stop, masks) {
                return Some(found);
            }
            start = stop;
        }
        None
    }

    /// The first cut of a span that begins at a position; `span` has the window before it too.
    fn span(&mut self, span: &[u8; WINDOW + SPAN], start: usize, masks: Masks) -> Option<usize> {
        match self.vaes {
            Some(vaes) => {
                let could_cut = if start + SPAN <= masks.normal { masks.hard } else { masks.easy };
                let exact = |position| self.cuts_at(span, position, start, masks);
                vaes.lanes(span, could_cut, exact).map(|position| start + position)
            }
            None => self.lanes(span, start, masks),
        }
    }

    /// Whether a position of a span cuts, by the definition.
    fn cuts_at(&self, span: &[u8; WINDOW + SPAN], position: usize, start: usize, masks: Masks) -> bool {
        let window = span.get(position..position + WINDOW).unwrap_or_default();
        let mut block = Block::default();
        put(&mut block, self.roll.of(window));
        self.aes.encrypt_block(&mut block);
        masks.cut(start + position, output(&block))
    }

    /// As [`span`](Self::span), for every processor.
    fn lanes(&mut self, span: &[u8; WINDOW + SPAN], start: usize, masks: Masks) -> Option<usize> {
        let enters: [&[u8; LANE_BYTES]; LANES] = lane_bytes(span, WINDOW)?;
        let leaves: [&[u8; LANE_BYTES]; LANES] = lane_bytes(span, 0)?;
        let mut prints = [0; LANES];
        for (lane, print) in prints.iter_mut().enumerate() {
            *print = self.roll.of(span.get(lane * LANE_BYTES..)?.get(..WINDOW)?);
        }
        let mut first: Option<usize> = None;
        for row in (0..LANE_BYTES).step_by(ROWS) {
            let enters: [&[u8; ROWS]; LANES] = enters.map(|lane| rows(lane, row));
            let leaves: [&[u8; ROWS]; LANES] = leaves.map(|lane| rows(lane, row));
            for (at, blocks) in self.prints.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
                for lane in 0..LANES {
                    put(&mut blocks[lane], prints[lane]);
                    prints[lane] = self.roll.next(prints[lane], enters[lane][at], leaves[lane][at]);
                }
            }
            if self.encrypt(BLOCKS, masks.easy) {
                let place = |block: usize| start + block % LANES * LANE_BYTES + row + block / LANES;
                let found = self.cuts(BLOCKS, masks, place).min();
                first = first.into_iter().chain(found).min();
            }
        }
        first
    }

    /// The first cut of a few positions, rolled one after the other.
    fn line(&mut self, data: &[u8], range: Range<usize>, masks: Masks) -> Option<usize> {
        let begin = range.start - WINDOW;
        let mut print = self.roll.of(&data[begin..range.start]);
        let count = range.len();
        let mut moves = data[range.start..].iter().zip(&data[begin..]);
        for block in self.prints.iter_mut().take(count) {
            put(block, print);
            if let Some((enters, leaves)) = moves.next() {
                print = self.roll.next(print, *enters, *leaves);
            }
        }
        if self.encrypt(count, masks.easy) {
            return self.cuts(count, masks, |block| range.start + block).min();
        }
        None
    }

    /// Encrypts the first blocks; whether any of them could cut.
    #[inline(always)]
    fn encrypt(&mut self, count: usize, easy: u64) -> bool {
        let (prints, outputs) = (&self.prints[..count], &mut self.outputs[..count]);
        self.aes.encrypt_blocks_b2b(prints, outputs).expect("as many outputs as inputs");
        outputs.iter().fold(u64::MAX, |least, block| least.min(output(block) & easy)) == 0
    }

    /// The places of the blocks that cut.
    fn cuts(
        &self,
        count: usize,
        masks: Masks,
        place: impl Fn(usize) -> usize,
    ) -> impl Iterator<Item = usize> {
        let outputs = self.outputs[..count].iter().enumerate();
        outputs.filter_map(move |(block, out)| {
            let position = place(block);
            masks.cut(position, output(out)).then_some(position)
        })
    }
}

/// The bytes of a span with the window before it, when all its positions are searched.
fn spans(data: &[u8], start: usize, end: usize) -> Option<&[u8; WINDOW + SPAN]> {
    if start + SPAN > end { None } else { data.get(start - WINDOW..)?.first_chunk() }
}

fn lane_bytes(span: &[u8], skip: usize) -> Option<[&[u8; LANE_BYTES]; LANES]> {
    let lanes = span.get(skip..skip + SPAN)?.as_chunks::<LANE_BYTES>().0;
    let lanes: &[_; LANES] = lanes.try_into().ok()?;
    Some(lanes.each_ref())
}

#[inline(always)]
fn rows(lane: &[u8; LANE_BYTES], row: usize) -> &[u8; ROWS] {
    lane[row..].first_chunk().expect("rows divide a lane")
}

/// A block is the fingerprint and eight zeros, which are there already.
#[inline(always)]
fn put(block: &mut Block, print: u64) {
    block[..8].copy_from_slice(&print.to_be_bytes());
}

/// The first half of an encrypted block.
#[inline(always)]
fn output(block: &Block) -> u64 {
    u64::from_be_bytes(*block.first_chunk().expect("a block has 16 bytes"))
}
