//! What one byte put into a random file costs: unique sealed bytes, record and manifest included.

use crate::cut::measure::insert_one_byte;

/// Seeds of the test, three places each; `./x bench delta` takes 20.
const SEEDS: u64 = 3;

/// What each insertion sends, in ascending order.
fn sent(len_bytes: usize) -> Vec<u64> {
    let run = |seed| {
        let dir = tempfile::tempdir().expect("a temporary folder");
        insert_one_byte(dir.path(), len_bytes, seed).expect("a healthy cache")
    };
    let mut sent: Vec<u64> = (0..SEEDS).flat_map(run).collect();
    sent.sort_unstable();
    sent
}

#[test]
fn one_byte_put_into_100_mib_sends_at_most_220_kib_in_the_median_and_450_ever() {
    let sent = sent(100 << 20);
    assert!(sent[sent.len() / 2] <= 220 << 10, "{sent:?}");
    assert!(sent.iter().all(|bytes| *bytes <= 450 << 10), "{sent:?}");
}

#[test]
fn one_byte_put_into_10_mib_sends_at_most_110_kib_in_the_median() {
    let sent = sent(10 << 20);
    assert!(sent[sent.len() / 2] <= 110 << 10, "{sent:?}");
}
