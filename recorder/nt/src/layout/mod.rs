//! The structures that this kernel keeps in guest memory (nt52.md 2, SP1 layout).
//!
//! Fields that no code touches stand here for the dumps: a difference of two memories is told by name.
#![allow(dead_code)]

mod debug;
mod dispatcher;
mod frame;
mod object;
mod pcr;
mod process;
mod thread;
mod user;

pub(crate) use debug::*;
pub(crate) use dispatcher::*;
pub(crate) use frame::*;
pub(crate) use object::*;
pub(crate) use pcr::*;
pub(crate) use process::*;
pub(crate) use thread::*;
pub(crate) use user::*;

use crate::global::KernelData;
use contract::{FlagNames, LayoutInfo};
use guest::Pointer;

fn row<P: Pointer>(name: &'static str, fields: &'static [guest::FieldInfo]) -> LayoutInfo {
    LayoutInfo { name, size: P::EXTENT, fields }
}

/// The layouts by their NT names.
pub(crate) fn layouts() -> Vec<LayoutInfo> {
    vec![
        row::<EThread>("ETHREAD", EThread::FIELDS),
        row::<EProcess>("EPROCESS", EProcess::FIELDS),
        row::<KThread>("KTHREAD", KThread::FIELDS),
        row::<KProcess>("KPROCESS", KProcess::FIELDS),
        row::<KApc>("KAPC", KApc::FIELDS),
        row::<KTrapFrame>("KTRAP_FRAME", KTrapFrame::FIELDS),
        row::<KSwitchFrame>("KSWITCHFRAME", KSwitchFrame::FIELDS),
        row::<SwapRegisters>("KiSwapContext", SwapRegisters::FIELDS),
        row::<KStartFrame>("KSTART_FRAME", KStartFrame::FIELDS),
        row::<StartLeft>("KiThreadStartup", StartLeft::FIELDS),
        row::<RaisedFrom>("KiServiceExit", RaisedFrom::FIELDS),
        row::<RaisedFrom>("HalpClockInterrupt", RaisedFrom::FIELDS),
        row::<SavedVolatile>("HalpSoftwareInterrupt", SavedVolatile::FIELDS),
        row::<FxSaveArea>("FX_SAVE_AREA", FxSaveArea::FIELDS),
        row::<KWaitBlock>("KWAIT_BLOCK", KWaitBlock::FIELDS),
        row::<DispatcherHeader>("DISPATCHER_HEADER", DispatcherHeader::FIELDS),
        row::<KSemaphore>("KSEMAPHORE", KSemaphore::FIELDS),
        row::<KMutant>("KMUTANT", KMutant::FIELDS),
        row::<KTimer>("KTIMER", KTimer::FIELDS),
        row::<KPcr>("KPCR", KPcr::FIELDS),
        row::<KUserSharedData>("KUSER_SHARED_DATA", KUserSharedData::FIELDS),
        row::<KernelData>("KernelData", KernelData::FIELDS),
        row::<DebugObject>("DEBUG_OBJECT", DebugObject::FIELDS),
        row::<DebugEvent>("DEBUG_EVENT", DebugEvent::FIELDS),
        row::<ObjectHeader>("OBJECT_HEADER", ObjectHeader::FIELDS),
        row::<HandleTable>("HANDLE_TABLE", HandleTable::FIELDS),
        row::<Teb>("TEB", Teb::FIELDS),
        row::<Peb>("PEB", Peb::FIELDS),
        row::<contract::context::Context>("CONTEXT", contract::context::Context::FIELDS),
    ]
}

/// PS_CROSS_THREAD_FLAGS, as a dump names them.
const CROSS_THREAD_FLAGS: &[(u32, &str)] = &[
    (0x001, "Terminated"),
    (0x002, "DeadThread"),
    (0x004, "HideFromDebugger"),
    (0x008, "ActiveImpersonationInfo"),
    (0x010, "SystemThread"),
    (0x020, "HardErrorsAreDisabled"),
    (0x040, "BreakOnTermination"),
    (0x080, "SkipCreationMsg"),
    (0x100, "SkipTerminationMsg"),
];
/// PS_PROCESS_FLAGS, as a dump names them.
const PROCESS_FLAGS: &[(u32, &str)] = &[
    (0x0000_0001, "CreateReported"),
    (0x0000_0002, "NoDebugInherit"),
    (0x0000_0004, "ProcessExiting"),
    (0x0000_0008, "ProcessDelete"),
    (0x0000_0010, "Wow64SplitPages"),
    (0x0000_0020, "VmDeleted"),
    (0x0000_0040, "OutswapEnabled"),
    (0x0000_0080, "Outswapped"),
    (0x0000_0100, "ForkFailed"),
    (0x0000_0200, "Wow64VaSpace4Gb"),
    (0x0000_1000, "SetTimerResolution"),
    (0x0000_2000, "BreakOnTermination"),
    (0x0000_4000, "SessionCreationUnderway"),
    (0x0000_8000, "WriteWatch"),
    (0x0001_0000, "ProcessInSession"),
    (0x0002_0000, "OverrideAddressSpace"),
    (0x0004_0000, "HasAddressSpace"),
    (0x0008_0000, "LaunchPrefetched"),
    (0x0010_0000, "InjectInpageErrors"),
    (0x0020_0000, "VmTopDown"),
    (0x0040_0000, "ImageNotifyDone"),
    (0x0080_0000, "PdeUpdateNeeded"),
    (0x0100_0000, "VdmAllowed"),
    (0x0200_0000, "SmapAllowed"),
    (0x0400_0000, "CreateFailed"),
];

const PASSIVE_FLAGS: &[(u32, &str)] =
    &[(1, "ActiveExWorker"), (2, "ExWorkerCanWaitUser"), (4, "MemoryMaker"), (8, "KeyedEventInUse")];
const APC_FLAGS: &[(u32, &str)] =
    &[(1, "LpcReceivedMsgIdValid"), (2, "LpcExitThreadCalled"), (4, "AddressSpaceOwner")];
const DEBUG_OBJECT_FLAGS: &[(u32, &str)] = &[(1, "DebuggerInactive"), (2, "KillProcessOnExit")];
const DEBUG_EVENT_FLAGS: &[(u32, &str)] = &[
    (0x01, "Read"),
    (0x02, "NoWait"),
    (0x04, "Inactive"),
    (0x08, "Release"),
    (0x10, "ProtectFailed"),
    (0x20, "Suspend"),
];

/// The fields whose bits have names (nt52.md 2.7, 2.9, 2.17).
pub(crate) fn flags() -> Vec<FlagNames> {
    let row = |layout, field, bits| FlagNames { layout, field, bits };
    vec![
        row("ETHREAD", "cross_thread_flags", CROSS_THREAD_FLAGS),
        row("ETHREAD", "same_thread_passive_flags", PASSIVE_FLAGS),
        row("ETHREAD", "same_thread_apc_flags", APC_FLAGS),
        row("EPROCESS", "flags", PROCESS_FLAGS),
        row("DEBUG_OBJECT", "flags", DEBUG_OBJECT_FLAGS),
        row("DEBUG_EVENT", "flags", DEBUG_EVENT_FLAGS),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(fields: &[guest::FieldInfo], path: &str) -> u32 {
        let (head, rest) = path.split_once('.').unwrap_or((path, ""));
        let field = fields.iter().find(|field| field.name == head);
        let field = field.unwrap_or_else(|| panic!("no field {path}"));
        field.offset + if rest.is_empty() { 0 } else { offset(field.inner, rest) }
    }

    /// Offsets as the sheet's tables 2.1 to 2.17 give them.
    #[test]
    fn key_offsets_are_those_of_the_sheet() {
        let thread = [
            ("tcb.mutant_list_head", 0x10),
            ("tcb.initial_stack", 0x18),
            ("tcb.kernel_stack", 0x20),
            ("tcb.apc_state.process", 0x38),
            ("tcb.apc_state.kernel_apc_pending", 0x3D),
            ("tcb.apc_state.user_apc_pending", 0x3E),
            ("tcb.apc_queueable", 0x3F),
            ("tcb.state", 0x4C),
            ("tcb.npx_state", 0x4D),
            ("tcb.wait_status", 0x50),
            ("tcb.alertable", 0x58),
            ("tcb.alerted_kernel", 0x5E),
            ("tcb.kernel_apc_disable", 0x70),
            ("tcb.special_apc_disable", 0x72),
            ("tcb.teb", 0x74),
            ("tcb.timer", 0x78),
            ("tcb.wait_block", 0xA8),
            ("tcb.timer_wait_block", 0xF0),
            ("tcb.trap_frame", 0x110),
            ("tcb.service_table", 0x118),
            ("tcb.apc_state_index", 0x11C),
            ("tcb.process", 0x128),
            ("tcb.saved_apc_state", 0x138),
            ("tcb.freeze_count", 0x14F),
            ("tcb.suspend_count", 0x150),
            ("tcb.suspend_apc", 0x15C),
            ("tcb.suspend_semaphore", 0x190),
            ("tcb.thread_list_entry", 0x1A8),
            ("tcb.previous_mode", 0xD7),
            ("tcb.quantum", 0x15D),
            ("exit_status", 0x1C8),
            ("unique_thread", 0x1E8),
            ("threads_process", 0x218),
            ("thread_list_entry", 0x224),
            ("rundown_protect", 0x22C),
            ("granted_access", 0x23C),
            ("cross_thread_flags", 0x240),
        ];
        for (name, at) in thread {
            assert_eq!(offset(EThread::FIELDS, name), at, "{name}");
        }
        let process = [
            ("pcb.directory_table_base", 0x18),
            ("pcb.iopm_offset", 0x30),
            ("pcb.thread_list_head", 0x50),
            ("pcb.base_priority", 0x64),
            ("rundown_protect", 0x90),
            ("unique_process_id", 0x94),
            ("active_process_links", 0x98),
            ("debug_port", 0xCC),
            ("object_table", 0xD4),
            ("section_object", 0x124),
            ("image_file_name", 0x164),
            ("thread_list_head", 0x180),
            ("active_threads", 0x190),
            ("last_thread_exit_status", 0x19C),
            ("peb", 0x1A0),
            ("flags", 0x240),
            ("exit_status", 0x244),
            ("vad_root", 0x250),
        ];
        for (name, at) in process {
            assert_eq!(offset(EProcess::FIELDS, name), at, "{name}");
        }
        for (name, at) in [
            ("dr7", 0x2C),
            ("edx", 0x3C),
            ("previous_previous_mode", 0x48),
            ("eip", 0x68),
            ("hardware_seg_ss", 0x78),
        ] {
            assert_eq!(offset(KTrapFrame::FIELDS, name), at, "{name}");
        }
        for (name, at) in
            [("kernel_routine", 0x14), ("normal_context", 0x20), ("apc_mode", 0x2D), ("inserted", 0x2E)]
        {
            assert_eq!(offset(KApc::FIELDS, name), at, "{name}");
        }
        for (name, at) in
            [("current_thread", 0x124), ("npx_thread", 0x640), ("ready_list", 0xB10), ("irql", 0x24)]
        {
            assert_eq!(offset(KPcr::FIELDS, name), at, "{name}");
        }
        let sizes = [
            (EThread::EXTENT, 0x250),
            (EProcess::EXTENT, 0x278),
            (KTrapFrame::EXTENT, 0x8C),
            (KApc::EXTENT, 0x30),
        ];
        for (ours, sheets) in sizes {
            assert_eq!(ours, sheets);
        }
    }
}
