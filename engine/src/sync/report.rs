//! What people are told about sync: each fact once, as long as it is true.

use super::chains::Alarm;
use super::intake::{Halt, Intake, Source};
use super::members::MembersError;
use super::{NOT_HANDED_OVER, Parts, REVOKED, SyncError, WAITING_FOR_DEVICE, evidence};
use freehold_model::DeviceId;
use std::collections::BTreeMap;

/// Problem: the history the server shows contradicts itself.
const SERVER_HISTORY: &str = "server_history";
/// Problem: the history another device shows contradicts what is known here.
const DEVICE_HISTORY: &str = "device_history";
/// Problem: records that no honest device wrote.
const RECORDS: &str = "records_refused";
/// Problem: the account log the server shows is not the account's.
const ACCOUNT: &str = "account_log";
/// Problem: the server answers, but not as it should.
const SERVER: &str = "server_answer";
/// Problem: another device deleted so much that it is held back.
const MASS_DELETION: &str = "mass_deletion";
/// Problem: a storage node has seen changes that nobody shows here.
const CHANGES_MISSING: &str = "changes_missing";
/// Problem: a vault key is missing here.
const KEY: &str = "vault_key";
/// Problem: the local disk does not take sync state.
const DISK: &str = "local_disk";
/// Problem: a bug of ours.
const BUG: &str = "internal";

impl Parts {
    /// A round with the server went well: what stood in its way is over. Alarms stay until restart:
    /// who lied once is not to be trusted because the next answer was good.
    pub(super) fn went_well(&self) {
        for code in [ACCOUNT, SERVER, KEY, DISK, BUG] {
            self.problems.clear(code);
        }
    }

    /// What a lane stumbled over. Its proof is kept.
    pub(super) fn report_halt(&self, source: Source, halt: &Halt) {
        match halt {
            Halt::NoKey => {
                self.problems.raise(
                    KEY,
                    "other devices' changes are sealed under a key this device does not have yet",
                    "it comes with the account's next change; sign this device out and in again if it stays",
                );
            }
            Halt::Alarm { alarm, commit } => {
                let (code, hint) = match (alarm, source) {
                    (Alarm::Fork, _) => (
                        fork_code(source),
                        "two histories were signed with one device's key: a copy of that device, or a thief of \
                         its key; remove the device if it was not restored from a backup",
                    ),
                    (_, Source::Server) => (
                        SERVER_HISTORY,
                        "do not trust this server; the evidence lies beside the vault's local state",
                    ),
                    (_, Source::Device(_)) => (
                        DEVICE_HISTORY,
                        "one of your devices is broken or not yours; the evidence lies beside the vault's \
                         local state",
                    ),
                };
                let text = match alarm {
                    Alarm::Heads => format!("{alarm}; every change is shown as it was signed"),
                    _ => format!("{alarm}; nothing of that answer was used"),
                };
                if self.problems.raise(code, text, hint) {
                    evidence::keep(&self.dir, &self.vault, &self.local_key, *alarm, commit);
                }
            }
        }
    }

    /// What is true of everything taken in so far.
    pub(super) fn report_intake(&self, intake: &mut Intake) {
        let refused = intake.take_refused();
        if refused > 0 {
            self.report_refused(refused);
        }
        for (device, count) in intake.left_out() {
            self.problems.raise(
                REVOKED,
                format!("{}, which was removed from the account, has made {count} changes after its removal; they are left out", self.name(&device)),
                "nothing to do; sign that device in again if it is yours",
            );
        }
    }

    /// Versions that have waited for a while for their chunks, or for somebody who has them, by the device
    /// that wrote them.
    pub(super) fn report_waiting(&self, waiting: &BTreeMap<DeviceId, usize>) {
        let account = self.members.state();
        let (live, removed): (Vec<_>, Vec<_>) =
            waiting.iter().partition(|(device, _)| account.live_device(device).is_some());
        let listed = |devices: Vec<(&DeviceId, &usize)>| {
            let parts =
                devices.into_iter().map(|(device, count)| format!("{count} of {}", self.name(device)));
            parts.collect::<Vec<_>>().join(", ")
        };
        if live.is_empty() {
            self.problems.clear(WAITING_FOR_DEVICE);
        } else {
            self.problems.raise(
                WAITING_FOR_DEVICE,
                format!("changes that are not on the storage nodes yet: {}", listed(live)),
                "they appear once that device has uploaded them; until then the versions before are shown",
            );
        }
        if removed.is_empty() {
            self.problems.clear(NOT_HANDED_OVER);
        } else {
            self.problems.raise(
                NOT_HANDED_OVER,
                format!("changes that a removed device had not handed over: {}", listed(removed)),
                "they appear if another of your devices has them; the versions before are shown",
            );
        }
    }

    fn name(&self, device: &DeviceId) -> String {
        let label = self.members.labels().into_iter().find(|(id, _)| id == device);
        label.map_or_else(|| "a device".to_owned(), |(_, name)| format!("\u{201c}{name}\u{201d}"))
    }

    /// Devices of which a storage node has seen more than the server shows.
    pub(super) fn report_missing(&self, missing: &[DeviceId]) {
        if missing.is_empty() {
            return self.problems.clear(CHANGES_MISSING);
        }
        let labels = self.members.labels().into_iter();
        let names: Vec<String> = labels
            .filter(|(device, _)| missing.contains(device))
            .map(|(_, name)| format!("\u{201c}{name}\u{201d}"))
            .collect();
        self.problems.raise(
            CHANGES_MISSING,
            format!("a storage node has seen newer changes of {} than the server shows", names.join(", ")),
            "the server was set back to an older copy, or hides them; start that device, which brings them back",
        );
    }

    /// Deletions that wait for a person.
    pub(crate) fn report_held(&self) {
        let held = self.local.held_deletions();
        if held.is_empty() {
            return self.problems.clear(MASS_DELETION);
        }
        let tables = self.volume.lock();
        let names: Vec<String> = held
            .iter()
            .map(|(device, files)| format!("\u{201c}{}\u{201d} deleted {files} files", tables.label(device)))
            .collect();
        drop(tables);
        self.problems.raise(
            MASS_DELETION,
            format!("{}; they are still shown here", names.join(", ")),
            "`freehold deletions accept` deletes them here too, `freehold deletions undo` brings them back everywhere",
        );
    }

    pub(super) fn report_refused(&self, refused: usize) {
        self.problems.raise(
            RECORDS,
            format!("{refused} changes could not be opened or belong elsewhere; they are left out"),
            "the server or one of your devices is broken; see the log",
        );
    }

    /// Why a step ended early.
    pub(super) fn report_error(&self, error: &SyncError) {
        if self.is_removal(error) {
            return;
        }
        let problems = &self.problems;
        let text = error.to_string();
        match error {
            // Being away is the server's state, not a problem a person must look into.
            SyncError::Server(error) | SyncError::Members(MembersError::Server(error))
                if error.is_transient() =>
            {
                tracing::debug!(%error, "a step of sync ended early");
            }
            SyncError::Server(_) | SyncError::Members(MembersError::Server(_)) => {
                problems.raise(SERVER, text, "check the server's address, version and log");
            }
            SyncError::Members(MembersError::Refused(error)) => {
                problems.raise(ACCOUNT, text, error.hint());
            }
            // Told where it was found.
            SyncError::Refused(_) => tracing::debug!(%error, "a step of sync ended early"),
            SyncError::Local(_) | SyncError::History(_) => {
                problems.raise(
                    DISK,
                    text,
                    "free space on this device and check its disk; nothing is lost meanwhile",
                );
            }
            SyncError::Internal(_) => {
                problems.raise(BUG, text, "please report it");
            }
        }
    }
}

const fn fork_code(source: Source) -> &'static str {
    match source {
        Source::Server => SERVER_HISTORY,
        Source::Device(_) => DEVICE_HISTORY,
    }
}
