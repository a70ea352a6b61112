//! Commits coming in: verified, followed, and what they name planned for fetching.

use super::own::is_more;
use super::{Context, Denied, Halt, Intake, Source};
use crate::history::{ChainPlace, KeptCommit};
use crate::sync::chains::{Alarm, Chains, Place};
use crate::sync::checkpoint::Checkpoint;
use crate::sync::limits::{GAPS_MAX, HIDING_MS, SOURCE_PAUSE_MS};
use freehold_api::bulk::CommitPage;
use freehold_api::device_peer::{After, CommitsResponse, HeadItem, Heads};
use freehold_crypto::{CommitContext, OpenError};
use freehold_model::DeviceId;
use freehold_trust::account_log::{JudgeError, Verdict};
use freehold_trust::commit::{ChainHead, Commit, CommitHeader};
use freehold_vault::{CommitBody, Seen};

/// Why a commit was not taken in.
pub(super) enum Stop {
    Halt(Halt),
    /// It cites an account log entry that is not known here.
    NeedsLog,
    /// Commits of its author before it are not here.
    Gap,
}

impl From<Alarm> for Stop {
    fn from(alarm: Alarm) -> Self {
        match alarm {
            Alarm::Gap => Self::Gap,
            alarm => Self::Halt(Halt::Alarm { alarm, commit: Vec::new() }),
        }
    }
}

/// The places after which another device has commits that are missing here, or other ones.
pub(super) fn missing(heads: &Heads, chains: &Chains) -> Vec<After> {
    let after = |head: &HeadItem| {
        let ours = chains.of(&head.device).map(|chain| chain.head);
        match ours {
            None => Some(After { device: head.device, incarnation: 0, seq: 0 }),
            Some(ours) if (head.incarnation, head.seq) > (ours.incarnation, ours.seq) => {
                Some(After { device: head.device, incarnation: ours.incarnation, seq: ours.seq })
            }
            Some(ours) if differs(head, &ours) => Some(just_before(head)),
            Some(_) => None,
        }
    };
    heads.heads.iter().filter_map(after).collect()
}

/// Two commits at one place.
fn differs(head: &HeadItem, ours: &ChainHead) -> bool {
    (head.incarnation, head.seq) == (ours.incarnation, ours.seq) && head.hash != ours.hash
}

/// Asks for the commit itself.
pub(crate) const fn just_before(head: &HeadItem) -> After {
    After { device: head.device, incarnation: head.incarnation, seq: head.seq.saturating_sub(1) }
}

impl Intake {
    /// Takes in a page of the server's numbered commits. One that no question waits for, as when an answer
    /// comes twice, is left out: it need not start at the cursor.
    ///
    /// # Errors
    /// [`Halt`]: what came before the offending commit is taken in, it and what follows is not.
    pub(crate) fn page(&mut self, ctx: &Context<'_>, page: &CommitPage) -> Result<(), Halt> {
        let lane = self.lanes.entry(Source::Server).or_default();
        if !std::mem::take(&mut lane.is_reading) {
            return Ok(());
        }
        let compares = std::mem::take(&mut lane.compares);
        self.server_head = page.head;
        let is_first = self.state.server_incarnation == 0 && self.state.cursor == 0;
        if is_first {
            self.state.server_incarnation = page.server_incarnation;
        } else if self.started_over(page, compares) {
            self.start_over(page);
            return Ok(());
        }
        let cursor = self.state.cursor;
        for item in page.items.iter().filter(|item| item.vault_seq > cursor) {
            match self.commit(ctx, Source::Server, &item.commit) {
                Ok(hash) => {
                    self.state.cursor = item.vault_seq;
                    self.state.cursor_hash = hash;
                    self.is_news = true;
                }
                Err(Stop::NeedsLog) if !self.log_was_read(Source::Server) => {
                    self.want_log(Source::Server);
                    return Ok(());
                }
                // A server that was set back and numbered anew shows a gap too: since this device met it, with
                // the same commit at the cursor and others below, or in the middle of a reading. One at the
                // start, or in every reading from there, is its lie.
                Err(Stop::Gap) if cursor > 0 && !compares => {
                    if let Some(lane) = self.lanes.get_mut(&Source::Server) {
                        lane.is_new = true;
                    }
                    return Ok(());
                }
                Err(Stop::Gap) if cursor > 0 && self.gaps < GAPS_MAX => {
                    self.gaps += 1;
                    self.start_over(page);
                    return Ok(());
                }
                Err(stop) => return Err(self.halt(Source::Server, stop, &item.commit, ctx.now_ms)),
            }
        }
        if self.state.cursor >= page.head {
            self.server_is_read(ctx)?;
        } else if self.state.cursor == cursor
            && !compares
            && let Some(lane) = self.lanes.get_mut(&Source::Server)
        {
            // It says that there is more, and shows nothing.
            lane.paused_until = ctx.now_ms + SOURCE_PAUSE_MS;
        }
        Ok(())
    }

    fn start_over(&mut self, page: &CommitPage) {
        tracing::warn!("the server's numbering starts over; every commit is read again");
        self.state.restart(page.server_incarnation);
        self.keep.forget_numbers = true;
        self.is_news = true;
    }

    /// Whether the numbers no longer mean the commits they meant.
    fn started_over(&self, page: &CommitPage, compares: bool) -> bool {
        let at_cursor = page.items.iter().find(|item| item.vault_seq == self.state.cursor);
        let is_other = || match at_cursor {
            Some(item) => Commit::from_bytes(&item.commit)
                .map_or(true, |commit| commit.hash() != self.state.cursor_hash),
            None => self.state.cursor > 0,
        };
        page.server_incarnation != self.state.server_incarnation
            || page.head < self.state.cursor
            || (compares && is_other())
    }

    /// Nothing more is there: what devices have seen and the server did not show is being hidden.
    fn server_is_read(&mut self, ctx: &Context<'_>) -> Result<(), Halt> {
        let mut asks_again = false;
        if let Some(lane) = self.lanes.get_mut(&Source::Server) {
            asks_again = std::mem::take(&mut lane.asks_again);
            lane.wants_commits = asks_again;
            lane.log_was_read = false;
            lane.is_halted = false;
        }
        self.server_read = !asks_again;
        self.gaps = 0;
        self.look_again();
        let chains = &self.state.chains;
        self.claims.retain(|device, (claim, _)| {
            let ours = chains.of(device).map(|chain| (chain.head.incarnation, chain.head.seq));
            let is_open = ours.is_none_or(|ours| ours < (claim.incarnation, claim.seq));
            // A removed device's late commits are refused by the server, whoever had seen them.
            is_open && !ctx.account.is_late(device, ctx.vault, claim.incarnation, claim.seq)
        });
        let claims = &self.claims;
        self.witnessed.retain(|device| claims.contains_key(device));
        let open: Vec<(DeviceId, u32, u64)> =
            self.claims.iter().map(|(device, (claim, _))| (*device, claim.incarnation, claim.seq)).collect();
        self.denied.retain(|place, _| open.contains(place));
        for place in open {
            let denied = self.denied.entry(place).or_insert(Denied { since_ms: ctx.now_ms, times: 0 });
            denied.times += 1;
            if denied.times >= 2 && ctx.now_ms.saturating_sub(denied.since_ms) >= HIDING_MS {
                let commit = self.claims.get(&place.0).map(|(_, commit)| commit.clone());
                return Err(Halt::Alarm { alarm: Alarm::Hidden, commit: commit.unwrap_or_default() });
            }
        }
        Ok(())
    }

    /// Takes in what another device said it knows. When that is more of this device's own chain than
    /// this device knows, it is asked to show it.
    pub(crate) fn heads(&mut self, ctx: &Context<'_>, from: DeviceId, heads: Heads) {
        let own = heads.heads.iter().find(|head| head.device == ctx.device).copied();
        let mut theirs = heads;
        theirs.heads.retain(|head| head.device != ctx.device);
        let forked = theirs.heads.iter().filter(|head| contradicts(ctx, head)).map(just_before).collect();
        let lane = self.lanes.entry(Source::Device(from)).or_default();
        lane.is_reading = false;
        lane.wants_log = theirs.log_len > ctx.account.head_seq() + 1 && !lane.log_was_read;
        lane.wants_commits = true;
        lane.heads = Some(theirs);
        lane.forked = forked;
        lane.own = own.filter(|own| is_more(ctx, own));
        if lane.own.is_none() {
            lane.own_denied = None;
        }
    }

    /// Takes in commits of another device, asked for or told.
    ///
    /// # Errors
    /// [`Halt`]: what came before the offending commit is taken in, it and what follows is not.
    pub(crate) fn commits(
        &mut self,
        ctx: &Context<'_>,
        from: DeviceId,
        answer: &CommitsResponse,
        was_asked: bool,
    ) -> Result<(), Halt> {
        let source = Source::Device(from);
        let lane = self.lanes.entry(source).or_default();
        if was_asked {
            lane.is_reading = false;
            lane.wants_commits = answer.more;
        }
        for bytes in &answer.commits {
            match self.commit(ctx, source, bytes) {
                // What comes later may cite an entry that was not there at the last look.
                Ok(_) => self.may_read_log_again(source),
                Err(Stop::NeedsLog) if !self.log_was_read(source) => {
                    self.want_log(source);
                    return Ok(());
                }
                // It was told before what it follows: the rest is asked for.
                Err(Stop::Gap) => {
                    if let Some(lane) = self.lanes.get_mut(&source) {
                        lane.wants_heads = true;
                        lane.paused_until = if was_asked { ctx.now_ms + SOURCE_PAUSE_MS } else { 0 };
                    }
                    return Ok(());
                }
                Err(stop) => return Err(self.halt(source, stop, bytes, ctx.now_ms)),
            }
        }
        Ok(())
    }

    fn want_log(&mut self, source: Source) {
        if let Some(lane) = self.lanes.get_mut(&source) {
            lane.wants_log = true;
        }
    }

    fn may_read_log_again(&mut self, source: Source) {
        if let Some(lane) = self.lanes.get_mut(&source) {
            lane.log_was_read = false;
        }
    }

    fn log_was_read(&self, source: Source) -> bool {
        self.lanes.get(&source).is_some_and(|lane| lane.log_was_read)
    }

    /// A lane cannot go on.
    pub(super) fn halt(&mut self, source: Source, stop: Stop, commit: &[u8], now_ms: u64) -> Halt {
        if let Some(lane) = self.lanes.get_mut(&source) {
            lane.paused_until = now_ms + SOURCE_PAUSE_MS;
            lane.log_was_read = false;
            lane.is_halted = true;
        }
        let alarm = match stop {
            Stop::Halt(Halt::NoKey) => {
                self.want_log(source);
                return Halt::NoKey;
            }
            Stop::Halt(Halt::Alarm { alarm, .. }) => alarm,
            Stop::NeedsLog => Alarm::Foreign,
            Stop::Gap => Alarm::Gap,
        };
        Halt::Alarm { alarm, commit: commit.to_vec() }
    }

    /// Checks one commit in full, follows its chain and plans what it names.
    fn commit(
        &mut self,
        ctx: &Context<'_>,
        source: Source,
        bytes: &[u8],
    ) -> Result<freehold_model::CommitHash, Stop> {
        let commit = Commit::from_bytes(bytes).map_err(|_| Alarm::Malformed)?;
        let header = commit.header();
        let place = ChainPlace { device: header.device, incarnation: header.incarnation, seq: header.seq };
        if header.vault != ctx.vault {
            return Err(Alarm::Malformed.into());
        }
        let is_numbered = source == Source::Server;
        if ctx.known.hash_at(&place) == Some(header.hash()) && self.is_followed(ctx, &place) {
            self.also_has(source, &commit);
            if is_numbered {
                self.keep.numbered.push(place);
                self.follow_own(ctx, header);
            }
            return Ok(header.hash());
        }
        let verdict = ctx.account.judge(&commit).map_err(|error| match error {
            JudgeError::UnknownLogHead | JudgeError::UnknownDevice => Stop::NeedsLog,
            JudgeError::NotLiveAtHead | JudgeError::BadSignature | JudgeError::UnknownEpoch => {
                Alarm::Foreign.into()
            }
        })?;
        if self.state.chains.place(header, ctx.known)? == Place::Known {
            return Ok(header.hash());
        }
        let body = open_body(ctx, &commit)?;
        self.state.chains.advance(header, body.covers);
        self.unmerged_bytes += bytes.len();
        self.keep.commits.push(KeptCommit {
            place,
            hash: header.hash(),
            bytes: bytes.to_vec(),
            numbered: is_numbered,
        });
        self.is_news = true;
        match verdict {
            Verdict::Accept => self.accept(ctx, source, &commit, &body),
            Verdict::Quarantine => self.put_aside(&place),
        }
        Ok(header.hash())
    }

    /// Whether a commit's effect is here: own ones are, unless the index was lost.
    fn is_followed(&self, ctx: &Context<'_>, place: &ChainPlace) -> bool {
        let at = (place.incarnation, place.seq);
        if place.device == ctx.device && !ctx.reload_own {
            let remembers = self.state.remembers.is_none_or(|last| at <= last);
            let is_made_here = remembers || place.incarnation == ctx.incarnation;
            if is_made_here && ctx.own_head.is_some_and(|head| at <= (head.incarnation, head.seq)) {
                return true;
            }
        }
        let head = self.state.chains.of(&place.device).map(|chain| chain.head);
        head.is_some_and(|head| at <= (head.incarnation, head.seq))
    }

    /// The own chain as the server has it: a clone's commits would follow there.
    fn follow_own(&mut self, ctx: &Context<'_>, header: &CommitHeader) {
        let before = self.state.chains.of(&ctx.device).map(|chain| (chain.head.incarnation, chain.head.seq));
        if header.device == ctx.device
            && before.is_none_or(|before| before < (header.incarnation, header.seq))
        {
            self.state.chains.advance(header, 0);
        }
    }

    /// Another source has a commit that is followed: it may have the versions that are still wanted.
    fn also_has(&mut self, source: Source, commit: &Commit) {
        let open: Vec<_> = commit
            .entries()
            .iter()
            .map(|entry| entry.version)
            .filter(|version| self.is_open(version) || self.state.deferred.contains_key(version))
            .collect();
        if let Some(lane) = self.lanes.get_mut(&source) {
            lane.may_have.extend(open);
        }
    }

    fn accept(&mut self, ctx: &Context<'_>, source: Source, commit: &Commit, body: &CommitBody) {
        self.plan.add(commit.header().device, commit.entries());
        let versions: Vec<_> = commit.entries().iter().map(|entry| entry.version).collect();
        if let Some(lane) = self.lanes.get_mut(&source) {
            lane.may_have.extend(versions);
        }
        if let Some(checkpoint) = Checkpoint::of(commit, body, ctx.device) {
            self.checkpoints.insert(checkpoint.author, checkpoint);
        }
        for seen in body.seen.iter().filter(|seen| seen.device != ctx.device) {
            self.claim_of_commit(commit, seen);
        }
    }

    /// Notes what the author had seen of another device.
    fn claim_of_commit(&mut self, commit: &Commit, seen: &Seen) {
        let Seen { device, incarnation, seq, hash, .. } = *seen;
        let before = self.claims.get(&device).map(|(claim, _)| (claim.incarnation, claim.seq));
        if before.is_none_or(|before| before < (incarnation, seq)) {
            let claim = HeadItem { device, incarnation, seq, hash };
            self.claims.insert(device, (claim, commit.to_bytes()));
        }
    }
}

fn open_body(ctx: &Context<'_>, commit: &Commit) -> Result<CommitBody, Stop> {
    let CommitHeader { device, incarnation, seq, .. } = *commit.header();
    match ctx.keyring.open_commit_body(&CommitContext { device, incarnation, seq }, commit.sealed_body()) {
        Ok(body) => CommitBody::from_bytes(&body).map_err(|_| Alarm::Malformed.into()),
        Err(OpenError::UnknownGeneration(_)) => Err(Stop::Halt(Halt::NoKey)),
        Err(OpenError::Refused) => Err(Alarm::Malformed.into()),
    }
}

/// Whether a head is another commit than the one followed at its place.
pub(super) fn contradicts(ctx: &Context<'_>, head: &HeadItem) -> bool {
    let place = ChainPlace { device: head.device, incarnation: head.incarnation, seq: head.seq };
    ctx.known.hash_at(&place).is_some_and(|known| known != head.hash)
}
