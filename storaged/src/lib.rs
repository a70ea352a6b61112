//! A storage node: keeps sealed chunks for the devices of an account, and can read none of them.
//!
//! A client connects over a [`freehold_net::Link`], shows a capability signed by the server the
//! node has joined, and asks what is there, puts or gets. Session logic is pure (`session.rs`,
//! `admit.rs`); `serve.rs` is the shell around it. Chunks are acknowledged with a signed receipt
//! after they are on stable storage (`freehold-store`). The server is needed to join once; after
//! that the node serves whether the server answers or not.

#![forbid(unsafe_code)]

mod admit;
mod config;
mod coordinate;
mod error;
mod limits;
mod node;
mod serve;
mod session;
mod state;
mod witness;

pub use config::{Config, Flags};
pub use error::StartError;
pub use node::Node;
