//! kernel32's part of making processes and threads (reactos.md 3.1, 3.2, 3.3).
//!
//! Left out, as 3.5 allows: paths and files (there is one program), parameters and environment, console
//! and standard handles. The header of the program's image asks for a stack of 64 KiB.

use super::{Us, kernel32, ntdll};
use crate::{ReactOs, layout::*, lpc::csrss::kind};
use contract::{
    Flow, Frame, Status,
    context::{self, Context},
    program,
};
use guest::{Read, Va, Write};
use machine::Fault;

const CURRENT_PROCESS: u32 = 0xFFFF_FFFF;
const PROCESS_ALL_ACCESS: u32 = 0x1F_0FFF;
const THREAD_ALL_ACCESS: u32 = 0x1F_03FF;
const SECTION_ALL_ACCESS: u32 = 0xF_001F;
const PAGE_READWRITE: u32 = 4;
const PAGE_EXECUTE: u32 = 0x10;
const SEC_IMAGE: u32 = 0x100_0000;
const RESERVE_COMMIT: u32 = 0x3000;
const RELEASE: u32 = 0x8000;
const PROCESS_PRIORITY_CLASS: u32 = 18;

/// StackReserve of the program's image header.
const STACK_RESERVE: u32 = 0x1_0000;
/// Flags bit 0: CREATE_SUSPENDED.
const SUSPENDED: u32 = 1;
/// Flags bit 1: the process's first thread.
const FIRST: u32 = 2;

/// A service's stub.
pub(super) fn service(name: &str) -> Va {
    ntdll().symbol(name)
}

/// CreateProcess(*Process): CreateProcessW's steps 4, 6, 7, 9, 10 and 11, and the status of step 6 that it
/// does not check.
pub(crate) fn create_process(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    make_process(f, 0)
}

/// CreateProcessInherit(*Process): the same with bInheritHandles TRUE.
pub(crate) fn create_process_inherit(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    make_process(f, 1)
}

fn make_process(f: &mut Frame, inherit: u32) -> Result<Flow, Fault> {
    const SECTION: u8 = 0;
    const PROCESS: u8 = 1;
    const STATUS: u8 = 2;
    /// The priority class, then PROCESS_BASIC_INFORMATION.
    const INFORMATION: (u8, u8) = (3, 6);
    const PROCESS_BASIC_INFORMATION: u32 = 0;
    /// Where UniqueProcessId lies in it.
    const UNIQUE_PROCESS_ID: u32 = 0x10;
    match f.stage {
        0 => {
            let place = f.local_at(SECTION).0;
            let args = [place, SECTION_ALL_ACCESS, 0, 0, PAGE_EXECUTE, SEC_IMAGE, 0];
            f.call(service("NtCreateSection"), &args, 1)
        }
        1 => {
            let (place, section) = (f.local_at(PROCESS).0, f.local(SECTION)?);
            let args = [place, PROCESS_ALL_ACCESS, 0, CURRENT_PROCESS, inherit, section, 0, 0];
            f.call(service("NtCreateProcess"), &args, 2)
        }
        2 => {
            let status = f.result();
            f.set_local(STATUS, status)?;
            let process = f.local(PROCESS)?;
            let class = f.block(INFORMATION.0, INFORMATION.1).0;
            // Answered with STATUS_NOT_IMPLEMENTED, and ignored.
            f.call(service("NtSetInformationProcess"), &[process, PROCESS_PRIORITY_CLASS, class, 2], 3)
        }
        3 => {
            let section = f.local(SECTION)?;
            f.call(service("NtClose"), &[section], 4)
        }
        4 => {
            let (process, place) = (f.local(PROCESS)?, f.block(INFORMATION.0, INFORMATION.1).0);
            let args = [process, PROCESS_BASIC_INFORMATION, place, 0x18, 0];
            f.call(service("NtQueryInformationProcess"), &args, 5)
        }
        5 => {
            let id: u32 = f.m.load(f.block(INFORMATION.0, INFORMATION.1).add(UNIQUE_PROCESS_ID))?;
            // A failure would only print a message.
            f.call(Us::CsrClientCallServer.at(), &[kind::CREATE_PROCESS, id], 6)
        }
        _ => {
            let (place, process, status) = (Va(f.arg(0)?), f.local(PROCESS)?, f.local(STATUS)?);
            f.m.store(place, process)?;
            Ok(Flow::Return(status))
        }
    }
}

// CreateThread's locals.
const BASE: u8 = 0;
const SIZE: u8 = 1;
const STATUS: u8 = 2;
const HANDLE: u8 = 3;
/// CLIENT_ID.
const CLIENT: (u8, u8) = (4, 2);
/// INITIAL_TEB.
const INITIAL: (u8, u8) = (6, 5);
/// The fake return address and the two parameters.
const TOP: (u8, u8) = (11, 3);
/// CONTEXT.
const CONTEXT: (u8, u8) = (14, 179);

/// CreateThread(Process, Flags, *Patches, Count, *Thread, *Cid): KlCreateFirstThread or
/// CreateRemoteThread, and RtlRosCreateUserThread under both (3.2, 3.3). The patches are the case's.
pub(crate) fn create_thread(_: &ReactOs, f: &mut Frame) -> Result<Flow, Fault> {
    let process = f.arg(0)?;
    match f.stage {
        // 1. The stack, reserved and committed whole.
        0 => {
            f.set_local(SIZE, STACK_RESERVE)?;
            let (base, size) = (f.local_at(BASE).0, f.local_at(SIZE).0);
            let args = [process, base, 0, size, RESERVE_COMMIT, PAGE_READWRITE];
            f.call(service("NtAllocateVirtualMemory"), &args, 1)
        }
        1 => {
            let status = f.result();
            if !Status(status).is_success() {
                return Ok(Flow::Return(status));
            }
            // 2. The context, and what the thread will find on its stack.
            initialize(f)?;
            let stack_base = f.local(BASE)? + f.local(SIZE)?;
            let top = f.block(TOP.0, TOP.1).0;
            f.call(service("NtWriteVirtualMemory"), &[process, stack_base - 12, top, 12, 0], 2)
        }
        2 => {
            let status = f.result();
            if !Status(status).is_success() {
                return release(f, status);
            }
            // 3.
            let (handle, client) = (f.local_at(HANDLE).0, f.block(CLIENT.0, CLIENT.1).0);
            let (from, initial) = (f.block(CONTEXT.0, CONTEXT.1).0, f.block(INITIAL.0, INITIAL.1).0);
            let suspended = f.arg(1)? & SUSPENDED;
            let args = [handle, THREAD_ALL_ACCESS, 0, process, client, from, initial, suspended];
            f.call(service("NtCreateThread"), &args, 3)
        }
        3 => {
            let status = f.result();
            if !Status(status).is_success() {
                // 4.
                return release(f, status);
            }
            let (thread, cid) = (Va(f.arg(4)?), Va(f.arg(5)?));
            if !thread.is_null() {
                let handle = f.local(HANDLE)?;
                f.m.store(thread, handle)?;
            }
            if !cid.is_null() {
                let ids: [u8; 8] = f.m.load(f.block(CLIENT.0, CLIENT.1))?;
                f.m.store(cid, ids)?;
            }
            Ok(Flow::Return(status))
        }
        _ => Ok(Flow::Return(f.local(STATUS)?)),
    }
}

/// RtlRosDeleteStack; the real one passes a size that was never initialised, which a release ignores.
fn release(f: &mut Frame, status: u32) -> Result<Flow, Fault> {
    f.set_local(STATUS, status)?;
    f.set_local(SIZE, 0)?;
    let (process, base, size) = (f.arg(0)?, f.local_at(BASE).0, f.local_at(SIZE).0);
    f.call(service("NtFreeVirtualMemory"), &[process, base, size, RELEASE], 4)
}

/// RtlRosInitializeContext (3.3 step 2), and the patches.
fn initialize(f: &mut Frame) -> Result<(), Fault> {
    let first = f.arg(1)? & FIRST != 0;
    let (base, size) = (Va(f.local(BASE)?), f.local(SIZE)?);
    let stack_base = base.add(size);
    // INITIAL_TEB: a fixed stack.
    let initial = InitialTeb(f.block(INITIAL.0, INITIAL.1));
    f.m.zero(initial.0, 0x14)?;
    f.m.set(initial.stack_base(), stack_base)?;
    f.m.set(initial.stack_limit(), base)?;
    let start = kernel32().symbol(if first { "BaseProcessStart" } else { "ThreadStartup" });
    let parameter = if first { PEB_BASE.0 } else { 0 };
    let top = f.block(TOP.0, TOP.1);
    for (index, value) in [DEADBEEF, program::symbol(program::ENTRY).0, parameter].into_iter().enumerate() {
        f.m.store(top.add(4 * index as u32), value)?;
    }
    let to = Context(f.block(CONTEXT.0, CONTEXT.1));
    fill_context(f.m, to, start, stack_base.sub(12))?;
    let (patches, count) = (Va(f.arg(2)?), f.arg(3)?);
    for index in 0..count.min(context::SIZE / 4) {
        let (offset, value): (u32, u32) =
            (f.m.load(patches.add(8 * index))?, f.m.load(patches.add(8 * index + 4))?);
        if offset <= context::SIZE - 4 {
            f.m.store(to.0.add(offset), value)?;
        }
    }
    Ok(())
}

/// The CONTEXT of a new thread: CONTEXT_FULL, and floating-point words that are therefore ignored.
pub(crate) fn fill_context(m: &mut machine::Machine, to: Context, eip: Va, esp: Va) -> R<()> {
    m.zero(to.0, context::SIZE)?;
    let data = u32::from(selector::USER_DS);
    let words = [
        (to.context_flags(), context::FULL),
        (to.float_control(), 0xFFFF_037F),
        (to.float_status(), 0xFFFF_0000),
        (to.float_tag(), 0xFFFF_FFFF),
        (to.float_data_selector(), 0xFFFF_0000),
        (to.eip(), eip.0),
        (to.seg_cs(), u32::from(selector::USER_CS)),
        (to.seg_ds(), data),
        (to.seg_es(), data),
        (to.seg_gs(), data),
        (to.seg_ss(), data),
        (to.seg_fs(), u32::from(selector::TEB)),
        (to.e_flags(), 0x202),
        (to.esp(), esp.0),
    ];
    for (slot, value) in words {
        m.set(slot, value)?;
    }
    Ok(())
}
