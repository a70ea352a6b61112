//! Links between machines: FHP and quinn, requests over a link, the coordination client, the local network.
//!
//! An [`Endpoint`] is one UDP socket that speaks for an [`Identity`]; it makes [`Link`]s, pinned by
//! raw public keys on both sides. Over a link either side asks ([`Link::call`]) and serves
//! ([`Link::serve`]): many requests at once, urgent ones first, each response limited by the credit
//! its asker grants, each cancelled by dropping it. The framing ([`wire`]) does not depend on what
//! carries the link.

mod config;
pub mod coord;
mod endpoint;
mod fhp;
mod identity;
mod lan;
pub mod limits;
mod link;
mod tls;
pub mod wire;

pub use config::{LinkConfig, Transport};
pub use endpoint::{Endpoint, Incoming};
pub use fhp::{FhpCounts, Sends};
pub use freehold_net_proto::Dropped;
pub use identity::{Identity, PeerKey};
pub use lan::{Found, LAN_TAG_BYTES, Lan, LanError};
pub use link::{
    BindError, Body, BodyReader, BodySink, BodyWriter, Call, Credit, Handler, Inbound, Link, LinkError,
    PeerInfo, Piece, Request, Responder, Response,
};
pub use tls::{Accept, KeySet};
pub use wire::{Class, RefusalCode};
