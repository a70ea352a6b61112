//! Threads that work for later give way to whoever somebody waits for.
//!
//! Sealing keeps every processor busy for as long as it lasts. Linux lets a running thread finish its
//! slice (3 ms, in practice a tick of 4) before one that wakes up gets the processor, so each request
//! to the mount, and each program that waits for its answer, would stand in line behind a piece being
//! sealed. A thread with a longer slice may be interrupted by any with a shorter one (Linux 6.12,
//! `PREEMPT_SHORT`; the slice is `sched_attr.sched_runtime`, sched_setattr(2)), and a higher niceness
//! leaves it what others do not need. Neither asks for a privilege; an older kernel ignores the slice.

/// The longest slice the kernel takes.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 100_000_000;

/// How much nicer than the rest of the daemon: a third of its share where both want a processor.
#[cfg(target_os = "linux")]
const NICER: i32 = 5;

/// Lets this thread give way to others from here on. Where the system refuses, it works on as before.
#[cfg(target_os = "linux")]
pub(crate) fn give_way() {
    let mut attr = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).expect("a small structure"),
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    let this_thread = 0;
    // SAFETY: the kernel fills at most the `size` bytes that the pointer leads to, all of them plain
    // numbers, and keeps no reference.
    #[expect(unsafe_code, reason = "no library wraps this call")]
    let read = unsafe { libc::syscall(libc::SYS_sched_getattr, this_thread, &raw mut attr, attr.size, 0) };
    if read != 0 || attr.sched_policy != libc::SCHED_OTHER.unsigned_abs() {
        return;
    }
    attr.sched_runtime = SLICE_NS;
    attr.sched_nice = (attr.sched_nice + NICER).min(19);
    attr.sched_flags = 0;
    // SAFETY: the kernel reads the `size` bytes that the pointer leads to and keeps no reference.
    #[expect(unsafe_code, reason = "no library wraps this call")]
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, this_thread, &raw const attr, 0) };
    if set != 0 {
        tracing::debug!("this system does not let a background thread give way");
    }
}

/// Lets this thread give way to others; elsewhere than on Linux there is nothing to ask for yet.
#[cfg(not(target_os = "linux"))]
pub(crate) fn give_way() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_background_thread_is_nicer_than_the_one_that_started_it() {
        let nice = || rustix::process::getpriority_process(None).expect("one's own");
        let before = nice();
        let after = std::thread::spawn(move || {
            give_way();
            // Of a thread, where the id is one's own.
            rustix::process::getpriority_process(Some(rustix::thread::gettid())).expect("one's own")
        });
        assert_eq!(after.join().expect("it does not panic"), (before + NICER).min(19));
    }
}
