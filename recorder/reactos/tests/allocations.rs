//! Each allocation in turn fails: the nth one, for every n that there is, while a thread is created, begins
//! and ends, and while a process is created and ends. reactos.md 3.4, 4.1, 4.2, 4.5, 4.8, 4.9.1, 9.4, 9.5.
//!
//! Every line of a table below is one n. It says what came of the call, what stays allocated, and what
//! comes of two more steps with memory again.

mod common;

use common::{
    Came, Driver, Made, scenes,
    sweep::{sweep, told},
};
use contract::{Kernel, Owner, context, program};
use machine::Va;
use reactos::Variant;

const SELF: u32 = 0xFFFF_FFFF;
const THREAD_SELF: u32 = 0xFFFF_FFFE;

/// A process with its first thread.
fn app(driver: &mut Driver) -> (Made, Made) {
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    (app, main)
}

/// NtCreateThread itself, by init, into `app`, on a stack at the end of the program's data there.
fn bare(driver: &mut Driver, app: Made) -> Came {
    let (init, thread) = driver.init();
    let (data, at) = (program::DATA.0, 0x200);
    let park = program::symbol(program::PARK).0;
    let mut words = vec![0; context::SIZE as usize / 4];
    words[0] = context::FULL;
    for (offset, value) in [(0x8C, 0x23), (0x90, 0x3B), (0x94, 0x23), (0x98, 0x23), (0xC8, 0x23)] {
        words[offset / 4] = value;
    }
    for (offset, value) in [(0xB8, park), (0xBC, 0x1B), (0xC0, 0x202), (0xC4, data + 0xFF0)] {
        words[offset / 4] = value;
    }
    driver.set_data(init, at, &words);
    driver.set_data(init, 0x500, &[data + 0x1000, data + 0xA00, 0, 0, 0]);
    let args = [data, 0x1F_03FF, 0, app.handle, data + 8, data + at, data + 0x500, 0];
    driver.call(thread, "NtCreateThread", &args)
}

/// Once more with memory, then init ends the process: whether it is signaled. With a lock held for good
/// whoever needs it waits, and the caller of the second try is init itself: then only the end is tried.
fn again_and_end(driver: &mut Driver, (app, _): &(Made, Made)) -> String {
    let (_, init) = driver.init();
    let again = if driver.inventory("locks held") > 0 {
        "not again".to_owned()
    } else {
        let came = bare(driver, *app);
        told(driver, came)
    };
    let ended = driver.call(init, "NtTerminateProcess", &[app.handle, 5]);
    let ended = told(driver, ended);
    let state = if driver.stopped() { "stopped".to_owned() } else { driver.facts().remove(0) };
    format!("; {again}; {ended}; {}", state.trim_start_matches("process app state: "))
}

/// Makes the first block of a process's handle table a full one (2.7 HandleTable; 11.1: a list entry,
/// allocation_hint, allocation_count, which counts to 2046).
fn fill_handle_table(driver: &mut Driver) {
    let (init, _) = driver.init();
    let block = driver.word(init.at.add(0x120));
    driver.m.poke(driver.m.cpu.cr3, Va(block).add(0xC), &2046u32.to_le_bytes()).unwrap();
}

#[test]
fn creating_a_thread_with_the_handle_last() {
    let lines = sweep(Variant::Article, app, |driver, made| bare(driver, made.0), again_and_end);
    assert_eq!(
        lines,
        [
            // The object: nothing has been made yet.
            "C000009A; 00000000; 00000000; terminated",
            // The kernel stack is taken for granted.
            "stop 4D 00000000",
            // The id. All is undone but the entry in the process's list, so the process never ends.
            "C000009A; 00000000; 00000000; alive",
            // The TEB's page: besides that entry, which the next walk reads from freed memory, the lock.
            "C000009A; leaves 1 locks held; not again; stop 1E C0000005; stopped",
            // The LdrInit APC is written through NULL.
            "stop 1E C0000005",
        ]
    );
}

#[test]
fn creating_a_thread_with_the_handle_first() {
    let lines = sweep(Variant::R13089, app, |driver, made| bare(driver, made.0), again_and_end);
    assert_eq!(
        lines,
        [
            // The object. (Terminated from outside, nothing ends in this variant.)
            "C000009A; 00000000; 00000000; alive",
            // The id: the thread that is deleted is in no list yet.
            "stop 1E C0000005",
            "stop 4D 00000000",
            // The TEB's page: nothing is undone.
            "C000009A; leaves 1 kernel stacks, 1 locks held, 1 CIDO, 1 THRT; not again; 00000000; alive",
            "stop 1E C0000005",
        ]
    );
}

#[test]
fn the_sixteenth_thread_needs_another_block_of_tebs() {
    let prepare = |driver: &mut Driver| {
        let made = app(driver);
        for _ in 1..15 {
            driver.thread("more", made.0, 0, &[]);
        }
        made
    };
    let lines = sweep(Variant::Article, prepare, |driver, made| bare(driver, made.0), again_and_end);
    assert_eq!(
        lines,
        [
            "C000009A; 00000000; 00000000; terminated",
            "stop 4D 00000000",
            "C000009A; 00000000; 00000000; alive",
            // The block of TEBs: the lock is released before that is reported.
            "C0000017; 00000000; 00000000; alive",
            // The page in it: the block stays, and so does the lock.
            "C000009A; leaves 1 locks held, 1 MARE; not again; stop 1E C0000005; stopped",
            "stop 1E C0000005",
        ]
    );
}

#[test]
fn a_handle_that_needs_another_block() {
    // The table's lock is held for good: bugcheck 0, whether the thread runs already or was not begun.
    let last = [
        "C000009A",
        "stop 4D 00000000",
        "C000009A",
        "C000009A; leaves 1 locks held",
        "stop 1E C0000005",
        "stop 00 00000000",
    ];
    let first = [
        "C000009A",
        "stop 1E C0000005",
        "stop 00 00000000",
        "stop 4D 00000000",
        "C000009A; leaves 1 kernel stacks, 1 locks held, 1 CIDO, 1 HTBL, 1 THRT",
        "stop 1E C0000005",
    ];
    for (variant, expected) in [(Variant::Article, last), (Variant::R13089, first)] {
        let prepare = |driver: &mut Driver| {
            let made = app(driver);
            fill_handle_table(driver);
            made
        };
        // The table grows now, whoever comes first.
        let grow = |driver: &mut Driver, _: &(Made, Made)| {
            let (_, init) = driver.init();
            let event = driver.object("NtCreateEvent", &[0, 0]);
            assert_eq!(driver.call(init, "NtClose", &[event]), Came::Returned(0));
            String::new()
        };
        assert_eq!(sweep(variant, prepare, |driver, made| bare(driver, made.0), grow), expected);
    }
}

#[test]
fn the_first_run_of_a_process() {
    let prepare = |driver: &mut Driver| {
        let app = driver.process("app");
        let main = driver.thread("main", app, 3, &[]);
        (app, main)
    };
    let resume = |driver: &mut Driver, made: &(Made, Made)| {
        let (_, init) = driver.init();
        driver.call(init, "NtResumeThread", &[made.1.handle, 0])
    };
    let facts = |driver: &mut Driver, _: &(Made, Made)| format!("; {}", driver.facts().join("; "));
    let lines = sweep(Variant::Article, prepare, resume, facts);
    // Its port to CSRSS, and the thread with which that serves it: a system thread, made like any other.
    let ended = "00000000; leaves -1 MREG; process app state: terminated; process app exit status: C0000142; \
                 thread main state: terminated; thread main exit status: C0000142";
    assert_eq!(lines, [ended, ended, "stop 4D 00000000", ended]);
}

fn facts(driver: &mut Driver, _: &(Made, Made, Made)) -> String {
    format!("; {}", driver.facts().join("; "))
}

#[test]
fn ending_by_oneself_needs_no_memory() {
    type Ends = fn(&mut Driver, &(Made, Made, Made)) -> Came;
    let ends: [Ends; 4] = [
        |driver, made| driver.call(made.2.id, "NtTerminateThread", &[THREAD_SELF, 1]),
        |driver, made| driver.call(made.2.id, "ExitThread", &[1]),
        // The last thread, the process with it, and the reaper; then everything that is left of them.
        |driver, made| {
            driver.call(made.2.id, "NtTerminateThread", &[THREAD_SELF, 1]);
            driver.call(made.1.id, "NtTerminateThread", &[THREAD_SELF, 2])
        },
        |driver, made| {
            driver.call(made.2.id, "NtTerminateThread", &[THREAD_SELF, 1]);
            driver.call(made.1.id, "NtTerminateProcess", &[SELF, 2]);
            let (_, init) = driver.init();
            for handle in [made.1.handle, made.2.handle] {
                assert_eq!(driver.call(init, "NtClose", &[handle]), Came::Returned(0));
            }
            driver.call(init, "NtClose", &[made.0.handle])
        },
    ];
    for variant in [Variant::Article, Variant::R13089] {
        for end in ends {
            assert_eq!(sweep(variant, scenes::app, end, facts), [""; 0]);
        }
    }
}

#[test]
fn ending_others() {
    // The terminate APC is written through NULL, one for each thread.
    let stop = "stop 1E C0000005";
    for variant in [Variant::Article, Variant::R13089] {
        let thread = |driver: &mut Driver, made: &(Made, Made, Made)| {
            driver.call(made.1.id, "NtTerminateThread", &[made.2.handle, 1])
        };
        let prepare = |driver: &mut Driver| {
            let (app, main, worker) = scenes::app(driver);
            let handle = driver.give(app, worker.handle);
            (app, main, Made { id: worker.id, handle })
        };
        assert_eq!(sweep(variant, prepare, thread, facts), [stop]);
        let own = |driver: &mut Driver, made: &(Made, Made, Made)| {
            driver.call(made.1.id, "NtTerminateProcess", &[SELF, 1])
        };
        assert_eq!(sweep(variant, scenes::app, own, facts), [stop]);
        let other = |driver: &mut Driver, made: &(Made, Made, Made)| {
            let (_, init) = driver.init();
            driver.call(init, "NtTerminateProcess", &[made.0.handle, 1])
        };
        assert_eq!(sweep(variant, scenes::app, other, facts), [stop, stop]);
    }
}

#[test]
fn exit_process_does_without_its_message() {
    let end = |driver: &mut Driver, made: &(Made, Made)| driver.call(made.1.id, "ExitThread", &[4]);
    let facts = |driver: &mut Driver, _: &(Made, Made)| format!("; {}", driver.facts().join("; "));
    let lines = sweep(Variant::Article, app, end, facts);
    let ended = "ended; leaves -1 kernel stacks, -1 CIDO, -1 MREG, -1 PORT, -1 THRT; \
                 process app state: terminated; process app exit status: 00000004; \
                 thread main state: terminated; thread main exit status: 00000004";
    assert_eq!(lines, [ended]);
}

#[test]
fn creating_a_process() {
    let create = |driver: &mut Driver, _: &()| {
        let (_, init) = driver.init();
        driver.call(init, "CreateProcess", &[program::DATA.0])
    };
    // Whether there is a handle, and whether its process takes a thread that ends.
    let then = |driver: &mut Driver, _: &()| {
        let (init, _) = driver.init();
        let handle = driver.data(init, 0);
        let Some((id, _)) = driver.kernel.object(&driver.m, Owner::Init, handle) else {
            return format!("; handle {handle}");
        };
        let (came, _) = driver.try_thread(Made { id, handle }, 2, &[]);
        format!("; a process; {}", told(driver, came))
    };
    let lines = sweep(Variant::Article, |_| (), create, then);
    assert_eq!(
        lines,
        [
            // Row 2. CreateProcess does not look at the status, and tells CSRSS of a process of no id.
            "C000009A; leaves 1 CSRP; handle 0",
            // Row 6: inheritable handles are not copied, and nobody is told.
            "00000000; leaves 1 CSRP, 6 MARE, 2 MREG, 1 PROC; a process; 00000000",
            // Row 11.
            "stop 00 00000000",
            "stop 00 00000000",
            // Row 13: the handle stays open. Without ntdll a thread's first instruction is a fault, and so
            // is its handler's, until the stack is used up and the kernel writes below it.
            "C0000017; leaves 1 CSRP, 1 HTBL, 2 MARE, 1 PROC; a process; stop 1E C0000005",
            "C0000017; leaves 1 CSRP, 1 HTBL, 3 MARE, 1 PROC; a process; stop 1E C0000005",
            // Row 14: the same. Its thread finds no PEB.
            "C0000017; leaves 1 CSRP, 1 HTBL, 4 MARE, 1 PROC; a process; 00000000",
            "C000009A; leaves 1 CSRP, 1 HTBL, 5 MARE, 1 PROC; a process; 00000000",
            // Row 16: the handle is closed again, and the process deleted.
            "C0000017; leaves 1 CSRP; handle 0",
            "C000009A; leaves 1 CSRP; handle 0",
            // The message to CSRSS, and what CSRSS keeps.
            "00000000; leaves 1 HTBL, 6 MARE, 2 MREG, 1 PROC; a process; 00000000",
            "00000000; leaves 1 HTBL, 6 MARE, 2 MREG, 1 PROC; a process; 00000000",
        ]
    );
}

#[test]
fn the_no_access_areas_come_before_the_section_is_looked_at() {
    // Rows 11 and 12; row 1 comes before the attributes are read.
    for (parent, section, attributes, told) in [
        (SELF, 0x0BAD_BAD0, 0, Came::Stopped),
        (0x0BAD_BAD0, 0, 0x10, Came::Returned(0xC000_0008)),
        (SELF, 0, 0x10, Came::Stopped),
    ] {
        let mut driver = Driver::boot(Variant::Article, None);
        let (_, init) = driver.init();
        driver.fail(b"MARE", 0, 1);
        let args = [program::DATA.0, 0x1F_0FFF, attributes, parent, 0, section, 0, 0];
        assert_eq!(
            driver.call(init, "NtCreateProcess", &args),
            told,
            "{parent:X} {section:X} {attributes:X}"
        );
    }
}
