//! Failing each allocation of something in turn.

#![allow(dead_code)]

use super::{Came, Driver};
use contract::{Kernel, PoolFault};
use reactos::Variant;
use std::collections::BTreeMap;

/// More allocations than any of the operations makes.
const MANY: u32 = 40;

/// Fails the allocation behind the next `skip` ones, whatever its tag is.
fn fail_nth(driver: &mut Driver, skip: u32) {
    driver.fail(b"", skip, 1);
}

/// Whether the failure that was asked for has happened; none is asked for any more.
fn happened(driver: &mut Driver) -> bool {
    let left = driver.word(driver.kernel.image().pool_faults.add(8));
    for slot in 0..PoolFault::SLOTS {
        let at = driver.kernel.image().pool_faults.add(slot * PoolFault::SIZE);
        driver.m.poke(driver.m.cpu.cr3, at, &[0; PoolFault::SIZE as usize]).unwrap();
    }
    left == 0
}

/// What is in use, by kind; neither handles, which the statuses tell of, nor pages, which follow.
fn in_use(driver: &Driver) -> BTreeMap<String, i64> {
    let counted = driver.kernel.inventory(&driver.m).into_iter();
    let kept = counted
        .filter(|(kind, _)| kind.starts_with("pool ") || kind == "kernel stacks" || kind == "locks held");
    kept.map(|(kind, count)| (kind, i64::from(count))).collect()
}

/// `; leaves 1 CIDO, 1 kernel stacks`, or nothing.
fn left(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> String {
    let mut parts = Vec::new();
    for (kind, count) in after {
        let more = count - before.get(kind).unwrap_or(&0);
        if more != 0 {
            parts.push(format!("{more} {}", kind.trim_start_matches("pool ")));
        }
    }
    if parts.is_empty() { String::new() } else { format!("; leaves {}", parts.join(", ")) }
}

/// What came of a call.
pub fn told(driver: &Driver, came: Came) -> String {
    match came {
        Came::Returned(status) => format!("{status:08X}"),
        Came::Stopped => {
            let stop = driver.view().bugcheck.unwrap();
            format!("stop {:02X} {}", stop.code, stop.parameters[0])
        }
        came => format!("{came:?}").to_lowercase(),
    }
}

/// Runs `act` on machines that `prepare` makes, with the first allocation of `act` failing, then the
/// second, until none fails: a line for each. `then` goes on with memory again, unless the system stopped,
/// and adds to the line. At the end another process lives and dies as if nothing had been.
pub fn sweep<T>(
    variant: Variant,
    prepare: impl Fn(&mut Driver) -> T,
    act: impl Fn(&mut Driver, &T) -> Came,
    then: impl Fn(&mut Driver, &T) -> String,
) -> Vec<String> {
    let calm = sweep_at(variant, None, &prepare, &act, &then);
    // The same with a clock interrupt after every few instructions.
    assert_eq!(sweep_at(variant, Some(73), &prepare, &act, &then), calm);
    calm
}

fn sweep_at<T>(
    variant: Variant,
    period: Option<u64>,
    prepare: impl Fn(&mut Driver) -> T,
    act: impl Fn(&mut Driver, &T) -> Came,
    then: impl Fn(&mut Driver, &T) -> String,
) -> Vec<String> {
    let mut lines = Vec::new();
    for skip in 0..MANY {
        let mut driver = Driver::boot(variant, period);
        let made = prepare(&mut driver);
        let before = in_use(&driver);
        fail_nth(&mut driver, skip);
        let came = act(&mut driver, &made);
        if !happened(&mut driver) {
            return lines;
        }
        let mut line = told(&driver, came);
        if came != Came::Stopped {
            line += &left(&before, &in_use(&driver));
            line += &then(&mut driver, &made);
        }
        if !driver.stopped() {
            works(&mut driver);
        }
        lines.push(line);
    }
    panic!("{MANY} allocations: {lines:#?}");
}

/// Another process lives and dies.
fn works(driver: &mut Driver) {
    let before = in_use(driver);
    driver.named.clear();
    let next = driver.process("next");
    let main = driver.thread("main", next, 2, &[]);
    assert_eq!(driver.call(main.id, "ExitProcess", &[3]), Came::Ended);
    assert_eq!(driver.facts()[1], "process next exit status: 00000003");
    let (_, init) = driver.init();
    for handle in [main.handle, next.handle] {
        assert_eq!(driver.call(init, "NtClose", &[handle]), Came::Returned(0));
    }
    assert_eq!(left(&before, &in_use(driver)), "");
}
