//! What drivers see of the kernel: attachments, removed APCs, notify routines, the arguments of normal
//! routines (reactos.md 7.3, 7.4, 9.5, 12.1), and system calls that are none (6.2).

mod common;

use common::{Came, Driver, Made};
use contract::{ObjectKind, program};
use reactos::Variant;

fn app(driver: &mut Driver) -> (Made, Made) {
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    (app, main)
}

/// The two numbers that a door stores at the start of init's data.
fn two(driver: &mut Driver, door: &str, before: &[u32]) -> (u32, u32) {
    let (init, thread) = driver.init();
    let mut args = before.to_vec();
    args.extend([program::DATA.0, program::DATA.0 + 4]);
    assert_eq!(driver.call(thread, door, &args), Came::Returned(0));
    (driver.data(init, 0), driver.data(init, 4))
}

/// The code of the bugcheck, if there is one.
fn stop(driver: &Driver) -> Option<u32> {
    driver.view().bugcheck.map(|stop| stop.code)
}

#[test]
fn removing_an_apc_comes_back_at_dispatch_level() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    let (_, main) = app(&mut driver);
    assert_eq!(driver.call(init, "NtSuspendThread", &[main.handle, 0]), Came::Returned(0));
    assert_eq!(driver.call(init, "DriverRemoveApc", &[main.handle]), Came::Returned(0xC000_0001));
    assert_eq!(driver.call(init, "DriverQueueApc", &[main.handle, 1]), Came::Returned(0));
    assert_eq!(driver.inventory("pool DAPC"), 1);
    // The exit's KfRaiseIrql(APC_LEVEL) finds the level above its own.
    assert_eq!(driver.call(init, "DriverRemoveApc", &[main.handle]), Came::Stopped);
    assert_eq!(stop(&driver), Some(0));
    assert_eq!(driver.inventory("pool DAPC"), 0);
}

#[test]
fn an_attachment_works_until_an_apc_is_queued() {
    for period in [None, Some(37), Some(101)] {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, init) = driver.init();
        let (app, _) = app(&mut driver);
        assert_eq!(driver.call(init, "DriverAttach", &[app.handle, 0]), Came::Returned(0));
        assert_eq!(driver.call(init, "DriverAttach", &[app.handle, 0]), Came::Returned(0));
        assert_eq!(driver.call(init, "DriverQueueApc", &[0xFFFF_FFFE, 1]), Came::Returned(0));
        assert_eq!(two(&mut driver, "DriverApcCounts", &[]).0, 1);
    }
    for (deed, code) in [(1, 0x1E), (2, 0x1E), (3, 5)] {
        let mut driver = Driver::boot(Variant::Article, None);
        let (_, init) = driver.init();
        let (app, _) = app(&mut driver);
        assert_eq!(driver.call(init, "DriverAttach", &[app.handle, deed]), Came::Stopped, "{deed}");
        assert_eq!(stop(&driver), Some(code), "{deed}");
    }
}

#[test]
fn ending_oneself_while_attached_names_both_processes() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (process, init) = driver.init();
    let (app, _) = app(&mut driver);
    driver.named.push(contract::Named { name: "init".to_owned(), kind: ObjectKind::Process, id: process });
    driver.named.push(contract::Named { name: "thread".to_owned(), kind: ObjectKind::Thread, id: init });
    assert_eq!(driver.call(init, "DriverAttach", &[app.handle, 3]), Came::Stopped);
    let stop = driver.view().bugcheck.unwrap();
    assert_eq!(stop.name, "INVALID_PROCESS_ATTACH_ATTEMPT");
    assert_eq!(stop.parameters, ["init", "app", "00000001", "thread"]);
}

#[test]
fn thread_routines_are_told_of_ends_only() {
    for period in [None, Some(53)] {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, init) = driver.init();
        for kind in [0, 1] {
            assert_eq!(driver.call(init, "DriverSetNotifyRoutine", &[kind]), Came::Returned(0));
        }
        let (_, main) = app(&mut driver);
        assert_eq!(two(&mut driver, "DriverNotifications", &[0]), (1, 0));
        assert_eq!(two(&mut driver, "DriverNotifications", &[1]), (0, 0));
        assert_eq!(driver.call(main.id, "ExitProcess", &[0]), Came::Ended);
        assert_eq!(two(&mut driver, "DriverNotifications", &[0]), (1, 1));
        // Its thread, and that with which CSRSS served it.
        assert_eq!(two(&mut driver, "DriverNotifications", &[1]), (0, 2));
        // Eight of a kind at most; each is called.
        for _ in 0..7 {
            assert_eq!(driver.call(init, "DriverSetNotifyRoutine", &[0]), Came::Returned(0));
        }
        assert_eq!(driver.call(init, "DriverSetNotifyRoutine", &[0]), Came::Returned(0xC000_009A));
        driver.process("other");
        assert_eq!(two(&mut driver, "DriverNotifications", &[0]), (9, 1));
    }
}

#[test]
fn a_normal_routine_gets_addresses() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    assert_eq!(driver.call(init, "DriverQueueApc", &[0xFFFF_FFFE, 1]), Came::Returned(0));
    assert_eq!(two(&mut driver, "DriverApcCounts", &[]), (1, 0));
}

#[test]
fn a_special_apc_waits_behind_normal_ones() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    let (_, main) = app(&mut driver);
    // In a critical region normal APCs stay, and so does the special one behind them.
    assert_eq!(driver.call(main.id, "DriverEnterCriticalRegion", &[]), Came::Returned(0));
    assert_eq!(driver.call(init, "DriverQueueApc", &[main.handle, 0]), Came::Returned(0));
    driver.rotate();
    assert_eq!(driver.inventory("pool DAPC"), 0);
    assert_eq!(driver.call(init, "DriverQueueApc", &[main.handle, 1]), Came::Returned(0));
    assert_eq!(driver.call(init, "DriverQueueApc", &[main.handle, 0]), Came::Returned(0));
    driver.rotate();
    assert_eq!(driver.inventory("pool DAPC"), 2);
    assert_eq!(driver.call(main.id, "DriverLeaveCriticalRegion", &[]), Came::Returned(0));
    assert_eq!(driver.inventory("pool DAPC"), 0);
}

/// A raw INT 2Eh: number, and where the arguments are said to be.
fn raw(driver: &mut Driver, number: u32, arguments: u32) -> Option<u32> {
    let (_, init) = driver.init();
    driver.go(init, "syscall", number, arguments);
    match stop(driver) {
        Some(code) => Some(code),
        None => {
            driver.make_current(init);
            assert_eq!(driver.m.cpu.reg(machine::Reg::Eax), 0xC000_001C);
            None
        }
    }
}

#[test]
fn service_numbers_and_arguments_are_hardly_checked() {
    for (number, arguments, code) in [
        // One too many in table 0; both empty tables of win32k.
        (235, 0, Some(0x1E)),
        (236, 0, None),
        (0xFFF, 0, None),
        (0x1000, 0, Some(0x1E)),
        (0x1001, 0, None),
        // NtClose with its argument nowhere, and NtRaiseException, whose arguments are copied before it is
        // seen that there is no such service here.
        (17, 0x10, Some(0x1E)),
        (151, 0x10, Some(0x1E)),
    ] {
        let mut driver = Driver::boot(Variant::Article, None);
        assert_eq!(raw(&mut driver, number, arguments), code, "{number:X}");
    }
    // A kernel address is accepted: the handle is read from the shared page.
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    driver.go(init, "syscall", 17, 0xFFDF_0200);
    driver.make_current(init);
    assert_eq!(driver.m.cpu.reg(machine::Reg::Eax), 0xC000_0008);
}

#[test]
fn an_inserted_apc_tells_when_it_runs_and_what_it_got() {
    for period in [None, Some(37), Some(101)] {
        let mut driver = Driver::boot(Variant::Article, period);
        let (process, init) = driver.init();
        let event = driver.object("NtCreateEvent", &[0, 0]);
        let buffer = program::DATA.0 + 0x80;
        // A special kernel APC's context is dropped when it is initialised.
        assert_eq!(
            driver.call(init, "DriverInsertApc", &[u32::MAX - 1, 0, event, buffer]),
            Came::Returned(0)
        );
        let got = [0, 4, 8].map(|offset| driver.data(process, 0x80 + offset));
        assert_eq!(got, [0, 0xE, 0xF]);
        assert_eq!(driver.call(init, "NtResetEvent", &[event, 0]), Came::Returned(0));
        // A normal one's routine gets three addresses on the kernel stack, a doubleword apart.
        assert_eq!(
            driver.call(init, "DriverInsertApc", &[u32::MAX - 1, 1, event, buffer]),
            Came::Returned(0)
        );
        let got = [0, 4, 8].map(|offset| driver.data(process, 0x80 + offset));
        let stack = driver.status(init).unwrap().stack;
        assert!(got.iter().all(|at| (stack.0.0..stack.1.0).contains(at)), "{got:X?}");
        assert_eq!((got[0] - got[1], got[1] - got[2]), (4, 4));
        // In a critical region it waits, and leaving the region is no delivery point.
        assert_eq!(driver.call(init, "NtResetEvent", &[event, 0]), Came::Returned(0));
        assert_eq!(driver.call(init, "DriverEnterCriticalRegion", &[]), Came::Returned(0));
        assert_eq!(driver.call(init, "DriverInsertApc", &[u32::MAX - 1, 1, event, 0]), Came::Returned(0));
        assert_eq!(driver.call(init, "DriverLeaveAndReadEvent", &[event]), Came::Returned(0));
        assert_eq!(driver.call(init, "NtSetEvent", &[event, program::DATA.0 + 0x90]), Came::Returned(0));
        assert_eq!(driver.data(process, 0x90), 1, "set on the way out");
        assert_eq!(driver.inventory("pool DAPC"), 0);
    }
}

#[test]
fn a_better_thread_runs_only_when_somebody_dispatches() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    let (app, main) = app(&mut driver);
    let event = driver.object("NtCreateEvent", &[1, 0]);
    let theirs = driver.give(app, event);
    assert_eq!(driver.call(main.id, "NtWaitForSingleObject", &[theirs, 0, 0]), Came::Waits);
    assert_eq!(driver.call(init, "DriverSetPriority", &[main.handle, 10]), Came::Returned(0));
    // NtSetEvent readies the better thread, and returns to its caller all the same.
    driver.make_current(init);
    let old = driver.m.cpu.esp();
    let park = program::symbol(program::PARK).0;
    let frame: Vec<u8> = [park, event, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let cr3 = driver.m.cpu.cr3;
    driver.m.poke(cr3, machine::Va(old - 12), &frame).unwrap();
    driver.m.cpu.set_reg(machine::Reg::Esp, old - 12);
    driver.m.cpu.eip = contract::Kernel::image(&driver.kernel).services["NtSetEvent"].0;
    driver.run(300);
    assert_eq!(contract::Kernel::current(&driver.kernel, &driver.m), init);
    assert_eq!((driver.m.cpu.eip, driver.m.cpu.cpl()), (park, 3));
    // The end of the quantum dispatches: then the better thread keeps the processor.
    driver.interrupt();
    driver.run(200);
    driver.interrupt();
    driver.run(200);
    assert_eq!(contract::Kernel::current(&driver.kernel, &driver.m), main.id);
}

#[test]
fn win32_functions_return_what_win32_programs_expect() {
    for period in [None, Some(53)] {
        let mut driver = Driver::boot(Variant::Article, period);
        let (_, init) = driver.init();
        let (app, main) = app(&mut driver);
        assert_eq!(driver.call(init, "TerminateThread", &[0, 1]), Came::Returned(0));
        assert_eq!(driver.call(init, "TerminateProcess", &[0, 1]), Came::Returned(0));
        let teb = driver.m.cpu.seg(machine::Seg::Fs).base;
        let mut error = [0; 4];
        driver.m.peek(driver.m.cpu.cr3, machine::Va(teb + 0x34), &mut error).unwrap();
        assert_eq!(u32::from_le_bytes(error), 6);
        // An APC ends the sleep, and SleepEx says 0 all the same.
        assert_eq!(driver.call(main.id, "SleepEx", &[u32::MAX, 1]), Came::Waits);
        let routine = program::symbol(program::APC).0;
        assert_eq!(
            driver.call(init, "NtQueueApcThread", &[main.handle, routine, 5, 0, 0]),
            Came::Returned(0)
        );
        driver.make_current(main.id);
        assert_eq!(driver.m.cpu.reg(machine::Reg::Eax), 0);
        // Sleep(0) takes until the next tick.
        assert_eq!(driver.call(main.id, "SleepEx", &[0, 0]), Came::Waits);
        driver.ticks(1);
        driver.make_current(main.id);
        assert_eq!(driver.call(init, "TerminateProcess", &[app.handle, 3]), Came::Returned(1));
        assert_eq!(driver.view().processes[0].exit_status.unwrap().0, 3);
    }
}
