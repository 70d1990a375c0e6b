//! Doing things beside each other, with the results in order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

/// At most this many threads work beside each other.
const WORKERS: usize = 2;

/// Calls `work` with every item, on at most two threads, and `take` with every result, on this one,
/// in the order of the items and as soon as it is its turn. Ends early when `take` fails.
///
/// # Errors
/// What `take` failed with.
pub fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(usize, R) -> Result<(), E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::channel();
    let here = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..here.min(WORKERS).min(items.len()) {
            let (send, next, work) = (send.clone(), &next, &work);
            scope.spawn(move || {
                while let Some((index, item)) = take_next(items, next) {
                    if send.send((index, work(item))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut turn = 0;
        for (index, result) in receive {
            early.insert(index, result);
            while let Some(result) = early.remove(&turn) {
                if let Err(error) = take(turn, result) {
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
                turn += 1;
            }
        }
        Ok(())
    })
}

/// Does two things beside each other where there are two processors, else one after the other; the second
/// one on this thread.
///
/// # Panics
/// When one of them does.
pub fn both<A: Send, B>(first: impl FnOnce() -> A + Send, second: impl FnOnce() -> B) -> (A, B) {
    if std::thread::available_parallelism().map_or(1, usize::from) == 1 {
        return (first(), second());
    }
    std::thread::scope(|scope| {
        let first = scope.spawn(first);
        let second = second();
        let first = first.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (first, second)
    })
}

fn take_next<'a, T>(items: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    Some((index, items.get(index)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whichever_is_ready_first() {
        let items: Vec<u64> = (0..40).collect();
        let mut taken = Vec::new();
        let slow_when_even = |item: &u64| {
            std::thread::sleep(std::time::Duration::from_micros(if item.is_multiple_of(2) {
                300
            } else {
                0
            }));
            item * 10
        };
        let result: Result<(), ()> = in_order(&items, slow_when_even, |index, value| {
            taken.push((index as u64, value));
            Ok(())
        });
        assert_eq!(result, Ok(()));
        assert_eq!(taken, items.iter().map(|item| (*item, item * 10)).collect::<Vec<_>>());
    }

    #[test]
    fn two_results_come_in_order_and_a_panic_goes_on() {
        assert_eq!(both(|| 1, || "two"), (1, "two"));
        let panics = || both(|| panic!("the first"), || ());
        let payload = std::panic::catch_unwind(panics).expect_err("it panics");
        assert_eq!(payload.downcast_ref(), Some(&"the first"));
    }

    #[test]
    fn two_things_are_done_beside_each_other_where_there_are_two_processors() {
        let (here, there) = (mpsc::channel(), mpsc::channel());
        let meets = |(send, receive): (mpsc::Sender<()>, mpsc::Receiver<()>)| {
            send.send(()).is_ok() && receive.recv_timeout(std::time::Duration::from_secs(5)).is_ok()
        };
        let met = both(move || meets((here.0, there.1)), move || meets((there.0, here.1)));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        assert_eq!(met, if processors == 1 { (false, false) } else { (true, true) });
    }

    #[test]
    fn a_failure_ends_it() {
        let items: Vec<usize> = (0..1000).collect();
        let worked = AtomicUsize::new(0);
        let work = |_: &usize| worked.fetch_add(1, Ordering::Relaxed);
        let result = in_order(&items, work, |index, _| if index == 3 { Err("full") } else { Ok(()) });
        assert_eq!(result, Err("full"));
    }
}
