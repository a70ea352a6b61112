//! New commits on their way to connected devices: one message at a time to each, and a bounded queue.
//!
//! A device that takes its time gets what gathered meanwhile in one message. One that takes too long
//! misses some, and is told so by heads: it then asks for what it lacks.

use freehold_api::bulk::PushCommit;
use freehold_api::limits::PUSH_COMMITS_MAX;
use freehold_model::DeviceId;
use std::collections::BTreeMap;

/// Bytes that wait for one device. A message of that size is well below what a device takes.
const WAITING_BYTES: usize = 8 * 1024 * 1024;

/// What waits for each device.
#[derive(Debug, Default)]
pub(super) struct Telling(BTreeMap<DeviceId, Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<PushCommit>,
    bytes: usize,
    is_under_way: bool,
    /// Something was left out.
    missed: bool,
}

impl Telling {
    /// Forgets devices that are gone.
    pub(super) fn retain(&mut self, connected: &[DeviceId]) {
        self.0.retain(|device, queue| queue.is_under_way || connected.contains(device));
    }

    /// Adds a commit for a device, or leaves it and what waits out when that is too much.
    pub(super) fn add(&mut self, device: DeviceId, push: &PushCommit) {
        let queue = self.0.entry(device).or_default();
        let len = push.size_bytes();
        let is_over =
            queue.bytes.saturating_add(len) > WAITING_BYTES || queue.waiting.len() >= PUSH_COMMITS_MAX;
        if is_over && !queue.waiting.is_empty() {
            queue.waiting.clear();
            queue.bytes = 0;
            queue.missed = true;
            return;
        }
        queue.bytes += len;
        queue.waiting.push(push.clone());
    }

    /// What to send a device now; `None` while something is on its way there, or nothing waits.
    pub(super) fn take(&mut self, device: &DeviceId) -> Option<Vec<PushCommit>> {
        let queue =
            self.0.get_mut(device).filter(|queue| !queue.is_under_way && !queue.waiting.is_empty())?;
        queue.is_under_way = true;
        queue.bytes = 0;
        Some(std::mem::take(&mut queue.waiting))
    }

    /// A message has arrived, or not; whether the device missed something since it was told last.
    pub(super) fn done(&mut self, device: &DeviceId, went_well: bool) -> bool {
        let Some(queue) = self.0.get_mut(device) else { return !went_well };
        queue.is_under_way = false;
        std::mem::take(&mut queue.missed) || !went_well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);

    fn push(len: usize) -> PushCommit {
        PushCommit { commit: vec![0; len], versions: Vec::new(), manifests: Vec::new() }
    }

    #[test]
    fn one_message_is_under_way_and_what_gathers_goes_in_the_next() {
        let mut telling = Telling::default();
        telling.add(DEVICE, &push(1));
        assert_eq!(telling.take(&DEVICE).map(|pushes| pushes.len()), Some(1));
        telling.add(DEVICE, &push(2));
        telling.add(DEVICE, &push(3));
        assert_eq!(telling.take(&DEVICE), None);
        assert!(!telling.done(&DEVICE, true));
        assert_eq!(telling.take(&DEVICE).map(|pushes| pushes.len()), Some(2));
        assert!(telling.done(&DEVICE, false), "it may have missed them");
        assert_eq!(telling.take(&DEVICE), None);
    }

    #[test]
    fn a_device_that_takes_too_long_misses_some_and_hears_of_it() {
        let mut telling = Telling::default();
        telling.add(DEVICE, &push(1));
        assert!(telling.take(&DEVICE).is_some());
        for _ in 0..3 {
            telling.add(DEVICE, &push(WAITING_BYTES / 2));
        }
        assert!(telling.done(&DEVICE, true));
        assert_eq!(telling.take(&DEVICE), None);
        telling.add(DEVICE, &push(WAITING_BYTES + 1));
        assert!(telling.take(&DEVICE).is_some(), "a large one alone still goes");
        assert!(!telling.done(&DEVICE, true));
    }

    #[test]
    fn devices_that_are_gone_are_forgotten() {
        let mut telling = Telling::default();
        telling.add(DEVICE, &push(1));
        telling.retain(&[]);
        assert_eq!(telling.take(&DEVICE), None);
    }
}
