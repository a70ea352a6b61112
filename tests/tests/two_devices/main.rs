//! Two devices of one account: what one does, the other shows, with the server or without it.

mod arrival;
mod nearby;
mod rename;
mod without_server;
