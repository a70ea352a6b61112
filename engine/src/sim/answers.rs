//! Questions of a device and their answers: made by whoever is reached, delivered once, twice, or not at all.

use super::world::{PAGE, World};
use crate::sync::intake::{Ask, Source, just_before};
use freehold_api::bulk::{CommitPage, VersionItem};
use freehold_api::device_peer::{After, CommitsResponse, HeadItem, Heads};
use freehold_model::{DeviceId, VersionHash};
use freehold_trust::account_log::AccountState;
use std::collections::BTreeSet;

/// An answer on its way.
#[derive(Clone)]
enum Answer {
    Page(CommitPage),
    Heads(DeviceId, Heads),
    Commits(DeviceId, CommitsResponse),
    OwnPast(DeviceId, HeadItem, CommitsResponse),
    Versions { from: Source, asked: Vec<VersionHash>, items: Vec<VersionItem> },
    Log(Source, Box<AccountState>),
}

impl World {
    /// Answers one question of a device, if whoever it is put to is reached; else it fails.
    pub(super) fn answer(&mut self, at: usize, which: usize) {
        let ask = self.replicas[at].asked.remove(which);
        if let Some(answer) = self.do_or_ask(at, ask) {
            self.deliver(at, answer);
        }
    }

    /// As [`Self::answer`], and the same answer arrives once more; whether there was one to repeat.
    pub(super) fn answer_twice(&mut self, at: usize, which: usize) -> bool {
        let ask = self.replicas[at].asked.remove(which);
        let Some(answer) = self.do_or_ask(at, ask) else { return false };
        self.deliver(at, answer.clone());
        self.deliver(at, answer);
        true
    }

    /// Puts a question; the answer, or nothing when nobody is there or it was for the device itself.
    fn do_or_ask(&mut self, at: usize, ask: Ask) -> Option<Answer> {
        let (source, asked) = match &ask {
            Ask::Page { .. } => (Source::Server, Vec::new()),
            Ask::Heads { from } | Ask::OwnPast { from, .. } | Ask::Commits { from, .. } => {
                (Source::Device(*from), Vec::new())
            }
            Ask::Versions { from, hashes } => (*from, hashes.clone()),
            Ask::Log { from } => (*from, Vec::new()),
            Ask::Bring { .. } | Ask::Apply(_) | Ask::Compare(_) | Ask::Kept { .. } => {
                self.on_own_disk(at, ask);
                return None;
            }
        };
        let is_log = matches!(ask, Ask::Log { .. });
        let answer = match source {
            Source::Server if self.reaches_server(at) => self.of_server(ask),
            Source::Server => None,
            Source::Device(device) => self.reached(at, &device).and_then(|other| self.of_device(other, ask)),
        };
        if answer.is_none() {
            self.lost(at, source, &asked, is_log);
        }
        answer
    }

    fn of_server(&mut self, ask: Ask) -> Option<Answer> {
        let from = Source::Server;
        Some(match ask {
            Ask::Page { after } => {
                let page = self.server.page(after, PAGE);
                if let Some(real) = &mut self.real {
                    real.page(after, PAGE, &page);
                }
                Answer::Page(page)
            }
            Ask::Versions { hashes, .. } => {
                let items = self.server.versions(&hashes);
                if let Some(real) = &mut self.real {
                    real.versions(&hashes, &items);
                }
                Answer::Versions { from, asked: hashes, items }
            }
            Ask::Log { .. } => Answer::Log(from, Box::new(self.fleet.state().clone())),
            _ => return None,
        })
    }

    fn of_device(&self, other: usize, ask: Ask) -> Option<Answer> {
        let replica = &self.replicas[other];
        let from = Source::Device(replica.id());
        Some(match ask {
            Ask::Heads { from } => Answer::Heads(from, replica.heads()),
            Ask::OwnPast { from, claim } => {
                let answer = self.commits_of(other, &[just_before(&claim)]);
                Answer::OwnPast(from, claim, answer)
            }
            Ask::Commits { from, after } => Answer::Commits(from, self.commits_of(other, &after)),
            Ask::Versions { hashes, .. } => {
                let items = hashes.iter().map(|hash| replica.version(hash)).collect();
                Answer::Versions { from, asked: hashes, items }
            }
            Ask::Log { .. } => Answer::Log(from, Box::new(replica.account.clone())),
            _ => return None,
        })
    }

    /// What a device answers to a question for commits.
    pub(super) fn commits_of(&self, at: usize, after: &[After]) -> CommitsResponse {
        let history = &self.replicas[at].local.history;
        let (commits, more) = history.commits_after(after, PAGE, 1 << 20).expect("readable");
        CommitsResponse { more, commits }
    }

    /// What the device does for itself.
    fn on_own_disk(&mut self, at: usize, ask: Ask) {
        match ask {
            // Nobody brings chunks past the nodes: the version waits until they are there.
            Ask::Bring { .. } => self.replicas[at].intake.brought(&BTreeSet::new()),
            Ask::Compare(checkpoint) => self.replicas[at].compare(&checkpoint),
            Ask::Kept { hashes } => {
                let (now, kept) = (self.now_ms, self.replicas[at].local.kept(&hashes).expect("readable"));
                let replica = &mut self.replicas[at];
                let taken = replica.with(now, |intake, ctx| intake.kept(ctx, kept));
                replica.heard(Source::Server, taken);
            }
            Ask::Apply(step) => {
                let applied = self.replicas[at].local.apply(*step);
                assert!(applied.undone.is_none(), "what is kept for others is in memory");
                assert_eq!(applied.refused, 0, "every record of an honest device can be merged");
                let now = self.now_ms;
                self.replicas[at].intake.applied(applied.orphans, None, now);
                self.replicas[at].local.volume.show_again();
                self.spread(at);
            }
            _ => unreachable!("others are asked"),
        }
    }

    fn deliver(&mut self, at: usize, answer: Answer) {
        let now = self.now_ms;
        let replica = &mut self.replicas[at];
        match answer {
            Answer::Page(page) => {
                let taken = replica.with(now, |intake, ctx| intake.page(ctx, &page));
                replica.heard(Source::Server, taken);
            }
            Answer::Heads(from, heads) => replica.with(now, |intake, ctx| intake.heads(ctx, from, heads)),
            Answer::OwnPast(from, claim, answer) => self.show_own_past(at, from, &claim, &answer),
            Answer::Commits(from, answer) => {
                let taken = replica.with(now, |intake, ctx| intake.commits(ctx, from, &answer, true));
                replica.heard(Source::Device(from), taken);
            }
            Answer::Versions { from, asked, items } => {
                let taken = replica.with(now, |intake, ctx| intake.versions(ctx, from, &asked, items));
                replica.heard(from, taken);
            }
            Answer::Log(from, known) => {
                self.learn(at, *known);
                self.replicas[at].intake.log_read(from, true, now);
            }
        }
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

    /// A question gets no answer.
    fn lost(&mut self, at: usize, source: Source, asked: &[VersionHash], is_log: bool) {
        let now = self.now_ms;
        let replica = &mut self.replicas[at];
        if is_log {
            return replica.intake.log_read(source, false, now);
        }
        replica.intake.failed(source, asked, now);
        replica.has_met &= source != Source::Server;
    }

    /// Loses one question of a device, or its answer.
    pub(super) fn lose(&mut self, at: usize, which: usize) {
        let ask = self.replicas[at].asked.remove(which);
        match ask {
            // These are the device's own disk.
            Ask::Apply(_) | Ask::Bring { .. } | Ask::Compare(_) | Ask::Kept { .. } => {
                self.on_own_disk(at, ask);
            }
            Ask::Page { .. } => self.lost(at, Source::Server, &[], false),
            Ask::Heads { from } | Ask::OwnPast { from, .. } | Ask::Commits { from, .. } => {
                self.lost(at, Source::Device(from), &[], false);
            }
            Ask::Log { from } => self.lost(at, from, &[], true),
            Ask::Versions { from, hashes } => self.lost(at, from, &hashes, false),
        }
    }
}

#[test]
fn a_page_that_comes_twice_while_the_numbering_starts_over_is_taken_once() {
    let mut world = World::new(2);
    for name in [b"one", b"two"] {
        let volume = std::sync::Arc::clone(&world.replicas[0].local.volume);
        volume.lock().insert(crate::ROOT, name, crate::testing::file()).expect("a new name");
        world.settle();
    }
    world.server.incarnation += 1;
    world.replicas[1].has_met = false;
    world.meet(1);
    world.replicas[1].ask(world.now_ms);
    let asked = world.replicas[1].asked.iter().position(|ask| matches!(ask, Ask::Page { .. }));
    assert!(world.answer_twice(1, asked.expect("the server is asked")));
    assert_eq!(world.replicas[1].intake.state().cursor, 0, "everything is read again from the start");
    world.settle();
    world.assert_converged();
}
