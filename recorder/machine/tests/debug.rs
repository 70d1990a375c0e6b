//! Single steps, debug registers, and the x87 unit when it is not to be had.

mod common;

use common::*;
use machine::image::AssembleError;
use machine::registers::{control, flags};
use machine::{Reg, Seg, Stop, Until, Va};

const STEPPED: u32 = 0xFFFF_4FF0;

fn at_debug_handler(world: &mut World) -> [u32; 3] {
    assert_eq!(world.run(), handler(1));
    world.stack()
}

#[test]
fn tf_traps_after_the_instruction() {
    let mut world = World::user();
    world.poke(USER_CODE, &[0x40, 0x40]);
    world.m.cpu.eflags |= flags::TF;
    let frame = at_debug_handler(&mut world);
    assert_eq!(frame, [USER_CODE + 1, CODE3.into(), flags::ONE | flags::TF]);
    assert_eq!((world.m.retired, world.m.cpu.dr[6]), (1, STEPPED));
    assert!(!world.m.cpu.flag(flags::TF), "the handler is not stepped");
}

#[test]
fn tf_set_by_popf_traps_one_instruction_later() {
    let mut world = World::user();
    world.code(USER_CODE, |a| {
        a.push(0x102)?;
        a.popfd()?;
        a.nop()?;
        a.nop()
    });
    assert_eq!(at_debug_handler(&mut world)[0], USER_CODE + 7);
}

#[test]
fn a_software_interrupt_is_not_stepped_and_neither_is_a_fault() {
    let mut world = World::user();
    world.poke(USER_CODE, &[0xCD, 0x2E]);
    world.m.cpu.eflags |= flags::TF;
    assert_eq!(world.run(), handler(0x2E));
    assert_eq!(world.stack::<3>()[2] & flags::TF, flags::TF);
    let mut world = World::user();
    world.poke(USER_CODE, &[0xF4]);
    world.m.cpu.eflags |= flags::TF;
    assert_eq!(world.run(), handler(13));
}

#[test]
fn a_step_over_mov_ss_comes_after_the_next_instruction() {
    let mut world = World::user();
    world.poke(USER_CODE, &[0x8E, 0xD0, 0x90, 0x90]);
    world.m.cpu.set_reg(Reg::Eax, DATA3.into());
    world.m.cpu.eflags |= flags::TF;
    assert_eq!(at_debug_handler(&mut world)[0], USER_CODE + 3);
}

#[test]
fn a_step_through_a_repeated_instruction_takes_an_iteration() {
    let mut world = World::user();
    world.poke(USER_CODE, &[0xF3, 0xAA, 0x90]);
    world.m.cpu.regs = [0, 3, 0, 0, USER_STACK, 0, 0, USER_DATA];
    world.m.cpu.eflags |= flags::TF;
    let frame = at_debug_handler(&mut world);
    assert_eq!((frame[0], frame[2] & flags::RF, world.reg(Reg::Ecx)), (USER_CODE, flags::RF, 2));
}

#[test]
fn an_instruction_breakpoint_is_a_fault_that_rf_overcomes() {
    let mut world = World::user();
    world.poke(USER_CODE, &[0x90, 0x40, 0x40]);
    world.m.cpu.dr[2] = USER_CODE + 1;
    world.m.cpu.dr[7] |= 1 << 4;
    assert_eq!(at_debug_handler(&mut world), [USER_CODE + 1, CODE3.into(), flags::ONE]);
    assert_eq!((world.m.cpu.dr[6], world.reg(Reg::Eax)), (0xFFFF_0FF4, 0));
    world.enter_user();
    world.m.cpu.eip = USER_CODE + 1;
    world.m.cpu.eflags |= flags::RF;
    assert_eq!(world.m.step(), Stop::Budget);
    assert_eq!((world.m.cpu.eip, world.m.cpu.flag(flags::RF)), (USER_CODE + 2, false));
}

#[test]
fn a_data_breakpoint_traps_after_the_access() {
    let hit = |control: u32, write: fn(&mut CodeAssembler) -> Result<(), AssembleError>| {
        let mut world = World::user();
        world.code(USER_CODE, write);
        world.m.cpu.dr[1] = USER_DATA + 4;
        world.m.cpu.dr[7] |= 1 << 2 | control << 20;
        world.m.cpu.set_reg(Reg::Ecx, 1);
        assert_eq!(world.m.step(), Stop::Budget);
        (world.m.cpu.dr[6] & 0xF, world.m.cpu.cpl())
    };
    // Bits 2 and 3 are the length less one, bits 0 and 1 the kind: 1 writes, 3 accesses.
    assert_eq!(hit(0xD, |a| a.mov(dword_ptr(USER_DATA + 4), eax)), (2, 0));
    assert_eq!(hit(0xD, |a| a.mov(eax, dword_ptr(USER_DATA + 4))), (0, 3), "a read is not a write");
    assert_eq!(hit(0xF, |a| a.mov(eax, dword_ptr(USER_DATA + 4))), (2, 0));
    assert_eq!(hit(0xD, |a| a.mov(byte_ptr(USER_DATA + 7), al)), (2, 0));
    assert_eq!(hit(0x1, |a| a.mov(byte_ptr(USER_DATA + 5), al)), (0, 3));
    assert_eq!(hit(0x1, |a| a.mov(dword_ptr(USER_DATA + 1), eax)), (2, 0), "it overlaps");
    assert_eq!(hit(0xD, |a| a.inc(dword_ptr(USER_DATA + 4))), (2, 0));
    let push_all = |a: &mut CodeAssembler| {
        a.mov(esp, USER_DATA + 36)?;
        a.pushad()
    };
    let mut world = World::user();
    world.code(USER_CODE, push_all);
    world.m.cpu.dr[0] = USER_DATA + 20;
    world.m.cpu.dr[7] |= 0xD_0001;
    assert_eq!(at_debug_handler(&mut world)[0], USER_CODE + 6);
}

#[test]
fn general_detect_keeps_debug_registers_from_being_read() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| a.mov(eax, dr0));
    world.m.cpu.dr[7] |= 0x2000;
    assert_eq!(at_debug_handler(&mut world)[0], KERNEL_CODE);
    assert_eq!((world.m.cpu.dr[6], world.m.cpu.dr[7]), (0xFFFF_2FF0, 0x400));
}

#[test]
fn the_x87_unit_traps_while_it_belongs_to_another() {
    let stop = |bits: u32, write: fn(&mut CodeAssembler) -> Result<(), AssembleError>| {
        let mut world = World::user();
        world.code(USER_CODE, write);
        world.m.cpu.cr0 |= bits;
        world.m.run(&Until::budget(1));
        (world.m.retired == 0).then(|| (world.m.cpu.eip - HANDLERS) / 16)
    };
    use control::{EM, MP, TS};
    assert_eq!(stop(TS, |a| a.fninit()), Some(7));
    assert_eq!(stop(EM, |a| a.fldz()), Some(7));
    assert_eq!(stop(EM | TS | MP, |a| a.fsin()), Some(7));
    assert_eq!(stop(TS, |a| a.wait()), None);
    assert_eq!(stop(TS | MP, |a| a.wait()), Some(7));
    assert_eq!(stop(MP, |a| a.wait()), None);
    assert_eq!(stop(0, |a| a.stmxcsr(dword_ptr(USER_DATA))), Some(6), "without CR4.OSFXSR");
}

#[test]
fn alignment_is_checked_in_ring_3_when_both_flags_ask_for_it() {
    let mut world = World::user();
    world.code(USER_CODE, |a| a.mov(eax, dword_ptr(USER_DATA + 2)));
    world.m.cpu.eflags |= flags::AC;
    let relaxed = world.m.clone();
    world.m.cpu.cr0 |= control::AM;
    assert_eq!(world.run(), handler(17));
    assert_eq!(world.stack::<2>(), [0, USER_CODE]);
    world.m = relaxed;
    assert_eq!(world.m.run(&Until::budget(1)), Stop::Budget);
    assert_eq!(world.m.cpu.next(), Va(USER_CODE + 5));
}

#[test]
fn fnsave_and_frstor_move_the_whole_unit() {
    let mut world = World::new();
    world.poke(KERNEL_DATA, &std::f64::consts::PI.to_le_bytes());
    world.code(KERNEL_CODE, |a| {
        a.fninit()?;
        a.fld(qword_ptr(KERNEL_DATA))?;
        a.fld1()?;
        a.fnsave(dword_ptr(KERNEL_DATA + 0x100))?;
        a.fnstsw(ax)?;
        a.frstor(dword_ptr(KERNEL_DATA + 0x100))?;
        a.fstp(st1)?;
        a.fchs()?;
        a.fxch(st0, st0)?;
        a.fstp(dword_ptr(KERNEL_DATA + 8))?;
        a.int3()
    });
    assert_eq!(world.run(), handler(3));
    assert_eq!(world.peek32(KERNEL_DATA + 8), (-1.0f32).to_bits());
    assert_eq!(world.reg(Reg::Eax), 0, "FNSAVE leaves the unit as FNINIT does");
    let image: Vec<u32> = (0..7).map(|n| world.peek32(KERNEL_DATA + 0x100 + 4 * n)).collect();
    assert_eq!(image[..3], [0xFFFF_037F, 0xFFFF_3000, 0xFFFF_0FFF]);
    // The opcode is FLD1's.
    assert_eq!(image[3..5], [KERNEL_CODE + 8, 0x01E8_0000 | u32::from(CODE0)]);
    assert_eq!(image[5..], [KERNEL_DATA, 0xFFFF_0000 | u32::from(DATA3)]);
    assert_eq!(world.peek32(KERNEL_DATA + 0x100 + 28 + 4), 0x8000_0000, "ST(0) is one");
    assert_eq!(world.m.cpu.fpu.tag, 0xFFFF);
}

#[test]
fn fxsave_keeps_what_fxrstor_brings_back() {
    let mut world = World::new();
    world.m.cpu.cr4 |= control::OSFXSR;
    world.code(KERNEL_CODE, |a| {
        a.fninit()?;
        a.fld1()?;
        a.mov(dword_ptr(KERNEL_DATA), 0x1F00)?;
        a.ldmxcsr(dword_ptr(KERNEL_DATA))?;
        a.fxsave(ptr(KERNEL_DATA + 0x200))?;
        a.fninit()?;
        a.int3()?;
        a.fxrstor(ptr(KERNEL_DATA + 0x200))?;
        a.int3()
    });
    assert_eq!(world.run(), handler(3));
    let [eip, ..] = world.stack::<3>();
    let empty = world.m.cpu.fpu.clone();
    world.m.cpu.eip = eip;
    world.m.cpu.fpu.mxcsr = 0;
    assert_eq!(world.run(), handler(3));
    let full = &world.m.cpu.fpu;
    assert_eq!((full.tag, full.status, full.mxcsr), (0x3FFF, 0x3800, 0x1F00));
    assert_eq!((empty.tag, empty.status), (0xFFFF, 0));
    world.m.cpu.eip = KERNEL_CODE;
    world.code(KERNEL_CODE, |a| a.fxsave(ptr(KERNEL_DATA + 0x208)));
    assert_eq!(world.run(), handler(13), "sixteen bytes are one unit");
}

#[test]
fn an_x87_exception_that_is_not_masked_waits_for_the_next_instruction() {
    let mut world = World::user();
    world.code(USER_CODE, |a| {
        a.fninit()?;
        a.push(0x37E)?;
        a.fldcw(word_ptr(esp))?;
        a.fstp(dword_ptr(USER_DATA))?;
        a.fnstsw(ax)?;
        a.wait()
    });
    world.poke(USER_DATA, &[1, 2, 3, 4]);
    assert_eq!(world.run(), handler(16));
    assert_eq!(world.reg(Reg::Eax), 0x80C1);
    assert_eq!(world.peek32(USER_DATA), 0x0403_0201, "nothing was stored");
    assert_eq!(world.seg(Seg::Cs).selector, CODE0);
}
