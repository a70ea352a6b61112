//! Every way of cutting beside a reference that looks at one position at a time, and the sizes that come out.

use super::roll::WINDOW;
use super::*;
use proptest::prelude::*;

/// Small sizes, so that a few KiB hold many cuts; the lanes need pieces of 8 KiB.
const TINY: Rule = Rule::new(128, 512, 2_048);
const MIDDLE: Rule = Rule::new(256, 16_384, 60_000);

fn chunker() -> Chunker {
    Chunker::new(&Secret32::from_bytes([9; 32]))
}

/// With the widest instructions this processor has, and without.
fn both() -> [Chunker; 2] {
    [chunker(), Chunker { vaes: None, ..chunker() }]
}

/// The definition, word for word: the length of the first piece.
fn reference(chunker: &Chunker, rule: &Rule, data: &[u8]) -> usize {
    use aes::cipher::BlockCipherEncrypt;
    for at in rule.min..rule.max.min(data.len() + 1) {
        let mut block = aes::Block::default();
        block[..8].copy_from_slice(&chunker.roll.of(&data[at - WINDOW..at]).to_be_bytes());
        chunker.aes.encrypt_block(&mut block);
        let output = u64::from_be_bytes(*block.first_chunk().expect("16 bytes"));
        if output & (if at < rule.normal { rule.hard } else { rule.easy }) == 0 {
            return at;
        }
    }
    data.len().min(rule.max)
}

fn reference_lens(chunker: &Chunker, rule: &Rule, mut data: &[u8]) -> Vec<usize> {
    let mut lens = Vec::new();
    while !data.is_empty() {
        lens.push(reference(chunker, rule, data));
        data = &data[lens[lens.len() - 1]..];
    }
    lens
}

fn lens(chunker: &Chunker, rule: &Rule, data: &[u8]) -> Vec<usize> {
    chunker.pieces(rule, data).map(<[u8]>::len).collect()
}

/// What a cutter says about portions of these lengths, again and again.
fn pushed_lens(chunker: &Chunker, rule: Rule, data: &[u8], portions: &[usize]) -> Vec<usize> {
    let (mut cutter, mut lens, mut rest) = (chunker.cutter(rule), Vec::new(), data);
    let (mut portions, mut len) = (portions.iter().cycle(), 0);
    while !rest.is_empty() {
        let (mut portion, after) = rest.split_at(rest.len().min(*portions.next().expect("some portion")));
        while let Some(taken) = cutter.push(portion) {
            lens.push(len + taken);
            (len, portion) = (0, &portion[taken..]);
        }
        len += portion.len();
        assert_eq!(cutter.open_bytes(), len);
        rest = after;
    }
    lens.extend((len > 0).then_some(len));
    lens
}

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Random bytes, words, a repeated stretch, zeros, and a mixture.
fn contents() -> impl Strategy<Value = Vec<u8>> {
    let words = ["chunk ", "manifest ", "the ", "of ", "record\n", "seal(", ");\n", "vault "];
    let random = (0..40_000_usize, any::<u64>()).prop_map(|(len, seed)| noise(len, seed));
    let text = prop::collection::vec(prop::sample::select(words.to_vec()), 0..6_000)
        .prop_map(|words| words.concat().into_bytes());
    let repeats =
        (1..300_usize, 1..200_usize, any::<u64>()).prop_map(|(n, len, seed)| noise(len, seed).repeat(n));
    let zeros = (0..40_000_usize).prop_map(|len| vec![0; len]);
    let plain = prop_oneof![random, text, repeats, zeros].boxed();
    prop_oneof![3 => plain.clone(), 1 => prop::collection::vec(plain, 2..4).prop_map(|parts| parts.concat())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_slice_is_cut_as_the_reference_says(data in contents()) {
        for chunker in both() {
            for rule in [TINY, MIDDLE] {
                prop_assert_eq!(lens(&chunker, &rule, &data), reference_lens(&chunker, &rule, &data));
            }
        }
    }

    #[test]
    fn portions_of_any_length_are_cut_as_the_slice_is(
        data in contents(), portions in prop::collection::vec(prop_oneof![1..70_usize, 1..20_000_usize], 1..6),
    ) {
        let chunker = chunker();
        for rule in [TINY, MIDDLE] {
            prop_assert_eq!(pushed_lens(&chunker, rule, &data, &portions), lens(&chunker, &rule, &data));
        }
    }
}

/// How many pieces of a content are new once a byte was put into it.
fn new_pieces(chunker: &Chunker, seed: u64) -> usize {
    let mut data = noise(60_000, seed);
    let before: Vec<Vec<u8>> = chunker.pieces(&TINY, &data).map(<[u8]>::to_vec).collect();
    // Any place, any byte, the same for a seed.
    data.insert((seed as usize).wrapping_mul(7_919) % 60_000, seed as u8);
    chunker.pieces(&TINY, &data).filter(|piece| !before.contains(&piece.to_vec())).count()
}

#[test]
fn an_insertion_moves_the_cuts_after_it_and_changes_few() {
    let chunker = chunker();
    let new: Vec<usize> = (0..500).map(|seed| new_pieces(&chunker, seed)).collect();
    let (all, most) = (new.iter().sum::<usize>(), new.iter().max().copied());
    // Where old and new cuts fall together again is a matter of luck: mostly at the next one, in the tail later.
    assert!(all <= 500 * 2, "{all} in 500");
    assert!(most <= Some(12), "{most:?} of about 110 at once");
}

#[test]
fn every_split_of_a_content_in_two_is_cut_alike() {
    let chunker = chunker();
    let data = noise(9_000, 3);
    let expected = lens(&chunker, &TINY, &data);
    assert!(expected.len() > 8);
    for at in 1..data.len() {
        assert_eq!(pushed_lens(&chunker, TINY, &data, &[at, data.len()]), expected, "split at {at}");
    }
}

#[test]
fn real_sizes_are_cut_as_the_reference_says() {
    let data = [noise(900_000, 5), vec![0; 700_000], b"all alike, all the time. ".repeat(30_000)].concat();
    for rule in [Rule::SMALL, Rule::MEDIUM] {
        let expected = reference_lens(&chunker(), &rule, &data);
        for chunker in both() {
            assert_eq!(lens(&chunker, &rule, &data), expected);
            assert_eq!(pushed_lens(&chunker, rule, &data, &[65_536]), expected);
        }
    }
}

#[test]
fn pieces_gather_around_the_average_and_keep_their_bounds() {
    let chunker = chunker();
    let data = noise(64 << 20, 7);
    for (rule, mean_kib) in [(Rule::SMALL, 68..75), (Rule::MEDIUM, 133..146), (Rule::LARGE, 1_000..1_220)] {
        let all = lens(&chunker, &rule, &data);
        let (last, whole) = all.split_last().expect("some pieces");
        assert!(whole.iter().all(|len| (rule.min..=rule.max).contains(len)) && *last <= rule.max);
        let mean = (data.len() >> 10) / all.len();
        assert!(mean_kib.contains(&mean), "{mean} KiB");
    }
}

#[test]
fn another_key_cuts_elsewhere() {
    let data = noise(1 << 20, 11);
    let other = Chunker::new(&Secret32::from_bytes([10; 32]));
    assert_ne!(lens(&chunker(), &Rule::SMALL, &data), lens(&other, &Rule::SMALL, &data));
}

#[test]
fn nothing_and_short_contents_have_no_cut() {
    let chunker = chunker();
    assert_eq!(chunker.cut(&Rule::MEDIUM, &[]), None);
    assert_eq!(chunker.cut(&Rule::MEDIUM, &noise(65_535, 1)), None);
    assert_eq!(chunker.cutter(Rule::MEDIUM).push(&[]), None);
    assert_eq!(chunker.pieces(&Rule::MEDIUM, &[]).count(), 0);
}

#[test]
fn the_secrets_are_in_no_debug_text() {
    let chunker = chunker();
    assert_eq!(format!("{chunker:?}"), "Chunker(..)");
    assert!(!format!("{:?}", chunker.cutter(TINY)).contains("window"));
}
