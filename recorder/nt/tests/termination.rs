//! Termination in every branch (nt52.md 9, 13.1 to 13.3).

mod driver;

use contract::{Kernel, Owner, Status};
use driver::{Arg::*, PERIODS, scene};
use machine::Va;

const OK: Option<Status> = Some(Status::SUCCESS);
const SELF: u32 = u32::MAX;
const THREAD: u32 = u32::MAX - 1;
const BAD: u32 = 0x0BAD_BAD0;

fn each_period(test: impl Fn(driver::Scene)) {
    for period in PERIODS {
        test(scene(period));
    }
}

#[test]
fn null_ends_the_others_and_creation_still_works() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[0, 0xC000_013A]), OK);
        s.d.has("thread worker state terminated");
        s.d.has("thread worker exit status C000013A");
        s.d.has("thread main state running");
        assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[0, 5]), OK);
        s.d.thread("late", s.app, 0, &[]);
        s.d.has("thread late state running");
    });
}

#[test]
fn the_process_itself_ends_whole_whichever_handle_names_it() {
    for handle in [None, Some(SELF)] {
        each_period(|mut s| {
            let handle = handle.unwrap_or(s.self_handle);
            assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[handle, 0x1234]), None);
            s.d.has("process app state terminated");
            s.d.has("process app exit status 00001234");
            s.d.has("thread worker exit status 00001234");
            s.d.has("thread main exit status 00001234");
        });
    }
}

#[test]
fn another_process_ends_and_leaves_nothing_behind() {
    each_period(|mut s| {
        let init = s.d.init();
        let before = s.d.nt.inventory(&s.d.m);
        let process = s.d.process("other");
        let (first, _) = s.d.thread("first", process, 2, &[]);
        let (second, _) = s.d.thread("second", process, 1, &[]);
        assert_eq!(s.d.simple(init, "NtTerminateProcess", &[process, 7]), OK);
        s.d.has("process other exit status 00000007");
        s.d.has("thread second exit status 00000007");
        let vads =
            |inventory: &[(String, u32)]| inventory.iter().find(|(what, _)| what == "pool Vad ").cloned();
        assert_eq!(vads(&s.d.nt.inventory(&s.d.m)), vads(&before), "user space is gone with the end");
        let again = s.d.simple(init, "NtTerminateProcess", &[process, 8]);
        assert_eq!(again, Some(Status::PROCESS_IS_TERMINATING));
        assert_eq!(s.d.try_thread(process, 0, &[]).0, Some(Status::PROCESS_IS_TERMINATING));
        for handle in [first, second, process] {
            assert_eq!(s.d.simple(init, "NtClose", &[handle]), OK);
        }
        assert_eq!(s.d.nt.inventory(&s.d.m), before);
    });
}

#[test]
fn a_process_without_threads_stays_and_takes_no_more() {
    each_period(|mut s| {
        let init = s.d.init();
        let empty = s.d.process("empty");
        s.d.give(empty, s.app);
        let owner = Owner::Process(s.d.named.last().unwrap().id);
        assert!(s.d.nt.object(&s.d.m, owner, 4).is_some());
        for status in [1, 2] {
            assert_eq!(s.d.simple(init, "NtTerminateProcess", &[empty, status]), OK);
        }
        assert!(s.d.nt.object(&s.d.m, owner, 4).is_none(), "its handles are closed");
        s.d.has("process empty state alive");
        assert_eq!(s.d.try_thread(empty, 2, &[]).0, Some(Status::PROCESS_IS_TERMINATING));
    });
}

#[test]
fn handle_checks_come_in_their_order() {
    each_period(|mut s| {
        let calls = [(BAD, Status::INVALID_HANDLE), (s.worker_handle, Status::OBJECT_TYPE_MISMATCH)];
        for (handle, status) in calls {
            assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[handle, 1]), Some(status));
        }
        for (handle, status) in [
            (SELF, Status::OBJECT_TYPE_MISMATCH),
            (s.self_handle, Status::OBJECT_TYPE_MISMATCH),
            (BAD, Status::INVALID_HANDLE),
        ] {
            assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[handle, 1]), Some(status));
        }
        // A handle that may do nothing but synchronize.
        let args = [
            Value(SELF),
            Value(s.self_handle),
            Value(SELF),
            Words(&[0]),
            Value(0x10_0000),
            Value(0),
            Value(0),
        ];
        let (status, out) = s.d.call(s.main, "NtDuplicateObject", &args);
        assert_eq!(status, OK);
        let weak = out[0][0];
        assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[weak, 1]), Some(Status::ACCESS_DENIED));
        // The low two bits of a handle are the program's own.
        assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[weak + 3, 1]), Some(Status::ACCESS_DENIED));
        s.d.has("process app state alive");
    });
}

#[test]
fn the_first_status_wins_and_later_requests_succeed() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "DriverEnterCriticalRegion", &[]), OK);
        for status in [0x1111, 0x2222] {
            assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, status]), OK);
        }
        s.d.has("thread worker state running");
        assert_eq!(s.d.simple(s.worker, "DriverLeaveCriticalRegion", &[]), None);
        s.d.has("thread worker exit status 00001111");
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, 3]), OK, "an exited thread");
        assert_eq!(s.d.count("pool PsEx"), 0);
    });
}

#[test]
fn a_null_thread_handle_is_the_caller_unless_it_is_the_last() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[0, 4]), None);
        s.d.has("thread worker exit status 00000004");
        let last = s.d.simple(s.main, "NtTerminateThread", &[0, 4]);
        assert_eq!(last, Some(Status::CANT_TERMINATE_SELF));
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[THREAD, 9]), None);
        s.d.has("process app exit status 00000009");
    });
}

#[test]
fn thread_is_terminating_is_no_exit_status_of_a_process() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[THREAD, 0x1111]), None);
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[THREAD, 0xC000_004B]), None);
        s.d.has("thread main exit status C000004B");
        s.d.has("process app exit status 00001111");
    });
}

#[test]
fn system_threads_and_the_system_process_go_on() {
    each_period(|mut s| {
        let init = s.d.init();
        let scene = s.d.nt.scene(&s.d.m);
        let handle = |name| scene.named.iter().find(|(known, ..)| *known == name).unwrap().2;
        let (process, thread) = (handle("System"), handle("SystemThread"));
        assert_eq!(s.d.simple(init, "NtTerminateThread", &[thread, 1]), Some(Status::ACCESS_DENIED));
        assert_eq!(s.d.simple(init, "NtTerminateProcess", &[process, 1]), OK);
        assert_eq!(s.d.try_thread(process, 0, &[]).0, Some(Status::INVALID_HANDLE));
        let queue = s.d.simple(init, "NtQueueApcThread", &[thread, 0x40_1000, 0, 0, 0]);
        assert_eq!(queue, Some(Status::INVALID_HANDLE));
        assert_eq!(s.d.count("threads of process 0004"), 2);
    });
}

#[test]
fn the_exit_apc_waits_for_its_memory() {
    each_period(|mut s| {
        s.d.fail_pool(b"PsEx", 2);
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, 6]), None);
        s.d.has("thread main state waiting");
        s.d.advance(100);
        s.d.has("thread main state waiting");
        s.d.has("thread worker state running");
        s.d.advance(100);
        s.d.has("thread main state running");
        s.d.has("thread worker exit status 00000006");
    });
}

#[test]
fn waits_end_by_their_mode() {
    each_period(|mut s| {
        let (_, out) =
            s.d.call(s.main, "NtCreateEvent", &[Words(&[0]), Value(0x1F_0003), Value(0), Value(0), Value(0)]);
        let event = out[0][0];
        // A user-mode wait, not alertable.
        let (_, user) = s.d.thread("user", s.app, 0, &[]);
        assert_eq!(s.d.simple(user, "NtWaitForSingleObject", &[event, 0, 0]), None);
        // A kernel-mode wait.
        assert_eq!(s.d.simple(s.worker, "DriverWait", &[event, 0, 0]), None);
        assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[0, 5]), OK);
        s.d.has("thread user exit status 00000005");
        s.d.has("thread worker state waiting");
        assert_eq!(s.d.simple(s.main, "NtSetEvent", &[event, 0]), OK);
        s.d.has("thread worker exit status 00000005");
    });
}

#[test]
fn a_suspended_thread_is_resumed_by_force() {
    each_period(|mut s| {
        for count in 0..3 {
            assert_eq!(s.d.counted(s.main, "NtSuspendThread", s.worker_handle), (OK, count));
        }
        s.d.has("thread worker state suspended");
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, 2]), OK);
        s.d.has("thread worker exit status 00000002");
        assert_eq!(s.d.counted(s.main, "NtResumeThread", s.worker_handle), (OK, 0));
        let late = s.d.counted(s.main, "NtSuspendThread", s.worker_handle);
        assert_eq!(late, (Some(Status::THREAD_IS_TERMINATING), 0xCCCC_CCCC));
        let queue = s.d.simple(s.main, "NtQueueApcThread", &[s.worker_handle, 0x40_1000, 0, 0, 0]);
        assert_eq!(queue, Some(Status::UNSUCCESSFUL));
    });
}

#[test]
fn a_thread_that_never_ran_ends_without_running() {
    each_period(|mut s| {
        let init = s.d.init();
        let (late, _) = s.d.thread("late", s.app, 1, &[]);
        s.d.trace.clear();
        assert_eq!(s.d.simple(init, "NtTerminateThread", &[late, 3]), OK);
        s.d.has("thread late exit status 00000003");
        assert!(!s.d.trace.contains(&"LdrpInitialize"), "no user code of its own");
    });
}

#[test]
fn user_apcs_behind_the_exit_apc_are_run_down() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "DriverEnterCriticalRegion", &[]), OK);
        let args = [s.worker_handle, 0x40_1000, 0, 0, 0];
        assert_eq!(s.d.simple(s.main, "NtQueueApcThread", &args), OK);
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, 2]), OK);
        assert_eq!(s.d.simple(s.main, "NtQueueApcThread", &args), OK, "marked, and not dead yet");
        assert_eq!(s.d.count("pool Psap"), 2);
        assert_eq!(s.d.simple(s.worker, "DriverLeaveCriticalRegion", &[]), None);
        s.d.has("thread worker exit status 00000002");
        assert_eq!((s.d.count("pool Psap"), s.d.count("pool PsEx")), (0, 0));
    });
}

#[test]
fn a_mutant_of_a_dead_thread_is_abandoned_to_the_next() {
    each_period(|mut s| {
        let args = [Words(&[0]), Value(0x1F_0001), Value(0), Value(0)];
        let (_, out) = s.d.call(s.main, "NtCreateMutant", &args);
        let mutant = out[0][0];
        assert_eq!(s.d.simple(s.worker, "NtWaitForSingleObject", &[mutant, 0, 0]), OK);
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[THREAD, 1]), None);
        let wait = s.d.simple(s.main, "NtWaitForSingleObject", &[mutant, 0, 0]);
        assert_eq!(wait, Some(Status::ABANDONED));
        assert_eq!(s.d.simple(s.main, "NtReleaseMutant", &[mutant, 0]), OK);
    });
}

#[test]
fn a_mutant_that_is_closed_while_owned_is_forgotten() {
    each_period(|mut s| {
        let args = [Words(&[0]), Value(0x1F_0001), Value(0), Value(1)];
        let (_, out) = s.d.call(s.worker, "NtCreateMutant", &args);
        assert_eq!(s.d.simple(s.worker, "NtClose", &[out[0][0]]), OK);
        assert_eq!(s.d.count("pool Muta"), 0);
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[THREAD, 1]), None);
        s.d.has("thread worker exit status 00000001");
        assert!(s.d.view().bugcheck.is_none());
    });
}

#[test]
fn a_waiter_sees_the_process_before_its_last_thread() {
    each_period(|mut s| {
        let init = s.d.init();
        let handles = [s.app, s.worker_in_init];
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[THREAD, 1]), None);
        // init waits for both; the worker goes as the last.
        s.d.bring(init);
        let args = [Value(2), Words(&handles), Value(1), Value(0), Value(0)];
        assert_eq!(s.d.call(init, "NtWaitForMultipleObjects", &args).0, None);
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[THREAD, 2]), None);
        s.d.bring(init);
        assert_eq!(s.d.m.cpu.reg(machine::Reg::Eax), 0, "WAIT_0 is the process");
    });
}

#[test]
fn critical_objects_stop_the_system() {
    each_period(|mut s| {
        let init = s.d.init();
        let args = [Value(s.app), Value(0x1D), Words(&[1]), Value(4)];
        assert_eq!(s.d.call(init, "NtSetInformationProcess", &args).0, OK);
        let wrong = [Value(s.app), Value(0x1D), Words(&[1]), Value(3)];
        let mismatch = Some(Status::INFO_LENGTH_MISMATCH);
        assert_eq!(s.d.call(init, "NtSetInformationProcess", &wrong).0, mismatch);
        // Even the NULL form breaks.
        assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[0, 1]), None);
        let stop = s.d.view().bugcheck.unwrap();
        assert_eq!((stop.code, stop.name.as_str()), (0xF4, "CRITICAL_OBJECT_TERMINATION"));
        assert_eq!(stop.parameters[0], "00000003");
        assert_eq!(stop.parameters[1], "app");
        assert_eq!(stop.parameters[3], "Terminating critical process 0x%p (%s)");
    });
    each_period(|mut s| {
        let args = [Value(s.worker_handle), Value(0x12), Words(&[1]), Value(4)];
        assert_eq!(s.d.call(s.main, "NtSetInformationThread", &args).0, OK);
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, 1]), None);
        let stop = s.d.view().bugcheck.unwrap();
        assert_eq!((stop.code, stop.parameters[0].as_str()), (0xF4, "00000006"));
        assert_eq!(stop.parameters[1], "worker");
    });
}

#[test]
fn the_last_thread_of_a_critical_process_stops_the_system() {
    each_period(|mut s| {
        let init = s.d.init();
        let args = [Value(s.app), Value(0x1D), Words(&[1]), Value(4)];
        assert_eq!(s.d.call(init, "NtSetInformationProcess", &args).0, OK);
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[THREAD, 1]), None);
        assert!(s.d.view().bugcheck.is_none());
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[THREAD, 1]), None);
        let stop = s.d.view().bugcheck.unwrap();
        assert_eq!((stop.code, stop.parameters[0].as_str()), (0xEF, "app"));
    });
}

/// The kernel debugger: enabled and present, with answers to its prompts.
fn debugger(s: &mut driver::Scene, state: u32, answers: &[u8; 4]) {
    let init = s.d.init();
    let args = [state, u32::from_le_bytes(*answers)];
    assert_eq!(s.d.simple(init, "DriverSetKernelDebugger", &args), OK);
}

#[test]
fn a_kernel_debugger_may_let_critical_objects_go() {
    each_period(|mut s| {
        let init = s.d.init();
        let args = [Value(s.app), Value(0x1D), Words(&[1]), Value(4)];
        assert_eq!(s.d.call(init, "NtSetInformationProcess", &args).0, OK);
        // What is no answer is asked again.
        debugger(&mut s, 3, b"?xi\0");
        assert_eq!(s.d.simple(s.main, "NtTerminateProcess", &[0, 1]), OK);
        s.d.has("thread worker state terminated");
        // Asked once for the process, and once more as its last thread leaves.
        debugger(&mut s, 3, b"bI\0\0");
        assert_eq!(s.d.simple(init, "NtTerminateProcess", &[s.app, 6]), OK);
        s.d.has("process app exit status 00000006");
        assert!(s.d.view().bugcheck.is_none());
        // An exited critical process breaks too, before anything else is looked at.
        debugger(&mut s, 1, b"iiii");
        assert_eq!(s.d.simple(init, "NtTerminateProcess", &[s.app, 7]), None);
        assert_eq!(s.d.view().bugcheck.unwrap().code, 0xF4);
    });
    // Its last thread leaves by itself, and the debugger has no answer left.
    each_period(|mut s| {
        let init = s.d.init();
        let args = [Value(s.app), Value(0x1D), Words(&[1]), Value(4)];
        assert_eq!(s.d.call(init, "NtSetInformationProcess", &args).0, OK);
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[THREAD, 1]), None);
        debugger(&mut s, 3, b"?\0\0\0");
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[THREAD, 1]), None);
        let stop = s.d.view().bugcheck.unwrap();
        assert_eq!((stop.code, stop.parameters[1].as_str()), (0xF4, "app"));
        assert_eq!(stop.parameters[3], "Critical process 0x%p (%s) exited");
    });
}

#[test]
fn exit_process_ends_the_others_before_it_shuts_down() {
    each_period(|mut s| {
        let forever = [1, 0x8000_0000];
        assert_eq!(s.d.call(s.worker, "NtDelayExecution", &[Value(0), Words(&forever)]).0, None);
        s.d.trace.clear();
        assert_eq!(s.d.simple(s.main, "ExitProcess", &[3]), None);
        s.d.has("process app exit status 00000003");
        s.d.has("thread worker exit status 00000003");
        let order = ["ExitProcess", "NtTerminateProcess", "LdrShutdownProcess"];
        let seen: Vec<_> = s.d.trace.iter().filter(|name| order.contains(name)).copied().collect();
        assert_eq!(seen, ["ExitProcess", "NtTerminateProcess", "LdrShutdownProcess", "NtTerminateProcess"]);
    });
}

#[test]
fn a_thread_frees_its_stack_and_teb_when_it_exits_by_itself() {
    each_period(|mut s| {
        s.d.advance(10);
        let before = (s.d.count("page frames"), s.d.count("pool Vad "));
        let init = s.d.init();
        let (handle, late) = s.d.thread("late", s.app, 0, &[]);
        assert_eq!(s.d.simple(late, "ExitThread", &[1]), None);
        s.d.has("thread late exit status 00000001");
        assert_eq!(s.d.simple(init, "NtClose", &[handle]), OK);
        assert_eq!((s.d.count("page frames"), s.d.count("pool Vad ")), before);
        // One that is killed leaves its stack to the process.
        let (handle, _) = s.d.thread("killed", s.app, 0, &[]);
        assert_eq!(s.d.simple(init, "NtTerminateThread", &[handle, 1]), OK);
        assert_eq!(s.d.count("pool Vad "), before.1 + 1);
    });
}

#[test]
fn leaving_a_process_inside_a_critical_region_stops_the_system() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "DriverEnterCriticalRegion", &[]), OK);
        assert_eq!(s.d.simple(s.worker, "ExitThread", &[1]), None);
        let stop = s.d.view().bugcheck.unwrap();
        assert_eq!(stop.name, "KERNEL_APC_PENDING_DURING_EXIT");
        assert_eq!(stop.parameters, ["00000000", "0000FFFF", "00000000", "00000001"]);
    });
}

#[test]
fn hard_errors_are_off_while_handles_are_closed_for_good() {
    const HARD_ERRORS_DISABLED: u32 = 0x20;
    const CROSS_THREAD_FLAGS: u32 = 0x240;
    let mut s = scene(0);
    s.d.place_call(s.main, "NtTerminateProcess", &[Value(u32::MAX), Value(9)]);
    let mut seen = Vec::new();
    while !s.d.trace.contains(&"KeSetProcess") {
        let before = s.d.trace.len();
        s.d.step_on();
        let entered = s.d.trace[before..].first().copied();
        if let Some(name @ ("ObKillProcess" | "ExSweepHandleTable" | "KeSetProcess")) = entered {
            let at = s.d.nt.current(&s.d.m).at.0 + CROSS_THREAD_FLAGS;
            seen.push((name, s.d.peek(at) & HARD_ERRORS_DISABLED != 0));
        }
    }
    assert_eq!(seen, [("ObKillProcess", false), ("ExSweepHandleTable", true), ("KeSetProcess", false)]);
}

#[test]
fn a_switch_from_a_dpc_stops_the_system() {
    const INITIAL_STACK: u32 = 0x18;
    let mut s = scene(0);
    s.d.bring(s.main);
    // KPRCB.DpcRoutineActive.
    let at = Va(0xFFDF_FA7A);
    s.d.m.poke(s.d.m.cpu.cr3, at, &[1]).unwrap();
    while !s.d.stopped() {
        s.d.tick();
        s.d.slice();
    }
    let stack = s.d.peek(s.main.at.0 + INITIAL_STACK);
    // KeBugCheckEx has given its frame up: its arguments are behind the return address.
    let arguments = [1, 2, 3, 4, 5].map(|index| s.d.peek(s.d.m.cpu.esp() + 4 * index));
    let new = s.d.nt.current(&s.d.m).at.0;
    assert_eq!(arguments, [0xB8, s.main.at.0, new, stack, 0]);
}
