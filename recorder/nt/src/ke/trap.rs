//! Traps: what a fault in user or kernel mode comes to (nt52.md 6.5, 10.12).

use super::{bugcheck, context, exception, exception::Record};
use crate::Nt;
use crate::global::USER_PROBE;
use crate::layout::*;
use crate::mm::access::{self, Fixed};
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Read, Va, Write};
use machine::Machine;
use machine::registers::flags;

const STATUS_GUARD_PAGE_VIOLATION: u32 = 0x8000_0001;
const STATUS_ARRAY_BOUNDS_EXCEEDED: u32 = 0xC000_008C;
const STATUS_INTEGER_OVERFLOW: u32 = 0xC000_0095;
const STATUS_FLOAT_DIVIDE_BY_ZERO: u32 = 0xC000_008E;
const STATUS_FLOAT_INVALID_OPERATION: u32 = 0xC000_0090;

/// KiTrapDispatch(TrapFrame, Vector, Cr2): the trap frame through which the trap returns.
pub(crate) fn ki_trap_dispatch(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    let (frame, vector, cr2) = (f.arg_ptr::<KTrapFrame>(0)?, f.arg(1)?, f.arg(2)?);
    if f.stage != 0 {
        return Ok(Flow::Return(f.local(0)?));
    }
    f.set_local(0, frame.va().0)?;
    let user = f.m.get(frame.seg_cs())? & 1 != 0;
    let fixed = match vector {
        PAGE_FAULT => access::resolve(f.m, Va(cr2))?,
        _ => Fixed::No,
    };
    let special = match fixed {
        Fixed::No => None,
        Fixed::Overflow if user => Some(Status::STACK_OVERFLOW.0),
        Fixed::Guard if user => Some(STATUS_GUARD_PAGE_VIOLATION),
        _ => return Ok(Flow::Return(frame.va().0)),
    };
    if user {
        let mut record = user_record(f.m, frame, vector, cr2)?;
        record.code = special.unwrap_or(record.code);
        return exception::raise(f, frame, &record, 1);
    }
    kernel_trap(nt, f, frame, vector, cr2)
}

const DEBUG: u32 = 1;
const BREAKPOINT: u32 = 3;
const GENERAL_PROTECTION: u32 = 13;
const PAGE_FAULT: u32 = 14;

/// A trap in kernel mode. Four are expected: arguments of a system call that cannot be read, the
/// return to user mode with selectors that the processor does not take, data segments that a program has
/// spoilt, and a debug trap.
fn kernel_trap(nt: &Nt, f: &mut Frame, frame: KTrapFrame, vector: u32, cr2: u32) -> Result<Flow, Fault> {
    let symbol = |name| nt.code.kernel.symbol(name).0;
    let eip = f.m.get(frame.eip())?;
    if vector == DEBUG {
        return Ok(Flow::Return(frame.va().0));
    }
    if vector == GENERAL_PROTECTION && has_foreign_data_segments(f.m, frame)? {
        return Ok(Flow::Return(frame.va().0));
    }
    if vector == PAGE_FAULT && cr2 < USER_PROBE && eip == symbol("KiSystemServiceCopyArguments") {
        f.m.set(frame.eip(), symbol("KiSystemServicePostCall"))?;
        f.m.set(frame.eax(), Status::ACCESS_VIOLATION.0)?;
        return Ok(Flow::Return(frame.va().0));
    }
    if (symbol("KiRestoreForUser")..=symbol("KiReturnToUser")).contains(&eip) {
        let user = restore_user_frame(f.m, frame)?;
        f.set_local(0, user.va().0)?;
        let address = f.m.get(user.eip())?;
        let record = Record { code: Status::ACCESS_VIOLATION.0, address, information: vec![0, u32::MAX] };
        return exception::raise(f, user, &record, 1);
    }
    let code = match vector {
        PAGE_FAULT => Status::ACCESS_VIOLATION.0,
        _ => return bugcheck::stop(f, bugcheck::UNEXPECTED_KERNEL_MODE_TRAP, [vector, eip, 0, 0]),
    };
    let write = f.m.get(frame.err_code())? >> 1 & 1;
    bugcheck::stop(f, bugcheck::KMODE_EXCEPTION_NOT_HANDLED, [code, eip, write, cr2])
}

/// Whether the kernel ran with another DS or ES than its own. System call entry relies on user mode's
/// (nt52.md 6.7), where a program may have put anything; the sheet does not say what comes of it. Trap
/// entry has loaded the flat ones, so that the instruction can be tried again.
fn has_foreign_data_segments(m: &mut Machine, frame: KTrapFrame) -> Result<bool, Fault> {
    let flat = u32::from(selector::R3_DATA);
    Ok(m.get(frame.seg_ds())? & 0xFFFF != flat || m.get(frame.seg_es())? & 0xFFFF != flat)
}

/// The exit path has faulted while it restored the registers of user mode, and the trap's own frame
/// lies over the part of the user-mode frame that was used up. The registers that had been restored
/// are in the trap's frame; those that had not are still in the user-mode frame, as the restore runs
/// up through it. The selectors at fault give way to those of flat code. The sheet is silent here.
fn restore_user_frame(m: &mut Machine, trap: KTrapFrame) -> Result<KTrapFrame, Fault> {
    let thread = super::thread::current(m)?.tcb();
    let user = KThread::user_frame(m.get(thread.initial_stack())?);
    // Where ESP stood: the trap pushed EFLAGS, CS and EIP below it.
    let popped = trap.hardware_esp().at.0 - user.va().0;
    let mut values = Vec::new();
    for (from, to) in [
        (trap.edx(), user.edx()),
        (trap.ecx(), user.ecx()),
        (trap.eax(), user.eax()),
        (trap.edi(), user.edi()),
        (trap.esi(), user.esi()),
        (trap.ebx(), user.ebx()),
        (trap.ebp(), user.ebp()),
    ] {
        let done = to.at.0 - user.va().0 < popped;
        values.push((to, m.get(if done { from } else { to })?));
    }
    for (to, value) in values {
        m.set(to, value)?;
    }
    m.set(user.dr7(), 0)?;
    m.set(user.dbg_arg_mark(), DBG_ARG_MARK)?;
    m.set(user.previous_previous_mode(), USER)?;
    m.set(user.exception_list(), u32::MAX)?;
    context::canonical_selectors(m, user)?;
    Ok(user)
}

/// What a trap in user mode is called. A breakpoint's record has one parameter, 0 for INT 3: the sheet gives
/// no count, and what else a kernel may leave there says nothing about the breakpoint.
fn user_record(m: &mut Machine, frame: KTrapFrame, vector: u32, cr2: u32) -> Result<Record, Fault> {
    let mut address = m.get(frame.eip())?;
    let error = m.get(frame.err_code())?;
    let plain = |code| (code, Vec::new());
    let violation = || (Status::ACCESS_VIOLATION.0, vec![0, u32::MAX]);
    let (code, information) = match vector {
        0 => plain(Status::INTEGER_DIVIDE_BY_ZERO.0),
        DEBUG => {
            let eflags = m.get(frame.e_flags())?;
            m.set(frame.e_flags(), eflags & !flags::TF)?;
            plain(Status::SINGLE_STEP.0)
        }
        BREAKPOINT => {
            address -= 1;
            m.set(frame.eip(), address)?;
            (Status::BREAKPOINT.0, vec![0])
        }
        4 => plain(STATUS_INTEGER_OVERFLOW),
        5 => plain(STATUS_ARRAY_BOUNDS_EXCEEDED),
        6 => plain(Status::ILLEGAL_INSTRUCTION.0),
        GENERAL_PROTECTION if is_privileged(m, address) => plain(Status::PRIVILEGED_INSTRUCTION.0),
        PAGE_FAULT => (Status::ACCESS_VIOLATION.0, vec![error >> 1 & 1, cr2]),
        16 => (float_code(m), vec![0]),
        _ => violation(),
    };
    Ok(Record { code, address, information })
}

/// The status for what the x87 reports first: a division by zero, or else an invalid operation. Of the
/// flags only those count that the control word does not mask: a masked one has been dealt with when it
/// came up, and stays set. (The sheet is silent.)
fn float_code(m: &Machine) -> u32 {
    match m.cpu.fpu.status & !m.cpu.fpu.control & 0x3F {
        status if status & 1 == 0 && status & 4 != 0 => STATUS_FLOAT_DIVIDE_BY_ZERO,
        _ => STATUS_FLOAT_INVALID_OPERATION,
    }
}

/// Whether a #GP came from an instruction that ring 3 may not execute.
fn is_privileged(m: &mut Machine, eip: u32) -> bool {
    let mut byte = |at: u32| m.load::<u8>(Va(eip).add(at)).unwrap_or(0);
    match byte(0) {
        // HLT, CLI, STI, IN and OUT.
        0xF4 | 0xFA | 0xFB | 0xE4..=0xE7 | 0xEC..=0xEF | 0x6C..=0x6F => true,
        // LLDT, LTR, LGDT, LIDT, LMSW, CLTS, INVD, WBINVD, MOV CR and DR, WRMSR, RDMSR.
        0x0F => matches!(byte(1), 0x00 | 0x01 | 0x06 | 0x08 | 0x09 | 0x20..=0x23 | 0x30 | 0x32),
        _ => false,
    }
}
