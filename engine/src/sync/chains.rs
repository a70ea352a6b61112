//! Following every device's commit chain, and noticing when one gaps or forks.
//!
//! A server can withhold, reorder or fork what devices signed; it cannot do so unseen. Each commit
//! must be the next one of its author's chain. What contradicts a commit seen before is kept as
//! evidence and nothing of that answer is applied.

use freehold_model::codec::{Decode, DecodeError, Encode, Reader, Writer};
use freehold_model::{CommitHash, DeviceId};
use freehold_trust::commit::{ChainError, ChainHead, Commit, CommitHeader};
use freehold_vault::Seen;
use std::collections::BTreeMap;

/// Devices in one vault's chains: far more than an account may have alive.
const DEVICES_MAX: usize = 4_096;

/// Why a commit does not belong where the server shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Alarm {
    /// Commits of its author before it are missing.
    #[error("the server leaves out commits of one of your devices")]
    Gap,
    /// It contradicts a commit of the same author seen before.
    #[error("the server shows two histories of one of your devices")]
    Fork,
    /// It is signed by nobody who may.
    #[error("the server shows a commit that none of your devices may have signed")]
    Foreign,
    /// It cannot be read at all, or is another vault's.
    #[error("the server shows a commit that is malformed")]
    Malformed,
}

/// Whether a commit is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The next of its chain.
    Next,
    /// Seen before, as it is.
    Known,
}

/// One device's chain as far as it was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chain {
    head: ChainHead,
    /// Writes that its commits cover.
    covers: u64,
    /// A later commit known from before numbering restarted; passing it with another hash is a fork.
    witness: Option<ChainHead>,
}

/// The newest commit of every device, as followed from the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chains {
    chains: BTreeMap<DeviceId, Chain>,
    /// Heads from before numbering restarted, of chains not met again yet.
    witnesses: BTreeMap<DeviceId, ChainHead>,
}

impl Chains {
    /// Judges a commit's place. Nothing changes until [`Self::advance`].
    pub(crate) fn place(&self, commit: &Commit) -> Result<Place, Alarm> {
        let header = commit.header();
        let chain = self.chains.get(&header.device);
        let witness = chain.and_then(|chain| chain.witness).or(self.witnesses.get(&header.device).copied());
        if witness.is_some_and(|witness| contradicts(&witness, header)) {
            return Err(Alarm::Fork);
        }
        match ChainHead::follow(chain.map(|chain| &chain.head), header) {
            Ok(_) => Ok(Place::Next),
            Err(ChainError::Gap { .. }) => Err(Alarm::Gap),
            Err(ChainError::WrongPrev { .. }) => Err(Alarm::Fork),
            // An older one can only be compared when it is the head itself; the server's cursor
            // never shows one again, so anything else is a second history.
            Err(ChainError::Past { .. }) => match chain {
                Some(chain) if chain.head.hash == header.hash() => Ok(Place::Known),
                _ => Err(Alarm::Fork),
            },
        }
    }

    /// Takes the commit as the newest of its chain.
    pub(crate) fn advance(&mut self, header: &CommitHeader, covers: u64) {
        let head = ChainHead::of(header);
        let old = self.witnesses.remove(&header.device);
        let witness = self.chains.get(&header.device).and_then(|chain| chain.witness).or(old);
        let ahead =
            witness.filter(|witness| (witness.incarnation, witness.seq) > (head.incarnation, head.seq));
        self.chains.insert(header.device, Chain { head, covers, witness: ahead });
    }

    /// Starts over from the first commit, remembering where every chain had been.
    pub(crate) fn restart(&mut self) {
        for (device, chain) in std::mem::take(&mut self.chains) {
            self.witnesses.insert(device, chain.witness.unwrap_or(chain.head));
        }
    }

    /// The newest commit of a device that was ever followed here: where a revocation cuts.
    pub(crate) fn newest(&self, device: &DeviceId) -> Option<ChainHead> {
        let chain = self.chains.get(device);
        let heads = [chain.map(|chain| chain.head), chain.and_then(|chain| chain.witness)];
        let heads = heads.into_iter().chain([self.witnesses.get(device).copied()]).flatten();
        heads.max_by_key(|head| (head.incarnation, head.seq))
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

/// Two commits at one place, or a first commit of a life that is over.
fn contradicts(witness: &ChainHead, header: &CommitHeader) -> bool {
    (witness.incarnation, witness.seq) == (header.incarnation, header.seq) && witness.hash != header.hash()
}

impl Encode for Chains {
    fn encode(&self, out: &mut Writer) {
        out.u32(count(self.chains.len()));
        for (device, chain) in &self.chains {
            out.put(device);
            put_head(out, &chain.head);
            out.u64(chain.covers).u8(u8::from(chain.witness.is_some()));
            chain.witness.iter().for_each(|witness| put_head(out, witness));
        }
        out.u32(count(self.witnesses.len()));
        for (device, witness) in &self.witnesses {
            out.put(device);
            put_head(out, witness);
        }
    }
}

impl Decode for Chains {
    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut chains = Self::default();
        for _ in 0..input.count(DEVICES_MAX, 69)? {
            let (device, head, covers) = (input.get()?, read_head(input)?, input.u64()?);
            let witness = match input.u8()? {
                0 => None,
                1 => Some(read_head(input)?),
                _ => return Err(DecodeError::Invalid("flag")),
            };
            chains.chains.insert(device, Chain { head, covers, witness });
        }
        for _ in 0..input.count(DEVICES_MAX, 60)? {
            let (device, witness) = (input.get()?, read_head(input)?);
            chains.witnesses.insert(device, witness);
        }
        Ok(chains)
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("an account has far fewer devices")
}

fn put_head(out: &mut Writer, head: &ChainHead) {
    out.u32(head.incarnation).u64(head.seq).put(&head.hash);
}

fn read_head(input: &mut Reader<'_>) -> Result<ChainHead, DecodeError> {
    let (incarnation, seq, hash): (u32, u64, CommitHash) = (input.u32()?, input.u64()?, input.get()?);
    Ok(ChainHead { incarnation, seq, hash })
}

#[cfg(test)]
mod tests {
    use super::*;
    use freehold_model::codec::{from_slice, to_vec};
    use freehold_model::{LogHash, VaultId};
    use freehold_trust::SignKey;
    use freehold_trust::commit::CommitPlace;

    const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);

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

    fn follow(chains: &mut Chains, commit: &Commit) -> Result<Place, Alarm> {
        let place = chains.place(commit)?;
        chains.advance(commit.header(), 7);
        Ok(place)
    }

    #[test]
    fn a_chain_is_followed_into_its_next_incarnation() {
        let mut chains = Chains::default();
        let first = commit(0, 1, None, 0);
        let second = commit(0, 2, Some(&first), 0);
        let reborn = commit(1, 1, Some(&second), 0);
        for commit in [&first, &second, &reborn] {
            assert_eq!(follow(&mut chains, commit), Ok(Place::Next));
        }
        assert_eq!(chains.seen(&DeviceId::default())[0].hash, reborn.hash());
        assert_eq!(chains.place(&reborn), Ok(Place::Known));
    }

    #[test]
    fn a_left_out_commit_is_a_gap() {
        let mut chains = Chains::default();
        let first = commit(0, 1, None, 0);
        let second = commit(0, 2, Some(&first), 0);
        let third = commit(0, 3, Some(&second), 0);
        assert_eq!(chains.place(&second), Err(Alarm::Gap));
        assert_eq!(follow(&mut chains, &first), Ok(Place::Next));
        assert_eq!(chains.place(&third), Err(Alarm::Gap));
    }

    #[test]
    fn a_second_history_is_a_fork() {
        let mut chains = Chains::default();
        let (first, other) = (commit(0, 1, None, 0), commit(0, 1, None, 9));
        assert_eq!(follow(&mut chains, &first), Ok(Place::Next));
        assert_eq!(chains.place(&other), Err(Alarm::Fork));
        assert_eq!(chains.place(&commit(0, 2, Some(&other), 0)), Err(Alarm::Fork));
    }

    #[test]
    fn another_history_after_a_restart_of_numbering_is_a_fork() {
        let mut chains = Chains::default();
        let first = commit(0, 1, None, 0);
        let second = commit(0, 2, Some(&first), 0);
        assert_eq!(follow(&mut chains, &first), Ok(Place::Next));
        assert_eq!(follow(&mut chains, &second), Ok(Place::Next));
        chains.restart();
        assert_eq!(follow(&mut chains, &first), Ok(Place::Next));
        assert_eq!(chains.place(&commit(0, 2, Some(&first), 9)), Err(Alarm::Fork));
        assert_eq!(follow(&mut chains, &second), Ok(Place::Next));
    }

    #[test]
    fn chains_survive_being_stored() {
        let mut chains = Chains::default();
        let first = commit(0, 1, None, 0);
        assert_eq!(follow(&mut chains, &first), Ok(Place::Next));
        assert_eq!(from_slice(&to_vec(&chains)), Ok(chains.clone()));
        assert_eq!(chains.seen(&DEVICE), []);
        assert_eq!(chains.seen(&DeviceId::default())[0].covers, 7);
        chains.restart();
        assert_eq!(from_slice(&to_vec(&chains)), Ok(chains));
    }

    #[test]
    fn the_newest_commit_stays_known_while_everything_is_read_again() {
        let mut chains = Chains::default();
        let first = commit(0, 1, None, 0);
        let second = commit(0, 2, Some(&first), 0);
        assert_eq!(chains.newest(&DEVICE), None);
        for commit in [&first, &second] {
            assert_eq!(follow(&mut chains, commit), Ok(Place::Next));
        }
        for _ in 0..2 {
            assert_eq!(chains.newest(&DEVICE).map(|head| head.seq), Some(2));
            chains.restart();
        }
        assert_eq!(follow(&mut chains, &first), Ok(Place::Next));
        assert_eq!(chains.newest(&DEVICE).map(|head| head.hash), Some(second.hash()));
    }
}
