//! Writes what traced sessions note, as lines of JSON: a file for each link, named by when it began.
//!
//! The first line says what the file is; each that follows is one event with `time` in milliseconds since the
//! link began, `name` and `data` (draft-ietf-quic-qlog-main-schema §7); the names are those of
//! draft-ietf-quic-qlog-quic-events, under `fhp:`. A thread of its own writes: whoever sends and receives hands
//! events over and waits for no disk; what the thread has no room for is missing, and the file says so.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use freehold_net_proto::header::Kind;
use freehold_net_proto::{Session, SessionId, Time, TraceEvent};
use serde_json::{Value, json};

use crate::limits::{TRACE_BYTES_MAX, TRACE_FILES_MAX, TRACE_WAITING_MAX};

/// Events on their way to the thread.
#[derive(Debug)]
struct Batch {
    session: SessionId,
    events: Vec<(Time, TraceEvent)>,
    is_over: bool,
}

/// The traces of one socket's sessions. What was handed over is written when this is dropped.
#[derive(Debug)]
pub(super) struct Traces {
    batches: Option<Sender<Batch>>,
    thread: Option<JoinHandle<()>>,
    /// Events that the thread has not looked at.
    waiting: Arc<AtomicUsize>,
    /// Events that each session lost because the thread was behind.
    missed: HashMap<SessionId, u64>,
}

impl Traces {
    /// Starts the thread; the folder is made if there is none.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn start(dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        // Whoever cannot write here learns it now, and not from a log.
        fs::read_dir(dir)?;
        let (batches, receiver) = channel();
        let waiting = Arc::<AtomicUsize>::default();
        let writer =
            Writer { dir: dir.to_owned(), files: HashMap::new(), made: 0, waiting: Arc::clone(&waiting) };
        let thread = std::thread::Builder::new().name("fhp-trace".to_owned());
        let thread = thread.spawn(move || writer.run(&receiver))?;
        Ok(Self { batches: Some(batches), thread: Some(thread), waiting, missed: HashMap::new() })
    }

    /// Takes what a session has noted. Of one that another machine began nothing is taken before it is let in:
    /// strangers would else push out the traces of links with their own.
    pub(super) fn take(&mut self, id: SessionId, session: &mut Session) {
        if session.is_of_stranger() {
            return;
        }
        let mut events: Vec<_> = std::iter::from_fn(|| session.poll_trace()).collect();
        let is_over = session.is_over();
        if events.is_empty() && !is_over {
            return;
        }
        let missed = self.missed.remove(&id).unwrap_or_default();
        if self.waiting.load(Ordering::Acquire) + events.len() > TRACE_WAITING_MAX {
            // How it ended is said in any case, and how much is missing before that.
            let last = if is_over { events.pop() } else { None };
            let missed = missed + events.len() as u64;
            events.clear();
            match last {
                Some((at, event)) => events.extend([(at, TraceEvent::Missed { count: missed }), (at, event)]),
                None => drop(self.missed.insert(id, missed)),
            }
        } else if let (true, Some((at, _))) = (missed > 0, events.first()) {
            events.insert(0, (*at, TraceEvent::Missed { count: missed }));
        }
        if is_over {
            self.missed.remove(&id);
        }
        self.waiting.fetch_add(events.len(), Ordering::AcqRel);
        let batch = Batch { session: id, events, is_over };
        if self.batches.as_ref().is_some_and(|batches| batches.send(batch).is_err()) {
            // Its thread has panicked, which is said when this is dropped.
            self.batches = None;
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        self.batches = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes link traces ended early");
        }
    }
}

/// The thread's side.
struct Writer {
    dir: PathBuf,
    files: HashMap<SessionId, TraceFile>,
    /// Files made so far.
    made: u64,
    waiting: Arc<AtomicUsize>,
}

/// One link's file.
struct TraceFile {
    /// `None` once it is full or could not be written.
    out: Option<BufWriter<File>>,
    bytes: u64,
    began: Time,
}

impl Writer {
    fn run(mut self, batches: &Receiver<Batch>) {
        loop {
            let batch = match batches.try_recv() {
                Ok(batch) => batch,
                Err(TryRecvError::Empty) => {
                    // Whoever reads along sees what happened until now.
                    self.files.values_mut().for_each(TraceFile::flush);
                    let Ok(batch) = batches.recv() else { return };
                    batch
                }
                Err(TryRecvError::Disconnected) => return,
            };
            self.waiting.fetch_sub(batch.events.len(), Ordering::AcqRel);
            self.write(&batch);
        }
    }

    fn write(&mut self, batch: &Batch) {
        if let Some((began, _)) = batch.events.first() {
            if !self.files.contains_key(&batch.session) {
                let file = self.begin(*began, &batch.events);
                self.files.insert(batch.session, file);
            }
            let file = self.files.get_mut(&batch.session).expect("it was just put there");
            batch.events.iter().for_each(|(at, event)| file.event(*at, event));
        }
        if batch.is_over
            && let Some(mut file) = self.files.remove(&batch.session)
        {
            file.flush();
        }
    }

    /// Opens a link's file, after making room for it.
    fn begin(&mut self, began: Time, events: &[(Time, TraceEvent)]) -> TraceFile {
        self.made += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("fhp-{:012}-{}-{:06}.jsonl", since.as_secs(), std::process::id(), self.made);
        let mut options = OpenOptions::new();
        let opened = make_room(&self.dir)
            .and_then(|()| options.write(true).create_new(true).mode(0o600).open(self.dir.join(name)));
        if let Err(error) = &opened {
            tracing::warn!(%error, "a link's trace could not be begun");
        }
        let is_client = events.iter().any(|(_, event)| *event == TraceEvent::Started { is_client: true });
        let mut file = TraceFile { out: opened.ok().map(BufWriter::new), bytes: 0, began };
        file.line(&json!({
            "qlog_schema": "draft-ietf-quic-qlog-main-schema",
            "serialization_format": "JSON lines",
            "title": "FHP/1 link",
            "vantage_point": { "type": if is_client { "client" } else { "server" } },
            "common_fields": { "time_format": "relative_to_epoch", "reference_unix_ms": millis(since) },
        }));
        file
    }
}

/// Removes the oldest traces until one more may be made. Their names begin with their time.
fn make_room(dir: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with("fhp-") && name.ends_with(".jsonl"));
        names.extend(is_ours.then_some(name));
    }
    names.sort();
    let many = (names.len() + 1).saturating_sub(TRACE_FILES_MAX);
    names.into_iter().take(many).try_for_each(|name| match fs::remove_file(dir.join(name)) {
        // Another program that traces into the folder was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    })
}

impl TraceFile {
    fn event(&mut self, at: Time, event: &TraceEvent) {
        let (name, data) = describe(event);
        let time = millis(at.since(self.began));
        self.line(&json!({ "time": time, "name": format!("fhp:{name}"), "data": data }));
    }

    fn line(&mut self, line: &Value) {
        let Some(out) = &mut self.out else { return };
        let mut text = line.to_string();
        text.push('\n');
        self.bytes += text.len() as u64;
        let is_full = self.bytes > TRACE_BYTES_MAX;
        if is_full {
            text =
                json!({ "name": "fhp:trace_full", "data": { "limit_bytes": TRACE_BYTES_MAX } }).to_string();
            text.push('\n');
        }
        let written = out.write_all(text.as_bytes());
        if is_full {
            self.flush();
            self.out = None;
        }
        self.settle(written);
    }

    fn flush(&mut self) {
        let flushed = self.out.as_mut().map_or(Ok(()), BufWriter::flush);
        self.settle(flushed);
    }

    /// A file that cannot be written is left as it is.
    fn settle(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            tracing::warn!(%error, "a link's trace ends early");
            self.out = None;
        }
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// An event's name and what it says.
fn describe(event: &TraceEvent) -> (&'static str, Value) {
    match event {
        TraceEvent::Started { is_client } => {
            ("connection_started", json!({ "initiator": if *is_client { "local" } else { "remote" } }))
        }
        TraceEvent::Sent { kind, number, bytes, is_eliciting } => (
            "packet_sent",
            json!({ "header": header(*kind, *number), "raw": { "length": bytes }, "ack_eliciting": is_eliciting }),
        ),
        TraceEvent::Received { kind, number, bytes } => {
            ("packet_received", json!({ "header": header(*kind, *number), "raw": { "length": bytes } }))
        }
        TraceEvent::Acked { packets, bytes, largest } => {
            ("packets_acked", json!({ "packets": packets, "bytes": bytes, "largest_acknowledged": largest }))
        }
        TraceEvent::Lost { number, bytes, is_probe } => {
            let data = json!({ "header": { "packet_number": number }, "raw": { "length": bytes }, "is_mtu_probe_packet": is_probe });
            ("packet_lost", data)
        }
        TraceEvent::Metrics { smoothed_rtt, latest_rtt, window, in_flight } => {
            let rtt = json!({
                "smoothed_rtt": millis(*smoothed_rtt),
                "latest_rtt": millis(*latest_rtt),
                "congestion_window": window,
                "bytes_in_flight": in_flight,
            });
            ("recovery_metrics_updated", rtt)
        }
        TraceEvent::TimedOut { count } => (
            "loss_timer_updated",
            json!({ "timer_type": "pto", "event_type": "expired", "pto_count": count }),
        ),
        TraceEvent::Size { bytes } => ("mtu_updated", json!({ "new": bytes })),
        TraceEvent::KeyChanged => ("key_updated", json!({})),
        TraceEvent::Established => ("connection_state_updated", json!({ "new": "handshake_confirmed" })),
        TraceEvent::Closed(why) => ("connection_closed", json!({ "reason": why.to_string() })),
        TraceEvent::Missed { count } => ("events_missed", json!({ "count": count })),
    }
}

fn header(kind: Kind, number: u64) -> Value {
    let name = match kind {
        Kind::Init => "init",
        Kind::Resp => "resp",
        Kind::Retry => "retry",
        Kind::Data => "data",
        Kind::Ack => "ack",
        Kind::Probe => "probe",
        Kind::Close => "close",
        Kind::Reset => "reset",
    };
    json!({ "packet_type": name, "packet_number": number })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(dir: &Path) -> Writer {
        Writer { dir: dir.to_owned(), files: HashMap::new(), made: 0, waiting: Arc::default() }
    }

    fn batch(session: SessionId, events: usize) -> Batch {
        let event = TraceEvent::Sent { kind: Kind::Data, number: 1 << 40, bytes: 1_452, is_eliciting: true };
        Batch { session, events: vec![(Time::default(), event); events], is_over: false }
    }

    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").path());
        entries.collect()
    }

    #[test]
    fn a_trace_is_no_longer_than_its_limit_and_says_that_it_ends() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut writer = writer(dir.path());
        for _ in 0..40 {
            writer.write(&batch(1, 4_096));
        }
        let text = fs::read_to_string(&files(dir.path())[0]).expect("text");
        assert!(text.len() as u64 <= TRACE_BYTES_MAX + 256, "{}", text.len());
        assert!(text.lines().last().is_some_and(|line| line.contains("fhp:trace_full")));
    }

    #[test]
    fn the_oldest_traces_go_and_nothing_else_in_the_folder_does() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::write(dir.path().join("notes.jsonl"), "mine").expect("written");
        let mut writer = writer(dir.path());
        for session in 0..TRACE_FILES_MAX as u32 + 9 {
            writer.write(&batch(session, 1));
        }
        let names: Vec<_> = files(dir.path())
            .into_iter()
            .filter_map(|path| path.file_name().map(|name| name.to_owned()))
            .collect();
        assert_eq!(names.len(), TRACE_FILES_MAX + 1);
        assert!(names.iter().any(|name| name == "notes.jsonl"));
        assert!(!names.iter().any(|name| name.to_string_lossy().ends_with("-000009.jsonl")), "{names:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_said_at_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        assert!(Traces::start(&file.join("below")).is_err());
    }
}
