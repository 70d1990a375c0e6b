//! TEB and PEB (nt52.md 2.13, 2.14), and the records that cross into user mode.

use guest::{Va, guest_struct};

guest_struct! {
    /// TEB.
    pub(crate) struct Teb [0x1000] {
        0x000 exception_list as "NtTib.ExceptionList": u32,
        0x004 stack_base as "NtTib.StackBase": u32,
        0x008 stack_limit as "NtTib.StackLimit": u32,
        0x010 version as "NtTib.Version": u32,
        0x014 arbitrary_user_pointer as "NtTib.ArbitraryUserPointer": u32,
        0x018 self_teb as "NtTib.Self": Va,
        0x020 unique_process as "ClientId.UniqueProcess": u32,
        0x024 unique_thread as "ClientId.UniqueThread": u32,
        0x030 peb as "ProcessEnvironmentBlock": Va,
        0x034 last_error_value: u32,
        0x0C4 current_locale: u32,
        0x1A4 exception_code: u32,
        0x6B4 real_unique_process as "RealClientId.UniqueProcess": u32,
        0x6B8 real_unique_thread as "RealClientId.UniqueThread": u32,
        0xBF8 static_string_length as "StaticUnicodeString.Length": u16,
        0xBFA static_string_maximum as "StaticUnicodeString.MaximumLength": u16,
        0xBFC static_string_buffer as "StaticUnicodeString.Buffer": u32,
        0xE0C deallocation_stack: u32,
        0xF24 debug_object_handle as "DbgSsReserved[1]": u32,
        0xF70 gdi_batch_count: u32,
        0xF75 free_stack_on_termination: u8,
        0xF77 ideal_processor: u8,
        0xF78 guaranteed_stack_bytes: u32,
    }
}
guest_struct! {
    /// PEB.
    pub(crate) struct Peb [0x1000] {
        0x00 inherited_address_space: u8,
        0x02 being_debugged: u8,
        0x04 mutant: u32,
        0x08 image_base_address: Va,
        0x0C ldr: u32,
        0x10 process_parameters: u32,
        0x64 number_of_processors: u32,
        0x78 heap_segment_reserve: u32,
        0x7C heap_segment_commit: u32,
        0x8C maximum_number_of_heaps: u32,
        0x90 process_heaps: u32,
        0xA4 os_major_version as "OSMajorVersion": u32,
        0xA8 os_minor_version as "OSMinorVersion": u32,
        0xAC os_build_number as "OSBuildNumber": u16,
        0xAE os_csd_version as "OSCSDVersion": u16,
        0xB0 os_platform_id as "OSPlatformId": u32,
        0xB4 image_subsystem: u32,
        0xB8 image_subsystem_major_version: u32,
        0xBC image_subsystem_minor_version: u32,
    }
}
guest_struct! {
    /// INITIAL_TEB.
    pub(crate) struct InitialTeb [0x14] {
        0x00 previous_stack_base: u32,
        0x04 previous_stack_limit: u32,
        0x08 stack_base: u32,
        0x0C stack_limit: u32,
        0x10 allocated_stack_base: u32,
    }
}
guest_struct! {
    /// EXCEPTION_RECORD.
    pub(crate) struct ExceptionRecord [0x50] {
        0x00 code as "ExceptionCode": u32,
        0x04 flags as "ExceptionFlags": u32,
        0x08 nested as "ExceptionRecord": u32,
        0x0C address as "ExceptionAddress": u32,
        0x10 number_parameters: u32,
        0x14 information0 as "ExceptionInformation[0]": u32,
        0x18 information1 as "ExceptionInformation[1]": u32,
    }
}
