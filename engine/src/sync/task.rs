//! The sync loop: everything that changes sync state happens here, one thing after the other.
//!
//! Questions and disk work run as tasks of their own, so a server that does not answer keeps nobody
//! from the devices that do. The loop never spins: without a reason it sleeps, and what failed is
//! tried again after growing pauses.

use self::late::LateLook;
use self::telling::Telling;
use self::waiting::Waiting;
use super::chains::Alarm;
use super::checkpoint::{Checkpoint, Compared};
use super::intake::{Context, Halt, Intake, Source};
use super::limits::{LOOK, POLL};
use super::meet::Past;
use super::pace::{Backoff, CommitPace, Due};
use super::placed::{Awaiting, Earlier};
use super::ready::Ready;
use super::state::SyncState;
use super::work::{Done, Failure};
use super::write::{Frozen, Written};
use super::{Parts, SyncError, events};
use crate::devices::DeviceEvent;
use freehold_api::device_peer::HeadItem;
use freehold_model::ChunkId;
use freehold_trust::account_log::RevokeIntent;
use freehold_trust::commit::ChainHead;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

mod devices;
mod late;
mod signals;
mod telling;
mod waiting;
mod witness;

pub(crate) use signals::{Progress, Signals};

/// How this device stands with the server.
#[derive(Debug, Default)]
struct Contact {
    /// The account log was read and the own chain compared, since the last failure.
    has_met: bool,
    is_meeting: bool,
    is_sending: bool,
    not_before: Option<Instant>,
    backoff: Backoff,
    poll_at: Option<Instant>,
    /// When commits of other devices go along although nothing own does.
    relay_at: Option<Instant>,
    /// There may be something to send.
    has_mail: bool,
    /// New chunks of commits not sent yet.
    chunks: Vec<ChunkId>,
    /// The storage nodes are being asked what devices left there.
    is_witnessing: bool,
    /// When they are asked next.
    witness_at: Option<Instant>,
    ticket: u64,
    earlier: Earlier,
}

/// The loop and its state.
pub(crate) struct SyncTask {
    parts: Arc<Parts>,
    signals: Arc<Signals>,
    devices: mpsc::Receiver<DeviceEvent>,
    progress: watch::Sender<Progress>,
    intake: Intake,
    awaiting: Awaiting,
    pace: CommitPace,
    ready: Ready,
    contact: Contact,
    work: JoinSet<Done>,
    /// Since when a commit is being written.
    writing: Option<Instant>,
    /// Writing one failed: none before this time.
    write_not_before: Option<Instant>,
    write_backoff: Backoff,
    is_reborn: bool,
    /// Another past of this device that somebody knows, looked at when the commit under way is written.
    other_past: Option<ChainHead>,
    reload_own: bool,
    heads_told: Vec<HeadItem>,
    telling: Telling,
    late: LateLook,
    waiting: Waiting,
    removals_told: Vec<RevokeIntent>,
    started: Instant,
}

impl SyncTask {
    /// A loop that takes up where the volume was left. `index_lost` makes it read everything again.
    pub(crate) fn new(
        parts: Arc<Parts>,
        signals: Arc<Signals>,
        devices: mpsc::Receiver<DeviceEvent>,
        index_lost: bool,
    ) -> Self {
        let state = if index_lost { SyncState::default() } else { SyncState::load(&parts.volume) };
        let progress = Progress { applied: state.cursor, ..Progress::default() };
        Self {
            parts,
            signals,
            devices,
            progress: watch::Sender::new(progress),
            intake: Intake::new(state),
            awaiting: Awaiting::default(),
            pace: CommitPace::default(),
            ready: Ready::default(),
            contact: Contact { has_mail: true, ..Contact::default() },
            work: JoinSet::new(),
            writing: None,
            write_not_before: None,
            write_backoff: Backoff::default(),
            is_reborn: false,
            other_past: None,
            reload_own: index_lost,
            heads_told: Vec::new(),
            telling: Telling::default(),
            late: LateLook::default(),
            waiting: Waiting::default(),
            removals_told: Vec::new(),
            started: Instant::now(),
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
        let mut placed = self.parts.uploads.placed();
        let mut seen_op = None;
        // What was left over from before is due at once.
        self.pace.changed(Instant::now());
        self.publish_heads();
        loop {
            let now = Instant::now();
            let op = self.parts.volume.lock().changes();
            if seen_op.replace(op) != Some(op) {
                self.pace.changed(now);
            }
            if placed.has_changed().unwrap_or(false) {
                placed.mark_unchanged();
                self.parts.settle_placed(&mut self.awaiting);
                self.contact.earlier.may_be_placed();
            }
            self.hear_signals();
            self.tell_removals();
            self.look_for_late(now);
            self.contact_server(now);
            self.ask_witnesses(now);
            self.ask_about_earlier();
            self.write_if_due(now);
            let may_apply = self.writing.is_none() && !self.late.is_looking();
            for ask in self.intake.asks(self.now_ms(), may_apply) {
                let parts = Arc::clone(&self.parts);
                self.work.spawn(async move { parts.perform(ask).await });
            }
            self.report();
            let rest = self.rest(now);
            tokio::select! {
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.take(done),
                    Err(error) => tracing::error!(%error, "a task of sync ended early"),
                },
                Some(event) = self.devices.recv() => self.device_event(event),
                () = self.signals.wake.notified() => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }

    /// How long to sleep without a reason.
    fn rest(&self, now: Instant) -> std::time::Duration {
        match self.pace.due(now, 1) {
            Due::At(at) => at.saturating_duration_since(now).min(LOOK),
            Due::Never | Due::Now => LOOK,
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn hear_signals(&mut self) {
        if self.signals.meet.swap(false, Ordering::AcqRel) {
            self.contact.has_met = false;
            self.contact.not_before = None;
        }
        if self.signals.look_again.swap(false, Ordering::AcqRel) {
            self.intake.look_again();
        }
        if self.signals.pull.swap(false, Ordering::AcqRel) {
            self.contact.ticket = self.signals.asked.load(Ordering::Acquire);
            if self.contact.has_met {
                self.intake.server_may_have_more(false);
            } else {
                self.contact.not_before = None;
            }
        }
    }

    /// Meets the server, asks it now and then, and sends it what it lacks.
    fn contact_server(&mut self, now: Instant) {
        let contact = &mut self.contact;
        if contact.not_before.is_some_and(|at| now < at) || contact.is_meeting {
            return;
        }
        if !contact.has_met {
            contact.is_meeting = true;
            let parts = Arc::clone(&self.parts);
            self.work.spawn(async move { Done::Met(parts.meet_server().await) });
            return;
        }
        if contact.poll_at.is_none_or(|at| now >= at) {
            contact.poll_at = Some(now + POLL);
            contact.earlier.may_be_placed();
            self.intake.server_may_have_more(false);
        }
        let relay = contact.relay_at.is_some_and(|at| now >= at);
        if !contact.is_sending && (contact.has_mail || relay) {
            contact.is_sending = true;
            contact.has_mail = false;
            contact.relay_at = None;
            let (parts, chunks) = (Arc::clone(&self.parts), std::mem::take(&mut contact.chunks));
            self.work.spawn(async move { Done::Sent(parts.send(chunks, true).await) });
        }
    }

    /// Asks where the versions of earlier starts are, once nothing is on its way to the nodes.
    fn ask_about_earlier(&mut self) {
        let is_idle = || self.parts.uploads.pending().0 == 0;
        if !self.contact.has_met || !self.contact.earlier.takes_turn(is_idle) {
            return;
        }
        let (parts, awaited) = (Arc::clone(&self.parts), self.awaiting.versions());
        self.work.spawn(async move { Done::Placed(parts.ask_about_versions(&awaited).await) });
    }

    /// Writes own changes down as a commit when the time has come.
    fn write_if_due(&mut self, now: Instant) {
        if self.writing.is_some() || self.is_reborn || self.intake.is_applying() || !self.wants_write(now) {
            return;
        }
        // The tables were looked at after this: what they held then is in the commit, what is noted
        // later may not be.
        self.writing = Some(now);
        let storable = self.intake.storable();
        let is_storable = storable.is_some();
        let state = storable.unwrap_or_else(|| self.intake.state().clone());
        let parts = Arc::clone(&self.parts);
        let is_whole = self.intake.is_whole();
        let (account, log_head) = (parts.members.state(), parts.members.log_head());
        let frozen = Frozen { state, account, log_head, is_storable, is_whole };
        self.work.spawn(async move {
            let write = move || parts.local.write_commit(frozen, &|content| parts.new_refs(content));
            Done::Written(super::blocking(write).await)
        });
    }

    fn wants_write(&mut self, now: Instant) -> bool {
        let is_paused = self.write_not_before.is_some_and(|at| now < at);
        if is_paused || self.pace.due(now, 1) == Due::Never || !self.parts.members.may_commit() {
            return false;
        }
        let ready = self.ready.records(&self.parts.volume, now);
        ready > 0 && self.pace.due(now, ready) == Due::Now
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Met(met) => self.met(met),
            Done::Page(Ok(page)) => {
                let taken = self.with_intake(|intake, ctx| intake.page(ctx, &page));
                self.halted(Source::Server, taken);
                if self.intake.server_was_read() {
                    self.reload_own = false;
                }
            }
            Done::Page(Err(error)) => {
                self.intake.failed(Source::Server, &[], self.now_ms());
                self.server_failed(&error.into());
            }
            Done::Heads(device, Ok(heads)) => self.heads(device, heads),
            Done::Commits(device, Ok(answer)) => {
                let taken = self.with_intake(|intake, ctx| intake.commits(ctx, device, &answer, true));
                self.halted(Source::Device(device), taken);
                self.others_may_need_a_relay();
            }
            Done::OwnPast { from, claim, answer: Ok(answer) } => self.own_past(from, &claim, &answer),
            Done::OwnPast { from: device, answer: Err(failure), .. }
            | Done::Heads(device, Err(failure))
            | Done::Commits(device, Err(failure)) => {
                tracing::debug!(?device, %failure, "a device did not answer");
                self.intake.failed(Source::Device(device), &[], self.now_ms());
            }
            Done::Versions { from, asked, answer } => self.versions(from, &asked, answer),
            Done::Kept(Ok(kept)) => {
                let taken = self.with_intake(|intake, ctx| intake.kept(ctx, kept));
                self.halted(Source::Server, taken);
            }
            Done::Kept(Err(error)) => self.parts.report_error(&error),
            Done::Log(source, read) => {
                self.intake.log_read(source, read.is_ok(), self.now_ms());
                match read {
                    // What another device told may call for a rotation, or for keys.
                    Ok(()) if !self.parts.members.may_commit() => self.contact.has_met = false,
                    Ok(()) => {}
                    Err(error) => self.parts.report_error(&error.into()),
                }
            }
            Done::Brought(here) => self.intake.brought(&here),
            Done::Compared(checkpoint, compared) => self.compared(&checkpoint, compared),
            Done::Applied(applied) => self.applied(applied),
            Done::JudgedLate(judged) => self.judged_late(judged),
            Done::Written(written) => self.written(written),
            Done::Sent(sent) => self.sent(sent),
            Done::Told => {}
            Done::TellsCommits(device, went_well) => self.told_commits(device, went_well),
            Done::Placed(asked) => {
                if let Err(error) = &asked {
                    tracing::debug!(%error, "the place of own versions was not asked for");
                }
                self.contact.earlier.answered(asked.ok());
            }
            Done::Witnessed(heard) => self.witnessed(heard),
            Done::Reborn(reborn) => {
                self.is_reborn = false;
                self.contact.has_met = false;
                self.contact.not_before = Some(Instant::now() + self.contact.backoff.next(super::random()));
                if let Err(error) = reborn {
                    self.parts.report_error(&error);
                }
                self.publish_heads();
            }
        }
    }

    fn compared(&mut self, checkpoint: &Checkpoint, compared: Result<Compared, SyncError>) {
        let compared = compared.unwrap_or_else(|error| {
            self.parts.report_error(&error);
            Compared::Unknown
        });
        let taken = self.intake.compared(checkpoint, compared);
        self.halted(Source::Device(checkpoint.author), taken);
    }

    /// Takes up again where the stored state ends, after a pause: a step of merging ended early.
    fn start_over(&mut self) {
        self.intake = Intake::new(SyncState::load(&self.parts.volume));
        self.late.look_again();
        self.contact.has_met = false;
        self.contact.not_before = Some(Instant::now() + self.contact.backoff.next(super::random()));
        for device in self.parts.devices.connected() {
            self.intake.device_may_have_more(device);
        }
    }

    fn applied(&mut self, applied: super::apply::Applied) {
        if applied.refused > 0 {
            self.parts.report_refused(applied.refused);
        }
        let undone = applied.undone.map(|(keep, error)| {
            self.parts.report_error(&error);
            keep
        });
        if applied.is_lost {
            self.start_over();
        } else {
            let now_ms = self.now_ms();
            self.intake.applied(applied.orphans, undone, now_ms);
        }
        self.parts.report_held();
        self.publish_heads();
    }

    fn met(&mut self, met: Result<Past, SyncError>) {
        self.contact.is_meeting = false;
        match met {
            Ok(Past::Other(theirs)) => self.be_reborn(theirs),
            Ok(Past::Unproven(evidence)) => {
                let halt = Halt::Alarm { alarm: Alarm::Unproven, commit: evidence };
                self.parts.report_halt(Source::Server, &halt);
                self.contact.not_before = Some(Instant::now() + self.contact.backoff.next(super::random()));
            }
            Ok(Past::Known) => {
                self.contact.has_met = true;
                self.contact.has_mail = true;
                self.contact.backoff.reset();
                self.contact.poll_at = Some(Instant::now() + POLL);
                self.intake.server_may_have_more(true);
                self.parts.went_well();
                self.contact.earlier.met();
            }
            Err(error) => self.server_failed(&error),
        }
    }

    fn be_reborn(&mut self, theirs: ChainHead) {
        // A commit of this life that is being written ends it first.
        if self.writing.is_some() {
            self.other_past = Some(theirs);
            return;
        }
        if std::mem::replace(&mut self.is_reborn, true) {
            return;
        }
        self.intake.reborn(self.parts.local.chain_head());
        let parts = Arc::clone(&self.parts);
        self.work.spawn(async move { Done::Reborn(parts.be_reborn(theirs).await) });
    }

    fn server_failed(&mut self, error: &SyncError) {
        self.parts.report_error(error);
        self.contact.has_met = false;
        self.contact.not_before = Some(Instant::now() + self.contact.backoff.next(super::random()));
    }

    fn versions(
        &mut self,
        from: Source,
        asked: &[freehold_model::VersionHash],
        answer: Result<Vec<freehold_api::bulk::VersionItem>, Failure>,
    ) {
        match answer {
            Ok(items) => {
                let taken = self.with_intake(|intake, ctx| intake.versions(ctx, from, asked, items));
                self.halted(from, taken);
            }
            Err(failure) => {
                self.intake.failed(from, asked, self.now_ms());
                match failure {
                    Failure::Server(error) => self.server_failed(&error.into()),
                    Failure::Device(failure) => tracing::debug!(%failure, "a device did not answer"),
                }
            }
        }
    }

    fn written(&mut self, written: Result<Option<Written>, SyncError>) {
        let now = Instant::now();
        let begun = self.writing.take().unwrap_or(now);
        if written.is_ok() {
            self.write_backoff.reset();
        }
        match written {
            Ok(None) => self.pace.committed(begun, now),
            Ok(Some(Written { push, chunks, is_full, is_checkpoint, now_s })) => {
                self.intake.own_commit(is_checkpoint, now_s);
                self.pace.committed(begun, now);
                if is_full {
                    self.pace.changed(now);
                }
                self.publish_heads();
                self.tell_devices(&push);
                self.contact.has_mail = true;
                self.contact.chunks.extend(chunks);
            }
            Err(error) => {
                self.write_not_before = Some(now + self.write_backoff.next(super::random()));
                // It may be in the outbox all the same.
                self.contact.has_mail = true;
                self.parts.report_error(&error);
            }
        }
        if let Some(theirs) = self.other_past.take().filter(|theirs| self.parts.local.is_foreign_past(theirs))
        {
            self.be_reborn(theirs);
        }
    }

    fn sent(&mut self, sent: Result<super::send::Sent, SyncError>) {
        self.contact.is_sending = false;
        match sent {
            Ok(sent) => {
                for push in &sent.own {
                    self.awaiting.numbered(push);
                }
                for push in &sent.others {
                    self.parts.rescue(push);
                }
                // Without progress, asking again at once would not change the answer.
                self.contact.has_mail |= sent.has_progress;
                self.parts.settle_placed(&mut self.awaiting);
            }
            Err(error) => {
                self.contact.has_mail = true;
                self.server_failed(&error);
            }
        }
    }

    fn with_intake<T>(&mut self, work: impl FnOnce(&mut Intake, &Context<'_>) -> T) -> T {
        let account = self.parts.members.state();
        let (author, _) = self.parts.volume.author();
        let ctx = Context {
            vault: self.parts.vault,
            device: self.parts.device,
            account: &account,
            keyring: &self.parts.keyring,
            known: &*self.parts.history,
            own_head: self.parts.local.chain_head(),
            incarnation: author.incarnation,
            reload_own: self.reload_own,
            now_ms: self.now_ms(),
        };
        work(&mut self.intake, &ctx)
    }

    fn halted(&mut self, source: Source, taken: Result<(), Halt>) {
        if let Err(halt) = taken {
            // Only the server has keys.
            self.contact.has_met &= halt != Halt::NoKey;
            self.parts.report_halt(source, &halt);
        }
    }

    fn report(&mut self) {
        let parts = Arc::clone(&self.parts);
        parts.report_intake(&mut self.intake);
        if let Some(waiting) = self.waiting.look(&self.intake.state().deferred, Instant::now()) {
            parts.report_waiting(&waiting);
        }
        parts.report_missing(&self.intake.missing(self.now_ms()));
        // What was read on an earlier contact answers nobody who asks now.
        let is_answered = self.contact.has_met && self.intake.is_settled();
        let state = self.intake.state();
        let next = Progress {
            answered: if is_answered { self.contact.ticket } else { self.progress.borrow().answered },
            applied: state.cursor,
            head: self.intake.server_head(),
            deferred: state.deferred.len() as u64,
        };
        self.progress.send_if_modified(|progress| {
            let is_new = *progress != next;
            *progress = next;
            is_new
        });
    }
}
