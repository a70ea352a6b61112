//! The root names exactly the heads, and the trie finds what differs.

use super::*;
use proptest::prelude::*;

type Heads = BTreeMap<[u8; 16], Vec<VersionHash>>;

fn heads() -> impl Strategy<Value = Heads> {
    let version = any::<u8>().prop_map(|byte| VersionHash::from_bytes([byte; 32]));
    // Few distinct bytes: buckets then really hold several records.
    let record = prop::array::uniform16(0..3_u8);
    prop::collection::btree_map(record, prop::collection::vec(version, 1..4), 0..40)
}

fn root_of(heads: &Heads) -> RootHash {
    root(heads.iter().map(|(record, versions)| (RecordId::from_bytes(*record), versions.as_slice())))
}

fn trie(heads: &Heads) -> HeadsTrie {
    let mut trie = HeadsTrie::default();
    for bucket in 0..=u16::MAX {
        let [high, low] = bucket.to_be_bytes();
        if heads.keys().any(|record| record[..2] == [high, low]) {
            let inside = heads.iter().filter(|(record, _)| record[..2] == [high, low]);
            trie.set_bucket(bucket, inside.map(|(r, v)| (RecordId::from_bytes(*r), v.as_slice())));
        }
        if bucket == 0x0303 {
            break;
        }
    }
    trie
}

#[test]
fn emptied_buckets_leave_the_empty_root() {
    let mut trie = HeadsTrie::default();
    let empty = trie.root();
    let versions = [VersionHash::from_bytes([1; 32])];
    trie.set_bucket(7, [(RecordId::from_bytes([0; 16]), &versions[..])]);
    assert_ne!(trie.root(), empty);
    trie.set_bucket(7, []);
    assert_eq!(trie.root(), empty);
}

proptest! {
    #[test]
    fn order_does_not_matter(heads in heads()) {
        let backwards = heads.iter().rev().map(|(record, versions)| {
            (RecordId::from_bytes(*record), versions.iter().rev().copied().collect::<Vec<_>>())
        });
        let backwards: Vec<_> = backwards.collect();
        let again = root(backwards.iter().map(|(record, versions)| (*record, versions.as_slice())));
        prop_assert_eq!(again, root_of(&heads));
        prop_assert_eq!(trie(&heads).root(), root_of(&heads));
    }

    #[test]
    fn any_change_shows_and_is_found_in_two_rounds(heads in heads(), at in any::<prop::sample::Index>()) {
        prop_assume!(!heads.is_empty());
        let mut other = heads.clone();
        let changed = *heads.keys().nth(at.index(heads.len())).expect("inside");
        other.entry(changed).or_default().push(VersionHash::from_bytes([0xee; 32]));
        prop_assert_ne!(root_of(&heads), root_of(&other));
        let (mine, theirs) = (trie(&heads), trie(&other));
        let branches = std::array::from_fn(|branch| theirs.branch(branch as u8));
        prop_assert_eq!(mine.differing_branches(&branches), vec![changed[0]]);
        let buckets = std::array::from_fn(|low| theirs.bucket(u16::from_be_bytes([changed[0], low as u8])));
        let expected = vec![bucket_of(&RecordId::from_bytes(changed))];
        prop_assert_eq!(mine.differing_buckets(changed[0], &buckets), expected);
    }
}
