//! A revocation counts with both of its signatures, in the log and before it.

use super::*;

fn signed(by: u8, which: SecondKey, secret: u8) -> RevokeIntent {
    RevokeIntent::sign(revoke(by, 2, 5), &device_key(by), which, &path_key(secret))
}

fn two_devices() -> Log {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    log
}

#[test]
fn a_revocation_without_the_right_second_signature_is_refused_everywhere() {
    let log = two_devices();
    let wrong = [
        signed(1, SecondKey::Password, 0x61),
        signed(1, SecondKey::Password, 0x70),
        signed(1, SecondKey::Recovery, 0x60),
        RevokeIntent::sign(revoke(1, 2, 5), &device_key(2), SecondKey::Password, &path_key(0x60)),
    ];
    for intent in wrong {
        let refused = Err(LogError::BadSignature { seq: 2 });
        assert_eq!(log.state().check_intent(&intent), refused);
        assert_eq!(log.state().obey(&intent), refused);
        let entry = LogEntry::sign(log.next(1, Action::RevokeDevice(Box::new(intent))), &device_key(1));
        assert_eq!(log.refused(&entry), LogError::BadSignature { seq: 2 });
    }
}

#[test]
fn the_signatures_of_an_entry_are_none_of_a_revocation() {
    let log = two_devices();
    let revoke = revoke(1, 2, 5);
    let mut bytes =
        RevokeIntent::sign(revoke, &device_key(1), SecondKey::Password, &path_key(0x60)).to_bytes();
    let body = bytes.len() - 128;
    let foreign = path_key(0x60).sign(crate::sign::Label::AccountLogSecond, &bytes[..body]);
    bytes[body + 64..].copy_from_slice(foreign.as_bytes());
    let forged = RevokeIntent::from_bytes(&bytes).expect("canonical");
    assert_eq!(log.state().check_intent(&forged), Err(LogError::BadSignature { seq: 2 }));
}

#[test]
fn any_live_device_enters_what_another_wanted_at_whatever_head_there_is() {
    let mut log = two_devices();
    log.add(3, SecondKey::Password);
    let intent = signed(1, SecondKey::Recovery, 0x70);
    log.add(4, SecondKey::Recovery);
    log.push(3, Action::RevokeDevice(Box::new(intent)));
    let state = log.state();
    assert_eq!(state.devices()[&device(2)].revoked.as_ref().map(|end| end.by), Some(device(1)));
}

#[test]
fn a_revocation_in_the_name_of_a_revoked_or_foreign_device_is_dead() {
    let mut log = two_devices();
    log.add(3, SecondKey::Password);
    log.revoke(1, 3, 1, SecondKey::Password);
    for by in [3, 9] {
        let intent = signed(by, SecondKey::Password, 0x60);
        assert_eq!(log.state().check_intent(&intent), Err(LogError::SignerNotLive { seq: 4 }));
    }
    let foreign = RevokeDevice::new(AccountId::from_bytes([0xcc; 16]), device(2), device(1), 0, vec![]);
    let foreign = foreign.expect("canonical");
    let foreign = RevokeIntent::sign(foreign, &device_key(1), SecondKey::Password, &path_key(0x60));
    assert_eq!(log.state().check_intent(&foreign), Err(LogError::WrongAccount { seq: 4 }));
}

#[test]
fn an_obeyed_revocation_cuts_before_the_log_knows_it_and_leaves_the_head() {
    let log = two_devices();
    let (before, mut state) = (log.state(), log.state());
    let joined = before.pin().head;
    state.obey(&signed(1, SecondKey::Password, 0x60)).expect("both signatures");
    assert_eq!(state.pin(), before.pin());
    assert!(state.rotation_due() && state.live_device(&device(2)).is_none());
    assert_eq!(state.judge(&commit(2, 5, joined)), Ok(Verdict::Accept));
    assert_eq!(state.judge(&commit(2, 6, joined)), Ok(Verdict::Quarantine));
    let again = state.obey(&signed(1, SecondKey::Password, 0x60));
    assert_eq!(again, Err(LogError::DeviceNotLive { seq: 2 }), "shown twice, it does nothing");
}

#[test]
fn every_flipped_bit_of_a_revocation_is_refused() {
    let state = two_devices().state();
    let bytes = signed(1, SecondKey::Password, 0x60).to_bytes();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let accepted =
            RevokeIntent::from_bytes(&flipped).is_ok_and(|intent| state.check_intent(&intent).is_ok());
        assert!(!accepted, "bit {bit}");
    }
}
