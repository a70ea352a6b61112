//! Who may hand bytes to the carrier next when its send window is full.
//!
//! The carrier orders what it already holds by priority, but a full window is refilled by whichever
//! writer wakes first. So a writer stands aside while a more urgent one is blocked. It does so for
//! [`TURN_FLOOR`] at most: a peer that leaves an urgent response unread must not stop the rest.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::limits::TURN_FLOOR;
use crate::wire::Class;

/// Writers of one link, counted by class while they are inside a write.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    writing: [AtomicUsize; Class::ALL.len()],
    left: Notify,
}

/// Counts as a writer until dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    class: Class,
}

impl Turns {
    /// Waits for the turn of `class` and takes it.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place up.
    pub(crate) async fn take(&self, class: Class) -> Turn<'_> {
        let deadline = Instant::now() + TURN_FLOOR;
        loop {
            let left = self.left.notified();
            tokio::pin!(left);
            left.as_mut().enable();
            if !self.more_urgent(class) || timeout_at(deadline, left).await.is_err() {
                break;
            }
        }
        self.count(class).fetch_add(1, Ordering::Relaxed);
        Turn { turns: self, class }
    }

    fn more_urgent(&self, class: Class) -> bool {
        let mut classes = Class::ALL.into_iter().take_while(|other| *other < class);
        classes.any(|other| self.count(other).load(Ordering::Relaxed) > 0)
    }

    fn count(&self, class: Class) -> &AtomicUsize {
        self.writing.get(class as usize).expect("one counter for each class")
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.count(self.class).fetch_sub(1, Ordering::Relaxed);
        self.turns.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn less_urgent_writer_waits_until_the_urgent_one_leaves() {
        let turns = Turns::default();
        let urgent = turns.take(Class::MountRead).await;
        let mut bulk = tokio_test_task(turns.take(Class::Bulk));
        assert!(bulk.poll_once().await.is_none(), "bulk stands aside");
        drop(urgent);
        assert!(bulk.poll_once().await.is_some(), "bulk goes on");
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_moves_after_the_floor_even_while_an_urgent_writer_stays_blocked() {
        let turns = Turns::default();
        let _urgent = turns.take(Class::Control).await;
        let started = Instant::now();
        let _bulk = turns.take(Class::Bulk).await;
        assert_eq!(started.elapsed().as_millis() / 20, 1, "one floor of virtual time");
    }

    #[tokio::test(start_paused = true)]
    async fn equal_and_more_urgent_writers_never_wait() {
        let turns = Turns::default();
        let started = Instant::now();
        let _first = turns.take(Class::Bulk).await;
        let _second = turns.take(Class::Bulk).await;
        let _third = turns.take(Class::Control).await;
        assert_eq!(started.elapsed().as_millis(), 0);
    }

    struct Task<F: Future>(std::pin::Pin<Box<F>>);

    fn tokio_test_task<F: Future>(future: F) -> Task<F> {
        Task(Box::pin(future))
    }

    impl<F: Future> Task<F> {
        async fn poll_once(&mut self) -> Option<F::Output> {
            std::future::poll_fn(|cx| {
                std::task::Poll::Ready(match self.0.as_mut().poll(cx) {
                    std::task::Poll::Ready(out) => Some(out),
                    std::task::Poll::Pending => None,
                })
            })
            .await
        }
    }
}
