//! What a test driver sees: its APCs' arguments, attaching, notify routines, priorities, privileges; and
//! kernel32's thin calls (nt52.md 3.1, 4.2, 7.3 to 7.6, 8.12, 9.12, 11.5).

mod driver;

use contract::{Kernel, Status, program};
use driver::{Arg::*, relative, scene};

const OK: Option<Status> = Some(Status::SUCCESS);
const FOREVER: [u32; 2] = [0, 0x8000_0000];
/// A place in the program's data that nothing else uses.
const BUFFER: u32 = program::DATA.0 + 0x800;

fn event(s: &mut driver::Scene) -> u32 {
    let args = [Words(&[0]), Value(0x1F_0003), Value(0), Value(0), Value(0)];
    s.d.call(s.main, "NtCreateEvent", &args).1[0][0]
}

#[test]
fn apc_routines_get_the_values_that_they_were_queued_with() {
    for kind in [0, 1] {
        let mut s = scene(0);
        let event = event(&mut s);
        assert_eq!(s.d.simple(s.main, "DriverInsertApc", &[s.worker_handle, kind, event, BUFFER]), OK);
        assert_eq!(s.d.simple(s.main, "NtWaitForSingleObject", &[event, 0, 0]), OK, "the event was set");
        s.d.bring(s.worker);
        let received: Vec<u32> = (0..3).map(|index| s.d.peek(BUFFER + 4 * index)).collect();
        // A special APC has no NormalContext.
        assert_eq!(received, [if kind == 0 { 0 } else { 0xD }, 0xE, 0xF], "kind {kind}");
        assert_eq!(s.d.count("pool Drvr"), 0);
        let counts = s.d.call(s.main, "DriverApcCounts", &[Words(&[9]), Words(&[9])]).1;
        assert_eq!((counts[0][0], counts[1][0]), (kind, kind));
    }
}

#[test]
fn an_apc_that_is_taken_back_never_runs() {
    let mut s = scene(0);
    assert_eq!(s.d.simple(s.main, "DriverRemoveApc", &[s.worker_handle]), Some(Status::UNSUCCESSFUL));
    assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, 2]), OK);
    assert_eq!(s.d.simple(s.main, "DriverRemoveApc", &[s.worker_handle]), OK);
    s.d.trace.clear();
    assert_eq!(s.d.simple(s.worker, "NtTestAlert", &[]), OK);
    assert!(!s.d.trace.contains(&"KiInitializeUserApc"));
    assert_eq!(s.d.count("pool Drvr"), 0);
}

#[test]
fn an_apc_of_a_thread_that_ends_is_run_down() {
    let mut s = scene(0);
    assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, 2]), OK);
    s.d.trace.clear();
    assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, 5]), OK);
    assert!(s.d.trace.contains(&"DriverRundown"));
    assert_eq!(s.d.count("pool Drvr"), 0);
    let late = s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, 1]);
    assert_eq!(late, Some(Status::UNSUCCESSFUL), "APC queueing is over");
    assert_eq!(s.d.count("pool Drvr"), 0);
}

#[test]
fn attaching_keeps_queued_apcs_for_later() {
    for deed in 0..3 {
        let mut s = scene(0);
        let init = s.d.init();
        s.d.trace.clear();
        assert_eq!(s.d.simple(init, "DriverAttach", &[s.app, deed]), OK);
        let ran = s.d.trace.iter().filter(|name| **name == "DriverNormalApc").count();
        assert_eq!(ran, usize::from(deed != 0), "deed {deed}: it runs once, after the region");
        assert!(!s.d.stopped());
    }
    let mut s = scene(0);
    let init = s.d.init();
    assert_eq!(s.d.simple(init, "DriverAttach", &[s.app, 3]), None);
    s.d.has("system bugcheck 00000005 INVALID_PROCESS_ATTACH_ATTEMPT (pointer, app, 00000001, pointer)");
}

#[test]
fn notify_routines_hear_of_every_process_and_thread() {
    let mut s = scene(0);
    let init = s.d.init();
    for kind in [0, 1] {
        assert_eq!(s.d.simple(init, "DriverSetNotifyRoutine", &[kind]), OK);
    }
    let told = |s: &mut driver::Scene, kind| {
        let out = s.d.call(init, "DriverNotifications", &[Value(kind), Words(&[9]), Words(&[9])]).1;
        (out[0][0], out[1][0])
    };
    let process = s.d.process("second");
    assert_eq!((told(&mut s, 0), told(&mut s, 1)), ((1, 0), (0, 0)));
    s.d.thread("one", process, 2, &[]);
    s.d.thread("two", process, 0, &[]);
    assert_eq!((told(&mut s, 0), told(&mut s, 1)), ((1, 0), (2, 0)));
    assert_eq!(s.d.simple(init, "NtTerminateProcess", &[process, 7]), OK);
    assert_eq!((told(&mut s, 0), told(&mut s, 1)), ((1, 1), (2, 2)));
    for _ in 1..8 {
        assert_eq!(s.d.simple(init, "DriverSetNotifyRoutine", &[0]), OK);
    }
    let one_more = s.d.simple(init, "DriverSetNotifyRoutine", &[0]);
    assert_eq!(one_more, Some(Status::INSUFFICIENT_RESOURCES));
}

#[test]
fn a_thread_of_higher_priority_preempts_at_once() {
    let mut s = scene(0);
    let bad = s.d.simple(s.main, "DriverSetPriority", &[s.worker_handle, 40]);
    assert_eq!(bad, Some(Status::INVALID_PARAMETER));
    assert_eq!(s.d.simple(s.worker, "SleepEx", &[u32::MAX, 1]), None);
    assert_eq!(s.d.simple(s.main, "DriverSetPriority", &[s.worker_handle, 12]), OK);
    let args = [Value(s.worker_handle), Value(0), Words(&[0; 7]), Value(0x1C), Value(0)];
    let (status, out) = s.d.call(s.main, "NtQueryInformationThread", &args);
    assert_eq!((status, out[0][5]), (OK, 12));
    s.d.trace.clear();
    assert_eq!(s.d.simple(s.main, "NtAlertThread", &[s.worker_handle]), OK);
    // It sleeps again before the clock has ticked, and so before the caller could have come to rest.
    let told = s.d.trace.iter().position(|name| *name == "NtAlertThread").unwrap();
    let after = &s.d.trace[told..];
    let slept = after.iter().position(|name| *name == "NtDelayExecution").unwrap();
    let ticked = after.iter().position(|name| *name == "KeUpdateSystemTime").unwrap_or(after.len());
    assert!(slept < ticked, "{after:?}");
}

#[test]
fn the_privilege_is_what_makes_critical() {
    let mut s = scene(0);
    let set = |s: &mut driver::Scene| {
        let args = [Value(u32::MAX), Value(0x1D), Words(&[1]), Value(4)];
        s.d.call(s.main, "NtSetInformationProcess", &args).0
    };
    assert_eq!(s.d.simple(s.main, "DriverSetPrivilege", &[0]), OK);
    assert_eq!(set(&mut s), Some(Status::PRIVILEGE_NOT_HELD));
    assert_eq!(s.d.simple(s.main, "DriverSetPrivilege", &[1]), OK);
    assert_eq!(set(&mut s), OK);
}

#[test]
fn memory_of_another_process_can_be_read_while_it_lives() {
    let mut s = scene(0);
    let init = s.d.init();
    s.d.bring(s.main);
    s.d.poke(BUFFER, 0x1234_5678);
    let read = |s: &mut driver::Scene, base| {
        let args = [Value(s.app), Value(base), Words(&[0]), Value(4), Words(&[0])];
        let (status, out) = s.d.call(init, "NtReadVirtualMemory", &args);
        (status, out[0][0])
    };
    assert_eq!(read(&mut s, BUFFER), (OK, 0x1234_5678));
    assert_eq!(read(&mut s, 0x10).0, Some(Status::PARTIAL_COPY));
    assert_eq!(read(&mut s, 0x7FFF_FFFE).0, Some(Status::ACCESS_VIOLATION));
    assert_eq!(s.d.simple(init, "NtTerminateProcess", &[s.app, 7]), OK);
    assert_eq!(read(&mut s, BUFFER).0, Some(Status::PROCESS_IS_TERMINATING));
}

#[test]
fn signal_and_wait_signals_before_it_waits() {
    let mut s = scene(0);
    let (first, second) = (event(&mut s), event(&mut s));
    assert_eq!(s.d.simple(s.worker, "NtWaitForSingleObject", &[first, 0, 0]), None);
    assert_eq!(s.d.simple(s.main, "NtSignalAndWaitForSingleObject", &[first, second, 0, 0]), None);
    assert_eq!((s.d.state("worker"), s.d.state("main")), ("running".to_owned(), "waiting".to_owned()));
    assert_eq!(s.d.simple(s.worker, "NtSetEvent", &[second, 0]), OK);
    assert_eq!(s.d.state("main"), "running");
    let process = s.d.simple(s.worker, "NtSignalAndWaitForSingleObject", &[s.self_handle, second, 0, 0]);
    assert_eq!(process, Some(Status::OBJECT_TYPE_MISMATCH));
}

#[test]
fn sleep_ex_tells_of_apcs_and_sleeps_on_after_an_alert() {
    let mut s = scene(0);
    assert_eq!(s.d.simple(s.worker, "SleepEx", &[50, 1]), None);
    assert_eq!(s.d.simple(s.main, "NtAlertThread", &[s.worker_handle]), OK);
    assert_eq!(s.d.state("worker"), "waiting");
    let apc = program::symbol(program::APC).0;
    assert_eq!(s.d.simple(s.main, "NtQueueApcThread", &[s.worker_handle, apc, 1, 0, 0]), OK);
    s.d.bring(s.worker);
    assert_eq!(s.d.m.cpu.reg(machine::Reg::Eax), 0xC0);
    // The call before has left its arguments' place on the stack as it was.
    assert_eq!(s.d.simple(s.worker, "SleepEx", &[20, 0]), None);
    s.d.advance(30);
    s.d.bring(s.worker);
    assert_eq!(s.d.m.cpu.reg(machine::Reg::Eax), 0);
    let delay = s.d.call(s.worker, "NtDelayExecution", &[Value(0), Words(&relative(0))]).0;
    assert!(delay.is_some_and(Status::is_success));
    assert_eq!(s.d.call(s.worker, "NtDelayExecution", &[Value(1), Words(&FOREVER)]).0, None);
}

#[test]
fn win32_refuses_a_null_handle_by_itself() {
    let mut s = scene(0);
    for name in ["TerminateProcess", "TerminateThread"] {
        s.d.trace.clear();
        assert_eq!(s.d.simple(s.main, name, &[0, 1]), Some(Status(0)));
        assert!(!s.d.trace.iter().any(|name| name.starts_with("Nt")), "no system call");
        let teb = s.d.m.cpu.seg(machine::Seg::Fs).base;
        assert_eq!(s.d.peek(teb + 0x34), 6);
    }
    assert_eq!(s.d.simple(s.main, "TerminateThread", &[s.worker_handle, 9]), Some(Status(1)));
    s.d.has("thread worker state terminated");
    assert_eq!(s.d.simple(s.main, "TerminateThread", &[s.self_handle, 9]), Some(Status(0)));
}

#[test]
fn a_bad_handle_is_told_before_one_that_is_there_twice() {
    let mut s = scene(0);
    let (main, own) = (s.main, s.self_handle);
    let mut wait = |handles: &[u32]| {
        let count = handles.len() as u32;
        let args = [Value(count), Words(handles), Value(0), Value(0), Words(&[0, 0])];
        s.d.call(main, "NtWaitForMultipleObjects", &args).0
    };
    assert_eq!(wait(&[own, own, 0x0BAD_BAD0]), Some(Status::INVALID_HANDLE));
    assert_eq!(wait(&[own, own]), Some(Status::INVALID_PARAMETER_MIX));
}

#[test]
fn a_driver_that_cannot_queue_its_apc_detaches_all_the_same() {
    for deed in [1, 2] {
        let mut s = scene(0);
        let init = s.d.init();
        s.d.fail_pool(b"Drvr", 1);
        let refused = s.d.simple(init, "DriverAttach", &[s.app, deed]);
        assert_eq!(refused, Some(Status::INSUFFICIENT_RESOURCES), "deed {deed}");
        // It is not attached and in no critical region any more: an APC that is queued now runs.
        s.d.trace.clear();
        assert_eq!(s.d.simple(init, "DriverAttach", &[s.app, deed]), OK);
        assert!(s.d.trace.contains(&"DriverNormalApc"), "deed {deed}");
    }
}

#[test]
fn the_base_priority_is_told_as_its_distance_from_the_processs() {
    let mut s = scene(0);
    assert_eq!(s.d.simple(s.worker, "SleepEx", &[u32::MAX, 1]), None);
    assert_eq!(s.d.simple(s.main, "DriverSetPriority", &[s.worker_handle, 6]), OK);
    let args = [Value(s.worker_handle), Value(0), Words(&[0; 7]), Value(0x1C), Value(0)];
    let (status, out) = s.d.call(s.main, "NtQueryInformationThread", &args);
    assert_eq!((status, out[0][6] as i32), (OK, -2));
}

#[test]
fn closing_handles_in_one_process_may_empty_the_table_of_another() {
    let mut s = scene(0);
    let init = s.d.init();
    let section = s.d.nt.scene(&s.d.m).section;
    let section = s.d.give(s.app, section);
    let debug = s.d.call(s.main, "NtCreateDebugObject", &[Words(&[0]), Value(0x1F_000F), Value(0), Value(1)]);
    let debug = debug.1[0][0];
    // A debuggee that never gets a thread, and another process that holds the debugger's only handle.
    let args = [
        Words(&[0]),
        Value(0x1F_0FFF),
        Value(0),
        Value(u32::MAX),
        Value(0),
        Value(section),
        Value(debug),
        Value(0),
        Value(0),
    ];
    let (status, out) = s.d.call(s.main, "NtCreateProcessEx", &args);
    assert_eq!(status, OK);
    let debuggee = out[0][0];
    let holder = s.d.process("holder");
    let holder_in_app = s.d.give(s.app, holder);
    let copy = |handle, target, options| {
        [Value(u32::MAX), Value(handle), Value(target), Words(&[0]), Value(0), Value(0), Value(options)]
    };
    assert_eq!(s.d.call(s.main, "NtDuplicateObject", &copy(debuggee, debuggee, 2)).0, OK);
    assert_eq!(s.d.call(s.main, "NtDuplicateObject", &copy(debug, holder_in_app, 3)).0, OK);
    // The caller attaches to the holder, and from there to the debuggee.
    assert_eq!(s.d.simple(init, "NtTerminateProcess", &[holder, 1]), OK);
    assert!(!s.d.stopped());
    let args = [Value(debuggee), Value(0), Words(&[0; 6]), Value(0x18), Value(0)];
    assert_eq!(s.d.call(s.main, "NtQueryInformationProcess", &args).0, OK);
    assert_eq!(s.d.simple(s.main, "NtClose", &[debuggee]), OK);
    assert_eq!(s.d.simple(init, "NtClose", &[holder]), OK);
    assert_eq!(s.d.simple(s.main, "NtClose", &[holder_in_app]), OK);
    assert_eq!(s.d.count("pool DbgO"), 0, "the debug object is gone");
    assert_eq!(s.d.count("pool Proc"), 4, "Idle, System, init and app are left");
}
