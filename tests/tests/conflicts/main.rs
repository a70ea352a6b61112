//! Two devices that worked apart meet: nothing is lost, both show the same, and people can end every conflict.

mod apart;
mod choices;
mod mass_deletion;
mod trees;
