//! Power cuts and failing disks below the real programs.

mod database;
mod power;
