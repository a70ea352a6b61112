//! Several servers over one PostgreSQL database, behind whatever hands out requests to them.

use crate::client::{Server, User};
use crate::running::{Running, command, refusal, run, start_command};
use crate::socket::{connect, next};
use freehold_api::bulk::CommitPage;
use freehold_api::{ErrorCode, Event, Session, path};
use freehold_model::codec;
use freehold_server::db::{MetaStore, PostgresStore, PostgresUrl};
use freehold_server::{App, Clock, ServerKeys};
use freehold_tests::Postgres;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use tempfile::TempDir;

/// One PostgreSQL for all tests of this program.
static CLUSTER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start().expect("PostgreSQL starts"));

/// Two servers with one database and copies of one key file.
struct Pair {
    url: String,
    homes: [TempDir; 2],
    programs: [Running; 2],
    store: Arc<dyn MetaStore>,
}

impl Pair {
    async fn start() -> Self {
        let url = CLUSTER.database().expect("a database");
        let homes = [(); 2].map(|()| tempfile::tempdir().expect("a temporary directory"));
        let first = serve(homes[0].path(), &url);
        copy_keys(homes[0].path(), homes[1].path());
        let second = serve(homes[1].path(), &url);
        let parsed = PostgresUrl::parse(&url).expect("a sound URL");
        let store: Arc<dyn MetaStore> =
            Arc::new(PostgresStore::open(&parsed, 1).await.expect("the same database"));
        Self { url, homes, programs: [first, second], store }
    }

    /// What a client sees of one of the two.
    fn server(&self, which: usize) -> Server {
        let keys = ServerKeys::load(&self.homes[which].path().join("server")).expect("a key file");
        let (store, keys) = (Arc::clone(&self.store), keys.expect("keys"));
        let app = Arc::new(App::new(Arc::clone(&store), keys, Clock::System));
        let (address, http) = (self.programs[which].address(), reqwest::Client::new());
        Server { app, store, file: None, address, http, _dir: None }
    }
}

fn serve(home: &Path, url: &str) -> Running {
    start_command(command(home).args(["--listen", "127.0.0.1:0", "--database", url]))
}

fn copy_keys(from: &Path, to: &Path) {
    std::fs::create_dir(to.join("server")).expect("a directory");
    std::fs::copy(from.join("server/server.keys"), to.join("server/server.keys")).expect("a copy");
}

#[tokio::test]
async fn what_is_pushed_at_one_server_is_heard_at_the_other() {
    let pair = Pair::start().await;
    let (first, second) = (pair.server(0), pair.server(1));
    let user = User::register(&first, 1).await;
    let mut socket = connect(&second, &user.token).await.expect("a connection");
    assert!(matches!(next(&mut socket).await, Some(Event::Hello { .. })));
    user.push(&first, &[user.commit(b"a", &[])]).await;
    assert_eq!(next(&mut socket).await, Some(Event::Commit { vault: user.vault, vault_seq: 1 }));
    first.join_node(7).await;
    assert_eq!(next(&mut socket).await, Some(Event::Layout { epoch: 1 }));
}

#[tokio::test]
async fn clients_are_told_to_poll_when_a_server_could_not_listen() {
    let pair = Pair::start().await;
    let (first, second) = (pair.server(0), pair.server(1));
    let user = User::register(&first, 1).await;
    let mut socket = connect(&second, &user.token).await.expect("a connection");
    assert!(matches!(next(&mut socket).await, Some(Event::Hello { .. })));
    let name = pair.url.strip_prefix("postgres:///").and_then(|rest| rest.split('?').next()).expect("a name");
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    CLUSTER.psql("postgres", &cut).expect("cut");
    assert_eq!(next(&mut socket).await, Some(Event::Resync));
    user.push(&first, &[user.commit(b"a", &[])]).await;
    assert_eq!(next(&mut socket).await, Some(Event::Commit { vault: user.vault, vault_seq: 1 }));
}

#[tokio::test]
async fn a_login_begun_at_one_server_ends_at_the_other_and_counts_once() {
    let pair = Pair::start().await;
    let (first, second) = (pair.server(0), pair.server(1));
    let user = User::register(&first, 1).await;
    let finish = first.start_login(&user.name, "password1").await.expect("the right password");
    let session: Session = second.post(path::LOGIN_FINISH, "", &finish).await.json();
    assert_eq!(first.get(path::ACCOUNT_LOG, &session.token).await.status.as_u16(), 200);
    let again = first.post(path::LOGIN_FINISH, "", &finish).await;
    assert_eq!(again.code(), ErrorCode::LoginExpired);
    // The wrong password fails with the same answer wherever it ends.
    let unknown = first.start_login(&user.name, "password1").await.expect("the right password");
    let guess = freehold_api::LoginFinish { ke3: freehold_api::Blob(vec![0; 64]), ..unknown };
    let refused = second.post(path::LOGIN_FINISH, "", &guess).await;
    assert_eq!(refused.code(), ErrorCode::BadCredentials);
}

#[tokio::test]
async fn a_device_challenged_at_one_server_proves_itself_at_the_other_once() {
    let pair = Pair::start().await;
    let (first, second) = (pair.server(0), pair.server(1));
    let user = User::register(&first, 1).await;
    let proof = first.prove(&user.device).await;
    let session: Session = second.post(path::DEVICE_SESSION, "", &proof).await.json();
    assert_eq!(first.get(path::VAULTS, &session.token).await.status.as_u16(), 200);
    let again = first.post(path::DEVICE_SESSION, "", &proof).await;
    assert_eq!(again.code(), ErrorCode::LoginExpired);
}

#[tokio::test]
async fn a_session_ended_at_one_server_is_over_at_the_other_at_once() {
    let pair = Pair::start().await;
    let (first, second) = (pair.server(0), pair.server(1));
    let user = User::register(&first, 1).await;
    assert_eq!(second.get(path::VAULTS, &user.token).await.status.as_u16(), 200);
    let ended = first.http.post(first.url(path::LOGOUT)).bearer_auth(&user.token).send().await;
    assert_eq!(ended.expect("an answer").status().as_u16(), 204);
    assert_eq!(second.get(path::VAULTS, &user.token).await.code(), ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_killed_server_leaves_the_other_working_and_nothing_acknowledged_is_lost() {
    let pair = Pair::start().await;
    let (first, second) = (pair.server(0), pair.server(1));
    let mut user = User::register(&first, 1).await;
    let commit = user.commit(b"a", &[]);
    user.push(&first, std::slice::from_ref(&commit)).await;
    user.advance(&commit);
    let Pair { programs: [killed, _running], homes: _homes, .. } = pair;
    killed.kill();
    user.push(&second, &[user.commit(b"b", &[])]).await;
    let page = second.get(&path::commits(&user.vault), &user.token).await;
    let page: CommitPage = codec::from_slice(&page.body).expect("a page");
    assert!(page.items.iter().map(|item| item.vault_seq).eq(1..=2));
    assert_eq!(page.items[0].commit, commit.commit);
}

#[tokio::test]
async fn a_server_with_other_keys_is_refused() {
    let pair = Pair::start().await;
    let stranger = tempfile::tempdir().expect("a temporary directory");
    let args = ["--listen", "127.0.0.1:0", "--database", &pair.url];
    let line = refusal(&run(stranger.path(), &args));
    let keys = stranger.path().join("server/server.keys");
    assert!(line.contains("copy its server.keys there") && !keys.exists(), "{line}");
    ServerKeys::load_or_create(&stranger.path().join("server")).expect("keys of its own");
    let before = std::fs::read(&keys).expect("the file");
    let line = refusal(&run(stranger.path(), &args));
    assert!(line.contains("copy its server.keys there"), "{line}");
    assert_eq!(std::fs::read(&keys).expect("the file"), before);
}

#[test]
fn a_password_comes_from_a_file_and_stays_secret() {
    CLUSTER.psql("postgres", "CREATE ROLE ada LOGIN PASSWORD 's3cret'").expect("a role");
    CLUSTER.psql("postgres", "CREATE DATABASE adas OWNER ada").expect("a database");
    let home = tempfile::tempdir().expect("a temporary directory");
    let (bare, file) = (CLUSTER.url("ada", "adas"), home.path().join("url"));
    let serve = |command: &mut std::process::Command| {
        let (status, log) = start_command(command.args(["--listen", "127.0.0.1:0"])).terminate();
        assert!(status.success() && !log.contains("s3cret"), "{log}");
    };
    std::fs::write(&file, format!("{bare}&password=s3cret\n")).expect("a file");
    serve(command(home.path()).arg("--database-file").arg(&file));
    let token = command(home.path()).args(["admin", "invite", "--database-file"]).arg(&file).output();
    assert!(token.expect("it runs").stdout.starts_with(b"fhi_"));
    let passwords = home.path().join("pgpass");
    std::fs::write(&passwords, "*:*:*:ada:s3cret\n").expect("a file");
    std::fs::set_permissions(&passwords, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("a mode");
    serve(command(home.path()).args(["--database", &bare]).env("PGPASSFILE", &passwords));
    std::fs::write(&file, format!("{bare}&password=wr0ng\n")).expect("a file");
    let refused = command(home.path()).arg("--database-file").arg(&file).output().expect("it runs");
    let line = refusal(&refused);
    assert!(line.contains("password authentication failed") && !line.contains("wr0ng"), "{line}");
}
