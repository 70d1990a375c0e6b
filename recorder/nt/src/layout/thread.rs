//! KTHREAD and ETHREAD (nt52.md 2.5, 2.7).

use super::{DispatcherHeader, EProcess, KApc, KProcess, KSemaphore, KTimer, KTrapFrame, KWaitBlock};
use guest::{ListEntry, Pointer, Va, guest_enum, guest_struct};

guest_enum! {
    /// KTHREAD_STATE.
    pub(crate) enum State: u8 {
        Initialized = 0, Ready = 1, Running = 2, Standby = 3, Terminated = 4, Waiting = 5,
        Transition = 6, DeferredReady = 7, GateWait = 8,
    }
}

guest_struct! {
    /// KTHREAD. `quantum`, `quantum_reset`, `kernel_time`, `tls_array`, `lego_data` and `power_state`
    /// lie inside `suspend_apc`, whose routines leave those bytes alone (nt52.md 2.6).
    pub(crate) struct KThread [0x1B8] {
        0x000 header: in DispatcherHeader,
        0x003 debug_active: over u8,
        0x010 mutant_list_head: in ListEntry,
        0x018 initial_stack: Va,
        0x01C stack_limit: Va,
        0x020 kernel_stack: Va,
        0x028 apc_state: in ApcState,
        0x03F apc_queueable: u8,
        0x042 adjust_reason: u8,
        0x043 adjust_increment: u8,
        0x048 context_switches: u32,
        0x04C state: State,
        0x04D npx_state: u8,
        0x04E wait_irql: u8,
        0x04F wait_mode: u8,
        0x050 wait_status: u32,
        0x054 wait_block_list: Option<KWaitBlock>,
        0x058 alertable: u8,
        0x059 wait_next: u8,
        0x05A wait_reason: u8,
        0x05B priority: i8,
        0x05C enable_stack_swap: u8,
        0x05E alerted_kernel as "Alerted[0]": u8,
        0x05F alerted_user as "Alerted[1]": u8,
        0x060 wait_list_entry: in ListEntry,
        0x068 queue: Va,
        0x06C wait_time: u32,
        0x070 kernel_apc_disable: i16,
        0x070 combined_apc_disable: over u32,
        0x072 special_apc_disable: i16,
        0x074 teb: Va,
        0x078 timer: in KTimer,
        0x0A0 thread_flags: u32,
        0x0A8 wait_block as "WaitBlock[0]": in KWaitBlock,
        0x0C0 wait_block_1 as "WaitBlock[1]": in KWaitBlock,
        0x0D7 previous_mode: over u8,
        0x0D8 wait_block_2 as "WaitBlock[2]": in KWaitBlock,
        0x0F0 timer_wait_block as "WaitBlock[3]": in KWaitBlock,
        0x108 queue_list_entry: in ListEntry,
        0x110 trap_frame: Option<KTrapFrame>,
        0x114 callback_stack: Va,
        0x118 service_table: Va,
        0x11C apc_state_index: u8,
        0x11D ideal_processor: u8,
        0x11E preempted: u8,
        0x11F process_ready_queue: u8,
        0x120 kernel_stack_resident: u8,
        0x121 base_priority: i8,
        0x122 priority_decrement: i8,
        0x123 saturation: i8,
        0x124 user_affinity: u32,
        0x128 process: KProcess,
        0x12C affinity: u32,
        0x130 apc_state_pointer0 as "ApcStatePointer[0]": ApcState,
        0x134 apc_state_pointer1 as "ApcStatePointer[1]": ApcState,
        0x138 saved_apc_state: in ApcState,
        0x14F freeze_count: over u8,
        0x150 suspend_count: u8,
        0x153 iopl: u8,
        0x154 win32_thread: Va,
        0x158 stack_base: Va,
        0x15C suspend_apc: in KApc,
        0x15D quantum: over i8,
        0x15F quantum_reset: over i8,
        0x160 kernel_time: over u32,
        0x180 tls_array: over Va,
        0x184 lego_data: over Va,
        0x18B power_state: over u8,
        0x18C user_time: u32,
        0x190 suspend_semaphore: in KSemaphore,
        0x1A8 thread_list_entry: in ListEntry,
    }
}
guest_struct! {
    /// KAPC_STATE without its last byte, 17h: in a KTHREAD that is ApcQueueable, or FreezeCount.
    pub(crate) struct ApcState [0x17] {
        0x00 kernel_list as "ApcListHead[0]": in ListEntry,
        0x08 user_list as "ApcListHead[1]": in ListEntry,
        0x10 process: KProcess,
        0x14 kernel_apc_in_progress: u8,
        0x15 kernel_apc_pending: u8,
        0x16 user_apc_pending: u8,
    }
}

guest_struct! {
    /// ETHREAD.
    pub(crate) struct EThread [0x250] {
        0x000 tcb: in KThread,
        0x1B8 create_time: u64,
        0x1C0 exit_time: u64,
        0x1C8 exit_status: u32,
        0x1CC post_block_list: in ListEntry,
        0x1D4 termination_port: Va,
        0x1D4 reaper_link: over Option<EThread>,
        0x1DC active_timer_list_head: in ListEntry,
        0x1E4 unique_process as "Cid.UniqueProcess": u32,
        0x1E8 unique_thread as "Cid.UniqueThread": u32,
        0x1EC lpc_reply_semaphore: in KSemaphore,
        0x208 irp_list: in ListEntry,
        0x218 threads_process: Option<EProcess>,
        0x21C start_address: u32,
        0x220 win32_start_address: u32,
        0x224 thread_list_entry: in ListEntry,
        0x22C rundown_protect: u32,
        0x230 thread_lock: u32,
        0x238 read_cluster_size: u32,
        0x23C granted_access: u32,
        0x240 cross_thread_flags: u32,
        0x244 same_thread_passive_flags: u32,
        0x248 same_thread_apc_flags: u32,
    }
}

impl KThread {
    /// The ETHREAD around this KTHREAD.
    pub(crate) fn thread(self) -> EThread {
        EThread(self.0)
    }
    /// `ApcStatePointer[index]`.
    pub(crate) fn apc_state_pointer(self, index: u8) -> guest::Slot<ApcState> {
        if index == 0 { self.apc_state_pointer0() } else { self.apc_state_pointer1() }
    }
    /// Built-in wait block `index`, 0 to 2.
    pub(crate) fn wait_block_at(self, index: u32) -> KWaitBlock {
        KWaitBlock::at(self.wait_block().va().add(index * KWaitBlock::EXTENT))
    }
    /// The FX_SAVE_AREA of a kernel stack whose top is `top`.
    pub(crate) fn npx_area(top: Va) -> Va {
        top.sub(NPX_FRAME_LENGTH)
    }
    /// The user-mode trap frame of a kernel stack whose top is `top`.
    pub(crate) fn user_frame(top: Va) -> KTrapFrame {
        KTrapFrame(top.sub(NPX_FRAME_LENGTH + KTrapFrame::EXTENT))
    }
}

/// Bytes reserved for the floating-point state at the top of a kernel stack.
pub(crate) const NPX_FRAME_LENGTH: u32 = 0x210;
/// Bytes in a kernel stack.
pub(crate) const KERNEL_STACK_SIZE: u32 = 0x3000;

/// PS_CROSS_THREAD_FLAGS.
pub(crate) mod cross {
    pub(crate) const TERMINATED: u32 = 0x001;
    pub(crate) const DEADTHREAD: u32 = 0x002;
    pub(crate) const HIDEFROMDBG: u32 = 0x004;
    pub(crate) const SYSTEM: u32 = 0x010;
    pub(crate) const HARD_ERRORS_DISABLED: u32 = 0x020;
    pub(crate) const BREAK_ON_TERMINATION: u32 = 0x040;
    pub(crate) const SKIP_CREATION_MSG: u32 = 0x080;
    pub(crate) const SKIP_TERMINATION_MSG: u32 = 0x100;
}
