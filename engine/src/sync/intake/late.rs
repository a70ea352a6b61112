//! What removed devices signed after their cut.
//!
//! Such commits are followed in their chain and kept, and nothing they name is merged. The cut may come
//! late, or move, when the account log says something else than the revocation obeyed so far: what was
//! on its way and counts no more is dropped, and what counts after all is planned like anything else.
//! What was merged already is the owner's to write once more (see [`crate::sync::late`]).

use super::Intake;
use crate::history::ChainPlace;
use crate::sync::late::{LateCommit, Readmitted};
use crate::sync::state::Aside;
use freehold_model::DeviceId;

impl Intake {
    /// A commit of a removed device does not count; it is kept apart.
    pub(super) fn put_aside(&mut self, place: &ChainPlace) {
        let ChainPlace { device, incarnation, seq } = *place;
        let aside = self.state.aside.entry(device).or_insert(Aside { incarnation, seq, commits: 0 });
        (aside.incarnation, aside.seq) = (incarnation, seq).min((aside.incarnation, aside.seq));
        aside.commits += 1;
        self.put_aside.insert(device);
        self.is_news = true;
    }

    /// Drops what is on its way of a commit that does not count. If that is anything, the commit counts as
    /// put aside. To be called while nothing is being merged.
    pub(crate) fn disown(&mut self, late: &LateCommit) {
        let is_open = |version| self.is_open(version) || self.state.deferred.contains_key(version);
        let is_left_out = late.versions.iter().any(is_open);
        for version in &late.versions {
            // Also what nobody wants: it would be wanted once what replaces it is dropped.
            self.plan.disown(version);
            self.state.deferred.remove(version);
            self.bring.remove(version);
            self.bringing.remove(version);
        }
        self.ready.retain(|ready| !late.versions.contains(&ready.version));
        self.came_back = self.came_back.min(self.ready.len());
        if is_left_out {
            self.put_aside(&late.place);
        }
    }

    /// Commits that were put aside count after all.
    pub(crate) fn readmit(&mut self, readmitted: &Readmitted) {
        let Readmitted { device, commits, rest } = readmitted;
        for entries in commits {
            self.plan.add(*device, entries);
            for lane in self.lanes.values_mut() {
                lane.may_have.extend(entries.iter().map(|entry| entry.version));
            }
        }
        match rest {
            Some(rest) => drop(self.state.aside.insert(*device, *rest)),
            None => drop(self.state.aside.remove(device)),
        }
        self.is_news = true;
    }

    /// Removed devices whose changes were put aside since the start, and how many commits of each ever were.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = (DeviceId, u64)> {
        let found = self.put_aside.iter().map(|device| (device, self.state.aside.get(device)));
        found.filter_map(|(device, aside)| Some((*device, aside?.commits)))
    }

    /// Whether everything that was followed can be found among the kept commits.
    pub(crate) fn is_kept(&self) -> bool {
        self.keep.commits.is_empty() && !self.is_applying
    }
}
