//! Pushing commits: verified here, chained and numbered by the store.
//!
//! The server checks that each commit is whole, that its author was a live device of the account it
//! cites, and that every version it names came along under its own hash. It looks at nothing else:
//! two devices that change one record at once both get a number, and clients merge.

use super::{account, vault};
use crate::App;
use crate::db::{CommitOutcome, CommitRow};
use crate::http::error::{ApiError, ApiResult};
use crate::http::extract::DeviceCaller;
use freehold_api::bulk::{PushCommit, PushRequest};
use freehold_api::{ErrorCode, Event, PushOutcome, PushResponse};
use freehold_model::{RecordId, VaultId, VersionHash};
use freehold_trust::account_log::{AccountState, JudgeError, Verdict};
use freehold_trust::commit::Commit;
use std::collections::BTreeSet;

/// Tries before a log that keeps growing is called busy.
const LOG_RACES_MAX: usize = 8;

pub(crate) async fn push(
    app: &App,
    caller: &DeviceCaller,
    vault: VaultId,
    request: PushRequest,
) -> ApiResult<PushResponse> {
    vault::check(app, caller, vault).await?;
    let read: Vec<Result<CommitRow, ErrorCode>> =
        request.commits.into_iter().map(|commit| read_commit(vault, commit)).collect();
    for _ in 0..LOG_RACES_MAX {
        let (state, log_len) = account::state(app, caller.account).await?;
        let verdicts: Vec<Option<ErrorCode>> = read
            .iter()
            .map(|row| row.as_ref().map_or_else(|code| Some(*code), |row| judge(&state, row)))
            .collect();
        let accepted = read.iter().zip(&verdicts).filter(|(_, refused)| refused.is_none());
        let rows: Vec<CommitRow> = accepted.filter_map(|(row, _)| row.as_ref().ok().cloned()).collect();
        let outcomes = app.store.append_commits(vault, log_len, &rows, app.clock.micros()).await?;
        if let Some(outcomes) = outcomes {
            tell(app, caller, vault, &outcomes);
            return Ok(PushResponse { results: in_order(&verdicts, outcomes) });
        }
    }
    Err(ApiError::with(ErrorCode::Unavailable, "the account log keeps changing; try again"))
}

/// Decodes one commit and holds the versions beside it to what it names.
fn read_commit(vault: VaultId, pushed: PushCommit) -> Result<CommitRow, ErrorCode> {
    let commit = Commit::from_bytes(&pushed.commit).map_err(|_| ErrorCode::CommitInvalid)?;
    let header = commit.header();
    if header.vault != vault || i64::try_from(header.seq).is_err() {
        return Err(ErrorCode::CommitInvalid);
    }
    let mut named: BTreeSet<(RecordId, VersionHash)> =
        commit.entries().iter().map(|entry| (entry.record, entry.version)).collect();
    for version in &pushed.versions {
        let whole = blake3::hash(&version.ciphertext).as_bytes() == version.hash.as_bytes();
        if !whole || version.ciphertext.is_empty() || !named.remove(&(version.record, version.hash)) {
            return Err(ErrorCode::CommitInvalid);
        }
    }
    let PushCommit { commit: bytes, versions, manifests } = pushed;
    Ok(CommitRow { commit, bytes, versions, manifests })
}

fn judge(state: &AccountState, row: &CommitRow) -> Option<ErrorCode> {
    match state.judge(&row.commit) {
        Ok(Verdict::Accept) => None,
        Ok(Verdict::Quarantine) => Some(ErrorCode::BeyondRevocation),
        Err(JudgeError::UnknownLogHead) => Some(ErrorCode::UnknownLogHead),
        Err(JudgeError::UnknownDevice | JudgeError::NotLiveAtHead) => Some(ErrorCode::UnknownDevice),
        Err(JudgeError::BadSignature) => Some(ErrorCode::BadSignature),
        Err(JudgeError::UnknownEpoch) => Some(ErrorCode::CommitInvalid),
    }
}

/// Also for a repeated push: its first answer may have been lost, and what was to follow it too.
fn tell(app: &App, caller: &DeviceCaller, vault: VaultId, outcomes: &[CommitOutcome]) {
    let numbers = outcomes.iter().filter_map(|outcome| match outcome {
        CommitOutcome::Numbered { vault_seq, .. } => Some(*vault_seq),
        CommitOutcome::Refused { .. } => None,
    });
    if let Some(vault_seq) = numbers.max() {
        app.push(Some(caller.account), Event::Commit { vault, vault_seq });
    }
}

/// Puts the store's outcomes back between those refused before.
fn in_order(verdicts: &[Option<ErrorCode>], outcomes: Vec<CommitOutcome>) -> Vec<PushOutcome> {
    let mut outcomes = outcomes.into_iter();
    let one = |verdict: &Option<ErrorCode>| match verdict {
        Some(code) => PushOutcome::Refused { code: *code, head: None },
        None => match outcomes.next().expect("the store answers every commit") {
            CommitOutcome::Numbered { vault_seq, .. } => PushOutcome::Numbered { vault_seq },
            CommitOutcome::Refused { code, head } => PushOutcome::Refused { code, head },
        },
    };
    verdicts.iter().map(one).collect()
}
