//! The real router on a real listener, spoken to over HTTP as a client would.

mod account_life;
mod accounts;
mod change;
mod client;
mod errors;
mod events;
mod flow;
mod nodes;
mod socket;
mod upload;
