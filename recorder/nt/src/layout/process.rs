//! KPROCESS and EPROCESS (nt52.md 2.8, 2.9).

use super::{DebugObject, DispatcherHeader, HandleTable};
use guest::{ListEntry, Va, guest_struct};

guest_struct! {
    /// KPROCESS.
    pub(crate) struct KProcess [0x78] {
        0x00 header: in DispatcherHeader,
        0x10 profile_list_head: in ListEntry,
        0x18 directory_table_base as "DirectoryTableBase[0]": u32,
        0x1C hyperspace_table_base as "DirectoryTableBase[1]": u32,
        0x30 iopm_offset: u16,
        0x32 iopl: u8,
        0x34 active_processors: u32,
        0x38 kernel_time: u32,
        0x3C user_time: u32,
        0x40 ready_list_head: in ListEntry,
        0x50 thread_list_head: in ListEntry,
        0x5C affinity: u32,
        0x60 process_flags: u32,
        0x64 base_priority: i8,
        0x65 quantum_reset: i8,
        0x66 state: u8,
        0x6C stack_count: u32,
        0x70 process_list_entry: in ListEntry,
    }
}

guest_struct! {
    /// EPROCESS.
    pub(crate) struct EProcess [0x278] {
        0x000 pcb: in KProcess,
        0x078 process_lock: u32,
        0x080 create_time: u64,
        0x088 exit_time: u64,
        0x090 rundown_protect: u32,
        0x094 unique_process_id: u32,
        0x098 active_process_links: in ListEntry,
        0x0CC debug_port: Option<DebugObject>,
        0x0D0 exception_port: Va,
        0x0D4 object_table: Option<HandleTable>,
        0x0D8 token: Va,
        0x124 section_object: Va,
        0x128 section_base_address: Va,
        0x138 inherited_from as "InheritedFromUniqueProcessId": u32,
        0x164 image_file_name: [u8; 16],
        0x180 thread_list_head: in ListEntry,
        0x188 security_port: u32,
        0x190 active_threads: u32,
        0x194 granted_access: u32,
        0x198 default_hard_error_processing: u32,
        0x19C last_thread_exit_status: u32,
        0x1A0 peb: Va,
        0x240 flags: u32,
        0x244 exit_status: u32,
        0x24C priority_class: u8,
        0x250 vad_root: Va,
    }
}

impl KProcess {
    /// The EPROCESS around this KPROCESS.
    pub(crate) fn process(self) -> EProcess {
        EProcess(self.0)
    }
}

/// PS_PROCESS_FLAGS.
pub(crate) mod process_flags {
    pub(crate) const CREATE_REPORTED: u32 = 0x0000_0001;
    pub(crate) const NO_DEBUG_INHERIT: u32 = 0x0000_0002;
    pub(crate) const PROCESS_EXITING: u32 = 0x0000_0004;
    pub(crate) const PROCESS_DELETE: u32 = 0x0000_0008;
    pub(crate) const VM_DELETED: u32 = 0x0000_0020;
    pub(crate) const BREAK_ON_TERMINATION: u32 = 0x0000_2000;
    pub(crate) const HAS_ADDRESS_SPACE: u32 = 0x0004_0000;
    pub(crate) const IMAGE_NOTIFY_DONE: u32 = 0x0040_0000;
}
