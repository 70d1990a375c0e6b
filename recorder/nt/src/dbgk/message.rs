//! What a debugger is told: messages, and their form in a DBGUI_WAIT_STATE_CHANGE (nt52.md 2.17).

use crate::error::Res;
use crate::global::DATA;
use crate::ke::thread::current_process;
use crate::layout::*;
use crate::ob;
use contract::Status;
use guest::{Fault, Read, Va};
use machine::Machine;

/// Words of a message: ApiNumber, and what follows it in the union.
pub(crate) const WORDS: usize = 22;

/// CreateThread: SubSystemKey, StartAddress.
pub(crate) fn create_thread(start: u32) -> Vec<u32> {
    vec![api::CREATE_THREAD, 0, start]
}

/// CreateProcess: SubSystemKey, FileHandle, BaseOfImage, DebugInfoFileOffset, DebugInfoSize, and of the
/// first thread SubSystemKey and StartAddress. There are no files, and the image has no debug info.
pub(crate) fn create_process(m: &mut Machine, process: EProcess) -> Result<Vec<u32>, Fault> {
    let base = m.get(process.section_base_address())?.0;
    let entry = match base {
        0 => 0,
        _ => {
            let section = m.get(DATA.program_section())?;
            m.get(section.entry())?
        }
    };
    Ok(vec![api::CREATE_PROCESS, 0, 0, base, 0, 0, 0, entry])
}

/// ExitThread and ExitProcess: ExitStatus.
pub(crate) fn exit(number: u32, status: u32) -> Vec<u32> {
    vec![number, status]
}

/// LoadDll: FileHandle, BaseOfDll, DebugInfoFileOffset, DebugInfoSize, NamePointer.
pub(crate) fn load_dll(base: u32, name: u32) -> Vec<u32> {
    vec![api::LOAD_DLL, 0, base, 0, 0, name]
}

/// Exception: EXCEPTION_RECORD, FirstChance.
pub(crate) fn exception(m: &mut Machine, record: ExceptionRecord, first: bool) -> Result<Vec<u32>, Fault> {
    let mut words = vec![api::EXCEPTION];
    for index in 0..20 {
        words.push(m.load(record.code().at.add(4 * index))?);
    }
    words.push(first.into());
    Ok(words)
}

/// DbgkpConvertKernelToUserStateChange and DbgkpOpenHandles: the DBGUI_WAIT_STATE_CHANGE of an event,
/// with handles for the current process.
pub(crate) fn state_change(m: &mut Machine, event: DebugEvent) -> Res<Vec<u8>> {
    let number = m.get(event.api_msg().api_number())?;
    let mut data = [0; 21];
    for (index, word) in data.iter_mut().enumerate() {
        *word = m.load(event.api_msg().data().at.add(4 * index as u32))?;
    }
    let mut words = vec![0, m.get(event.unique_process())?, m.get(event.unique_thread())?];
    let (process, thread) = (m.get(event.process())?, m.get(event.thread())?);
    words[0] = match number {
        api::EXCEPTION if data[0] == Status::BREAKPOINT.0 => 7,
        api::EXCEPTION if data[0] == Status::SINGLE_STEP.0 => 8,
        api::EXCEPTION => 6,
        api::LOAD_DLL => 9,
        api::UNLOAD_DLL => 0xA,
        other => other + 1,
    };
    let debugger = current_process(m)?;
    let open = |m: &mut Machine, body: Va, rights: u32| ob::open_by_pointer(m, debugger, body, rights, 0);
    match number {
        api::CREATE_THREAD => words.push(open(m, thread.0, access::THREAD_ALL_ACCESS)?),
        api::CREATE_PROCESS => {
            words.push(open(m, process.0, access::PROCESS_ALL_ACCESS)?);
            words.push(open(m, thread.0, access::THREAD_ALL_ACCESS)?);
        }
        _ => {}
    }
    words.extend(data);
    words.resize(0x60 / 4, 0);
    Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
}
