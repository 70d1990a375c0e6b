//! Debug objects and events (nt52.md 2.17).

use super::{DispatcherHeader, EProcess, EThread};
use guest::{ListEntry, guest_struct};

guest_struct! {
    /// DEBUG_OBJECT.
    pub(crate) struct DebugObject [0x3C] {
        0x00 events_present: in DispatcherHeader,
        0x30 event_list: in ListEntry,
        0x38 flags: u32,
    }
}
guest_struct! {
    /// DEBUG_EVENT.
    pub(crate) struct DebugEvent [0xA8] {
        0x00 event_list: in ListEntry,
        0x08 continue_event: in DispatcherHeader,
        0x18 unique_process as "ClientId.UniqueProcess": u32,
        0x1C unique_thread as "ClientId.UniqueThread": u32,
        0x20 process: EProcess,
        0x24 thread: EThread,
        0x28 status: u32,
        0x2C flags: u32,
        0x30 backout_thread: Option<EThread>,
        0x34 api_msg: in DbgkmMsg,
    }
}
guest_struct! {
    /// DBGKM_MSG.
    pub(crate) struct DbgkmMsg [0x74] {
        0x18 api_number: u32,
        0x1C returned_status: u32,
        0x20 data: u32,
    }
}

/// DEBUG_OBJECT.Flags.
pub(crate) mod debug_object {
    pub(crate) const DEBUGGER_INACTIVE: u32 = 1;
    pub(crate) const KILL_PROCESS_ON_EXIT: u32 = 2;
}
/// DEBUG_EVENT.Flags.
pub(crate) mod debug_event {
    pub(crate) const READ: u32 = 0x01;
    pub(crate) const NOWAIT: u32 = 0x02;
    pub(crate) const INACTIVE: u32 = 0x04;
    pub(crate) const RELEASE: u32 = 0x08;
    pub(crate) const PROTECT_FAILED: u32 = 0x10;
    pub(crate) const SUSPEND: u32 = 0x20;
}
/// ApiNumber.
pub(crate) mod api {
    pub(crate) const EXCEPTION: u32 = 0;
    pub(crate) const CREATE_THREAD: u32 = 1;
    pub(crate) const CREATE_PROCESS: u32 = 2;
    pub(crate) const EXIT_THREAD: u32 = 3;
    pub(crate) const EXIT_PROCESS: u32 = 4;
    pub(crate) const LOAD_DLL: u32 = 5;
    pub(crate) const UNLOAD_DLL: u32 = 6;
}
