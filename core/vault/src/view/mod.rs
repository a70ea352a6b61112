//! What everybody sees: pure rules from merged records to a tree of names.
//!
//! Records may say things no file system can show: two contents, two entries of one name, a cycle of
//! directories, a parent that is gone. These rules decide, the same way on every device and with
//! nothing written down, so devices that merge the same records show the same tree. [`content`]
//! decides within a file, [`names`] within a directory, [`tree`] over the whole.

pub mod content;
pub mod names;
#[cfg(test)]
mod tests;
pub mod tree;

pub use content::{ConflictCopy, resolve_content};
pub use names::{Entry, Listing, Shown, What, resolve_dir};
pub use tree::{Tree, hides, parents};
