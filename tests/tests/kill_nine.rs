//! `kill -9` of every program at random moments under load: what was fsynced is there, and all goes on by itself.

use anyhow::{Context, Result, ensure};
use freehold_tests::{
    ARRIVAL, Device, Draw, Noise, Oracle, World, Writer, differences, is_long, say, seed, wait_until,
};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const ROUNDS_LONG: usize = 200;

/// What passes at most behind the last promise before somebody is killed. Long: what issue and docs speak of.
const LATER: Duration = Duration::from_millis(60);
const LATER_LONG: Duration = Duration::from_secs(3);

/// Between two steps of a long run's writer: without it 200 rounds would fill a disk.
const PACE_LONG: Duration = Duration::from_millis(100);

/// Who can be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Server,
    Node,
    Device(usize),
}

/// The account's devices with the programs that write on them.
struct Load {
    world: World,
    devices: Vec<Device>,
    writers: Vec<Option<Writer>>,
    noises: Vec<Noise>,
    draw: Draw,
}

/// The folder a device's program writes to: only the mounted vault has it, so that nothing is written to the bare
/// mount point while there is no mount.
fn folder(device: &Device, index: usize) -> PathBuf {
    device.mount_point().join(format!("of device {index}"))
}

impl Load {
    fn start(draw: Draw) -> Result<Self> {
        let world = World::start()?;
        let devices = vec![world.first_device("first")?, world.next_device("second")?];
        let mut load = Self { world, devices, writers: Vec::new(), noises: Vec::new(), draw };
        for index in 0..load.devices.len() {
            fs::create_dir(folder(&load.devices[index], index))?;
            let noisy = load.devices[index].mount_point().join(format!("noise of device {index}"));
            fs::create_dir(&noisy)?;
            load.noises.push(Noise::start(&noisy, Draw::new(load.draw.next())));
            load.writers.push(None);
            load.write_on(index, Oracle::default());
        }
        Ok(load)
    }

    fn write_on(&mut self, index: usize, oracle: Oracle) {
        let draw = Draw::new(self.draw.next());
        let folder = folder(&self.devices[index], index);
        let pace = if is_long() { PACE_LONG } else { Duration::ZERO };
        self.writers[index] = Some(Writer::start_paced(&folder, oracle, draw, Arc::new(|| 0), pace));
    }

    /// A moment under load: some promises later, and a little more.
    fn until_a_moment_has_passed(&mut self) -> Result<()> {
        let acks = |load: &Self| load.writers.iter().flatten().map(Writer::acks).sum::<u64>();
        let (before, more) = (acks(self), 1 + self.draw.below(25));
        let later = match is_long() {
            true => Duration::from_millis(100) + LATER_LONG.mul_f64(self.draw.below(1_000) as f64 / 1_000.0),
            false => LATER.mul_f64(self.draw.below(1_000) as f64 / 1_000.0),
        };
        wait_until("programs that get answers", ARRIVAL, || acks(self) >= before + more)?;
        let start = Instant::now();
        wait_until("a little later", ARRIVAL, || start.elapsed() >= later)?;
        Ok(())
    }

    fn kill(&mut self, victim: Victim) -> Result<Option<Oracle>> {
        match victim {
            Victim::Server => self.world.kill_server()?,
            Victim::Node => self.world.kill_node()?,
            Victim::Device(index) => {
                self.devices[index].kill()?;
                let writer = self.writers[index].take().context("a program wrote here")?;
                return Ok(Some(writer.after_kill()));
            }
        }
        Ok(None)
    }

    /// Starts a program again; a device's mount must come back with it, and hold what was promised.
    fn bring_back(&mut self, victim: Victim, oracle: Option<Oracle>) -> Result<()> {
        match victim {
            Victim::Server => self.world.start_server(),
            Victim::Node => self.world.start_node(),
            Victim::Device(index) => {
                let oracle = oracle.context("a killed device leaves promises")?;
                self.devices[index].restart()?;
                let device = &self.devices[index];
                let status = device.ok(&["status"])?;
                ensure!(status["mount"].as_str() == device.mount_point().to_str(), "not mounted: {status}");
                oracle.check_all(&folder(device, index)).with_context(|| format!("device {index}"))?;
                self.write_on(index, oracle);
                Ok(())
            }
        }
    }

    /// Kills all of them in a random order, and brings them back in another.
    fn round(&mut self) -> Result<()> {
        let mut victims = [Victim::Server, Victim::Node, Victim::Device(0), Victim::Device(1)];
        self.draw.shuffle(&mut victims);
        let mut dead = Vec::new();
        for victim in victims {
            // Somebody must be writing, or the next moment would not be under load.
            let nobody_left = dead.iter().any(|(dead, _)| matches!(dead, Victim::Device(_)));
            if matches!(victim, Victim::Device(_)) && nobody_left {
                self.bring_some_back(&mut dead)?;
            }
            self.until_a_moment_has_passed()?;
            dead.push((victim, self.kill(victim)?));
        }
        self.bring_some_back(&mut dead)
    }

    fn bring_some_back(&mut self, dead: &mut Vec<(Victim, Option<Oracle>)>) -> Result<()> {
        self.draw.shuffle(dead);
        for (victim, oracle) in dead.drain(..) {
            self.bring_back(victim, oracle).with_context(|| format!("{victim:?}"))?;
        }
        Ok(())
    }

    /// In the end both devices are in sync, and each has what was promised on either.
    fn settle(mut self) -> Result<()> {
        let mut promises = 0;
        let mut oracles = Vec::new();
        let steps: Vec<u64> = self.noises.drain(..).map(Noise::stop).collect();
        ensure!(steps.iter().all(|steps| *steps > 0), "the programs beside did nothing: {steps:?}");
        for index in 0..self.devices.len() {
            let writer = self.writers[index].take().context("a program writes here")?;
            oracles.push(writer.stop().with_context(|| format!("device {index}"))?);
        }
        // The second wait on the first device is for what the second had to tell.
        for index in [0, 1, 0] {
            let waited = self.devices[index].ok(&["wait", "--timeout", "60"]);
            waited.with_context(|| format!("{:?}", self.devices[index].ok(&["status"])))?;
        }
        for (at, device) in self.devices.iter().enumerate() {
            let status = device.ok(&["status"])?;
            for (index, oracle) in oracles.iter().enumerate() {
                let kept = oracle.check_all(&folder(device, index));
                promises +=
                    kept.with_context(|| format!("device {index}'s files on device {at}, {status}"))?;
            }
            assert_eq!(status["problems"], serde_json::json!([]), "no alarm without an attack");
        }
        let mut found = differences(self.devices[0].mount_point(), self.devices[1].mount_point())?;
        // Times of folders are each device's own unless a program sets them.
        let top = self.devices[0].mount_point();
        found.retain(|difference| {
            !difference.what.starts_with("mtime") || !top.join(&difference.path).is_dir()
        });
        assert!(found.is_empty(), "the trees differ: {found:#?}");
        let acks: u64 = oracles.iter().map(Oracle::acks).sum();
        say(&format!("{acks} acknowledgements; {promises} promises about names kept on two devices"));
        Ok(())
    }
}

#[test]
fn programs_killed_at_random_moments_lose_no_fsynced_byte_and_come_back_by_themselves() -> Result<()> {
    let seed = seed("kill -9");
    let mut load = Load::start(Draw::new(seed))?;
    let (rounds, start) = (if is_long() { ROUNDS_LONG } else { ROUNDS }, Instant::now());
    for round in 0..rounds {
        load.round().with_context(|| format!("round {round} of seed {seed}"))?;
    }
    say(&format!("{rounds} rounds of kill -9 in {} s", start.elapsed().as_secs()));
    load.settle().with_context(|| format!("seed {seed}"))
}
