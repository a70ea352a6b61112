//! Keeping caller and daemons on one processor: waking another one costs twenty times a round trip on small machines.

use anyhow::{Context, Result};
use std::fs;
use std::mem::MaybeUninit;

/// The processors a thread may run on.
#[derive(Clone, Copy)]
pub(super) struct Processors(libc::cpu_set_t);

impl Processors {
    /// What this process may use.
    pub(super) fn ours() -> Result<Self> {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: the call writes at most the length it is told, and zeroes are a valid set.
        #[expect(unsafe_code, reason = "std knows nothing of processors")]
        let set = unsafe {
            if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) != 0 {
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

    /// Puts every thread of a process there; threads started later inherit it.
    pub(super) fn hold(self, pid: u32) -> Result<()> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("a daemon has gone")?;
        for task in tasks {
            let thread = task?.file_name().to_string_lossy().parse().context("not a thread's number")?;
            self.apply(thread)?;
        }
        Ok(())
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

/// Puts this process on the first processor it may use.
pub(super) fn pin_self() -> Result<()> {
    Processors::ours()?.first().apply(0)
}
