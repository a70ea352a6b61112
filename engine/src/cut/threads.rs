//! Work that several threads do side by side, each taking the next part when it is done with one.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// Threads that seal one file: each holds a piece and its sealed form.
const THREADS_MAX: usize = 4;

/// Runs `work` on this thread and on others, as many as there are processors but no more than `parts` are worth,
/// until each has come to an end.
pub(super) fn on_threads(parts: usize, work: impl Fn() + Sync) {
    while_doing(parts.saturating_sub(1), &work, || ());
}

/// As [`on_threads`], while this thread does something else first; what comes of that.
pub(super) fn while_doing<T>(parts: usize, work: impl Fn() + Sync, first: impl FnOnce() -> T) -> T {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    let helpers = processors.min(THREADS_MAX).saturating_sub(1).min(parts);
    std::thread::scope(|scope| {
        for _ in 0..helpers {
            // It gives way as the thread does that starts it. Where the system gives no other thread, this one does it all.
            if std::thread::Builder::new().name("freehold-seal".into()).spawn_scoped(scope, &work).is_err() {
                break;
            }
        }
        let done = first();
        work();
        done
    })
}
