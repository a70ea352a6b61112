//! One simulated device: the real parts, driven step by step.

use super::fleet::{device, secret};
use crate::cut::refs::manifest_refs;
use crate::history::History;
use crate::sync::brake::Brake;
use crate::sync::chains::Alarm;
use crate::sync::checkpoint::{Checkpoint, Compared};
use crate::sync::intake::{Ask, Context, Halt, Intake, Source};
use crate::sync::late::{Cuts, cuts};
use crate::sync::local::Local;
use crate::sync::state::SyncState;
use crate::sync::write::Frozen;
use crate::testing::{Rig, names, read};
use crate::{Ino, Kind, ROOT};
use freehold_api::bulk::{PushCommit, VersionItem, VersionState};
use freehold_api::device_peer::{HeadItem, Heads};
use freehold_model::{DeviceId, Entropy, VersionHash};
use freehold_trust::account_log::AccountState;
use freehold_trust::commit::ChainHead;
use freehold_vault::record::Body;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Few, so that every run compares a great many.
const CHECKPOINT_COMMITS: u32 = 2;

/// A device.
pub(super) struct Replica {
    pub(super) rig: Rig,
    pub(super) local: Arc<Local>,
    pub(super) intake: Intake,
    /// The account as far as its log is known here.
    pub(super) account: AccountState,
    /// What the machine asked for and nobody has answered yet.
    pub(super) asked: Vec<Ask>,
    /// Alarms raised, with their source.
    pub(super) alarms: Vec<(Source, Alarm)>,
    /// Checkpoints that were what their commits come to.
    pub(super) confirmed: u32,
    pub(super) has_met: bool,
    /// The cuts to which everything followed is held.
    held_to: Option<Cuts>,
    /// The newest commit of this life.
    pub(super) last_push: Option<PushCommit>,
    reload_own: bool,
    /// How often it was started.
    life: u64,
}

impl Replica {
    /// A new device of an account.
    pub(super) fn new(number: u8, account: AccountState) -> Self {
        Self::open(Rig::device(number), Arc::new(History::in_memory()), account, 0)
    }

    /// A device on a disk as it is.
    fn open(rig: Rig, history: Arc<History>, account: AccountState, life: u64) -> Self {
        let (volume, recovery) = rig.open_reporting();
        volume.lock().set_entropy(Box::new(Draws { device: rig.device, life, count: 0 }));
        let local = Local {
            vault: rig.keyring.vault(),
            device: device(rig.device),
            brake: Mutex::new(Brake::load(&volume).expect("there is no index to fail")),
            volume,
            cache: Arc::clone(&rig.chunks),
            keyring: Arc::clone(&rig.keyring),
            history,
            sign_key: secret(rig.device).sign_key(),
            checkpoint_commits: CHECKPOINT_COMMITS,
        };
        local.keep_what_is_on_its_way();
        let lost = recovery.heads_needed;
        let state = if lost { SyncState::default() } else { SyncState::load(&local.volume) };
        Self {
            rig,
            local: Arc::new(local),
            intake: Intake::new(state),
            account,
            asked: Vec::new(),
            alarms: Vec::new(),
            confirmed: 0,
            has_met: false,
            held_to: None,
            last_push: None,
            reload_own: lost,
            life,
        }
    }

    /// The same device once more, on a copy of its disk.
    pub(super) fn copy(&self) -> Self {
        let rig = self.rig.on(self.rig.disk.cut(self.rig.disk.operations(), 0));
        Self::open(rig, Arc::new(self.local.history.copy()), self.account.clone(), self.life + 1_000)
    }

    /// Loses power: what was not synced is gone, as the seed says.
    pub(super) fn crash(&mut self, seed: u64) {
        let rig = self.rig.on(self.rig.disk.cut(self.rig.disk.operations(), seed));
        if self.rig.disk.is_full() {
            rig.disk.set_capacity(rig.disk.used());
        }
        self.reopen(rig);
    }

    /// Comes back on another disk, as after a restored backup of everything.
    pub(super) fn restore(&mut self, rig: Rig, history: Arc<History>) {
        let replica = Self::open(rig, history, self.account.clone(), self.life + 1);
        *self = Self { alarms: std::mem::take(&mut self.alarms), ..replica };
    }

    fn reopen(&mut self, rig: Rig) {
        let history = Arc::clone(&self.local.history);
        self.restore(rig, history);
    }

    pub(super) fn id(&self) -> DeviceId {
        self.local.device
    }

    /// Runs a step of the machine.
    pub(super) fn with<T>(&mut self, now_ms: u64, work: impl FnOnce(&mut Intake, &Context<'_>) -> T) -> T {
        let (author, _) = self.local.volume.author();
        let ctx = Context {
            vault: self.local.vault,
            device: self.local.device,
            account: &self.account,
            keyring: &self.local.keyring,
            known: &*self.local.history,
            own_head: self.local.chain_head(),
            incarnation: author.incarnation,
            reload_own: self.reload_own,
            now_ms,
        };
        work(&mut self.intake, &ctx)
    }

    /// Notes why a lane stopped.
    pub(super) fn heard(&mut self, source: Source, taken: Result<(), Halt>) {
        if let Err(Halt::Alarm { alarm, .. }) = taken {
            self.alarms.push((source, alarm));
        }
        if self.intake.server_was_read() {
            self.reload_own = false;
        }
    }

    /// Holds a checkpoint to the commits it covers.
    pub(super) fn compare(&mut self, checkpoint: &Checkpoint) {
        let compared = self.local.compare(checkpoint, &self.account).expect("a healthy disk");
        self.confirmed += u32::from(compared == Compared::Same);
        let taken = self.intake.compared(checkpoint, compared);
        self.heard(Source::Device(checkpoint.author), taken);
    }

    /// What the machine wants now joins what waits for its answer.
    pub(super) fn ask(&mut self, now_ms: u64) {
        self.look_for_late();
        self.asked.extend(self.intake.asks(now_ms, true));
    }

    /// Writes one commit of what is ready.
    pub(super) fn commit(&mut self) -> Option<PushCommit> {
        cut_all(&self.local);
        if self.intake.is_applying() {
            return None;
        }
        let storable = self.intake.storable();
        let is_storable = storable.is_some();
        let state = storable.unwrap_or_else(|| self.intake.state().clone());
        let is_whole = self.intake.is_whole();
        let (account, log_head) = (Arc::new(self.account.clone()), self.account.pin().head);
        let frozen = Frozen { state, account, log_head, is_storable, is_whole };
        // What could not be written is due again.
        let written = self
            .local
            .write_commit(frozen, &|content| manifest_refs(&self.local.cache, content))
            .ok()
            .flatten()?;
        self.intake.own_commit(written.is_checkpoint, written.now_s);
        self.last_push = Some(written.push.clone());
        Some(written.push)
    }

    /// Holds what was followed to the cuts of removed devices, once they have changed and nothing is being
    /// merged.
    fn look_for_late(&mut self) {
        let cuts = cuts(&self.account);
        if self.held_to.as_ref() == Some(&cuts) || !self.intake.is_kept() {
            return;
        }
        let judged = self.local.judge_late(&self.account, self.intake.state()).expect("readable");
        self.local.take_over(&judged.late_versions()).expect("there is no index to fail");
        judged.late.iter().for_each(|late| self.intake.disown(late));
        judged.readmitted.iter().for_each(|readmitted| self.intake.readmit(readmitted));
        self.held_to = Some(cuts);
    }

    /// Goes on as a new incarnation. If the disk does not take it, the next contact asks for it again.
    pub(super) fn be_reborn(&mut self, theirs: ChainHead) {
        self.intake.reborn(self.local.chain_head());
        drop(self.local.be_reborn(theirs));
        self.has_met = false;
    }

    /// What it knows, as it tells others.
    pub(super) fn heads(&self) -> Heads {
        let item = |device, head: &ChainHead| HeadItem {
            device,
            incarnation: head.incarnation,
            seq: head.seq,
            hash: head.hash,
        };
        let chains = self.intake.state().chains.iter().filter(|(device, _)| **device != self.id());
        let mut heads: Vec<HeadItem> = chains.map(|(device, chain)| item(*device, &chain.head)).collect();
        heads.extend(self.local.chain_head().map(|head| item(self.id(), &head)));
        heads.sort_unstable();
        Heads {
            vault: self.local.vault,
            log_len: self.account.head_seq() + 1,
            log_head: self.account.pin().head,
            heads,
        }
    }

    /// A version as it gives it to others.
    pub(super) fn version(&self, hash: &VersionHash) -> VersionItem {
        match self.local.history.version(hash).expect("readable") {
            Some(kept) => {
                VersionItem { hash: *hash, state: VersionState::Placed, ciphertext: kept.ciphertext }
            }
            None => VersionItem { hash: *hash, state: VersionState::Unknown, ciphertext: Vec::new() },
        }
    }

    /// Everything shown, by path: content and kind.
    pub(super) fn tree(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        let volume = &self.local.volume;
        let (mut tree, mut dirs) = (BTreeMap::new(), vec![(ROOT, String::new())]);
        while let Some((dir, path)) = dirs.pop() {
            for name in names(volume, dir) {
                let ino = volume.lock().child(dir, name.as_bytes()).expect("listed");
                let path = format!("{path}/{name}");
                if volume.lock().kind(ino) == Some(Kind::Dir) {
                    dirs.push((ino, path.clone()));
                    tree.insert(path, None);
                } else {
                    tree.insert(path, Some(read(volume, ino).expect("inline")));
                }
            }
        }
        tree
    }

    /// The n-th directory shown.
    pub(super) fn dir(&self, n: usize) -> Ino {
        let volume = &self.local.volume;
        let (mut dirs, mut at) = (vec![ROOT], 0);
        let mut seen = BTreeSet::from([ROOT]);
        while let Some(dir) = dirs.get(at).copied() {
            for name in names(volume, dir) {
                let ino = volume.lock().child(dir, name.as_bytes()).expect("listed");
                if volume.lock().kind(ino) == Some(Kind::Dir) && seen.insert(ino) {
                    dirs.push(ino);
                }
            }
            at += 1;
        }
        dirs.get(n % dirs.len()).copied().unwrap_or(ROOT)
    }
}

/// Ids that a second run draws again.
struct Draws {
    device: u8,
    life: u64,
    count: u64,
}

impl Entropy for Draws {
    fn fill(&mut self, buffer: &mut [u8]) {
        self.count += 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[self.device]).update(&self.life.to_be_bytes()).update(&self.count.to_be_bytes());
        hasher.finalize_xof().fill(buffer);
    }
}

/// Cuts every dirty body into the record itself: simulated files are small.
fn cut_all(local: &Local) {
    while let Some(job) = local.volume.next_cut(true) {
        let mut bytes = vec![0; usize::try_from(job.size).expect("small")];
        if job.reader.read_at(0, &mut bytes).is_err() {
            // The disk lost it before it was flushed; it is looked at again later.
            local.volume.drop_cut(&job.token);
            return;
        }
        local.volume.finish_cut(&job.token, Body::Inline(bytes), Vec::new());
    }
}
