//! Revocations between the wish and the log.

use super::*;
use freehold_model::AccountId;
use freehold_trust::account_log::{
    Action, BoxRef, Genesis, LogStatement, RevokeDevice, Rotate, SecondKey, Standing, UnlockPath,
};
use freehold_trust::{DeviceCert, DeviceName, KdfParams, Signed, SignedDeviceCert, XWingPublic};

const ACCOUNT: AccountId = AccountId::from_bytes([3; 16]);

fn key(n: u8) -> SignKey {
    SignKey::from_seed(&[n; 32])
}

fn id(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn path(n: u8) -> UnlockPath {
    UnlockPath { xwing_pk: XWingPublic::from_bytes(&[n; 1_216]), sign_pk: key(n).public() }
}

fn cert(n: u8) -> SignedDeviceCert {
    let cert = DeviceCert {
        account: ACCOUNT,
        device: id(n),
        sign_pk: key(n).public(),
        tls_pk: key(n | 0x40).public(),
        xwing_pk: XWingPublic::from_bytes(&[n; 1_216]),
        created: 1,
        name: DeviceName::new("a device").expect("a name"),
    };
    Signed::sign(cert, &key(n))
}

/// The log of an account with the devices 1 and 2.
fn log() -> Vec<LogEntry> {
    let genesis =
        Genesis { password: path(60), recovery: path(70), device: cert(1), kdf: KdfParams::DEFAULT };
    let statement = LogStatement::genesis(ACCOUNT, 1, id(1), Box::new(genesis));
    let first = LogEntry::sign_genesis(statement, &key(1), &key(60), &key(70));
    let state = AccountState::replay(std::slice::from_ref(&first)).expect("a genesis");
    let add = state.next_statement(id(2), 2, Action::AddDevice(Box::new(cert(2))));
    vec![first, LogEntry::sign_twice(add, &key(2), SecondKey::Password, &key(60))]
}

fn account() -> AccountState {
    AccountState::replay(&log()).expect("both signatures")
}

fn intent(secret: u8) -> RevokeIntent {
    let revoke = RevokeDevice::new(ACCOUNT, id(2), id(1), 3, Vec::new()).expect("no cuts");
    RevokeIntent::sign(revoke, &key(1), SecondKey::Recovery, &key(secret))
}

#[test]
fn a_wanted_revocation_is_obeyed_and_the_log_stays_as_it_is() {
    let state = account();
    let views = views(state.clone(), &[intent(70)], 1);
    assert_eq!(*views.log, state);
    let standing = |state: &AccountState| state.standing(&id(2), freehold_model::VaultId::default(), 0);
    assert_eq!(standing(&views.log), Standing::Live);
    assert_eq!(standing(&views.obeyed), Standing::Revoked { cut_seq: 0 });
    assert!(views.obeyed.rotation_due(), "nothing is committed before the rotation");
    assert_eq!(views.obeyed.pin(), state.pin());
}

#[test]
fn a_revocation_is_kept_until_the_log_has_it_and_lost_when_its_secret_was_replaced() {
    let mut state = account();
    let (good, bad) = (intent(70), intent(71));
    assert_eq!(sort_intents(&state, &[good.clone(), bad.clone()]), (vec![good.clone()], vec![bad]));
    let entered = state.next_statement(id(1), 4, Action::RevokeDevice(Box::new(good.clone())));
    state.append(&LogEntry::sign(entered, &key(1))).expect("both signatures");
    assert_eq!(sort_intents(&state, &[good]), (vec![], vec![]));
}

/// Row 29 of the attack list: a rotation that is withheld stops commits, it does not make them readable.
#[test]
fn nothing_is_committed_while_a_rotation_is_due_or_its_keys_are_not_here() {
    let mut state = account();
    let may = |state: &AccountState, intents: &[RevokeIntent], generation, device| {
        views(state.clone(), intents, generation).may_commit(&id(device))
    };
    assert!(may(&state, &[], 1, 1) && may(&state, &[], 1, 2));
    assert!(!may(&state, &[intent(70)], 1, 1), "a revocation that is only obeyed");
    let revoke = state.next_statement(id(1), 3, Action::RevokeDevice(Box::new(intent(70))));
    state.append(&LogEntry::sign(revoke, &key(1))).expect("both signatures");
    assert!(!may(&state, &[], 1, 1) && !may(&state, &[], 1, 2), "neither who stays nor who was removed");
    let paths = state.live_paths().into_keys();
    let boxes = paths.map(|path| BoxRef { path, hash: [4; 32] }).collect();
    let rotate = Rotate::new(2, boxes).expect("a box for each path");
    let rotate = state.next_statement(id(1), 4, Action::Rotate(rotate));
    state.append(&LogEntry::sign(rotate, &key(1))).expect("a rotation");
    assert!(!may(&state, &[], 1, 1), "the log was learnt without its keys");
    assert!(may(&state, &[], 2, 1));
}

#[test]
fn entries_of_another_device_go_behind_those_they_were_asked_for() {
    let known: Vec<LogEntry> = log();
    let more = &known[1..];
    assert_eq!(joined(known[..1].to_vec(), 1, more), Some(known.clone()));
    assert_eq!(joined(known.clone(), 1, more), None, "the server was faster");
    assert_eq!(joined(known.clone(), 1, &[]), None);
}
