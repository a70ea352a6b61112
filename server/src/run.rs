//! From settings to a serving program, and out again.
//!
//! Order matters: directory, lock, database, the keys it belongs to, port, and only then the ready
//! line. Whatever fails ends the program with one line. Stopping lets requests under way finish for a few seconds.

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::db::{MetaStore, Notices, OpenError, PostgresStore, StoreError};
use crate::keys::{KeyFileError, ServerKeys};
use crate::limits::STOP_GRACE;
use crate::{App, http, relay};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How often ended sessions and tokens are cleared.
const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

/// The server cannot start. Each text is the one line the program ends with.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another server uses it.
    #[error("another freehold-server is running on {path}; stop it, or name another --data-dir")]
    Running {
        /// The directory.
        path: PathBuf,
    },
    /// The key file cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The database belongs to keys that are not here.
    #[error(
        "the database belongs to a server whose keys are not in {path}: copy its server.keys there, or restore the file from a backup"
    )]
    OtherKeys {
        /// Where the key file must be.
        path: PathBuf,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// A first statement failed.
    #[error("the database does not work: {0}")]
    Store(#[from] StoreError),
    /// The port is taken or not ours to take.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server that has its port and can serve.
pub struct Ready {
    app: Arc<App>,
    listener: TcpListener,
    /// What other servers over the database are told, and where they are heard.
    shared: Option<(PostgresStore, Notices)>,
    address: SocketAddr,
    /// Held as long as the server runs.
    _lock: File,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ready").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Opens everything the server needs.
///
/// # Errors
/// [`StartError`], whose text is fit to end the program with.
pub async fn start(config: &Config) -> Result<Ready, StartError> {
    make_data_dir(&config.data_dir)?;
    let lock = lock(&config.data_dir)?;
    let clock = Clock::System;
    let opened = config.database.open(clock.micros()).await?;
    let keys = keys_of(opened.store.as_ref(), &config.data_dir).await?;
    opened.store.sweep(clock.micros()).await?;
    let shared = match opened.shared {
        Some(store) => Some((store.clone(), store.notices().await?)),
        None => None,
    };
    let address = config.listen;
    let listen_error = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let app = Arc::new(App::new(opened.store, keys, clock));
    Ok(Ready { app, listener, shared, address, _lock: lock })
}

/// The keys that the database belongs to. Fresh ones are made for a fresh database only: others
/// would make every login in it worthless.
async fn keys_of(store: &dyn MetaStore, data_dir: &Path) -> Result<ServerKeys, StartError> {
    let other = || StartError::OtherKeys { path: ServerKeys::path(data_dir) };
    let keys = match store.key_fingerprint().await? {
        Some(_) => ServerKeys::load(data_dir)?.ok_or_else(other)?,
        None => ServerKeys::load_or_create(data_dir)?,
    };
    store.put_key_fingerprint(keys.fingerprint()).await?;
    // Read again: another server may have been first.
    let belongs = store.key_fingerprint().await? == Some(keys.fingerprint());
    if belongs { Ok(keys) } else { Err(other()) }
}

impl Ready {
    /// The address it serves on, with the real port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, then lets requests under way finish.
    ///
    /// # Errors
    /// As the listener fails.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(sweep(Arc::clone(&self.app)));
        if let Some((store, notices)) = self.shared {
            relay::start(&self.app, store, notices, &mut tasks);
        }
        let service = http::router(Arc::clone(&self.app)).into_make_service_with_connect_info::<SocketAddr>();
        let app = Arc::clone(&self.app);
        let (stopped, on_stop) = tokio::sync::oneshot::channel();
        let signal = async move {
            stop.await;
            app.stop();
            let _ = stopped.send(());
        };
        let serving = axum::serve(self.listener, service).with_graceful_shutdown(signal);
        let result = tokio::select! {
            result = serving => result,
            () = grace_over(on_stop) => {
                tracing::warn!("requests still under way were cut off");
                Ok(())
            }
        };
        tasks.shutdown().await;
        result
    }
}

/// Done some seconds after the stop signal; never, when there is none.
async fn grace_over(on_stop: tokio::sync::oneshot::Receiver<()>) {
    if on_stop.await.is_err() {
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(STOP_GRACE).await;
}

async fn sweep(app: Arc<App>) {
    let mut timer = tokio::time::interval(SWEEP_EVERY);
    loop {
        timer.tick().await;
        if let Err(error) = app.store.sweep(app.clock.micros()).await {
            tracing::warn!("clearing ended sessions failed: {error}");
        }
    }
}

/// Makes the directory for its owner alone.
pub(crate) fn make_data_dir(path: &Path) -> Result<(), StartError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StartError::DataDir { path: path.to_owned(), source })
}

/// Two servers on one directory would use one SQLite file and one set of throttles each.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    let path = data_dir.join("server.lock");
    let error = |source| StartError::DataDir { path: data_dir.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.map_err(error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::Running { path: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(error(source)),
    }
}
