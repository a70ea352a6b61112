//! Decoders take canonical bytes and nothing else, and never panic.

use super::history::{run, steps};
use super::*;
use proptest::prelude::*;

#[test]
fn a_plain_small_file_is_compact() {
    let mut file =
        Record::new_file(id(9), new_node(), link(1), place(1, "quarterly-report.odt"), stamp(1, 1, 10))
            .expect("valid");
    assert!(file.to_bytes().len() <= 200, "{}", file.to_bytes().len());
    file.set_content(chunked(1, 1), Time { secs: 9, nanos: 0 }, stamp(1, 2, 20)).expect("a file");
    assert!(file.to_bytes().len() <= 304, "{}", file.to_bytes().len());
    assert!(a_dir().to_bytes().len() <= 160, "{}", a_dir().to_bytes().len());
}

#[test]
fn a_name_that_cannot_stand_in_a_directory_is_refused() {
    let good = a_file().to_bytes();
    let at = good.windows(10).position(|window| window == b"report.odt").expect("the name is there");
    let mut bad = good;
    bad[at + 3] = b'/';
    assert!(Record::from_bytes(&bad).is_err());
}

#[test]
fn only_the_root_has_no_name() {
    let root = Record::new_root(new_node(), stamp(1, 1, 10)).expect("valid");
    assert_eq!(Record::from_bytes(&root.to_bytes()), Ok(root.clone()));
    let mut other = root.to_bytes();
    other[2] = 1;
    assert!(Record::from_bytes(&other).is_err());
}

#[test]
fn trailing_and_missing_bytes_are_refused() {
    for record in [a_file(), a_dir()] {
        let bytes = record.to_bytes();
        for len in 0..bytes.len() {
            assert!(Record::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
        assert!(Record::from_bytes(&[bytes, vec![0]].concat()).is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_records_are_refused_or_canonical(
        steps in steps(), at in any::<prop::sample::Index>(), byte in any::<u8>(), is_dir in any::<bool>(),
    ) {
        let first = if is_dir { a_dir() } else { a_file() };
        let world = run(&first, &steps);
        let mut bytes = merged(&world.replicas[0], &world.replicas[1]).to_bytes();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        if let Ok(record) = Record::from_bytes(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes);
        }
    }

    #[test]
    fn random_bytes_never_panic(kind in 0..9_u8, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Record::from_bytes(&bytes);
        let _ = Record::from_bytes(&[vec![1, kind], bytes].concat());
    }
}
