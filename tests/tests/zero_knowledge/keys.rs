//! Every key of the account, recomputed from a device's own secret through the public API of the crypto crate.
//!
//! device.key → account file → account root → vault keys → records (from the server) → file keys → manifests (from
//! the node) → chunk keys. Only a device can do this; the test stands in for one that is stopped afterwards.

use super::derived;
use anyhow::{Context, Result, ensure};
use freehold_api::bulk::VersionsRequest;
use freehold_api::{Blob, CapabilityRequest, ChunkOp, DeviceSessionRequest, LoginStart};
use freehold_crypto::{
    AccountKeyring, AccountRoot, ChunkKey, DeviceSecret, LocalPurpose, RecoveryKey, Secret32, VaultKeyring,
};
use freehold_model::codec::Reader;
use freehold_model::{AccountId, ChunkId, DeviceId, Entropy, VaultId, VaultTag};
use freehold_net::coord::{CoordConfig, ServerClient};
use freehold_store::{NodeOptions, NodeStore};
use freehold_tests::{Device, Needles, PASSWORD, World};
use freehold_trust::commit::Commit;
use freehold_trust::opaque::{Login, Parties};
use freehold_trust::{KdfParams, PublicKey, SessionProof, SignedCapability, SignedSessionProof};
use freehold_vault::{Body, Node, Record};

/// What the account file holds, as its module documents it.
struct Account {
    server_key: PublicKey,
    account: AccountId,
    device: DeviceId,
    vault: VaultId,
    keyring: VaultKeyring,
}

/// Adds the device secret, what derives from it, roots, vault keys, file keys and chunk keys.
pub(crate) fn add_all(world: &World, device: &Device, words: &str, needles: &mut Needles) -> Result<()> {
    let secret = device_secret(device)?;
    derived::device(&secret, needles)?;
    needles.add(words.as_bytes(), "the recovery words");
    let recovery = RecoveryKey::from_words(words).context("24 good words")?;
    let account = open_account(device, &secret, needles)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let export_key = runtime.block_on(export_key(world, &account))?;
    derived::unlock(&account.account, &export_key, &recovery, needles)?;
    let records = runtime.block_on(fetch_records(world, &account, &secret))?;
    let tag = runtime.block_on(vault_tag(world, &account, &secret))?;
    let store = copy_of_node(world)?;
    let (mut files, mut chunks) = (0, 0);
    for record in &records {
        for content in record.contents() {
            let Body::Chunked(chunked) = &content.body else { continue };
            derived::file(&chunked.cek, &chunked.root_salt, needles)?;
            let key = chunked.cek.root_key(&chunked.root_salt);
            let sealed = stored(&store.1, tag, chunked.root)?;
            let plain = key.open(&sealed).ok().context("the root manifest opens")?;
            let node = Node::decode_root(&plain, chunked.size)?;
            chunks += add_chunk_keys(&node, needles, &|id, key: &ChunkKey| {
                let sealed = stored(&store.1, tag, id)?;
                Ok(freehold_crypto::open_chunk(key, &sealed)
                    .ok()
                    .context("a manifest node opens")?
                    .body
                    .into_owned())
            })?;
            files += 1;
        }
    }
    println!("S5: keys of {} records, {files} chunked files, {chunks} chunks recomputed", records.len());
    ensure!(files > 10 && chunks > 20, "the tree has many chunked files");
    Ok(())
}

/// The one plain secret of a device.
pub(crate) fn device_secret(device: &Device) -> Result<DeviceSecret> {
    let bytes = std::fs::read(device.home().join("client/device.key"))?;
    Ok(DeviceSecret::from_bytes(bytes.as_slice().try_into().context("32 bytes")?))
}

fn open_account(device: &Device, secret: &DeviceSecret, needles: &mut Needles) -> Result<Account> {
    let sealed = std::fs::read(device.home().join("client/account.sealed"))?;
    let plain =
        secret.local_key().open(LocalPurpose::StateFile, b"account", &sealed).ok().context("it opens")?;
    let mut input = Reader::new(&plain);
    ensure!(input.u8()? == 2, "version");
    input.var_bytes(4096)?;
    let server_key = input.get()?;
    input.var_bytes(4096)?;
    let (account, device): (AccountId, DeviceId) = (input.get()?, input.get()?);
    input.var_bytes(4096)?;
    input.bytes(64)?;
    let generation = input.u32()?;
    let root: [u8; 32] = input.array()?;
    let list = |input: &mut Reader<'_>| -> Result<Vec<Vec<u8>>> {
        let count = input.count(10_000, 4)?;
        (0..count).map(|_| Ok(input.var_bytes(1 << 20)?.to_vec())).collect()
    };
    list(&mut input)?;
    let previous = list(&mut input)?;
    let vault: VaultId = input.get()?;
    let boxes = list(&mut input)?;
    ensure!(list(&mut input)?.is_empty(), "no revocation waits");
    input.finish()?;
    let newest = || AccountRoot::from_parts(generation, Secret32::from_bytes(root));
    let key = newest().open_vault_key(&account, &vault, generation, boxes.first().context("a box")?);
    let key = key.ok().context("the vault key opens")?;
    derived::root(&account, generation, &root, needles);
    let keyring = AccountKeyring::unfold(account, newest(), previous.iter().map(Vec::as_slice))?;
    let keyring = keyring.open_vault(vault, boxes.iter().map(Vec::as_slice))?;
    derived::vault(&vault, key.expose(), &keyring, needles)?;
    Ok(Account { server_key, account, device, vault, keyring })
}

async fn client(world: &World, account: &Account, secret: &DeviceSecret) -> Result<ServerClient> {
    let client = ServerClient::new(world.url().parse()?, CoordConfig::default());
    let nonce = client.device_challenge(account.device).await?.nonce;
    let proof = SessionProof {
        server: account.server_key,
        nonce: nonce.to_array().context("a nonce")?,
        device: account.device,
    };
    let signature = SignedSessionProof::sign(proof, &secret.sign_key()).signature().as_bytes().to_vec();
    let request = DeviceSessionRequest { device_id: account.device, nonce, signature: Blob(signature) };
    client.set_session(&client.device_session(&request).await?)?;
    Ok(client)
}

/// What the password yields through OPAQUE, as a new device would get it.
async fn export_key(world: &World, account: &Account) -> Result<[u8; 64]> {
    let client = ServerClient::new(world.url().parse()?, CoordConfig::default());
    let (login, ke1) = Login::start(PASSWORD.as_bytes(), &mut Fixed)?;
    let start = LoginStart { user: "eva".into(), ke1: Blob(ke1) };
    let started = client.login_start(&start).await?;
    let kdf = KdfParams::new(started.kdf.m_kib, started.kdf.t, started.kdf.p)?;
    let parties = Parties { user: b"eva", server: &account.server_key };
    Ok(*login.finish(started.ke2.as_slice(), &parties, &kdf, &mut Fixed)?.export_key)
}

/// Bytes for a login that is never finished: no secret depends on them.
struct Fixed;

impl Entropy for Fixed {
    fn fill(&mut self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&freehold_tests::pseudo_random(5, buffer.len()));
    }
}

async fn fetch_records(world: &World, account: &Account, secret: &DeviceSecret) -> Result<Vec<Record>> {
    let client = client(world, account, secret).await?;
    let (mut after, mut records) = (0, Vec::new());
    loop {
        let page = client.commits_after(&account.vault, after, 100).await?;
        if page.items.is_empty() {
            return Ok(records);
        }
        after = page.next;
        for item in &page.items {
            let commit = Commit::from_bytes(&item.commit)?;
            for entries in commit.entries().chunks(256) {
                let hashes = entries.iter().map(|entry| entry.version).collect();
                let answer = client.versions(&account.vault, &VersionsRequest { hashes }).await?;
                for (entry, item) in entries.iter().zip(&answer.items) {
                    let plain = account.keyring.open_record(&entry.record, &item.ciphertext);
                    records.push(Record::from_bytes(&plain.ok().context("a record opens")?)?);
                }
            }
        }
    }
}

async fn vault_tag(world: &World, account: &Account, secret: &DeviceSecret) -> Result<VaultTag> {
    let client = client(world, account, secret).await?;
    let request = CapabilityRequest { vault_id: account.vault, ops: vec![ChunkOp::Get] };
    let grants = client.capabilities(&request).await?;
    let grant = grants.items.first().context("one node")?;
    Ok(SignedCapability::from_bytes(grant.capability.as_slice())?.unverified().vault_tag)
}

/// A copy of the node's store, since the node holds its own.
fn copy_of_node(world: &World) -> Result<(tempfile::TempDir, NodeStore)> {
    let copy = tempfile::tempdir()?;
    let status = std::process::Command::new("cp")
        .arg("-a")
        .arg(world.node_dir())
        .arg(copy.path().join("node"))
        .status()?;
    ensure!(status.success(), "cp -a of the node");
    let segments = copy.path().join("node/chunks");
    let (store, _) = NodeStore::open(&segments, NodeOptions::default())?;
    Ok((copy, store))
}

fn stored(store: &NodeStore, tag: VaultTag, id: ChunkId) -> Result<Vec<u8>> {
    Ok(store.get(tag, id, None)?.context("the node has every chunk")?.bytes.to_vec())
}

type Fetch<'a> = dyn Fn(ChunkId, &ChunkKey) -> Result<Vec<u8>> + 'a;

fn add_chunk_keys(node: &Node, needles: &mut Needles, fetch: &Fetch<'_>) -> Result<usize> {
    match node {
        Node::Leaf(entries) => {
            for entry in entries {
                derived::chunk(entry.key.expose(), "a chunk key", needles);
            }
            Ok(entries.len())
        }
        Node::Inner { children, .. } => {
            let mut count = 0;
            for child in children {
                let plain = fetch(child.node.chunk, &child.node.key)?;
                count += add_chunk_keys(&node.decode_child(child, &plain)?, needles, fetch)?;
            }
            Ok(count)
        }
    }
}
