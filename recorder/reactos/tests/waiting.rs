//! Suspension, APCs, alerts and waits: reactos.md sections 7 and 8.

mod common;

use common::{
    Came, Driver, Made,
    scenes::{app, sleep},
};
use contract::program;
use machine::{Reg, Va};
use reactos::Variant;

const PERIODS: [Option<u64>; 4] = [None, Some(37), Some(73), Some(127)];
const FOREVER: [u32; 2] = [0, 0x8000_0000];

/// EAX of a thread that is parked again.
fn eax(driver: &mut Driver, thread: Made) -> u32 {
    driver.make_current(thread.id);
    driver.m.cpu.reg(Reg::Eax)
}

fn apc(driver: &mut Driver, actor: Made, handle: u32) -> Came {
    let routine = program::symbol(program::APC).0;
    driver.call(actor.id, "NtQueueApcThread", &[handle, routine, 5, 0, 0])
}

fn state(driver: &Driver, index: usize) -> String {
    driver.view().threads[index].state.clone()
}

#[test]
fn created_suspended_spins_until_it_is_resumed() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let app = driver.process("app");
        let main = driver.thread("main", app, 3, &[]);
        assert_eq!(state(&driver, 0), "suspended");
        assert_eq!(driver.view().threads[0].suspend_count, 1);
        let before = driver.trace.len();
        driver.rotate();
        let waits = driver.trace[before..].iter().filter(|t| **t == ("KeWaitForSingleObject", 0)).count();
        assert!(waits > 5, "it does not spin");
        let (init, thread) = driver.init();
        let previous = program::DATA.0 + 0x60;
        assert_eq!(driver.call(thread, "NtResumeThread", &[main.handle, previous]), Came::Returned(0));
        assert_eq!(driver.data(init, 0x60), 1);
        assert_eq!(state(&driver, 0), "running");
        driver.make_current(main.id);
    }
}

#[test]
fn a_suspended_thread_sleeps_unless_a_user_apc_is_queued() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, _, worker) = app(&mut driver);
        let (_, thread) = driver.init();
        let init = Made { id: thread, handle: 0 };
        for _ in 0..2 {
            assert_eq!(driver.call(thread, "NtSuspendThread", &[worker.handle, 0]), Came::Returned(0));
        }
        assert_eq!(driver.view().threads[1].suspend_count, 2);
        assert_eq!(state(&driver, 1), "suspended");
        assert_eq!(apc(&mut driver, init, worker.handle), Came::Returned(0));
        assert_eq!(state(&driver, 1), "suspended");
        let before = driver.trace.len();
        driver.rotate();
        assert!(driver.trace[before..].contains(&("KeWaitForSingleObject", 1)), "it does not spin now");
        for _ in 0..2 {
            assert_eq!(driver.call(thread, "NtResumeThread", &[worker.handle, 0]), Came::Returned(0));
        }
        assert_eq!(state(&driver, 1), "running");
        driver.make_current(worker.id);
    }
}

#[test]
fn a_thread_can_suspend_itself() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, _, worker) = app(&mut driver);
        assert_eq!(driver.call(worker.id, "NtSuspendThread", &[0xFFFF_FFFE, 0]), Came::Suspended);
        let (_, thread) = driver.init();
        assert_eq!(driver.call(thread, "NtResumeThread", &[worker.handle, 0]), Came::Returned(0));
        assert_eq!(eax(&mut driver, worker), 0);
    }
}

#[test]
fn a_blocked_thread_finishes_its_wait_before_it_stops() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, _, worker) = app(&mut driver);
        let event = driver.object("NtCreateEvent", &[1, 0]);
        let theirs = driver.give(app, event);
        assert_eq!(driver.call(worker.id, "NtWaitForSingleObject", &[theirs, 0, 0]), Came::Waits);
        let (init, thread) = driver.init();
        assert_eq!(driver.call(thread, "NtSuspendThread", &[worker.handle, 0]), Came::Returned(0));
        assert_eq!(state(&driver, 1), "waiting");
        assert_eq!(driver.call(thread, "NtSetEvent", &[event, 0]), Came::Returned(0));
        assert_eq!(state(&driver, 1), "suspended");
        // The event was consumed.
        let previous = program::DATA.0 + 0x60;
        assert_eq!(driver.call(thread, "NtResetEvent", &[event, previous]), Came::Returned(0));
        assert_eq!(driver.data(init, 0x60), 0);
        assert_eq!(driver.call(thread, "NtResumeThread", &[worker.handle, 0]), Came::Returned(0));
        assert_eq!(eax(&mut driver, worker), 0);
    }
}

#[test]
fn one_user_apc_runs_for_each_alertable_wait() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, _, worker) = app(&mut driver);
        let (_, thread) = driver.init();
        let init = Made { id: thread, handle: 0 };
        for _ in 0..2 {
            assert_eq!(apc(&mut driver, init, worker.handle), Came::Returned(0));
        }
        // Queued before the wait: refused at once, and one of the two runs.
        driver.set_data(app.id, 0x40, &FOREVER);
        let args = [1, program::DATA.0 + 0x40];
        assert_eq!(driver.call(worker.id, "NtDelayExecution", &args), Came::Returned(0xC0));
        assert_eq!(driver.inventory("pool KAPC"), 1);
        assert_eq!(driver.call(worker.id, "NtDelayExecution", &args), Came::Returned(0xC0));
        assert_eq!(driver.inventory("pool KAPC"), 0);
        sleep(&mut driver, app, worker, 1);
        assert_eq!(apc(&mut driver, init, worker.handle), Came::Returned(0));
        assert_eq!(eax(&mut driver, worker), 0xC0);
        // A wait that is not alertable is left alone.
        sleep(&mut driver, app, worker, 0);
        assert_eq!(apc(&mut driver, init, worker.handle), Came::Returned(0));
        assert_eq!(state(&driver, 1), "waiting");
    }
}

#[test]
fn alerts_are_lost_while_the_flag_of_creation_is_set() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, _, worker) = app(&mut driver);
        let (_, thread) = driver.init();
        sleep(&mut driver, app, worker, 1);
        assert_eq!(driver.call(thread, "NtAlertThread", &[worker.handle]), Came::Returned(0));
        assert_eq!(state(&driver, 1), "waiting");
    }
    let mut driver = Driver::boot(Variant::Article, None);
    let (app, _, worker) = app(&mut driver);
    let (_, thread) = driver.init();
    assert_eq!(driver.call(worker.id, "NtTestAlert", &[]), Came::Returned(0x101));
    sleep(&mut driver, app, worker, 1);
    assert_eq!(driver.call(thread, "NtAlertThread", &[worker.handle]), Came::Returned(0));
    assert_eq!(eax(&mut driver, worker), 0x101);
    // The flag stays: an alert posted before the wait is not seen, and a second one is lost.
    sleep(&mut driver, app, worker, 1);
    assert_eq!(driver.call(thread, "NtAlertThread", &[worker.handle]), Came::Returned(0));
    assert_eq!(state(&driver, 1), "waiting");
    assert_eq!(driver.call(thread, "NtAlertResumeThread", &[worker.handle, 0]), Came::Returned(0xC000_0002));
}

#[test]
fn kernel_apcs_run_wherever_irql_falls() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, _, worker) = app(&mut driver);
        let (_, thread) = driver.init();
        for kind in [0, 1] {
            assert_eq!(driver.call(thread, "DriverQueueApc", &[worker.handle, kind]), Came::Returned(0));
            assert_eq!(driver.inventory("pool DAPC"), 0, "kind {kind}");
        }
        sleep(&mut driver, app, worker, 0);
        // A normal kernel APC does not wake a thread, and a special one queues behind it.
        assert_eq!(driver.call(thread, "DriverQueueApc", &[worker.handle, 1]), Came::Returned(0));
        assert_eq!(driver.inventory("pool DAPC"), 1);
        assert_eq!(driver.call(thread, "DriverQueueApc", &[worker.handle, 0]), Came::Returned(0));
        assert_eq!(driver.inventory("pool DAPC"), 0);
        assert_eq!(state(&driver, 1), "waiting");
    }
}

#[test]
fn a_critical_region_holds_normal_apcs_and_what_is_behind_them() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, _, worker) = app(&mut driver);
        let (_, thread) = driver.init();
        assert_eq!(driver.call(worker.id, "DriverEnterCriticalRegion", &[]), Came::Returned(0));
        for kind in [1, 0, 2] {
            assert_eq!(driver.call(thread, "DriverQueueApc", &[worker.handle, kind]), Came::Returned(0));
        }
        assert_eq!(driver.inventory("pool DAPC"), 3);
        assert_eq!(driver.call(worker.id, "DriverLeaveCriticalRegion", &[]), Came::Returned(0));
        assert_eq!(driver.inventory("pool DAPC"), 1);
    }
}

#[test]
fn waits_on_several_objects_end_with_the_first_or_with_all() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main, worker) = app(&mut driver);
        let (handles, theirs): (Vec<u32>, Vec<u32>) = (0..5)
            .map(|_| {
                let event = driver.object("NtCreateEvent", &[1, 0]);
                (event, driver.give(app, event))
            })
            .unzip();
        let (init, thread) = driver.init();
        driver.set_data(app.id, 0x80, &theirs);
        driver.set_data(init, 0x80, &handles);
        let array = program::DATA.0 + 0x80;
        assert_eq!(driver.call(worker.id, "NtWaitForMultipleObjects", &[5, array, 1, 0, 0]), Came::Waits);
        assert_eq!(driver.call(main.id, "NtWaitForMultipleObjects", &[2, array, 0, 0, 0]), Came::Waits);
        assert_eq!(driver.inventory("pool WAIT"), 1);
        assert_eq!(driver.call(thread, "NtSetEvent", &[handles[4], 0]), Came::Returned(0));
        assert_eq!(eax(&mut driver, worker), 4);
        assert_eq!(driver.inventory("pool WAIT"), 0);
        assert_eq!(driver.call(thread, "NtSetEvent", &[handles[0], 0]), Came::Returned(0));
        assert_eq!(state(&driver, 0), "waiting");
        // The last object's place in the array is not the status.
        assert_eq!(driver.call(thread, "NtSetEvent", &[handles[1], 0]), Came::Returned(0));
        assert_eq!(eax(&mut driver, main), 0);
        for (count, status) in [(65, 0xC000_0001), (0, 0xC000_000D)] {
            let args = [count, array, 1, 0, 0];
            assert_eq!(driver.call(thread, "NtWaitForMultipleObjects", &args), Came::Returned(status));
        }
    }
}

#[test]
fn time_ends_waits() {
    for period in [None, Some(37)] {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main, worker) = app(&mut driver);
        // 15 ms, and 25 ms.
        driver.set_data(app.id, 0x40, &[(-150_000i32) as u32, u32::MAX, (-250_000i32) as u32, u32::MAX]);
        let event = driver.object("NtCreateEvent", &[1, 0]);
        let theirs = driver.give(app, event);
        assert_eq!(driver.call(worker.id, "NtDelayExecution", &[0, program::DATA.0 + 0x40]), Came::Waits);
        let args = [theirs, 0, program::DATA.0 + 0x48];
        assert_eq!(driver.call(main.id, "NtWaitForSingleObject", &args), Came::Waits);
        driver.ticks(1);
        assert_eq!([state(&driver, 0), state(&driver, 1)], ["waiting", "waiting"]);
        driver.ticks(1);
        assert_eq!([state(&driver, 0), state(&driver, 1)], ["waiting", "running"]);
        assert_eq!(eax(&mut driver, worker), 0);
        driver.ticks(1);
        assert_eq!(eax(&mut driver, main), 0x102);
    }
}

#[test]
fn semaphores_and_mutants_count() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (init, thread) = driver.init();
    let semaphore = driver.object("NtCreateSemaphore", &[1, 2]);
    let previous = program::DATA.0 + 0x60;
    assert_eq!(driver.call(thread, "NtReleaseSemaphore", &[semaphore, 1, previous]), Came::Returned(0));
    assert_eq!(driver.data(init, 0x60), 1);
    assert_eq!(driver.call(thread, "NtReleaseSemaphore", &[semaphore, 1, 0]), Came::Returned(0xC000_0047));
    // Up to the highest limit that there is, and not beyond it.
    let widest = driver.object("NtCreateSemaphore", &[0x7FFF_FFFE, 0x7FFF_FFFF]);
    assert_eq!(driver.call(thread, "NtReleaseSemaphore", &[widest, 1, previous]), Came::Returned(0));
    assert_eq!(driver.data(init, 0x60), 0x7FFF_FFFE);
    assert_eq!(driver.call(thread, "NtReleaseSemaphore", &[widest, 1, 0]), Came::Returned(0xC000_0047));
    let mutant = driver.object("NtCreateMutant", &[1]);
    let wait = [mutant, 0, 0];
    assert_eq!(driver.call(thread, "NtWaitForSingleObject", &wait), Came::Returned(0));
    for _ in 0..2 {
        assert_eq!(driver.call(thread, "NtReleaseMutant", &[mutant, previous]), Came::Returned(0));
        assert_eq!(driver.data(init, 0x60), 0);
    }
    // A section cannot be waited for.
    let section = contract::Kernel::scene(&driver.kernel, &driver.m).section;
    assert_eq!(driver.call(thread, "NtWaitForSingleObject", &[section, 0, 0]), Came::Returned(0xC100_0002));
}

#[test]
fn a_process_can_be_waited_for() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main, _) = app(&mut driver);
        let other = driver.process("other");
        let waiter = driver.thread("waiter", other, 2, &[]);
        let theirs = driver.give(other, app.handle);
        assert_eq!(driver.call(waiter.id, "NtWaitForSingleObject", &[theirs, 0, 0]), Came::Waits);
        assert_eq!(driver.call(main.id, "ExitProcess", &[1]), Came::Ended);
        assert_eq!(eax(&mut driver, waiter), 0);
    }
}

#[test]
fn a_context_is_asked_of_a_suspended_thread_in_vain() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, _, worker) = app(&mut driver);
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtSuspendThread", &[worker.handle, 0]), Came::Returned(0));
        assert_eq!(state(&driver, 1), "suspended");
        // The special APC wakes it from its suspension, and its kernel routine has lost the context.
        assert_eq!(driver.call(init, "NtGetContextThread", &[worker.handle, program::DATA.0]), Came::Stopped);
        assert_eq!(driver.view().bugcheck.unwrap().code, 0x1E);
    }
}

#[test]
fn signaling_and_waiting_are_one_step() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let (app, main, worker) = app(&mut driver);
        let (_, init) = driver.init();
        let [event, semaphore] = [("NtCreateEvent", [1, 0]), ("NtCreateSemaphore", [0, 5])]
            .map(|(service, more)| driver.object(service, &more));
        let [ours, theirs] = [event, semaphore].map(|handle| driver.give(app, handle));
        let service = "NtSignalAndWaitForSingleObject";
        assert_eq!(driver.call(worker.id, "NtWaitForSingleObject", &[theirs, 0, 0]), Came::Waits);
        // The semaphore's unit goes to the worker; main waits for the event.
        assert_eq!(driver.call(main.id, service, &[theirs, ours, 0, 0]), Came::Waits);
        assert_eq!(eax(&mut driver, worker), 0);
        assert_eq!(driver.call(init, "NtSetEvent", &[event, 0]), Came::Returned(0));
        assert_eq!(eax(&mut driver, main), 0);
        // Thread objects cannot be signaled; sections cannot be waited for.
        assert_eq!(driver.call(main.id, service, &[u32::MAX - 1, ours, 0, 0]), Came::Returned(0xC000_0024));
        let section = contract::Kernel::scene(&driver.kernel, &driver.m).section;
        assert_eq!(driver.call(init, service, &[event, section, 0, 0]), Came::Returned(0xC100_0002));
        assert_eq!(driver.call(main.id, service, &[theirs, 0, 0, 0]), Came::Returned(0xC000_0008));
        // None of these three signaled anything.
        assert_eq!(driver.call(worker.id, "NtWaitForSingleObject", &[theirs, 0, 0]), Came::Waits);
    }
}

#[test]
fn sleep_0_takes_until_the_next_tick() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (app, main, _) = app(&mut driver);
    driver.set_data(app.id, 0x40, &[0, 0]);
    assert_eq!(driver.call(main.id, "NtDelayExecution", &[0, program::DATA.0 + 0x40]), Came::Waits);
    // Interrupts that only hand the processor on are no ticks.
    driver.rotate();
    assert_eq!(state(&driver, 0), "waiting");
    driver.ticks(1);
    assert_eq!(eax(&mut driver, main), 0);
}

#[test]
fn the_shared_data_tells_all_of_the_time() {
    let mut driver = Driver::boot(Variant::Article, None);
    let words = |driver: &Driver| {
        [0x00, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C].map(|at| driver.word(Va(0xFFDF_0000 + at)))
    };
    let before = words(&driver);
    // A quarter of an hour, more than the low half of InterruptTime holds.
    driver.m.clock += 9_000_000_000;
    driver.ticks(1);
    let now = driver.m.clock;
    let (low, high) = (now as u32, (now >> 32) as u32);
    let after = words(&driver);
    assert_eq!(after[..4], [(now / 100_000) as u32, low, high, high]);
    assert_eq!((high, before[2]), (2, 0));
    let system = |words: &[u32]| u64::from(words[5]) << 32 | u64::from(words[4]);
    let interrupt = |words: &[u32]| u64::from(words[2]) << 32 | u64::from(words[1]);
    assert_eq!(system(&after) - system(&before), interrupt(&after) - interrupt(&before));
    assert_eq!(after[6], after[5]);
}
