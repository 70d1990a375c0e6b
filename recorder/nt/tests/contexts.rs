//! CONTEXT, debug registers, floating point and exceptions (nt52.md 4.6, 5.8, 6.4, 10.12).

mod driver;

use contract::context::{self, Context};
use contract::{Kernel, Status, program};
use driver::{Arg::*, PERIODS, scene};
use guest::Pointer;
use machine::{Reg, Seg, Va};

const OK: Option<Status> = Some(Status::SUCCESS);

fn each_period(test: impl Fn(driver::Scene)) {
    for period in PERIODS {
        test(scene(period));
    }
}

/// Offset of a field of CONTEXT.
fn at(slot: fn(Context) -> guest::Slot<u32>) -> u32 {
    slot(Context::at(Va(0))).at.0
}

fn words(fields: &[(u32, u32)]) -> Vec<u32> {
    let mut words = vec![0; context::SIZE as usize / 4];
    for (offset, value) in fields {
        words[*offset as usize / 4] = *value;
    }
    words
}

fn get(words: &[u32], slot: fn(Context) -> guest::Slot<u32>) -> u32 {
    words[at(slot) as usize / 4]
}

#[test]
fn a_new_threads_context_is_corrected() {
    each_period(|mut s| {
        let patches = [
            (at(Context::context_flags), context::FULL | context::DEBUG_REGISTERS),
            (at(Context::e_flags), 0x3002),
            (at(Context::dr0), 0x40_2000),
            (at(Context::dr7), 1),
        ];
        let patches: Vec<u32> = patches.iter().flat_map(|(offset, value)| [*offset, *value]).collect();
        let (_, late) = s.d.thread("late", s.app, 0, &patches);
        s.d.bring(late);
        let cpu = &s.d.m.cpu;
        assert_eq!(cpu.eflags & 0x3200, 0x200);
        let selector = |seg| cpu.seg(seg).selector;
        assert_eq!(
            [Seg::Cs, Seg::Ss, Seg::Ds, Seg::Es, Seg::Fs, Seg::Gs].map(selector),
            [0x1B, 0x23, 0x23, 0x23, 0x3B, 0]
        );
        assert_eq!((cpu.dr[0], cpu.dr[7]), (0, 0x400));
    });
}

#[test]
fn a_suspended_threads_context_can_be_read_and_set() {
    each_period(|mut s| {
        assert_eq!(s.d.counted(s.main, "NtSuspendThread", s.worker_handle), (OK, 0));
        let all = context::FULL | context::DEBUG_REGISTERS | context::FLOATING_POINT;
        let blank = words(&[(0, all)]);
        let (status, out) = s.d.call(s.main, "NtGetContextThread", &[Value(s.worker_handle), Words(&blank)]);
        assert_eq!(status, OK);
        let got = &out[0];
        assert_eq!(get(got, Context::eip), program::symbol(program::PARK).0);
        assert_eq!((get(got, Context::seg_cs), get(got, Context::seg_ss)), (0x1B, 0x23));
        assert_eq!(get(got, Context::float_control) & 0xFFFF, 0x27F);
        assert_eq!(get(got, Context::float_tag) & 0xFFFF, 0xFFFF);
        let debug = words(&[
            (0, context::DEBUG_REGISTERS),
            (at(Context::dr0), 0x40_2000),
            (at(Context::dr1), 0x8000_0000),
            (at(Context::dr6), 0xFFFF),
            (at(Context::dr7), !0x0000_FF00),
        ]);
        assert_eq!(s.d.call(s.main, "NtSetContextThread", &[Value(s.worker_handle), Words(&debug)]).0, OK);
        let blank = words(&[(0, context::DEBUG_REGISTERS)]);
        let (_, out) = s.d.call(s.main, "NtGetContextThread", &[Value(s.worker_handle), Words(&blank)]);
        let got = &out[0];
        assert_eq!(get(got, Context::dr0), 0x40_2000);
        assert_eq!(get(got, Context::dr1), 0, "no address above user space");
        assert_eq!(get(got, Context::dr6), 0xE00F);
        assert_eq!(get(got, Context::dr7), 0xFFFF_0055);
    });
}

#[test]
fn a_never_run_threads_context_is_its_start() {
    each_period(|mut s| {
        let init = s.d.init();
        let (late, _) = s.d.thread("late", s.app, 1, &[]);
        let blank = words(&[(0, context::FULL)]);
        let (status, out) = s.d.call(init, "NtGetContextThread", &[Value(late), Words(&blank)]);
        assert_eq!(status, OK);
        let thunk = s.d.nt.image().address("BaseThreadStartThunk").unwrap();
        assert_eq!(get(&out[0], Context::eip), thunk.0);
        assert_eq!(get(&out[0], Context::eax), program::symbol(program::ENTRY).0);
    });
}

#[test]
fn a_data_breakpoint_raises_single_step() {
    each_period(|mut s| {
        let data = program::DATA.0;
        // DR0 on writes of four bytes.
        let debug = words(&[
            (0, context::DEBUG_REGISTERS),
            (at(Context::dr0), data),
            (at(Context::dr7), 0x000D_0001),
        ]);
        assert_eq!(s.d.call(s.main, "NtSetContextThread", &[Value(s.worker_handle), Words(&debug)]).0, OK);
        // main has no breakpoint.
        s.d.run(s.main, "write", data, 1);
        s.d.has("process app state alive");
        s.d.run(s.worker, "write", data, 1);
        s.d.has("process app exit status 80000004");
    });
}

#[test]
fn continue_changes_what_it_is_given() {
    each_period(|mut s| {
        s.d.bring(s.worker);
        let (esp, ebp) = (s.d.m.cpu.esp(), s.d.m.cpu.reg(Reg::Ebp));
        let given = words(&[
            (0, context::FULL),
            (at(Context::eip), program::symbol(program::PARK).0),
            (at(Context::esp), esp - 0x20),
            (at(Context::ebp), ebp),
            (at(Context::eax), 0x1234),
            (at(Context::edx), 0x5678),
            (at(Context::e_flags), 0x3002),
            (at(Context::seg_cs), 0x18),
            (at(Context::seg_ss), 0x20),
            (at(Context::seg_ds), 0x20),
            (at(Context::seg_es), 0x20),
            (at(Context::seg_fs), 0x38),
        ]);
        s.d.call(s.worker, "NtContinue", &[Words(&given), Value(0)]);
        s.d.bring(s.worker);
        let cpu = &s.d.m.cpu;
        assert_eq!((cpu.reg(Reg::Eax), cpu.reg(Reg::Edx), cpu.esp()), (0x1234, 0x5678, esp - 0x20));
        assert_eq!((cpu.seg(Seg::Cs).selector, cpu.seg(Seg::Ds).selector), (0x1B, 0x23));
        assert_eq!(cpu.eflags & 0x3200, 0x200);
    });
}

#[test]
fn each_thread_has_its_own_floating_point_registers() {
    each_period(|mut s| {
        s.d.run(s.worker, "fldcw", 0, 0x17F);
        s.d.run(s.main, "fnstcw", 0, 0);
        s.d.bring(s.main);
        assert_eq!(s.d.m.cpu.reg(Reg::Eax) & 0xFFFF, 0x27F);
        s.d.run(s.worker, "fld1", 0, 0);
        s.d.run(s.main, "fld1", 0, 0);
        let blank = words(&[(0, context::FLOATING_POINT)]);
        let (_, out) = s.d.call(s.main, "NtGetContextThread", &[Value(s.worker_handle), Words(&blank)]);
        assert_eq!(get(&out[0], Context::float_control) & 0xFFFF, 0x17F);
        assert_eq!(get(&out[0], Context::float_tag) & 0xFFFF, 0x3FFF);
        // A CONTEXT with another control word, for a thread that does not own the registers now.
        let mut given = out[0].clone();
        given[at(Context::float_control) as usize / 4] = 0xFFFF_0A7F;
        assert_eq!(s.d.call(s.main, "NtSetContextThread", &[Value(s.worker_handle), Words(&given)]).0, OK);
        s.d.run(s.worker, "fnstcw", 0, 0);
        s.d.bring(s.worker);
        assert_eq!(s.d.m.cpu.reg(Reg::Eax) & 0xFFFF, 0xA7F);
    });
}

#[test]
fn an_unhandled_exception_ends_the_process_with_its_code() {
    let data = program::DATA.0;
    for (symbol, ecx, status) in [
        ("divide", 0, "C0000094"),
        ("breakpoint", 0, "80000003"),
        ("undefined", 0, "C000001D"),
        ("privileged", 0, "C0000096"),
        ("read", 0, "C0000005"),
        ("read", 0x8000_0000, "C0000005"),
        ("write", program::CODE.0, "C0000005"),
        ("execute", data + 0x1000, "C0000005"),
    ] {
        each_period(|mut s| {
            s.d.run(s.worker, symbol, ecx, 0);
            s.d.has(&format!("process app exit status {status}"));
            s.d.has(&format!("thread main exit status {status}"));
        });
    }
}

#[test]
fn the_stack_grows_through_its_guard_page_up_to_its_end() {
    each_period(|mut s| {
        s.d.bring(s.worker);
        let teb = s.d.m.cpu.seg(Seg::Fs).base;
        let limit = s.d.peek(teb + 8);
        s.d.run(s.worker, "write", limit - 8, 1);
        s.d.has("process app state alive");
        s.d.bring(s.worker);
        assert_eq!(s.d.peek(teb + 8), limit - 0x1000);
        // Beyond the guard page there is nothing.
        s.d.run(s.worker, "write", limit - 0x3000, 1);
        s.d.has("process app exit status C0000005");
    });
}

#[test]
fn selectors_that_the_processor_refuses_end_the_process() {
    for (slot, value) in [(at(Context::seg_cs), 8), (at(Context::seg_ss), 0x18), (at(Context::seg_ds), 0x50)]
    {
        each_period(|mut s| {
            s.d.thread("bad", s.app, 0, &[slot, value]);
            s.d.has("process app exit status C0000005");
        });
    }
}

#[test]
fn null_data_segments_hurt_nobody_but_the_program() {
    // Interrupted in user mode, and on its way into the kernel.
    for (symbol, eax) in [(program::PARK, 0), ("syscall", 0x10C)] {
        each_period(|mut s| {
            let patches = [
                (at(Context::eip), program::symbol(symbol).0),
                (at(Context::eax), eax),
                (at(Context::seg_ds), 0),
                (at(Context::seg_es), 0),
            ];
            let patches: Vec<u32> = patches.iter().flat_map(|(offset, value)| [*offset, *value]).collect();
            let (_, late) = s.d.thread("late", s.app, 0, &patches);
            s.d.has("thread late state running");
            s.d.bring(late);
            assert_eq!(s.d.m.cpu.reg(Reg::Eax), 0);
            s.d.tick();
            s.d.settle();
            assert!(!s.d.stopped());
        });
    }
    // Its first access to memory is a fault of its own.
    each_period(|mut s| {
        let start = program::symbol(program::ENTRY).0;
        let patches = [at(Context::eip), start, at(Context::seg_ds), 0];
        let (_, late) = s.d.thread("late", s.app, 0, &patches);
        s.d.has("thread late state running");
        s.d.run(late, "write", program::DATA.0, 5);
        s.d.has("process app exit status C0000005");
        assert!(!s.d.stopped());
    });
}

#[test]
fn debug_registers_that_are_not_in_use_read_as_zero() {
    each_period(|mut s| {
        assert_eq!(s.d.simple(s.main, "NtSuspendThread", &[s.worker_handle, 0]), OK);
        let slots = [Context::dr0, Context::dr1, Context::dr2, Context::dr3, Context::dr6, Context::dr7];
        let mut fields: Vec<(u32, u32)> = slots.iter().map(|slot| (at(*slot), 0x5555_5555)).collect();
        fields.push((at(Context::context_flags), context::DEBUG_REGISTERS));
        let args = [Value(s.worker_handle), Words(&words(&fields))];
        let (status, out) = s.d.call(s.main, "NtGetContextThread", &args);
        assert_eq!(status, OK);
        assert_eq!(slots.map(|slot| get(&out[0], slot)), [0; 6]);
    });
}

#[test]
fn a_user_apc_needs_room_up_to_the_stack_pointer() {
    each_period(|mut s| {
        let (handle, _) = s.d.thread("late", s.app, 1, &[]);
        let init = s.d.init();
        let control = words(&[(at(Context::context_flags), context::CONTROL)]);
        let (_, out) = s.d.call(init, "NtGetContextThread", &[Value(handle), Words(&control)]);
        let mut moved = out[0].clone();
        // Its last 8 bytes, the dispatcher's SEH record, would reach over the end of the stack.
        moved[at(Context::esp) as usize / 4] += 8;
        assert_eq!(s.d.call(init, "NtSetContextThread", &[Value(handle), Words(&moved)]).0, OK);
        s.d.trace.clear();
        assert_eq!(s.d.simple(init, "NtResumeThread", &[handle, 0]), OK);
        s.d.has("process app exit status C0000005");
        assert!(!s.d.trace.contains(&"KiTrapDispatch"), "no user instruction has run and faulted");
    });
}
