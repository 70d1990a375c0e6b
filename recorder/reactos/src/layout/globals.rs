//! The kernel's global variables, all of them in guest memory.

use crate::layout::*;
use guest::{ListEntry, Va, guest_struct};

guest_struct! {
    /// Global variables. The names are the sheet's; the places are ours.
    pub(crate) struct Globals [0x600] {
        /// PriorityListHead[0]; 31 more follow.
        0x000 priority_list_head: in ListEntry,
        0x100 priority_list_mask: u32,
        0x108 process_list_head: in ListEntry,
        0x110 cid_head: in ListEntry,
        0x118 cid_counter: u32,
        0x11C next_process_id: u32,
        0x120 timer_list_head: in ListEntry,
        0x128 threads_to_reap: in ListEntry,
        0x130 nr_threads_awaiting_reaping: u32,
        0x134 system_process: EProcess,
        0x138 init_process: EProcess,
        0x13C init_thread: EThread,
        0x140 system_thread: EThread,
        0x144 section: Va,
        0x148 system_handle: u32,
        0x14C system_thread_handle: u32,
        0x150 section_handle: u32,
        0x160 suspend_mutex: in FastMutex,
        0x180 reaper_event: in Header,
        /// What the thread that cases aim at waits for.
        0x190 never_event: in Header,
        /// The first of the object types.
        0x1A0 object_types: in ObjectType,
        0x240 pool_next_serial: u32,
        0x244 pool_next_free: u32,
        /// Where the never used part of the pool begins.
        0x248 pool_end: Va,
        /// Where the mapped part ends.
        0x24C pool_mapped: Va,
        /// 1 once the system has stopped.
        0x280 bugcheck_active: u32,
        0x284 bugcheck_code: u32,
        0x288 bugcheck_1: u32,
        0x28C bugcheck_2: u32,
        0x290 bugcheck_3: u32,
        0x294 bugcheck_4: u32,
        /// Four slots of the recorder's.
        0x2A0 pool_faults: Va,
        0x2E0 page_hint: u32,
        0x2E4 stack_hint: u32,
        /// Frames of the program's header and code pages, shared by every process.
        0x2E8 program_header: u32,
        0x2EC program_code: u32,
        0x2F0 shared_data: u32,
        /// Frames of the system DLLs' pages: base address and frame, ended by a null base.
        0x300 dll_pages: Va,
        /// Set by a tick that finds a timer due: the timer DPC is queued.
        0x4F0 timer_dpc: u32,
        /// The first of eight process notify routines.
        0x500 process_notify: Va,
        /// The first of eight thread notify routines.
        0x520 thread_notify: Va,
        /// The test driver's own: how often its notify routines were told of a process or thread that
        /// began (0 and 2) or ended (1 and 3), a doubleword each.
        0x540 driver_notifications: u32,
        /// The test driver's own: how many of its normal APC routines ran, and with how many of them the
        /// NormalContext was the one that was queued.
        0x550 driver_apcs: u32,
        0x554 driver_apc_contexts: u32,
        /// The test driver's own: normal APCs between their kernel routine and their normal routine.
        0x558 driver_fired: in ListEntry,
        /// What CSRSS knows of processes.
        0x560 csr_processes: in ListEntry,
    }
}

/// The global variables.
pub(crate) const G: Globals = Globals(GLOBALS);
/// The processor's control region.
pub(crate) const PCR: Kpcr = Kpcr(KPCR);
/// The task state segment.
pub(crate) const THE_TSS: Ktss = Ktss(TSS);
/// The kernel's view of the shared page.
pub(crate) const SHARED: SharedData = SharedData(KI_USER_SHARED_DATA);

impl Globals {
    /// `PriorityListHead[priority]`.
    pub(crate) fn ready(self, priority: u32) -> ListEntry {
        ListEntry(self.0.add(8 * (priority & 31)))
    }
    /// The object type of that kind.
    pub(crate) fn object_type(self, kind: Type) -> ObjectType {
        ObjectType(self.object_types().0.add(0x10 * kind as u32))
    }
    /// The doublewords of a row of the DLL page table: base and frame.
    pub(crate) fn dll_page(self, index: u32) -> (guest::Slot<u32>, guest::Slot<u32>) {
        let at = self.dll_pages().at.add(8 * index);
        (guest::Slot::new(at), guest::Slot::new(at.add(4)))
    }
}
