//! KPROCESS, EPROCESS, PEB, TEB and the shared page (reactos.md 2.7, 2.10, 1.1).

use crate::layout::{EThread, FastMutex, Header};
use guest::{ListEntry, Va, guest_struct};

/// PROCESS_STATE_TERMINATED.
pub(crate) const PROCESS_TERMINATED: u8 = 1;
/// PROCESS_STATE_ACTIVE.
pub(crate) const PROCESS_ACTIVE: u8 = 2;

guest_struct! {
    /// KPROCESS.
    pub(crate) struct KProcess [0x70] {
        0x00 header: in Header,
        0x10 profile_list_head: in ListEntry,
        /// The low doubleword is CR3.
        0x18 directory_table_base: u32,
        0x20 ldt_low as "LdtDescriptor[0]": u32,
        0x24 ldt_high as "LdtDescriptor[1]": u32,
        0x30 iopm_offset: u16,
        0x38 kernel_time: u32,
        0x3C user_time: u32,
        0x50 thread_list_head: in ListEntry,
        0x5C affinity: u32,
        0x60 stack_count: u16,
        0x64 base_priority: u32,
        0x68 thread_quantum: i8,
        0x69 auto_alignment: u8,
        0x6A state: u8,
        0x6B thread_seed: u8,
        0x6C disable_boost: u8,
    }
}

guest_struct! {
    /// EPROCESS.
    pub(crate) struct EProcess [0x2F0] {
        0x000 pcb: in KProcess,
        0x070 exit_status: u32,
        0x074 lock_event: in Header,
        0x084 lock_count: i32,
        0x088 create_time: u64,
        0x090 exit_time: u64,
        0x098 lock_owner: Option<EThread>,
        0x09C unique_process_id: u32,
        0x118 debug_port: Va,
        0x11C exception_port: Va,
        0x120 handle_table: in ListEntry,
        0x128 handle_table_lock: u32,
        0x12C token: Va,
        0x1AA exit_process_called: u8,
        0x1B0 peb: Va,
        0x1BC last_thread_exit_status: u32,
        0x1C8 inherited_from as "InheritedFromUniqueProcessId": u32,
        0x204 image_file_name: [u8; 16],
        0x220 win32_process: Va,
        0x224 job: Va,
        0x278 thread_list_head: in ListEntry,
        /// AddressSpace begins here; what is in it is ours: the memory areas, and what is committed.
        0x28C memory_areas: in ListEntry,
        0x294 memory_regions: in ListEntry,
        0x2C0 process_list_entry: in ListEntry,
        0x2C8 teb_lock: in FastMutex,
        0x2E8 teb_block: Va,
        0x2EC teb_last_allocated: Va,
    }
}

guest_struct! {
    /// A reserved range of a user address space.
    pub(crate) struct MemoryArea [0x18] {
        0x00 link: in ListEntry,
        0x08 base: Va,
        0x0C length: u32,
        /// 0: NtAllocateVirtualMemory's; 1: mapped by the system.
        0x10 fixed: u32,
    }
}

guest_struct! {
    /// A committed range within a memory area.
    pub(crate) struct MemoryRegion [0x10] {
        0x00 link: in ListEntry,
        0x08 base: Va,
        0x0C length: u32,
    }
}

guest_struct! {
    /// TEB, as far as it is used.
    pub(crate) struct Teb [0x1000] {
        0x000 exception_list as "Tib.ExceptionList": u32,
        0x004 stack_base as "Tib.StackBase": Va,
        0x008 stack_limit as "Tib.StackLimit": Va,
        0x018 this as "Tib.Self": Va,
        0x020 unique_process as "Cid.UniqueProcess": u32,
        0x024 unique_thread as "Cid.UniqueThread": u32,
        0x02C thread_local_storage_pointer: Va,
        0x030 peb: Va,
        0x034 last_error_value: u32,
        0x0C4 current_locale: u32,
        0x1A8 exception_code: u32,
        0xE0C deallocation_stack: Va,
        0xE10 tls_slots: Va,
    }
}

/// Offset of TEB.StaticUnicodeBuffer.
pub(crate) const STATIC_UNICODE_BUFFER: u32 = 0xC00;

guest_struct! {
    /// PEB, as far as it is used.
    pub(crate) struct Peb [0x1000] {
        0x002 being_debugged: u8,
        0x008 image_base_address: Va,
        0x00C ldr: Va,
        0x010 process_parameters: Va,
        0x01C fast_peb_lock: Va,
        0x040 tls_bitmap: Va,
        0x064 number_of_processors: u32,
        0x0A0 loader_lock: Va,
        0x0A4 os_major_version as "OSMajorVersion": u32,
        0x0A8 os_minor_version as "OSMinorVersion": u32,
        0x0AC os_build_number as "OSBuildNumber": u16,
        0x0AE sp_major_version as "SPMajorVersion": u16,
        0x0B0 os_platform_id as "OSPlatformId": u32,
        0x0B4 image_subsystem as "ImageSubSystem": u32,
        // What follows is really on the process heap and in ntdll's data, which are left out.
        0x800 ldr_data: in PebLdrData,
        0x830 loader_lock_itself: in CriticalSection,
        0x850 fast_peb_lock_itself: in CriticalSection,
        0x870 tls_bitmap_itself: in RtlBitmap,
        0x880 tls_bits: u64,
        0x888 csr_api_port: u32,
        /// The first of the modules.
        0x900 modules: in LdrModule,
    }
}

guest_struct! {
    /// PEB_LDR_DATA (3.5).
    pub(crate) struct PebLdrData [0x24] {
        0x00 length: u32,
        0x04 initialized: u8,
        0x0C load_order: in ListEntry,
        0x14 memory_order: in ListEntry,
        0x1C initialization_order: in ListEntry,
    }
}

guest_struct! {
    /// A module in the loader's lists, as it is documented: the sheet has no offsets for it.
    pub(crate) struct LdrModule [0x40] {
        0x00 load_link: in ListEntry,
        0x08 memory_link: in ListEntry,
        0x10 initialization_link: in ListEntry,
        0x18 base: Va,
        0x1C entry_point: Va,
        0x20 size: u32,
        0x34 flags: u32,
        0x38 load_count: i16,
        0x3A tls_index: u16,
    }
}

impl Peb {
    /// The module of that number, in the order of the table that the loader makes them from.
    pub(crate) fn module(self, index: u32) -> LdrModule {
        LdrModule(self.modules().0.add(0x40 * index))
    }
}

guest_struct! {
    /// RTL_CRITICAL_SECTION, as it is documented.
    pub(crate) struct CriticalSection [0x18] {
        0x04 lock_count: i32,
        0x08 recursion_count: i32,
        0x0C owning_thread: u32,
        0x10 lock_semaphore: u32,
    }
}

guest_struct! {
    /// RTL_BITMAP, as it is documented.
    pub(crate) struct RtlBitmap [8] {
        0 size: u32,
        4 buffer: Va,
    }
}

guest_struct! {
    /// INITIAL_TEB.
    pub(crate) struct InitialTeb [0x14] {
        0x00 stack_base: Va,
        0x04 stack_limit: Va,
        0x08 stack_commit: Va,
        0x0C stack_commit_max: Va,
        0x10 stack_reserved: Va,
    }
}

guest_struct! {
    /// KUSER_SHARED_DATA, as far as it is used.
    pub(crate) struct SharedData [0x1000] {
        0x00 tick_count_low: u32,
        0x04 tick_count_multiplier: u32,
        0x08 interrupt_time: u64,
        0x10 interrupt_time_high2: u32,
        0x14 system_time: u64,
        0x1C system_time_high2: u32,
        0x20 time_zone_bias: u64,
    }
}
