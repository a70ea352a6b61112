//! What a device does about a revocation it sees, whoever made it.

use super::*;
use crate::account::{Choice, NewAccount, new_account};
use freehold_crypto::{AccountKeyring, DeviceSecret, UnlockKeys};
use freehold_model::{AccountId, DeviceId};
use freehold_trust::account_log::{Action, LogEntry, RevokeDevice, SecondKey};
use freehold_trust::{DeviceCert, DeviceName, KdfParams, SignKey, Signed, XWingPublic};

const ACCOUNT: AccountId = AccountId::from_bytes([3; 16]);
const PHONE: DeviceId = DeviceId::from_bytes([7; 16]);

/// An account with a laptop, whose keys these are, and a phone.
struct Rig {
    ground: Ground,
    laptop: (DeviceId, SignKey),
    words: UnlockKeys,
}

impl Rig {
    fn new() -> Self {
        let secret = DeviceSecret::generate(&mut OsEntropy);
        let choice = Choice {
            account: ACCOUNT,
            user: "eva",
            export_key: &[9; 64],
            kdf: KdfParams::FLOOR,
            device_name: DeviceName::new("laptop").expect("a name"),
            now_s: 1,
        };
        let NewAccount { mut state, root, vault, recovery, device, .. } =
            new_account(choice, &secret, &mut OsEntropy).expect("a new account");
        let words = UnlockKeys::from_recovery(&recovery);
        let phone = SignKey::from_seed(&[7; 32]);
        let pair = DeviceSecret::from_bytes([7; 32]).xwing_pair();
        let cert = DeviceCert {
            account: ACCOUNT,
            device: PHONE,
            sign_pk: phone.public(),
            tls_pk: SignKey::from_seed(&[8; 32]).public(),
            xwing_pk: XWingPublic::from_bytes(pair.public().as_bytes()),
            created: 1,
            name: DeviceName::new("phone").expect("a name"),
        };
        let add = Action::AddDevice(Box::new(Signed::sign(cert, &phone)));
        let add = state.next_statement(PHONE, 2, add);
        state
            .append(&LogEntry::sign_twice(add, &phone, SecondKey::Recovery, words.sign_key()))
            .expect("added");
        let roots = AccountKeyring::unfold(ACCOUNT, root, []).expect("the first root");
        let ground = Ground { state, roots, vaults: vec![vault] };
        Self { ground, laptop: (device, secret.sign_key()), words }
    }

    fn intent(&self) -> RevokeIntent {
        let revoke = RevokeDevice::new(ACCOUNT, PHONE, self.laptop.0, 3, Vec::new()).expect("no cuts");
        RevokeIntent::sign(revoke, &self.laptop.1, SecondKey::Recovery, self.words.sign_key())
    }

    fn shutting_out(&self, intents: &[RevokeIntent]) -> Option<Made> {
        let change = Change::new(self.ground.state.clone(), self.laptop.0, &self.laptop.1, 4);
        shutting_out(&self.ground, change, intents).expect("a sound change")
    }
}

fn kinds(made: &Made) -> Vec<&'static str> {
    let kind = |entry: &LogEntry| match entry.statement().action {
        Action::RevokeDevice(_) => "revoke",
        Action::Rotate(_) => "rotate",
        _ => "other",
    };
    made.entries.iter().map(kind).collect()
}

#[test]
fn what_is_wanted_is_entered_with_its_rotation() {
    let rig = Rig::new();
    let made = rig.shutting_out(&[rig.intent()]).expect("something to do");
    assert_eq!(kinds(&made), ["revoke", "rotate"]);
    assert!(made.state.live_device(&PHONE).is_none() && !made.state.rotation_due());
    assert_eq!((made.message.vault_keys.len(), made.message.account_keys.len()), (1, 1));
}

#[test]
fn a_revocation_whose_rotation_is_withheld_is_followed_by_ours() {
    let mut rig = Rig::new();
    let state = &mut rig.ground.state;
    let revoke = RevokeDevice::new(ACCOUNT, PHONE, rig.laptop.0, 3, Vec::new()).expect("no cuts");
    let intent = RevokeIntent::sign(revoke, &rig.laptop.1, SecondKey::Recovery, rig.words.sign_key());
    let entered = state.next_statement(rig.laptop.0, 3, Action::RevokeDevice(Box::new(intent.clone())));
    state.append(&LogEntry::sign(entered, &rig.laptop.1)).expect("both signatures");
    assert!(state.rotation_due());
    let made = rig.shutting_out(&[]).expect("a rotation is due");
    assert_eq!(kinds(&made), ["rotate"]);
    let repeated = rig.shutting_out(&[intent]).expect("a rotation is due");
    assert_eq!(kinds(&repeated), ["rotate"], "what the log has is not entered twice");
}

#[test]
fn where_nothing_is_due_nothing_is_done() {
    let rig = Rig::new();
    assert!(rig.shutting_out(&[]).is_none());
    let stranger = SignKey::from_seed(&[99; 32]);
    let revoke = RevokeDevice::new(ACCOUNT, PHONE, rig.laptop.0, 3, Vec::new()).expect("no cuts");
    let forged = RevokeIntent::sign(revoke, &rig.laptop.1, SecondKey::Recovery, &stranger);
    assert!(rig.shutting_out(&[forged]).is_none());
}
