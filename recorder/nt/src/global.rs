//! Where things lie in kernel space and in the system DLLs, and the kernel's own variables.

use crate::layout::{EProcess, EThread, HandleTable, Section};
use contract::PoolFault;
use guest::{ListEntry, Va, guest_struct};

/// Physical pages of the machine: 32 MB.
pub(crate) const PAGES: u32 = 8192;
/// Assembled kernel code.
pub(crate) const KERNEL_CODE: Va = Va(0x8050_0000);
/// Descriptor tables and the TSS.
pub(crate) const TABLES: Va = Va(0x8070_0000);
/// The stack that SYSENTER enters with: the processor's DPC stack, one page (nt52.md 1.3).
pub(crate) const DPC_STACK: Va = Va(0x8074_0000);
/// The pool.
pub(crate) const POOL: Va = Va(0x8100_0000);
/// Bytes in the pool.
pub(crate) const POOL_SIZE: u32 = 0x20_0000;
/// Kernel stacks: slots of four pages, the lowest of which is never there.
pub(crate) const STACKS: Va = Va(0xF800_0000);
/// Bytes in a stack slot.
pub(crate) const STACK_SLOT: u32 = 0x4000;
/// Stack slots: as many as one page table maps.
pub(crate) const STACK_SLOTS: u32 = 256;

/// ntdll's base: PspSystemDllBase. It and kernel32's vary between systems (nt52.md 1.1, 15).
pub(crate) const NTDLL: Va = Va(0x7C80_0000);
/// ntdll's assembled code.
pub(crate) const NTDLL_CODE: Va = Va(0x7C80_1000);
/// ntdll's data, private to each process.
pub(crate) const NTDLL_DATA: Va = Va(0x7C82_0000);
/// Bytes that ntdll occupies.
pub(crate) const NTDLL_SIZE: u32 = 0x2_1000;
/// kernel32's base.
pub(crate) const KERNEL32: Va = Va(0x77E4_0000);
/// kernel32's assembled code.
pub(crate) const KERNEL32_CODE: Va = Va(0x77E4_1000);
/// Bytes that kernel32 occupies.
pub(crate) const KERNEL32_SIZE: u32 = 0x2000;

/// MmUserProbeAddress.
pub(crate) const USER_PROBE: u32 = 0x7FFF_0000;
/// MmHighestUserAddress.
pub(crate) const HIGHEST_USER: u32 = 0x7FFE_FFFF;
/// The lowest address that user space hands out.
pub(crate) const LOWEST_USER: u32 = 0x1_0000;
/// The PEB's place, as RTM has it (nt52.md 1.1, medium confidence): SP1 draws it at random, which a
/// reproducible machine cannot.
pub(crate) const PEB: Va = Va(0x7FFD_F000);

guest_struct! {
    /// The kernel's variables.
    pub(crate) struct KernelData [0x1400] {
        0x000 ps_active_process_head: in ListEntry,
        0x008 ki_timer_list_head: in ListEntry,
        0x010 ki_reaper_list: Option<EThread>,
        0x014 obp_remove_list: Va,
        0x018 psp_cid_table: HandleTable,
        0x01C ps_initial_system_process: EProcess,
        0x020 ps_idle_process: EProcess,
        0x024 idle_thread: EThread,
        0x028 worker_thread: EThread,
        0x02C system_thread: EThread,
        0x030 init_process: EProcess,
        0x034 init_thread: EThread,
        0x038 program_section: Section,
        0x03C handle_system: u32,
        0x040 handle_system_thread: u32,
        0x044 handle_section: u32,
        0x048 pool_next: u32,
        0x04C pool_serial: u32,
        0x050 pool_free_first: u32,
        0x054 pool_free_last: u32,
        0x058 frame_cursor: u32,
        0x05C stack_cursor: u32,
        0x060 bugcheck_set: u32,
        0x064 bugcheck_code: u32,
        0x068 bugcheck_1: u32,
        0x06C bugcheck_2: u32,
        0x070 bugcheck_3: u32,
        0x074 bugcheck_4: u32,
        0x078 boot_time: u64,
        0x080 worker_event: in crate::layout::DispatcherHeader,
        0x090 system_thread_event: in crate::layout::DispatcherHeader,
        0x0A0 default_object: in crate::layout::DispatcherHeader,
        0x0B0 driver_apcs: in ListEntry,
        0x0B8 driver_apcs_ran: u32,
        0x0BC driver_apcs_intact: u32,
        0x0C0 pool_faults: [u8; 32],
        0x100 service_table: [u8; 32],
        0x120 process_notify_routines: u32,
        0x124 processes_began: u32,
        0x128 processes_ended: u32,
        0x12C thread_notify_routines: u32,
        0x130 threads_began: u32,
        0x134 threads_ended: u32,
        0x138 ki_fast_system_call_disable: u32,
        0x13C kd_answers: u32,
        0x160 stack_bitmap: [u8; 32],
        0x200 message_critical_process: [u8; 32],
        0x240 message_critical_thread: [u8; 32],
        0x280 message_thread_exited: [u8; 32],
        0x2C0 message_process_exited: [u8; 32],
        0x400 frame_bitmap: [u8; 32],
        0x800 service_arguments: [u8; 32],
        0xA00 services: [u8; 32],
        0xF00 shared_pages: [u8; 32],
    }
}

/// The kernel's variables.
pub(crate) const DATA: KernelData = KernelData(Va(0x8060_0000));
/// Entries of the table of pages that every process with system DLLs maps: address and frame.
pub(crate) const SHARED_PAGES: u32 = 128;
/// Bytes of the page-frame bitmap.
pub(crate) const FRAME_BITMAP: u32 = PAGES / 8;
/// The pool-failure slots.
pub(crate) const POOL_FAULTS: Va = Va(0x8060_00C0);
const _: () = assert!(PoolFault::SLOTS * PoolFault::SIZE == 0x40);
const _: () = assert!(FRAME_BITMAP <= 0x400);
