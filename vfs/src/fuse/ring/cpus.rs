//! Which processors there are, and which threads serve them.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::limits::MAX_LANES;

/// Where the kernel lists the processors it may ever have; it makes one queue for each.
const POSSIBLE: &str = "/sys/devices/system/cpu/possible";
/// Where it lists those that run.
const ONLINE: &str = "/sys/devices/system/cpu/online";

/// Queues served by one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// The kernel's queues, each the number of its processor. Never empty.
    pub(super) queues: Vec<u16>,
    /// The processor to stay on; none for the group of those that do not run, or are too many.
    pub(super) processor: Option<u16>,
}

impl Group {
    /// Binds this thread to the group's processor. Where that is refused (a container without that
    /// processor, one that was switched off), it works from anywhere.
    pub(super) fn bind(&self) {
        let Some(processor) = self.processor.map(usize::from).filter(|number| *number < CpuSet::MAX_CPU)
        else {
            return;
        };
        let mut set = CpuSet::new();
        set.set(processor);
        if let Err(error) = sched_setaffinity(None, &set) {
            tracing::debug!(%error, "a ring's thread is not bound to its processor");
        }
    }
}

/// The processors this thread may use, for threads started from one that is bound.
pub(super) fn allowed() -> Option<CpuSet> {
    sched_getaffinity(None).ok()
}

/// Lets this thread run on any of `processors`.
pub(super) fn unbind(processors: &CpuSet) {
    if let Err(error) = sched_setaffinity(None, processors) {
        tracing::debug!(%error, "a thread of the mount stays bound to one processor");
    }
}

/// Every queue, in groups.
pub(super) fn groups() -> io::Result<Vec<Group>> {
    let read = |path| {
        numbers(&fs::read_to_string(path)?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no list of processors"))
    };
    let possible = u16::try_from(read(POSSIBLE)?.len()).map_err(io::Error::other)?;
    Ok(spread(possible, &read(ONLINE)?))
}

/// The numbers of a list like `0-3` or `0,2-5`; none if it is none.
fn numbers(list: &str) -> Option<Vec<u16>> {
    let mut all = Vec::new();
    for range in list.trim().split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        all.extend(first.parse::<u16>().ok()?..=last.parse().ok()?);
    }
    Some(all)
}

/// A group for each processor that runs, up to the limit, and one for all other queues.
fn spread(queues: u16, online: &[u16]) -> Vec<Group> {
    let (own, rest): (Vec<u16>, Vec<u16>) =
        (0..queues).partition(|queue| online.iter().take(MAX_LANES - 1).any(|number| number == queue));
    let bound = own.into_iter().map(|queue| Group { queues: vec![queue], processor: Some(queue) });
    let shared = Some(Group { queues: rest, processor: None }).filter(|group| !group.queues.is_empty());
    bound.chain(shared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_in_just_one_group() {
        for (queues, online) in [(1, 1), (2, 2), (8, 2), (64, 64), (1024, 400), (2, 0)] {
            let online: Vec<u16> = (0..online).collect();
            let groups = spread(queues, &online);
            assert!(groups.len() <= MAX_LANES);
            assert!(groups.iter().all(|group| !group.queues.is_empty()));
            let mut all: Vec<u16> = groups.into_iter().flat_map(|group| group.queues).collect();
            all.sort_unstable();
            assert_eq!(all, (0..queues).collect::<Vec<_>>());
        }
    }

    #[test]
    fn processors_that_do_not_run_share_a_lane_of_no_place() {
        let groups = spread(4, &[0, 2]);
        assert_eq!(groups[1], Group { queues: vec![2], processor: Some(2) });
        assert_eq!(groups[2], Group { queues: vec![1, 3], processor: None });
    }

    #[test]
    fn lists_of_processors_are_read() {
        assert_eq!(numbers("0-1\n"), Some(vec![0, 1]));
        assert_eq!(numbers("0\n"), Some(vec![0]));
        assert_eq!(numbers("0,2-4\n"), Some(vec![0, 2, 3, 4]));
        assert_eq!(numbers("\n"), None);
    }
}
