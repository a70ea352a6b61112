//! What a revoked device's keys open of what the server has, through the public API of the crypto crate.
//!
//! The attacker is the revoked device together with the server: it has everything its disk holds, and
//! every record there is.

use anyhow::{Context, Result, ensure};
use freehold_api::bulk::VersionsRequest;
use freehold_api::{Blob, DeviceSessionRequest};
use freehold_crypto::{
    AccountKeyring, AccountRoot, DeviceSecret, LocalPurpose, OpenError, Secret32, UnlockBox, VaultKeyring,
};
use freehold_model::codec::Reader;
use freehold_model::{AccountId, DeviceId, RecordId, VaultId};
use freehold_net::coord::{CoordConfig, ServerClient};
use freehold_tests::{Device, World};
use freehold_trust::commit::Commit;
use freehold_trust::{PublicKey, SessionProof, SignedSessionProof};

/// What a device's disk holds, opened with its device.key.
pub(crate) struct Disk {
    secret: DeviceSecret,
    server_key: PublicKey,
    device: DeviceId,
    vault: VaultId,
    keyring: VaultKeyring,
}

impl Disk {
    pub(crate) fn open(device: &Device) -> Result<Self> {
        let client = device.home().join("client");
        let bytes = std::fs::read(client.join("device.key"))?;
        let secret = DeviceSecret::from_bytes(bytes.as_slice().try_into().context("32 bytes")?);
        let sealed = std::fs::read(client.join("account.sealed"))?;
        let plain = secret.local_key().open(LocalPurpose::StateFile, b"account", &sealed).ok();
        let plain = plain.context("it opens")?;
        let mut input = Reader::new(&plain);
        ensure!(input.u8()? == 2, "version");
        input.var_bytes(4096)?;
        let server_key = input.get()?;
        input.var_bytes(4096)?;
        let (account, device): (AccountId, DeviceId) = (input.get()?, input.get()?);
        input.var_bytes(4096)?;
        input.bytes(64)?;
        let (generation, root) = (input.u32()?, input.array()?);
        list(&mut input)?;
        let previous = list(&mut input)?;
        let vault = input.get()?;
        let boxes = list(&mut input)?;
        let root = AccountRoot::from_parts(generation, Secret32::from_bytes(root));
        let roots = AccountKeyring::unfold(account, root, previous.iter().map(Vec::as_slice))?;
        let keyring = roots.open_vault(vault, boxes.iter().map(Vec::as_slice))?;
        Ok(Self { secret, server_key, device, vault, keyring })
    }

    /// The newest generation of the vault's keys here.
    pub(crate) fn generation(&self) -> u32 {
        self.keyring.current_generation()
    }

    /// How many of these records these keys open, and how many are of a generation that is not here.
    pub(crate) fn try_all(&self, records: &[(RecordId, Vec<u8>)]) -> Result<(usize, usize)> {
        let (mut opened, mut unknown) = (0, 0);
        for (record, sealed) in records {
            match self.keyring.open_record(record, sealed) {
                Ok(_) => opened += 1,
                Err(OpenError::UnknownGeneration(_)) => unknown += 1,
                Err(OpenError::Refused) => anyhow::bail!("a record is damaged"),
            }
        }
        Ok((opened, unknown))
    }

    /// How many of the server's unlock boxes this device's own pair opens.
    pub(crate) fn boxes_opened(&self, boxes: &[(UnlockBox, PublicKey)]) -> usize {
        let pair = self.secret.xwing_pair();
        boxes.iter().filter(|(sealed, signer)| sealed.open(&pair, signer).is_ok()).count()
    }

    /// Every record the server has, and every unlock box with its signer's key, asked for as this device.
    pub(crate) fn everything_at(&self, world: &World) -> Result<Everything> {
        tokio::runtime::Runtime::new()?.block_on(self.fetch(world))
    }

    async fn fetch(&self, world: &World) -> Result<Everything> {
        let client = ServerClient::new(world.url().parse()?, CoordConfig::default());
        let nonce = client.device_challenge(self.device).await?.nonce;
        let bytes = nonce.to_array().context("a nonce")?;
        let proof = SessionProof { server: self.server_key, nonce: bytes, device: self.device };
        let signed = SignedSessionProof::sign(proof, &self.secret.sign_key());
        let signature = Blob(signed.signature().as_bytes().to_vec());
        let request = DeviceSessionRequest { device_id: self.device, nonce, signature };
        client.set_session(&client.device_session(&request).await?)?;
        let (mut after, mut records) = (0, Vec::new());
        loop {
            let page = client.commits_after(&self.vault, after, 100).await?;
            if page.items.is_empty() {
                break;
            }
            after = page.next;
            for item in &page.items {
                let commit = Commit::from_bytes(&item.commit)?;
                let hashes = commit.entries().iter().map(|entry| entry.version).collect();
                let answer = client.versions(&self.vault, &VersionsRequest { hashes }).await?;
                let named = commit.entries().iter().zip(answer.items);
                records.extend(named.map(|(entry, item)| (entry.record, item.ciphertext)));
            }
        }
        let signer = self.secret.sign_key().public();
        let boxes = client.account_boxes().await?.boxes;
        let boxes = boxes.iter().filter_map(|entry| UnlockBox::from_bytes(entry.sealed.as_slice()).ok());
        Ok(Everything { records, boxes: boxes.map(|sealed| (sealed, signer)).collect() })
    }
}

/// What a server has.
pub(crate) struct Everything {
    pub(crate) records: Vec<(RecordId, Vec<u8>)>,
    pub(crate) boxes: Vec<(UnlockBox, PublicKey)>,
}

fn list(input: &mut Reader<'_>) -> Result<Vec<Vec<u8>>> {
    let count = input.count(10_000, 4)?;
    (0..count).map(|_| Ok(input.var_bytes(1 << 20)?.to_vec())).collect()
}
