//! The program as its user meets it: what it says when it starts, cannot start, and stops.

#![expect(clippy::unwrap_used, reason = "a test stops on its own mistake")]

use bytes::Bytes;
use freehold_api::{Blob, NodeJoin, NodeJoined};
use freehold_model::{ChunkId, NodeId, VaultTag};
use freehold_store::{NodeOptions, NodeStore, PutStatus};
use freehold_trust::{NodeCert, PublicKey, SignKey, SignedNodeCert};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;

/// A server that knows one token and takes every heartbeat, until it is dropped with the test.
struct FakeServer(String);

impl FakeServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                thread::spawn(move || answer(stream.unwrap()));
            }
        });
        Self(url)
    }
}

/// Answers the requests of one connection.
fn answer(mut stream: TcpStream) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut path, mut len_bytes) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            if let Some(len) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len_bytes = len.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; len_bytes];
        reader.read_exact(&mut body).unwrap();
        let (status, kind, text) = if path.ends_with("/join") {
            join(&body)
        } else {
            ("204 No Content", "application/json", String::new())
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nfreehold-protocol: {}\r\n\r\n",
            text.len(),
            freehold_api::PROTOCOL
        );
        if stream.write_all((head + &text).as_bytes()).is_err() {
            return;
        }
    }
}

fn join(body: &[u8]) -> (&'static str, &'static str, String) {
    let request: NodeJoin = serde_json::from_slice(body).unwrap();
    if request.token != "right" {
        let problem = freehold_api::Problem::new(freehold_api::ErrorCode::JoinTokenInvalid);
        return (
            "403 Forbidden",
            freehold_api::PROBLEM_CONTENT_TYPE,
            serde_json::to_string(&problem).unwrap(),
        );
    }
    let server = SignKey::from_seed(&[1; 32]);
    let key = |blob: &Blob| PublicKey::from_bytes(blob.to_array().unwrap());
    let node = NodeId::from_bytes([0xab; 16]);
    let cert = NodeCert {
        node,
        sign_pk: key(&request.sign_pk),
        tls_pk: key(&request.tls_pk),
        zone: request.zone,
        created: 1,
    };
    let joined = NodeJoined {
        node_id: node,
        server_sign_pk: Blob(server.public().to_bytes().to_vec()),
        cert: Blob(SignedNodeCert::sign(cert, &server).to_bytes()),
    };
    ("200 OK", "application/json", serde_json::to_string(&joined).unwrap())
}

fn storaged(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_freehold-storaged"));
    command
        .env_clear()
        .env("FREEHOLD_HOME", home)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts a node and waits for its ready line.
fn start(home: &Path, arguments: &[&str]) -> (Child, String) {
    let mut child = storaged(home, arguments).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line)
}

fn stop(child: Child) -> Output {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

/// Runs a node that cannot start and gives its one line.
fn complaint(home: &Path, arguments: &[&str]) -> String {
    let output = storaged(home, arguments).output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let text = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("freehold-storaged: ")).collect();
    assert_eq!(lines.len(), 1, "{text}");
    lines[0].to_owned()
}

const ANY_PORT: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn it_joins_once_and_later_starts_without_token_or_server() {
    let home = tempfile::tempdir().unwrap();
    let server = FakeServer::start();
    let first = [&ANY_PORT[..], &["--server", &server.0, "--join", "right"]].concat();
    let (child, line) = start(home.path(), &first);
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("ready", "ab".repeat(16).as_str()));
    assert!(words[1].starts_with("127.0.0.1:"), "{line}");
    let output = stop(child);
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(!log.contains(&"ab".repeat(16)) && !log.contains("right"), "{log}");
    // The port of a server that is gone: nobody listens there.
    let gone = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let (child, again) =
        start(home.path(), &[&ANY_PORT[..], &["--server", &format!("http://{gone}")]].concat());
    assert!(again.starts_with("ready ") && again.trim_end().ends_with(words[2]), "{again}");
    assert!(stop(child).status.success());
    assert!(home.path().join("storaged/node.key").exists());
}

#[test]
fn every_file_of_a_node_is_on_the_threat_models_page() {
    let home = tempfile::tempdir().unwrap();
    let server = FakeServer::start();
    let (child, _) =
        start(home.path(), &[&ANY_PORT[..], &["--server", &server.0, "--join", "right"]].concat());
    assert!(stop(child).status.success());
    let dir = home.path().join("storaged");
    let (store, _) = NodeStore::open(&dir.join("chunks"), NodeOptions::default()).unwrap();
    let bytes = Bytes::from_static(b"a chunk");
    let id = ChunkId::from_bytes(*blake3::hash(&bytes).as_bytes());
    let stored = store.put_batch(vec![(VaultTag::from_bytes([1; 16]), id, bytes)]);
    assert_eq!(stored, [PutStatus::Stored]);
    let page = include_str!("../../docs/threat-model.md");
    let listed = |name: &str| {
        let name = if name.ends_with(".seg") { "chunks/*.seg" } else { name };
        page.lines().any(|line| line.split_whitespace().take(2).eq(["node", name]))
    };
    let names = |dir: &Path, before: &str| -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.path().is_file());
        files.map(|entry| format!("{before}{}", entry.file_name().to_str().unwrap())).collect()
    };
    let folders = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    for folder in folders.filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let is_listed = page.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("node")
                && words.next().is_some_and(|file| file.starts_with(&format!("{name}/")))
        });
        assert!(is_listed, "say in docs/threat-model.md what lies in {name}/");
    }
    let files = [names(&dir, ""), names(&dir.join("chunks"), "chunks/")].concat();
    assert!(files.iter().any(|name| name.ends_with(".seg")), "{files:?}");
    for name in files {
        assert!(listed(&name), "say in docs/threat-model.md what {name} gives away");
    }
}

#[test]
fn a_refused_token_is_one_clear_line() {
    let home = tempfile::tempdir().unwrap();
    let server = FakeServer::start();
    let line = complaint(home.path(), &[&ANY_PORT[..], &["--server", &server.0, "--join", "wrong"]].concat());
    assert!(line.contains("join token") && line.contains("freehold-server admin join-token"), "{line}");
}

#[test]
fn a_server_that_is_away_at_the_first_join_is_one_clear_line() {
    let home = tempfile::tempdir().unwrap();
    let gone = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    let url = format!("http://{gone}");
    let line = complaint(home.path(), &[&ANY_PORT[..], &["--server", &url, "--join", "right"]].concat());
    assert!(line.contains("does not answer"), "{line}");
}

#[test]
fn a_first_start_without_a_token_says_how_to_get_one() {
    let home = tempfile::tempdir().unwrap();
    let line = complaint(home.path(), &ANY_PORT);
    assert!(line.contains("--server URL --join TOKEN"), "{line}");
}

#[test]
fn a_taken_port_is_one_clear_line() {
    let home = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let line = complaint(home.path(), &["--listen", &addr, "--server", "http://127.0.0.1:1", "--join", "t"]);
    assert!(line.contains("port is taken") && line.contains(&addr), "{line}");
}

#[test]
fn a_data_folder_that_cannot_be_made_is_one_clear_line() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let dir = file.join("data");
    let line = complaint(home.path(), &["--data-dir", dir.to_str().unwrap()]);
    assert!(line.contains("cannot write in") && line.contains("--data-dir"), "{line}");
}

#[test]
fn a_second_node_on_one_folder_is_one_clear_line() {
    let home = tempfile::tempdir().unwrap();
    let server = FakeServer::start();
    let arguments = [&ANY_PORT[..], &["--server", &server.0, "--join", "right"]].concat();
    let (child, _) = start(home.path(), &arguments);
    let line = complaint(home.path(), &arguments);
    assert!(line.contains("another freehold-storaged is running"), "{line}");
    assert!(stop(child).status.success());
}

#[test]
fn a_chunk_folder_written_by_something_else_is_one_clear_line() {
    let home = tempfile::tempdir().unwrap();
    let chunks = home.path().join("storaged/chunks");
    std::fs::create_dir_all(&chunks).unwrap();
    // A cache's segment header: right in itself, but not a node's.
    let mut header = b"FHSG\x01\x02\x00\x00".to_vec();
    header.resize(60, 0);
    let mut crc = !0_u32;
    for byte in &header {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    header.extend_from_slice(&(!crc).to_be_bytes());
    std::fs::write(chunks.join("00000000.seg"), header).unwrap();
    let line = complaint(home.path(), &ANY_PORT);
    assert!(line.contains("other kind of store"), "{line}");
}
