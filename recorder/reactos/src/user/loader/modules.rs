//! The modules of a process: ntdll, two DLLs and the program.
//!
//! The second DLL stands for whatever else a program is linked to, so that there is an order to see. The
//! entry points are native routines in kernel32's pages; the second DLL has no pages of its own.

use crate::{ReactOs, layout::*, user::Us};
use contract::{Flow, Frame, program};
use guest::{Va, Write};
use machine::{Fault, Machine};

/// LDRP flags, as they are documented.
pub(super) mod flag {
    pub(crate) const UNLOAD_IN_PROGRESS: u32 = 0x1000;
    pub(crate) const ENTRY_PROCESSED: u32 = 0x4000;
    pub(crate) const DONT_CALL_FOR_THREAD: u32 = 0x4_0000;
    pub(crate) const PROCESS_ATTACH_CALLED: u32 = 0x8_0000;
}

/// LoadCount of a module that is there as long as the process.
pub(super) const FIXED: i16 = -1;

/// Where the second DLL is said to be.
const MSVCRT: Va = Va(0x7800_0000);

/// Base, entry point and size, in load order. All but the program are in the initialisation order too.
fn table() -> [(Va, Va, u32); 4] {
    [
        (NTDLL, Va(0), 2 * GRANULARITY),
        (KERNEL32, Us::Kernel32DllMain.at(), 2 * GRANULARITY),
        (MSVCRT, Us::MsvcrtDllMain.at(), GRANULARITY),
        (program::BASE, Va(0), program::SIZE),
    ]
}

/// Makes the entries of every module. All are linked to the program, so none can be unloaded.
pub(super) fn list(m: &mut Machine, peb: Peb) -> R<()> {
    let data = peb.ldr_data();
    for head in [data.load_order(), data.memory_order(), data.initialization_order()] {
        head.init(m)?;
    }
    for (index, (base, entry, size)) in table().into_iter().enumerate() {
        let module = peb.module(index as u32);
        m.set(module.base(), base)?;
        m.set(module.entry_point(), entry)?;
        m.set(module.size(), size)?;
        m.set(module.flags(), 0)?;
        m.set(module.load_count(), FIXED)?;
        data.load_order().push_back(m, module.load_link())?;
        data.memory_order().push_back(m, module.memory_link())?;
        if base != program::BASE {
            data.initialization_order().push_back(m, module.initialization_link())?;
        }
    }
    Ok(())
}

/// DllMain(Instance, Reason, Reserved) of a DLL that has nothing to do: TRUE.
pub(crate) fn dll_main(_: &ReactOs, _: &mut Frame) -> Result<Flow, Fault> {
    Ok(Flow::Return(1))
}
