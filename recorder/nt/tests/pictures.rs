//! The stacks that the sheet draws, slot by slot: the first kernel stack of a user and of a system thread
//! (nt52.md 4.6), the frame of a user APC (5.6), and a thread that waits in a system call (5.1, 6.3). A
//! slot that is not named holds 0.

mod driver;

use contract::{Kernel, ObjectId, Owner, program};
use driver::{Arg::*, Driver, scene};
use machine::Va;
use nt::Nt;

/// Fields of KTHREAD.
const INITIAL_STACK: u32 = 0x18;
const KERNEL_STACK: u32 = 0x20;

fn word(d: &Driver, at: u32) -> u32 {
    d.peek(at)
}

/// Where a native routine lies.
fn routine(d: &Driver, name: &str) -> u32 {
    let found = d.nt.image().gates.iter().find_map(|gate| {
        let index = gate.routines.iter().position(|routine| routine.name == name)?;
        Some(gate.base.0 + contract::routine::STAGES * index as u32)
    });
    found.unwrap_or_else(|| panic!("no routine {name}"))
}

/// Every slot of `from..to` holds what is named, or 0.
fn compare(d: &Driver, from: u32, to: u32, named: &[(u32, &str, u32)]) {
    for at in (from..to).step_by(4) {
        let (name, value) =
            named.iter().find(|(slot, ..)| *slot == at).map_or(("an empty slot", 0), |row| (row.1, row.2));
        assert_eq!(word(d, at), value, "{name} at {at:08X}, {:X} below {to:08X}", to - at);
    }
    for (at, name, _) in named {
        assert!((from..to).contains(at), "{name} at {at:08X} is outside");
    }
}

/// The floating-point area that every thread starts with.
fn fx_area(top: u32) -> [(u32, &'static str, u32); 2] {
    [(top - 0x210, "ControlWord, StatusWord", 0x27F), (top - 0x210 + 0x18, "MXCsr", 0x1F80)]
}

/// The top of the stack that a thread of `app` made next will have, and the thread, before it is ready.
fn new_thread() -> (Driver, ObjectId) {
    let mut s = scene(0);
    let init = s.d.init();
    let args = [Value(s.app), Value(0), Words(&[]), Value(0), Words(&[0]), Words(&[0, 0])];
    s.d.place_call(init, "CreateThread", &args);
    s.d.trace.clear();
    let known: Vec<ObjectId> = s.d.nt.threads(&s.d.m).iter().map(|thread| thread.id).collect();
    while !s.d.trace.contains(&"KeReadyThread") {
        s.d.step_on();
    }
    let threads = s.d.nt.threads(&s.d.m);
    let new = threads.iter().find(|thread| !known.contains(&thread.id)).expect("a new thread");
    (s.d, new.id)
}

#[test]
fn the_first_kernel_stack_of_a_user_thread() {
    let (d, thread) = new_thread();
    let top = word(&d, thread.at.0 + INITIAL_STACK);
    assert_eq!(word(&d, thread.at.0 + KERNEL_STACK), top - 0x2B8);
    let frame = top - 0x29C;
    let thunk = d.nt_symbol("BaseThreadStartThunk");
    // CreateThread's CONTEXT: EAX is the start address, EBX the parameter 0, ESP the stack's base - 4.
    let esp = word(&d, frame + 0x74);
    assert_eq!(esp & 0xFFF, 0xFFC, "the stack's base - 4");
    let mut named = vec![
        (top - 0x2B8, "KSWITCHFRAME.ExceptionList", u32::MAX),
        (top - 0x2B4, "KSWITCHFRAME.ApcBypassDisable", 1),
        (top - 0x2B0, "KSWITCHFRAME.RetAddr", d.nt_symbol("KiThreadStartup")),
        (top - 0x2AC, "SystemRoutine", routine(&d, "PspUserThreadStartup")),
        (top - 0x2A8, "StartRoutine", 0),
        (top - 0x2A4, "StartContext", thunk),
        (top - 0x2A0, "UserThread", 1),
        (frame + 0x08, "DbgArgMark", 0xBADB_0D00),
        (frame + 0x30, "SegGs", 0),
        (frame + 0x34, "SegEs", 0x23),
        (frame + 0x38, "SegDs", 0x23),
        (frame + 0x44, "Eax", program::symbol(program::ENTRY).0),
        (frame + 0x48, "PreviousPreviousMode", 1),
        (frame + 0x4C, "ExceptionList", u32::MAX),
        (frame + 0x50, "SegFs", 0x3B),
        (frame + 0x5C, "Ebx", 0),
        (frame + 0x68, "Eip", thunk),
        (frame + 0x6C, "SegCs", 0x1B),
        (frame + 0x70, "EFlags: IOPL gone, IF on", 0x200),
        (frame + 0x74, "HardwareEsp", esp),
        (frame + 0x78, "HardwareSegSs", 0x23),
    ];
    named.extend(fx_area(top));
    compare(&d, top - 0x2B8, top, &named);
}

#[test]
fn the_first_kernel_stack_of_a_system_thread() {
    let mut d = Driver::boot(0);
    d.m = Nt::new().boot().expect("boots");
    let scene = d.nt.scene(&d.m);
    let handle = scene.named.iter().find(|(name, ..)| *name == "SystemThread").expect("it is there").2;
    let (thread, _) = d.nt.object(&d.m, Owner::Init, handle).expect("init's handle");
    let top = word(&d, thread.at.0 + INITIAL_STACK);
    assert_eq!(word(&d, thread.at.0 + KERNEL_STACK), top - 0x22C);
    let mut named = vec![
        (top - 0x22C, "KSWITCHFRAME.ExceptionList", u32::MAX),
        (top - 0x228, "KSWITCHFRAME.ApcBypassDisable", 1),
        (top - 0x224, "KSWITCHFRAME.RetAddr", d.nt_symbol("KiThreadStartup")),
        (top - 0x220, "SystemRoutine", routine(&d, "PspSystemThreadStartup")),
        (top - 0x21C, "StartRoutine", routine(&d, "SystemThread")),
        (top - 0x218, "StartContext", 0),
        (top - 0x214, "UserThread", 0),
    ];
    named.extend(fx_area(top));
    compare(&d, top - 0x22C, top, &named);
}

#[test]
fn the_user_stack_at_a_new_threads_first_instruction() {
    let (mut d, thread) = new_thread();
    let frame = word(&d, thread.at.0 + INITIAL_STACK) - 0x29C;
    let (esp, eip) = (word(&d, frame + 0x74), word(&d, frame + 0x68));
    let dispatcher = d.nt_symbol("KiUserApcDispatcher");
    while d.nt.current(&d.m) != thread || d.m.cpu.next().0 != dispatcher {
        d.step_on();
    }
    let new = d.m.cpu.esp();
    assert_eq!(new, esp - 0x2E4);
    let context = new + 0x10;
    let named = [
        (new, "NormalRoutine", d.nt_symbol("LdrInitializeThunk")),
        (new + 0x4, "NormalContext", 0),
        (new + 0x8, "SystemArgument1: ntdll's base", 0x7C80_0000),
        (new + 0xC, "SystemArgument2", 0),
        (context, "ContextFlags", 0x1_0017),
        (context + 0x90, "SegFs", 0x3B),
        (context + 0x94, "SegEs", 0x23),
        (context + 0x98, "SegDs", 0x23),
        (context + 0xA4, "Ebx", 0),
        (context + 0xB0, "Eax", program::symbol(program::ENTRY).0),
        (context + 0xB8, "Eip", eip),
        (context + 0xBC, "SegCs", 0x1B),
        (context + 0xC0, "EFlags", 0x200),
        (context + 0xC4, "Esp", esp),
        (context + 0xC8, "SegSs", 0x23),
    ];
    compare(&d, new, context + 0x2CC, &named);
    // Registers are those of the CONTEXT.
    assert_eq!(d.m.cpu.reg(machine::Reg::Eax), program::symbol(program::ENTRY).0);
    assert_eq!(d.m.cpu.eflags & 0x3200, 0x200);
}

#[test]
fn a_thread_that_waits_in_a_system_call() {
    let mut s = scene(0);
    let args = [Value(0), Words(&[0, 0x8000_0000])];
    assert_eq!(s.d.call(s.worker, "NtDelayExecution", &args).0, None);
    s.d.bring(s.main);
    let d = &s.d;
    let status = d.nt.threads(&d.m).into_iter().find(|thread| thread.id == s.worker).unwrap();
    let top = word(d, s.worker.at.0 + INITIAL_STACK);
    let frame = top - 0x29C;
    let user = status.user.expect("user registers");
    for (at, name, value) in [
        (0x04, "DbgEip", user.eip),
        (0x08, "DbgArgMark", 0xBADB_0D00),
        (0x0C, "DbgArgPointer: ESP + 8", user.esp + 8),
        (0x2C, "Dr7", 0),
        (0x3C, "Edx: no previous trap frame", 0),
        (0x48, "PreviousPreviousMode", 1),
        (0x4C, "ExceptionList", u32::MAX),
        (0x50, "SegFs", 0x3B),
        (0x64, "ErrCode", 0),
        (0x68, "Eip", d.nt_symbol("KiFastSystemCallRet")),
        (0x6C, "SegCs", 0x1B),
        (0x74, "HardwareEsp", user.esp),
        (0x78, "HardwareSegSs", 0x23),
    ] {
        assert_eq!(word(d, frame + at), value, "{name}");
    }
    assert_eq!(word(d, frame + 0x70) & 0x3200, 0x200, "EFlags");
    let switch = word(d, s.worker.at.0 + KERNEL_STACK);
    assert_eq!(word(d, switch), u32::MAX, "KSWITCHFRAME.ExceptionList");
    assert_eq!(word(d, switch + 4), 0, "KSWITCHFRAME.ApcBypassDisable: the wait IRQL");
    let swap = d.nt_symbol("KiSwapContext")..d.nt_symbol("KiSwapContextInternal");
    assert!(swap.contains(&word(d, switch + 8)), "KSWITCHFRAME.RetAddr");
    // EBP, EDI, ESI and EBX, and KiSwapContext's return address and arguments behind them.
    assert_eq!(word(d, switch + 0x1C), routine(d, "KiSwapThread") + 1);
    assert_eq!([word(d, switch + 0x20), word(d, switch + 0x24)], [s.worker.at.0, 0], "OldThread, WaitIrql");
    let ebp = word(d, switch + 0xC);
    assert_eq!(word(d, ebp + 4), routine(d, "KeDelayExecutionThread") + 1, "KiSwapThread's caller");
    assert!(d.m.peek(d.m.cpu.cr3, Va(ebp), &mut [0; 4]).is_ok());
}
