//! Which processors there are, and which threads serve them.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::limits::MAX_RING_GROUPS;

/// Where the kernel lists the processors it may ever have; it makes one queue for each.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";

/// Queues served by the same lanes. One each, unless there are very many processors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The kernel's queues, each the number of its processor. Never empty.
    pub(super) queues: Vec<u16>,
}

impl Group {
    /// Binds this thread to the group's processors. Where that is refused, it works from anywhere.
    pub(super) fn bind(&self) {
        let mut set = CpuSet::new();
        for queue in self.queues.iter().map(|queue| usize::from(*queue)) {
            if queue < CpuSet::MAX_CPU {
                set.set(queue);
            }
        }
        if let Err(error) = sched_setaffinity(None, &set) {
            tracing::debug!(%error, "a ring's thread is not bound to its processor");
        }
    }
}

/// Every queue, in groups.
pub(super) fn groups() -> io::Result<Vec<Group>> {
    let list = fs::read_to_string(POSSIBLE)?;
    let last =
        last_of(&list).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no list of processors"))?;
    Ok(spread(last))
}

/// The highest number in a list like `0-3` or `0,2-5`.
fn last_of(list: &str) -> Option<u16> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

fn spread(last: u16) -> Vec<Group> {
    let queues = usize::from(last) + 1;
    let count = queues.min(MAX_RING_GROUPS);
    let member = |group: usize| (0..=last).filter(move |queue| usize::from(*queue) % count == group);
    (0..count).map(|group| Group { queues: member(group).collect() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_processor_is_in_just_one_group() {
        for last in [0, 1, 7, 63, 64, 130, 1023] {
            let groups = spread(last);
            assert!(groups.len() <= MAX_RING_GROUPS);
            assert!(groups.iter().all(|group| !group.queues.is_empty()));
            let mut all: Vec<u16> = groups.into_iter().flat_map(|group| group.queues).collect();
            all.sort_unstable();
            assert_eq!(all, (0..=last).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_highest_processor_of_a_list_is_found() {
        assert_eq!(last_of("0-1\n"), Some(1));
        assert_eq!(last_of("0\n"), Some(0));
        assert_eq!(last_of("0,2-5\n"), Some(5));
        assert_eq!(last_of("\n"), None);
    }
}
