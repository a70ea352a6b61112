//! Memory taken from the system while bytes flow: none for a datagram.

use crate::kit::{COUNTED, Pair, content};
use crate::network::Network;
use std::alloc::{GlobalAlloc, Layout, System};
use std::time::Duration;

/// The system's allocator, which counts.
struct Counting;

#[expect(unsafe_code, reason = "an allocator is unsafe by its nature; this one hands everything on")]
// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending has nothing that is counted.
        let _ = COUNTED.try_with(|counted| counted.set(counted.get().map(|count| count + 1)));
        // SAFETY: as it came.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as it came.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_datagram_that_is_sent_or_taken_in_allocates_nothing_of_its_own() {
    let mut pair = Pair::connected(Network::perfect(Duration::from_millis(1)));
    // Until buffers and windows have their size.
    let is_there = |lane: u64| move |pair: &Pair| pair.server.came.get(&lane).is_some_and(|came| came.1);
    let first = pair.client.send(3, &content(20 << 20));
    assert!(pair.run(Duration::from_secs(60), is_there(first)));
    pair.allocations = 0;
    let before = pair.client.session().stats().sent.0 + pair.server.session().stats().sent.0;
    let lane = pair.client.send(3, &content(40 << 20));
    assert!(pair.run(Duration::from_secs(60), is_there(lane)));
    let datagrams = pair.client.session().stats().sent.0 + pair.server.session().stats().sent.0 - before;
    let of_each = pair.allocations as f64 / datagrams as f64;
    assert!(datagrams > 29_000, "{datagrams} datagrams");
    assert!(of_each < 0.2, "{} allocations for {datagrams} datagrams: {of_each:.2} each", pair.allocations);
}
