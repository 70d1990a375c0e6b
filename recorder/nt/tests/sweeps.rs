//! Everything at every instant: a clock interrupt after each instruction of the exit path, termination at
//! each instruction of a thread's start, and each allocation of a creation failing (nt52.md 4.2, 5, 9).

mod driver;

use contract::{Activity, Kernel, ObjectId, Owner, Status};
use driver::{Arg::*, Driver, Scene, scene};

const OK: Option<Status> = Some(Status::SUCCESS);

/// Instructions that a sweep covers at the most; each test says that it reached the end before.
const MOST: u64 = 20_000;

/// Every so many instructions a thread's start is cut short; every one of them when the environment
/// variable SWEEP_ALL is set, which takes a minute.
fn stride() -> usize {
    if std::env::var_os("SWEEP_ALL").is_some() { 1 } else { 17 }
}

/// What is in use, without what grows or moves by itself.
fn inventory(d: &Driver) -> Vec<(String, u32)> {
    d.nt.inventory(&d.m).into_iter().filter(|(_, count)| *count != 0).collect()
}

/// Instructions that a placed call takes until the machine is quiet.
fn length(d: &Driver) -> u64 {
    let mut d = d.clone();
    let start = d.m.retired;
    d.settle();
    d.m.retired - start
}

fn sweep_exit(place: impl Fn(&mut Scene), check: impl Fn(&Scene)) {
    let mut first = scene(0);
    place(&mut first);
    let whole = length(&first.d).min(MOST);
    assert!(whole > 500 && whole < MOST, "{whole}");
    let mut expected = None;
    for after in 1..whole {
        let mut s = first.clone();
        s.d.tick_after(after);
        s.d.settle();
        assert!(!s.d.stopped(), "after {after}: {:?}", s.d.facts());
        check(&s);
        let outcome = (s.d.facts(), inventory(&s.d));
        let expected = expected.get_or_insert_with(|| outcome.clone());
        assert_eq!(*expected, outcome, "an interrupt after {after} instructions");
    }
}

#[test]
fn an_interrupt_after_any_instruction_of_a_threads_exit_changes_nothing() {
    sweep_exit(
        |s| {
            let thread = s.worker;
            s.d.place_call(thread, "NtTerminateThread", &[Value(u32::MAX - 1), Value(7)]);
        },
        |s| s.d.has("thread worker exit status 00000007"),
    );
}

#[test]
fn an_interrupt_after_any_instruction_of_a_processs_exit_changes_nothing() {
    sweep_exit(
        |s| {
            let thread = s.main;
            s.d.place_call(thread, "NtTerminateProcess", &[Value(u32::MAX), Value(9)]);
        },
        |s| {
            s.d.has("process app exit status 00000009");
            s.d.has("thread worker exit status 00000009");
        },
    );
}

/// Whether a new thread has got as far as the loader.
fn ran(d: &Driver) -> bool {
    d.trace.contains(&"LdrpInitialize")
}

#[test]
fn a_process_terminated_at_any_instant_of_a_threads_start_ends() {
    let mut first = Driver::boot(0);
    let app = first.process("app");
    let (_, main) = first.thread("main", app, 2, &[]);
    let init = first.init();
    // Its handle table has the page that it will need.
    let spare = first.give(app, app);
    assert_eq!(first.simple(main, "NtClose", &[spare]), OK);
    let baseline = inventory(&first);
    let other = first.process("other");
    let other_in_app = first.give(app, other);
    let args = [Value(other), Value(2), Words(&[]), Value(0), Words(&[0]), Words(&[0, 0])];
    let placed = first.place_call(init, "CreateThread", &args);
    first.trace.clear();
    // Up to a while after the new thread's first instructions in user mode.
    let whole = {
        let mut d = first.clone();
        while !ran(&d) {
            d.step_on();
        }
        d.m.retired - first.m.retired + 300
    };
    assert!(whole > 1000 && whole < MOST, "{whole}");
    let (mut dead_before, mut never_ran, mut ran_first) = (0, 0, 0);
    for after in (1..whole).step_by(stride()) {
        let mut d = first.clone();
        while d.m.retired < first.m.retired + after {
            d.step_on();
        }
        let ran_before = ran(&d);
        // The creator is interrupted there, and another process ends the one it creates a thread in.
        let killed = d.interrupt_for(main, "NtTerminateProcess", &[other_in_app, 5]);
        assert_eq!(killed, OK, "after {after}");
        d.settle();
        let (status, out) = d.finish_call(&placed);
        match status {
            Some(Status::SUCCESS) => {
                let handle = out[1][0];
                if ran_before {
                    ran_first += 1
                } else {
                    never_ran += 1
                }
                assert_eq!(d.simple(init, "NtClose", &[handle]), OK);
            }
            Some(Status::PROCESS_IS_TERMINATING) => dead_before += 1,
            other => panic!("after {after}: {other:?}"),
        }
        assert!(!d.stopped());
        let threads = d.nt.threads(&d.m);
        let known: Vec<ObjectId> = [init, main].to_vec();
        let left = threads.iter().filter(|thread| !thread.system && !known.contains(&thread.id));
        assert_eq!(left.filter(|thread| thread.activity != Activity::Terminated).count(), 0, "after {after}");
        assert_eq!(d.simple(main, "NtClose", &[other_in_app]), OK);
        assert_eq!(d.simple(init, "NtClose", &[other]), OK);
        d.settle();
        assert_eq!(without(&inventory(&d)), without(&baseline), "after {after}: {status:?}");
    }
    // Each way of dying was met.
    assert!(dead_before > 0 && never_ran > 0 && ran_first > 0, "{dead_before} {never_ran} {ran_first}");
}

/// An inventory without the page frames of a process that exists and has ended in another way: a page
/// table more or less.
fn without(inventory: &[(String, u32)]) -> Vec<(String, u32)> {
    inventory.iter().filter(|(what, _)| what != "page frames").cloned().collect()
}

#[test]
fn each_allocation_of_a_creation_may_fail() {
    let mut first = Driver::boot(0);
    let app = first.process("app");
    first.thread("main", app, 2, &[]);
    let init = first.init();
    let baseline = inventory(&first);
    let create = |d: &mut Driver| {
        let args = [Value(app), Value(0), Words(&[]), Value(0), Words(&[0]), Words(&[0, 0])];
        d.call(init, "CreateThread", &args)
    };
    let (mut failures, mut told) = (Vec::new(), 0);
    for skip in 0.. {
        let mut d = first.clone();
        d.fail_any(skip);
        let (status, out) = create(&mut d);
        if d.fault_count() != 0 {
            assert_eq!(status, OK, "nothing failed");
            break;
        }
        d.settle();
        match status {
            Some(Status::SUCCESS) => {
                // The new thread's message to CSRSS; it ends by itself, which frees its stack (11.3).
                let (thread, _) = d.nt.object(&d.m, Owner::Init, out[1][0]).expect("init's handle");
                assert_eq!(d.simple(thread, "ExitThread", &[1]), None);
                told += 1;
                assert_eq!(d.simple(init, "NtClose", &[out[1][0]]), OK);
            }
            Some(status) => failures.push(status),
            None => panic!("allocation {skip}: no return"),
        }
        assert_eq!(without(&inventory(&d)), without(&baseline), "allocation {skip}: {status:?}");
        assert!(skip < 40);
    }
    assert!(failures.len() >= 4 && told == 1, "{failures:?}, {told} messages");
    let known = [Status::INSUFFICIENT_RESOURCES, Status::NO_MEMORY];
    assert!(failures.iter().all(|status| known.contains(status)), "{failures:?}");
}

#[test]
fn each_allocation_of_a_process_may_fail() {
    let first = Driver::boot(0);
    let init = first.init();
    let baseline = inventory(&first);
    let mut failures = 0;
    for skip in 0.. {
        let mut d = first.clone();
        d.fail_any(skip);
        let (status, out) = d.call(init, "CreateProcess", &[Words(&[0])]);
        if d.fault_count() != 0 {
            assert_eq!(status, OK, "nothing failed");
            break;
        }
        if status == OK {
            assert_eq!(d.simple(init, "NtTerminateProcess", &[out[0][0], 1]), OK);
            assert_eq!(d.simple(init, "NtClose", &[out[0][0]]), OK);
        } else {
            failures += 1;
        }
        d.settle();
        assert_eq!(inventory(&d), baseline, "allocation {skip}: {status:?}");
        assert!(skip < 60);
    }
    assert!(failures >= 8, "{failures}");
}

#[test]
fn many_paths_leave_nothing_behind() {
    let mut d = Driver::boot(0);
    let init = d.init();
    let baseline = inventory(&d);
    for round in 0..4u32 {
        let process = d.process("app");
        let (first, main) = d.thread("main", process, 2, &[]);
        let (second, worker) = d.thread("worker", process, 0, &[]);
        let (third, _) = d.thread("sleeper", process, 1, &[]);
        let worker_handle = d.give(process, second);
        match round {
            0 => {
                let apc = contract::program::symbol(contract::program::APC).0;
                assert_eq!(d.simple(main, "NtQueueApcThread", &[worker_handle, apc, 1, 0, 0]), OK);
                assert_eq!(d.simple(worker, "NtTerminateProcess", &[u32::MAX, 3]), None);
            }
            1 => {
                assert_eq!(d.call(worker, "NtDelayExecution", &[Value(0), Words(&[0, 0x8000_0000])]).0, None);
                assert_eq!(d.simple(init, "NtTerminateProcess", &[process, 4]), OK);
            }
            2 => {
                assert_eq!(d.simple(main, "DriverQueueApc", &[worker_handle, 2]), OK);
                assert_eq!(d.simple(main, "ExitProcess", &[5]), None);
            }
            _ => {
                assert_eq!(d.simple(init, "NtResumeThread", &[third, 0]), OK);
                assert_eq!(d.simple(worker, "ExitThread", &[6]), None);
                assert_eq!(d.simple(init, "NtTerminateThread", &[third, 6]), OK);
                assert_eq!(d.simple(main, "ExitThread", &[6]), None);
            }
        }
        d.has("process app state terminated");
        for handle in [process, first, second, third] {
            assert_eq!(d.simple(init, "NtClose", &[handle]), OK);
        }
        d.settle();
        assert_eq!(inventory(&d), baseline, "round {round}");
        d.named.clear();
    }
}

#[test]
fn both_entries_lead_to_the_same_service() {
    let mut s = scene(0);
    let number = 0x10C;
    s.d.run(s.main, "syscall", 0, number);
    assert_eq!(s.d.m.cpu.reg(machine::Reg::Eax), 0, "NtTestAlert by INT 2E");
    s.d.trace.clear();
    assert_eq!(s.d.simple(s.main, "NtTestAlert", &[]), OK);
    assert!(s.d.trace.contains(&"NtTestAlert"), "and by SYSENTER");
    let program = [s.d.m.cpu.sysenter[0], s.d.m.cpu.sysenter[2]];
    assert_eq!(program, [8, s.d.nt_symbol("KiFastCallEntry")]);
}
