//! The stacks that reactos.md draws, slot by slot: 4.3, 5.3 to 5.6, 7.5.

mod common;

use common::{Driver, Made};
use contract::{Kernel, context, program};
use machine::{Reg, Seg, Va};
use reactos::Variant;

// Offsets in CONTEXT (2.3).
const CONTEXT_FLAGS: u32 = 0x00;
const DR: u32 = 0x04;
const FLOAT_SAVE: u32 = 0x1C;

/// Dr0 to Dr3, Dr6, Dr7.
const DEBUG_REGISTERS: [u32; 6] = [0xD000_0000, 0xD100_0000, 0xD200_0000, 0xD300_0000, 0xD600_0000, 0x400];

/// The doublewords of a CONTEXT from an offset on.
fn from(offset: u32, values: &[u32]) -> Vec<(u32, u32)> {
    values.iter().zip(0..).map(|(value, index)| (offset + 4 * index, *value)).collect()
}

/// A value for each field of a CONTEXT that the first stack takes up.
fn patches() -> Vec<(u32, u32)> {
    [
        from(CONTEXT_FLAGS, &[context::FULL | context::DEBUG_REGISTERS]),
        from(DR, &DEBUG_REGISTERS),
        // SegGs, SegFs, SegEs, SegDs.
        from(0x8C, &[0xAAAA_0023, 0xBBBB_0000, 0xCCCC_0023, 0xDDDD_0023]),
        // Edi, Esi, Ebx, Edx, Ecx, Eax, Ebp.
        from(
            0x9C,
            &[0x1D1D_1D1D, 0x1515_1515, 0x1B1B_1B1B, 0x2D2D_2D2D, 0x2C2C_2C2C, 0x2A2A_2A2A, 0x2B2B_2B2B],
        ),
        // SegCs, EFlags; SegSs.
        from(0xBC, &[0x1B, 0x0003_7102]),
        from(0xC8, &[0xEEEE_0023]),
    ]
    .concat()
}

/// init creates a thread, up to the end of Ke386InitThreadWithContext: the top of its stack.
fn first_stack(driver: &mut Driver, app: Made, patches: &[(u32, u32)]) -> (Va, u32) {
    let (init, thread) = driver.init();
    let words: Vec<u32> = patches.iter().flat_map(|(offset, value)| [*offset, *value]).collect();
    driver.set_data(init, 0x100, &words);
    let data = program::DATA.0;
    let at = driver.kernel.image().services["CreateThread"];
    driver.begin(thread, at, &[app.handle, 2, data + 0x100, patches.len() as u32, data, data + 8]);
    driver.run_to("PsCreateTeb");
    // Its third argument is the thread.
    let object = driver.word(Va(driver.m.cpu.esp() + 12));
    (Va(driver.word(Va(object + 0x18))), object)
}

/// The doublewords from `from` on.
fn words(driver: &Driver, from: Va, count: u32) -> Vec<u32> {
    (0..count).map(|index| driver.word(from.add(4 * index))).collect()
}

#[test]
fn the_first_stack_of_4_3() {
    for variant in [Variant::Article, Variant::R13089, Variant::Msvc6] {
        let mut driver = Driver::boot(variant, None);
        let app = driver.process("app");
        let (top, thread) = first_stack(&mut driver, app, &patches());
        let stub = match variant {
            Variant::Msvc6 => "PsBeginThreadWithContextInternalMsvc6",
            _ => "PsBeginThreadWithContextInternal",
        };
        let stub = driver.kernel.image().address(stub).unwrap().0;
        let start = driver.kernel.image().address("BaseProcessStart").unwrap().0;
        assert_eq!(driver.word(Va(thread + 0x28)), top.0 - 0x2D0, "KTHREAD.KernelStack");
        let esp = driver.word(top.sub(0x29C - 0x74));
        let expected = [
            // K[0] to K[12].
            vec![top.0 - 0x210, 0, 0, 0, 0, stub, context::FULL | context::DEBUG_REGISTERS],
            DEBUG_REGISTERS.to_vec(),
            // DebugEbp, DebugEip, DebugArgMark, DebugPointer, TempCs, TempEip; Dr0 to Dr7 unwritten.
            vec![0x2B2B_2B2B, start, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            // Gs, Es, Ds: the low halves; Edx, Ecx, Eax.
            vec![0x23, 0x23, 0x23, 0x2D2D_2D2D, 0x2C2C_2C2C, 0x2A2A_2A2A],
            // PreviousMode, ExceptionList, Fs whatever the context says.
            vec![1, 0xFFFF_FFFF, 0x3B],
            // Edi, Esi, Ebx, Ebp, ErrorCode, Eip, Cs, Eflags without VM, NT and IOPL, with IF.
            vec![0x1D1D_1D1D, 0x1515_1515, 0x1B1B_1B1B, 0x2B2B_2B2B, 0, start, 0x1B, 0x1_0302],
            // Esp, Ss, the V86 words.
            vec![esp, 0x23, 0, 0, 0, 0],
        ]
        .concat();
        assert_eq!(words(&driver, top.sub(0x2D0), 0xC0 / 4), expected, "{variant:?}");
        // The FX area keeps what the fresh pages hold, and says so.
        assert!(words(&driver, top.sub(0x210), 0x210 / 4).iter().all(|word| *word == 0));
        assert_eq!(driver.word(Va(thread + 0x30)) >> 8 & 0xFF, 1, "NpxState INVALID");
        // The user stack of 3.3: two parameters above a return address that is none.
        let cr3 = driver.kernel.address_space(&driver.m, app.id).unwrap();
        let mut raw = [0; 12];
        driver.m.peek(cr3, Va(esp), &mut raw).unwrap();
        let user: Vec<u32> = raw.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
        assert_eq!(user, [0xDEAD_BEEF, program::symbol(program::ENTRY).0, 0x7FFD_F000]);
        assert_eq!(esp & 0xFFF, 0xFF4);
    }
}

#[test]
fn a_context_with_floating_point_fills_the_fx_area() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let patches = [
        from(CONTEXT_FLAGS, &[context::FULL | context::FLOATING_POINT]),
        // Control, status and tag word: ST0 in use, at physical register 7. Offset and selector of the
        // instruction, with its opcode, and of the operand. ST0.
        from(FLOAT_SAVE, &[0xFFFF_027F, 0xFFFF_3800, 0xFFFF_3FFF, 0xE1, 0x0123_001B, 0xE2, 0xFFFF_0023]),
        from(FLOAT_SAVE + 0x1C, &[0, 0x8000_0000, 0x3FFF]),
        from(FLOAT_SAVE + 0x6C, &[0xC4]),
    ]
    .concat();
    let (top, thread) = first_stack(&mut driver, app, &patches);
    assert_eq!(driver.word(Va(thread + 0x30)) >> 8 & 0xFF, 2, "NpxState VALID");
    // Control and status, the abridged tag and the opcode, both pointers, MXCSR; ST0; Cr0NpxState behind
    // NpxSavedCpu.
    let area = words(&driver, top.sub(0x210), 0x210 / 4);
    assert_eq!(area[..7], [0x3800_027F, 0x0123_0080, 0xE1, 0x1B, 0xE2, 0x23, 0x1F80]);
    assert_eq!((area[8], area[9], area[10] & 0xFFFF), (0, 0x8000_0000, 0x3FFF));
    assert_eq!((area[0x208 / 4], area[0x20C / 4]), (0, 0xC4));
}

#[test]
fn the_stub_of_5_3_walks_down_the_first_stack() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let (top, thread) = first_stack(&mut driver, app, &patches());
    driver.run_to("PsBeginThreadWithContextInternal");
    // Level 2, interrupts on, no register but ESP.
    assert_eq!(driver.m.cpu.esp(), top.0 - 0x2B8);
    assert_eq!(driver.word(Va(0xFF00_0024)) & 0xFF, 2);
    assert!(driver.m.cpu.flag(0x200));
    for register in [Reg::Edi, Reg::Esi, Reg::Ebx, Reg::Ebp] {
        assert_eq!(driver.m.cpu.reg(register), 0);
    }
    // The word under it has become TSS.Esp0.
    assert_eq!(driver.word(Va(0xC000_3004)), top.0 - 0x210);
    driver.run_to("KeReturnFromSystemCallWithHook");
    assert_eq!(driver.m.cpu.esp(), top.0 - 0x29C);
    assert_eq!(driver.word(Va(0xFF00_0024)) & 0xFF, 0);
    assert_eq!(driver.m.cpu.dr[..4], DEBUG_REGISTERS[..4]);
    assert_eq!(driver.m.cpu.dr[7], 0x400);
    // The first exit: KTHREAD.TrapFrame becomes Context.Edx, PreviousMode UserMode.
    driver.run_to("KiUserApcDispatcher");
    assert_eq!(driver.word(Va(thread + 0x128)), 0x2D2D_2D2D);
    assert_eq!(driver.word(Va(thread + 0x134)) >> 24, 1);
    assert_eq!(driver.word(Va(0xFF00_0000)), 0xFFFF_FFFF, "KPCR.ExceptionList");
}

/// All general registers but ESP are 0.
fn assert_zero(driver: &Driver) {
    for register in [Reg::Eax, Reg::Ebx, Reg::Ecx, Reg::Edx, Reg::Esi, Reg::Edi, Reg::Ebp] {
        assert_eq!(driver.m.cpu.reg(register), 0, "{register:?}");
    }
}

/// CS, SS, DS, ES, GS, FS.
fn selectors(driver: &Driver) -> [u16; 6] {
    [Seg::Cs, Seg::Ss, Seg::Ds, Seg::Es, Seg::Gs, Seg::Fs].map(|seg| driver.m.cpu.seg(seg).selector)
}

#[test]
fn the_first_user_instruction_of_5_5_and_the_stack_of_7_5() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let (top, _) = first_stack(&mut driver, app, &[]);
    let user = driver.word(top.sub(0x29C - 0x74));
    let start = driver.kernel.image().address("BaseProcessStart").unwrap().0;
    driver.run_to("KiUserApcDispatcher");
    let cpu = &driver.m.cpu;
    assert_eq!((cpu.cpl(), cpu.esp(), cpu.eflags & 0x3_7FFF), (3, user - 0x2E4, 0x202));
    assert_eq!((user - 0x2E4) & 0xFFFF, 0x1_0000 - 0x2F0, "StackBase - 2F0");
    assert_zero(&driver);
    assert_eq!(selectors(&driver), [0x1B, 0x23, 0x23, 0x23, 0x23, 0x3B]);
    assert_eq!(cpu.seg(Seg::Fs).base, 0x7FFD_E000);
    assert_eq!(cpu.cr0 & 8, 8, "CR0.TS");
    // 7.5: return address, routine, context, two arguments, CONTEXT pointer; and the CONTEXT.
    let esp = cpu.esp();
    let thunk = driver.kernel.image().address("LdrInitializeThunk").unwrap().0;
    assert_eq!(words(&driver, Va(esp), 6), [0xDEAD_BEEF, thunk, 0, 0, 0, esp + 0x18]);
    let at = Va(esp + 0x18);
    assert_eq!(at.0 + 0x2CC, user);
    let mut expected = vec![0; 0x2CC / 4];
    for (offset, value) in [
        (0x00, context::FULL),
        (0x8C, 0x23),
        (0x90, 0x3B),
        (0x94, 0x23),
        (0x98, 0x23),
        (0xB8, start),
        (0xBC, 0x1B),
        (0xC0, 0x202),
        (0xC4, user),
        (0xC8, 0x23),
    ] {
        expected[offset / 4] = value;
    }
    assert_eq!(words(&driver, at, 0x2CC / 4), expected);
    // After LdrInitializeThunk and NtContinue: the real start, with everything as in the context.
    driver.run_to("BaseProcessStart");
    let cpu = &driver.m.cpu;
    assert_eq!((cpu.cpl(), cpu.esp(), cpu.eflags & 0x3_7FFF), (3, user, 0x202));
    assert_zero(&driver);
    assert_eq!(selectors(&driver), [0x1B, 0x23, 0x23, 0x23, 0x23, 0x3B]);
}

#[test]
fn a_user_apc_of_a_system_call_builds_the_stack_of_7_5() {
    let mut driver = Driver::boot(Variant::Article, None);
    let app = driver.process("app");
    let main = driver.thread("main", app, 2, &[]);
    let (_, init) = driver.init();
    let routine = program::symbol(program::APC).0;
    let args = [main.handle, routine, 0xC1, 0xA1, 0xA2];
    assert_eq!(driver.call(init, "NtQueueApcThread", &args), common::Came::Returned(0));
    // An alertable sleep ends at once with STATUS_USER_APC.
    driver.set_data(app.id, 0x40, &[0, 0x8000_0000]);
    let at = driver.kernel.image().services["NtDelayExecution"];
    let old = driver.begin(main.id, at, &[1, program::DATA.0 + 0x40]);
    driver.m.cpu.set_reg(Reg::Esi, 0x5151);
    driver.run_to("KiUserApcDispatcher");
    let esp = driver.m.cpu.esp();
    assert_eq!(words(&driver, Va(esp), 6), [0xDEAD_BEEF, routine, 0xC1, 0xA1, 0xA2, esp + 0x18]);
    // The stub's return address lies where the context says: nothing but EIP and ESP was changed.
    let field = |offset: u32| driver.word(Va(esp + 0x18 + offset));
    assert_eq!((field(0xB0), field(0xA0), field(0xC4)), (0xC0, 0x5151, esp + 0x2E4));
    assert_eq!(esp + 0x2E4, old - 12);
    assert_eq!(driver.word(Va(field(0xC4))), program::symbol(program::PARK).0);
    assert_eq!(driver.m.cpu.reg(Reg::Esi), 0x5151);
    assert_eq!(driver.m.cpu.reg(Reg::Eax), 0xC0);
}

/// Up to where a new thread leaves the kernel; init's own system calls come through there as well.
fn run_to_first_exit(driver: &mut Driver, thread: u32) {
    driver.run_to("KeReturnFromSystemCallWithHook");
    while driver.kernel.current(&driver.m).at.0 != thread {
        driver.run(1);
        driver.run_to("KeReturnFromSystemCallWithHook");
    }
}

#[test]
fn the_stale_stub_of_5_6_misreads_the_frame() {
    let mut driver = Driver::boot(Variant::Msvc6, None);
    let app = driver.process("app");
    let (top, thread) = first_stack(&mut driver, app, &[]);
    let user = driver.word(top.sub(0x29C - 0x74));
    run_to_first_exit(&mut driver, thread);
    let frame = top.sub(0x22C);
    assert_eq!(driver.m.cpu.esp(), frame.0);
    // DebugEbp is Eflags, DebugEip Esp, DebugArgMark Ss; the rest is the V86 words and the FX area.
    let mut expected = vec![0; 0x7C / 4];
    expected[..3].copy_from_slice(&[0x202, user, 0x23]);
    assert_eq!(words(&driver, frame, 0x7C / 4), expected);
    // The hook reads a CS of 0, and the CONTEXT for LdrInit's APC would end at address 0.
    driver.settle();
    let stop = driver.view().bugcheck.unwrap();
    assert_eq!((stop.code, stop.parameters[0].as_str()), (0x1E, "C0000005"));
    assert_eq!((stop.parameters[2].as_str(), stop.parameters[3].as_str()), ("00000001", "FFFFFD34"));
    // The fault's own frame; the one before it, kept right below, is none.
    let fault = driver.word(Va(thread + 0x128));
    assert_eq!(driver.word(Va(fault - 4)), 0, "KTHREAD.TrapFrame");
    assert_eq!(driver.word(Va(thread + 0x134)) >> 24, 0, "PreviousMode");
}

#[test]
fn the_stale_stub_restores_the_fpu_from_the_frame_when_asked_to() {
    let mut driver = Driver::boot(Variant::Msvc6, None);
    let app = driver.process("app");
    let flags = context::FULL | context::FLOATING_POINT;
    let (top, thread) = first_stack(&mut driver, app, &[(CONTEXT_FLAGS, flags), (FLOAT_SAVE, 0xFFFF_027F)]);
    run_to_first_exit(&mut driver, thread);
    assert_eq!(driver.m.cpu.esp(), top.0 - 0x22C);
    // FRSTOR came through #NM: the thread owns the FPU. Its control word is DebugEbp, 0, of which the
    // processor keeps bit 6 set; its status word is DebugEip.
    assert_eq!(driver.word(Va(0xFF00_02A4)), thread);
    let eip = driver.word(top.sub(0x29C - 0x04));
    assert_eq!((driver.m.cpu.fpu.control, driver.m.cpu.fpu.status & 0x3F), (0x40, eip as u16 & 0x3F));
    // MXCSR lies where ES would be popped from.
    assert_eq!(driver.word(top.sub(0x22C - 0x34)), 0x1F80);
}
