//! Registration, login, devices, sessions, the account log.

use crate::change::Change;
use crate::client::{Answer, Device, Server, User};
use freehold_api::{
    AccountBoxes, AccountLog, AppendEntries, AppendedEntries, Blob, ErrorCode, LoginFinish, PushOutcome,
    RegisterStart, Registration, Scope, ServerInfo, Session, UnlockBoxEntry, UnlockPath, VaultList, path,
};
use freehold_trust::account_log::{AccountState, Action, LogEntry, SecondKey};

#[tokio::test]
async fn the_first_account_is_free_and_the_next_needs_an_invite() {
    let server = Server::start().await;
    let info: ServerInfo = server.get(path::SERVER, "").await.json();
    assert_eq!(info.registration, Registration::Open);
    assert_eq!(info.sign_pk.as_slice(), server.app.keys().public().as_bytes());
    User::register(&server, 1).await;
    let info: ServerInfo = server.get(path::SERVER, "").await.json();
    assert_eq!(info.registration, Registration::Invite);
    for invite in [None, Some("guessed".to_owned())] {
        let start = RegisterStart { user: "eve".to_owned(), request: Blob(vec![1; 32]), invite };
        let refused = server.post(path::REGISTER_START, "", &start).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, ErrorCode::RegistrationClosed));
    }
    User::register(&server, 2).await;
}

#[tokio::test]
async fn a_registration_can_be_repeated_for_a_while_and_not_taken_over() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let again: Session = server.post(path::REGISTER_FINISH, "", &user.finish).await.json();
    assert_ne!(again.token, user.token);
    server.app.clock().advance(601);
    let late = server.post(path::REGISTER_FINISH, "", &user.finish).await;
    assert_eq!(late.code(), ErrorCode::UserTaken);
}

#[tokio::test]
async fn a_registration_without_a_box_for_each_secret_is_refused() {
    let server = Server::start().await;
    let mut user = User::prepare(&server, 1, None).await;
    user.finish.boxes.retain(|entry| entry.path != UnlockPath::Recovery);
    let refused = server.post(path::REGISTER_FINISH, "", &user.finish).await;
    assert_eq!(refused.code(), ErrorCode::BoxesInvalid);
}

#[tokio::test]
async fn a_password_opens_log_boxes_and_vault_keys_and_nothing_else() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let session = server.login(&user.name, "password1").await.expect("the right password");
    assert_eq!((session.scope, session.device_id, session.account_id), (Scope::Account, None, user.account));
    let log: AccountLog = server.get(path::ACCOUNT_LOG, &session.token).await.json();
    assert_eq!(log.entries, [Blob(user.genesis.to_bytes())]);
    let boxes: AccountBoxes = server.get(path::ACCOUNT_BOXES, &session.token).await.json();
    assert_eq!(boxes.boxes.len(), 3);
    let vaults: VaultList = server.get(path::VAULTS, &session.token).await.json();
    assert_eq!(vaults.vaults.len(), 1);
    for path in [path::LAYOUT.to_owned(), path::state(&user.vault), path::commits(&user.vault)] {
        let refused = server.get(&path, &session.token).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, ErrorCode::Forbidden));
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_name_fail_alike() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    // OPAQUE fails at the client already; a client that goes on anyway is refused.
    assert_eq!(server.login(&user.name, "wrong").await, Err(None));
    assert_eq!(server.login("nobody", "wrong").await, Err(None));
    for name in [user.name.as_str(), "nobody"] {
        let ke1 =
            freehold_trust::opaque::Login::start(b"guess", &mut crate::client::Random).expect("a message").1;
        let start = freehold_api::LoginStart { user: name.to_owned(), ke1: Blob(ke1) };
        let started: freehold_api::LoginStarted = server.post(path::LOGIN_START, "", &start).await.json();
        assert_eq!(started.ke2.as_slice().len(), 320);
        let finish = LoginFinish { login_id: started.login_id, ke3: Blob(vec![0; 64]) };
        let refused = server.post(path::LOGIN_FINISH, "", &finish).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (401, ErrorCode::BadCredentials));
        let spent = server.post(path::LOGIN_FINISH, "", &finish).await;
        assert_eq!(spent.code(), ErrorCode::LoginExpired);
    }
}

#[tokio::test]
async fn guessing_is_slowed_and_right_passwords_are_not() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let guess = async |name: &str| -> Answer {
        let ke1 =
            freehold_trust::opaque::Login::start(b"guess", &mut crate::client::Random).expect("a message").1;
        let start = freehold_api::LoginStart { user: name.to_owned(), ke1: Blob(ke1) };
        server.post(path::LOGIN_START, "", &start).await
    };
    for _ in 0..10 {
        assert_eq!(guess(&user.name).await.status.as_u16(), 200);
    }
    let slowed = guess(&user.name).await;
    assert_eq!((slowed.status.as_u16(), slowed.code()), (429, ErrorCode::RateLimited));
    assert_eq!(slowed.headers["retry-after"], "6");
    assert_eq!(guess("another").await.status.as_u16(), 200);
    server.app.clock().advance(6);
    for _ in 0..3 {
        server.login(&user.name, "password1").await.expect("a right password gives its attempt back");
    }
}

#[tokio::test]
async fn a_second_device_joins_by_password_and_proves_itself() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let second = Device::new(50);
    let session = server.login(&user.name, "password1").await.expect("the right password");
    let appended = add_device(&server, &user, &session.token, &second).await;
    assert_eq!(appended.json::<AppendedEntries>().seq, 1);
    let session: Session = server.device_session(&second).await.json();
    assert_eq!((session.scope, session.device_id), (Scope::Device, Some(second.id)));
    let vaults: VaultList = server.get(path::VAULTS, &session.token).await.json();
    assert_eq!(vaults.vaults[0].vault_id(), user.vault);
    assert_eq!(vaults.vaults[0].keys.boxes.len(), 1);
}

#[tokio::test]
async fn an_entry_is_appended_once_and_only_at_the_head() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let second = Device::new(50);
    for _ in 0..2 {
        let appended = add_device(&server, &user, &user.token, &second).await;
        assert_eq!(appended.json::<AppendedEntries>().seq, 1);
    }
    let raced = add_device(&server, &user, &user.token, &Device::new(51)).await;
    assert_eq!((raced.status.as_u16(), raced.code()), (409, ErrorCode::LogConflict));
}

#[tokio::test]
async fn a_box_for_a_stranger_is_refused() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let mut message = add_device_message(&user, &Device::new(50));
    message.boxes[0].path_id = Blob(vec![77; 16]);
    let refused = server.post(path::ACCOUNT_LOG, &user.token, &message).await;
    assert_eq!(refused.code(), ErrorCode::BoxesInvalid);
}

#[tokio::test]
async fn a_revoked_device_is_out_at_once() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let second = Device::new(50);
    add_device(&server, &user, &user.token, &second).await;
    let session: Session = server.device_session(&second).await.json();
    let change = Change::of(&server, &user).await;
    let joined = change.state.pin().head;
    let change = change.revoke(&user.device, &second, SecondKey::Password, &user.password_key);
    let appended = change.rotate(&user.device).send(&server, &user.token).await;
    assert_eq!(appended.json::<AppendedEntries>().seq, 3);
    assert_eq!(server.get(path::VAULTS, &session.token).await.code(), ErrorCode::Unauthenticated);
    assert_eq!(server.device_session(&second).await.code(), ErrorCode::DeviceRevoked);
    // What it signs from now on is beyond its revocation, whoever brings it.
    let late = User { device: second, token: user.token.clone(), ..User::afresh(&user) };
    let commit = late.commit_citing(joined, b"late", &[]);
    let results = user.push(&server, &[commit]).await.results;
    assert_eq!(results, [PushOutcome::Refused { code: ErrorCode::BeyondRevocation, head: None }]);
}

#[tokio::test]
async fn a_proof_counts_once_in_time_and_for_its_device() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let impostor = Device { id: user.device.id, ..Device::new(60) };
    assert_eq!(server.device_session(&impostor).await.code(), ErrorCode::BadProof);
    assert_eq!(server.device_session(&Device::new(61)).await.code(), ErrorCode::BadProof);
    assert_eq!(server.device_session(&user.device).await.status.as_u16(), 200);
}

#[tokio::test]
async fn sessions_expire_and_end() {
    let server = Server::start().await;
    let user = User::register(&server, 1).await;
    let session: Session = server.device_session(&user.device).await.json();
    let ended = server.http.post(server.url(path::LOGOUT)).bearer_auth(&session.token);
    assert_eq!(Answer::of(ended).await.status.as_u16(), 204);
    assert_eq!(server.get(path::VAULTS, &session.token).await.code(), ErrorCode::Unauthenticated);
    assert_eq!(server.get(path::VAULTS, &user.token).await.status.as_u16(), 200);
    server.app.clock().advance(24 * 3_600);
    let expired = server.get(path::VAULTS, &user.token).await;
    assert_eq!((expired.status.as_u16(), expired.code()), (401, ErrorCode::SessionExpired));
}

async fn add_device(server: &Server, user: &User, token: &str, device: &Device) -> Answer {
    server.post(path::ACCOUNT_LOG, token, &add_device_message(user, device)).await
}

/// The device signs its own arrival, the password stands behind it.
fn add_device_message(user: &User, device: &Device) -> AppendEntries {
    let state = AccountState::replay(std::slice::from_ref(&user.genesis)).expect("a sound genesis");
    let cert = Box::new(device.cert(user.account));
    let statement = state.next_statement(device.id, 2, Action::AddDevice(cert));
    let entry = LogEntry::sign_twice(statement, &device.sign, SecondKey::Password, &user.password_key);
    let sealed = UnlockBoxEntry {
        path: UnlockPath::Device,
        path_id: Blob::from(device.id.to_bytes()),
        generation: 1,
        sealed: Blob(vec![9; 1200]),
    };
    AppendEntries { entries: vec![Blob(entry.to_bytes())], boxes: vec![sealed], ..AppendEntries::default() }
}
