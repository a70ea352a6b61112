//! Revocation, rotation, new passwords, recovery: the main road of each, and what is refused.

use crate::change::{Change, key, new_login, new_secret, recovery_proof, root_box};
use crate::client::{Device, Server, User, unlock_path};
use freehold_api::{
    AccountBoxes, AppendedEntries, Blob, ErrorCode, PasswordStart, RecoveryChallengeRequest, Scope, Session,
    UnlockPath, VaultList, path,
};
use freehold_trust::account_log::{Action, LogEntry, NameDevice, PathId, SecondKey};
use freehold_trust::{DeviceName, SignKey};

const SECOND: SecondKey = SecondKey::Password;

/// A user with a second device.
async fn two_devices(server: &Server) -> (User, Device) {
    let (user, second) = (User::register(server, 1).await, Device::new(50));
    let change = Change::of(server, &user).await.add(&second, &second, SECOND, &user.password_key);
    let change = change.with_box(&PathId::Device(second.id));
    assert_eq!(change.send(server, &user.token).await.json::<AppendedEntries>().seq, 1);
    (user, second)
}

fn recovery_id(user: &User) -> [u8; 16] {
    unlock_path(201, &user.recovery_key).recovery_id().id()
}

#[tokio::test]
async fn a_revocation_comes_with_its_rotation_and_all_its_boxes() {
    let server = Server::start().await;
    let (user, second) = two_devices(&server).await;
    let revoke =
        async || Change::of(&server, &user).await.revoke(&user.device, &second, SECOND, &user.password_key);
    let alone = revoke().await.send(&server, &user.token).await;
    assert_eq!((alone.status.as_u16(), alone.code()), (422, ErrorCode::LogInvalid), "never without one");
    let change = revoke().await.rotate(&user.device);
    for _ in 0..2 {
        let appended: AppendedEntries = change.send(&server, &user.token).await.json();
        assert_eq!(appended.seq, 3, "a repeat is answered as before");
    }
    let boxes: AccountBoxes = server.get(path::ACCOUNT_BOXES, &user.token).await.json();
    let of_second = boxes.boxes.iter().any(|entry| entry.path_id.as_slice() == second.id.as_bytes());
    assert!(!of_second, "the boxes of a revoked device go");
    assert_eq!(boxes.boxes.iter().filter(|entry| entry.generation == 2).count(), 3);
    assert_eq!(boxes.account_keys.len(), 1);
    let vaults: VaultList = server.get(path::VAULTS, &user.token).await.json();
    assert_eq!(vaults.vaults[0].keys.boxes.len(), 3);
}

#[tokio::test]
async fn a_change_without_the_right_second_signature_is_refused() {
    let server = Server::start().await;
    let (user, second) = two_devices(&server).await;
    let (by, wrong) = (&user.device, new_secret(99));
    let fresh = async || Change::of(&server, &user).await;
    let entry = LogEntry::sign(
        fresh().await.state.next_statement(
            by.id,
            2,
            Action::AddDevice(Box::new(Device::new(51).cert(user.account))),
        ),
        &by.sign,
    );
    let refused = [
        fresh().await.revoke(by, &second, SECOND, &wrong).rotate(by),
        fresh().await.revoke(by, &second, SecondKey::Recovery, &user.password_key).rotate(by),
        fresh().await.set_recovery(by, 90, SECOND, &wrong).rotate(by),
        fresh().await.raw(&entry).with_box(&PathId::Device(Device::new(51).id)),
    ];
    for change in refused {
        assert_eq!(change.send(&server, &user.token).await.code(), ErrorCode::LogInvalid);
    }
    let mut password = fresh().await.set_password(by, 91, SECOND, &wrong).rotate(by);
    password.message.login = Some(new_login(&server, &user.token, &user.name, "stolen").await);
    assert_eq!(password.send(&server, &user.token).await.code(), ErrorCode::LogInvalid);
    assert!(server.login(&user.name, "password1").await.is_ok(), "the password is as it was");
}

#[tokio::test]
async fn a_device_alone_replaces_no_box_that_is_there() {
    let server = Server::start().await;
    let (user, _) = two_devices(&server).await;
    let before: AccountBoxes = server.get(path::ACCOUNT_BOXES, &user.token).await.json();
    let rename = async || {
        let name = DeviceName::new("renamed").expect("a name");
        let action = Action::NameDevice(NameDevice { device: user.device.id, name });
        Change::of(&server, &user).await.sign(&user.device, action)
    };
    let mut boxed = rename().await;
    boxed.message.boxes = vec![root_box(&boxed.state.password().password_id(), 1)];
    let mut rooted = rename().await;
    rooted.message.account_keys = vec![key(3, 1, 2)];
    let mut vaulted = rename().await;
    vaulted.message.vault_keys = vec![user.finish.vault.clone()];
    let mut named = rename().await;
    named.message.user_box = Some(Blob(vec![0; 206]));
    for change in [boxed, rooted, vaulted, named] {
        assert_eq!(change.send(&server, &user.token).await.code(), ErrorCode::BoxesInvalid);
    }
    let mut spare = Change::of(&server, &user).await.rotate(&user.device);
    spare.message.vault_keys[0].boxes.push(key(1, 1, 1));
    let mut old_root = Change::of(&server, &user).await.rotate(&user.device);
    old_root.message.account_keys.push(key(3, 0, 1));
    let mut forgotten = Change::of(&server, &user).await.rotate(&user.device);
    forgotten.message.vault_keys.clear();
    let mut other = Change::of(&server, &user).await.rotate(&user.device);
    other.message.boxes[0].sealed = Blob(vec![0; 1200]);
    for change in [spare, old_root, forgotten, other] {
        assert_eq!(change.send(&server, &user.token).await.code(), ErrorCode::BoxesInvalid);
    }
    assert_eq!(server.get(path::ACCOUNT_BOXES, &user.token).await.json::<AccountBoxes>(), before);
    assert_eq!(rename().await.send(&server, &user.token).await.json::<AppendedEntries>().seq, 2);
}

#[tokio::test]
async fn a_new_device_brings_its_own_box_and_no_other() {
    let server = Server::start().await;
    let (user, _) = two_devices(&server).await;
    let third = Device::new(51);
    let add = async || Change::of(&server, &user).await.add(&third, &third, SECOND, &user.password_key);
    let none = add().await;
    let change = add().await;
    let password = change.state.password().password_id();
    let two = change.with_box(&PathId::Device(third.id)).with_box(&password);
    let others = add().await.with_box(&password);
    for change in [none, two, others] {
        assert_eq!(change.send(&server, &user.token).await.code(), ErrorCode::BoxesInvalid);
    }
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_and_its_sessions() {
    let server = Server::start().await;
    let (user, _) = two_devices(&server).await;
    let old = server.login(&user.name, "password1").await.expect("the password");
    let by = &user.device;
    let mut change =
        Change::of(&server, &user).await.set_password(by, 90, SECOND, &user.password_key).rotate(by);
    change.message.login = Some(new_login(&server, &user.token, &user.name, "another").await);
    change.send(&server, &user.token).await.json::<AppendedEntries>();
    assert_eq!(server.login(&user.name, "password1").await, Err(None));
    assert_eq!(server.get(path::ACCOUNT_LOG, &old.token).await.code(), ErrorCode::Unauthenticated);
    let new = server.login(&user.name, "another").await.expect("the new password");
    assert_eq!(new.account_id, user.account);
    let boxes: AccountBoxes = server.get(path::ACCOUNT_BOXES, &new.token).await.json();
    let passwords = boxes.boxes.iter().filter(|entry| entry.path == UnlockPath::Password);
    assert_eq!(passwords.map(|entry| entry.generation).collect::<Vec<_>>(), [2], "the old one's boxes go");
    let again = Change::of(&server, &user).await.set_password(by, 92, SECOND, &user.password_key).rotate(by);
    assert_eq!(
        again.send(&server, &user.token).await.code(),
        ErrorCode::LogInvalid,
        "the old key signs no more"
    );
}

#[tokio::test]
async fn a_login_record_and_its_entry_come_together_or_not_at_all() {
    let server = Server::start().await;
    let (user, _) = two_devices(&server).await;
    let by = &user.device;
    let alone = Change::of(&server, &user).await.set_password(by, 90, SECOND, &user.password_key).rotate(by);
    assert_eq!(alone.send(&server, &user.token).await.code(), ErrorCode::LogInvalid);
    let login = new_login(&server, &user.token, &user.name, "another").await;
    let mut record_only = Change::of(&server, &user).await.rotate(by);
    record_only.message.login = Some(login.clone());
    assert_eq!(record_only.send(&server, &user.token).await.code(), ErrorCode::LogInvalid);
    let mut bad =
        Change::of(&server, &user).await.set_password(by, 90, SECOND, &user.password_key).rotate(by);
    bad.message.login = Some(freehold_api::NewLogin { upload: Blob(vec![1; 10]), ..login.clone() });
    assert_eq!(bad.send(&server, &user.token).await.code(), ErrorCode::BadRequest);
    let other = User::register(&server, 2).await;
    bad.message.login = Some(freehold_api::NewLogin { user: other.name.clone(), ..login });
    assert_eq!(bad.send(&server, &user.token).await.code(), ErrorCode::BadUser);
    let start = PasswordStart { user: other.name.clone(), request: Blob(vec![1; 32]) };
    assert_eq!(server.post(path::PASSWORD_START, &user.token, &start).await.code(), ErrorCode::BadUser);
    assert_eq!(server.post(path::PASSWORD_START, "", &start).await.code(), ErrorCode::Unauthenticated);
    assert!(server.login(&user.name, "password1").await.is_ok());
    assert!(server.login(&other.name, "password2").await.is_ok());
}

#[tokio::test]
async fn password_guesses_through_a_session_are_slowed_like_logins() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let request = freehold_trust::opaque::Registration::start(b"guess", &mut crate::client::Random);
    let start = PasswordStart { user: user.name.clone(), request: Blob(request.expect("fit").1) };
    for _ in 0..10 {
        assert_eq!(server.post(path::PASSWORD_START, &user.token, &start).await.status.as_u16(), 200);
    }
    assert_eq!(server.post(path::PASSWORD_START, &user.token, &start).await.code(), ErrorCode::RateLimited);
}

/// Row 65 of the attack list: words are good once.
#[tokio::test]
async fn the_words_alone_bring_the_account_back_and_are_spent() {
    let server = Server::start().await;
    let (user, _) = two_devices(&server).await;
    let proof = recovery_proof(&server, recovery_id(&user), &user.recovery_key).await;
    let session: Session = server.post(path::RECOVERY_SESSION, "", &proof).await.json();
    assert_eq!((session.scope, session.account_id), (Scope::Account, user.account));
    let boxes: AccountBoxes = server.get(path::ACCOUNT_BOXES, &session.token).await.json();
    assert_eq!(boxes.user_box, Some(Blob(vec![1; 206])));
    let vaults: VaultList = server.get(path::VAULTS, &session.token).await.json();
    assert_eq!(vaults.vaults.len(), 1);

    let (third, which, words) = (Device::new(60), SecondKey::Recovery, &user.recovery_key);
    let change = Change::read(&server, &user, &session.token).await.add(&third, &third, which, words);
    let change = change.set_password(&third, 90, which, words).set_recovery(&third, 91, which, words);
    let mut change = change.rotate(&third);
    change.message.login = Some(new_login(&server, &session.token, &user.name, "fresh start").await);
    assert_eq!(change.send(&server, &session.token).await.json::<AppendedEntries>().seq, 5);
    assert_eq!(server.device_session(&third).await.status.as_u16(), 200);
    assert!(server.login(&user.name, "fresh start").await.is_ok());
    assert_eq!(server.login(&user.name, "password1").await, Err(None));

    let spent = recovery_proof(&server, recovery_id(&user), &user.recovery_key).await;
    let spent = server.post(path::RECOVERY_SESSION, "", &spent).await;
    assert_eq!((spent.status.as_u16(), spent.code()), (401, ErrorCode::BadRecovery));
    let new = unlock_path(91, &new_secret(91)).recovery_id().id();
    let proof = recovery_proof(&server, new, &new_secret(91)).await;
    assert_eq!(server.post(path::RECOVERY_SESSION, "", &proof).await.status.as_u16(), 200);
    let boxes: AccountBoxes = server.get(path::ACCOUNT_BOXES, &user.token).await.json();
    assert_eq!(boxes.user_box, Some(Blob(vec![91; 206])));
}

#[tokio::test]
async fn unknown_words_and_wrong_proofs_get_one_answer() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let other = User::register(&server, 2).await;
    let id = recovery_id(&user);
    let answers = [
        recovery_proof(&server, [9; 16], &user.recovery_key).await,
        recovery_proof(&server, id, &other.recovery_key).await,
        recovery_proof(&server, id, &user.password_key).await,
    ];
    for proof in &answers {
        let refused = server.post(path::RECOVERY_SESSION, "", proof).await;
        let problem = refused.problem();
        assert_eq!(
            (problem.status, problem.code.as_str(), problem.detail.as_str()),
            (401, "bad_recovery", "")
        );
    }
    let mut cut = recovery_proof(&server, id, &user.recovery_key).await;
    cut.signature = Blob(vec![1; 63]);
    assert_eq!(server.post(path::RECOVERY_SESSION, "", &cut).await.code(), ErrorCode::BadRecovery);
}

#[tokio::test]
async fn a_recovery_proof_counts_once_in_time_and_for_its_path() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let other = User::register(&server, 2).await;
    let id = recovery_id(&user);
    let proof = recovery_proof(&server, id, &user.recovery_key).await;
    assert_eq!(server.post(path::RECOVERY_SESSION, "", &proof).await.status.as_u16(), 200);
    assert_eq!(
        server.post(path::RECOVERY_SESSION, "", &proof).await.code(),
        ErrorCode::LoginExpired,
        "replayed"
    );
    let mut moved = recovery_proof(&server, id, &user.recovery_key).await;
    moved.path_id = Blob::from(recovery_id(&other));
    assert_eq!(server.post(path::RECOVERY_SESSION, "", &moved).await.code(), ErrorCode::LoginExpired);
    let late = recovery_proof(&server, id, &user.recovery_key).await;
    server.app.clock().advance(61);
    assert_eq!(server.post(path::RECOVERY_SESSION, "", &late).await.code(), ErrorCode::LoginExpired);
}

/// Row 65 of the attack list.
#[tokio::test]
async fn guessing_words_is_slowed_whatever_is_guessed() {
    let server = Server::start().await;
    for n in 0..10 {
        let proof = recovery_proof(&server, [n; 16], &SignKey::from_seed(&[n; 32])).await;
        assert_eq!(server.post(path::RECOVERY_SESSION, "", &proof).await.code(), ErrorCode::BadRecovery);
    }
    let request = RecoveryChallengeRequest { path_id: Blob(vec![200; 16]) };
    let slowed = server.post(path::RECOVERY_CHALLENGE, "", &request).await;
    assert_eq!((slowed.status.as_u16(), slowed.code()), (429, ErrorCode::RateLimited));
}

#[tokio::test]
async fn a_recovery_key_another_account_has_is_not_taken() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let other = User::register(&server, 2).await;
    // Only its holder can sign for it; a holder of both accounts still may not share one.
    let action = Action::SetRecovery(Box::new(unlock_path(201, &user.recovery_key)));
    let change = Change::of(&server, &other).await;
    let statement = change.state.next_statement(other.device.id, 2, action);
    let entry = LogEntry::sign_installing(
        statement,
        &other.device.sign,
        SECOND,
        &other.password_key,
        &user.recovery_key,
    );
    let mut change = change.raw(&entry).rotate(&other.device);
    change.message.user_box = Some(Blob(vec![2; 206]));
    assert_eq!(change.send(&server, &other.token).await.code(), ErrorCode::LogInvalid);
    let proof = recovery_proof(&server, recovery_id(&user), &user.recovery_key).await;
    let session: Session = server.post(path::RECOVERY_SESSION, "", &proof).await.json();
    assert_eq!(session.account_id, user.account);
}
