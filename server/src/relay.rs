//! Events between servers over one database.
//!
//! What is pushed here is told to the others after its transaction has committed, gathered for
//! [`RELAY_GATHER`] so that a busy vault costs one statement and each kind of event is told once,
//! with its newest number. Events only hurry clients along: whenever one may have been lost, all
//! clients of this server are told to poll.

use crate::App;
use crate::app::{Origin, Pushed};
use crate::db::{Notice, Notices, PostgresStore};
use crate::limits::{RELAY_EVENTS_MAX, RELAY_GATHER};
use crate::random;
use freehold_api::{Blob, Event};
use freehold_model::{AccountId, VaultId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

/// One event as servers tell it to each other: ids and numbers, far below the 8,000 bytes of a
/// notification.
#[derive(Debug, Serialize, Deserialize)]
struct Message {
    /// The server that tells it.
    from: Blob,
    /// Whose devices are to hear it; everybody's when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    /// What happened.
    event: Event,
}

/// Starts telling and hearing, as tasks of the set.
pub(crate) fn start(app: &Arc<App>, store: PostgresStore, notices: Notices, tasks: &mut JoinSet<()>) {
    let from = Blob::from(random::bytes::<16>());
    tasks.spawn(tell(app.listen(), store, from.clone()));
    tasks.spawn(hear(Arc::clone(app), notices, from));
}

async fn hear(app: Arc<App>, mut notices: Notices, own: Blob) {
    loop {
        let message: Option<Message> = match notices.next().await {
            Notice::Said(text) => serde_json::from_str(&text).ok(),
            Notice::Missed => None,
        };
        match message {
            Some(message) if message.from == own => {}
            Some(Message { account, event, .. }) if event != Event::Unknown => {
                app.push_from_elsewhere(account, event);
            }
            // Missed, or told by a newer server in words of its own.
            _ => app.push_from_elsewhere(None, Event::Resync),
        }
    }
}

async fn tell(mut pushed: Receiver<Pushed>, store: PostgresStore, from: Blob) {
    let mut gathered = Gathered::default();
    loop {
        if !gathered.add(pushed.recv().await) {
            return;
        }
        if gathered.is_empty() {
            continue;
        }
        let enough = tokio::time::sleep(RELAY_GATHER);
        tokio::pin!(enough);
        loop {
            tokio::select! {
                () = &mut enough => break,
                event = pushed.recv() => if !gathered.add(event) { return },
            }
        }
        if let Err(error) = store.say(&gathered.take(&from)).await {
            tracing::warn!("telling other servers failed, their clients will poll: {error}");
            gathered.everything = true;
        }
    }
}

/// What is to be told, each kind once.
#[derive(Debug, Default)]
struct Gathered {
    events: BTreeMap<(Option<AccountId>, Kind), Event>,
    /// Something was lost on the way here.
    everything: bool,
}

/// Events of one kind replace each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Commit(VaultId),
    Placed(VaultId),
    AccountLog,
    Addresses,
    Layout,
}

impl Gathered {
    /// Takes what the channel gave; false when it has closed.
    fn add(&mut self, pushed: Result<Pushed, RecvError>) -> bool {
        match pushed {
            Ok(Pushed { origin: Origin::Elsewhere, .. }) => {}
            Ok(Pushed { account, event, origin: Origin::Here }) => self.put(account, event),
            Err(RecvError::Lagged(_)) => self.everything = true,
            Err(RecvError::Closed) => return false,
        }
        true
    }

    fn put(&mut self, account: Option<AccountId>, event: Event) {
        let kind = match event {
            Event::Commit { vault, .. } => Kind::Commit(vault),
            Event::Placed { vault } => Kind::Placed(vault),
            Event::AccountLog { .. } => Kind::AccountLog,
            Event::Addresses => Kind::Addresses,
            Event::Layout { .. } => Kind::Layout,
            Event::Hello { .. } | Event::Resync | Event::Unknown => {
                self.everything = true;
                return;
            }
        };
        if self.events.len() >= RELAY_EVENTS_MAX {
            self.everything = true;
            return;
        }
        let slot = self.events.entry((account, kind)).or_insert(event);
        if number(&event) > number(slot) {
            *slot = event;
        }
    }

    fn is_empty(&self) -> bool {
        self.events.is_empty() && !self.everything
    }

    /// The messages, leaving nothing behind.
    fn take(&mut self, from: &Blob) -> Vec<String> {
        let Self { mut events, everything } = std::mem::take(self);
        let text = |account, event| {
            let message = Message { from: from.clone(), account, event };
            serde_json::to_string(&message).expect("a message always serialises")
        };
        if everything {
            events.clear();
        }
        let all = everything.then(|| text(None, Event::Resync));
        all.into_iter().chain(events.into_iter().map(|((account, _), event)| text(account, event))).collect()
    }
}

/// What rises with each event of a kind.
const fn number(event: &Event) -> u64 {
    match event {
        Event::Commit { vault_seq, .. } => *vault_seq,
        Event::AccountLog { seq } => *seq,
        Event::Layout { epoch } => *epoch,
        Event::Placed { .. } | Event::Addresses | Event::Hello { .. } | Event::Resync | Event::Unknown => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here(account: u8, event: Event) -> Result<Pushed, RecvError> {
        let account = Some(AccountId::from_bytes([account; 16]));
        Ok(Pushed { account, event, origin: Origin::Here })
    }

    fn commit(vault: u8, vault_seq: u64) -> Event {
        Event::Commit { vault: VaultId::from_bytes([vault; 16]), vault_seq }
    }

    fn told(gathered: &mut Gathered) -> Vec<Event> {
        let texts = gathered.take(&Blob(vec![1]));
        let read = |text: &String| serde_json::from_str::<Message>(text).expect("a message").event;
        texts.iter().map(read).collect()
    }

    #[test]
    fn each_kind_is_told_once_with_its_newest_number() {
        let mut gathered = Gathered::default();
        for vault_seq in [4, 6, 5] {
            assert!(gathered.add(here(1, commit(1, vault_seq))));
        }
        assert!(gathered.add(here(1, commit(2, 1))));
        assert!(gathered.add(here(2, Event::AccountLog { seq: 3 })));
        let expected = [commit(1, 6), commit(2, 1), Event::AccountLog { seq: 3 }];
        assert_eq!(told(&mut gathered), expected);
        assert!(gathered.is_empty());
    }

    #[test]
    fn what_another_server_told_is_not_told_again() {
        let mut gathered = Gathered::default();
        let event = Pushed { account: None, event: Event::Layout { epoch: 1 }, origin: Origin::Elsewhere };
        assert!(gathered.add(Ok(event)) && gathered.is_empty());
    }

    #[test]
    fn a_loss_on_the_way_sends_everybody_polling() {
        let mut gathered = Gathered::default();
        assert!(gathered.add(here(1, commit(1, 1))));
        assert!(gathered.add(Err(RecvError::Lagged(3))));
        assert_eq!(told(&mut gathered), [Event::Resync]);
        assert!(!gathered.add(Err(RecvError::Closed)));
    }
}
