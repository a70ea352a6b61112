//! Figures of the sealing path for `./x bench delta` and `./x bench core`, as one JSON object.
//!
//! `freehold-measure delta|core DIR [--quick]`; DIR is made and holds the caches. It is a program of its own so that
//! `./x` need not be built with the engine. Everything runs on one thread but the pipeline, which is given both ways.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measuring program talks to its caller")]

use freehold_crypto::measure::{Backend, Trial};
use freehold_crypto::{ChunkPayload, Compression, Secret32, VaultKey, VaultKeyring};
use freehold_engine::measure::{SealBench, insert_one_byte, noise};
use freehold_model::VaultId;
use freehold_vault::chunker::{Chunker, Rule};
use freehold_vault::compress::maybe_compress;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Each figure is the best of this many runs: what else the machine does only ever slows.
const RUNS: usize = 3;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let measured = match arguments.as_slice() {
        [what, dir, ..] if what == "delta" => delta(&PathBuf::from(dir), is_quick),
        [what, dir, ..] if what == "core" => core(&PathBuf::from(dir), is_quick),
        _ => Err(io::Error::other("usage: freehold-measure delta|core DIR [--quick]")),
    };
    match measured {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("freehold-measure: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Bytes sent for one byte put in, of every seed and place.
fn delta(dir: &Path, is_quick: bool) -> io::Result<Value> {
    let seeds = if is_quick { 2 } else { 20 };
    let mut figures = Map::new();
    for (name, len_bytes) in [("100_mib", 100 << 20), ("10_mib", 10 << 20)] {
        let mut sent = Vec::new();
        for seed in 0..seeds {
            let dir = dir.join(format!("{name}-{seed}"));
            sent.extend(insert_one_byte(&dir, len_bytes, seed)?);
            std::fs::remove_dir_all(&dir)?;
        }
        figures.insert(name.to_owned(), json!(sent));
    }
    Ok(Value::Object(figures))
}

/// Megabytes (10⁶) a second of every part, by name.
fn core(dir: &Path, is_quick: bool) -> io::Result<Value> {
    let mib = if is_quick { 32 } else { 256 };
    let mut figures = Map::new();
    let mut note = |name: String, mb_per_second: f64| drop(figures.insert(name, json!(mb_per_second)));
    for (backend, name) in [(Backend::AwsLc, "aws_lc"), (Backend::RustCrypto, "rust_crypto")] {
        for (len, size) in
            [(4 << 10, "4_kib"), (16 << 10, "16_kib"), (64 << 10, "64_kib"), (1 << 20, "1_mib")]
        {
            let mut trial = Trial::new(backend, len);
            let rounds = (mib << 20) / len;
            note(format!("seal_{name}_{size}"), best(mib << 20, || (0..rounds).for_each(|_| trial.seal())));
            note(format!("open_{name}_{size}"), best(mib << 20, || (0..rounds).for_each(|_| trial.open())));
        }
    }
    let data = noise(mib << 20, 1);
    let text = text(mib << 20);
    let chunker = Chunker::new(&Secret32::from_bytes([1; 32]));
    for (rule, name) in [(Rule::SMALL, "small"), (Rule::MEDIUM, "medium"), (Rule::LARGE, "large")] {
        for (data, kind) in [(&data, "random"), (&text, "text")] {
            let run = || chunker.pieces(&rule, data).count();
            note(format!("cut_{name}_{kind}"), best(data.len(), run));
        }
    }
    note("blake3".into(), best(data.len(), || blake3::hash(&data)));
    for (data, kind) in [(&data, "random"), (&text, "text")] {
        note(format!("pipeline_one_thread_{kind}"), best(data.len(), || one_thread(data)));
        note(format!("cut_and_seal_{kind}"), sealed(dir, data)?);
    }
    Ok(Value::Object(figures))
}

/// Everything between a content and its sealed chunks on one thread, without a disk; the chunks' lengths.
fn one_thread(data: &[u8]) -> usize {
    let key = VaultKey::from_parts(1, Secret32::from_bytes([1; 32]));
    let keyring =
        VaultKeyring::new(VaultId::from_bytes([1; 16]), vec![key]).expect("one generation is complete");
    let chunker = Chunker::new(keyring.chunker_key());
    let seal = |piece: &[u8]| {
        black_box(keyring.dedup_hash(piece));
        let ChunkPayload { compression, body } = maybe_compress(piece);
        let body: Cow<'_, [u8]> = body;
        debug_assert!(compression == Compression::Zstd || body.len() == piece.len());
        keyring.seal_chunk(&ChunkPayload { compression, body }).bytes.len()
    };
    chunker.pieces(&Rule::MEDIUM, data).map(seal).sum()
}

/// What a device does, into a cache on the disk, with its threads.
fn sealed(dir: &Path, data: &[u8]) -> io::Result<f64> {
    let mut shortest = Duration::MAX;
    for run in 0..RUNS {
        let dir = dir.join(format!("core-{run}"));
        let bench = SealBench::open(&dir, 4 * data.len() as u64, 1)?;
        let begin = Instant::now();
        bench.seal(data, None)?;
        shortest = shortest.min(begin.elapsed());
        drop(bench);
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(rate(data.len(), shortest))
}

fn best<T>(len_bytes: usize, mut run: impl FnMut() -> T) -> f64 {
    let time = |_| {
        let begin = Instant::now();
        black_box(run());
        begin.elapsed()
    };
    rate(len_bytes, (0..RUNS).map(time).min().unwrap_or(Duration::MAX))
}

fn rate(len_bytes: usize, time: Duration) -> f64 {
    len_bytes as f64 / 1e6 / time.as_secs_f64()
}

/// Lines of words with numbers in them: they compress about as source text does.
fn text(len_bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "chunk", "manifest", "record", "seal", "open", "vault", "the", "of", "let", "fn", "self", "node",
        "key", "return", "offset", "bytes",
    ];
    let draws = noise(len_bytes / 4 + 64, 2);
    let mut text = Vec::with_capacity(len_bytes + 64);
    for (line, draw) in draws.iter().enumerate().cycle() {
        if text.len() >= len_bytes {
            break;
        }
        text.extend_from_slice(WORDS[usize::from(draw % 16)].as_bytes());
        match draw / 16 {
            0 => text.extend_from_slice(format!("({line});\n    ").as_bytes()),
            1 => text.extend_from_slice(b"::"),
            _ => text.push(b' '),
        }
    }
    text.truncate(len_bytes);
    text
}
