//! Keeping caller and daemons on one processor: waking another one costs twenty times a round trip on small machines.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;

/// The processors a thread may run on.
#[derive(Clone, Copy)]
pub(super) struct Processors(libc::cpu_set_t);

impl Processors {
    /// What this process may use.
    pub(super) fn ours() -> Result<Self> {
        Self::of(0)
    }

    /// What a thread may use; 0 is the calling one.
    fn of(thread: libc::pid_t) -> Result<Self> {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the call writes at most the length it is told, and zeroes are a valid set.
        #[expect(unsafe_code, reason = "std knows nothing of processors")]
        let set = unsafe {
            if libc::sched_getaffinity(thread, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) != 0 {
                return Err(std::io::Error::last_os_error()).context("sched_getaffinity");
            }
            set.assume_init()
        };
        Ok(Self(set))
    }

    /// The first of them alone.
    pub(super) fn first(self) -> Self {
        let mut first = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: zeroes are a valid set, and the numbers are those of a set of the same size.
        #[expect(unsafe_code, reason = "libc's sets are C structures")]
        let first = unsafe {
            let number =
                (0..8 * size_of::<libc::cpu_set_t>()).find(|number| libc::CPU_ISSET(*number, &self.0));
            libc::CPU_SET(number.unwrap_or_default(), first.assume_init_mut());
            first.assume_init()
        };
        Self(first)
    }

    /// Puts every thread of the processes there; threads started later inherit it.
    pub(super) fn hold(self, pids: &[u32]) -> Result<Held> {
        let mut before = BTreeMap::new();
        for thread in threads(pids)? {
            // One that has ended in between needs no place.
            if let Ok(was) = Self::of(thread) {
                before.insert(thread, was);
            }
            self.apply(thread)?;
        }
        Ok(Held { pids: pids.to_vec(), before })
    }

    fn apply(self, thread: libc::pid_t) -> Result<()> {
        // SAFETY: the set is whole and its length is told.
        #[expect(unsafe_code, reason = "std knows nothing of processors")]
        let outcome =
            unsafe { libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &raw const self.0) };
        match std::io::Error::last_os_error() {
            // A thread that has ended in between needs no place.
            error if outcome != 0 && error.raw_os_error() != Some(libc::ESRCH) => {
                Err(error).context("sched_setaffinity")
            }
            _ => Ok(()),
        }
    }
}

/// Processes whose threads are held, and where the threads were before.
pub(super) struct Held {
    pids: Vec<u32>,
    before: BTreeMap<libc::pid_t, Processors>,
}

impl Held {
    /// Puts every thread back where it was (a daemon binds some of its own), new ones on `all`.
    pub(super) fn release(self, all: Processors) -> Result<()> {
        for thread in threads(&self.pids)? {
            self.before.get(&thread).copied().unwrap_or(all).apply(thread)?;
        }
        Ok(())
    }
}

fn threads(pids: &[u32]) -> Result<Vec<libc::pid_t>> {
    let mut threads = Vec::new();
    for pid in pids {
        for task in fs::read_dir(format!("/proc/{pid}/task")).context("a daemon has gone")? {
            threads.push(task?.file_name().to_string_lossy().parse().context("not a thread's number")?);
        }
    }
    Ok(threads)
}

/// Puts this process on the first processor it may use.
pub(super) fn pin_self() -> Result<()> {
    Processors::ours()?.first().apply(0)
}
