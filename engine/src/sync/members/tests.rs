//! Revocations between the wish and the log.

use super::*;
use freehold_model::AccountId;
use freehold_trust::account_log::{
    Action, Genesis, LogStatement, RevokeDevice, SecondKey, Standing, UnlockPath,
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

/// An account with the devices 1 and 2.
fn account() -> AccountState {
    let genesis =
        Genesis { password: path(60), recovery: path(70), device: cert(1), kdf: KdfParams::DEFAULT };
    let statement = LogStatement::genesis(ACCOUNT, 1, id(1), Box::new(genesis));
    let first = LogEntry::sign_genesis(statement, &key(1), &key(60), &key(70));
    let mut state = AccountState::replay(&[first]).expect("a genesis");
    let add = state.next_statement(id(2), 2, Action::AddDevice(Box::new(cert(2))));
    state.append(&LogEntry::sign_twice(add, &key(2), SecondKey::Password, &key(60))).expect("added");
    state
}

fn intent(secret: u8) -> RevokeIntent {
    let revoke = RevokeDevice::new(ACCOUNT, id(2), id(1), 3, Vec::new()).expect("no cuts");
    RevokeIntent::sign(revoke, &key(1), SecondKey::Recovery, &key(secret))
}

#[test]
fn a_wanted_revocation_is_obeyed_and_the_log_stays_as_it_is() {
    let state = account();
    let views = views(state.clone(), &[intent(70)]);
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
