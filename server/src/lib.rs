//! The coordination server: accounts, devices, sealed metadata, placement.
//!
//! It numbers signed commits, keeps sealed records and boxes it cannot open, knows which chunk is
//! on which storage node from node-signed receipts, and hands out capabilities. It never sees a
//! name, a path, a content or a key of one. Requests come in through `http` (thin handlers), are
//! decided in `service`, and are remembered by a [`db::MetaStore`].

#![forbid(unsafe_code)]

pub mod admin;
mod app;
mod clock;
pub mod config;
pub mod db;
mod http;
mod keys;
mod limits;
mod random;
mod relay;
pub mod run;
mod service;
mod throttle;
mod tickets;

pub use app::App;
pub use clock::Clock;
pub use http::router;
pub use keys::{KeyFileError, ServerKeys};
