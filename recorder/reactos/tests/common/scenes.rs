//! What several tests begin with.

#![allow(dead_code)]

use super::{Came, Driver, Made};
use contract::program;

const FOREVER: [u32; 2] = [0, 0x8000_0000];

/// A process with threads main and worker.
pub fn app(driver: &mut Driver) -> (Made, Made, Made) {
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    let worker = driver.thread("worker", app, 0, &[]);
    (app, main, worker)
}

/// Has a thread sleep for good.
pub fn sleep(driver: &mut Driver, process: Made, thread: Made, alertable: u32) {
    driver.set_data(process.id, 0x40, &FOREVER);
    let args = [alertable, program::DATA.0 + 0x40];
    assert_eq!(driver.call(thread.id, "NtDelayExecution", &args), Came::Waits);
}
