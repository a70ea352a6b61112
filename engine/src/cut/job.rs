//! A body to cut as the sealer sees it: which bytes are new, and which a version has.

use super::cutting::Shape;
use super::seal::Run;
use crate::{CutJob, RunKind};
use freehold_vault::{Body, Chunked};

impl CutJob {
    /// How the body was written.
    pub(super) fn shape(&self) -> Shape {
        let (ahead, is_rewritten) = (self.ahead_profile, self.is_rewritten);
        let mut shape = Shape { ahead, is_rewritten, ..Shape::default() };
        let mut was_changed = false;
        for (_, len, kind) in self.reader.runs(0, self.size) {
            let is_clean = matches!(kind, RunKind::Clean { .. });
            shape.patches += usize::from(is_clean && was_changed);
            shape.hole_bytes += if matches!(kind, RunKind::Hole) { len } else { 0 };
            was_changed = !is_clean;
        }
        shape
    }

    /// The run at an offset, at most `max` bytes of it. Extents of one version that follow each other are one run,
    /// and so are all kinds of bytes that no chunk has.
    pub(super) fn run_at(&self, offset: u64, max: u64) -> Run {
        let mut found = Run { len: 0, clean: None };
        for (_, len, kind) in self.reader.runs(offset, max) {
            let clean = match &kind {
                RunKind::Clean { content, offset } => chunked(content).map(|content| (content, *offset)),
                RunKind::Hole | RunKind::Dirty => None,
            };
            if found.len == 0 {
                found.clean = clean.map(|(content, at)| (content.clone(), at));
            } else if !goes_on(&found, clean) {
                break;
            }
            found.len += len;
        }
        found
    }
}

/// Whether bytes belong to the run that ends where they begin.
fn goes_on(run: &Run, next: Option<(&Chunked, u64)>) -> bool {
    match (&run.clean, next) {
        (None, None) => true,
        (Some((shown, from)), Some((content, at))) => shown.root == content.root && from + run.len == at,
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// The chunks of a content that has some.
pub(super) const fn chunked(body: &Body) -> Option<&Chunked> {
    match body {
        Body::Chunked(chunked) => Some(chunked),
        Body::Inline(_) => None,
    }
}
