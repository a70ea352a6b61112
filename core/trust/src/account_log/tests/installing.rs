//! Nobody installs an unlock path they do not hold.
//!
//! The attacker here is the server: it knows every public half and every entry of the true log, has
//! devices and secrets of its own, and may invent a log from the first byte.

use super::*;

const ATTACKER: u8 = 9;
const ATTACKER_PASSWORD: u8 = 0x61;
const ATTACKER_RECOVERY: u8 = 0x71;
const VICTIM_PASSWORD: u8 = 0x60;
const VICTIM_RECOVERY: u8 = 0x70;
const GENESIS_UNPROVEN: Result<AccountState, LogError> = Err(LogError::PathUnproven { seq: 0 });

#[test]
fn a_server_cannot_start_a_log_with_a_password_path_it_does_not_hold() {
    let recovery = path_key(ATTACKER_RECOVERY);
    let invented = || genesis(ATTACKER, VICTIM_PASSWORD, ATTACKER_RECOVERY);
    for stand_in in [path_key(ATTACKER_PASSWORD), path_key(ATTACKER_RECOVERY), device_key(ATTACKER)] {
        let forged = LogEntry::sign_genesis(invented(), &device_key(ATTACKER), &stand_in, &recovery);
        assert_eq!(replay_read(&forged.to_bytes()), GENESIS_UNPROVEN);
    }
    let unsigned = LogEntry::sign(invented(), &device_key(ATTACKER));
    assert_eq!(AccountState::replay(&[unsigned]), GENESIS_UNPROVEN);
}

#[test]
fn a_server_cannot_start_a_log_with_a_recovery_path_it_does_not_hold() {
    let statement = genesis(ATTACKER, ATTACKER_PASSWORD, VICTIM_RECOVERY);
    let held = path_key(ATTACKER_PASSWORD);
    let forged = LogEntry::sign_genesis(statement, &device_key(ATTACKER), &held, &held);
    assert_eq!(replay_read(&forged.to_bytes()), GENESIS_UNPROVEN);
}

#[test]
fn a_server_cannot_change_its_own_log_over_to_a_path_it_does_not_hold() {
    let log = attackers_log();
    let held = path_key(ATTACKER_PASSWORD);
    let installs =
        [Action::SetKdf(set_kdf(VICTIM_PASSWORD)), Action::SetRecovery(Box::new(path(VICTIM_RECOVERY)))];
    for action in installs {
        let statement = log.next(ATTACKER, action);
        let signer = device_key(ATTACKER);
        let forged = LogEntry::sign_installing(statement.clone(), &signer, SecondKey::Password, &held, &held);
        assert_eq!(log.refused(&read(&forged.to_bytes())), LogError::PathUnproven { seq: 1 });
        let unsigned = LogEntry::sign_twice(statement, &signer, SecondKey::Password, &held);
        assert_eq!(log.refused(&unsigned), LogError::PathUnproven { seq: 1 });
    }
}

#[test]
fn path_signatures_copied_from_the_true_log_prove_nothing_in_a_forged_one() {
    let signed = tail(&Log::new().entries[0], 2);
    let statement = genesis(ATTACKER, VICTIM_PASSWORD, VICTIM_RECOVERY);
    let forged = LogEntry::sign(statement, &device_key(ATTACKER)).to_bytes();
    assert_eq!(replay_read(&[forged, signed].concat()), GENESIS_UNPROVEN);

    let first = genesis(1, ATTACKER_PASSWORD, VICTIM_RECOVERY);
    let (password, recovery) = (path_key(ATTACKER_PASSWORD), path_key(VICTIM_RECOVERY));
    let mut victim =
        Log { entries: vec![LogEntry::sign_genesis(first, &device_key(1), &password, &recovery)] };
    victim.install(1, Action::SetKdf(set_kdf(VICTIM_PASSWORD)), SecondKey::Recovery);
    let signed = tail(&victim.entries[1], 1);
    let log = attackers_log();
    let statement = log.next(ATTACKER, Action::SetKdf(set_kdf(VICTIM_PASSWORD)));
    let held = path_key(ATTACKER_PASSWORD);
    let forged = LogEntry::sign_twice(statement, &device_key(ATTACKER), SecondKey::Password, &held);
    let forged = read(&[forged.to_bytes(), signed].concat());
    assert_eq!(log.refused(&forged), LogError::PathUnproven { seq: 1 });
}

#[test]
fn a_true_genesis_resigned_after_any_change_of_its_fields_is_refused() {
    let log = Log::new();
    let (statement, signed) = (log.entries[0].statement(), tail(&log.entries[0], 2));
    let Action::Genesis(body) = &statement.action else { panic!("starts with a genesis") };
    let cheaper = Genesis { kdf: KdfParams::FLOOR, ..body.as_ref().clone() };
    let swapped =
        Genesis { password: body.recovery.clone(), recovery: body.password.clone(), ..body.as_ref().clone() };
    let other_xwing =
        UnlockPath { xwing_pk: XWingPublic::from_bytes(&[0x55; 1_216]), ..body.password.clone() };
    let other_xwing = Genesis { password: other_xwing, ..body.as_ref().clone() };
    let later = LogStatement { time: statement.time + 1, ..statement.clone() };
    let with = |genesis| LogStatement { action: Action::Genesis(Box::new(genesis)), ..statement.clone() };
    for changed in [with(cheaper), with(swapped), with(other_xwing), later] {
        let resigned = LogEntry::sign(changed, &device_key(1)).to_bytes();
        assert_eq!(replay_read(&[resigned, signed.clone()].concat()), GENESIS_UNPROVEN);
    }
    let unchanged = LogEntry::sign(statement.clone(), &device_key(1)).to_bytes();
    assert!(replay_read(&[unchanged, signed].concat()).is_ok());
}

#[test]
fn path_signatures_count_in_the_order_of_the_paths_only() {
    let statement = genesis(1, VICTIM_PASSWORD, VICTIM_RECOVERY);
    let (password, recovery) = (path_key(VICTIM_PASSWORD), path_key(VICTIM_RECOVERY));
    let swapped = LogEntry::sign_genesis(statement, &device_key(1), &recovery, &password);
    assert_eq!(replay_read(&swapped.to_bytes()), GENESIS_UNPROVEN);
}

#[test]
fn the_second_signature_is_no_path_signature() {
    let log = Log::new();
    let password = path_key(VICTIM_PASSWORD);
    let statement = log.next(1, Action::SetKdf(set_kdf(VICTIM_PASSWORD)));
    let entry = LogEntry::sign_twice(statement, &device_key(1), SecondKey::Password, &password).to_bytes();
    let second = entry[entry.len() - 64..].to_vec();
    let forged = read(&[entry, second].concat());
    assert_eq!(log.refused(&forged), LogError::PathUnproven { seq: 1 });
}

#[test]
fn the_new_path_alone_replaces_no_secret() {
    let log = Log::new();
    let new = path_key(ATTACKER_PASSWORD);
    let statement = log.next(1, Action::SetKdf(set_kdf(ATTACKER_PASSWORD)));
    let entry = LogEntry::sign_installing(statement, &device_key(1), SecondKey::Password, &new, &new);
    assert_eq!(log.refused(&entry), LogError::BadSignature { seq: 1 });
}

#[test]
fn the_action_says_how_many_path_signatures_follow() {
    let log = Log::new();
    let whole = log.entries[0].to_bytes();
    for missing in [1, 2] {
        let cut = LogEntry::from_bytes(&whole[..whole.len() - 64 * missing]);
        assert_eq!(cut, Err(DecodeError::Truncated));
    }
    assert_eq!(LogEntry::from_bytes(&[&whole[..], &[0; 64]].concat()), Err(DecodeError::Trailing));
    let rotate = log.next(1, log.full_rotation(2));
    let secret = path_key(VICTIM_PASSWORD);
    let extra = LogEntry::sign_genesis(rotate, &device_key(1), &secret, &secret);
    assert_eq!(log.refused(&extra), LogError::PathUnproven { seq: 1 });
    assert_eq!(LogEntry::from_bytes(&extra.to_bytes()), Err(DecodeError::Trailing));
}

#[test]
fn every_flipped_byte_of_an_installing_entry_and_every_bit_of_its_signatures_is_refused() {
    let mut log = Log::new();
    log.install(1, Action::SetKdf(set_kdf(ATTACKER_PASSWORD)), SecondKey::Password);
    log.install(1, Action::SetRecovery(Box::new(path(ATTACKER_RECOVERY))), SecondKey::Recovery);
    for (at, entry) in log.entries.iter().enumerate() {
        let bytes = entry.to_bytes();
        let signatures = (bytes.len() - 3 * 64) * 8..bytes.len() * 8;
        for bit in (0..bytes.len()).map(|byte| byte * 8 + byte % 8).chain(signatures) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let accepted = LogEntry::from_bytes(&flipped)
                .is_ok_and(|entry| AccountState::replay(&[&log.entries[..at], &[entry]].concat()).is_ok());
            assert!(!accepted, "entry {at}, bit {bit}");
        }
    }
}

fn genesis(signer: u8, password: u8, recovery: u8) -> LogStatement {
    let body = Genesis {
        password: path(password),
        recovery: path(recovery),
        device: cert(signer),
        kdf: KdfParams::DEFAULT,
    };
    LogStatement::genesis(ACCOUNT, 1_700_000_000, device(signer), Box::new(body))
}

/// A valid log of the victim's account id in which everything is the attacker's.
fn attackers_log() -> Log {
    let statement = genesis(ATTACKER, ATTACKER_PASSWORD, ATTACKER_RECOVERY);
    let (password, recovery) = (path_key(ATTACKER_PASSWORD), path_key(ATTACKER_RECOVERY));
    let entry = LogEntry::sign_genesis(statement, &device_key(ATTACKER), &password, &recovery);
    let log = Log { entries: vec![entry] };
    assert_eq!(log.state().account(), ACCOUNT);
    log
}

/// The path signatures of an entry, as bytes.
fn tail(entry: &LogEntry, paths: usize) -> Vec<u8> {
    let bytes = entry.to_bytes();
    bytes[bytes.len() - 64 * paths..].to_vec()
}

fn read(bytes: &[u8]) -> LogEntry {
    LogEntry::from_bytes(bytes).expect("a canonical entry")
}

fn replay_read(bytes: &[u8]) -> Result<AccountState, LogError> {
    AccountState::replay(&[read(bytes)])
}
