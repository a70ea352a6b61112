//! Power cuts and failing disks below the real programs.

mod database;
mod parts;
mod power;
mod prefixes;
mod record;
