//! Win32's CreateProcess up to the first thread (nt52.md 3.3 steps 1 to 3).

use super::service;
use crate::Nt;
use crate::layout::{Peb, access};
use crate::ob::CURRENT_PROCESS;
use crate::ps::process::INHERIT_HANDLES;
use contract::{Flow, Frame, Status};
use guest::{Fault, Pointer, Va, Write};

/// Locals: the section and process handles, the status, the parameter block and its size, and
/// PROCESS_BASIC_INFORMATION.
const SECTION: u8 = 0;
const PROCESS: u8 = 1;
const STATUS: u8 = 2;
const BASE: u8 = 3;
const SIZE: u8 = 4;
const BASIC: (u8, u8) = (5, 6);
/// Bytes in PROCESS_BASIC_INFORMATION, and PebBaseAddress in it.
const BASIC_SIZE: u32 = 0x18;
const PEB_BASE_ADDRESS: u32 = 4;
const COMMIT_AND_RESERVE: u32 = 0x3000;
const READWRITE: u32 = 4;

/// CreateProcess(OUT HANDLE *Process). The process parameters are one page of zeroes: no program here
/// looks at them.
pub(crate) fn create_process(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    create(nt, f, 0)
}

/// CreateProcessInherit(OUT HANDLE *Process): the same with bInheritHandles.
pub(crate) fn create_process_inherit(nt: &Nt, f: &mut Frame) -> Result<Flow, Fault> {
    create(nt, f, INHERIT_HANDLES)
}

fn create(nt: &Nt, f: &mut Frame, flags: u32) -> Result<Flow, Fault> {
    let (section_at, process_at, base_at, size_at) =
        (f.local_at(SECTION).0, f.local_at(PROCESS).0, f.local_at(BASE).0, f.local_at(SIZE).0);
    let basic = f.block(BASIC.0, BASIC.1);
    let result = Status(f.result());
    let process = f.local(PROCESS)?;
    let stage = f.stage;
    match stage {
        0 => service(nt, f, "NtOpenSection", &[section_at, access::SECTION_ALL_ACCESS, 0], 1),
        1 if !result.is_success() => Ok(Flow::Return(result.0)),
        1 => {
            let section = f.local(SECTION)?;
            let all = access::PROCESS_ALL_ACCESS;
            let args = [process_at, all, 0, CURRENT_PROCESS, flags, section, 0, 0, 0];
            service(nt, f, "NtCreateProcessEx", &args, 2)
        }
        2 => {
            f.set_local(STATUS, result.0)?;
            let section = f.local(SECTION)?;
            service(nt, f, "NtClose", &[section], 3)
        }
        3 if !Status(f.local(STATUS)?).is_success() => Ok(Flow::Return(f.local(STATUS)?)),
        3 => service(nt, f, "NtQueryInformationProcess", &[process, 0, basic.0, BASIC_SIZE, 0], 4),
        4..=6 if !result.is_success() => {
            f.set_local(STATUS, result.0)?;
            service(nt, f, "NtTerminateProcess", &[process, result.0], 7)
        }
        4 => {
            f.set_local(SIZE, machine::PAGE)?;
            let args = [process, base_at, 0, size_at, COMMIT_AND_RESERVE, READWRITE];
            service(nt, f, "NtAllocateVirtualMemory", &args, 5)
        }
        5 => {
            let peb = Peb::at(guest::Read::load(f.m, basic.add(PEB_BASE_ADDRESS))?);
            let args = [process, peb.process_parameters().at.0, base_at, 4, 0];
            service(nt, f, "NtWriteVirtualMemory", &args, 6)
        }
        6 => {
            let out = Va(f.arg(0)?);
            f.m.store(out, process)?;
            Ok(Flow::Return(Status::SUCCESS.0))
        }
        7 => service(nt, f, "NtClose", &[process], 8),
        _ => Ok(Flow::Return(f.local(STATUS)?)),
    }
}
