//! Storage nodes as witnesses: what devices leave there of how far the vault has come.
//!
//! A device that reaches nobody but the server cannot tell that it is shown an old state. So devices
//! leave the signed head of every commit chain they know at each node, sealed under the vault key; a
//! node learns nothing from it and can only withhold it. Whoever asks takes a head for what its author's
//! signature says, never for who passed it on. What one device leaves never falls behind what it was
//! told there: a device set back to a backup hands on what it finds before it says anything itself.

use super::local::Local;
use super::{Parts, SyncError, blocking};
use crate::transfer::peer::{Ask, PeerFailure};
use freehold_api::device_peer::After;
use freehold_api::peer::{WITNESS, WITNESS_RESPONSE_BYTES_MAX, WitnessRequest, WitnessResponse};
use freehold_crypto::VaultKeyring;
use freehold_model::codec::{DecodeError, Reader, Writer, from_slice, to_vec};
use freehold_model::{DeviceId, NodeId, VaultId};
use freehold_net::Class;
use freehold_trust::account_log::{AccountState, Standing};
use freehold_trust::commit::{ChainHead, SignedHead};
use std::collections::BTreeMap;
use std::sync::Arc;

const VERSION: u8 = 1;

/// Chains in what one device leaves.
const HEADS_MAX: usize = 128;

/// The newest signed head of every chain.
pub(crate) type SignedHeads = BTreeMap<DeviceId, SignedHead>;

/// Seals heads for other devices of the vault.
pub(crate) fn seal(heads: &SignedHeads, keyring: &VaultKeyring) -> Vec<u8> {
    let mut out = Writer::new();
    let count = heads.len().min(HEADS_MAX);
    out.u8(VERSION).u32(u32::try_from(count).expect("far below four billion"));
    heads.values().take(HEADS_MAX).for_each(|head| {
        out.put(head);
    });
    keyring.seal_heads(out.as_slice())
}

/// The heads in what was left that count: signed by a device of the account for this vault, and not
/// after its removal. The rest says nothing about anybody.
pub(crate) fn verified(
    left: &[Vec<u8>],
    vault: &VaultId,
    keyring: &VaultKeyring,
    account: &AccountState,
) -> Vec<SignedHead> {
    let mut found = Vec::new();
    for sealed in left {
        let heads = keyring.open_heads(sealed).ok().and_then(|plain| decode(&plain).ok());
        if heads.is_none() {
            tracing::debug!("what lies at a storage node is not this vault's, or is damaged");
        }
        found.extend(heads.unwrap_or_default().into_iter().filter(|head| counts(head, vault, account)));
    }
    found
}

fn counts(head: &SignedHead, vault: &VaultId, account: &AccountState) -> bool {
    let header = head.header();
    let is_within = match account.standing(&header.device, header.vault, header.incarnation) {
        Standing::Live => true,
        Standing::Revoked { cut_seq } => header.seq <= cut_seq,
        Standing::Unknown => false,
    };
    let author = account.devices().get(&header.device);
    let is_signed = author.is_some_and(|author| head.verify(&author.cert.sign_pk).is_ok());
    header.vault == *vault && is_within && is_signed
}

fn decode(bytes: &[u8]) -> Result<Vec<SignedHead>, DecodeError> {
    let mut input = Reader::new(bytes);
    input.expect(&[VERSION], "heads version")?;
    let count = input.count(HEADS_MAX, SignedHead::LEN_BYTES)?;
    let heads: Vec<SignedHead> = (0..count).map(|_| input.get()).collect::<Result<_, _>>()?;
    input.finish()?;
    if !heads.is_sorted_by(|a, b| a.header().device < b.header().device) {
        return Err(DecodeError::Invalid("order of heads"));
    }
    Ok(heads)
}

/// The newest of each chain.
pub(crate) fn newest(heads: impl IntoIterator<Item = SignedHead>) -> SignedHeads {
    let place = |head: &SignedHead| (head.header().incarnation, head.header().seq);
    let mut newest = SignedHeads::new();
    for head in heads {
        let known = newest.entry(head.header().device).or_insert(head);
        if place(known) < place(&head) {
            *known = head;
        }
    }
    newest
}

impl Local {
    /// The signed heads of these chains, as far as their commits are kept. Blocks.
    ///
    /// # Errors
    /// `History`.
    pub(crate) fn signed_heads(
        &self,
        chains: &[(DeviceId, ChainHead)],
    ) -> Result<Vec<SignedHead>, SyncError> {
        let mut heads = Vec::new();
        for (device, head) in chains {
            let before =
                After { device: *device, incarnation: head.incarnation, seq: head.seq.saturating_sub(1) };
            let (commits, _) = self.history.commits_after(&[before], 1, 1)?;
            let signed = commits.first().and_then(|commit| SignedHead::from_start(commit).ok());
            heads.extend(signed.filter(|signed| signed.head() == *head));
        }
        Ok(heads)
    }
}

impl Parts {
    /// Hears what devices left at the nodes, and leaves what is known here and there; what was heard.
    /// `None` when no node answered.
    ///
    /// # Errors
    /// `History`.
    pub(crate) async fn ask_witnesses(
        &self,
        chains: Vec<(DeviceId, ChainHead)>,
    ) -> Result<Option<Vec<SignedHead>>, SyncError> {
        let nodes: Vec<NodeId> = self.nodes.usable().into_iter().collect();
        let (mut heard, mut has_answer) = (Vec::new(), false);
        for node in &nodes {
            match self.ask_witness(node, Vec::new()).await {
                Ok(left) => {
                    has_answer = true;
                    let account = self.members.state();
                    heard.extend(verified(&left, &self.vault, &self.keyring, &account));
                }
                Err(failure) => tracing::debug!(%failure, "a storage node did not say what devices left"),
            }
        }
        let local = Arc::clone(&self.local);
        let known = blocking(move || local.signed_heads(&chains)).await?;
        let heads = newest(known.into_iter().chain(heard.iter().copied()));
        if !heads.is_empty() {
            let sealed = seal(&heads, &self.keyring);
            for node in &nodes {
                if let Err(failure) = self.ask_witness(node, sealed.clone()).await {
                    tracing::debug!(%failure, "a storage node did not take what this device knows");
                }
            }
        }
        Ok(has_answer.then_some(heard))
    }

    async fn ask_witness(&self, node: &NodeId, left: Vec<u8>) -> Result<Vec<Vec<u8>>, PeerFailure> {
        let head = |vault_tag| to_vec(&WitnessRequest { vault_tag, left: left.clone() });
        let ask = Ask {
            method: WITNESS,
            class: Class::Metadata,
            head: &head,
            body: Vec::new(),
            answer_bytes_max: WITNESS_RESPONSE_BYTES_MAX,
        };
        let answer = self.nodes.ask(node, &ask).await?;
        let response: WitnessResponse = from_slice(&answer.body).map_err(|_| PeerFailure::Malformed)?;
        Ok(response.left)
    }
}
