//! Taking in what others changed, from whoever has it: a state machine without clock, disk or network.
//!
//! Sources are the server and every device there is a link to. Each has a lane with at most one
//! question for commits and one for versions under way. Commits are verified and followed in their
//! chains whoever delivers them; the versions they name are fetched once, from the first lane that
//! may have them; then they are merged. What the storage nodes hold is shown at once. What they do
//! not hold yet is shown when its chunks were brought here; until then what it replaces stays, and
//! people are told which device they wait for.
//!
//! The owner asks [`Intake::asks`] what to do, does it, and hands every answer back; nothing else
//! changes the state. [`commits`] judges commits, [`versions`] follows versions to their place,
//! [`own`] judges what others say of this device itself, [`witnessed`] what lies at the storage nodes,
//! [`late`] what removed devices signed after their end.

mod applying;
mod commits;
mod late;
mod own;
mod versions;
mod witnessed;

pub(crate) use commits::just_before;

use super::chains::{Alarm, KnownCommits};
use super::checkpoint::{Checkpoint, Compared};
use super::limits::SOURCE_PAUSE_MS;
use super::plan::{FetchPlan, Named};
use super::state::{Deferred, SyncState};
use crate::RemoteVersion;
use crate::history::Keep;
use freehold_api::device_peer::{After, HeadItem, Heads};
use freehold_crypto::VaultKeyring;
use freehold_model::{DeviceId, VaultId, VersionHash};
use freehold_trust::account_log::AccountState;
use freehold_trust::commit::ChainHead;
use freehold_vault::Chunked;
use std::collections::{BTreeMap, BTreeSet};

/// Where commits and versions come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The coordination server.
    Server,
    /// Another device of the account, over a link.
    Device(DeviceId),
}

/// Something to be done for the machine; each has its answer.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Commits the server numbered after this: [`Intake::page`].
    Page { after: u64 },
    /// What another device knows: [`Intake::heads`].
    Heads { from: DeviceId },
    /// Commits another device has after these places: [`Intake::commits`].
    Commits { from: DeviceId, after: Vec<After> },
    /// The commit of this device that another one says it knows: [`Intake::own_past`].
    OwnPast { from: DeviceId, claim: HeadItem },
    /// Versions by hash: [`Intake::versions`].
    Versions { from: Source, hashes: Vec<VersionHash> },
    /// Versions that were kept before a stop and not merged, as far as they are: [`Intake::kept`].
    Kept { hashes: Vec<VersionHash> },
    /// The account log has entries that are not known here: [`Intake::log_read`].
    Log { from: Source },
    /// Every chunk of these contents is to come here: [`Intake::brought`].
    Bring { wanted: Vec<(VersionHash, Vec<Chunked>)> },
    /// A root over all heads that another device signed is to be held to the commits it covers:
    /// [`Intake::compared`].
    Compare(Box<Checkpoint>),
    /// Verified changes are to be kept, merged and remembered: [`Intake::applied`].
    Apply(Box<Application>),
}

/// One step of merging.
#[derive(Debug, Default)]
pub(crate) struct Application {
    /// To merge.
    pub(crate) versions: Vec<RemoteVersion>,
    /// To keep for others, before it counts as followed.
    pub(crate) keep: Keep,
    /// To store with the records, when everything it speaks of is among them.
    pub(crate) state: Option<SyncState>,
    /// Whether nothing else is on its way: what has no directory yet goes to Lost and Found.
    pub(crate) is_end: bool,
}

/// Why a lane stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// What it delivered contradicts itself, or what was seen, or is forged; the commit is evidence.
    Alarm { alarm: Alarm, commit: Vec<u8> },
    /// It is sealed under a key that is not here.
    NoKey,
}

/// What the machine is told with every answer.
pub(crate) struct Context<'a> {
    pub(crate) vault: VaultId,
    /// This device.
    pub(crate) device: DeviceId,
    pub(crate) account: &'a AccountState,
    pub(crate) keyring: &'a VaultKeyring,
    pub(crate) known: &'a dyn KnownCommits,
    /// The newest commit of this device.
    pub(crate) own_head: Option<ChainHead>,
    /// Its life.
    pub(crate) incarnation: u32,
    /// Own commits are not in the tables: the index was lost.
    pub(crate) reload_own: bool,
    /// Milliseconds on a clock that does not jump.
    pub(crate) now_ms: u64,
}

/// One source.
#[derive(Debug, Default)]
struct Lane {
    /// What a device said it knows; the server needs none.
    heads: Option<Heads>,
    /// Places at which it has followed another commit than this device: asked for as evidence.
    forked: Vec<After>,
    /// It knows more of this device's own chain than this device, or something else.
    own: Option<HeadItem>,
    /// It was asked for the commit it claims and had none.
    own_denied: Option<Denied>,
    /// Commits may be there.
    wants_commits: bool,
    /// The device is to be asked what it knows.
    wants_heads: bool,
    /// It knows an account log entry that is not here.
    wants_log: bool,
    /// The log was read since, in vain.
    log_was_read: bool,
    /// The server's numbering was not compared yet on this contact.
    is_new: bool,
    /// The page under way was asked for from the commit at the cursor, to compare the numbering.
    compares: bool,
    /// A question about heads, commits or the log is under way.
    is_reading: bool,
    /// There was a reason to ask again while one was under way.
    asks_again: bool,
    /// Versions asked for.
    fetching: BTreeSet<VersionHash>,
    /// Versions it may have.
    may_have: BTreeSet<VersionHash>,
    /// It failed and is left alone until then.
    paused_until: u64,
    /// It delivered something that cannot be taken; what it delivered before may still be fetched.
    is_halted: bool,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Intake {
    state: SyncState,
    lanes: BTreeMap<Source, Lane>,
    plan: FetchPlan,
    /// Opened versions that can be merged.
    ready: Vec<RemoteVersion>,
    /// How many of them came back from the last step, for want of their directory.
    came_back: usize,
    /// Sealed bytes of what is to be merged or kept.
    unmerged_bytes: usize,
    /// The last step failed: none before this time.
    apply_not_before: u64,
    /// Versions that may have been kept before a stop and not merged.
    perhaps_kept: Vec<VersionHash>,
    /// Versions being merged.
    applying: BTreeSet<VersionHash>,
    is_applying: bool,
    /// Opened versions whose chunks are to be brought, and those under way.
    bring: BTreeMap<VersionHash, (RemoteVersion, Vec<Chunked>)>,
    bringing: BTreeMap<VersionHash, RemoteVersion>,
    keep: Keep,
    /// The state has changed since it was stored.
    is_news: bool,
    /// The newest number the server had when it was asked last.
    server_head: u64,
    /// The server's commits are read to the end, on this contact.
    server_read: bool,
    /// How often the server's commits were read from the first on because one seemed to be missing.
    gaps: u8,
    /// Commits that devices have seen and that were never shown: since when, and how often denied.
    denied: BTreeMap<(DeviceId, u32, u64), Denied>,
    claims: BTreeMap<DeviceId, (HeadItem, Vec<u8>)>,
    /// Devices among them of which a storage node has seen more.
    witnessed: BTreeSet<DeviceId>,
    /// The newest root of each device that was not compared yet.
    checkpoints: BTreeMap<DeviceId, Checkpoint>,
    is_comparing: bool,
    /// Devices whose changes were put aside since the start.
    put_aside: BTreeSet<DeviceId>,
    refused: usize,
}

#[derive(Clone, Copy, Debug)]
struct Denied {
    since_ms: u64,
    times: u32,
}

impl Intake {
    /// A machine that goes on from a stored state.
    pub(crate) fn new(state: SyncState) -> Self {
        Self {
            perhaps_kept: state.deferred.keys().copied().collect(),
            state,
            lanes: BTreeMap::new(),
            plan: FetchPlan::default(),
            ready: Vec::new(),
            came_back: 0,
            unmerged_bytes: 0,
            apply_not_before: 0,
            applying: BTreeSet::new(),
            is_applying: false,
            bring: BTreeMap::new(),
            bringing: BTreeMap::new(),
            keep: Keep::default(),
            is_news: false,
            server_head: 0,
            server_read: false,
            gaps: 0,
            denied: BTreeMap::new(),
            claims: BTreeMap::new(),
            witnessed: BTreeSet::new(),
            checkpoints: BTreeMap::new(),
            is_comparing: false,
            put_aside: BTreeSet::new(),
            refused: 0,
        }
    }

    /// How far it has come; chains and cursor only grow.
    pub(crate) const fn state(&self) -> &SyncState {
        &self.state
    }

    /// Notes an own commit, with a root over all heads or without.
    pub(crate) fn own_commit(&mut self, is_checkpoint: bool, now_s: u64) {
        if is_checkpoint {
            (self.state.since_checkpoint, self.state.checkpoint_time) = (0, now_s);
        } else {
            self.state.since_checkpoint += 1;
        }
    }

    /// Notes that this device starts another life; `before` is its last commit that it remembers.
    pub(crate) fn reborn(&mut self, before: Option<ChainHead>) {
        let before = before.map_or((0, 0), |head| (head.incarnation, head.seq));
        self.state.remembers = Some(self.state.remembers.map_or(before, |earlier| earlier.min(before)));
        self.is_news = true;
    }

    /// Whether a step of merging is under way.
    pub(crate) const fn is_applying(&self) -> bool {
        self.is_applying
    }

    /// Records that could not be opened or belong elsewhere, since this was asked last.
    pub(crate) const fn take_refused(&mut self) -> usize {
        std::mem::replace(&mut self.refused, 0)
    }

    /// The newest number the server had when it was asked last.
    pub(crate) const fn server_head(&self) -> u64 {
        self.server_head
    }

    /// Whether the server's commits were read to the end on this contact.
    pub(crate) const fn server_was_read(&self) -> bool {
        self.server_read
    }

    /// Whether everything the server had, when it was asked last, is followed and nothing of it is
    /// on its way.
    pub(crate) fn is_settled(&self) -> bool {
        self.server_read && self.is_quiet() && self.keep.is_empty() && !self.is_applying
    }

    /// The server is there, perhaps with something new. On a first contact its numbering is compared.
    pub(crate) fn server_may_have_more(&mut self, is_first_contact: bool) {
        let lane = self.lanes.entry(Source::Server).or_default();
        lane.is_new |= is_first_contact;
        lane.asks_again = lane.is_reading;
        lane.wants_commits = true;
        lane.paused_until = 0;
        self.server_read = false;
    }

    /// A device came, or has something new.
    pub(crate) fn device_may_have_more(&mut self, device: DeviceId) {
        let is_new = !self.lanes.contains_key(&Source::Device(device));
        self.lanes.entry(Source::Device(device)).or_default().wants_heads = true;
        if is_new {
            self.look_again();
        }
    }

    /// A source is gone; what it was asked for is asked elsewhere.
    pub(crate) fn source_left(&mut self, source: Source) {
        if let Some(lane) = self.lanes.remove(&source) {
            self.give_back(lane.fetching.iter().copied());
        }
    }

    /// The account log was read from a source, successfully or not.
    pub(crate) fn log_read(&mut self, source: Source, went_well: bool, now_ms: u64) {
        let Some(lane) = self.lanes.get_mut(&source) else { return };
        lane.is_reading = false;
        lane.wants_log = false;
        lane.log_was_read = went_well;
        lane.wants_commits = source == Source::Server || lane.heads.is_some();
        if !went_well {
            lane.paused_until = now_ms + SOURCE_PAUSE_MS;
        }
    }

    /// A question to a source failed.
    pub(crate) fn failed(&mut self, source: Source, asked: &[VersionHash], now_ms: u64) {
        self.give_back(asked.iter().copied());
        let Some(lane) = self.lanes.get_mut(&source) else { return };
        if asked.is_empty() {
            lane.is_reading = false;
            lane.is_new |= std::mem::take(&mut lane.compares);
            lane.wants_commits |= source == Source::Server;
            lane.wants_heads |= source != Source::Server;
        }
        asked.iter().for_each(|version| {
            lane.fetching.remove(version);
        });
        // Who is away delivers nothing: what it delivered before waits too.
        lane.is_halted = false;
        lane.paused_until = now_ms + SOURCE_PAUSE_MS;
    }

    /// Versions put aside are looked for again.
    pub(crate) fn look_again(&mut self) {
        let deferred: Vec<(VersionHash, Deferred)> = self
            .state
            .deferred
            .iter()
            .filter(|(version, _)| !self.is_open(version))
            .map(|(version, deferred)| (*version, deferred.clone()))
            .collect();
        for (version, Deferred { record, author, supersedes }) in deferred {
            self.plan.name(version, Named { record, author, supersedes });
            self.lanes.values_mut().for_each(|lane| {
                lane.may_have.insert(version);
            });
        }
    }

    /// What to do now. Each thing is given once. Nothing is merged while own changes are written
    /// down: both store the state.
    pub(crate) fn asks(&mut self, now_ms: u64, may_apply: bool) -> Vec<Ask> {
        let mut asks = Vec::new();
        let sources: Vec<Source> = self.lanes.keys().copied().collect();
        for source in sources {
            asks.extend(self.reading(source, now_ms));
            asks.extend(self.fetching(source, now_ms));
        }
        self.defer_what_nobody_has();
        asks.extend(self.kept_before());
        asks.extend(self.bringing());
        if may_apply {
            asks.extend(self.application(now_ms));
        }
        asks.extend(self.comparison());
        asks
    }

    /// The next checkpoint to compare, once everything that was read is kept and nothing is on its way.
    fn comparison(&mut self) -> Option<Ask> {
        let is_reading = self.lanes.values().any(|lane| lane.is_reading || lane.wants_commits);
        if self.is_comparing || self.is_applying || is_reading || !self.keep.is_empty() || !self.is_quiet() {
            return None;
        }
        let chains = &self.state.chains;
        let author = self.checkpoints.values().find(|checkpoint| checkpoint.is_followed(chains))?.author;
        let checkpoint = self.checkpoints.remove(&author)?;
        self.is_comparing = true;
        Some(Ask::Compare(Box::new(checkpoint)))
    }

    /// A checkpoint was compared, or could not be.
    ///
    /// # Errors
    /// [`Halt::Alarm`] when its author signed something else. Nothing stops for it.
    pub(crate) fn compared(&mut self, checkpoint: &Checkpoint, compared: Compared) -> Result<(), Halt> {
        self.is_comparing = false;
        match compared {
            Compared::Same | Compared::Unknown => Ok(()),
            Compared::Differs => Err(Halt::Alarm { alarm: Alarm::Heads, commit: checkpoint.commit.clone() }),
        }
    }

    /// The next question about commits to a source.
    fn reading(&mut self, source: Source, now_ms: u64) -> Option<Ask> {
        let cursor = self.state.cursor;
        let chains = &self.state.chains;
        let lane = self.lanes.get_mut(&source)?;
        if lane.is_reading || now_ms < lane.paused_until {
            return None;
        }
        let ask = if lane.wants_log {
            Ask::Log { from: source }
        } else {
            match source {
                Source::Server if lane.wants_commits => {
                    // The commit at the cursor comes again, to see whether it is still the same.
                    lane.compares = std::mem::take(&mut lane.is_new);
                    let after = if lane.compares { cursor.saturating_sub(1) } else { cursor };
                    Ask::Page { after }
                }
                Source::Device(from) if lane.wants_heads => {
                    lane.wants_heads = false;
                    Ask::Heads { from }
                }
                Source::Device(from) if lane.own.is_some() => {
                    let claim = lane.own.take()?;
                    Ask::OwnPast { from, claim }
                }
                Source::Device(from) if lane.wants_commits => {
                    let mut after = std::mem::take(&mut lane.forked);
                    let missing = lane.heads.as_ref().map(|heads| commits::missing(heads, chains));
                    after.extend(missing.unwrap_or_default());
                    after.dedup_by_key(|after| after.device);
                    lane.wants_commits = false;
                    if after.is_empty() {
                        return None;
                    }
                    Ask::Commits { from, after }
                }
                _ => return None,
            }
        };
        lane.is_reading = true;
        Some(ask)
    }

    /// Whether nothing is under way but what is put aside.
    fn is_quiet(&self) -> bool {
        self.ready.is_empty() && self.is_quiet_but_for_merging()
    }

    fn is_quiet_but_for_merging(&self) -> bool {
        self.plan.is_done()
            && self.bring.is_empty()
            && self.bringing.is_empty()
            && self.lanes.values().all(|lane| lane.fetching.is_empty())
    }

    /// Whether a version is on its way to being merged.
    fn is_open(&self, version: &VersionHash) -> bool {
        self.plan.wants(version)
            || self.bring.contains_key(version)
            || self.bringing.contains_key(version)
            || self.applying.contains(version)
            || self.ready.iter().any(|ready| ready.version == *version)
            || self.lanes.values().any(|lane| lane.fetching.contains(version))
    }

    /// Versions that these replace, near and far, as far as is known: one that was replaced before it
    /// was shown leads on to what it replaced itself.
    fn replaced(&self, supersedes: &[VersionHash]) -> BTreeSet<VersionHash> {
        let (mut found, mut open) = (BTreeSet::new(), supersedes.to_vec());
        while let Some(version) = open.pop() {
            if found.insert(version) {
                open.extend(self.plan.named(&version).iter().flat_map(|named| &named.supersedes));
                let deferred = self.state.deferred.get(&version);
                open.extend(deferred.iter().flat_map(|deferred| &deferred.supersedes));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests;
