//! A clock interrupt after any one instruction changes nothing that a program could tell apart, and
//! what is made and closed again leaves nothing behind.

mod common;

use common::{Came, Driver, Made};
use contract::{Kernel, program};
use reactos::{ReactOs, Variant};

/// The instants that are tried: every `STEP`th, so that the runs of a few scenarios stay short.
const STEP: u64 = 5;

/// A scenario from a prepared machine: what is done to it.
fn everywhere(variant: Variant, prepare: fn(&mut Driver) -> Vec<Made>, act: fn(&mut Driver, &[Made])) {
    let mut first = Driver::boot(variant, None);
    let made = prepare(&mut first);
    let (machine, named) = (first.m.clone(), first.named.clone());
    let run = |interrupt: Option<u64>| {
        let mut driver = Driver::new(ReactOs::new(variant), machine.clone());
        driver.named.clone_from(&named);
        driver.after = interrupt.map(|after| driver.m.retired + after);
        act(&mut driver, &made);
        let spent = driver.m.retired - machine.retired;
        (driver.facts(), spent)
    };
    let (expected, length) = run(None);
    for after in (1..length.min(4000)).step_by(STEP as usize) {
        let (facts, _) = run(Some(after));
        assert_eq!(facts, expected, "{variant:?}, interrupted after {after}");
    }
}

fn two_threads(driver: &mut Driver) -> Vec<Made> {
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    let worker = driver.thread("worker", app, 0, &[]);
    vec![app, main, worker]
}

#[test]
fn exit_process() {
    for variant in [Variant::Article, Variant::R13089] {
        everywhere(variant, two_threads, |driver, made| {
            assert_eq!(driver.call(made[1].id, "ExitProcess", &[3]), Came::Ended);
        });
    }
}

#[test]
fn floating_point_exceptions() {
    let two_processes = |driver: &mut Driver| {
        let (first, second) = (driver.process("first"), driver.process("second"));
        vec![driver.thread("divides", first, 2, &[]), driver.thread("is invalid", second, 2, &[])]
    };
    // Each thread finds its own exception, whoever has the FPU by then.
    everywhere(Variant::Article, two_processes, |driver, made| {
        driver.begin(made[0].id, program::symbol("float-divide"), &[]);
        driver.begin(made[1].id, program::symbol("float-invalid"), &[]);
        driver.settle();
        let facts = driver.facts().join("; ");
        assert!(facts.contains("first exit status: C000008E; "), "{facts}");
        assert!(facts.contains("second exit status: C0000090; "), "{facts}");
    });
}

#[test]
fn creating_a_thread() {
    for variant in [Variant::Article, Variant::R13089] {
        everywhere(variant, two_threads, |driver, made| {
            driver.thread("third", made[0], 0, &[]);
        });
    }
}

#[test]
fn creating_a_process() {
    everywhere(
        Variant::Article,
        |_| Vec::new(),
        |driver, _| {
            let app = driver.process("app");
            driver.thread("main", app, 3, &[]);
        },
    );
}

#[test]
fn suspending_and_resuming() {
    everywhere(Variant::Article, two_threads, |driver, made| {
        let (_, init) = driver.init();
        for service in ["NtSuspendThread", "NtResumeThread"] {
            assert_eq!(driver.call(init, service, &[made[2].handle, 0]), Came::Returned(0));
        }
    });
}

#[test]
fn ending_a_suspended_and_a_sleeping_thread() {
    let prepare = |driver: &mut Driver| {
        let made = two_threads(driver);
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtSuspendThread", &[made[2].handle, 0]), Came::Returned(0));
        driver.set_data(made[0].id, 0x40, &[0, 0x8000_0000]);
        let args = [1, program::DATA.0 + 0x40];
        assert_eq!(driver.call(made[1].id, "NtDelayExecution", &args), Came::Waits);
        made
    };
    everywhere(Variant::Article, prepare, |driver, made| {
        let (_, init) = driver.init();
        assert_eq!(driver.call(init, "NtTerminateProcess", &[made[0].handle, 9]), Came::Returned(0));
        assert_eq!(driver.call(init, "NtResumeThread", &[made[2].handle, 0]), Came::Returned(0));
    });
}

#[test]
fn user_apcs() {
    everywhere(Variant::Article, two_threads, |driver, made| {
        let (_, init) = driver.init();
        let routine = program::symbol(program::APC).0;
        let args = [made[2].handle, routine, 5, 0, 0];
        assert_eq!(driver.call(init, "NtQueueApcThread", &args), Came::Returned(0));
        driver.set_data(made[0].id, 0x40, &[0, 0x8000_0000]);
        let args = [1, program::DATA.0 + 0x40];
        assert_eq!(driver.call(made[2].id, "NtDelayExecution", &args), Came::Returned(0xC0));
    });
}

#[test]
fn a_closed_process_leaves_nothing_behind() {
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    let round = |driver: &mut Driver| {
        let app = driver.process("app");
        let main = driver.thread("main", app, 2, &[]);
        let worker = driver.thread("worker", app, 0, &[]);
        let event = driver.object("NtCreateEvent", &[1, 0]);
        driver.give(app, event);
        driver.go(worker.id, program::LEAVE, 1, 0);
        driver.go(main.id, program::LEAVE, 1, 0);
        for handle in [app.handle, main.handle, worker.handle, event] {
            assert_eq!(driver.call(init, "NtClose", &[handle]), Came::Returned(0));
        }
        driver.named.clear();
        // Fresh pool takes pages for good, so these are not compared.
        let found = driver.kernel.inventory(&driver.m);
        found.into_iter().filter(|(name, _)| name != "physical pages").collect::<Vec<_>>()
    };
    let before = round(&mut driver);
    for _ in 0..8 {
        assert_eq!(round(&mut driver), before);
    }
    // Until the pool's address space is used up and its blocks are used again.
    for _ in 0..220 {
        round(&mut driver);
    }
    let pages = driver.inventory("physical pages");
    assert_eq!(round(&mut driver), before);
    assert_eq!(driver.inventory("physical pages"), pages);
}

#[test]
fn more_threads_than_the_first_block_has_tebs() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    for _ in 0..20 {
        let thread = driver.thread("worker", app, 0, &[]);
        driver.make_current(thread.id);
    }
    assert_eq!(driver.call(main.id, "ExitProcess", &[1]), Came::Ended);
    assert!(driver.view().threads.iter().all(|thread| thread.state == "terminated"));
    assert!(driver.view().processes[0].terminated);
}
