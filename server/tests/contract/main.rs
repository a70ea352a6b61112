//! The contract of `MetaStore`: one suite, run on a real SQLite file here and on every other
//! database that comes.
//!
//! Each case is a function over the trait object; [`cases!`] makes a test of each for one way to
//! open a store. Cases talk only through the trait.

mod accounts;
mod commits;
mod fixture;
mod nodes;
mod placement;
mod sqlite;

/// A test for each case, on the store that `$open` yields.
macro_rules! cases {
    ($open:path: $($module:ident::$case:ident,)+) => {$(
        #[tokio::test]
        async fn $case() {
            let store = $open().await;
            crate::$module::$case(store.as_dyn()).await;
        }
    )+};
}
pub(crate) use cases;
