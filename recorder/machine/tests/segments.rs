//! Segments: what loading one checks, what using one checks, and transfers between rings.

mod common;

use common::*;
use machine::image::AssembleError;
use machine::registers::flags;
use machine::{Reg, Seg, Stop, Trap, Until, Va};

type Write = fn(&mut CodeAssembler) -> Result<(), AssembleError>;

/// Runs code in ring 3 until a handler; gives its vector, and the error code if there is one.
fn trap_of(write: Write) -> (u32, u32) {
    let mut world = World::user();
    world.code(USER_CODE, write);
    let Stop::Native(at) = world.run() else { panic!("no trap") };
    assert_eq!(world.m.retired, 1, "only the first instruction was good");
    let vector = (at.0 - HANDLERS) / 16;
    (vector, if matches!(vector, 10..=14) { world.stack::<1>()[0] } else { 0 })
}

#[test]
fn loading_a_bad_selector_says_which() {
    let load = trap_of;
    assert_eq!(
        load(|a| {
            a.mov(eax, 0x10)?;
            a.mov(ds, eax)
        }),
        (13, 0x10),
        "ring 0 data"
    );
    assert_eq!(
        load(|a| {
            a.mov(eax, 0x80)?;
            a.mov(ds, eax)
        }),
        (13, 0x80),
        "beyond the table"
    );
    assert_eq!(
        load(|a| {
            a.mov(eax, 0x3B)?;
            a.mov(es, eax)
        }),
        (11, 0x38),
        "not present"
    );
    assert_eq!(
        load(|a| {
            a.mov(eax, 0x28)?;
            a.mov(fs, eax)
        }),
        (13, 0x28),
        "a task"
    );
    assert_eq!(
        load(|a| {
            a.mov(eax, 7)?;
            a.mov(fs, eax)
        }),
        (13, 4),
        "no local table"
    );
    assert_eq!(
        load(|a| {
            a.xor(eax, eax)?;
            a.mov(ss, eax)
        }),
        (13, 0),
        "a null stack"
    );
    assert_eq!(
        load(|a| {
            a.mov(eax, 0x20)?;
            a.mov(ss, eax)
        }),
        (13, 0x20),
        "the wrong RPL"
    );
    assert_eq!(
        load(|a| {
            a.mov(eax, 0x43)?;
            a.mov(ss, eax)
        }),
        (13, 0x40),
        "a read-only stack"
    );
    assert_eq!(
        load(|a| {
            a.push(0x1B)?;
            a.pop(ss)
        }),
        (13, 0x18),
        "code as a stack"
    );
}

#[test]
fn using_a_segment_checks_its_limit_its_type_and_that_it_is_there() {
    let with = |selector: u16, write: Write| {
        let mut world = World::user();
        world.m.load_segment(Seg::Fs, selector).unwrap();
        world.code(USER_CODE, write);
        world.m.cpu.set_reg(Reg::Ebx, 0xFFD);
        let stop = world.run();
        match stop {
            Stop::Native(at) if world.m.retired == 0 => Err((at.0 - HANDLERS) / 16),
            _ => Ok(world.reg(Reg::Eax)),
        }
    };
    assert_eq!(with(SMALL, |a| a.mov(eax, dword_ptr(ebx).fs())), Err(13), "one byte too far");
    assert_eq!(with(SMALL, |a| a.mov(eax, dword_ptr(ebx - 1).fs())), Ok(0));
    assert_eq!(with(SMALL, |a| a.mov(eax, dword_ptr(ebx - 0xFFE).fs())), Err(13), "below zero");
    assert_eq!(with(0, |a| a.mov(eax, dword_ptr(ebx - 1).fs())), Err(13), "a null segment");
    assert_eq!(with(READONLY_SEGMENT, |a| a.mov(eax, dword_ptr(0).fs())), Ok(0));
    assert_eq!(with(READONLY_SEGMENT, |a| a.mov(dword_ptr(0).fs(), eax)), Err(13));
    assert_eq!(with(DOWN, |a| a.mov(eax, dword_ptr(ebx).fs())), Err(13), "below an expand-down segment");
    assert_eq!(with(DOWN, |a| a.mov(eax, dword_ptr(ebx + 3).fs())), Ok(0));
    assert_eq!(with(CODE3, |a| a.mov(dword_ptr(ebx).fs(), eax)), Err(13), "code is not written");
}

#[test]
fn a_stack_segments_limit_is_a_stack_fault() {
    let mut world = World::user();
    world.m.load_segment(Seg::Ss, SMALL).unwrap();
    world.m.cpu.set_reg(Reg::Esp, 2);
    world.code(USER_CODE, |a| a.push(eax));
    assert_eq!(world.run(), handler(12));
    assert_eq!(world.stack::<5>(), [0, USER_CODE, CODE3.into(), flags::ONE | flags::RF, 2]);
}

#[test]
fn a_segment_adds_its_base_and_is_marked_accessed() {
    let mut world = World::user();
    world.poke(USER_DATA + 0x10, &[0x78, 0x56, 0x34, 0x12]);
    world.code(USER_CODE, |a| {
        a.push(i32::from(SMALL))?;
        a.pop(fs)?;
        a.mov(eax, dword_ptr(0x10).fs())?;
        a.mov(word_ptr(USER_DATA + 0x20), fs)?;
        a.mov(ebx, fs)?;
        a.int3()
    });
    assert_eq!(world.peek32(GDT + 0x34) & 0x100, 0);
    assert_eq!(world.run(), handler(3));
    assert_eq!((world.reg(Reg::Eax), world.reg(Reg::Ebx)), (0x1234_5678, SMALL.into()));
    assert_eq!(world.peek32(USER_DATA + 0x20), SMALL.into());
    assert_eq!(world.peek32(GDT + 0x34) & 0x100, 0x100);
}

#[test]
fn the_local_table_holds_segments_too() {
    let mut world = World::new();
    world.code(KERNEL_CODE, |a| {
        a.mov(eax, u32::from(LDT))?;
        a.lldt(ax)?;
        a.mov(eax, 7)?;
        a.mov(gs, eax)?;
        a.sldt(ebx)?;
        a.str(ecx)?;
        a.int3()
    });
    assert_eq!(world.run(), handler(3));
    assert_eq!(world.seg(Seg::Gs).base, USER_DATA);
    assert_eq!((world.reg(Reg::Ebx), world.reg(Reg::Ecx)), (LDT.into(), TASK.into()));
}

#[test]
fn a_call_gate_switches_stacks_and_copies_parameters() {
    let mut world = World::user();
    world.code(USER_CODE, |a| {
        a.push(0x11)?;
        a.push(0x22)?;
        a.db(&[0x9A, 0, 0, 0, 0, CALL_GATE as u8, 0])?;
        a.int3()
    });
    world.code(KERNEL_CODE, |a| a.retf_1(8));
    assert_eq!(world.m.run(&Until::budget(3)), Stop::Budget);
    assert_eq!(world.m.cpu.eip, KERNEL_CODE);
    let frame = [USER_CODE + 11, CODE3.into(), 0x22, 0x11, USER_STACK - 8, DATA3.into()];
    assert_eq!(world.stack(), frame);
    assert_eq!(world.reg(Reg::Esp), KERNEL_STACK - 24);
    assert_eq!(world.run(), handler(3));
    assert_eq!(world.stack::<5>()[3], USER_STACK, "the parameters are released on both stacks");
}

#[test]
fn far_calls_and_returns_in_one_ring_keep_the_stack() {
    let mut world = World::new();
    world.poke(KERNEL_DATA, &[0, 0x01, 0x01, 0x80, 0x08, 0]);
    world.code(KERNEL_CODE, |a| {
        a.call(fword_ptr(KERNEL_DATA))?;
        a.int3()
    });
    world.code(0x8001_0100, |a| {
        a.mov(eax, 5)?;
        a.retf()
    });
    assert_eq!(world.run(), handler(3));
    assert_eq!((world.reg(Reg::Eax), world.reg(Reg::Esp)), (5, KERNEL_STACK - 12));
    assert_eq!(world.stack::<2>(), [KERNEL_CODE + 7, CODE0.into()]);
}

#[test]
fn sixteen_bit_code_uses_sixteen_bit_operands_and_addresses() {
    let mut world = World::new();
    world.m.load_segment(Seg::Cs, CODE16).unwrap();
    world.m.cpu.eip = 0;
    world.m.cpu.regs = [0xAAAA_1234, 0, 0, 0xFFFF_0010, KERNEL_STACK, 0, 0, 0];
    world.m.load_segment(Seg::Ds, SMALL & !3).unwrap();
    world.poke(USER_DATA + 0x10, &[0x78, 0x56, 0x34, 0x12]);
    // mov ax, [bx]; mov edx, [bx] with a prefix; push ax; jmp -2
    world.poke(KERNEL_CODE, &[0x8B, 0x07, 0x66, 0x8B, 0x17, 0x50, 0xEB, 0xFE]);
    assert_eq!(world.m.run(&Until::budget(5)), Stop::Budget);
    assert_eq!((world.reg(Reg::Eax), world.reg(Reg::Edx)), (0xAAAA_5678, 0x1234_5678));
    assert_eq!((world.reg(Reg::Esp), world.m.cpu.eip), (KERNEL_STACK - 2, 6));
}

#[test]
fn sysenter_and_sysexit_change_rings_without_a_stack() {
    let mut world = World::user();
    world.m.cpu.sysenter = [CODE0.into(), KERNEL_STACK, KERNEL_CODE];
    world.m.cpu.eflags |= flags::IF;
    world.m.cpu.set_reg(Reg::Ecx, USER_STACK - 32);
    world.m.cpu.set_reg(Reg::Edx, USER_CODE + 0x80);
    world.code(USER_CODE, |a| a.sysenter());
    world.code(KERNEL_CODE, |a| a.sysexit());
    assert_eq!(world.m.run(&Until::budget(1)), Stop::Budget);
    assert_eq!((world.m.cpu.cpl(), world.m.cpu.eip, world.reg(Reg::Esp)), (0, KERNEL_CODE, KERNEL_STACK));
    assert!(!world.m.cpu.flag(flags::IF));
    let until = Until { user_entry: true, ..Until::budget(5) };
    assert_eq!(world.m.run(&until), Stop::UserEntry);
    assert_eq!((world.m.cpu.next(), world.reg(Reg::Esp)), (Va(USER_CODE + 0x80), USER_STACK - 32));
    assert_eq!((world.seg(Seg::Cs).selector, world.seg(Seg::Ss).selector), (CODE3, DATA3));
}

#[test]
fn ports_are_for_who_may_use_them_and_read_as_an_empty_bus() {
    let user = |write: Write| {
        let mut world = World::user();
        world.code(USER_CODE, write);
        world.m.step();
        (world.m.retired == 1, world.reg(Reg::Eax))
    };
    assert_eq!(user(|a| a.in_(al, 3)), (true, 0xFF), "the bitmap allows it");
    assert_eq!(user(|a| a.in_(al, 4)), (false, 0));
    assert_eq!(user(|a| a.in_(ax, 3)), (false, 0), "both ports must be allowed");
    assert!(!user(|a| a.in_(al, dx)).0);
    assert!(!user(|a| a.cli()).0);
    let mut world = World::user();
    world.m.cpu.eflags |= flags::IOPL | flags::IF;
    world.code(USER_CODE, |a| {
        a.in_(eax, dx)?;
        a.out(0x80, al)?;
        a.cli()
    });
    assert_eq!(world.m.run(&Until::budget(3)), Stop::Budget);
    assert_eq!((world.m.retired, world.reg(Reg::Eax), world.m.cpu.flag(flags::IF)), (3, u32::MAX, false));
}

#[test]
fn popf_changes_only_what_the_ring_may() {
    let set = |ring3: bool, iopl: u32| {
        let mut world = if ring3 { World::user() } else { World::new() };
        world.m.cpu.eflags |= iopl << 12;
        world.code(world.m.cpu.eip, |a| {
            a.push(-1)?;
            a.popfd()?;
            a.nop()
        });
        world.m.run(&Until::budget(2));
        world.m.cpu.eflags
    };
    let anyone = 0x24_4DD7;
    assert_eq!(set(true, 0), anyone);
    assert_eq!(set(true, 3), anyone | flags::IOPL | flags::IF);
    assert_eq!(set(false, 0), anyone | flags::IOPL | flags::IF);
}

#[test]
fn asking_about_selectors_answers_in_zf() {
    let ask = |selector: u16, write: Write| {
        let mut world = World::user();
        world.code(USER_CODE, write);
        world.m.cpu.set_reg(Reg::Ecx, selector.into());
        assert_eq!(world.m.step(), Stop::Budget);
        (world.m.cpu.flag(flags::ZF), world.reg(Reg::Eax))
    };
    assert_eq!(ask(DATA3, |a| a.lsl(eax, ecx)), (true, u32::MAX));
    assert_eq!(ask(SMALL, |a| a.lsl(eax, ecx)), (true, 0xFFF));
    assert_eq!(ask(SMALL, |a| a.lar(eax, ecx)), (true, 0x0040_F200));
    assert_eq!(ask(CODE0, |a| a.lar(eax, ecx)), (false, 0), "not for ring 3");
    assert_eq!(ask(0, |a| a.lar(eax, ecx)), (false, 0));
    // Bits 16 to 19 are undefined; processors leave what lies there, which is the gate's offset.
    assert_eq!(ask(CALL_GATE, |a| a.lar(eax, ecx)), (true, 0x1_EC00));
    assert_eq!(ask(CALL_GATE, |a| a.lsl(eax, ecx)), (false, 0));
    assert!(ask(READONLY_SEGMENT, |a| a.verr(cx)).0);
    assert!(!ask(READONLY_SEGMENT, |a| a.verw(cx)).0);
    assert!(ask(CODE3, |a| a.verr(cx)).0);
    assert!(!ask(CODE3, |a| a.verw(cx)).0);
}

#[test]
fn a_host_loads_segments_with_the_checks_of_the_processor() {
    let mut world = World::user();
    assert_eq!(world.m.load_segment(Seg::Ds, DATA0), Err(Trap::General(DATA0)));
    assert_eq!(world.m.load_segment(Seg::Ds, ABSENT), Err(Trap::NotPresent(ABSENT & !3)));
    assert_eq!(world.m.load_segment(Seg::Cs, DATA3), Err(Trap::General(DATA3 & !3)));
    assert_eq!(world.m.load_task(TASK), Err(Trap::General(TASK)), "it is busy");
    world.m.load_segment(Seg::Cs, CODE0).unwrap();
    assert_eq!(world.m.cpu.cpl(), 0);
}

#[test]
fn what_this_machine_does_not_do_ends_the_run_and_says_so() {
    let stop = |write: Write| {
        let mut world = World::new();
        world.code(KERNEL_CODE, write);
        world.physical64(0x2078, descriptor(TSS, 0x67, 0x0089));
        let before = world.m.clone();
        let stop = world.run();
        assert_eq!(world.m.cpu.eip, KERNEL_CODE);
        assert_eq!(world.m.retired, before.retired);
        stop
    };
    let unsupported = |text: &str| Stop::Unsupported(format!("{text} at EIP 80010000"));
    assert_eq!(stop(|a| a.fsin()), unsupported("the x87 instruction FSIN"));
    assert_eq!(stop(|a| a.fpatan()), unsupported("the x87 instruction FPATAN"));
    assert_eq!(stop(|a| a.db(&[0xEA, 0, 0, 0, 0, 0x78, 0])), unsupported("a task switch to selector 0078"));
    let nested = |a: &mut CodeAssembler| a.iretd();
    let mut world = World::new();
    world.m.cpu.eflags |= flags::NT;
    world.code(KERNEL_CODE, nested);
    let text = "IRET with NT set, which returns to another task,";
    assert_eq!(world.run(), unsupported(text));
}
