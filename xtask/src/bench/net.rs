//! `./x bench net`: FHP beside quinn, TLS 1.3 over TCP and TCP, over loopback in one run.
//!
//! Every transfer is two processes of one program (`net/examples/throughput`), so the processor time of both sides is
//! known. The contenders take turns, and the figure of each is the median of its runs. Datagrams are bounded once at
//! 1,452 bytes, which is what Ethernet carries and what can be compared, and once not at all; TCP's segments are the
//! loopback's own in both.
//!
//! FHP and quinn then meet a link of 100 Mbit/s, 50 ms and one lost datagram in a hundred, in virtual time
//! (`net/examples/lossy`): the same figures on every machine.

use super::Options;
use super::process::Process;
use crate::shell::{cargo, target};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured: the program's word for it, what people call it, and whether datagrams can be bounded.
const CONTENDERS: [(&str, &str, bool); 4] =
    [("fhp", "FHP", true), ("quinn", "quinn", true), ("tls", "TCP + TLS 1.3", false), ("tcp", "TCP", false)];

/// Bytes of a datagram that Ethernet carries, and of the largest that a loopback does.
const DATAGRAMS: [(&str, u16); 2] = [("1452", 1_452), ("free", 65_000)];

const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// The goodput and processor time that FHP is to have beside quinn with 1,452-byte datagrams.
const BAR: (f64, f64) = (1.3, 0.8);

/// The calls to the kernel that sending a MiB by FHP is to take at most.
const BAR_SEND_CALLS: f64 = 20.0;

const MIB: f64 = 1024.0 * 1024.0;

/// What one transfer took.
#[derive(Clone, Copy)]
struct Figures {
    seconds: f64,
    /// Processor time of both sides.
    cpu_seconds: f64,
    /// Calls by which it was sent, where they are counted.
    send_calls: Option<f64>,
}

/// One contender's medians.
struct Row {
    datagrams: &'static str,
    contender: &'static str,
    name: &'static str,
    gbit_per_sec: f64,
    cpu_seconds_per_gib: f64,
    send_calls_per_mib: Option<f64>,
    runs: usize,
}

/// Both over the lossy link, medians of the seeds.
struct Lossy {
    contender: &'static str,
    mbit_per_sec: f64,
    /// Of what was sent, what had been sent before.
    resent_share: f64,
}

/// Seeds of the lossy link, and bytes sent over it.
const LOSSY: (std::ops::Range<u64>, u64) = (1..6, 8 << 20);

/// Runs everybody and prints the table.
pub(super) fn run(options: &Options) -> Result<()> {
    let program = build("throughput")?;
    let (bytes, runs) = if options.quick { (128 << 20, 1) } else { (1 << 30, 5) };
    let dir = target().join("bench/net");
    std::fs::create_dir_all(&dir)?;
    let mut rows = Vec::new();
    for (datagrams, datagram) in DATAGRAMS {
        let contenders = CONTENDERS.iter().filter(|(word, _, is_bounded)| {
            (*is_bounded || datagrams == "free") && (!options.alone || *word == "fhp")
        });
        let contenders: Vec<_> = contenders.copied().collect();
        let mut measured = vec![Vec::new(); contenders.len()];
        for run in 0..runs {
            for ((word, name, _), figures) in contenders.iter().zip(&mut measured) {
                eprintln!("bench: {name}, datagrams {datagrams}, run {} of {runs}", run + 1);
                figures.push(transfer(&program, &dir, word, datagram, bytes)?);
            }
        }
        for ((contender, name, _), figures) in contenders.into_iter().zip(measured) {
            let gib = bytes as f64 / GIB;
            let of = |figure: fn(&Figures) -> f64| median(figures.iter().map(figure).collect());
            let (seconds, cpu) = (of(|run| run.seconds), of(|run| run.cpu_seconds));
            let (gbit_per_sec, cpu_seconds_per_gib) = (bytes as f64 * 8.0 / seconds / 1e9, cpu / gib);
            let calls: Option<Vec<f64>> = figures.iter().map(|run| run.send_calls).collect();
            let send_calls_per_mib = calls.map(|calls| median(calls) / (bytes as f64 / MIB));
            rows.push(Row {
                datagrams,
                contender,
                name,
                gbit_per_sec,
                cpu_seconds_per_gib,
                send_calls_per_mib,
                runs,
            });
        }
    }
    print(&rows, &lossy()?, options.json);
    Ok(())
}

fn build(example: &str) -> Result<PathBuf> {
    let words = ["build", "--locked", "--release", "--package", "freehold-net", "--example", example];
    ensure!(cargo(&words).status()?.success(), "building the program {example} failed");
    Ok(target().join("release/examples").join(example))
}

fn lossy() -> Result<Vec<Lossy>> {
    let program = build("lossy")?;
    let (seeds, bytes) = LOSSY;
    let mut found = Vec::new();
    for seed in seeds {
        eprintln!("bench: FHP and quinn with 1 % loss and 50 ms, seed {seed}");
        let words = [seed, 10, bytes >> 20].map(|number| number.to_string());
        let output = Command::new(&program).args(words).output().context("the lossy link")?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", stderr.lines().next_back().unwrap_or_default());
        let answer: Value = serde_json::from_slice(&output.stdout).context("its answer")?;
        found.push(answer);
    }
    let of = |contender: &'static str| {
        let figure = |name: &str| {
            let all = found.iter().filter_map(|answer| answer[contender][name].as_f64());
            median(all.collect())
        };
        Lossy { contender, mbit_per_sec: figure("mbit_per_sec"), resent_share: figure("resent_share") }
    };
    Ok(vec![of("fhp"), of("quinn")])
}

/// One transfer.
fn transfer(program: &Path, dir: &Path, contender: &str, datagram: u16, bytes: u64) -> Result<Figures> {
    let log = dir.join(format!("{contender}.log"));
    let datagram = datagram.to_string();
    let mut command = Command::new(program);
    let (server, addr) = Process::start_ready(command.args(["serve", contender, &datagram]), &log)?;
    let before = server.usage().cpu_seconds;
    let fetch = Command::new(program)
        .args(["fetch", contender, &datagram, &addr, &bytes.to_string()])
        .output()
        .context("the fetching side")?;
    let stderr = String::from_utf8_lossy(&fetch.stderr);
    ensure!(fetch.status.success(), "{contender}: {}", stderr.lines().next_back().unwrap_or_default());
    let theirs: Value = serde_json::from_slice(&fetch.stdout).context("its answer")?;
    let of_server = server.usage().cpu_seconds - before;
    let number = |name: &str| theirs[name].as_f64().with_context(|| format!("{name} in its answer"));
    Ok(Figures {
        seconds: number("seconds")?,
        cpu_seconds: number("cpu_seconds")? + of_server,
        send_calls: theirs["send_calls"].as_f64(),
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print(rows: &[Row], lossy: &[Lossy], as_json: bool) {
    let mut ratios = ratios(rows);
    if let [fhp, quinn] = lossy {
        ratios.push(("lossy_fhp_vs_quinn".to_owned(), fhp.mbit_per_sec / quinn.mbit_per_sec));
    }
    if as_json {
        let lossy = lossy.iter().map(|row| {
            json!({
                "name": format!("lossy_{}", row.contender),
                "mbit_per_sec": row.mbit_per_sec,
                "resent_share": row.resent_share,
            })
        });
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({
                    "name": format!("loopback_{}_{}", row.datagrams, row.contender),
                    "gbit_per_sec": row.gbit_per_sec,
                    "cpu_seconds_per_gib": row.cpu_seconds_per_gib,
                    "send_calls_per_mib": row.send_calls_per_mib,
                    "runs": row.runs,
                })
            })
            .chain(lossy)
            .collect();
        let ratios: serde_json::Map<String, Value> =
            ratios.into_iter().map(|(name, ratio)| (name, json!(ratio))).collect();
        println!("{}", json!({ "schema": 1, "title": "net", "rows": rows, "ratios": ratios }));
        return;
    }
    println!("{:<10} {:<14} {:>10} {:>12}", "datagrams", "", "Gbit/s", "CPU s/GiB");
    for row in rows {
        let Row { datagrams, name, gbit_per_sec, cpu_seconds_per_gib, .. } = row;
        println!("{datagrams:<10} {name:<14} {gbit_per_sec:>10.2} {cpu_seconds_per_gib:>12.2}");
    }
    for row in rows {
        if let Some(calls) = row.send_calls_per_mib {
            let verdict = if calls <= BAR_SEND_CALLS { "met" } else { "MISSED" };
            let name = format!("{} {}, send calls per MiB", row.datagrams, row.name);
            println!("{name:<34} {calls:>6.1}   at most {BAR_SEND_CALLS}: {verdict}");
        }
    }
    println!("\n1 % loss, 50 ms {:>16} {:>12}", "Mbit/s", "sent again");
    for Lossy { contender, mbit_per_sec, resent_share } in lossy {
        println!("{contender:<14} {mbit_per_sec:>17.2} {:>11.2}%", resent_share * 100.0);
    }
    println!();
    for (name, ratio) in ratios {
        println!("{name:<34} {ratio:>6.2}x{}", target_of(&name, ratio));
    }
}

/// FHP's goodput over another's, and its processor time over another's.
fn ratios(rows: &[Row]) -> Vec<(String, f64)> {
    let mut ratios = Vec::new();
    for ours in rows.iter().filter(|row| row.contender == "fhp") {
        for theirs in rows.iter().filter(|row| row.contender != "fhp" && row.datagrams == ours.datagrams) {
            let of = format!("loopback_{}", ours.datagrams);
            let against = format!("fhp_vs_{}", theirs.contender);
            ratios.push((format!("{of}_{against}"), ours.gbit_per_sec / theirs.gbit_per_sec));
            let cpu = ours.cpu_seconds_per_gib / theirs.cpu_seconds_per_gib;
            ratios.push((format!("{of}_cpu_{against}"), cpu));
        }
    }
    ratios
}

fn target_of(name: &str, ratio: f64) -> String {
    let (least, most) = BAR;
    let (is_met, words) = match name {
        "loopback_1452_fhp_vs_quinn" => (ratio >= least, format!("at least {least}")),
        "loopback_1452_cpu_fhp_vs_quinn" => (ratio <= most, format!("at most {most}")),
        _ => return String::new(),
    };
    format!("  {words}: {}", if is_met { "met" } else { "MISSED" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(contender: &'static str, gbit_per_sec: f64, cpu_seconds_per_gib: f64) -> Row {
        Row {
            datagrams: "1452",
            contender,
            name: contender,
            gbit_per_sec,
            cpu_seconds_per_gib,
            send_calls_per_mib: None,
            runs: 1,
        }
    }

    #[test]
    fn ratios_are_ours_over_theirs() {
        let found = ratios(&[row("fhp", 8.0, 1.0), row("quinn", 4.0, 2.0)]);
        let wanted = [("loopback_1452_fhp_vs_quinn", 2.0), ("loopback_1452_cpu_fhp_vs_quinn", 0.5)];
        assert_eq!(found, wanted.map(|(name, ratio)| (name.to_owned(), ratio)));
        assert!(
            target_of(wanted[0].0, 1.2).contains("MISSED") && target_of(wanted[1].0, 0.5).contains("met")
        );
    }
}
