//! The loop's side towards other devices: what they say, what they are told.

use super::SyncTask;
use crate::devices::DeviceEvent;
use crate::engine_error::EngineError;
use crate::sync::intake::Source;
use crate::sync::keeping::REVOCATION_UNKEPT;
use crate::sync::limits::RELAY_AFTER;
use crate::sync::work::Done;
use freehold_api::bulk::PushCommit;
use freehold_api::device_peer::{CommitsResponse, HeadItem};
use freehold_model::DeviceId;
use freehold_trust::account_log::RevokeIntent;
use freehold_trust::commit::ChainHead;
use std::sync::Arc;
use std::time::Instant;

impl SyncTask {
    /// Sends a new commit to every device there is a link to, after those it is still being sent.
    pub(super) fn tell_devices(&mut self, push: &PushCommit) {
        let connected = self.parts.devices.connected();
        self.telling.retain(&connected);
        for device in connected {
            self.telling.add(device, push);
            self.tell(device);
        }
    }

    /// Sends what waits for a device, unless something is on its way there.
    fn tell(&mut self, device: DeviceId) {
        let Some(pushes) = self.telling.take(&device) else { return };
        let parts = Arc::clone(&self.parts);
        self.work.spawn(async move {
            let told = parts.devices.tell(&device, pushes).await;
            if let Err(failure) = &told {
                tracing::debug!(?device, %failure, "a device was not told; it asks later");
            }
            Done::TellsCommits(device, told.is_ok())
        });
    }

    /// A device was told, or could not be.
    pub(super) fn told_commits(&mut self, device: DeviceId, went_well: bool) {
        if self.telling.done(&device, went_well) && self.parts.devices.connected().contains(&device) {
            // It missed some: asking for its heads shows it ours, and it fetches what it lacks.
            self.intake.device_may_have_more(device);
        }
        self.tell(device);
    }

    pub(super) fn device_event(&mut self, event: DeviceEvent) {
        match event {
            DeviceEvent::Came(device) => {
                self.intake.device_may_have_more(device);
                self.removals_told.clear();
            }
            DeviceEvent::Left(device) => self.intake.source_left(Source::Device(device)),
            DeviceEvent::Knows(device, heads) => self.heads(device, heads),
            DeviceEvent::Removes(intents) => self.obey(&intents),
            DeviceEvent::Tells(device, pushes, _room) => {
                for push in pushes {
                    self.told(device, push);
                }
                self.others_may_need_a_relay();
            }
        }
    }

    /// Removals that somebody signed and the account log does not have: obeyed at once, entered later.
    pub(super) fn obey(&mut self, intents: &[RevokeIntent]) {
        for intent in intents {
            match self.parts.members.want(intent) {
                Ok(()) => self.parts.problems.clear(REVOCATION_UNKEPT),
                Err(error @ EngineError::Disk { .. }) => {
                    self.parts.problems.raise(
                        REVOCATION_UNKEPT,
                        format!("the removal of a device is obeyed and could not be written down: {error}"),
                        "make room on this device's disk, or check it; the other devices tell of it again",
                    );
                }
                Err(error) => tracing::warn!(%error, "a device asks for a removal that does not count"),
            }
        }
        self.parts.members_changed();
        self.contact.has_met = false;
    }

    /// Tells connected devices which removals are wanted, when one of them may not know.
    pub(super) fn tell_removals(&mut self) {
        let wanted = self.parts.members.intents();
        if wanted == self.removals_told {
            return;
        }
        self.removals_told.clone_from(&wanted);
        self.parts.members_changed();
        for device in self.parts.devices.connected() {
            let (parts, wanted) = (Arc::clone(&self.parts), wanted.clone());
            self.work.spawn(async move {
                if let Err(failure) = parts.devices.tell_removals(&device, &wanted).await {
                    tracing::debug!(?device, %failure, "a device was not told of a removal");
                }
                Done::Told
            });
        }
    }

    pub(super) fn told(&mut self, device: DeviceId, push: PushCommit) {
        let source = Source::Device(device);
        let answer = CommitsResponse { more: false, commits: vec![push.commit] };
        let taken = self.with_intake(|intake, ctx| intake.commits(ctx, device, &answer, false));
        self.halted(source, taken);
        let taken = self.with_intake(|intake, ctx| intake.told_versions(ctx, source, push.versions));
        self.halted(source, taken);
    }

    pub(super) fn heads(&mut self, device: DeviceId, heads: freehold_api::device_peer::Heads) {
        self.with_intake(|intake, ctx| intake.heads(ctx, device, heads));
    }

    /// A device showed the commit of this one that it claims to know, or something else.
    pub(super) fn own_past(&mut self, device: DeviceId, claim: &HeadItem, answer: &CommitsResponse) {
        match self.with_intake(|intake, ctx| intake.own_past(ctx, device, claim, answer)) {
            Ok(theirs) => {
                if let Some(theirs) = theirs.filter(|theirs| self.parts.local.is_foreign_past(theirs)) {
                    self.be_reborn(theirs);
                }
            }
            Err(halt) => self.halted(Source::Device(device), Err(halt)),
        }
    }

    /// Commits came from a device: if their author does not bring them to the server, this one does.
    pub(super) fn others_may_need_a_relay(&mut self) {
        self.contact.relay_at.get_or_insert(Instant::now() + RELAY_AFTER);
    }

    /// Lets other devices know what is known here, when that has changed.
    pub(super) fn publish_heads(&mut self) {
        let mut heads: Vec<HeadItem> = self
            .intake
            .state()
            .chains
            .iter()
            .filter(|(device, _)| **device != self.parts.device)
            .map(|(device, chain)| item(*device, &chain.head))
            .collect();
        heads.extend(self.parts.local.chain_head().map(|head| item(self.parts.device, &head)));
        heads.sort_unstable();
        if heads == self.heads_told {
            return;
        }
        self.parts.devices.publish(heads.clone());
        self.tell_witnesses_soon();
        self.heads_told = heads;
        // Whoever is connected to this device only learns of third ones from it.
        for device in self.parts.devices.connected() {
            self.intake.device_may_have_more(device);
        }
    }
}

const fn item(device: DeviceId, head: &ChainHead) -> HeadItem {
    HeadItem { device, incarnation: head.incarnation, seq: head.seq, hash: head.hash }
}
