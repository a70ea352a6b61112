//! The machine by itself.

use super::*;
use freehold_model::RecordId;

#[test]
fn a_version_put_aside_is_forgotten_when_a_far_successor_is_merged() {
    let version = |number| VersionHash::from_bytes([number; 32]);
    let (record, author) = (RecordId::from_bytes([7; 16]), DeviceId::from_bytes([1; 16]));
    let mut intake = Intake::new(SyncState::default());
    intake.state.deferred.insert(version(1), Deferred { record, author, supersedes: Vec::new() });
    intake.plan.name(version(2), Named { record, author, supersedes: vec![version(1)] });
    intake.plan.name(version(3), Named { record, author, supersedes: vec![version(2)] });
    let stored = intake.storable().expect("few are open");
    assert_eq!(stored.deferred[&version(3)].supersedes, [version(1), version(2)]);
    assert_eq!(intake.replaced(&[version(2)]), [version(1), version(2)].into_iter().collect());
}
