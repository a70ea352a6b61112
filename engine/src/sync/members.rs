//! The account as its verified log says, kept fresh and remembered on this device: who is a device, and
//! the keys of every generation.
//!
//! There are two views. The *log* is what the server and every device agree on; what extends it starts
//! there. The *obeyed* state is the log with the revocations this device knows of and that are not entered
//! yet; everything is judged by it. A rotation by another device is learnt like any other entry: this
//! device's box is opened, the new keys are stored, then they seal, and only then is the new head cited.

use crate::account::{Change, Made, StoredAccount, open_root, read_log};
use crate::engine_error::EngineError;
use crate::entropy::OsEntropy;
use crate::server::Server;
use freehold_api::{ErrorCode, KeyBoxEntry, VaultBoxes};
use freehold_crypto::{AccountKeyring, AccountRoot, DeviceSecret, LocalKey, VaultKeyring, XWingPair};
use freehold_model::{DeviceId, LogHash};
use freehold_net::coord::CoordError;
use freehold_trust::SignKey;
use freehold_trust::account_log::{AccountState, LogEntry, LogError, LogPin, PathId, RevokeIntent};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often a change is made anew because another device was faster, and the log read again because it
/// moved on between two answers.
const TRIES: usize = 5;

/// How often a lost answer is asked for again.
const ANSWER_TRIES: usize = 3;

/// Why the log could not be brought up to date, or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MembersError {
    /// The server did not answer as asked.
    #[error(transparent)]
    Server(#[from] CoordError),
    /// The log the server shows is not the account's, or could not be remembered.
    #[error(transparent)]
    Refused(#[from] EngineError),
}

impl From<MembersError> for EngineError {
    fn from(error: MembersError) -> Self {
        match error {
            MembersError::Server(error) => Self::coord(error),
            MembersError::Refused(error) => error,
        }
    }
}

/// What a change of the account starts from.
pub(crate) struct Ground {
    /// The log, without what is only obeyed.
    pub(crate) state: AccountState,
    /// Every root.
    pub(crate) roots: AccountKeyring,
    /// Every vault's key boxes.
    pub(crate) vaults: Vec<VaultBoxes>,
}

struct Views {
    log: Arc<AccountState>,
    obeyed: Arc<AccountState>,
    /// The newest generation whose keys are here.
    generation: u32,
}

impl Views {
    /// Whether nobody who was shut out can read what this device seals now. A rotation that was learnt
    /// from another device counts once its keys are here; only the server has them.
    fn may_commit(&self, device: &DeviceId) -> bool {
        self.obeyed.live_device(device).is_some()
            && !self.obeyed.rotation_due()
            && self.log.generation() <= self.generation
    }
}

/// The devices of the account, and what this one may open.
pub(crate) struct Members {
    dir: PathBuf,
    local_key: Arc<LocalKey>,
    server: Arc<Server>,
    device: DeviceId,
    sign_key: SignKey,
    pair: XWingPair,
    keyring: Arc<VaultKeyring>,
    stored: Mutex<StoredAccount>,
    views: Mutex<Views>,
    refreshing: tokio::sync::Mutex<()>,
    /// A revocation that is obeyed could not be written down.
    is_unkept: AtomicBool,
}

/// Keys of a generation that is new here.
struct News {
    root: AccountRoot,
    account_keys: Vec<Vec<u8>>,
    vault_keys: Vec<Vec<u8>>,
    keyring: VaultKeyring,
}

impl Members {
    pub(crate) fn new(
        dir: PathBuf,
        local_key: Arc<LocalKey>,
        server: Arc<Server>,
        stored: StoredAccount,
        secret: &DeviceSecret,
        keyring: Arc<VaultKeyring>,
    ) -> Result<Self, EngineError> {
        let views = views(stored.state()?, &stored.intents, stored.root.generation());
        Ok(Self {
            dir,
            local_key,
            server,
            device: stored.identity.device,
            sign_key: secret.sign_key(),
            pair: secret.xwing_pair(),
            keyring,
            stored: Mutex::new(stored),
            views: Mutex::new(views),
            refreshing: tokio::sync::Mutex::default(),
            is_unkept: AtomicBool::new(false),
        })
    }

    /// The account as this device obeys it: to judge by, not to append to.
    pub(crate) fn state(&self) -> Arc<AccountState> {
        Arc::clone(&self.views.lock().obeyed)
    }

    /// The newest entry known here.
    pub(crate) fn log_head(&self) -> LogHash {
        self.views.lock().log.pin().head
    }

    /// The names devices have, for conflict names and lists.
    pub(crate) fn labels(&self) -> Vec<(DeviceId, String)> {
        let state = self.state();
        state.devices().iter().map(|(device, entry)| (*device, entry.name.as_str().to_owned())).collect()
    }

    /// Whether the log has ended this device.
    pub(crate) fn is_removed(&self) -> bool {
        self.views.lock().log.live_device(&self.device).is_none()
    }

    /// Whether what is committed now stays between those who belong to the account.
    pub(crate) fn may_commit(&self) -> bool {
        self.views.lock().may_commit(&self.device)
    }

    /// Entries of the log as signed, from a place on.
    pub(crate) fn entries_after(&self, from: u64) -> Vec<Vec<u8>> {
        let stored = self.stored.lock();
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        stored.log.iter().skip(from).map(LogEntry::to_bytes).collect()
    }

    /// Takes in entries that another device has from a place on. The keys they may speak of come with the
    /// next refresh. Gives the revocations that can never be entered any more.
    ///
    /// # Errors
    /// `Refused` when they do not follow what is known: then that device has seen another log.
    pub(crate) fn extend(&self, from: u64, more: &[Vec<u8>]) -> Result<Vec<RevokeIntent>, MembersError> {
        let malformed = EngineError::ServerUntrusted("an account log is malformed");
        let more: Result<Vec<LogEntry>, _> = more.iter().map(|entry| LogEntry::from_bytes(entry)).collect();
        let more = more.map_err(|_| malformed)?;
        loop {
            let (pin, known) = {
                let stored = self.stored.lock();
                (stored.pin, stored.log.clone())
            };
            let Some(entries) = joined(known, from, &more) else { return Ok(Vec::new()) };
            let state = AccountState::replay_pinned(&entries, &pin).map_err(EngineError::log)?;
            if let Some(lost) = self.take_in(&pin, entries, state, None)? {
                return Ok(lost);
            }
        }
    }

    /// Revocations that are obeyed here and not in the log.
    pub(crate) fn intents(&self) -> Vec<RevokeIntent> {
        self.stored.lock().intents.clone()
    }

    /// Reads the log, which must extend what is known, and remembers it with the keys it speaks of.
    /// Gives the revocations that can never be entered any more.
    ///
    /// # Errors
    /// `Refused` when it does not extend: then nothing of this server is to be believed.
    ///
    /// # Cancel safety
    /// Dropping the future leaves what was known before, or all of what is new.
    pub(crate) async fn refresh(&self) -> Result<Vec<RevokeIntent>, MembersError> {
        let _one = self.refreshing.lock().await;
        let mut tries = 0;
        loop {
            tries += 1;
            // Before the question: an answer that is older than what another device told fails.
            let pin = self.stored.lock().pin;
            let log = self.server.ask(|client| async move { client.account_log().await }).await?;
            let entries = read_log(&log)?;
            let state = AccountState::replay_pinned(&entries, &pin).map_err(EngineError::log)?;
            match self.news(&state).await {
                Ok(news) => {
                    if let Some(lost) = self.take_in(&pin, entries, state, news)? {
                        return Ok(lost);
                    }
                }
                // A rotation between two of the answers: the next ones fit, or the server is broken.
                Err(MembersError::Refused(EngineError::ServerUntrusted(_))) if tries == 1 => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Fetches and opens the keys of a generation that this device does not have.
    async fn news(&self, state: &AccountState) -> Result<Option<News>, MembersError> {
        let known = self.stored.lock().root.generation();
        if state.generation() <= known || state.live_device(&self.device).is_none() {
            return Ok(None);
        }
        let boxes = self.server.ask(|client| async move { client.account_boxes().await }).await?;
        let vaults = self.vaults().await?;
        let root = open_root(state, PathId::Device(self.device), &self.pair, &boxes.boxes)?;
        let stored = self.stored.lock();
        let own = vaults.into_iter().find(|vault| vault.vault_id == stored.vault);
        let own = own.ok_or(EngineError::ServerUntrusted("it does not show this device's vault"))?;
        let account_keys = bytes(boxes.account_keys);
        let vault_keys = bytes(own.boxes);
        let previous = account_keys.iter().map(Vec::as_slice);
        let roots = AccountKeyring::unfold(state.account(), root, previous).map_err(EngineError::keyring)?;
        // A rotation that starts another lineage would leave everything before it unreadable.
        if roots.root(known) != Some(&stored.root) {
            return Err(
                EngineError::ServerUntrusted("its new keys do not lead back to the ones before").into()
            );
        }
        let opened = roots.open_vault(stored.vault, vault_keys.iter().map(Vec::as_slice));
        let keyring = opened.map_err(EngineError::keyring)?;
        if !self.keyring.is_continued_by(&keyring) {
            return Err(EngineError::ServerUntrusted(
                "its new vault keys do not lead back to the ones before",
            )
            .into());
        }
        let root = roots.into_newest();
        Ok(Some(News { root, account_keys, vault_keys, keyring }))
    }

    /// Stores what is new, then seals with it, then shows it; nothing when the log was extended since it
    /// was pinned.
    fn take_in(
        &self,
        pin: &LogPin,
        entries: Vec<LogEntry>,
        state: AccountState,
        news: Option<News>,
    ) -> Result<Option<Vec<RevokeIntent>>, EngineError> {
        let mut stored = self.stored.lock();
        if stored.pin != *pin {
            return Ok(None);
        }
        let (kept, lost) = sort_intents(&state, &stored.intents);
        let is_news = state.pin().head != stored.pin.head || news.is_some() || kept != stored.intents;
        if is_news {
            // A copy first: what could not be stored must not be known either.
            let mut next = stored.duplicate();
            next.pin = state.pin();
            next.log = entries;
            next.intents = kept;
            if let Some(own) = state.devices().get(&self.device) {
                own.name.as_str().clone_into(&mut next.identity.device_name);
            }
            let mut keyring = None;
            if let Some(news) = news {
                next.root = news.root;
                next.account_keys = news.account_keys;
                next.vault_keys = news.vault_keys;
                keyring = Some(news.keyring);
            }
            next.save(&self.dir, &self.local_key, &mut OsEntropy)?;
            *stored = next;
            if let Some(keyring) = keyring {
                self.keyring.catch_up(keyring).map_err(EngineError::keyring)?;
                tracing::info!(generation = state.generation(), "the account's keys were renewed");
            }
        }
        *self.views.lock() = views(state, &stored.intents, stored.root.generation());
        Ok(Some(lost))
    }

    /// Obeys a revocation from now on and keeps it until it is in the log. One that is known does nothing.
    ///
    /// # Errors
    /// Like the server's log when its signatures do not count. `Disk` when it could not be written down: it
    /// is obeyed until this device stops.
    pub(crate) fn want(&self, intent: &RevokeIntent) -> Result<(), EngineError> {
        let mut stored = self.stored.lock();
        let log = Arc::clone(&self.views.lock().log);
        match log.check_intent(intent) {
            Ok(()) => {}
            Err(LogError::DeviceNotLive { .. }) => return Ok(()),
            Err(error) => return Err(EngineError::log(error)),
        }
        let device = intent.unverified().device();
        if stored.intents.iter().all(|known| known.unverified().device() != device) {
            stored.intents.push(intent.clone());
            *self.views.lock() = views(log.as_ref().clone(), &stored.intents, stored.root.generation());
            self.is_unkept.store(true, Ordering::Release);
        }
        if !self.is_unkept.load(Ordering::Acquire) {
            return Ok(());
        }
        stored.save(&self.dir, &self.local_key, &mut OsEntropy)?;
        self.is_unkept.store(false, Ordering::Release);
        Ok(())
    }

    /// Changes the account as it is, again when another device was faster. `build` gives nothing when
    /// there is nothing left to do.
    ///
    /// # Errors
    /// `Server` when it was not done, or its answer was lost; then the next refresh tells.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the change done at the server; the next refresh tells.
    pub(crate) async fn perform(
        &self,
        now_s: u64,
        build: impl Fn(&Ground, Change<'_>) -> Result<Option<Made>, EngineError> + Send + Sync,
    ) -> Result<(), MembersError> {
        for _ in 0..TRIES {
            self.refresh().await?;
            let vaults = self.vaults().await?;
            let Some(made) = self.build(now_s, vaults, &build)? else { return Ok(()) };
            match self.append(&made).await {
                Ok(()) => {
                    self.refresh().await?;
                    return Ok(());
                }
                Err(error) if error.code() == Some(ErrorCode::LogConflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::ServerRefused("the account keeps changing; try again".to_owned()).into())
    }

    fn build(
        &self,
        now_s: u64,
        vaults: Vec<VaultBoxes>,
        build: &(impl Fn(&Ground, Change<'_>) -> Result<Option<Made>, EngineError> + Send + Sync),
    ) -> Result<Option<Made>, EngineError> {
        let ground = {
            let stored = self.stored.lock();
            let state = self.views.lock().log.as_ref().clone();
            Ground { state, roots: stored.roots()?, vaults: with_own(vaults, &stored)? }
        };
        let change = Change::new(ground.state.clone(), self.device, &self.sign_key, now_s);
        build(&ground, change)
    }

    async fn append(&self, made: &Made) -> Result<(), CoordError> {
        let mut tries = 1;
        loop {
            let message = &made.message;
            match self.server.ask(|client| async move { client.append_entries(message).await }).await {
                Ok(_) => return Ok(()),
                Err(CoordError::Unreachable | CoordError::Timeout) if tries < ANSWER_TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
    }

    async fn vaults(&self) -> Result<Vec<VaultBoxes>, CoordError> {
        let list = self.server.ask(|client| async move { client.vaults().await }).await?;
        Ok(list.vaults.into_iter().map(|vault| vault.keys).collect())
    }

    /// The keys of this device that sign, for statements beside the log.
    pub(crate) const fn sign_key(&self) -> &SignKey {
        &self.sign_key
    }

    /// Who this device is, by the name it has now.
    pub(crate) fn identity(&self) -> crate::Identity {
        self.stored.lock().identity.clone()
    }

    /// The server's key, as pinned at sign-in.
    pub(crate) fn server_key(&self) -> freehold_trust::PublicKey {
        self.stored.lock().server_key
    }
}

/// The log, and the log as it is obeyed.
fn views(state: AccountState, intents: &[RevokeIntent], generation: u32) -> Views {
    let mut obeyed = state.clone();
    for intent in intents {
        if let Err(error) = obeyed.obey(intent) {
            tracing::debug!(%error, "a revocation that does not count is not obeyed");
        }
    }
    Views { log: Arc::new(state), obeyed: Arc::new(obeyed), generation }
}

/// The log with the entries another device has from a place on; nothing when there is nothing new.
fn joined(mut known: Vec<LogEntry>, from: u64, more: &[LogEntry]) -> Option<Vec<LogEntry>> {
    let from = usize::try_from(from).ok()?;
    if from.saturating_add(more.len()) <= known.len() {
        return None;
    }
    known.truncate(from);
    known.extend_from_slice(more);
    Some(known)
}

/// Revocations still to be entered, and those whose signatures no longer count. What the log has done is
/// neither.
fn sort_intents(state: &AccountState, intents: &[RevokeIntent]) -> (Vec<RevokeIntent>, Vec<RevokeIntent>) {
    let open = intents
        .iter()
        .filter(|intent| !matches!(state.check_intent(intent), Err(LogError::DeviceNotLive { .. })));
    open.cloned().partition(|intent| state.check_intent(intent).is_ok())
}

/// The vaults to rotate. This device's own keys are the ones it has opened, whatever the server shows.
fn with_own(mut vaults: Vec<VaultBoxes>, stored: &StoredAccount) -> Result<Vec<VaultBoxes>, EngineError> {
    let own = vaults.iter_mut().find(|vault| vault.vault_id == stored.vault);
    let own = own.ok_or(EngineError::ServerUntrusted("it does not show this device's vault"))?;
    let same = own.boxes.len() == stored.vault_keys.len()
        && own.boxes.iter().all(|shown| stored.vault_keys.contains(&shown.sealed.0));
    if same {
        Ok(vaults)
    } else {
        Err(EngineError::ServerUntrusted("it shows other keys of the vault than this device has opened"))
    }
}

fn bytes(boxes: Vec<KeyBoxEntry>) -> Vec<Vec<u8>> {
    boxes.into_iter().map(|entry| entry.sealed.0).collect()
}

impl std::fmt::Debug for Members {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Members").field("head", &self.log_head()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
