//! CreateRemoteThread, and the first thread's part of CreateProcess: the stack, the CONTEXT, and
//! NtCreateThread (nt52.md 3.3 to 3.5).

use super::{csr, service};
use crate::Nt;
use crate::layout::{InitialTeb, access};
use contract::context::{self, Context};
use contract::{Flow, Frame, Status, program};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::PAGE;

/// Arguments: Process, Flags, Patches, Count, Thread, ClientId.
mod arg {
    pub(super) const PROCESS: u8 = 0;
    pub(super) const FLAGS: u8 = 1;
    pub(super) const PATCHES: u8 = 2;
    pub(super) const COUNT: u8 = 3;
    pub(super) const THREAD: u8 = 4;
    pub(super) const CLIENT_ID: u8 = 5;
}
const SUSPENDED: u32 = 1;
const FIRST: u32 = 2;

/// Locals: the CONTEXT, the INITIAL_TEB, PROCESS_BASIC_INFORMATION, the region that is worked on, the
/// stack's base, the status, and the message to CSRSS.
const CONTEXT: (u8, u8) = (0, 179);
const INITIAL_TEB: (u8, u8) = (179, 5);
const BASIC: (u8, u8) = (184, 6);
const REGION: u8 = 190;
const REGION_SIZE: u8 = 191;
const STACK: u8 = 192;
const STATUS: u8 = 193;
const MESSAGE: u8 = 194;
const _: () = assert!(CONTEXT.1 as u32 * 4 == context::SIZE);
const _: () = assert!(INITIAL_TEB.1 as u32 * 4 == InitialTeb::EXTENT);

/// The stack: 256 KB reserved, as much as BaseCreateStack's least, and two pages committed.
const RESERVE: u32 = 0x4_0000;
const COMMIT: u32 = 2 * PAGE;
const MEM_COMMIT: u32 = 0x1000;
const MEM_RESERVE: u32 = 0x2000;
const MEM_RELEASE: u32 = 0x8000;
const PAGE_READWRITE: u32 = 4;
const PAGE_GUARD: u32 = 0x100;

/// CreateThread(Process, Flags, Patches, Count, OUT Thread, OUT ClientId).
pub(crate) fn create_thread(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (process, flags) = (f.arg(arg::PROCESS)?, f.arg(arg::FLAGS)?);
    let result = Status(f.result());
    let (region, size) = (f.local_at(REGION).0, f.local_at(REGION_SIZE).0);
    let allocate = |how, protect| [process, region, 0, size, how, protect];
    match f.stage {
        0 if flags & FIRST != 0 => {
            let basic = f.block(BASIC.0, BASIC.1);
            service(nt, f, "NtQueryInformationProcess", &[process, 0, basic.0, 0x18, 0], 1)
        }
        1 if !result.is_success() => Ok(Flow::Return(result.0)),
        0 | 1 => {
            f.set_local(REGION_SIZE, RESERVE)?;
            let args = allocate(MEM_RESERVE, PAGE_READWRITE);
            service(nt, f, "NtAllocateVirtualMemory", &args, 2)
        }
        2 if !result.is_success() => Ok(Flow::Return(result.0)),
        2 => {
            let base = f.local(REGION)?;
            f.set_local(STACK, base)?;
            f.set_local(REGION, base + RESERVE - COMMIT)?;
            f.set_local(REGION_SIZE, COMMIT)?;
            let args = allocate(MEM_COMMIT, PAGE_READWRITE);
            service(nt, f, "NtAllocateVirtualMemory", &args, 3)
        }
        3..=5 if !result.is_success() => {
            f.set_local(STATUS, result.0)?;
            let base = f.local(STACK)?;
            f.set_local(REGION, base)?;
            f.set_local(REGION_SIZE, 0)?;
            service(nt, f, "NtFreeVirtualMemory", &[process, region, size, MEM_RELEASE], 9)
        }
        3 => {
            let base = f.local(STACK)?;
            f.set_local(REGION, base + RESERVE - COMMIT - PAGE)?;
            f.set_local(REGION_SIZE, PAGE)?;
            let args = allocate(MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
            service(nt, f, "NtAllocateVirtualMemory", &args, 4)
        }
        4 => start(nt, f, process, flags),
        // The first thread is made suspended. CSRSS hears of the process, which ends when it does not take
        // it; then the thread is resumed unless it was wanted suspended.
        5 if flags & FIRST != 0 => {
            let thread = thread(f)?;
            csr::tell(f, MESSAGE, csr::Api::BasepCreateProcess, [process, thread], 6)
        }
        5 => Ok(Flow::Return(Status::SUCCESS.0)),
        6 if !result.is_success() => {
            f.set_local(STATUS, result.0)?;
            service(nt, f, "NtTerminateProcess", &[process, result.0], 8)
        }
        6 if flags & SUSPENDED == 0 => {
            let thread = thread(f)?;
            service(nt, f, "NtResumeThread", &[thread, 0], 7)
        }
        6 | 7 => Ok(Flow::Return(Status::SUCCESS.0)),
        // The process's handle is that of who called CreateProcess, which is a call of its own here.
        8 => {
            let thread = thread(f)?;
            service(nt, f, "NtClose", &[thread], 9)
        }
        _ => Ok(Flow::Return(f.local(STATUS)?)),
    }
}

/// The handle of the thread that NtCreateThread has made.
fn thread(f: &mut Frame) -> Result<u32, Fault> {
    let at = Va(f.arg(arg::THREAD)?);
    f.m.load(at)
}

/// BaseInitializeContext, the case's patches, and NtCreateThread.
fn start(nt: &Nt, f: &mut Frame, process: u32, flags: u32) -> Result<Flow, Fault> {
    let first = flags & FIRST != 0;
    let base = f.local(STACK)?;
    let peb: u32 = f.m.load(f.block(BASIC.0, BASIC.1).add(4))?;
    let (context, teb) = (f.block(CONTEXT.0, CONTEXT.1), f.block(INITIAL_TEB.0, INITIAL_TEB.1));
    let initial = InitialTeb::at(teb);
    f.m.set(initial.stack_base(), base + RESERVE)?;
    f.m.set(initial.stack_limit(), base + RESERVE - COMMIT)?;
    f.m.set(initial.allocated_stack_base(), base)?;
    let raw = initial_context(nt, first, base + RESERVE, if first { peb } else { 0 });
    f.m.put(context, &raw)?;
    let (patches, count) = (Va(f.arg(arg::PATCHES)?), f.arg(arg::COUNT)?);
    for index in 0..count {
        let at = patches.add(8 * index);
        let (offset, value): (u32, u32) = (f.m.load(at)?, f.m.load(at.add(4))?);
        if offset <= context::SIZE - 4 {
            f.m.store(context.add(offset), value)?;
        }
    }
    let suspended = u32::from(first || flags & SUSPENDED != 0);
    let (thread_at, ids_at) = (f.arg(arg::THREAD)?, f.arg(arg::CLIENT_ID)?);
    let all = access::THREAD_ALL_ACCESS;
    let args = [thread_at, all, 0, process, ids_at, context.0, teb.0, suspended];
    service(nt, f, "NtCreateThread", &args, 5)
}

/// BaseInitializeContext: type 0 for a process's first thread, else type 1; the rest is zero.
pub(crate) fn initial_context(nt: &Nt, first: bool, stack_base: u32, parameter: u32) -> Vec<u8> {
    let mut raw = vec![0; context::SIZE as usize];
    let layout = Context::at(Va(0));
    let thunk = if first { "BaseProcessStartThunk" } else { "BaseThreadStartThunk" };
    for (slot, value) in [
        (layout.context_flags(), context::FULL),
        (layout.eax(), program::symbol(program::ENTRY).0),
        (layout.ebx(), parameter),
        (layout.esp(), stack_base - 4),
        (layout.eip(), nt.code.kernel32.symbol(thunk).0),
        (layout.seg_cs(), 0x18),
        (layout.seg_ds(), 0x20),
        (layout.seg_es(), 0x20),
        (layout.seg_fs(), 0x38),
        (layout.seg_ss(), 0x20),
        (layout.e_flags(), 0x3000),
    ] {
        let at = slot.at.0 as usize;
        raw[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    raw
}

/// The size of a first thread's stack, for the one thread that nobody's CreateThread makes.
pub(crate) const INITIAL_STACK: (u32, u32) = (RESERVE, COMMIT);
