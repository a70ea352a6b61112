//! The program as an operator meets it: one ready line, one line when it cannot start, a clean end.

#[path = "../http/client.rs"]
#[expect(dead_code, reason = "the client does more than these tests ask of it")]
mod client;
mod instances;
mod running;
#[path = "../http/socket.rs"]
mod socket;

use crate::running::{command, home, refusal, run, start};
use std::net::TcpListener;

#[tokio::test]
async fn it_serves_hands_out_tokens_and_stops_cleanly() {
    let home = home();
    let server = start(home.path());
    let live = reqwest::get(format!("{}/livez", server.url)).await.expect("an answer");
    assert_eq!(live.status().as_u16(), 200);
    for (task, prefix) in [("join-token", "fhj_"), ("invite", "fhi_")] {
        let output = run(home.path(), &["admin", task]);
        let token = String::from_utf8(output.stdout).expect("text");
        assert!(
            output.status.success() && token.starts_with(prefix) && token.lines().count() == 1,
            "{token}"
        );
    }
    let (status, log) = server.terminate();
    assert!(status.success(), "{status}: {log}");
    let again = start(home.path());
    assert!(again.terminate().0.success());
}

#[test]
fn a_token_of_the_command_admits_a_node_of_the_running_server() {
    let home = home();
    let server = start(home.path());
    let token = String::from_utf8(run(home.path(), &["admin", "join-token"]).stdout).expect("text");
    let message = freehold_api::NodeJoin {
        token: token.trim_end().to_owned(),
        sign_pk: freehold_api::Blob::from([1; 32]),
        tls_pk: freehold_api::Blob::from([2; 32]),
        addresses: vec!["127.0.0.1:1".to_owned()],
        zone: 0,
        capacity_bytes: 1,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let status = runtime.block_on(async {
        let url = format!("{}{}", server.url, freehold_api::path::NODE_JOIN);
        let answer = reqwest::Client::new().post(url).json(&message).send().await.expect("an answer");
        answer.status().as_u16()
    });
    assert_eq!(status, 200);
    let (_, log) = server.terminate();
    assert!(!log.contains(token.trim_end()), "no token in the log");
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let home = home();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let line = refusal(&run(home.path(), &["--listen", &address]));
    assert!(line.contains("cannot listen on") && line.contains(&address), "{line}");
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let home = home();
    let _server = start(home.path());
    let line = refusal(&run(home.path(), &["--listen", "127.0.0.1:0"]));
    assert!(line.contains("another freehold-server is running"), "{line}");
}

#[test]
fn what_cannot_be_used_is_one_clear_line() {
    let home = home();
    let file = home.path().join("a-file");
    std::fs::write(&file, "").expect("a file");
    let file = file.display().to_string();
    let cases: [(&[&str], &str); 9] = [
        (&["--listen", "0.0.0.0:8440"], "only on a loopback address"),
        (&["--database", "mysql://db/freehold"], "a database is sqlite:PATH or postgres://"),
        (
            &["--database", "postgres://ada:s3cret@db/freehold"],
            "refusing a database password in the arguments",
        ),
        (
            &["--database", "postgres://ada@127.0.0.1:1/freehold"],
            "postgres://127.0.0.1:1/freehold: the database cannot be reached",
        ),
        (&["--database-file", "/nowhere/url"], "cannot read the database URL"),
        (&["--database-file", "/nowhere/url", "--database", "sqlite:x"], "named twice"),
        (&["--data-dir", &file], "cannot use the data directory"),
        (&["--config", "/nowhere/server.toml"], "cannot read the settings"),
        (&["--database", "sqlite:/nowhere/server.db", "--listen", "127.0.0.1:0"], "cannot open the database"),
    ];
    for (args, expected) in cases {
        let line = refusal(&run(home.path(), args));
        assert!(line.contains(expected) && !line.contains("s3cret"), "{args:?}: {line}");
    }
}

#[test]
fn a_damaged_key_file_is_refused_and_kept() {
    let home = home();
    let dir = home.path().join("server");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("server.keys"), "not keys").expect("a file");
    let line = refusal(&run(home.path(), &["--listen", "127.0.0.1:0"]));
    assert!(line.contains("damaged"), "{line}");
    assert_eq!(std::fs::read(dir.join("server.keys")).expect("the file"), b"not keys");
}

#[test]
fn a_database_without_its_key_file_is_refused_and_no_other_is_made() {
    let home = home();
    assert!(start(home.path()).terminate().0.success());
    let keys = home.path().join("server/server.keys");
    std::fs::remove_file(&keys).expect("the file");
    let line = refusal(&run(home.path(), &["--listen", "127.0.0.1:0"]));
    assert!(line.contains("whose keys are not in") && !keys.exists(), "{line}");
}

#[test]
fn flags_win_over_environment_and_file() {
    let home = home();
    let dir = home.path().join("server");
    std::fs::create_dir(&dir).expect("a directory");
    std::fs::write(dir.join("server.toml"), "listen = \"0.0.0.0:1\"\n").expect("a file");
    let refused = refusal(&run(home.path(), &[]));
    assert!(refused.contains("0.0.0.0:1"), "{refused}");
    let refused = command(home.path()).env("FREEHOLD_SERVER_LISTEN", "0.0.0.0:2").output();
    assert!(refusal(&refused.expect("it runs")).contains("0.0.0.0:2"));
    let refused = command(home.path())
        .env("FREEHOLD_SERVER_LISTEN", "0.0.0.0:2")
        .args(["--listen", "0.0.0.0:3"])
        .output();
    assert!(refusal(&refused.expect("it runs")).contains("0.0.0.0:3"));
}
