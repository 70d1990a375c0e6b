//! The user side of a thread's beginning and end: reactos.md 10.3 to 10.5.

mod common;

use common::{Came, Driver, Made};
use contract::program;
use reactos::Variant;

const PERIODS: [Option<u64>; 4] = [None, Some(37), Some(73), Some(127)];
const PROCESS_DETACH: u32 = 0;
const PROCESS_ATTACH: u32 = 1;
const THREAD_ATTACH: u32 = 2;
const THREAD_DETACH: u32 = 3;

/// What the DLLs were told since `from`: which one, the reason, and Reserved.
fn told(driver: &Driver, from: usize) -> Vec<(&'static str, u32, u32)> {
    let calls = driver.entered[from..].iter().filter(|(name, _)| name.ends_with("DllMain"));
    calls.map(|(name, args)| (name.trim_end_matches("DllMain"), args[1], args[2])).collect()
}

fn app(driver: &mut Driver) -> (Made, Made) {
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    (app, main)
}

#[test]
fn dlls_are_told_in_order_and_in_reverse() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let from = driver.entered.len();
        let (app, main) = app(&mut driver);
        assert_eq!(
            told(&driver, from),
            [
                ("Kernel32", PROCESS_ATTACH, 1),
                ("Msvcrt", PROCESS_ATTACH, 1),
                ("Kernel32", THREAD_ATTACH, 0),
                ("Msvcrt", THREAD_ATTACH, 0),
            ]
        );
        let from = driver.entered.len();
        let worker = driver.thread("worker", app, 0, &[]);
        assert_eq!(told(&driver, from), [("Kernel32", THREAD_ATTACH, 0), ("Msvcrt", THREAD_ATTACH, 0)]);
        let from = driver.entered.len();
        driver.go(worker.id, program::LEAVE, 5, 0);
        assert_eq!(told(&driver, from), [("Msvcrt", THREAD_DETACH, 0), ("Kernel32", THREAD_DETACH, 0)]);
        let from = driver.entered.len();
        assert_eq!(driver.call(main.id, "ExitProcess", &[0]), Came::Ended);
        assert_eq!(told(&driver, from), [("Msvcrt", PROCESS_DETACH, 1), ("Kernel32", PROCESS_DETACH, 1)]);
        // Without the loader lock.
        let locked = driver.entered[from..].iter().any(|(name, _)| *name == "RtlEnterCriticalSection");
        assert!(!locked);
    }
}

#[test]
fn terminating_tells_no_dll() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, main) = app(&mut driver);
    let from = driver.entered.len();
    assert_eq!(driver.call(main.id, "TerminateProcess", &[u32::MAX, 0]), Came::Ended);
    assert_eq!(told(&driver, from), []);
}

#[test]
fn the_last_threads_exit_ends_the_process_instead() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, main) = app(&mut driver);
    let from = driver.entered.len();
    assert_eq!(driver.call(main.id, "ExitThread", &[4]), Came::Ended);
    assert_eq!(told(&driver, from), [("Msvcrt", PROCESS_DETACH, 1), ("Kernel32", PROCESS_DETACH, 1)]);
    assert_eq!(driver.view().processes[0].exit_status.unwrap().0, 4);
}

#[test]
fn the_loader_lock_keeps_threads_apart() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main) = app(&mut driver);
        let image = contract::Kernel::image(&driver.kernel);
        let at = |name: &str| image.address(name).unwrap();
        let (enter, leave) = (at("RtlEnterCriticalSection"), at("RtlLeaveCriticalSection"));
        let cr3 = contract::Kernel::address_space(&driver.kernel, &driver.m, app.id).unwrap();
        let mut raw = [0; 4];
        driver.m.peek(cr3, machine::Va(0x7FFD_F0A0), &mut raw).unwrap();
        let lock = u32::from_le_bytes(raw);
        // Twice, as LdrpAttachThread does inside LdrInitializeThunk.
        for _ in 0..2 {
            assert_eq!(driver.call_at(main.id, enter, &[lock]), Came::Returned(0));
        }
        let from = driver.entered.len();
        let worker = driver.thread("worker", app, 0, &[]);
        let other = driver.thread("other", app, 0, &[]);
        assert_eq!(told(&driver, from), []);
        let states =
            |driver: &Driver| driver.view().threads.iter().map(|t| t.state.clone()).collect::<Vec<_>>();
        assert_eq!(states(&driver), ["running", "waiting", "waiting"]);
        assert_eq!(driver.call_at(main.id, leave, &[lock]), Came::Returned(0));
        assert_eq!(states(&driver), ["running", "waiting", "waiting"]);
        assert_eq!(driver.call_at(main.id, leave, &[lock]), Came::Returned(0));
        assert_eq!(states(&driver), ["running", "running", "running"]);
        driver.make_current(worker.id);
        driver.make_current(other.id);
        // The lock is nobody's again, and its event is kept.
        let mut raw = [0; 20];
        driver.m.peek(cr3, machine::Va(lock), &mut raw).unwrap();
        assert_eq!(raw[4..16], [255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_ne!(raw[16], 0);
    }
}

#[test]
fn a_process_without_an_image_ends_at_once() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (init, thread) = driver.init();
    // NtCreateProcess without a section, then a thread in it.
    let args = [program::DATA.0, 0x1F_0FFF, 0, u32::MAX, 0, 0, 0, 0];
    assert_eq!(driver.call(thread, "NtCreateProcess", &args), Came::Returned(0));
    let handle = driver.data(init, 0);
    let (id, kind) =
        contract::Kernel::object(&driver.kernel, &driver.m, contract::Owner::Init, handle).unwrap();
    driver.named.push(contract::Named { name: "empty".to_owned(), kind, id });
    driver.thread("main", Made { id, handle }, 2, &[]);
    assert_eq!(
        driver.facts(),
        [
            "process empty state: terminated",
            "process empty exit status: C0000001",
            "thread main state: terminated",
            "thread main exit status: C0000001"
        ]
    );
}
