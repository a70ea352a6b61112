//! Who may do what: capabilities shown on a link, and the bytes put under each.
//!
//! A capability's signature, node and holder are checked when it is shown; its time, operations and
//! budget with every request. The budget is counted for the whole node by serial, so opening more
//! links wins nothing. Counts are kept in memory: a restart forgets them, and the short life of
//! capabilities bounds what that is worth.

use crate::limits;
use freehold_api::peer::{CAPABILITY_BYTES_MAX, PeerError};
use freehold_model::{NodeId, VaultTag};
use freehold_trust::{Capability, CapabilityError, Ops, PublicKey, SignedCapability, Use};
use std::collections::BTreeMap;

/// What the node checks capabilities against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Authority {
    /// The node's own id.
    pub(crate) node: NodeId,
    /// The key of the server it has joined.
    pub(crate) server: PublicKey,
}

/// The capabilities shown on one link.
#[derive(Debug)]
pub(crate) struct Shown {
    authority: Authority,
    /// The TLS key at the other end.
    client: PublicKey,
    by_vault: BTreeMap<VaultTag, Capability>,
}

/// Bytes put under each capability, for the whole node.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    by_serial: BTreeMap<[u8; 16], Budget>,
}

#[derive(Debug)]
struct Budget {
    used_bytes: u64,
    not_after: u64,
}

impl Shown {
    /// A link on which nothing was shown yet.
    pub(crate) const fn new(authority: Authority, client: PublicKey) -> Self {
        Self { authority, client, by_vault: BTreeMap::new() }
    }

    /// Takes a capability; it replaces the one shown before for the same vault.
    pub(crate) fn show(&mut self, bytes: &[u8], now: u64) -> Result<(), PeerError> {
        if bytes.len() > CAPABILITY_BYTES_MAX {
            return Err(PeerError::TooLarge);
        }
        let signed = SignedCapability::from_bytes(bytes).map_err(|_| PeerError::Malformed)?;
        let circumstances = Use {
            server: &self.authority.server,
            node: &self.authority.node,
            client_tls: &self.client,
            now,
            skew_seconds: limits::CLOCK_SKEW_SECONDS,
        };
        let terms = *signed.check(&circumstances).map_err(refusal)?;
        let is_new = !self.by_vault.contains_key(&terms.vault_tag);
        if is_new && self.by_vault.len() >= limits::VAULTS_PER_LINK_MAX {
            return Err(PeerError::TooManyVaults);
        }
        self.by_vault.insert(terms.vault_tag, terms);
        Ok(())
    }

    /// Whether there was one at all.
    pub(crate) fn is_any(&self) -> bool {
        !self.by_vault.is_empty()
    }

    /// The terms under which an operation on a vault is allowed now.
    pub(crate) fn terms(&self, tag: &VaultTag, ops: Ops, now: u64) -> Result<&Capability, PeerError> {
        let terms = self.by_vault.get(tag).ok_or(PeerError::NoCapability)?;
        terms.check_time(now, limits::CLOCK_SKEW_SECONDS).map_err(refusal)?;
        terms.allows(ops).map_err(refusal)?;
        Ok(terms)
    }
}

impl Budgets {
    /// Counts bytes about to be put, if the capability still covers them.
    pub(crate) fn charge(&mut self, terms: &Capability, bytes: u64, now: u64) -> Result<(), PeerError> {
        if !self.by_serial.contains_key(&terms.serial) && self.by_serial.len() >= limits::BUDGETS_MAX {
            self.forget_expired(now);
            if self.by_serial.len() >= limits::BUDGETS_MAX {
                return Err(PeerError::OverBudget);
            }
        }
        let fresh = Budget { used_bytes: 0, not_after: terms.not_after };
        let budget = self.by_serial.entry(terms.serial).or_insert(fresh);
        let used_bytes = budget.used_bytes.saturating_add(bytes);
        if used_bytes > terms.max_bytes {
            return Err(PeerError::OverBudget);
        }
        budget.used_bytes = used_bytes;
        Ok(())
    }

    /// Gives back bytes that were not stored after all.
    pub(crate) fn refund(&mut self, serial: &[u8; 16], bytes: u64) {
        if let Some(budget) = self.by_serial.get_mut(serial) {
            budget.used_bytes = budget.used_bytes.saturating_sub(bytes);
        }
    }

    fn forget_expired(&mut self, now: u64) {
        let skew = limits::CLOCK_SKEW_SECONDS;
        self.by_serial.retain(|_, budget| now < budget.not_after.saturating_add(skew));
    }
}

fn refusal(error: CapabilityError) -> PeerError {
    match error {
        CapabilityError::BadSignature | CapabilityError::TooLong => PeerError::BadCapability,
        CapabilityError::WrongNode => PeerError::WrongNode,
        CapabilityError::WrongHolder => PeerError::WrongHolder,
        CapabilityError::NotYet => PeerError::NotYetValid,
        CapabilityError::Expired => PeerError::Expired,
        CapabilityError::Forbidden => PeerError::NotAllowed,
    }
}
