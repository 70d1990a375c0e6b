//! Raising exceptions from ntdll: RtlRaiseStatus, and the exception that NtClose has a debugged
//! process raise (nt52.md 5.8, 12.2).

use super::{service, teb};
use crate::Nt;
use crate::ke::exception;
use crate::layout::ExceptionRecord;
use contract::context::{self, Context};
use contract::{Flow, Frame};
use guest::{Fault, Pointer, Read, Slot, Va, Write};
use machine::{Reg, Seg};

/// Locals: the EXCEPTION_RECORD, and below it the CONTEXT.
const RECORD: (u8, u8) = (0, 20);
const CONTEXT: (u8, u8) = (20, 179);
const _: () = assert!(CONTEXT.1 as u32 * 4 == context::SIZE);
const _: () = assert!(RECORD.1 as u32 * 4 == ExceptionRecord::EXTENT);

/// RtlRaiseStatus(Status): noncontinuable.
pub(crate) fn rtl_raise_status(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let status = f.arg(0)?;
    raise(nt, f, status)
}

/// RtlRaiseUserException(): the code is in the TEB, the address is where it returns to.
pub(crate) fn rtl_raise_user_exception(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    if f.stage != 0 {
        return Ok(Flow::Return(f.result()));
    }
    let teb = teb(f.m);
    let code = f.m.get(teb.exception_code())?;
    raise(nt, f, code)
}

/// NtRaiseException with the caller's registers as they will be when the routine has returned.
fn raise(nt: &Nt, f: &mut Frame, code: u32) -> Result<Flow, Fault> {
    let ebp = Va(f.m.cpu.reg(Reg::Ebp));
    let (saved, back): (u32, u32) = (f.m.load(ebp)?, f.m.load(ebp.add(4))?);
    let esp = ebp.0 + 8 + 4 * u32::from(f.info().params);
    let (record, at) = (f.block(RECORD.0, RECORD.1), f.block(CONTEXT.0, CONTEXT.1));
    exception::write(f.m, record, &exception::Record { code, address: back, information: Vec::new() })?;
    let to = Context::at(at);
    let cpu = f.m.cpu.clone();
    let selector = |seg: Seg| u32::from(cpu.seg(seg).selector);
    let fields: [(Slot<u32>, u32); 17] = [
        (to.context_flags(), context::FULL),
        (to.seg_gs(), selector(Seg::Gs)),
        (to.seg_fs(), selector(Seg::Fs)),
        (to.seg_es(), selector(Seg::Es)),
        (to.seg_ds(), selector(Seg::Ds)),
        (to.edi(), cpu.reg(Reg::Edi)),
        (to.esi(), cpu.reg(Reg::Esi)),
        (to.ebx(), cpu.reg(Reg::Ebx)),
        (to.edx(), cpu.reg(Reg::Edx)),
        (to.ecx(), cpu.reg(Reg::Ecx)),
        (to.eax(), code),
        (to.ebp(), saved),
        (to.eip(), back),
        (to.seg_cs(), selector(Seg::Cs)),
        (to.e_flags(), cpu.eflags),
        (to.esp(), esp),
        (to.seg_ss(), selector(Seg::Ss)),
    ];
    for (slot, value) in fields {
        f.m.set(slot, value)?;
    }
    service(nt, f, "NtRaiseException", &[record.0, at.0, 1], 1)
}
