//! NtCreateThread and what the first run makes of it: reactos.md sections 4, 5 and 7.7.

mod common;

use common::{Came, Driver, Made};
use contract::{Kernel, Owner, context, program};
use machine::Reg;
use reactos::Variant;

const PERIODS: [Option<u64>; 3] = [None, Some(37), Some(101)];
const CONTEXT_FLAGS: u32 = 0;

#[test]
fn debug_registers_are_loaded_only_when_asked_for() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Article, period);
        let app = driver.process("app");
        let main = driver.thread("main", app, 2, &[(4, 0x1111), (0x18, 0x500)]);
        driver.make_current(main.id);
        assert_eq!((driver.m.cpu.dr[0], driver.m.cpu.dr[7]), (0, 0x400));
        let flags = context::FULL | context::DEBUG_REGISTERS;
        let other = driver.thread("other", app, 0, &[(CONTEXT_FLAGS, flags), (4, 0x1111), (0x18, 0x500)]);
        driver.make_current(other.id);
        assert_eq!((driver.m.cpu.dr[0], driver.m.cpu.dr[7]), (0x1111, 0x500));
        // Debug registers are nobody's: main has them too now.
        driver.make_current(main.id);
        assert_eq!(driver.m.cpu.dr[0], 0x1111);
    }
}

#[test]
fn eflags_lose_vm_nt_and_iopl_and_gain_if() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[(0xC0, 0x2_7402)]);
    driver.make_current(main.id);
    assert_eq!(driver.m.cpu.eflags & 0x3_7700, 0x600);
}

#[test]
fn the_fpu_changes_hands_lazily() {
    // A thread whose quantum is shorter than the way through #NM and back would never get on.
    for period in [None, Some(101), Some(173)] {
        let mut driver = Driver::boot(Variant::Article, period);
        let app = driver.process("app");
        let flags = context::FULL | context::FLOATING_POINT;
        let main = driver.thread("main", app, 2, &[(CONTEXT_FLAGS, flags), (0x1C, 0xFFFF_027F)]);
        let worker = driver.thread("worker", app, 0, &[(0x1C, 0xFFFF_027F)]);
        let mut control = |thread: Made| {
            driver.go(thread.id, "fnstcw", 0, 0);
            driver.make_current(thread.id);
            driver.m.cpu.reg(Reg::Eax) & 0xFFFF
        };
        assert_eq!(control(main), 0x027F);
        assert_eq!(control(worker), 0x037F);
        driver.go(worker.id, "fldcw", 0x0F7F, 0);
        let mut control = |thread: Made| {
            driver.go(thread.id, "fnstcw", 0, 0);
            driver.make_current(thread.id);
            driver.m.cpu.reg(Reg::Eax) & 0xFFFF
        };
        assert_eq!([control(main), control(worker), control(main)], [0x027F, 0x0F7F, 0x027F]);
    }
}

#[test]
fn code_selector_8_runs_in_ring_0_and_stops_the_system() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let (came, _) = driver.try_thread(app, 2, &[(0xBC, 8)]);
    assert_eq!(came, Came::Stopped);
    // The start routine takes its parameters from the kernel stack: the address that it calls is the
    // frame's Ss.
    let stop = driver.view().bugcheck.unwrap();
    assert_eq!(
        (stop.code, stop.parameters),
        (0x1E, ["C0000005", "00000023", "00000000", "00000023"].map(str::to_owned))
    );
}

#[test]
fn the_stale_stub_stops_the_system_at_the_first_run() {
    for period in PERIODS {
        let mut driver = Driver::boot(Variant::Msvc6, period);
        let app = driver.process("app");
        let (came, _) = driver.try_thread(app, 2, &[]);
        assert_eq!(came, Came::Stopped);
        let stop = driver.view().bugcheck.unwrap();
        assert_eq!(stop.code, 0x1E);
        assert_eq!((stop.parameters[0].as_str(), stop.parameters[3].as_str()), ("C0000005", "FFFFFD34"));
    }
    // A suspended one crashes only when it is resumed.
    let mut driver = Driver::boot(Variant::Msvc6, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 3, &[]);
    assert_eq!(driver.view().threads[0].state, "suspended");
    let (_, init) = driver.init();
    assert_eq!(driver.call(init, "NtResumeThread", &[main.handle, 0]), Came::Stopped);
}

#[test]
fn bad_pointers_are_refused_by_the_article_and_fatal_at_r13089() {
    // NtCreateThread(*Handle, Access, Attributes, Process, *Cid, Context, InitialTeb, Suspended).
    let data = program::DATA.0;
    let bad = [
        ([0, 0, 0, 0, 0, data, data, 0], 0xC000_0005u32),
        ([data + 1, 0, 0, 0, 0, data, data, 0], 0x8000_0002),
        ([data, 0, 0, 0, program::CODE.0, data, data, 0], 0xC000_0005),
        ([data, 0, 0, 0, 0, 0, data, 0], 0xC000_000D),
        ([data, 0, 0, 0, 0, data, 0, 0], 0xC000_0005),
        ([data, 0, 0, 0, 0, 0x7FFF_FF00, data, 0], 0xC000_0005),
        ([data, 0, 0, 0, 0, data, data, 0], 0xC000_0008),
    ];
    let mut driver = Driver::boot(Variant::Article, None);
    let (_, init) = driver.init();
    for (args, status) in bad {
        assert_eq!(driver.call(init, "NtCreateThread", &args), Came::Returned(status), "{args:X?}");
    }
    let mut driver = Driver::boot(Variant::R13089, None);
    let app = driver.process("app");
    let (_, init) = driver.init();
    let args = [data, 0, 0, app.handle, 0, 0x10, data, 0];
    assert_eq!(driver.call(init, "NtCreateThread", &args), Came::Stopped);
    assert_eq!(driver.view().bugcheck.unwrap().code, 0x1E);
}

#[test]
fn without_a_region_for_the_teb_the_two_forms_leave_different_things() {
    for (variant, left) in [(Variant::Article, 0), (Variant::R13089, 1)] {
        let mut driver = Driver::boot(variant, None);
        let app = driver.process("app");
        let (init, _) = driver.init();
        // The stack's region is the first, the TEB's the second.
        let slot = driver.kernel.image().pool_faults;
        driver.fail(b"MREG", 0, 1);
        driver.m.poke(driver.m.cpu.cr3, slot.add(4), &1u32.to_le_bytes()).unwrap();
        let (threads, ids) = (driver.inventory("pool THRT"), driver.inventory("pool CIDO"));
        let (came, _) = driver.try_thread(app, 2, &[]);
        assert_eq!(came, Came::Returned(0xC000_009A), "{variant:?}");
        assert_eq!(driver.inventory("pool THRT") - threads, left);
        assert_eq!(driver.inventory("pool CIDO") - ids, left);
        let handle = app.handle - 4;
        let open = driver.kernel.object(&driver.m, Owner::Process(init), handle).is_some();
        assert_eq!(open, left == 1, "the handle of {variant:?}");
    }
}

#[test]
fn a_thread_of_the_system_process_cannot_be_made() {
    let mut driver = Driver::boot(Variant::Article, None);
    let handle = driver.kernel.scene(&driver.m).named[0].2;
    let (_, thread) = driver.init();
    let args = [program::DATA.0, 0, 0, handle, 0, program::DATA.0 + 0x100, program::DATA.0, 0];
    assert_eq!(driver.call(thread, "NtCreateThread", &args), Came::Stopped);
    assert_eq!(driver.view().bugcheck.unwrap().code, 0x1E);
}

#[test]
fn a_terminated_process_still_takes_a_thread() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    assert_eq!(driver.call(main.id, "ExitProcess", &[1]), Came::Ended);
    let late = driver.thread("late", app, 0, &[]);
    driver.make_current(late.id);
    assert_eq!(driver.view().threads[1].state, "running");
}

#[test]
fn contexts_of_oneself_and_of_others() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    driver.set_data(app.id, 0x200, &[context::FULL | context::DEBUG_REGISTERS]);
    let args = [0xFFFF_FFFE, program::DATA.0 + 0x200];
    assert_eq!(driver.call(main.id, "NtGetContextThread", &args), Came::Returned(0));
    assert_eq!(driver.data(app.id, 0x200), context::FULL);
    assert_eq!(driver.data(app.id, 0x200 + 0xBC), 0x1B);
    let (init, thread) = driver.init();
    driver.set_data(init, 0x200, &[context::FULL]);
    let args = [main.handle, program::DATA.0 + 0x200];
    assert_eq!(driver.call(thread, "NtGetContextThread", &args), Came::Stopped);
    let stop = driver.view().bugcheck.unwrap();
    assert_eq!((stop.code, stop.parameters[3].as_str()), (0x1E, "00000000"));
}

#[test]
fn ids_count_up_and_handles_take_the_lowest_place() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    assert_eq!(driver.kernel.client_id(&driver.m, app.id), Some((3, 0)));
    assert_eq!(
        driver.kernel.client_id(&driver.m, main.id),
        Some((3, 6)),
        "5 is that of the thread with which CSRSS serves init"
    );
    let (init, thread) = driver.init();
    driver.set_data(init, 0x60, &[0, 0, 3, 6]);
    driver.set_data(init, 0x300, &[0x18, 0, 0, 0, 0, 0]);
    let data = program::DATA.0;
    let args = [data + 0x60, 0, data + 0x300, data + 0x68];
    assert_eq!(driver.call(thread, "NtOpenThread", &args), Came::Returned(0));
    // The section's place, below the process's, went to the thread.
    assert_eq!((main.handle, driver.data(init, 0x60)), (app.handle - 4, app.handle + 4));
    assert_eq!(driver.call(thread, "NtClose", &[app.handle]), Came::Returned(0));
    assert_eq!(driver.call(thread, "NtOpenProcess", &args), Came::Returned(0));
    assert_eq!(driver.data(init, 0x60), app.handle);
    driver.set_data(init, 0x68, &[99, 99]);
    assert_eq!(driver.call(thread, "NtOpenThread", &args), Came::Returned(0xC000_000D));
    assert_eq!(driver.call(thread, "NtOpenProcess", &args), Came::Returned(0xC000_0001));
}

#[test]
fn queries_show_what_they_showed_then() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    let (init, thread) = driver.init();
    let basic = |class: u32, handle: u32, length: u32| [handle, class, program::DATA.0 + 0x60, length, 0];
    assert_eq!(
        driver.call(thread, "NtQueryInformationProcess", &basic(0, app.handle, 0x18)),
        Came::Returned(0)
    );
    assert_eq!(driver.data(init, 0x60), 0);
    assert_eq!(
        driver.call(thread, "NtQueryInformationThread", &basic(0, main.handle, 0x1C)),
        Came::Returned(0)
    );
    assert_eq!(driver.data(init, 0x60), 0x103);
    assert_eq!(driver.call(main.id, "ExitProcess", &[0]), Came::Ended);
    assert_eq!(
        driver.call(thread, "NtQueryInformationThread", &basic(0, main.handle, 0x1C)),
        Came::Returned(0)
    );
    assert_eq!(driver.data(init, 0x60), 0x103);
    let short = basic(0, 0xBAD0, 4);
    assert_eq!(driver.call(thread, "NtQueryInformationThread", &short), Came::Returned(0xC000_0004));
}

#[test]
fn runs_are_the_same_to_the_byte() {
    let run = || {
        let mut driver = Driver::boot(Variant::Article, Some(61));
        let app = driver.process("app");
        let main = driver.thread("main", app, 2, &[]);
        driver.thread("worker", app, 1, &[]);
        driver.call(main.id, "ExitProcess", &[1]);
        driver.m
    };
    assert!(run() == run());
}
