//! KTHREAD and ETHREAD (reactos.md 2.5, 2.6).

use crate::layout::{EProcess, Header, KApc, KProcess, KSemaphore, KTimer, KWaitBlock};
use guest::{ListEntry, Va, guest_enum, guest_struct};

guest_enum! {
    /// THREAD_STATE_* (2.11).
    pub(crate) enum ThreadState: u8 {
        Initialized = 0, Ready = 1, Running = 2, Suspended = 3, Frozen = 4, Terminated1 = 5,
        Terminated2 = 6, Blocked = 7,
    }
}

guest_struct! {
    /// KAPC_STATE.
    pub(crate) packed struct KApcState [0x18] {
        0x00 kernel_list as "ApcListHead[0]": in ListEntry,
        0x08 user_list as "ApcListHead[1]": in ListEntry,
        0x10 process: Option<KProcess>,
        0x14 kernel_apc_in_progress: u8,
        0x15 kernel_apc_pending: u8,
        0x16 user_apc_pending: u8,
    }
}

guest_struct! {
    /// KTHREAD.
    pub(crate) packed struct KThread [0x1B0] {
        0x000 header: in Header,
        0x010 mutant_list_head: in ListEntry,
        0x018 initial_stack: Va,
        0x01C stack_limit: Va,
        0x020 teb: Va,
        0x024 tls_array: Va,
        0x028 kernel_stack: Va,
        0x02C debug_active: u8,
        0x02D state: ThreadState,
        /// Alerted[KernelMode], the only one that the alert routines use.
        0x02E alerted as "Alerted[0]": u8,
        /// Alerted[UserMode]: looked at by waits, set by nobody.
        0x02F alerted_user as "Alerted[1]": u8,
        0x030 iopl: u8,
        0x031 npx_state: u8,
        0x032 saturation: u8,
        0x033 priority: i8,
        0x034 apc_state: in KApcState,
        0x04C context_switches: u32,
        0x050 wait_status: u32,
        0x054 wait_irql: u8,
        0x055 wait_mode: u8,
        0x056 wait_next: u8,
        0x057 wait_reason: u8,
        0x058 wait_block_list: Option<KWaitBlock>,
        0x064 wait_time: u32,
        0x068 base_priority: i8,
        0x069 decrement_count: u8,
        0x06A priority_decrement: i8,
        0x06B quantum: i8,
        /// The first of four; the fourth is the timer's.
        0x06C wait_block as "WaitBlock[0]": in KWaitBlock,
        0x0D0 kernel_apc_disable: i32,
        0x0D4 user_affinity: u32,
        0x0DC service_table: Va,
        0x0E0 queue: Va,
        0x0E4 apc_queue_lock: u32,
        0x0E8 timer: in KTimer,
        0x110 queue_list_entry: in ListEntry,
        0x118 affinity: u32,
        0x120 callback_stack: Va,
        0x124 win32_thread: Va,
        0x128 trap_frame: Va,
        0x12C apc_state_original as "ApcStatePointer[0]": KApcState,
        0x130 apc_state_attached as "ApcStatePointer[1]": KApcState,
        0x137 previous_mode: u8,
        0x138 kernel_time: u32,
        0x13C user_time: u32,
        0x140 saved_apc_state: in KApcState,
        0x158 alertable: u8,
        0x159 apc_state_index: u8,
        0x15A apc_queueable: u8,
        0x15B auto_alignment: u8,
        0x15C stack_base: Va,
        0x160 suspend_apc: in KApc,
        0x190 suspend_semaphore: in KSemaphore,
        0x1A4 thread_list_entry: in ListEntry,
        0x1AC freeze_count: u8,
        0x1AD suspend_count: u8,
        0x1AE ideal_processor: u8,
        0x1AF disable_boost: u8,
    }
}

impl KThread {
    /// One of the four wait blocks; 3 is the timer's.
    pub(crate) fn block(self, index: u32) -> KWaitBlock {
        KWaitBlock(self.wait_block().0.add(0x18 * index))
    }
}

guest_struct! {
    /// ETHREAD.
    pub(crate) packed struct EThread [0x258] {
        0x000 tcb: in KThread,
        0x1B0 create_time: u64,
        0x1B8 exit_time: u64,
        0x1C0 lpc_reply_chain: in ListEntry,
        0x1C8 exit_status: u32,
        0x1CC ofs_chain: u32,
        0x1D0 post_block_list: in ListEntry,
        /// Also the link by which the reaper finds the thread.
        0x1D8 termination_port_list: in ListEntry,
        0x1E0 active_timer_list_lock: u32,
        0x1E4 active_timer_list_head: in ListEntry,
        0x1EC unique_process as "Cid.UniqueProcess": u32,
        0x1F0 unique_thread as "Cid.UniqueThread": u32,
        0x1F4 lpc_reply_semaphore: in KSemaphore,
        0x214 impersonation_info: Va,
        0x218 irp_list: in ListEntry,
        0x220 top_level_irp: Va,
        0x22E dead_thread: u8,
        0x230 has_terminated: u32,
        0x234 granted_access: u32,
        0x238 threads_process: Option<EProcess>,
        0x23C start_address: Va,
        0x240 win32_start_address: Va,
        0x248 lpc_exit_thread_called: u8,
        0x24B active_impersonation_info: u8,
        0x250 thread_list_entry: in ListEntry,
    }
}

impl EThread {
    /// The ETHREAD of a link in a KPROCESS's thread list.
    pub(crate) fn kernel_link(self) -> ListEntry {
        self.tcb().thread_list_entry()
    }
    /// The ETHREAD of a link in a ready list.
    pub(crate) fn ready_link(self) -> ListEntry {
        self.tcb().queue_list_entry()
    }
}
