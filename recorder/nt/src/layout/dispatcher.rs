//! Dispatcher objects, wait blocks and APCs (nt52.md 2.1, 2.6, 2.16).

use super::KThread;
use guest::{ListEntry, Va, guest_enum, guest_struct};

guest_enum! {
    /// KOBJECTS.
    pub(crate) enum KObject: u8 {
        EventNotification = 0, EventSynchronization = 1, Mutant = 2, Process = 3, Semaphore = 5,
        Thread = 6, TimerNotification = 8, TimerSynchronization = 9,
    }
}

guest_struct! {
    /// DISPATCHER_HEADER; a KEVENT is nothing but one.
    pub(crate) struct DispatcherHeader [0x10] {
        0x00 kind as "Type": KObject,
        0x01 absolute: u8,
        0x02 size: u8,
        0x03 inserted: u8,
        0x04 signal_state: i32,
        0x08 wait_list_head: in ListEntry,
    }
}
guest_struct! {
    /// KSEMAPHORE.
    pub(crate) struct KSemaphore [0x14] {
        0x00 header: in DispatcherHeader,
        0x10 limit: i32,
    }
}
guest_struct! {
    /// KMUTANT.
    pub(crate) struct KMutant [0x20] {
        0x00 header: in DispatcherHeader,
        0x10 mutant_list_entry: in ListEntry,
        0x18 owner_thread: Option<KThread>,
        0x1C abandoned: u8,
        0x1D apc_disable: u8,
    }
}
guest_struct! {
    /// KTIMER.
    pub(crate) struct KTimer [0x28] {
        0x00 header: in DispatcherHeader,
        0x10 due_time: u64,
        0x18 timer_list_entry: in ListEntry,
        0x20 dpc: Va,
        0x24 period: u32,
    }
}
guest_struct! {
    /// KWAIT_BLOCK.
    pub(crate) struct KWaitBlock [0x18] {
        0x00 wait_list_entry: in ListEntry,
        0x08 thread: KThread,
        0x0C object: DispatcherHeader,
        0x10 next_wait_block: Option<KWaitBlock>,
        0x14 wait_key: u16,
        0x16 wait_type: u8,
        0x17 spare_byte: u8,
    }
}
guest_struct! {
    /// KAPC.
    pub(crate) struct KApc [0x30] {
        0x00 kind as "Type": u8,
        0x02 size: u8,
        0x08 thread: KThread,
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
/// WAIT_TYPE: all objects.
pub(crate) const WAIT_ALL: u32 = 0;
/// WAIT_TYPE: any object.
pub(crate) const WAIT_ANY: u32 = 1;
/// MODE: kernel.
pub(crate) const KERNEL: u32 = 0;
/// MODE: user.
pub(crate) const USER: u32 = 1;

/// KWAIT_REASON values in use.
pub(crate) mod reason {
    pub(crate) const EXECUTIVE: u32 = 0;
    pub(crate) const DELAY_EXECUTION: u32 = 4;
    pub(crate) const SUSPENDED: u32 = 5;
    pub(crate) const USER_REQUEST: u32 = 6;
}
