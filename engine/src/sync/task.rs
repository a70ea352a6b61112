//! The sync loop: pull, push, wait for a reason to do so again.
//!
//! One task owns the sync state, so nothing of it is ever changed by two. It never spins: without a
//! reason it sleeps, and after a failure it waits longer each time, up to half a minute.

use super::limits::{LOOK, POLL};
use super::members::MembersError;
use super::pace::{Backoff, CommitPace, Due};
use super::placed::Awaiting;
use super::pull::PullOptions;
use super::state::SyncState;
use super::{Parts, SyncError, events};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::sync::{Notify, watch};

/// Problem: the account log the server shows is not the account's.
const ACCOUNT: &str = "account_log";
/// Problem: the server answers, but not as it should.
const SERVER: &str = "server_answer";
/// Problem: a vault key is missing here.
const KEY: &str = "vault_key";
/// Problem: the local disk does not take sync state.
const DISK: &str = "local_disk";
/// Problem: a bug of ours.
const BUG: &str = "internal";

/// Reasons to go round.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    wake: Notify,
    pull: AtomicBool,
    look_again: AtomicBool,
    meet: AtomicBool,
    /// Tickets handed out to those who wait for a fresh answer of the server.
    asked: AtomicU64,
}

impl Signals {
    /// There may be new commits.
    pub(crate) fn pull(&self) {
        self.pull.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Versions that were put aside may be there now.
    pub(crate) fn look_again(&self) {
        self.look_again.store(true, Ordering::Release);
        self.pull();
    }

    /// The account or the server may have changed.
    pub(crate) fn meet(&self) {
        self.meet.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Asks the server afresh; the answer is there once [`Progress::answered`] reaches the ticket.
    pub(crate) fn ask(&self) -> u64 {
        let ticket = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        self.look_again();
        ticket
    }
}

/// How far sync is, for whoever watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The highest ticket whose answer is applied.
    pub(crate) answered: u64,
    /// Number of the newest commit applied.
    pub(crate) applied: u64,
    /// Number of the newest commit the server had when it was asked last.
    pub(crate) head: u64,
    /// Versions put aside until their chunks are placed.
    pub(crate) deferred: u64,
}

/// The loop and its state.
pub(crate) struct SyncTask {
    parts: Arc<Parts>,
    signals: Arc<Signals>,
    progress: watch::Sender<Progress>,
    state: SyncState,
    awaiting: Awaiting,
    pace: CommitPace,
    has_met: bool,
    reload_own: bool,
}

impl SyncTask {
    /// A loop that takes up where the volume was left. `index_lost` makes it read everything again.
    pub(crate) fn new(parts: Arc<Parts>, signals: Arc<Signals>, index_lost: bool) -> Self {
        let state = if index_lost { SyncState::default() } else { SyncState::load(&parts.volume) };
        let progress = Progress { applied: state.cursor, ..Progress::default() };
        Self {
            parts,
            signals,
            progress: watch::Sender::new(progress),
            state,
            awaiting: Awaiting::default(),
            pace: CommitPace::default(),
            has_met: false,
            reload_own: index_lost,
        }
    }

    /// Hears how far sync is.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Syncs until dropped. What is durable then is taken up by the next start.
    pub(crate) async fn run(mut self) {
        let listener = events::listen(Arc::clone(&self.parts), Arc::clone(&self.signals));
        tokio::select! {
            () = self.go() => {}
            () = listener => {}
        }
    }

    async fn go(&mut self) {
        let mut backoff = Backoff::default();
        let (mut pull_at, mut not_before) = (Instant::now(), None);
        let mut placed = self.parts.uploads.placed();
        let mut seen_op = None;
        // What was left over from before is due at once.
        self.pace.changed(Instant::now());
        loop {
            let now = Instant::now();
            let op = self.parts.volume.lock().changes();
            if seen_op.replace(op) != Some(op) {
                self.pace.changed(now);
            }
            if placed.has_changed().unwrap_or(false) {
                placed.mark_unchanged();
                self.parts.settle_placed(&mut self.awaiting);
            }
            let is_asked =
                self.signals.pull.load(Ordering::Acquire) || self.signals.meet.load(Ordering::Acquire);
            let wants_pull = is_asked || now >= pull_at;
            let wants_push = self.wants_push(now);
            let may = not_before.is_none_or(|at| now >= at);
            if may && (wants_pull || wants_push) {
                match self.round(wants_pull).await {
                    Ok(()) => {
                        backoff.reset();
                        not_before = None;
                        if wants_pull {
                            pull_at = Instant::now() + POLL;
                        }
                        self.clear();
                    }
                    Err(error) => {
                        self.report(&error);
                        self.has_met = false;
                        pull_at = Instant::now();
                        not_before = Some(Instant::now() + backoff.next(super::random()));
                    }
                }
            }
            tokio::select! {
                () = self.signals.wake.notified(), if not_before.is_none() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn wants_push(&self, now: Instant) -> bool {
        if self.pace.due(now, 1) == Due::Never {
            return false;
        }
        let pending = self.parts.volume.pending();
        if pending.dirty_records == 0 {
            return self.parts.volume.lock().has_outbox();
        }
        // New files wait for their first cut; how many of the records that is, is close enough.
        let ready = pending.dirty_records.saturating_sub(pending.dirty_bodies).max(1);
        self.pace.due(now, ready) == Due::Now
    }

    /// One exchange with the server.
    async fn round(&mut self, wants_pull: bool) -> Result<(), SyncError> {
        if self.signals.meet.swap(false, Ordering::AcqRel) {
            self.has_met = false;
        }
        if !self.has_met {
            self.parts.settle_account().await?;
            self.parts.name_devices();
            self.parts.meet().await?;
            self.has_met = true;
        }
        if wants_pull {
            // Versions numbered before this start are in no list here: only the server knows when
            // their chunks, which are uploaded meanwhile, are all placed.
            self.parts.ask_about_versions(&self.awaiting).await?;
            self.pull().await?;
        }
        self.parts.ready_to_commit().await?;
        self.pace.committed(Instant::now());
        self.parts.push(&mut self.state, &mut self.awaiting).await
    }

    async fn pull(&mut self) -> Result<(), SyncError> {
        self.signals.pull.store(false, Ordering::Release);
        let ticket = self.signals.asked.load(Ordering::Acquire);
        let retry_deferred =
            self.signals.look_again.swap(false, Ordering::AcqRel) || !self.state.deferred.is_empty();
        let options = PullOptions { retry_deferred, reload_own: self.reload_own };
        let head =
            self.parts.pull(&mut self.state, options).await.inspect_err(|_| self.signals.look_again())?;
        self.reload_own = false;
        self.progress.send_replace(Progress {
            answered: ticket,
            applied: self.state.cursor,
            head,
            deferred: self.state.deferred.len() as u64,
        });
        Ok(())
    }

    /// A round went well: what stood in its way is over.
    fn clear(&self) {
        for code in [ACCOUNT, SERVER, KEY, DISK, BUG] {
            self.parts.problems.clear(code);
        }
    }

    fn report(&self, error: &SyncError) {
        if self.parts.is_removal(error) {
            return;
        }
        let problems = &self.parts.problems;
        let text = error.to_string();
        match error {
            // Being away is the server's state, not a problem a person must look into.
            SyncError::Server(error) | SyncError::Members(MembersError::Server(error))
                if error.is_transient() =>
            {
                tracing::debug!(%error, "a round of sync ended early");
            }
            SyncError::Server(_) | SyncError::Members(MembersError::Server(_)) => {
                problems.raise(SERVER, text, "check the server's address, version and log");
            }
            SyncError::Members(MembersError::Refused(error)) => {
                problems.raise(ACCOUNT, text, error.hint());
            }
            // Told where they were found.
            SyncError::Alarm(_) | SyncError::Refused(_) => {
                tracing::debug!(%error, "a round of sync ended early")
            }
            SyncError::Local(_) => {
                problems.raise(
                    DISK,
                    text,
                    "free space on this device and check its disk; nothing is lost meanwhile",
                );
            }
            SyncError::NoKey => {
                problems.raise(KEY, text, "sign this device out and in again");
            }
            SyncError::Internal(_) => {
                problems.raise(BUG, text, "please report it");
            }
        }
    }
}
