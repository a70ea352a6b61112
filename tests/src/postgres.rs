//! A PostgreSQL server of one's own: a fresh cluster in a temporary folder, spoken to over a Unix
//! socket there, with PostgreSQL's own defaults for durability.
//!
//! It runs under a shell that waits for its standard input to end. The pipe is ours alone, so the
//! server ends and its folder goes when the [`Postgres`] is dropped, and also when the process dies
//! in any way, be it with a cluster in a `static`, which Rust never drops. PostgreSQL refuses to
//! run as root; then it runs as the user `postgres` of the package.

use anyhow::{Context, Result, bail, ensure};
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The administrator of the cluster, who needs no password on its socket.
const ADMIN: &str = "freehold";

/// How long it may take to start. Generous: it is a bound, not a measurement.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the server until standard input ends, then ends it at once and takes the folder away.
const KEEPER: &str = r#"
"$1" -D "$2/data" -k "$2" -c listen_addresses= >"$2/log" 2>&1 &
server=$!
cat >/dev/null
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$2"
"#;

/// A running cluster.
#[derive(Debug)]
pub struct Postgres {
    keeper: Child,
    dir: PathBuf,
    programs: PathBuf,
    databases: AtomicU32,
}

impl Postgres {
    /// Makes a cluster and starts its server.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not start.
    pub fn start() -> Result<Self> {
        let programs = programs()?;
        let dir = tempfile::Builder::new().prefix("freehold-pg-").tempdir()?.keep();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        let user = unprivileged()?;
        if let Some((uid, gid)) = user {
            chown(&dir, Some(uid), Some(gid))?;
        }
        let mut initdb = as_user(&programs.join("initdb"), user);
        initdb.args(["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync", "--username", ADMIN]);
        // Passwords count for whoever is not the administrator, so that they can be tested.
        let made = initdb.arg("--pgdata").arg(dir.join("data")).current_dir(&dir).output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let access = format!("local all {ADMIN} trust\nlocal all all scram-sha-256\n");
        fs::write(dir.join("data/pg_hba.conf"), access)?;
        let mut keeper = as_user(Path::new("/bin/sh"), user);
        keeper.args(["-c", KEEPER, "keeper"]).arg(programs.join("postgres")).arg(&dir).current_dir("/");
        let keeper = keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut cluster = Self { keeper, dir, programs, databases: AtomicU32::new(0) };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// The last line of `postmaster.pid` says `ready`, as `pg_ctl --wait` reads it.
    fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let state = fs::read_to_string(self.dir.join("data/postmaster.pid")).unwrap_or_default();
            if state.lines().any(|line| line.trim() == "ready") {
                return Ok(());
            }
            if self.keeper.try_wait()?.is_some() || Instant::now() > deadline {
                let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
                bail!("PostgreSQL did not start: {}", log.lines().last().unwrap_or("it said nothing"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A fresh database; its URL.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"))?;
        Ok(self.url(ADMIN, &name))
    }

    /// The URL of a database for a user.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres:///{database}?host={}&user={user}", self.dir.display())
    }

    /// Runs a statement as the administrator.
    ///
    /// # Errors
    /// When it fails.
    pub fn psql(&self, database: &str, statement: &str) -> Result<String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-v", "ON_ERROR_STOP=1"]);
        psql.arg("--host").arg(&self.dir).args(["-U", ADMIN, "-d", database, "-c", statement]);
        let output = psql.stdin(Stdio::null()).output()?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // Nobody is left to tell when the shell has gone before.
        drop(self.keeper.wait());
    }
}

/// Where the newest PostgreSQL of the machine is.
fn programs() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            let bin = version.path().join("bin");
            bin.join("initdb").exists().then_some((number, bin))
        })
        .collect();
    found.sort();
    let (_, newest) = found.pop().context("PostgreSQL is not installed (Debian: postgresql)")?;
    Ok(newest)
}

/// Whom to run it as when we are root.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let users = File::open("/etc/passwd").and_then(std::io::read_to_string)?;
    let of_postgres = |line: &str| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    users.lines().find_map(of_postgres).map(Some).context("there is no user `postgres`")
}

fn as_user(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
        command.env_remove(name);
    }
    command
}
