//! What an endpoint lets its links use.

use std::time::Duration;

use crate::limits;

/// Times and windows of every link of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// From the first datagram to a usable link.
    pub handshake_timeout: Duration,
    /// Silence after which a link counts as lost; the smaller of both sides' applies.
    pub idle_timeout: Duration,
    /// How often a quiet link says something; `None` lets it fall idle.
    pub keep_alive: Option<Duration>,
    /// Requests the other side may have open here at once, at most 256.
    pub max_in_flight: u16,
    /// Bytes of a request body taken from the other side.
    pub max_body_bytes: u64,
    /// Bytes that may wait unread on one request.
    pub stream_window_bytes: u32,
    /// Bytes that may wait unread on one link, and bytes kept until acknowledged.
    pub link_window_bytes: u32,
    /// Bytes of the largest datagram that FHP sends and takes; smaller ones are found to be the path's.
    pub datagram_bytes_max: u16,
    /// What carries links.
    pub transport: Transport,
}

/// What carries links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// FHP, and QUIC where that is not answered.
    #[default]
    Auto,
    /// FHP alone.
    Fhp,
    /// QUIC alone.
    Quic,
}

impl std::str::FromStr for Transport {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "fhp" => Ok(Self::Fhp),
            "quic" => Ok(Self::Quic),
            _ => Err("a transport is auto, fhp or quic"),
        }
    }
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            keep_alive: Some(limits::KEEP_ALIVE),
            max_in_flight: limits::IN_FLIGHT_MAX,
            max_body_bytes: limits::BODY_BYTES_MAX,
            stream_window_bytes: limits::STREAM_WINDOW_BYTES,
            link_window_bytes: limits::LINK_WINDOW_BYTES,
            datagram_bytes_max: limits::DATAGRAM_BYTES,
            transport: Transport::Auto,
        }
    }
}
