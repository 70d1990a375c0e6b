//! KPCR with its KPRCB, KTSS, and KUSER_SHARED_DATA (nt52.md 1.4, 2.10, 2.11).

use super::KThread;
use guest::{ListEntry, Va, guest_struct};

guest_struct! {
    /// KPCR; the KPRCB begins at 120h.
    pub(crate) struct KPcr [0x1000] {
        0x000 exception_list as "NtTib.ExceptionList": u32,
        0x010 context_switches: u32,
        0x018 used_self as "Used_Self": Va,
        0x01C self_pcr as "Self": Va,
        0x020 prcb: Va,
        0x024 irql: u8,
        0x028 irr as "IRR": u32,
        0x038 idt as "IDT": Va,
        0x03C gdt as "GDT": Va,
        0x040 tss as "TSS": Va,
        0x048 set_member: u32,
        0x120 version as "PrcbData": u32,
        0x124 current_thread as "PrcbData.CurrentThread": KThread,
        0x128 next_thread as "PrcbData.NextThread": Option<KThread>,
        0x12C idle_thread as "PrcbData.IdleThread": KThread,
        0x418 kernel_dr0 as "PrcbData.ProcessorState.SpecialRegisters.KernelDr0": u32,
        0x41C kernel_dr1 as "PrcbData.ProcessorState.SpecialRegisters.KernelDr1": u32,
        0x420 kernel_dr2 as "PrcbData.ProcessorState.SpecialRegisters.KernelDr2": u32,
        0x424 kernel_dr3 as "PrcbData.ProcessorState.SpecialRegisters.KernelDr3": u32,
        0x428 kernel_dr6 as "PrcbData.ProcessorState.SpecialRegisters.KernelDr6": u32,
        0x42C kernel_dr7 as "PrcbData.ProcessorState.SpecialRegisters.KernelDr7": u32,
        0x640 npx_thread as "PrcbData.NpxThread": Option<KThread>,
        0x644 interrupt_count as "PrcbData.InterruptCount": u32,
        0x6B8 ke_system_calls as "PrcbData.KeSystemCalls": u32,
        0xA7A dpc_routine_active as "PrcbData.DpcRoutineActive": u8,
        0xA88 timer_request as "PrcbData.TimerRequest": u32,
        0xAA1 quantum_end as "PrcbData.QuantumEnd": u8,
        0xB00 wait_list_head as "PrcbData.WaitListHead": in ListEntry,
        0xB08 ready_summary as "PrcbData.ReadySummary": u32,
        0xB10 ready_list as "PrcbData.DispatcherReadyListHead": in ListEntry,
    }
}

/// The processor's one KPCR.
pub(crate) const PCR: KPcr = KPcr(Va(0xFFDF_F000));

impl KPcr {
    /// DispatcherReadyListHead of a priority.
    pub(crate) fn ready(self, priority: u32) -> ListEntry {
        use guest::Pointer;
        ListEntry::at(self.ready_list().va().add(priority * 8))
    }
}

guest_struct! {
    /// KTSS.
    pub(crate) struct KTss [0x20AC] {
        0x00 backlink: u32,
        0x04 esp0: u32,
        0x08 ss0: u32,
        0x1C cr3 as "CR3": u32,
        0x60 ldt as "LDT": u32,
        0x64 flags: u16,
        0x66 io_map_base: u16,
    }
}

guest_struct! {
    /// KUSER_SHARED_DATA. A KSYSTEM_TIME is its low part, High1Time and High2Time.
    pub(crate) struct KUserSharedData [0x1000] {
        0x000 tick_count_low: u32,
        0x004 tick_count_multiplier: u32,
        0x008 interrupt_time: u64,
        0x010 interrupt_time_high2: u32,
        0x014 system_time: u64,
        0x01C system_time_high2: u32,
        0x26C nt_major_version: u32,
        0x270 nt_minor_version: u32,
        0x2D4 kd_debugger_enabled: u8,
        0x300 system_call: Va,
        0x304 system_call_return: Va,
        0x320 tick_count: u32,
        0x324 tick_count_high: u32,
        0x328 tick_count_high2: u32,
        0x330 cookie: u32,
    }
}

/// The kernel's view of KUSER_SHARED_DATA.
pub(crate) const SHARED: KUserSharedData = KUserSharedData(Va(0xFFDF_0000));
/// The user view of the same page.
pub(crate) const SHARED_USER: Va = Va(0x7FFE_0000);

/// IRQL 0.
pub(crate) const PASSIVE_LEVEL: u8 = 0;
/// IRQL 1.
pub(crate) const APC_LEVEL: u8 = 1;
/// IRQL 2.
pub(crate) const DISPATCH_LEVEL: u8 = 2;
/// IRQL 28.
pub(crate) const CLOCK_LEVEL: u8 = 28;
