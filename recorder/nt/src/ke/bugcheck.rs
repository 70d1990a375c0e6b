//! Stopping the system (nt52.md 2.21).

use crate::Nt;
use crate::global::DATA;
use crate::table::Ke;
use contract::{Flow, Frame};
use guest::{Fault, Read, Write};

pub(crate) const INVALID_PROCESS_ATTACH_ATTEMPT: u32 = 0x05;
pub(crate) const INVALID_PROCESS_DETACH_ATTEMPT: u32 = 0x06;
pub(crate) const CID_HANDLE_DELETION: u32 = 0x17;
pub(crate) const KMODE_EXCEPTION_NOT_HANDLED: u32 = 0x1E;
pub(crate) const KERNEL_APC_PENDING_DURING_EXIT: u32 = 0x20;
pub(crate) const UNEXPECTED_KERNEL_MODE_TRAP: u32 = 0x7F;
pub(crate) const INVALID_KERNEL_HANDLE: u32 = 0x93;
pub(crate) const KERNEL_STACK_LOCKED_AT_EXIT: u32 = 0x94;
pub(crate) const IRQL_UNEXPECTED_VALUE: u32 = 0xC8;
pub(crate) const ACTIVE_EX_WORKER_THREAD_TERMINATION: u32 = 0xE9;
pub(crate) const CRITICAL_PROCESS_DIED: u32 = 0xEF;
pub(crate) const CRITICAL_OBJECT_TERMINATION: u32 = 0xF4;
pub(crate) const THREAD_TERMINATE_HELD_MUTEX: u32 = 0x4000_008A;

/// The codes' names.
pub(crate) const NAMES: &[(u32, &str)] = &[
    (0x01, "APC_INDEX_MISMATCH"),
    (INVALID_PROCESS_ATTACH_ATTEMPT, "INVALID_PROCESS_ATTACH_ATTEMPT"),
    (INVALID_PROCESS_DETACH_ATTEMPT, "INVALID_PROCESS_DETACH_ATTEMPT"),
    (0x0E, "NO_USER_MODE_CONTEXT"),
    (0x16, "CID_HANDLE_CREATION"),
    (CID_HANDLE_DELETION, "CID_HANDLE_DELETION"),
    (KMODE_EXCEPTION_NOT_HANDLED, "KMODE_EXCEPTION_NOT_HANDLED"),
    (KERNEL_APC_PENDING_DURING_EXIT, "KERNEL_APC_PENDING_DURING_EXIT"),
    (0x7E, "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED"),
    (UNEXPECTED_KERNEL_MODE_TRAP, "UNEXPECTED_KERNEL_MODE_TRAP"),
    (INVALID_KERNEL_HANDLE, "INVALID_KERNEL_HANDLE"),
    (KERNEL_STACK_LOCKED_AT_EXIT, "KERNEL_STACK_LOCKED_AT_EXIT"),
    (0xB8, "ATTEMPTED_SWITCH_FROM_DPC"),
    (IRQL_UNEXPECTED_VALUE, "IRQL_UNEXPECTED_VALUE"),
    (ACTIVE_EX_WORKER_THREAD_TERMINATION, "ACTIVE_EX_WORKER_THREAD_TERMINATION"),
    (CRITICAL_PROCESS_DIED, "CRITICAL_PROCESS_DIED"),
    (CRITICAL_OBJECT_TERMINATION, "CRITICAL_OBJECT_TERMINATION"),
    (THREAD_TERMINATE_HELD_MUTEX, "THREAD_TERMINATE_HELD_MUTEX"),
];

/// Calls KeBugCheckEx, which does not return.
pub(crate) fn stop(f: &mut Frame, code: u32, [a, b, c, d]: [u32; 4]) -> Result<Flow, Fault> {
    f.call(Ke::KeBugCheckEx.at(), &[code, a, b, c, d], 15)
}

/// KeBugCheckEx(BugCheckCode, Parameter1 to 4). Of several, the first one counts.
pub(crate) fn ke_bug_check_ex(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.m.get(DATA.bugcheck_set())? == 0 {
        f.m.set(DATA.bugcheck_set(), 1)?;
        for (slot, index) in [
            (DATA.bugcheck_code(), 0),
            (DATA.bugcheck_1(), 1),
            (DATA.bugcheck_2(), 2),
            (DATA.bugcheck_3(), 3),
            (DATA.bugcheck_4(), 4),
        ] {
            let value = f.arg(index)?;
            f.m.set(slot, value)?;
        }
    }
    Ok(Flow::Jump(nt.code.kernel.symbol("KiBugCheckHalt")))
}
