//! The pending set against a kernel that records what it is told, and one that holds a call until
//! released.

use std::sync::mpsc;

use super::*;

fn entry(dir: Ino, name: &str) -> Inval {
    Inval::Entry { dir, name: name.into() }
}

fn changed(dir: Ino, name: &str) -> Notice {
    Notice::Entry { parent: dir, name: name.into() }
}

/// Everything queued, in order, without a thread.
fn queued(queue: &InvalQueue) -> Vec<Inval> {
    queue.state.lock().order.iter().cloned().collect()
}

#[test]
fn remote_entry_drops_the_dentry_and_then_the_listing() {
    let queue = InvalQueue::default();
    queue.publish(changed(1, "a"));
    assert_eq!(queued(&queue), [entry(1, "a"), Inval::Listing(1)]);
}

#[test]
fn detached_inode_drops_attributes_only() {
    let queue = InvalQueue::default();
    queue.publish(Notice::Detached { ino: 7 });
    queue.publish(Notice::Attr { ino: 8 });
    assert_eq!(queued(&queue), [Inval::Attributes(7), Inval::Attributes(8)]);
}

#[test]
fn a_batch_in_one_directory_drops_its_listing_once() {
    let queue = InvalQueue::default();
    for name in ["a", "b", "a"] {
        queue.publish(changed(1, name));
    }
    queue.publish(Notice::Listing { dir: 1 });
    assert_eq!(queued(&queue), [entry(1, "a"), Inval::Listing(1), entry(1, "b")]);
}

#[test]
fn rename_of_a_pending_name_makes_the_target_pending() {
    let queue = InvalQueue::default();
    queue.publish(changed(1, "a"));
    queue.renamed((1, b"a"), (2, b"b"));
    assert!(queued(&queue).contains(&entry(2, "b")));
}

#[test]
fn rename_before_the_notice_is_followed_over_several_hops() {
    let queue = InvalQueue::default();
    queue.renamed((1, b"a"), (1, b"b"));
    queue.renamed((1, b"b"), (2, b"c"));
    queue.renamed((1, b"x"), (1, b"y"));
    queue.publish(changed(1, "a"));
    assert_eq!(queued(&queue), [entry(1, "b"), entry(2, "c"), entry(1, "a"), Inval::Listing(1)]);
}

#[test]
fn rename_of_an_untouched_name_queues_nothing() {
    let queue = InvalQueue::default();
    queue.publish(changed(1, "a"));
    queue.renamed((1, b"c"), (1, b"d"));
    assert_eq!(queued(&queue), [entry(1, "a"), Inval::Listing(1)]);
}

#[test]
fn the_trail_forgets_the_oldest_rename_first() {
    let queue = InvalQueue::default();
    queue.renamed((1, b"a"), (1, b"b"));
    for _ in 0..MAX_RENAME_TRAIL {
        queue.renamed((1, b"x"), (1, b"y"));
    }
    queue.publish(changed(1, "a"));
    assert_eq!(queued(&queue), [entry(1, "a"), Inval::Listing(1)]);
}

/// Reports each call when it starts and returns when the test says so.
struct HeldKernel {
    started: mpsc::Sender<Inval>,
    release: mpsc::Receiver<()>,
}

impl KernelNotify for HeldKernel {
    fn send(&self, inval: &Inval) -> io::Result<()> {
        self.started.send(inval.clone()).expect("the test listens until the queue is closed");
        self.release.recv().map_err(io::Error::other)
    }
}

fn held() -> (Arc<InvalQueue>, mpsc::Receiver<Inval>, mpsc::Sender<()>, thread::JoinHandle<()>) {
    let queue = Arc::new(InvalQueue::default());
    let (started, starts) = mpsc::channel();
    let (releases, release) = mpsc::channel();
    let thread =
        spawn(queue.clone(), Box::new(HeldKernel { started, release })).expect("a thread can be started");
    (queue, starts, releases, thread)
}

#[test]
fn rename_during_the_kernel_call_still_reaches_the_target() {
    let (queue, starts, releases, thread) = held();
    queue.publish(changed(1, "a"));
    assert_eq!(starts.recv(), Ok(entry(1, "a")));
    queue.renamed((1, b"a"), (1, b"b"));
    releases.send(()).expect("the kernel waits");
    assert_eq!(starts.recv(), Ok(Inval::Listing(1)));
    releases.send(()).expect("the kernel waits");
    assert_eq!(starts.recv(), Ok(entry(1, "b")));
    releases.send(()).expect("the kernel waits");
    queue.drain();
    queue.close();
    thread.join().expect("the notifier thread ends");
}

#[test]
fn a_second_change_during_the_kernel_call_is_sent_again() {
    let (queue, starts, releases, thread) = held();
    queue.publish(Notice::Attr { ino: 5 });
    assert_eq!(starts.recv(), Ok(Inval::Attributes(5)));
    queue.publish(Notice::Attr { ino: 5 });
    releases.send(()).expect("the kernel waits");
    assert_eq!(starts.recv(), Ok(Inval::Attributes(5)));
    releases.send(()).expect("the kernel waits");
    queue.drain();
    queue.close();
    thread.join().expect("the notifier thread ends");
}

#[test]
fn disarmed_queue_drops_notices_until_rearmed() {
    let queue = InvalQueue::default();
    queue.publish(Notice::Attr { ino: 5 });
    queue.disarm();
    queue.publish(Notice::Attr { ino: 6 });
    assert_eq!(queued(&queue), []);
    queue.drain();
    queue.rearm();
    queue.publish(Notice::Attr { ino: 7 });
    assert_eq!(queued(&queue), [Inval::Attributes(7)]);
}
