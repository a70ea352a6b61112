//! Devices, a server, and the wires between them.

use super::fleet::Fleet;
use super::real::Real;
use super::replica::Replica;
use super::server::Server;
use crate::sync::chains::Alarm;
use crate::sync::intake::Source;
use crate::sync::meet::Past;
use freehold_api::bulk::PushCommit;
use freehold_api::device_peer::{CommitsResponse, Heads};
use freehold_api::{ErrorCode, PushOutcome};
use freehold_model::{DeviceId, VersionHash};
use freehold_trust::account_log::AccountState;
use std::collections::{BTreeMap, BTreeSet};

/// Commits in one simulated page and answer: few, so that questions interleave.
pub(super) const PAGE: usize = 3;

/// Rounds after which everything must be settled.
const ROUNDS_MAX: usize = 400;

/// Everything there is.
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) server: Server,
    /// The server's own store, when the model is held against it.
    pub(super) real: Option<Real>,
    pub(super) replicas: Vec<Replica>,
    /// The server answers.
    pub(super) server_is_up: bool,
    /// Pairs of devices, by index, that reach each other.
    pub(super) wires: BTreeSet<(usize, usize)>,
    pub(super) now_ms: u64,
    /// The device that was removed from the account, by index. It may go on; nobody is to listen.
    pub(super) removed: Option<usize>,
    /// What programs were promised by `fsync`: contents of files in the root that nobody touches again, by name, and
    /// the device that promised.
    pub(super) promises: BTreeMap<String, (usize, Vec<u8>)>,
    /// What happened, in order: two runs of one seed must agree.
    trace: blake3::Hasher,
}

impl World {
    /// Devices with nothing in them, everybody connected.
    pub(super) fn new(devices: u8) -> Self {
        let fleet = Fleet::new(devices);
        let replicas: Vec<Replica> =
            (1..=devices).map(|number| Replica::new(number, fleet.state().clone())).collect();
        let mut world = Self {
            fleet,
            server: Server::new(),
            real: None,
            replicas,
            server_is_up: true,
            wires: BTreeSet::new(),
            now_ms: 0,
            removed: None,
            promises: BTreeMap::new(),
            trace: blake3::Hasher::new(),
        };
        world.mend();
        world
    }

    /// Holds the server's own store against the model from here on; nothing was sent yet.
    pub(super) fn compare_with_the_real_store(&mut self) {
        let real = Real::new(&self.fleet, self.replicas[0].local.vault);
        self.server.incarnation = real.incarnation();
        self.real = Some(real);
    }

    /// Adds a step to the trace.
    #[expect(clippy::print_stderr, reason = "a person asked to see the steps of a failed seed")]
    pub(super) fn note(&mut self, what: &str) {
        if std::env::var_os("FREEHOLD_SIM_TRACE").is_some() {
            eprintln!("{what}");
        }
        self.trace.update(what.as_bytes()).update(b"\n");
    }

    /// A hash of every step and of what each device shows.
    pub(super) fn finish(mut self) -> blake3::Hash {
        for at in 0..self.replicas.len() {
            let tree = format!("{:?}", self.replicas[at].tree());
            self.note(&tree);
        }
        self.trace.finalize()
    }

    /// Connects everybody with everybody, on disks with room.
    pub(super) fn mend(&mut self) {
        self.server_is_up = true;
        self.replicas.iter().for_each(|replica| replica.rig.disk.mend());
        for a in 0..self.replicas.len() {
            for b in 0..a {
                self.wires.insert((b, a));
            }
        }
        (0..self.replicas.len()).for_each(|at| self.reconnect(at));
    }

    /// A device meets everybody it reaches anew.
    pub(super) fn reconnect(&mut self, at: usize) {
        self.replicas[at].has_met = false;
        for other in 0..self.replicas.len() {
            if self.is_wired(at, other) {
                let (id, own) = (self.replicas[other].id(), self.replicas[at].id());
                self.replicas[at].intake.device_may_have_more(id);
                self.replicas[other].intake.device_may_have_more(own);
            }
        }
    }

    /// Cuts or mends the wire between two devices.
    pub(super) fn set_wire(&mut self, a: usize, b: usize, is_up: bool) {
        let pair = (a.min(b), a.max(b));
        if is_up && self.wires.insert(pair) {
            self.reconnect(a);
        } else if !is_up && self.wires.remove(&pair) {
            let (id_a, id_b) = (self.replicas[a].id(), self.replicas[b].id());
            self.replicas[a].intake.source_left(Source::Device(id_b));
            self.replicas[b].intake.source_left(Source::Device(id_a));
        }
    }

    fn is_wired(&self, a: usize, b: usize) -> bool {
        // Whoever has heard of the removal has no link to the removed device any more.
        let shuts_out = |at: usize, other: usize| {
            self.removed == Some(other)
                && self.replicas[at].account.live_device(&self.replicas[other].id()).is_none()
        };
        a != b && self.wires.contains(&(a.min(b), a.max(b))) && !shuts_out(a, b) && !shuts_out(b, a)
    }

    /// A device learns what the account is now.
    pub(super) fn learn(&mut self, at: usize, account: AccountState) {
        if account.head_seq() <= self.replicas[at].account.head_seq() {
            return;
        }
        self.replicas[at].account = account;
        if let Some(removed) = self.removed.filter(|removed| *removed != at) {
            let (gone, own) = (self.replicas[removed].id(), self.replicas[at].id());
            self.replicas[at].intake.source_left(Source::Device(gone));
            self.replicas[removed].intake.source_left(Source::Device(own));
        }
    }

    /// The devices of the account, by index.
    pub(super) fn live(&self) -> Vec<usize> {
        (0..self.replicas.len()).filter(|at| self.removed != Some(*at)).collect()
    }

    /// Whether the server answers a device: it has no session for one that was removed.
    pub(super) fn reaches_server(&self, at: usize) -> bool {
        self.server_is_up && self.removed != Some(at)
    }

    /// The index of a device this one reaches.
    pub(super) fn reached(&self, at: usize, device: &DeviceId) -> Option<usize> {
        (0..self.replicas.len())
            .find(|other| self.replicas[*other].id() == *device && self.is_wired(at, *other))
    }

    /// Compares a device's past with what the server knows.
    pub(super) fn meet(&mut self, at: usize) {
        if !self.reaches_server(at) {
            return;
        }
        self.learn(at, self.fleet.state().clone());
        let id = self.replicas[at].id();
        let (claim, proof) = self.server.chain(&id).unzip();
        let proof = proof.unwrap_or_default();
        if let Some(real) = &mut self.real {
            real.chain(id, claim.as_ref(), &proof);
        }
        match self.replicas[at].local.server_knows(claim.as_ref(), &proof).expect("kept in memory") {
            Past::Other(theirs) => {
                self.note("reborn by the server's proof");
                self.replicas[at].be_reborn(theirs);
            }
            Past::Unproven(_) => self.replicas[at].alarms.push((Source::Server, Alarm::Unproven)),
            Past::Known => {
                self.replicas[at].has_met = true;
                self.replicas[at].intake.server_may_have_more(true);
            }
        }
    }

    /// Writes what is ready down, and tells those who are reached.
    pub(super) fn commit(&mut self, at: usize) -> bool {
        let Some(push) = self.replicas[at].commit() else { return false };
        let own = self.replicas[at].id();
        for other in 0..self.replicas.len() {
            if self.is_wired(at, other) {
                self.tell(other, own, push.clone());
            }
        }
        true
    }

    /// Hands a commit to another device that did not ask.
    pub(super) fn tell(&mut self, to: usize, from: DeviceId, push: PushCommit) {
        let now = self.now_ms;
        let replica = &mut self.replicas[to];
        let answer = CommitsResponse { more: false, commits: vec![push.commit] };
        let taken = replica.with(now, |intake, ctx| intake.commits(ctx, from, &answer, false));
        replica.heard(Source::Device(from), taken);
        let taken =
            replica.with(now, |intake, ctx| intake.told_versions(ctx, Source::Device(from), push.versions));
        replica.heard(Source::Device(from), taken);
    }

    /// Sends what the server lacks; whether it took something.
    pub(super) fn send(&mut self, at: usize) -> bool {
        if !self.reaches_server(at) || !self.replicas[at].has_met {
            return false;
        }
        let local = std::sync::Arc::clone(&self.replicas[at].local);
        let Ok(letters) = local.letters(true) else {
            self.replicas[at].has_met = false;
            return false;
        };
        if letters.is_empty() {
            return false;
        }
        let outcomes = letters.iter().map(|letter| self.push(&letter.push)).collect();
        let (sent, refused) = local.book(letters, outcomes).expect("kept in memory");
        for push in sent.own.iter().chain(&sent.others) {
            let versions = push.versions.iter().map(|version| version.hash);
            let placed: Vec<VersionHash> =
                versions.filter(|version| self.server.is_placed(version)).collect();
            local.volume.versions_placed(&placed, |_| false);
        }
        if refused.is_some() {
            self.replicas[at].has_met = false;
        }
        sent.has_progress
    }

    /// The server takes a commit, or not.
    pub(super) fn push(&mut self, push: &PushCommit) -> PushOutcome {
        let outcome = self.server.push(push, self.fleet.state());
        let is_for_the_store = match &outcome {
            PushOutcome::Numbered { .. } => true,
            PushOutcome::Refused { code, .. } => matches!(code, ErrorCode::ChainGap | ErrorCode::CommitFork),
        };
        if let Some(real) = self.real.as_mut().filter(|_| is_for_the_store) {
            real.push(push, &self.fleet, &outcome);
        }
        outcome
    }

    /// A device that learned something lets those it reaches know.
    pub(super) fn spread(&mut self, at: usize) {
        let own = self.replicas[at].id();
        for other in 0..self.replicas.len() {
            if self.is_wired(at, other) && behind(&self.replicas[other].heads(), &self.replicas[at].heads()) {
                self.replicas[other].intake.device_may_have_more(own);
            }
        }
    }

    /// Copies a device with everything on its disk, as a virtual machine is copied.
    pub(super) fn clone_device(&mut self, at: usize) {
        let copy = self.replicas[at].copy();
        self.replicas.push(copy);
        self.part(at, self.replicas.len() - 1);
    }

    /// Two devices that never reach each other, or anybody but the server: copies of one device
    /// are told apart by nobody else.
    pub(super) fn part(&mut self, a: usize, b: usize) {
        for at in [a, b] {
            for other in 0..self.replicas.len() {
                if other != at {
                    self.set_wire(at, other, false);
                }
            }
        }
    }

    /// Mends everything and lets it go on until nobody has anything to do.
    pub(super) fn settle(&mut self) {
        self.settle_with(|_| {});
    }

    /// As [`Self::settle`], with wires that stay cut.
    pub(super) fn settle_with(&mut self, cut: impl Fn(&mut Self)) {
        self.mend();
        cut(self);
        for _ in 0..ROUNDS_MAX {
            self.now_ms += 10_000;
            let mut is_busy = false;
            for at in self.live() {
                if !self.replicas[at].has_met {
                    self.meet(at);
                    is_busy = true;
                }
                is_busy |= self.commit(at);
                is_busy |= self.send(at);
                is_busy |= self.answer_all(at);
                let waits = self.waits(at);
                if waits || self.replicas[at].intake.state().cursor < self.server.commits.len() as u64 {
                    self.replicas[at].intake.server_may_have_more(false);
                    is_busy = true;
                }
            }
            if !is_busy {
                return;
            }
        }
        let busy: Vec<String> = self.live().into_iter().map(|at| self.describe(at)).collect();
        panic!("not settled after {ROUNDS_MAX} rounds: {busy:#?}");
    }

    /// Whether a device waits for a version of a live one, or for one that somebody has.
    fn waits(&self, at: usize) -> bool {
        let account = &self.replicas[at].account;
        let is_somewhere = |version: &VersionHash| {
            let is_there = |other: usize| {
                self.replicas[other].local.history.version(version).expect("readable").is_some()
            };
            self.server.versions.contains_key(version) || self.live().into_iter().any(is_there)
        };
        let deferred = &self.replicas[at].intake.state().deferred;
        deferred.iter().any(|(version, deferred)| {
            account.live_device(&deferred.author).is_some() || is_somewhere(version)
        })
    }

    /// What may keep a device busy.
    fn describe(&self, at: usize) -> String {
        let replica = &self.replicas[at];
        let unsent = replica.local.letters(true).map(|letters| letters.len());
        format!(
            "{at}: met {}, cursor {} of {}, waits for {:?}, unsent {unsent:?}, {:?}",
            replica.has_met,
            replica.intake.state().cursor,
            self.server.commits.len(),
            replica.intake.state().deferred.keys(),
            replica.local.volume.pending(),
        )
    }

    /// Answers a device until it asks for nothing more; whether it asked at all.
    fn answer_all(&mut self, at: usize) -> bool {
        let mut is_busy = false;
        loop {
            let now = self.now_ms;
            self.replicas[at].ask(now);
            if self.replicas[at].asked.is_empty() {
                return is_busy;
            }
            is_busy = true;
            self.answer(at, 0);
        }
    }

    /// Everything is the same everywhere, and nothing is left to send.
    pub(super) fn assert_converged(&self) {
        let first = self.replicas[0].tree();
        for (name, (at, content)) in &self.promises {
            // What a removed device promised is its own affair.
            if self.removed != Some(*at) {
                assert_eq!(first.get(name), Some(&Some(content.clone())), "{name}, written on {at}");
            }
        }
        for at in self.live() {
            assert!(!self.waits(at), "{}", self.describe(at));
            let replica = &self.replicas[at];
            assert_eq!(replica.tree(), first, "device {:?}", replica.id());
            assert_eq!(replica.alarms, [], "device {:?}", replica.id());
            assert_eq!(replica.local.volume.pending(), crate::Pending::default());
        }
    }
}

/// Whether somebody lacks a commit that another has.
fn behind(ours: &Heads, theirs: &Heads) -> bool {
    theirs.heads.iter().any(|their| {
        let our = ours.heads.iter().find(|our| our.device == their.device);
        our.is_none_or(|our| (our.incarnation, our.seq) < (their.incarnation, their.seq))
    })
}
