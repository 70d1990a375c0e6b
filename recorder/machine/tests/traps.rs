//! Interrupts and exceptions: gates, frames, and what comes of failing on the way.

mod common;

use common::*;
use machine::image::AssembleError;
use machine::registers::{Cpu, flags};
use machine::{Machine, Pa, Reg, Seg, Stop, Until, Va};

#[test]
fn an_interrupt_from_ring_3_switches_to_the_stack_of_the_task() {
    let mut world = World::user();
    world.code(USER_CODE, |a| {
        a.nop()?;
        a.int(0x2E)
    });
    world.m.cpu.eflags |= flags::IF;
    assert_eq!(world.run(), handler(0x2E));
    assert_eq!(world.m.retired, 2);
    assert_eq!(world.reg(Reg::Esp), KERNEL_STACK - 20);
    let frame = [USER_CODE + 3, CODE3.into(), flags::ONE | flags::IF, USER_STACK, DATA3.into()];
    assert_eq!(world.stack(), frame);
    assert_eq!(world.m.cpu.cpl(), 0);
    assert_eq!(world.seg(Seg::Ss).selector, DATA0);
    assert!(!world.m.cpu.flag(flags::IF), "an interrupt gate clears IF");
}

#[test]
fn a_trap_gate_leaves_interrupts_on() {
    let mut world = World::user();
    world.code(USER_CODE, |a| a.int(0x2F));
    world.m.cpu.eflags |= flags::IF;
    assert_eq!(world.run(), handler(0x2F));
    assert!(world.m.cpu.flag(flags::IF));
}

#[test]
fn a_program_needs_a_right_to_the_gate() {
    let mut world = World::user();
    world.code(USER_CODE, |a| a.int(0x30));
    assert_eq!(world.run(), handler(13));
    assert_eq!(world.stack::<2>(), [0x30 * 8 + 2, USER_CODE]);
    assert_eq!(world.m.retired, 0);
}

#[test]
fn iret_goes_back_to_ring_3_and_drops_inner_segments() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| a.iretd());
    world.m.load_segment(Seg::Ds, DATA0).unwrap();
    world.m.load_segment(Seg::Fs, SMALL).unwrap();
    let top = KERNEL_STACK - 20;
    world.m.cpu.set_reg(Reg::Esp, top);
    let eflags = flags::IF | flags::CF | flags::IOPL | flags::RF;
    for (index, value) in [USER_CODE, CODE3.into(), eflags, USER_STACK, DATA3.into()].iter().enumerate() {
        world.poke(top + 4 * index as u32, &value.to_le_bytes());
    }
    let until = Until { user_entry: true, ..Until::budget(10) };
    assert_eq!(world.m.run(&until), Stop::UserEntry);
    assert_eq!(world.m.cpu.eip, USER_CODE);
    assert_eq!(world.m.cpu.cpl(), 3);
    assert_eq!(world.reg(Reg::Esp), USER_STACK);
    assert_eq!(world.m.cpu.eflags, eflags | flags::ONE);
    assert_eq!(world.seg(Seg::Ds).attributes, 0);
    assert_eq!(world.seg(Seg::Ds).selector, 0);
    assert_eq!(world.seg(Seg::Fs).selector, SMALL);
}

#[test]
fn iret_in_ring_3_may_not_touch_iopl_or_if() {
    let mut world = World::user();
    world.code(USER_CODE, |a| {
        a.push(0x3202)?;
        a.push(u32::from(CODE3) as i32)?;
        a.push(0x40_1100)?;
        a.iretd()
    });
    world.poke(0x40_1100, &[0xF4]);
    assert_eq!(world.run(), handler(13), "HLT is not for ring 3");
    assert_eq!(world.stack::<4>()[1..], [0x40_1100, CODE3.into(), flags::RF | flags::ONE]);
}

#[test]
fn a_page_fault_says_where_and_why() {
    let fault = |write: fn(&mut CodeAssembler) -> _| {
        let mut world = World::user();
        world.code(USER_CODE, write);
        assert_eq!(world.run(), handler(14));
        assert_eq!(world.stack::<2>()[1], USER_CODE);
        (world.stack::<1>()[0], world.m.cpu.cr2)
    };
    assert_eq!(fault(|a| a.mov(eax, dword_ptr(UNMAPPED + 8))), (4, UNMAPPED + 8));
    assert_eq!(fault(|a| a.mov(dword_ptr(UNMAPPED + 8), eax)), (6, UNMAPPED + 8));
    assert_eq!(fault(|a| a.mov(dword_ptr(READ_ONLY), eax)), (7, READ_ONLY));
    assert_eq!(fault(|a| a.mov(eax, dword_ptr(KERNEL))), (5, KERNEL));
    assert_eq!(fault(|a| a.add(dword_ptr(UNMAPPED), 1)), (6, UNMAPPED), "it means to write");
    assert_eq!(fault(|a| a.cmp(dword_ptr(UNMAPPED), 1)), (4, UNMAPPED));
    assert_eq!(fault(|a| a.mov(eax, dword_ptr(UNMAPPED - 2))), (4, UNMAPPED), "the second page's start");
}

#[test]
fn fetching_faults_at_the_first_byte_that_is_missing() {
    let mut world = World::user();
    world.m.cpu.eip = UNMAPPED - 1;
    world.poke(UNMAPPED - 1, &[0xB8]);
    assert_eq!(world.run(), handler(14));
    assert_eq!((world.stack::<2>(), world.m.cpu.cr2), ([4, UNMAPPED - 1], UNMAPPED));
}

#[test]
fn an_instruction_whose_last_byte_is_the_pages_last_needs_no_more() {
    let mut world = World::user();
    world.m.cpu.eip = UNMAPPED - 1;
    world.poke(UNMAPPED - 1, &[0x40]);
    assert_eq!(world.m.step(), Stop::Budget);
    assert_eq!(world.reg(Reg::Eax), 1);
}

/// What an instruction may not touch when it faults. EIP, CS, SS and ESP are the handler's.
fn registers(cpu: &Cpu) -> ([u32; 8], Vec<u16>) {
    let mut regs = cpu.regs;
    regs[Reg::Esp as usize] = 0;
    (regs, cpu.segments.iter().skip(3).map(|segment| segment.selector).collect())
}

#[test]
fn a_write_across_pages_that_faults_on_the_second_changes_nothing() {
    let edge = UNMAPPED - 2;
    let cases: [fn(&mut CodeAssembler, u32) -> Result<(), _>; 9] = [
        |a, edge| a.mov(dword_ptr(edge), eax),
        |a, edge| a.add(dword_ptr(edge), eax),
        |a, edge| a.xchg(dword_ptr(edge), eax),
        |a, edge| a.xadd(dword_ptr(edge), eax),
        |a, edge| a.cmpxchg8b(qword_ptr(edge)),
        |a, edge| a.pop(dword_ptr(edge)),
        |a, edge| a.fnsave(dword_ptr(edge)),
        |a, edge| a.sidt(fword_ptr(edge)),
        |a, edge| {
            a.mov(edi, edge)?;
            a.stosd()
        },
    ];
    for (index, case) in cases.into_iter().enumerate() {
        let mut world = World::user();
        world.m.cpu.regs = [1, 2, 3, 4, USER_STACK - 16, 6, 7, edge];
        world.code(USER_CODE, |a| case(a, edge));
        let before = (registers(&world.m.cpu), world.peek32(edge - 2), world.m.cpu.fpu.clone());
        assert_eq!(world.run(), handler(14), "case {index}");
        assert_eq!(world.m.cpu.cr2, UNMAPPED, "case {index}");
        let after = (registers(&world.m.cpu), world.peek32(edge - 2), world.m.cpu.fpu.clone());
        assert_eq!(after, before, "case {index}");
        assert_eq!(world.stack::<5>()[4], USER_STACK - 16, "case {index}");
    }
}

#[test]
fn pushes_that_run_off_the_stack_leave_it_alone() {
    let bottom = USER_STACK - 0x1000;
    type Write = fn(&mut CodeAssembler) -> Result<(), AssembleError>;
    let cases: [(Write, u32); 4] = [
        (|a| a.pushad(), 16),
        (|a| a.push(eax), 2),
        (|a| a.call(u64::from(USER_CODE)), 0),
        (|a| a.enter(0x20, 4), 8),
    ];
    for (case, room) in cases {
        let mut world = World::user();
        world.code(USER_CODE, case);
        world.m.cpu.set_reg(Reg::Esp, bottom + room);
        world.m.cpu.set_reg(Reg::Ebp, USER_STACK - 32);
        let before = world.m.memory.page(0x22).copied();
        assert_eq!(world.run(), handler(14));
        assert_eq!(world.stack::<5>()[4], bottom + room);
        assert_eq!(world.m.memory.page(0x22).copied().unwrap_or([0; 4096]), before.unwrap_or([0; 4096]));
        assert!((bottom - 4..bottom).contains(&world.m.cpu.cr2) || room == 2, "{:X}", world.m.cpu.cr2);
    }
}

#[test]
fn a_frame_that_does_not_fit_becomes_a_double_fault() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| a.ud2());
    // The page below the kernel's stack is not mapped, so #UD cannot be pushed, nor can #PF, and so
    // not even #DF.
    world.m.cpu.set_reg(Reg::Esp, KERNEL_STACK - 0x1000);
    let before = world.m.cpu.clone();
    assert_eq!(world.run(), Stop::Shutdown);
    let at = world.m.cpu.cr2;
    assert_eq!(at, KERNEL_STACK - 0x1004);
    assert_eq!(world.m.cpu, Cpu { cr2: at, ..before });
}

#[test]
fn a_fault_while_a_fault_is_delivered_is_a_double_fault() {
    let mut world = World::user();
    world.code(USER_CODE, |a| a.hlt());
    // The gate of #GP is not present: #NP while #GP is delivered.
    world.physical64(0x3000 + 13 * 8, 0);
    assert_eq!(world.run(), handler(8));
    assert_eq!(world.stack::<3>(), [0, USER_CODE, CODE3.into()]);
}

#[test]
fn a_double_fault_through_a_task_gate_says_so() {
    let mut world = World::user();
    world.code(USER_CODE, |a| a.hlt());
    world.physical64(0x3000 + 13 * 8, 0);
    world.physical64(0x3000 + 8 * 8, gate(TASK, 0, 5, 0, 0));
    let Stop::Unsupported(text) = world.run() else { panic!() };
    assert_eq!(text, "a task gate for vector 8 (double fault) at EIP 00401000");
    assert_eq!(world.m.cpu.cpl(), 3);
}

#[test]
fn an_external_interrupt_waits_for_if_and_for_the_shadow_of_sti() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| {
        a.nop()?;
        a.sti()?;
        a.nop()?;
        a.nop()
    });
    world.m.cpu.interrupt = Some(0x41);
    assert_eq!(world.run(), handler(0x41));
    assert_eq!(world.stack::<1>(), [KERNEL_CODE + 3]);
    assert_eq!((world.m.retired, world.m.cpu.interrupt), (3, None));
}

#[test]
fn pop_ss_keeps_the_next_instruction_together_with_it() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| {
        a.push(i32::from(DATA0))?;
        a.pop(ss)?;
        a.mov(esp, KERNEL_STACK - 64)?;
        a.nop()
    });
    world.m.run(&Until::budget(1));
    world.m.cpu.eflags |= flags::IF;
    world.m.cpu.interrupt = Some(0x41);
    let alone = world.m.clone();
    assert_eq!(world.run(), handler(0x41), "it is taken at once where nothing holds it");
    world.m = alone;
    world.m.cpu.eflags &= !flags::IF;
    world.m.run(&Until::budget(1));
    world.m.cpu.eflags |= flags::IF;
    assert_eq!(world.run(), handler(0x41));
    assert_eq!(world.reg(Reg::Esp), KERNEL_STACK - 64 - 12);
}

#[test]
fn hlt_waits_for_an_interrupt() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| {
        a.sti()?;
        a.hlt()
    });
    assert_eq!(world.run(), Stop::Halted);
    assert_eq!(world.run(), Stop::Halted);
    assert_eq!(world.m.retired, 2);
    world.m.cpu.interrupt = Some(0x30);
    assert_eq!(world.run(), handler(0x30));
    assert!(!world.m.cpu.halted);
    assert_eq!(world.stack::<1>(), [KERNEL_CODE + 2]);
}

#[test]
fn a_native_routines_page_fault_enters_the_handler() {
    let mut world = World::new();
    world.m.cpu.eip = KERNEL_CODE + 0x123;
    let fault = world.m.translate(Va(UNMAPPED), machine::Access::Write, false).unwrap_err();
    assert_eq!(world.m.page_fault(fault), Ok(()));
    assert_eq!(world.m.cpu.next(), Va(HANDLERS + 14 * 16));
    assert_eq!((world.stack::<2>(), world.m.cpu.cr2), ([2, KERNEL_CODE + 0x123], UNMAPPED));
}

#[test]
fn a_gate_stops_before_anything_happens_and_again_until_eip_moves() {
    let mut world = World::new();
    world.m.gates.kernel = KERNEL_CODE..KERNEL_CODE + 1;
    world.poke(KERNEL_CODE, &[0x40, 0x40]);
    assert_eq!(world.run(), Stop::Native(Va(KERNEL_CODE)));
    let before = world.m.clone();
    assert_eq!(world.run(), Stop::Native(Va(KERNEL_CODE)));
    assert_eq!(world.m, before);
    world.m.gates.kernel = 0..0;
    world.m.gates.user = KERNEL_CODE..KERNEL_CODE + 1;
    assert_eq!(world.m.run(&Until::budget(1)), Stop::Budget);
    assert_eq!(world.m.cpu.eip, KERNEL_CODE + 1);
}

#[test]
fn a_gate_that_cannot_be_fetched_is_a_page_fault() {
    let mut world = World::user();
    world.m.gates.user = UNMAPPED..UNMAPPED + 16;
    world.m.cpu.eip = UNMAPPED + 4;
    assert_eq!(world.run(), handler(14));
    assert_eq!((world.stack::<2>(), world.m.cpu.cr2), ([4, UNMAPPED + 4], UNMAPPED + 4));
}

#[test]
fn breakpoints_stop_before_their_instruction_but_not_at_the_runs_first() {
    let mut world = World::new();
    world.poke(KERNEL_CODE, &[0x40, 0x40, 0xEB, 0xFC]);
    let stops = [Va(KERNEL_CODE + 1)];
    let until = Until { breakpoints: &stops, ..Until::budget(100) };
    assert_eq!(world.m.run(&until), Stop::Breakpoint(Va(KERNEL_CODE + 1)));
    assert_eq!(world.m.retired, 1);
    assert_eq!(world.m.run(&until), Stop::Breakpoint(Va(KERNEL_CODE + 1)));
    assert_eq!(world.m.retired, 4);
    assert_eq!(world.m.run(&Until::budget(0)), Stop::Budget);
    assert_eq!(world.m.retired, 4);
}

#[test]
fn a_breakpoint_leaves_no_trace_on_the_page_before_which_it_stops() {
    let there = KERNEL + 0x2F000;
    let mut world = World::new();
    world.poke(there, &[0x40]);
    world.code(KERNEL_CODE, |a| a.jmp(u64::from(there)));
    let mut stopped = world.m.clone();
    let stops = [Va(there)];
    let until = Until { breakpoints: &stops, ..Until::budget(100) };
    assert_eq!(stopped.run(&until), Stop::Breakpoint(Va(there)));
    assert_eq!(world.m.run(&Until::budget(1)), Stop::Budget);
    assert!(stopped == world.m, "the page was marked as accessed");
}

#[test]
fn a_handler_that_always_faults_does_not_keep_a_run_from_ending() {
    let mut world = World::new();
    // The handler of #UD is itself an undefined instruction, and its stack is all of memory.
    world.m.gates.kernel = 0..0;
    world.poke(HANDLERS + 6 * 16, &[0x0F, 0x0B]);
    world.poke(KERNEL_CODE, &[0x0F, 0x0B]);
    world.m.cpu.cr0 &= !machine::registers::control::PG;
    world.m.cpu.gdtr.base -= KERNEL;
    world.m.cpu.idtr.base -= KERNEL;
    let raw = gate(CODE0, 0x500, 0xE, 0, 0);
    world.physical64(0x3000 + 6 * 8, raw);
    world.m.memory.write(Pa(0x500), &[0x0F, 0x0B]);
    world.m.cpu.eip = 0x500;
    world.m.cpu.set_reg(Reg::Esp, 0xF_0000);
    assert_eq!(world.run(), Stop::Budget);
    assert_eq!(world.m.retired, 0);
}

#[test]
fn an_empty_machine_ends_too() {
    assert_eq!(Machine::new(1).run(&Until::budget(10)), Stop::Shutdown);
}
