//! Golden vectors: the exact bytes of every plaintext format, rebuilt and compared.
//!
//! The files `tests/vectors/vault-*.json` at the root of the repository are shared with the web
//! client and frozen once released. To write them after a deliberate change of a format:
//! `FREEHOLD_BLESS=1 cargo test -p freehold-vault --test vectors`.

use freehold_crypto::{Cek, ChunkKey, RootSalt, Secret32, VaultKey, VaultKeyring};
use freehold_model::{
    ChunkId, CommitHash, DeviceId, Dot, FileId, Hlc, LinkId, RecordId, RootHash, Stamp, VaultId, VersionHash,
    VersionVector,
};
use freehold_vault::chunker::{Chunker, Rule};
use freehold_vault::manifest::Builder;
use freehold_vault::name::conflict_name;
use freehold_vault::record::conflict_id;
use freehold_vault::{
    Body, Chunked, CommitBody, Kind, ManifestEntry, NewNode, Node, Owner, Place, ROOT, Record, Seen, Time,
    heads,
};
use serde_json::{Value, json};
use std::path::PathBuf;

const FILE: FileId = FileId::from_bytes([0xf1; 16]);
const LINK: LinkId = LinkId::from_bytes([0x11; 16]);
const NEW: NewNode = NewNode {
    mode: 0o644,
    owner: Owner { uid: 1000, gid: 1000 },
    mtime: Time { secs: 1_795_443_125, nanos: 999_000_000 },
};

#[test]
fn records_match_their_vectors() {
    let file = file();
    let mut conflicted = file.clone();
    conflicted
        .set_content(chunked(1), Time { secs: 1_795_443_126, nanos: 1 }, stamp(1, 2, 20))
        .expect("a file");
    let mut other = file.clone();
    other.set_content(chunked(2), Time { secs: 1_795_443_127, nanos: 2 }, stamp(2, 1, 30)).expect("a file");
    other.set_xattr(b"user.colour", b"blue", stamp(2, 2, 40)).expect("fits");
    let merged = conflicted.merge(&other).expect("one node");
    let (dir, link) = (dir(), place("shortcut"));
    let symlink = Record::new_symlink(FILE, NEW, b"../there".to_vec(), LINK, link, stamp(1, 1, 10));
    let device = Record::new_special(FILE, Kind::Block, NEW, 0x0801, LINK, place("disk"), stamp(1, 1, 10));
    compare(
        "vault-record",
        &json!({
            "root": bytes(&Record::new_root(NEW, stamp(1, 1, 10)).expect("valid")),
            "file_new": bytes(&file),
            "file_chunked": bytes(&conflicted),
            "file_chunked_elsewhere": bytes(&other),
            "file_merged": bytes(&merged),
            "directory_moved_and_trashed": bytes(&dir),
            "symlink": bytes(&symlink.expect("valid")),
            "block_device": bytes(&device.expect("valid")),
            "conflict_id": hex::encode(conflict_id(&FILE, &stamp(1, 2, 20).dot).as_bytes()),
        }),
    );
}

#[test]
fn manifests_match_their_vectors() {
    let mut nodes = Vec::new();
    let mut builder = Builder::new(|_: &Node, plain: &[u8]| {
        nodes.push(hex::encode(plain));
        Ok::<_, std::convert::Infallible>(entry(0xee, plain.len() as u32))
    });
    // The hash of the 64th piece ends the first leaf, that of the 177th the second; the third is open.
    for n in 0..180_u8 {
        let ends = matches!(n, 63 | 176);
        let h = if ends { [0; 16] } else { [1; 16] };
        builder.push(ManifestEntry { h, ..entry(n, 262_144) }).expect("a good piece");
    }
    let root = builder.finish().expect("pieces were given");
    compare(
        "vault-manifest",
        &json!({ "size": root.size, "nodes": nodes, "root": hex::encode(&root.plain) }),
    );
}

#[test]
fn cuts_match_their_vectors() {
    let key = VaultKey::from_parts(1, Secret32::from_bytes([0x11; 32]));
    let keyring = VaultKeyring::new(VaultId::from_bytes([0xb2; 16]), vec![key]).expect("complete");
    let chunker = Chunker::new(keyring.chunker_key());
    let mut noise = vec![0; 8 << 20];
    blake3::Hasher::new().update(b"fh-chunk/1 example").finalize_xof().fill(&mut noise);
    let text: String = (0..60_000).map(|line| format!("{line}: the cuts follow the content\n")).collect();
    let zeros = vec![0; 3 << 20];
    let contents: [(&str, &[u8]); 4] = [
        ("noise_2_mib", &noise[..2 << 20]),
        ("noise_8_mib", &noise),
        ("lines", text.as_bytes()),
        ("zeros_3_mib", &zeros),
    ];
    let cuts = contents.map(|(name, content)| {
        let [small, medium, large] = [Rule::SMALL, Rule::MEDIUM, Rule::LARGE]
            .map(|rule| chunker.pieces(&rule, content).map(<[u8]>::len).collect::<Vec<_>>());
        json!({ "content": name, "small": small, "medium": medium, "large": large })
    });
    compare("vault-chunker", &json!({ "key": hex::encode(keyring.chunker_key().expose()), "cuts": cuts }));
}

#[test]
fn commit_bodies_match_their_vectors() {
    let seen = |device: u8| Seen {
        device: DeviceId::from_bytes([device; 16]),
        incarnation: 1,
        seq: 40 + u64::from(device),
        hash: CommitHash::from_bytes([device; 32]),
        covers: 400 + u64::from(device),
    };
    let plain = CommitBody { hlc: Hlc::from_millis(1_795_443_125_999), covers: 7, ..CommitBody::default() };
    let first = hex::encode(plain.to_bytes());
    let heads_root = Some(RootHash::from_bytes([0x77; 32]));
    let checkpoint = CommitBody { seen: vec![seen(2), seen(3)], heads_root, ..plain };
    compare(
        "vault-commit-body",
        &json!({ "first": first, "checkpoint": hex::encode(checkpoint.to_bytes()) }),
    );
}

#[test]
fn heads_roots_match_their_vectors() {
    let versions: Vec<VersionHash> = (1..=3).map(|n| VersionHash::from_bytes([n; 32])).collect();
    let record = |first: u8, last: u8| {
        RecordId::from_bytes(std::array::from_fn(|i| {
            if i == 0 {
                first
            } else if i == 15 {
                last
            } else {
                0
            }
        }))
    };
    let some =
        [(record(0, 1), &versions[..1]), (record(0, 2), &versions[..2]), (record(9, 1), &versions[2..])];
    compare(
        "vault-heads",
        &json!({ "empty": hex::encode(heads::root([]).as_bytes()), "three": hex::encode(heads::root(some).as_bytes()) }),
    );
}

#[test]
fn conflict_names_match_their_vectors() {
    let long = "漢".repeat(84) + ".odt";
    let names = ["report.odt", "Makefile", ".profile", "data.tar.gz", long.as_str()];
    let vectors: Vec<Value> = names
        .iter()
        .flat_map(|name| [1, 2].map(|number| (name, number)))
        .map(|(name, number)| {
            let shown = conflict_name(name.as_bytes(), "laptop", 1_795_443_125_999, number);
            json!({ "name": name, "number": number, "shown": String::from_utf8(shown).expect("UTF-8") })
        })
        .collect();
    compare("vault-names", &json!({ "label": "laptop", "millis": 1_795_443_125_999_u64, "names": vectors }));
}

fn stamp(device: u8, seq: u64, millis: u64) -> Stamp {
    let dot = Dot { device: DeviceId::from_bytes([device; 16]), incarnation: 1, seq };
    Stamp { hlc: Hlc::from_millis(1_795_443_125_000 + millis), dot }
}

fn place(name: &str) -> Place {
    Place { parent: ROOT, name: name.as_bytes().to_vec() }
}

fn file() -> Record {
    let mut file = Record::new_file(FILE, NEW, LINK, place("report.odt"), stamp(1, 1, 10)).expect("valid");
    file.set_content(Body::Inline(b"hello".to_vec()), NEW.mtime, stamp(1, 1, 10)).expect("a file");
    file
}

fn dir() -> Record {
    let mut dir = Record::new_dir(FILE, NEW, place("folder"), stamp(1, 1, 10)).expect("valid");
    let to = Place { parent: FileId::from_bytes([0xd2; 16]), name: b"renamed".to_vec() };
    dir.set_dir_place(to, stamp(1, 2, 20)).expect("a directory");
    let seen: VersionVector = [stamp(1, 2, 0).dot, stamp(5, 9, 0).dot].into_iter().collect();
    dir.trash(&seen, stamp(1, 3, 30));
    dir
}

fn chunked(n: u8) -> Body {
    Body::Chunked(Chunked {
        size: 300_000,
        profile: 2,
        root: ChunkId::from_bytes([n; 32]),
        root_salt: RootSalt::from_bytes([n; 16]),
        cek: Cek::from_bytes([0x0c; 32]),
        plain_hash: [n; 32],
    })
}

fn entry(n: u8, plain_len: u32) -> ManifestEntry {
    ManifestEntry {
        chunk: ChunkId::from_bytes([n; 32]),
        key: ChunkKey::from_bytes([n; 32]),
        h: [n; 16],
        plain_len,
    }
}

/// The bytes of a record, after checking that they read back.
fn bytes(record: &Record) -> String {
    let bytes = record.to_bytes();
    assert_eq!(Record::from_bytes(&bytes).as_ref(), Ok(record));
    hex::encode(bytes)
}

fn compare(name: &str, found: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/vectors/{name}.json"));
    if std::env::var_os("FREEHOLD_BLESS").is_some() {
        let text = serde_json::to_string_pretty(found).expect("JSON");
        std::fs::write(&path, text + "\n").expect("the vectors directory can be written");
        return;
    }
    let text = std::fs::read_to_string(&path).expect("the vectors are in the repository");
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(*found, expected, "{name}: bytes of a format changed");
}
