//! Threads that do for a lane what would hold it up.
//!
//! A request goes to a worker together with its entry, whose memory holds the data, and comes back
//! through the lane's mailbox. Workers are started when there is work and nobody free, up to a limit,
//! and stay: a mount that is only read by one program has none of some kinds.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};
use rustix::io::Errno;
use rustix::thread::CpuSet;

use super::cpus;
use super::entry::Entry;
use super::mailbox::{Letter, Mailbox};
use crate::fuse::body::Body;
use crate::fuse::dispatch::{Dispatch, Outcome};
use crate::fuse::late::LateReply;

/// A request in its entry.
pub(super) struct Job {
    pub(super) index: usize,
    pub(super) entry: Entry,
    pub(super) mailbox: Arc<Mailbox>,
}

impl Job {
    /// Carries the request out, puts the answer into the entry, and says whether it is there or comes
    /// late.
    pub(super) fn carry_out(&mut self, dispatch: &Dispatch, body: &mut Body) -> bool {
        let outcome = match self.entry.request() {
            Ok(request) => {
                let late = || LateReply::by_ring(Arc::clone(&self.mailbox), self.index);
                dispatch.handle(&request, body, late)
            }
            Err(opcode) => {
                tracing::error!(opcode, "bug: a request of the kernel was not understood");
                Outcome::Failed(Errno::IO)
            }
        };
        match outcome {
            Outcome::Answered => self.entry.answer(Ok(body.bytes())),
            Outcome::Failed(errno) => self.entry.answer(Err(errno)),
            Outcome::Silent => self.entry.answer(Ok(&[])),
            Outcome::Late => return false,
        }
        true
    }
}

/// Workers of one kind.
pub(super) struct Workers {
    name: &'static str,
    most: usize,
    /// Where they may run, if not where whoever starts them does.
    processors: Option<CpuSet>,
    dispatch: Arc<Dispatch>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    free: usize,
    threads: Vec<thread::JoinHandle<()>>,
    is_closed: bool,
}

impl Workers {
    /// Workers that stay on the processor of whoever gives them the first work.
    pub(super) fn nearby(name: &'static str, most: usize, dispatch: Arc<Dispatch>) -> Arc<Self> {
        Self::new(name, most, None, dispatch)
    }

    /// Workers that run wherever the calling thread may.
    pub(super) fn anywhere(name: &'static str, most: usize, dispatch: Arc<Dispatch>) -> Arc<Self> {
        Self::new(name, most, cpus::allowed(), dispatch)
    }

    fn new(
        name: &'static str,
        most: usize,
        processors: Option<CpuSet>,
        dispatch: Arc<Dispatch>,
    ) -> Arc<Self> {
        Arc::new(Self { name, most, processors, dispatch, state: Mutex::default(), changed: Condvar::new() })
    }

    /// Takes a job, or gives it back if there is nobody who could do it.
    pub(super) fn take(self: &Arc<Self>, job: Job) -> Result<(), Job> {
        let mut state = self.state.lock();
        if state.free <= state.jobs.len() && state.threads.len() < self.most {
            match self.start() {
                Ok(thread) => state.threads.push(thread),
                Err(error) if state.threads.is_empty() => {
                    tracing::debug!(%error, "no thread for work of the mount");
                    return Err(job);
                }
                Err(error) => tracing::debug!(%error, "no further thread for work of the mount"),
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Ends the workers once they have done what they have, and waits for that: nothing touches the
    /// volume afterwards.
    pub(super) fn close(&self) {
        let threads = {
            let mut state = self.state.lock();
            state.is_closed = true;
            std::mem::take(&mut state.threads)
        };
        self.changed.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("bug: a worker of the mount panicked");
            }
        }
    }

    fn start(self: &Arc<Self>) -> io::Result<thread::JoinHandle<()>> {
        let workers = Arc::clone(self);
        thread::Builder::new().name(self.name.into()).spawn(move || {
            if let Some(processors) = &workers.processors {
                cpus::unbind(processors);
            }
            workers.work();
        })
    }

    fn work(&self) {
        let mut body = Body::default();
        while let Some(mut job) = self.next() {
            let done = catch_unwind(AssertUnwindSafe(|| job.carry_out(&self.dispatch, &mut body)));
            let is_answered = done.unwrap_or_else(|_| {
                job.entry.answer(Err(Errno::IO));
                true
            });
            let Job { index, entry, mailbox } = job;
            mailbox.post(Letter::Back { index, entry, is_answered });
        }
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.is_closed {
                return None;
            }
            state.free += 1;
            self.changed.wait(&mut state);
            state.free -= 1;
        }
    }
}
