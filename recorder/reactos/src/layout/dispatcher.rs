//! What can be waited for, and what a wait is made of (reactos.md 2.1, 2.8).

use crate::layout::EThread;
use guest::{ListEntry, Va, guest_struct};

/// Type codes in a dispatcher header (2.1); they are not the NT object numbers.
pub(crate) mod kind {
    pub(crate) const NOTIFICATION_EVENT: u8 = 0xCD;
    pub(crate) const SYNCHRONIZATION_EVENT: u8 = 0xCE;
    pub(crate) const SEMAPHORE: u8 = 0xCF;
    pub(crate) const PROCESS: u8 = 0xD0;
    pub(crate) const THREAD: u8 = 0xD1;
    pub(crate) const MUTEX: u8 = 0xD5;
    pub(crate) const NOTIFICATION_TIMER: u8 = 0xD6;
    pub(crate) const SYNCHRONIZATION_TIMER: u8 = 0xD7;
}

guest_struct! {
    /// DISPATCHER_HEADER; a KEVENT is nothing more.
    pub(crate) struct Header [0x10] {
        0x00 kind as "Type": u8,
        0x01 absolute: u8,
        0x02 size: u8,
        0x03 inserted: u8,
        0x04 signal_state: i32,
        0x08 wait_list_head: in ListEntry,
    }
}

guest_struct! {
    /// KTIMER. Flink of the list entry is null while the timer is idle.
    pub(crate) packed struct KTimer [0x28] {
        0x00 header: in Header,
        0x10 due_time: u64,
        0x18 timer_list_entry: in ListEntry,
        0x20 dpc: u32,
        0x24 period: u32,
    }
}

guest_struct! {
    /// KSEMAPHORE.
    pub(crate) packed struct KSemaphore [0x14] {
        0x00 header: in Header,
        0x10 limit: i32,
    }
}

guest_struct! {
    /// KMUTANT.
    pub(crate) struct KMutant [0x20] {
        0x00 header: in Header,
        0x10 mutant_list_entry: in ListEntry,
        0x18 owner_thread: Option<EThread>,
        0x1C abandoned: u8,
        0x1D apc_disable: u8,
    }
}

guest_struct! {
    /// KWAIT_BLOCK: NULL terminated, not circular.
    pub(crate) packed struct KWaitBlock [0x18] {
        0x00 wait_list_entry: in ListEntry,
        0x08 thread: EThread,
        0x0C object: Header,
        0x10 next_wait_block: Option<KWaitBlock>,
        0x14 wait_key: u16,
        0x16 wait_type: u16,
    }
}

/// Wait type: all objects at once.
pub(crate) const WAIT_ALL: u32 = 0;
/// Wait type: the first object that is signaled.
pub(crate) const WAIT_ANY: u32 = 1;

guest_struct! {
    /// FAST_MUTEX.
    pub(crate) struct FastMutex [0x20] {
        0x00 count: i32,
        0x04 owner: Option<EThread>,
        0x08 contention: u32,
        0x0C event: in Header,
        0x1C old_irql: u32,
    }
}

guest_struct! {
    /// KAPC, packed on two bytes.
    pub(crate) packed struct KApc [0x30] {
        0x00 kind as "Type": u16,
        0x02 size: u16,
        0x08 thread: EThread,
        0x0C apc_list_entry: in ListEntry,
        0x14 kernel_routine: Va,
        0x18 rundown_routine: Va,
        0x1C normal_routine: Va,
        0x20 normal_context: u32,
        0x24 system_argument1: u32,
        0x28 system_argument2: u32,
        0x2C apc_state_index: u8,
        0x2D apc_mode: u8,
        0x2E inserted: u8,
    }
}

/// KAPC.Type.
pub(crate) const APC_TYPE: u16 = 18;
