//! What has waited for another device long enough to be told.
//!
//! Every file that is being fetched waits for a moment. A person is told of what still waits at the
//! second look.

use crate::sync::state::Deferred;
use freehold_model::{DeviceId, VersionHash};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// What waited at the last look.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    before: BTreeSet<VersionHash>,
    next: Option<Instant>,
}

impl Waiting {
    /// How many versions wait since the look before, by the device that wrote them; nothing while it is
    /// not time to look.
    pub(super) fn look(
        &mut self,
        deferred: &BTreeMap<VersionHash, Deferred>,
        now: Instant,
    ) -> Option<BTreeMap<DeviceId, usize>> {
        let is_over = deferred.is_empty() && !self.before.is_empty();
        if !is_over && self.next.is_some_and(|next| now < next) {
            return None;
        }
        self.next = Some(now + LOOK_EVERY);
        let mut waiting = BTreeMap::new();
        for (_, version) in deferred.iter().filter(|(version, _)| self.before.contains(version)) {
            *waiting.entry(version.author).or_default() += 1;
        }
        self.before = deferred.keys().copied().collect();
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::RecordId;

    fn deferred(version: u8, author: u8) -> (VersionHash, Deferred) {
        let (record, author) = (RecordId::from_bytes([version; 16]), DeviceId::from_bytes([author; 16]));
        (VersionHash::from_bytes([version; 32]), Deferred { record, author, supersedes: Vec::new() })
    }

    #[test]
    fn only_what_waits_at_two_looks_is_told_and_its_end_at_once() {
        let (mut waiting, start) = (Waiting::default(), Instant::now());
        let one = BTreeMap::from([deferred(1, 7)]);
        assert_eq!(waiting.look(&one, start), Some(BTreeMap::new()));
        let more = BTreeMap::from([deferred(1, 7), deferred(2, 7)]);
        assert_eq!(waiting.look(&more, start + LOOK_EVERY / 2), None);
        let told = BTreeMap::from([(DeviceId::from_bytes([7; 16]), 1)]);
        assert_eq!(waiting.look(&more, start + LOOK_EVERY), Some(told));
        assert_eq!(waiting.look(&BTreeMap::new(), start + LOOK_EVERY), Some(BTreeMap::new()));
        assert_eq!(waiting.look(&BTreeMap::new(), start + LOOK_EVERY), None);
    }
}
