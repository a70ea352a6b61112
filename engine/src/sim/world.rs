//! Devices, a server, and the wires between them.

use super::fleet::Fleet;
use super::replica::Replica;
use super::server::Server;
use crate::sync::chains::Alarm;
use crate::sync::intake::{Ask, Source, just_before};
use crate::sync::meet::Past;
use freehold_api::bulk::{PushCommit, VersionItem, VersionState};
use freehold_api::device_peer::{After, CommitsResponse, HeadItem, Heads};
use freehold_model::{DeviceId, VersionHash};
use std::collections::BTreeSet;

/// Commits in one simulated page and answer: few, so that questions interleave.
const PAGE: usize = 3;

/// Rounds after which everything must be settled.
const ROUNDS_MAX: usize = 400;

/// Everything there is.
pub(super) struct World {
    pub(super) fleet: Fleet,
    pub(super) server: Server,
    pub(super) replicas: Vec<Replica>,
    /// The server answers.
    pub(super) server_is_up: bool,
    /// Pairs of devices, by index, that reach each other.
    pub(super) wires: BTreeSet<(usize, usize)>,
    pub(super) now_ms: u64,
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
            replicas,
            server_is_up: true,
            wires: BTreeSet::new(),
            now_ms: 0,
            trace: blake3::Hasher::new(),
        };
        world.mend();
        world
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

    /// Connects everybody with everybody.
    pub(super) fn mend(&mut self) {
        self.server_is_up = true;
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
        a != b && self.wires.contains(&(a.min(b), a.max(b)))
    }

    /// The index of a device this one reaches.
    fn reached(&self, at: usize, device: &DeviceId) -> Option<usize> {
        (0..self.replicas.len())
            .find(|other| self.replicas[*other].id() == *device && self.is_wired(at, *other))
    }

    /// Compares a device's past with what the server knows.
    pub(super) fn meet(&mut self, at: usize) {
        if !self.server_is_up {
            return;
        }
        self.replicas[at].account = self.fleet.state().clone();
        let (claim, proof) = self.server.chain(&self.replicas[at].id()).unzip();
        let proof = proof.unwrap_or_default();
        match self.replicas[at].local.server_knows(claim.as_ref(), &proof).expect("a healthy disk") {
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

    fn tell(&mut self, to: usize, from: DeviceId, push: PushCommit) {
        let now = self.now_ms;
        let replica = &mut self.replicas[to];
        let answer = CommitsResponse { more: false, commits: vec![push.commit] };
        let taken = replica.with(now, |intake, ctx| intake.commits(ctx, from, &answer, false));
        replica.heard(Source::Device(from), taken);
        let taken =
            replica.with(now, |intake, ctx| intake.told_versions(ctx, Source::Device(from), push.versions));
        replica.heard(Source::Device(from), taken);
    }

    /// Sends what the server lacks; whether there was something.
    pub(super) fn send(&mut self, at: usize) -> bool {
        if !self.server_is_up || !self.replicas[at].has_met {
            return false;
        }
        let local = std::sync::Arc::clone(&self.replicas[at].local);
        let letters = local.letters(true).expect("a healthy disk");
        if letters.is_empty() {
            return false;
        }
        let account = self.fleet.state();
        let outcomes = letters.iter().map(|letter| self.server.push(&letter.push, account)).collect();
        let (sent, refused) = local.book(letters, outcomes).expect("a healthy disk");
        for push in sent.own.iter().chain(&sent.others) {
            let versions: Vec<VersionHash> = push.versions.iter().map(|version| version.hash).collect();
            local.volume.versions_placed(&versions);
        }
        if refused.is_some() {
            self.replicas[at].has_met = false;
        }
        true
    }

    /// Answers one question of a device, if whoever it is put to is reached; else it fails.
    pub(super) fn answer(&mut self, at: usize, which: usize) {
        let ask = self.replicas[at].asked.remove(which);
        let now = self.now_ms;
        match ask {
            Ask::Page { after } if self.server_is_up => {
                let page = self.server.page(after, PAGE);
                let taken = self.replicas[at].with(now, |intake, ctx| intake.page(ctx, &page));
                self.replicas[at].heard(Source::Server, taken);
            }
            Ask::Page { .. } => self.lost(at, Source::Server, &[]),
            Ask::Heads { from } => match self.reached(at, &from) {
                Some(other) => self.exchange_heads(at, other),
                None => self.lost(at, Source::Device(from), &[]),
            },
            Ask::OwnPast { from, claim } => match self.reached(at, &from) {
                Some(other) => {
                    let answer = self.commits_of(other, &[just_before(&claim)]);
                    self.show_own_past(at, from, &claim, &answer);
                }
                None => self.lost(at, Source::Device(from), &[]),
            },
            Ask::Commits { from, after } => match self.reached(at, &from) {
                Some(other) => {
                    let answer = self.commits_of(other, &after);
                    let taken =
                        self.replicas[at].with(now, |intake, ctx| intake.commits(ctx, from, &answer, true));
                    self.replicas[at].heard(Source::Device(from), taken);
                }
                None => self.lost(at, Source::Device(from), &[]),
            },
            Ask::Versions { from, hashes } => match self.versions_of(at, from, &hashes) {
                Some(items) => {
                    let taken =
                        self.replicas[at].with(now, |intake, ctx| intake.versions(ctx, from, &hashes, items));
                    self.replicas[at].heard(from, taken);
                }
                None => self.lost(at, from, &hashes),
            },
            Ask::Log { from } => {
                let known = match from {
                    Source::Server if self.server_is_up => Some(self.fleet.state().clone()),
                    Source::Server => None,
                    Source::Device(device) => {
                        self.reached(at, &device).map(|other| self.replicas[other].account.clone())
                    }
                };
                let went_well = known.is_some();
                if let Some(known) =
                    known.filter(|known| known.head_seq() > self.replicas[at].account.head_seq())
                {
                    self.replicas[at].account = known;
                }
                self.replicas[at].intake.log_read(from, went_well, now);
            }
            Ask::Bring { wanted } => {
                let here = wanted.into_iter().map(|(version, _)| version).collect();
                self.replicas[at].intake.brought(&here);
            }
            Ask::Compare(checkpoint) => self.replicas[at].compare(&checkpoint),
            Ask::Apply(step) => {
                let applied = self.replicas[at].local.apply(*step);
                assert!(applied.undone.is_none(), "a healthy disk");
                assert_eq!(applied.refused, 0, "every record of an honest device can be merged");
                self.replicas[at].intake.applied(applied.orphans, None, now);
                self.replicas[at].local.volume.show_again();
                self.spread(at);
            }
        }
    }

    /// A device that learned something lets those it reaches know.
    fn spread(&mut self, at: usize) {
        let own = self.replicas[at].id();
        for other in 0..self.replicas.len() {
            if self.is_wired(at, other) && behind(&self.replicas[other].heads(), &self.replicas[at].heads()) {
                self.replicas[other].intake.device_may_have_more(own);
            }
        }
    }

    fn exchange_heads(&mut self, at: usize, other: usize) {
        let now = self.now_ms;
        let (from, theirs) = (self.replicas[other].id(), self.replicas[other].heads());
        self.replicas[at].with(now, |intake, ctx| intake.heads(ctx, from, theirs));
    }

    /// What a device answers to a question for commits.
    pub(super) fn commits_of(&self, at: usize, after: &[After]) -> CommitsResponse {
        let history = &self.replicas[at].local.history;
        let (commits, more) = history.commits_after(after, PAGE, 1 << 20).expect("readable");
        CommitsResponse { more, commits }
    }

    /// Another device answers for what it said of this one's chain.
    pub(super) fn show_own_past(
        &mut self,
        at: usize,
        from: DeviceId,
        claim: &HeadItem,
        answer: &CommitsResponse,
    ) {
        let now = self.now_ms;
        match self.replicas[at].with(now, |intake, ctx| intake.own_past(ctx, from, claim, answer)) {
            Ok(theirs) => {
                if let Some(theirs) = theirs.filter(|past| self.replicas[at].local.is_foreign_past(past)) {
                    self.note("reborn by a device's proof");
                    self.replicas[at].be_reborn(theirs);
                }
            }
            Err(halt) => self.replicas[at].heard(Source::Device(from), Err(halt)),
        }
    }

    fn versions_of(&self, at: usize, from: Source, hashes: &[VersionHash]) -> Option<Vec<VersionItem>> {
        match from {
            Source::Server => self.server_is_up.then(|| self.server.versions(hashes)),
            Source::Device(device) => {
                let history = &self.replicas[self.reached(at, &device)?].local.history;
                let item = |hash: &VersionHash| match history.version(hash).expect("readable") {
                    Some(kept) => {
                        VersionItem { hash: *hash, state: VersionState::Placed, ciphertext: kept.ciphertext }
                    }
                    None => VersionItem { hash: *hash, state: VersionState::Unknown, ciphertext: Vec::new() },
                };
                Some(hashes.iter().map(item).collect())
            }
        }
    }

    /// A question gets no answer.
    fn lost(&mut self, at: usize, source: Source, asked: &[VersionHash]) {
        let now = self.now_ms;
        self.replicas[at].intake.failed(source, asked, now);
        if source == Source::Server {
            self.replicas[at].has_met = false;
        }
    }

    /// Loses one question of a device.
    pub(super) fn lose(&mut self, at: usize, which: usize) {
        match &self.replicas[at].asked[which] {
            // These are the device's own disk.
            Ask::Apply(_) | Ask::Bring { .. } | Ask::Compare(_) => self.answer(at, which),
            Ask::Page { .. } => {
                self.replicas[at].asked.remove(which);
                self.lost(at, Source::Server, &[]);
            }
            Ask::Heads { from } | Ask::OwnPast { from, .. } | Ask::Commits { from, .. } => {
                let source = Source::Device(*from);
                self.replicas[at].asked.remove(which);
                self.lost(at, source, &[]);
            }
            Ask::Log { from } => {
                let (source, now) = (*from, self.now_ms);
                self.replicas[at].asked.remove(which);
                self.replicas[at].intake.log_read(source, false, now);
            }
            Ask::Versions { from, hashes } => {
                let (source, hashes) = (*from, hashes.clone());
                self.replicas[at].asked.remove(which);
                self.lost(at, source, &hashes);
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
            for at in 0..self.replicas.len() {
                if !self.replicas[at].has_met {
                    self.meet(at);
                    is_busy = true;
                }
                is_busy |= self.commit(at);
                is_busy |= self.send(at);
                is_busy |= self.answer_all(at);
                let waits = self.replicas[at].intake.waiting() > 0;
                if waits || self.replicas[at].intake.state().cursor < self.server.commits.len() as u64 {
                    self.replicas[at].intake.server_may_have_more(false);
                    is_busy = true;
                }
            }
            if !is_busy {
                return;
            }
        }
        panic!("not settled after {ROUNDS_MAX} rounds");
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
        for replica in &self.replicas {
            assert_eq!(replica.tree(), first, "device {:?}", replica.id());
            assert_eq!(replica.alarms, [], "device {:?}", replica.id());
            assert_eq!(replica.intake.waiting(), 0);
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
