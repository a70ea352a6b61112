//! Following every device's commit chain, and noticing when one gaps or forks.
//!
//! Whoever passes commits on can withhold, reorder or fork what devices signed; not so unseen. Each
//! commit must be the next one of its author's chain or one followed before. What contradicts a
//! commit seen before, from whatever source, is evidence, and nothing of that answer is applied.

use crate::history::ChainPlace;
use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{CommitHash, DeviceId};
use freehold_trust::commit::{ChainError, ChainHead, CommitHeader};
use freehold_vault::Seen;
use std::collections::BTreeMap;

/// Devices in one vault's chains: far more than an account may have alive.
const DEVICES_MAX: usize = 4_096;

/// Why a commit does not belong where it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Alarm {
    /// Commits of its author before it are missing.
    #[error("commits of one of your devices are left out")]
    Gap,
    /// It contradicts a commit of the same author seen before.
    #[error("there are two histories of one of your devices")]
    Fork,
    /// It is signed by nobody who may.
    #[error("there is a commit that none of your devices may have signed")]
    Foreign,
    /// It cannot be read at all, or is another vault's.
    #[error("there is a commit that is malformed")]
    Malformed,
    /// A device has seen a commit that the server denies again and again.
    #[error("the server hides changes that one of your devices has seen")]
    Hidden,
    /// A device signed other heads than the commits it covers come to.
    #[error("one of your devices has signed a state that its changes do not come to")]
    Heads,
    /// Somebody says that this device signed a commit, and does not show that it did.
    #[error("there is a claim that this device made changes which it never signed")]
    Unproven,
}

/// Whether a commit is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next of its chain.
    Next,
    /// Followed before.
    Known,
}

/// Looks up commits that were verified before.
pub(crate) trait KnownCommits {
    /// The commit at a place, if one was ever followed there.
    fn hash_at(&self, place: &ChainPlace) -> Option<CommitHash>;
}

/// One device's chain as far as it was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    /// Its newest commit.
    pub(crate) head: ChainHead,
    /// Writes that its commits cover.
    pub(crate) covers: u64,
}

/// The newest commit of every device, as followed from the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chains {
    chains: BTreeMap<DeviceId, Chain>,
}

impl Chains {
    /// Judges a commit's place. Nothing changes until [`Self::advance`].
    pub(crate) fn place(&self, header: &CommitHeader, known: &dyn KnownCommits) -> Result<Place, Alarm> {
        let place = ChainPlace { device: header.device, incarnation: header.incarnation, seq: header.seq };
        let chain = self.chains.get(&header.device);
        let at_head =
            chain.filter(|chain| (chain.head.incarnation, chain.head.seq) == (place.incarnation, place.seq));
        let before = at_head.map(|chain| chain.head.hash).or_else(|| known.hash_at(&place));
        if before.is_some_and(|before| before != header.hash()) {
            return Err(Alarm::Fork);
        }
        match ChainHead::follow(chain.map(|chain| &chain.head), header) {
            Ok(_) => Ok(Place::Next),
            Err(ChainError::Gap { .. }) => Err(Alarm::Gap),
            Err(ChainError::WrongPrev { .. }) => Err(Alarm::Fork),
            // Followed long ago, and its hash forgotten: it changes nothing, whatever it says.
            Err(ChainError::Past { .. }) => Ok(Place::Known),
        }
    }

    /// Takes the commit as the newest of its chain.
    pub(crate) fn advance(&mut self, header: &CommitHeader, covers: u64) {
        self.chains.insert(header.device, Chain { head: ChainHead::of(header), covers });
    }

    /// How far a device's chain was followed.
    pub(crate) fn of(&self, device: &DeviceId) -> Option<&Chain> {
        self.chains.get(device)
    }

    /// Every chain.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&DeviceId, &Chain)> {
        self.chains.iter()
    }

    /// The newest commit of every device but one, for a commit body.
    pub(crate) fn seen(&self, but: &DeviceId) -> Vec<Seen> {
        let others = self.chains.iter().filter(|(device, _)| *device != but);
        others
            .map(|(device, chain)| Seen {
                device: *device,
                incarnation: chain.head.incarnation,
                seq: chain.head.seq,
                hash: chain.head.hash,
                covers: chain.covers,
            })
            .collect()
    }
}

impl Encode for Chains {
    fn encode(&self, out: &mut Writer) {
        out.u32(u32::try_from(self.chains.len()).expect("an account has far fewer devices"));
        for (device, Chain { head, covers }) in &self.chains {
            out.put(device).u32(head.incarnation).u64(head.seq).put(&head.hash).u64(*covers);
        }
    }
}

impl Decode for Chains {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut chains = Self::default();
        for _ in 0..input.count(DEVICES_MAX, 68)? {
            let device = input.get()?;
            let head = ChainHead { incarnation: input.u32()?, seq: input.u64()?, hash: input.get()? };
            chains.chains.insert(device, Chain { head, covers: input.u64()? });
        }
        Ok(chains)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::codec::{from_slice, to_vec};
    use freehold_model::{LogHash, VaultId};
    use freehold_trust::SignKey;
    use freehold_trust::commit::{Commit, CommitPlace};
    use std::cell::RefCell;

    const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);

    /// Commits followed before, as the history keeps them.
    #[derive(Default)]
    struct Kept(RefCell<BTreeMap<ChainPlace, CommitHash>>);

    impl KnownCommits for Kept {
        fn hash_at(&self, place: &ChainPlace) -> Option<CommitHash> {
            self.0.borrow().get(place).copied()
        }
    }

    fn commit(incarnation: u32, seq: u64, prev: Option<&Commit>, body: u8) -> Commit {
        let place = CommitPlace {
            vault: VaultId::from_bytes([2; 16]),
            device: DEVICE,
            incarnation,
            seq,
            prev: prev.map(Commit::hash).unwrap_or_default(),
            log_head: LogHash::default(),
            member_epoch: 0,
            generation: 1,
        };
        Commit::sign(place, Vec::new(), vec![body], &SignKey::from_seed(&[3; 32])).expect("within limits")
    }

    fn follow(chains: &mut Chains, kept: &Kept, commit: &Commit) -> Result<Place, Alarm> {
        let header = commit.header();
        let place = chains.place(header, kept)?;
        chains.advance(header, 7);
        let at = ChainPlace { device: DEVICE, incarnation: header.incarnation, seq: header.seq };
        kept.0.borrow_mut().insert(at, header.hash());
        Ok(place)
    }

    #[test]
    fn a_chain_is_followed_into_its_next_incarnation() {
        let (mut chains, kept) = (Chains::default(), Kept::default());
        let first = commit(0, 1, None, 0);
        let second = commit(0, 2, Some(&first), 0);
        let reborn = commit(1, 1, Some(&second), 0);
        for commit in [&first, &second, &reborn] {
            assert_eq!(follow(&mut chains, &kept, commit), Ok(Place::Next));
        }
        assert_eq!(chains.seen(&DeviceId::default())[0].hash, reborn.hash());
        assert_eq!(chains.place(reborn.header(), &kept), Ok(Place::Known));
        assert_eq!(chains.place(first.header(), &kept), Ok(Place::Known));
    }

    #[test]
    fn a_left_out_commit_is_a_gap() {
        let (mut chains, kept) = (Chains::default(), Kept::default());
        let first = commit(0, 1, None, 0);
        let second = commit(0, 2, Some(&first), 0);
        let third = commit(0, 3, Some(&second), 0);
        assert_eq!(chains.place(second.header(), &kept), Err(Alarm::Gap));
        assert_eq!(follow(&mut chains, &kept, &first), Ok(Place::Next));
        assert_eq!(chains.place(third.header(), &kept), Err(Alarm::Gap));
    }

    #[test]
    fn a_second_history_is_a_fork_at_its_head_and_anywhere_before() {
        let (mut chains, kept) = (Chains::default(), Kept::default());
        let (first, other) = (commit(0, 1, None, 0), commit(0, 1, None, 9));
        assert_eq!(follow(&mut chains, &kept, &first), Ok(Place::Next));
        assert_eq!(chains.place(other.header(), &kept), Err(Alarm::Fork));
        assert_eq!(chains.place(commit(0, 2, Some(&other), 0).header(), &kept), Err(Alarm::Fork));
        let second = commit(0, 2, Some(&first), 0);
        assert_eq!(follow(&mut chains, &kept, &second), Ok(Place::Next));
        assert_eq!(chains.place(other.header(), &kept), Err(Alarm::Fork));
    }

    #[test]
    fn what_was_followed_before_the_index_was_lost_still_tells_a_fork() {
        let (mut chains, kept) = (Chains::default(), Kept::default());
        let first = commit(0, 1, None, 0);
        let second = commit(0, 2, Some(&first), 0);
        for commit in [&first, &second] {
            assert_eq!(follow(&mut chains, &kept, commit), Ok(Place::Next));
        }
        let mut chains = Chains::default();
        assert_eq!(follow(&mut chains, &kept, &first), Ok(Place::Next));
        assert_eq!(chains.place(commit(0, 2, Some(&first), 9).header(), &kept), Err(Alarm::Fork));
        assert_eq!(follow(&mut chains, &kept, &second), Ok(Place::Next));
    }

    #[test]
    fn chains_survive_being_stored() {
        let (mut chains, kept) = (Chains::default(), Kept::default());
        assert_eq!(follow(&mut chains, &kept, &commit(0, 1, None, 0)), Ok(Place::Next));
        assert_eq!(from_slice(&to_vec(&chains)), Ok(chains.clone()));
        assert_eq!(chains.seen(&DEVICE), []);
        assert_eq!(chains.seen(&DeviceId::default())[0].covers, 7);
    }
}
