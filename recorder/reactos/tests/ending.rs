//! Ending threads and processes: reactos.md section 9, in every branch.

mod common;

use common::{
    Came, Driver,
    scenes::{app, sleep},
};
use contract::{Kernel, program};
use reactos::Variant;

const PERIODS: [Option<u64>; 5] = [None, Some(37), Some(53), Some(101), Some(211)];
const SELF: u32 = 0xFFFF_FFFF;

#[test]
fn returning_from_the_entry_ends_the_process() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let app = driver.process("app");
        let main = driver.thread("main", app, 2, &[]);
        let stacks = driver.inventory("kernel stacks");
        driver.go(main.id, program::LEAVE, 42, 0);
        assert_eq!(
            driver.facts(),
            [
                "process app state: terminated",
                "process app exit status: 0000002A",
                "thread main state: terminated",
                "thread main exit status: 0000002A"
            ]
        );
        // Reaped: only init's handle keeps the object, and so the stack. CSRSS's thread for it is gone.
        assert_eq!(driver.inventory("kernel stacks"), stacks - 1);
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtClose", &[main.handle]), Came::Returned(0));
        assert_eq!(driver.inventory("kernel stacks"), stacks - 2);
        assert_eq!(driver.call(init, "NtClose", &[app.handle]), Came::Returned(0));
        assert_eq!(driver.inventory("processes"), 2);
        assert_eq!(driver.call(init, "NtClose", &[app.handle]), Came::Returned(0xC000_0001));
    }
}

#[test]
fn exit_process_with_another_thread_ends_both() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main, worker) = app(&mut driver);
        sleep(&mut driver, app, worker, 0);
        assert_eq!(driver.call(main.id, "ExitProcess", &[7]), Came::Ended);
        assert_eq!(
            driver.facts(),
            [
                "process app state: terminated",
                "process app exit status: 00000007",
                "thread main state: terminated",
                "thread main exit status: 00000007",
                "thread worker state: terminated",
                "thread worker exit status: 00000007"
            ],
            "{period:?}"
        );
    }
}

#[test]
fn at_r13089_only_the_caller_ends() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::R13089, period);
        let (app, main, worker) = app(&mut driver);
        sleep(&mut driver, app, worker, 0);
        assert_eq!(driver.call(main.id, "ExitProcess", &[7]), Came::Ended);
        assert_eq!(
            driver.facts(),
            [
                "process app state: alive",
                "thread main state: terminated",
                "thread main exit status: 00000007",
                "thread worker state: running"
            ]
        );
        // The aborted wait returned its status to user code.
        driver.make_current(worker.id);
        assert_eq!(driver.m.cpu.reg(machine::Reg::Eax), 0xC000_004B);
    }
}

#[test]
fn a_null_handle_is_an_invalid_handle() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, main, _) = app(&mut driver);
    assert_eq!(driver.call(main.id, "NtTerminateProcess", &[0, 5]), Came::Returned(0xC000_0008));
    assert_eq!(driver.call(main.id, "NtTerminateThread", &[0, 5]), Came::Returned(0xC000_0008));
    assert_eq!(driver.call(main.id, "NtTerminateProcess", &[0x0BAD_BAD0, 5]), Came::Returned(0xC000_0008));
    // A thread's handle: refused, and its reference leaks.
    assert_eq!(driver.call(main.id, "NtTerminateProcess", &[0xFFFF_FFFE, 5]), Came::Returned(0xC000_0024));
}

#[test]
fn another_process_ends_asynchronously_and_twice_is_no_error() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, ..) = app(&mut driver);
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtTerminateProcess", &[app.handle, 9]), Came::Returned(0));
        assert!(driver.view().processes[0].terminated);
        assert!(driver.facts().iter().all(|fact| !fact.ends_with("running")));
        assert_eq!(driver.call(init, "NtTerminateProcess", &[app.handle, 10]), Came::Returned(0));
        assert_eq!(driver.view().processes[0].exit_status.unwrap().0, 10);
    }
}

#[test]
fn a_process_without_threads_only_gets_its_status() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let (_, init) = driver.init();
    assert_eq!(driver.call(init, "NtTerminateProcess", &[app.handle, 9]), Came::Returned(0));
    assert_eq!(driver.facts(), ["process app state: alive"]);
}

#[test]
fn the_last_thread_that_terminates_itself_leaves_process_status_0() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, main, worker) = app(&mut driver);
        assert_eq!(driver.call(worker.id, "NtTerminateThread", &[0xFFFF_FFFE, 3]), Came::Ended);
        assert!(!driver.view().processes[0].terminated);
        assert_eq!(driver.call(main.id, "NtTerminateThread", &[0xFFFF_FFFE, 4]), Came::Ended);
        assert_eq!(driver.view().processes[0].exit_status.unwrap().0, 0);
    }
}

#[test]
fn exit_thread_frees_the_stack_and_the_last_ends_the_process() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, main, worker) = app(&mut driver);
        let areas = driver.inventory("pool MARE");
        driver.go(worker.id, program::LEAVE, 5, 0);
        assert_eq!(driver.inventory("pool MARE"), areas - 1);
        assert_eq!(driver.view().threads[1].exit_status.unwrap().0, 5);
        assert_eq!(driver.call(main.id, "ExitThread", &[6]), Came::Ended);
        assert_eq!(driver.view().processes[0].exit_status.unwrap().0, 6);
    }
}

#[test]
fn a_kernel_mode_wait_outlives_termination_until_it_ends() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main, worker) = app(&mut driver);
        let event = driver.object("NtCreateEvent", &[0, 0]);
        let theirs = driver.give(app, event);
        assert_eq!(driver.call(worker.id, "DriverWait", &[theirs, 0, 0]), Came::Waits);
        assert_eq!(driver.call(main.id, "NtTerminateProcess", &[SELF, 1]), Came::Ended);
        assert_eq!(driver.view().threads[1].state, "waiting");
        assert!(!driver.view().processes[0].terminated);
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtSetEvent", &[event, 0]), Came::Returned(0));
        assert_eq!(driver.view().threads[1].state, "terminated");
        assert!(driver.view().processes[0].terminated);
    }
}

#[test]
fn a_suspended_victim_dies_only_when_it_is_resumed() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, _, worker) = app(&mut driver);
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtSuspendThread", &[worker.handle, 0]), Came::Returned(0));
        assert_eq!(driver.view().threads[1].state, "suspended");
        assert_eq!(driver.call(init, "NtTerminateThread", &[worker.handle, 8]), Came::Returned(0));
        assert_eq!(driver.view().threads[1].state, "suspended");
        // The second killer's status is ignored.
        assert_eq!(driver.call(init, "NtTerminateThread", &[worker.handle, 9]), Came::Returned(0));
        assert_eq!(driver.call(init, "NtResumeThread", &[worker.handle, 0]), Came::Returned(0));
        assert_eq!(driver.view().threads[1].exit_status.unwrap().0, 8, "{period:?}");
    }
}

#[test]
fn a_critical_region_defers_death() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, _, worker) = app(&mut driver);
        let (_, init) = driver.init();
        assert_eq!(driver.call(worker.id, "DriverEnterCriticalRegion", &[]), Came::Returned(0));
        assert_eq!(driver.call(init, "NtTerminateThread", &[worker.handle, 8]), Came::Returned(0));
        assert_eq!(driver.view().threads[1].state, "running");
        assert_eq!(driver.call(worker.id, "DriverLeaveCriticalRegion", &[]), Came::Ended);
        assert_eq!(driver.view().threads[1].exit_status.unwrap().0, 8);
    }
}

#[test]
fn the_system_thread_survives_its_mark() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    let handle = driver.kernel.scene(&driver.m).named[1].2;
    assert_eq!(driver.call(init, "NtTerminateThread", &[handle, 8]), Came::Returned(0));
    assert!(!driver.stopped());
    assert_eq!(driver.call(init, "NtQueueApcThread", &[handle, 1, 0, 0, 0]), Came::Returned(0xC000_0008));
}

#[test]
fn without_pool_for_the_apc_the_kernel_writes_to_null() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, _, worker) = app(&mut driver);
    let (_, init) = driver.init();
    let slot = driver.kernel.image().pool_faults;
    let tag = u32::from_le_bytes(*b"TAPC");
    let cr3 = driver.m.cpu.cr3;
    for (index, word) in [tag, 0, 1, 0].into_iter().enumerate() {
        driver.m.poke(cr3, slot.add(4 * index as u32), &word.to_le_bytes()).unwrap();
    }
    assert_eq!(driver.call(init, "NtTerminateThread", &[worker.handle, 8]), Came::Stopped);
    let stop = driver.view().bugcheck.unwrap();
    assert_eq!((stop.code, stop.name.as_str()), (0x1E, "KMODE_EXCEPTION_NOT_HANDLED"));
    assert_eq!(stop.parameters[0], "C0000005");
}

#[test]
fn exceptions_in_user_mode_end_the_process() {
    for (symbol, code) in [
        ("read", 0xC000_0005u32),
        ("write", 0xC000_0005),
        ("execute", 0xC000_0005),
        ("divide", 0xC000_0094),
        ("breakpoint", 0x8000_0003),
        ("undefined", 0xC000_001D),
        ("privileged", 0xC000_0096),
    ] {
        for period in [None, Some(41)] {
            let mut driver = Driver::boot(Variant::Article, period);
            let (_, _, worker) = app(&mut driver);
            driver.go(worker.id, symbol, 0, 0x10);
            assert_eq!(driver.view().processes[0].exit_status.map(|status| status.0), Some(code), "{symbol}");
            assert!(driver.view().threads.iter().all(|thread| thread.state == "terminated"));
        }
    }
}

#[test]
fn abandoned_mutants_reach_their_waiters() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main, worker) = app(&mut driver);
        let mutant = driver.object("NtCreateMutant", &[0]);
        let theirs = driver.give(app, mutant);
        let wait = [theirs, 0, 0];
        assert_eq!(driver.call(worker.id, "NtWaitForSingleObject", &wait), Came::Returned(0));
        assert_eq!(driver.call(main.id, "NtWaitForSingleObject", &wait), Came::Waits);
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtTerminateThread", &[worker.handle, 8]), Came::Returned(0));
        driver.make_current(main.id);
        assert_eq!(driver.m.cpu.reg(machine::Reg::Eax), 0x80);
        // Whoever does not own it stops the system.
        assert_eq!(driver.call(init, "NtReleaseMutant", &[mutant, 0]), Came::Stopped);
        assert_eq!(driver.view().bugcheck.unwrap().code, 0x11);
    }
}
