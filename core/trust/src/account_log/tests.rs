//! The rules of the account log, each broken once.

use super::*;
use crate::commit::{Commit, CommitPlace};
use crate::device_cert::{DeviceCert, DeviceName, SignedDeviceCert, XWingPublic};
use crate::kdf_params::KdfParams;
use crate::sign::{PublicKey, SignKey};
use crate::statement::Signed;
use freehold_model::codec::DecodeError;
use freehold_model::{AccountId, CommitHash, DeviceId, LogHash, VaultId};

mod installing;
mod revoking;

const ACCOUNT: AccountId = AccountId::from_bytes([0xaa; 16]);
const VAULT: VaultId = VaultId::from_bytes([0xbb; 16]);

#[test]
fn a_life_of_an_account_replays() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    log.revoke(1, 2, 5, SecondKey::Recovery);
    assert!(log.state().rotation_due());
    let rotate = log.full_rotation(2);
    log.push(1, rotate);
    log.install(1, Action::SetRecovery(Box::new(path(0x71))), SecondKey::Password);
    log.install(1, Action::SetKdf(set_kdf(0x61)), SecondKey::Password);
    let rotate = log.full_rotation(3);
    log.push(1, rotate);
    let state = log.state();
    assert_eq!((state.generation(), state.rotation_due(), state.head_seq()), (3, false, 6));
    assert_eq!((state.recovery(), state.password()), (&path(0x71), &path(0x61)));
    assert!(state.live_device(&device(1)).is_some() && state.live_device(&device(2)).is_none());
    assert_eq!(state.live_paths().len(), 3);
}

#[test]
fn a_new_device_may_sign_its_own_entry_when_a_secret_stands_behind_it() {
    let mut log = Log::new();
    log.push_twice(2, add(2), SecondKey::Password);
    assert!(log.state().live_device(&device(2)).is_some());
    log.push_twice(3, add(3), SecondKey::Recovery);
    assert!(log.state().live_device(&device(3)).is_some());
}

#[test]
fn entries_that_need_a_secret_are_refused_without_it() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    let actions = [add(3), Action::SetRecovery(Box::new(path(0x71))), Action::SetKdf(set_kdf(0x61))];
    for action in actions {
        let entry = LogEntry::sign(log.next(1, action), &device_key(1));
        assert_eq!(log.refused(&entry), LogError::SecondMissing { seq: 2 });
    }
}

#[test]
fn a_secret_that_was_replaced_signs_nothing_more() {
    let mut log = Log::new();
    let old = path_key(0x60);
    log.install(1, Action::SetKdf(set_kdf(0x61)), SecondKey::Recovery);
    let stale = LogEntry::sign_twice(log.next(1, add(2)), &device_key(1), SecondKey::Password, &old);
    assert_eq!(log.refused(&stale), LogError::BadSignature { seq: 2 });
    let wrong_kind =
        LogEntry::sign_twice(log.next(1, add(2)), &device_key(1), SecondKey::Password, &path_key(0x70));
    assert_eq!(log.refused(&wrong_kind), LogError::BadSignature { seq: 2 });
}

#[test]
fn a_rotation_and_a_genesis_take_no_second_signature() {
    let log = Log::new();
    let rotate = log.full_rotation(2);
    let entry =
        LogEntry::sign_twice(log.next(1, rotate), &device_key(1), SecondKey::Password, &path_key(0x60));
    assert_eq!(log.refused(&entry), LogError::SecondUnexpected { seq: 1 });
    let genesis = log.entries[0].statement().clone();
    let entry = LogEntry::sign_twice(genesis, &device_key(1), SecondKey::Password, &path_key(0x60));
    assert_eq!(AccountState::replay(&[entry]), Err(LogError::SecondUnexpected { seq: 0 }));
}

#[test]
fn a_revoked_device_signs_nothing_more() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    log.revoke(1, 2, 5, SecondKey::Password);
    let rotate = LogEntry::sign(log.next(2, log.full_rotation(2)), &device_key(2));
    assert_eq!(log.refused(&rotate), LogError::SignerNotLive { seq: 3 });
    let secret = path_key(0x60);
    let add = LogEntry::sign_twice(log.next(2, add(3)), &device_key(2), SecondKey::Password, &secret);
    assert_eq!(log.refused(&add), LogError::SignerNotLive { seq: 3 });
    let again = LogEntry::sign_twice(log.next(2, self::add(2)), &device_key(2), SecondKey::Password, &secret);
    assert_eq!(log.refused(&again), LogError::DeviceReused { seq: 3 });
}

#[test]
fn a_stranger_and_a_borrowed_name_sign_nothing() {
    let log = Log::new();
    let stranger = LogEntry::sign(log.next(9, log.full_rotation(2)), &device_key(9));
    assert_eq!(log.refused(&stranger), LogError::SignerNotLive { seq: 1 });
    let borrowed = LogEntry::sign(log.next(1, log.full_rotation(2)), &device_key(9));
    assert_eq!(log.refused(&borrowed), LogError::BadSignature { seq: 1 });
}

#[test]
fn ids_and_keys_are_never_used_twice() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    let fresh = cert_fields(3);
    let old = cert_fields(2);
    let reused = [
        (DeviceCert { device: old.device, ..fresh.clone() }, 3),
        (DeviceCert { sign_pk: old.sign_pk, ..fresh.clone() }, 2),
        (DeviceCert { tls_pk: old.tls_pk, ..fresh.clone() }, 3),
        (DeviceCert { xwing_pk: old.xwing_pk, ..fresh }, 3),
    ];
    for (fields, signer) in reused {
        let cert = Signed::sign(fields, &device_key(signer));
        let statement = log.next(1, Action::AddDevice(Box::new(cert)));
        let entry = LogEntry::sign_twice(statement, &device_key(1), SecondKey::Password, &path_key(0x60));
        assert_eq!(log.refused(&entry), LogError::DeviceReused { seq: 2 });
    }
}

#[test]
fn a_certificate_of_another_account_or_key_is_refused() {
    let log = Log::new();
    let other = DeviceCert { account: AccountId::from_bytes([0xcc; 16]), ..cert_fields(2) };
    let cases = [
        (Signed::sign(other, &device_key(2)), LogError::WrongAccount { seq: 1 }),
        (Signed::sign(cert_fields(2), &device_key(3)), LogError::BadSignature { seq: 1 }),
    ];
    for (cert, expected) in cases {
        let statement = log.next(1, Action::AddDevice(Box::new(cert)));
        let entry = LogEntry::sign_twice(statement, &device_key(1), SecondKey::Password, &path_key(0x60));
        assert_eq!(log.refused(&entry), expected);
    }
}

#[test]
fn a_forked_or_rolled_back_log_is_refused() {
    let mut log = Log::new();
    let root = log.entries.clone();
    log.add(2, SecondKey::Password);
    let seen = log.state().pin();
    let mut fork = Log { entries: root.clone() };
    fork.add(3, SecondKey::Password);
    assert_eq!(AccountState::replay_pinned(&fork.entries, &seen), Err(LogError::Forked));
    assert_eq!(AccountState::replay_pinned(&root, &seen), Err(LogError::Forked));
    log.add(4, SecondKey::Password);
    assert!(AccountState::replay_pinned(&log.entries, &seen).is_ok());
    let other_genesis = LogPin { genesis: LogHash::from_bytes([1; 32]), ..seen };
    assert_eq!(AccountState::replay_pinned(&log.entries, &other_genesis), Err(LogError::Forked));
}

#[test]
fn entries_dropped_swapped_or_from_a_fork_do_not_link() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    log.add(3, SecondKey::Password);
    let [a, b, c] = [&log.entries[0], &log.entries[1], &log.entries[2]].map(Clone::clone);
    let dropped = AccountState::replay(&[a.clone(), c.clone()]);
    assert_eq!(dropped, Err(LogError::Unlinked { seq: 2 }));
    let swapped = AccountState::replay(&[a.clone(), c.clone(), b.clone()]);
    assert_eq!(swapped, Err(LogError::Unlinked { seq: 2 }));
    assert_eq!(AccountState::replay(&[b.clone(), c.clone()]), Err(LogError::NoGenesis));
    assert_eq!(AccountState::replay(&[]), Err(LogError::NoGenesis));
    let mut fork = Log { entries: vec![a] };
    fork.add(4, SecondKey::Password);
    let grafted = [fork.entries.clone(), vec![c]].concat();
    assert_eq!(AccountState::replay(&grafted), Err(LogError::Unlinked { seq: 2 }));
    assert_eq!(log.refused(&b), LogError::Unlinked { seq: 1 });
}

#[test]
fn the_loser_of_a_race_is_told_to_fetch_and_changes_nothing() {
    let mut log = Log::new();
    let secret = path_key(0x60);
    let late = LogEntry::sign_twice(log.next(1, add(3)), &device_key(1), SecondKey::Password, &secret);
    log.add(2, SecondKey::Password);
    let mut state = log.state();
    let before = state.clone();
    assert_eq!(state.append_check(&late), Err(LogError::Unlinked { seq: 1 }));
    assert_eq!(state.append(&late), Err(LogError::Unlinked { seq: 1 }));
    assert_eq!(state, before);
}

#[test]
fn an_entry_of_another_account_is_refused() {
    let log = Log::new();
    let mut statement = log.next(1, log.full_rotation(2));
    statement.account = AccountId::from_bytes([0xcc; 16]);
    let entry = LogEntry::sign(statement, &device_key(1));
    assert_eq!(log.refused(&entry), LogError::WrongAccount { seq: 1 });
}

#[test]
fn a_rotation_must_seal_to_exactly_the_live_paths() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    let boxes: Vec<BoxRef> = rotation_boxes(&log.state());
    let stranger = BoxRef { path: PathId::Device(device(9)), hash: [0; 32] };
    let cases = [boxes[1..].to_vec(), vec![], [boxes.clone(), vec![stranger]].concat()];
    for wrong in cases {
        let rotate = Action::Rotate(Rotate::new(2, wrong).expect("canonical"));
        let entry = LogEntry::sign(log.next(1, rotate), &device_key(1));
        assert_eq!(log.refused(&entry), LogError::WrongBoxes { seq: 2 });
    }
    log.revoke(1, 2, 1, SecondKey::Password);
    let with_revoked = Action::Rotate(Rotate::new(2, boxes).expect("canonical"));
    let entry = LogEntry::sign(log.next(1, with_revoked), &device_key(1));
    assert_eq!(log.refused(&entry), LogError::WrongBoxes { seq: 3 });
}

#[test]
fn a_rotation_takes_exactly_the_next_generation() {
    let log = Log::new();
    for generation in [0, 1, 3, u32::MAX] {
        let entry = LogEntry::sign(log.next(1, log.full_rotation(generation)), &device_key(1));
        assert_eq!(log.refused(&entry), LogError::WrongGeneration { seq: 1 });
    }
}

#[test]
fn a_replaced_secret_never_comes_back() {
    let mut log = Log::new();
    log.install(1, Action::SetRecovery(Box::new(path(0x71))), SecondKey::Password);
    log.install(1, Action::SetKdf(set_kdf(0x61)), SecondKey::Password);
    let (signer, password) = (device_key(1), path_key(0x61));
    let reinstalled =
        [(Action::SetRecovery(Box::new(path(0x70))), 0x70), (Action::SetKdf(set_kdf(0x60)), 0x60)];
    for (action, old) in reinstalled {
        let statement = log.next(1, action);
        let entry =
            LogEntry::sign_installing(statement, &signer, SecondKey::Password, &password, &path_key(old));
        assert_eq!(log.refused(&entry), LogError::PathReused { seq: 3 });
    }
}

#[test]
fn a_live_device_renames_another_and_its_certificate_stays() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    let name = |id| {
        let name = DeviceName::new("attic").expect("a name");
        Action::NameDevice(NameDevice { device: device(id), name })
    };
    log.push(1, name(2));
    let state = log.state();
    let renamed = &state.devices()[&device(2)];
    assert_eq!((renamed.name.as_str(), renamed.cert.name.as_str()), ("attic", "laptop"));
    log.revoke(1, 2, 1, SecondKey::Password);
    for id in [2, 9] {
        let entry = LogEntry::sign(log.next(1, name(id)), &device_key(1));
        assert_eq!(log.refused(&entry), LogError::DeviceNotLive { seq: 4 });
    }
    let entry = LogEntry::sign(log.next(2, name(1)), &device_key(2));
    assert_eq!(log.refused(&entry), LogError::SignerNotLive { seq: 4 });
}

#[test]
fn a_rotation_names_the_box_of_each_path() {
    let mut log = Log::new();
    let own = PathId::Device(device(1));
    assert_eq!(log.state().rotation_box(&own), None);
    let rotate = log.full_rotation(2);
    log.push(1, rotate);
    log.add(2, SecondKey::Password);
    assert_eq!(log.state().rotation_box(&own), Some(&[0x0b; 32]));
    assert_eq!(log.state().rotation_box(&PathId::Device(device(2))), None);
}

#[test]
fn a_device_ends_once_and_only_if_it_is_there() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    log.revoke(1, 2, 1, SecondKey::Password);
    for id in [2, 9] {
        let entry = LogEntry::sign(log.next(1, intent(1, id, 1)), &device_key(1));
        assert_eq!(log.refused(&entry), LogError::DeviceNotLive { seq: 3 });
    }
}

#[test]
fn all_devices_may_go_and_the_password_brings_one_back() {
    let mut log = Log::new();
    log.revoke(1, 1, 4, SecondKey::Password);
    assert_eq!(log.state().live_paths().len(), 2);
    log.push_twice(2, add(2), SecondKey::Recovery);
    let rotate = log.full_rotation(2);
    log.push(2, rotate);
    assert_eq!(log.state().generation(), 2);
}

#[test]
fn a_lowered_password_cost_cannot_even_be_read() {
    let log = Log::new();
    let bytes = log.entries[0].to_bytes();
    let cost = freehold_model::codec::to_vec(&KdfParams::DEFAULT);
    let at = bytes.windows(cost.len()).position(|window| window == cost).expect("in genesis");
    for (m_kib, t, p) in
        [(65_535u32, 3u32, 1u32), (65_536, 2, 1), (1_048_577, 3, 1), (65_536, 11, 1), (65_536, 3, 0)]
    {
        let mut lowered = bytes.clone();
        lowered[at..at + 4].copy_from_slice(&m_kib.to_be_bytes());
        lowered[at + 4..at + 8].copy_from_slice(&t.to_be_bytes());
        lowered[at + 8..at + 12].copy_from_slice(&p.to_be_bytes());
        assert_eq!(LogEntry::from_bytes(&lowered), Err(DecodeError::Invalid("kdf parameters")));
        let json = format!("{{\"m_kib\":{m_kib},\"t\":{t},\"p\":{p}}}");
        assert!(serde_json::from_str::<KdfParams>(&json).is_err(), "{json}");
    }
}

#[test]
fn every_flipped_bit_of_a_log_is_refused() {
    let mut log = Log::new();
    log.revoke(1, 1, 4, SecondKey::Password);
    let last = log.entries[1].to_bytes();
    for bit in 0..last.len() * 8 {
        let mut flipped = last.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let accepted = LogEntry::from_bytes(&flipped)
            .is_ok_and(|entry| AccountState::replay(&[log.entries[0].clone(), entry]).is_ok());
        assert!(!accepted, "bit {bit}");
    }
}

#[test]
fn commits_are_judged_by_the_log_their_author_cites() {
    let mut log = Log::new();
    let before = log.state().pin().head;
    log.add(2, SecondKey::Password);
    let joined = log.state().pin().head;
    log.revoke(1, 2, 5, SecondKey::Password);
    let (state, revoked) = (log.state(), log.state().pin().head);
    assert_eq!(state.judge(&commit(1, 9, joined)), Ok(Verdict::Accept));
    assert_eq!(state.judge(&commit(2, 5, joined)), Ok(Verdict::Accept), "up to the cut");
    assert_eq!(state.judge(&commit(2, 6, joined)), Ok(Verdict::Quarantine), "after the cut");
    assert_eq!(state.judge(&commit(2, 1, before)), Err(JudgeError::NotLiveAtHead), "before it joined");
    assert_eq!(state.judge(&commit(2, 1, revoked)), Err(JudgeError::NotLiveAtHead), "knowing its end");
    let unknown = LogHash::from_bytes([1; 32]);
    assert_eq!(state.judge(&commit(1, 1, unknown)), Err(JudgeError::UnknownLogHead));
    assert_eq!(state.judge(&commit(9, 1, joined)), Err(JudgeError::UnknownDevice));
}

/// Row 28 of the attack list: a whole commit by a live device, under a membership that there is not.
#[test]
fn a_commit_under_a_membership_that_there_is_not_is_refused() {
    let log = Log::new();
    let beyond = CommitPlace { member_epoch: 1, ..place(1, 1, log.state().pin().head) };
    let commit = Commit::sign(beyond, vec![], vec![], &device_key(1)).expect("within limits");
    assert_eq!(log.state().judge(&commit), Err(JudgeError::UnknownEpoch));
}

#[test]
fn a_commit_in_another_devices_name_is_refused() {
    let log = Log::new();
    let head = log.state().pin().head;
    let forged = Commit::sign(place(1, 1, head), vec![], vec![], &device_key(9)).expect("within limits");
    assert_eq!(log.state().judge(&forged), Err(JudgeError::BadSignature));
}

#[test]
fn a_life_after_the_cut_counts_for_nothing_and_one_before_it_whole() {
    let mut log = Log::new();
    log.add(2, SecondKey::Password);
    log.revoke(1, 2, 5, SecondKey::Password);
    let state = log.state();
    assert_eq!(state.standing(&device(2), VAULT, 0), Standing::Revoked { cut_seq: u64::MAX });
    assert_eq!(state.standing(&device(2), VAULT, 1), Standing::Revoked { cut_seq: 5 });
    assert_eq!(state.standing(&device(2), VAULT, 2), Standing::Revoked { cut_seq: 0 });
    let other = VaultId::from_bytes([0xbc; 16]);
    assert_eq!(state.standing(&device(2), other, 1), Standing::Revoked { cut_seq: 0 });
    assert_eq!(state.standing(&device(1), VAULT, 1), Standing::Live);
    assert_eq!(state.standing(&device(9), VAULT, 1), Standing::Unknown);
}

#[test]
fn lists_are_canonical_and_bounded() {
    let cut = |incarnation, seq| Cut { vault: VAULT, incarnation, seq };
    let with = |cuts| RevokeDevice::new(ACCOUNT, device(2), device(1), 0, cuts);
    let invalid = Err(DecodeError::Invalid("revocation cuts"));
    assert_eq!(with(vec![cut(1, 1), cut(1, 2)]), invalid);
    assert_eq!(with(vec![cut(1, 0)]), invalid);
    let many = (0..=crate::limits::REVOKE_CUTS_MAX as u32).map(|n| cut(n, 1)).collect();
    assert_eq!(with(many), Err(DecodeError::TooLong));
    let twice = vec![BoxRef { path: PathId::Device(device(1)), hash: [0; 32] }; 2];
    assert_eq!(Rotate::new(2, twice), Err(DecodeError::Invalid("rotation boxes")));
}

/// A log that is valid at every step.
struct Log {
    entries: Vec<LogEntry>,
}

impl Log {
    fn new() -> Self {
        let genesis =
            Genesis { password: path(0x60), recovery: path(0x70), device: cert(1), kdf: KdfParams::DEFAULT };
        let statement = LogStatement::genesis(ACCOUNT, 1_700_000_000, device(1), Box::new(genesis));
        let (password, recovery) = (path_key(0x60), path_key(0x70));
        Self { entries: vec![LogEntry::sign_genesis(statement, &device_key(1), &password, &recovery)] }
    }

    fn state(&self) -> AccountState {
        AccountState::replay(&self.entries).expect("valid at every step")
    }

    fn next(&self, signer: u8, action: Action) -> LogStatement {
        self.state().next_statement(device(signer), 1_700_000_001, action)
    }

    fn refused(&self, entry: &LogEntry) -> LogError {
        self.state().append_check(entry).expect_err("must be refused")
    }

    fn push(&mut self, signer: u8, action: Action) {
        self.entries.push(LogEntry::sign(self.next(signer, action), &device_key(signer)));
        self.state();
    }

    fn push_twice(&mut self, signer: u8, action: Action, which: SecondKey) {
        let (statement, secret) = (self.next(signer, action), self.secret(which));
        self.entries.push(LogEntry::sign_twice(statement, &device_key(signer), which, &secret));
        self.state();
    }

    fn revoke(&mut self, by: u8, id: u8, seq: u64, which: SecondKey) {
        let intent = RevokeIntent::sign(revoke(by, id, seq), &device_key(by), which, &self.secret(which));
        self.push(by, Action::RevokeDevice(Box::new(intent)));
    }

    /// Appends a change of a secret, signed by the new one too.
    fn install(&mut self, signer: u8, action: Action, which: SecondKey) {
        let new = action.installs().next().expect("installs a path").sign_pk;
        let (statement, secret) = (self.next(signer, action), self.secret(which));
        let signer = device_key(signer);
        self.entries.push(LogEntry::sign_installing(statement, &signer, which, &secret, &known_key(new)));
        self.state();
    }

    /// The key of the secret in force.
    fn secret(&self, which: SecondKey) -> SignKey {
        let state = self.state();
        let path = match which {
            SecondKey::Password => state.password(),
            SecondKey::Recovery => state.recovery(),
        };
        known_key(path.sign_pk)
    }

    fn add(&mut self, id: u8, which: SecondKey) {
        self.push_twice(1, add(id), which);
    }

    fn full_rotation(&self, generation: u32) -> Action {
        Action::Rotate(Rotate::new(generation, rotation_boxes(&self.state())).expect("canonical"))
    }
}

fn rotation_boxes(state: &AccountState) -> Vec<BoxRef> {
    state.live_paths().into_keys().map(|path| BoxRef { path, hash: [0x0b; 32] }).collect()
}

fn device(id: u8) -> DeviceId {
    DeviceId::from_bytes([id; 16])
}

fn device_key(id: u8) -> SignKey {
    SignKey::from_seed(&[id; 32])
}

fn path_key(id: u8) -> SignKey {
    SignKey::from_seed(&[id | 0x80; 32])
}

fn known_key(public: PublicKey) -> SignKey {
    let known = [0x60, 0x61, 0x70, 0x71].map(path_key).into_iter().find(|key| key.public() == public);
    known.expect("one of the four secrets")
}

fn path(id: u8) -> UnlockPath {
    UnlockPath { xwing_pk: XWingPublic::from_bytes(&[id; 1_216]), sign_pk: path_key(id).public() }
}

fn set_kdf(id: u8) -> Box<SetKdf> {
    Box::new(SetKdf { kdf: KdfParams::FLOOR, password: path(id) })
}

fn cert_fields(id: u8) -> DeviceCert {
    DeviceCert {
        account: ACCOUNT,
        device: device(id),
        sign_pk: device_key(id).public(),
        tls_pk: SignKey::from_seed(&[id | 0x40; 32]).public(),
        xwing_pk: XWingPublic::from_bytes(&[id; 1_216]),
        created: 1_700_000_000,
        name: DeviceName::new("laptop").expect("a name"),
    }
}

fn cert(id: u8) -> SignedDeviceCert {
    Signed::sign(cert_fields(id), &device_key(id))
}

fn add(id: u8) -> Action {
    Action::AddDevice(Box::new(cert(id)))
}

fn revoke(by: u8, id: u8, seq: u64) -> RevokeDevice {
    let cuts = vec![Cut { vault: VAULT, incarnation: 1, seq }];
    RevokeDevice::new(ACCOUNT, device(id), device(by), 1_700_000_000, cuts).expect("canonical")
}

/// A revocation with the first password's signature.
fn intent(by: u8, id: u8, seq: u64) -> Action {
    let intent =
        RevokeIntent::sign(revoke(by, id, seq), &device_key(by), SecondKey::Password, &path_key(0x60));
    Action::RevokeDevice(Box::new(intent))
}

fn place(id: u8, seq: u64, log_head: LogHash) -> CommitPlace {
    let prev = if seq == 1 { CommitHash::default() } else { CommitHash::from_bytes([5; 32]) };
    CommitPlace {
        vault: VAULT,
        device: device(id),
        incarnation: 1,
        seq,
        prev,
        log_head,
        member_epoch: 0,
        generation: 1,
    }
}

fn commit(id: u8, seq: u64, log_head: LogHash) -> Commit {
    Commit::sign(place(id, seq, log_head), vec![], vec![], &device_key(id)).expect("within limits")
}
