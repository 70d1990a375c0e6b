//! APCs, alerts, waits and suspension (nt52.md 7, 8, 13.5, 13.6).

mod driver;

use contract::{Status, program};
use driver::{Arg::*, PERIODS, relative, scene};

const OK: Option<Status> = Some(Status::SUCCESS);
const THREAD: u32 = u32::MAX - 1;
const FOREVER: [u32; 2] = [0, 0x8000_0000];

fn each_period(test: impl Fn(driver::Scene)) {
    for period in PERIODS {
        test(scene(period));
    }
}

fn queue(s: &mut driver::Scene, context: u32) -> Option<Status> {
    let apc = program::symbol(program::APC).0;
    s.d.simple(s.main, "NtQueueApcThread", &[s.worker_handle, apc, context, 0, 0])
}

/// Starts a sleep of the worker.
fn sleep(s: &mut driver::Scene, alertable: u32, interval: [u32; 2]) -> Option<Status> {
    s.d.call(s.worker, "NtDelayExecution", &[Value(alertable), Words(&interval)]).0
}

/// EAX of a thread that has come back to park.
fn result(s: &mut driver::Scene) -> Status {
    s.d.bring(s.worker);
    Status(s.d.m.cpu.reg(machine::Reg::Eax))
}

#[test]
fn a_user_apc_ends_an_alertable_wait_only() {
    each_period(|mut s| {
        assert_eq!(sleep(&mut s, 1, FOREVER), None);
        assert_eq!(queue(&mut s, 1), OK);
        assert_eq!(result(&mut s), Status::USER_APC);
        assert_eq!(sleep(&mut s, 0, relative(50)), None);
        assert_eq!(queue(&mut s, 2), OK);
        assert_eq!(s.d.count("pool Psap"), 1);
        s.d.advance(60);
        assert_eq!(result(&mut s), Status::SUCCESS, "a delay that is over succeeds");
        // It is found on entry to the next alertable wait, which does not sleep.
        assert_eq!(sleep(&mut s, 1, FOREVER), Some(Status::USER_APC));
        assert_eq!(s.d.count("pool Psap"), 0);
    });
}

#[test]
fn test_alert_runs_all_that_are_queued_in_order() {
    each_period(|mut s| {
        for context in 1..4 {
            assert_eq!(queue(&mut s, context), OK);
        }
        s.d.trace.clear();
        assert_eq!(s.d.simple(s.worker, "NtTestAlert", &[]), OK);
        let delivered = s.d.trace.iter().filter(|name| **name == "KiInitializeUserApc").count();
        assert_eq!(delivered, 3);
        assert_eq!(s.d.count("pool Psap"), 0);
    });
}

#[test]
fn alerts_come_before_apcs_and_are_remembered() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.main, "NtAlertThread", &[s.worker_handle]), OK);
        assert_eq!(queue(&mut s, 1), OK);
        assert_eq!(sleep(&mut s, 1, FOREVER), Some(Status::ALERTED));
        assert_eq!(s.d.count("pool Psap"), 1);
        assert_eq!(sleep(&mut s, 1, FOREVER), Some(Status::USER_APC));
        assert_eq!(sleep(&mut s, 1, FOREVER), None);
        assert_eq!(s.d.simple(s.main, "NtAlertThread", &[s.worker_handle]), OK);
        assert_eq!(result(&mut s), Status::ALERTED);
        // NtAlertResumeThread alerts for kernel mode, which ends an alertable user wait too.
        assert_eq!(sleep(&mut s, 1, FOREVER), None);
        let resumed = s.d.counted(s.main, "NtAlertResumeThread", s.worker_handle);
        assert_eq!(resumed, (OK, 0));
        assert_eq!(result(&mut s), Status::ALERTED);
    });
}

#[test]
fn kernel_apcs_leave_a_wait_as_it_was() {
    each_period(|mut s| {
        assert_eq!(sleep(&mut s, 0, relative(40)), None);
        s.d.advance(20);
        for kind in [0, 1] {
            s.d.trace.clear();
            assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, kind]), OK);
            assert!(s.d.trace.contains(&"DriverKernelRoutine"));
            assert_eq!(s.d.trace.contains(&"DriverNormalApc"), kind == 1);
            s.d.has("thread worker state waiting");
        }
        // The timeout is not extended.
        s.d.advance(20);
        assert_eq!(result(&mut s), Status::SUCCESS);
    });
}

#[test]
fn a_critical_region_holds_normal_apcs_back() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "DriverEnterCriticalRegion", &[]), OK);
        s.d.trace.clear();
        assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, 1]), OK);
        assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, 0]), OK);
        s.d.settle();
        assert_eq!(s.d.count("pool Drvr"), 1, "the special one has run");
        assert!(!s.d.trace.contains(&"DriverNormalApc"));
        assert_eq!(s.d.simple(s.worker, "DriverLeaveCriticalRegion", &[]), OK);
        assert!(s.d.trace.contains(&"DriverNormalApc"));
        assert_eq!(s.d.count("pool Drvr"), 0);
    });
}

#[test]
fn a_signaled_object_beats_a_pending_apc() {
    each_period(|mut s| {
        let args = [Words(&[0]), Value(0x1F_0003), Value(0), Value(0), Value(1)];
        let event = s.d.call(s.main, "NtCreateEvent", &args).1[0][0];
        assert_eq!(queue(&mut s, 1), OK);
        assert_eq!(s.d.simple(s.worker, "NtWaitForSingleObject", &[event, 1, 0]), OK);
        assert_eq!(s.d.count("pool Psap"), 1);
    });
}

#[test]
fn suspension_counts_to_127() {
    each_period(|mut s| {
        for count in 0..127 {
            assert_eq!(s.d.counted(s.main, "NtSuspendThread", s.worker_handle), (OK, count));
        }
        let more = s.d.counted(s.main, "NtSuspendThread", s.worker_handle);
        assert_eq!(more.0, Some(Status::SUSPEND_COUNT_EXCEEDED));
        s.d.has("thread worker suspend count 127");
        for count in (1..=127).rev() {
            s.d.has("thread worker state suspended");
            assert_eq!(s.d.counted(s.main, "NtResumeThread", s.worker_handle), (OK, count));
        }
        s.d.has("thread worker state running");
        assert_eq!(s.d.counted(s.main, "NtResumeThread", s.worker_handle), (OK, 0), "nothing is banked");
        assert_eq!(s.d.counted(s.main, "NtSuspendThread", s.worker_handle), (OK, 0));
        s.d.has("thread worker state suspended");
    });
}

#[test]
fn a_thread_that_suspends_itself_comes_back_when_it_is_resumed() {
    each_period(|mut s| {
        assert_eq!(s.d.counted(s.worker, "NtSuspendThread", THREAD).0, None);
        s.d.has("thread worker state suspended");
        assert_eq!(s.d.counted(s.main, "NtResumeThread", s.worker_handle), (OK, 1));
        s.d.has("thread worker state running");
        assert_eq!(result(&mut s), Status::SUCCESS);
    });
}

#[test]
fn a_sleeping_thread_is_suspended_inside_its_wait() {
    each_period(|mut s| {
        assert_eq!(sleep(&mut s, 0, relative(30)), None);
        assert_eq!(s.d.counted(s.main, "NtSuspendThread", s.worker_handle), (OK, 0));
        s.d.has("thread worker state suspended");
        s.d.advance(50);
        s.d.has("thread worker state suspended");
        assert_eq!(s.d.counted(s.main, "NtResumeThread", s.worker_handle), (OK, 1));
        s.d.has("thread worker state running");
        assert_eq!(result(&mut s), Status::SUCCESS);
    });
}

#[test]
fn a_process_is_suspended_and_resumed_whole() {
    each_period(|mut s| {
        let init = s.d.init();
        assert_eq!(s.d.simple(init, "NtSuspendProcess", &[s.app]), OK);
        assert_eq!(
            (s.d.state("main"), s.d.state("worker")),
            ("suspended".to_owned(), "suspended".to_owned())
        );
        assert_eq!(s.d.simple(init, "NtResumeProcess", &[s.app]), OK);
        assert_eq!((s.d.state("main"), s.d.state("worker")), ("running".to_owned(), "running".to_owned()));
    });
}

#[test]
fn waits_for_several_objects() {
    each_period(|mut s| {
        let event = [Words(&[0]), Value(0x1F_0003), Value(0), Value(1), Value(0)];
        let semaphore = [Words(&[0]), Value(0x1F_0003), Value(0), Value(1), Value(3)];
        let e = s.d.call(s.main, "NtCreateEvent", &event).1[0][0];
        let c = s.d.call(s.main, "NtCreateSemaphore", &semaphore).1[0][0];
        let all = [Value(2), Words(&[e, c]), Value(0), Value(0), Value(0)];
        assert_eq!(s.d.call(s.worker, "NtWaitForMultipleObjects", &all).0, None);
        assert_eq!(s.d.counted(s.main, "NtSetEvent", e), (OK, 0));
        assert_eq!(result(&mut s), Status::SUCCESS);
        assert_eq!(s.d.count("pool Wait"), 0);
        // Both were taken.
        let any = [Value(2), Words(&[e, c]), Value(1), Value(0), Words(&[0, 0])];
        assert_eq!(s.d.call(s.main, "NtWaitForMultipleObjects", &any).0, Some(Status::TIMEOUT));
        assert_eq!(s.d.simple(s.main, "NtReleaseSemaphore", &[c, 1, 0]), OK);
        assert_eq!(s.d.call(s.main, "NtWaitForMultipleObjects", &any).0, Some(Status(1)));
        let exceeded = s.d.simple(s.main, "NtReleaseSemaphore", &[c, 4, 0]);
        assert_eq!(exceeded, Some(Status::SEMAPHORE_LIMIT_EXCEEDED));
        for (count, kind, words, status) in [
            (0, 1, vec![e], Status::INVALID_PARAMETER_1),
            (65, 1, vec![e; 65], Status::INVALID_PARAMETER_1),
            (1, 2, vec![e], Status::INVALID_PARAMETER_3),
            (2, 0, vec![e, e], Status::INVALID_PARAMETER_MIX),
            (2, 1, vec![e, 0x0BAD_BAD0], Status::INVALID_HANDLE),
        ] {
            let args = [Value(count), Words(&words), Value(kind), Value(0), Value(0)];
            assert_eq!(s.d.call(s.main, "NtWaitForMultipleObjects", &args).0, Some(status));
        }
        // Enough objects for wait blocks of their own.
        let many: Vec<u32> = vec![e, c, s.worker_handle, s.self_handle, e];
        let args = [Value(5), Words(&many), Value(1), Value(0), Words(&relative(20))];
        assert_eq!(s.d.call(s.main, "NtWaitForMultipleObjects", &args).0, None);
        s.d.advance(30);
        s.d.bring(s.main);
        assert_eq!(Status(s.d.m.cpu.reg(machine::Reg::Eax)), Status::TIMEOUT);
    });
}

#[test]
fn a_yield_goes_to_whoever_is_ready() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.main, "NtYieldExecution", &[]), OK);
        let init = s.d.init();
        assert_eq!(s.d.simple(init, "NtSuspendProcess", &[s.app]), OK);
        assert_eq!(s.d.simple(init, "NtYieldExecution", &[]), Some(Status::NO_YIELD_PERFORMED));
        let zero = s.d.call(init, "NtDelayExecution", &[Value(0), Words(&[0, 0])]).0;
        assert_eq!(zero, Some(Status::NO_YIELD_PERFORMED));
    });
}

#[test]
fn a_process_that_suspends_itself_stops_at_the_caller() {
    each_period(|mut s| {
        let init = s.d.init();
        assert_eq!(s.d.simple(s.main, "NtSuspendProcess", &[u32::MAX]), None);
        assert_eq!((s.d.state("main"), s.d.state("worker")), ("suspended".into(), "running".into()));
        assert_eq!(s.d.simple(init, "NtResumeProcess", &[s.app]), OK);
        // The walk goes on behind the caller; the worker stops when it is next switched in.
        s.d.settle();
        assert_eq!((s.d.state("main"), s.d.state("worker")), ("running".into(), "suspended".into()));
        assert_eq!(s.d.simple(init, "NtTerminateProcess", &[s.app, 3]), OK);
        s.d.has("process app exit status 00000003");
    });
}

#[test]
fn a_guarded_region_holds_every_kernel_apc_back() {
    each_period(|mut s| {
        let ran = |s: &driver::Scene| s.d.trace.contains(&"DriverKernelRoutine");
        assert_eq!(s.d.simple(s.worker, "DriverEnterGuardedRegion", &[]), OK);
        for kind in [0, 1] {
            s.d.trace.clear();
            assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, kind]), OK);
            s.d.settle();
            assert!(!ran(&s), "kind {kind}");
        }
        // A wait is not interrupted either.
        assert_eq!(sleep(&mut s, 0, FOREVER), None);
        assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, 0]), OK);
        assert!(!ran(&s));
    });
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "DriverEnterGuardedRegion", &[]), OK);
        assert_eq!(s.d.simple(s.worker, "DriverEnterCriticalRegion", &[]), OK);
        for kind in [0, 1] {
            assert_eq!(s.d.simple(s.main, "DriverQueueApc", &[s.worker_handle, kind]), OK);
        }
        s.d.trace.clear();
        assert_eq!(s.d.simple(s.worker, "DriverLeaveCriticalRegion", &[]), OK);
        assert_eq!(s.d.count("pool Drvr"), 2, "leaving the inner region is not enough");
        assert_eq!(s.d.simple(s.worker, "DriverEnterCriticalRegion", &[]), OK);
        assert_eq!(s.d.simple(s.worker, "DriverLeaveGuardedRegion", &[]), OK);
        assert_eq!(s.d.count("pool Drvr"), 1, "the special one has run, the normal one waits");
        assert_eq!(s.d.simple(s.worker, "DriverLeaveCriticalRegion", &[]), OK);
        assert_eq!(s.d.count("pool Drvr"), 0);
    });
}

#[test]
fn a_thread_in_a_guarded_region_ends_when_it_leaves_it_and_may_not_end_itself() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "DriverEnterGuardedRegion", &[]), OK);
        assert_eq!(s.d.simple(s.main, "NtTerminateThread", &[s.worker_handle, 5]), OK);
        assert_eq!(s.d.state("worker"), "running");
        assert_eq!(s.d.simple(s.worker, "DriverLeaveGuardedRegion", &[]), None);
        s.d.has("thread worker exit status 00000005");
    });
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.worker, "DriverEnterGuardedRegion", &[]), OK);
        assert_eq!(s.d.simple(s.worker, "NtTerminateThread", &[THREAD, 5]), None);
        let stop = "00000020 KERNEL_APC_PENDING_DURING_EXIT (00000000, FFFF0000, 00000000, 00000001)";
        s.d.has(&format!("system bugcheck {stop}"));
    });
}
