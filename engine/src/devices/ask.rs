//! Questions to another device, each with its answer decoded.

use super::links::DeviceLinks;
use crate::sync::limits::ANSWER_COMMIT_BYTES;
use crate::transfer::peer::PeerFailure;
use bytes::Bytes;
use freehold_api::bulk::{PushCommit, PushRequest, VersionsRequest, VersionsResponse};
use freehold_api::device_peer::{
    COMMITS, CommitsRequest, CommitsResponse, DeviceVersionsRequest, HEADS, Heads, LOG, LogResponse,
    REMOVALS, RemovalsTold, TELL, VERSIONS,
};
use freehold_api::limits::{COMMIT_BYTES_MAX, VERSIONS_BYTES_MAX};
use freehold_api::peer::PeerError;
use freehold_model::codec::{Decode, Encode, from_slice, to_vec};
use freehold_model::{DeviceId, VersionHash};
use freehold_net::{Body, Class, Credit, Link, LinkError, Request, Response};
use freehold_trust::account_log::RevokeIntent;
use std::time::Duration;

/// Time for one answer: 16 MiB at 4 Mbit/s. A device that needs longer is asked for less.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes of one answer besides what it is about.
const MARGIN_BYTES: usize = 1024 * 1024;

impl DeviceLinks {
    /// Tells a device what is known here and hears what it knows.
    ///
    /// # Errors
    /// [`PeerFailure`]; here and below `Away` when there is no link.
    ///
    /// # Cancel safety
    /// Dropping any of these futures gives the question up.
    pub(crate) async fn heads(&self, device: &DeviceId) -> Result<Heads, PeerFailure> {
        let response = self.ask(device, HEADS, Class::Metadata, to_vec(&self.own_heads()), 0).await?;
        answer(&response.head)
    }

    /// Commits a device has.
    ///
    /// # Errors
    /// As [`Self::heads`].
    pub(crate) async fn commits(
        &self,
        device: &DeviceId,
        request: &CommitsRequest,
    ) -> Result<CommitsResponse, PeerFailure> {
        let room = ANSWER_COMMIT_BYTES.max(COMMIT_BYTES_MAX) + MARGIN_BYTES;
        answer(&self.ask(device, COMMITS, Class::Metadata, to_vec(request), room).await?.body)
    }

    /// Versions a device has.
    ///
    /// # Errors
    /// As [`Self::heads`].
    pub(crate) async fn versions(
        &self,
        device: &DeviceId,
        hashes: Vec<VersionHash>,
    ) -> Result<VersionsResponse, PeerFailure> {
        let request = DeviceVersionsRequest { vault: self.vault(), versions: VersionsRequest { hashes } };
        let room = VERSIONS_BYTES_MAX + MARGIN_BYTES;
        answer(&self.ask(device, VERSIONS, Class::Metadata, to_vec(&request), room).await?.body)
    }

    /// Entries of the account log from a place on.
    ///
    /// # Errors
    /// As [`Self::heads`].
    pub(crate) async fn log_after(&self, device: &DeviceId, from: u64) -> Result<LogResponse, PeerFailure> {
        let head = from.to_be_bytes().to_vec();
        answer(&self.ask(device, LOG, Class::Metadata, head, VERSIONS_BYTES_MAX).await?.body)
    }

    /// Sends new commits with what travels with them.
    ///
    /// # Errors
    /// As [`Self::heads`].
    pub(crate) async fn tell(&self, device: &DeviceId, commits: Vec<PushCommit>) -> Result<(), PeerFailure> {
        let body = Bytes::from(to_vec(&PushRequest { commits }));
        let head = Bytes::from(to_vec(&self.vault()));
        let link = self.link(device).ok_or(PeerFailure::Away)?;
        let request = Request { method: TELL, class: Class::Metadata, head, body: Body::from(vec![body]) };
        exchange(&link, request, 0).await.map(drop)
    }

    /// Sends the removals of devices that are not in the account log yet.
    ///
    /// # Errors
    /// As [`Self::heads`].
    pub(crate) async fn tell_removals(
        &self,
        device: &DeviceId,
        intents: &[RevokeIntent],
    ) -> Result<(), PeerFailure> {
        let told = RemovalsTold { intents: intents.iter().map(RevokeIntent::to_bytes).collect() };
        let (head, body) = (encoded(&self.vault()), encoded(&told));
        let link = self.link(device).ok_or(PeerFailure::Away)?;
        let request = Request { method: REMOVALS, class: Class::Control, head, body: Body::from(vec![body]) };
        exchange(&link, request, 0).await.map(drop)
    }

    /// One question that is all head; the answer must begin soon and may then take its time.
    pub(crate) async fn ask_quickly(
        &self,
        device: &DeviceId,
        method: u16,
        class: Class,
        head: Vec<u8>,
        room: usize,
        soon: Duration,
    ) -> Result<Response, PeerFailure> {
        let link = self.link(device).ok_or(PeerFailure::Away)?;
        let request = Request { method, class, head: Bytes::from(head), body: Body::empty() };
        let begun = async {
            let mut call = link.call(request, Credit::bytes(room as u64)).await?;
            call.head().await?;
            Ok(call)
        };
        let call = match tokio::time::timeout(soon, begun).await {
            Ok(begun) => begun.map_err(failure)?,
            Err(_) => return Err(PeerFailure::Away),
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, call.collect(room)).await {
            Ok(answer) => answer.map_err(failure),
            Err(_) => Err(PeerFailure::Away),
        }
    }

    /// One question that is all head.
    pub(crate) async fn ask(
        &self,
        device: &DeviceId,
        method: u16,
        class: Class,
        head: Vec<u8>,
        room: usize,
    ) -> Result<Response, PeerFailure> {
        let link = self.link(device).ok_or(PeerFailure::Away)?;
        exchange(&link, Request { method, class, head: Bytes::from(head), body: Body::empty() }, room).await
    }
}

async fn exchange(link: &Link, request: Request, room: usize) -> Result<Response, PeerFailure> {
    let asked = async {
        let call = link.call(request, Credit::bytes(room as u64)).await?;
        call.collect(room).await
    };
    match tokio::time::timeout(ANSWER_TIMEOUT, asked).await {
        Ok(answer) => answer.map_err(failure),
        Err(_) => Err(PeerFailure::Away),
    }
}

fn failure(error: LinkError) -> PeerFailure {
    match error {
        LinkError::Closed | LinkError::Timeout => PeerFailure::Away,
        LinkError::Refused(code) => match PeerError::from_number(code.0) {
            Some(error) => PeerFailure::Refused(error),
            None => PeerFailure::Link(LinkError::Refused(code)),
        },
        error => PeerFailure::Link(error),
    }
}

fn answer<T: Decode>(bytes: &[u8]) -> Result<T, PeerFailure> {
    from_slice(bytes).map_err(|_| PeerFailure::Malformed)
}

/// Encodes for a head; here so that the encoders of the protocol are named in one place.
pub(super) fn encoded<T: Encode>(message: &T) -> Bytes {
    Bytes::from(to_vec(message))
}
